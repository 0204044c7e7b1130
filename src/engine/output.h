/* engine/output: from the bytes of tokens to text that may be sent.
 *
 *   output_init(&o, stops, n_stops)
 *   stopped = output_add(&o, bytes, n, rows, &answer)    per token; true: a stop string is complete
 *   output_finish(&o, &answer)                            what was held back, if not stopped
 *   output_done(&o)
 *
 * What is released into `answer` is always whole, valid UTF-8: the beginning of a character waits for
 * its rest, a byte that can belong to none becomes U+FFFD. Text that may be the beginning of a stop
 * string waits until it is decided; a stop string and all after it are never released. A token's
 * logprob row is released with the last byte of its text; rows of tokens that lie wholly in a stop
 * string are dropped.
 *
 * An `answer` is a message from the batch thread to a request's thread: text, and the rows that it is
 * made of. Pure; no thread, no model. Tests: output_test.c.
 */
#ifndef TUG_ENGINE_OUTPUT_H
#define TUG_ENGINE_OUTPUT_H

#include "base/buf.h"

#include <stdint.h>

/* A token and its logprob. A chosen token's row is followed by the rows of its n_top alternatives. */
struct output_row {
    int32_t token;
    float logprob;
    uint32_t bytes, n_bytes; /* where in answer.pieces its bytes are */
    uint32_t n_top;
};

struct answer {
    struct buf text;
    struct buf pieces;
    struct output_row *rows;
    size_t n_rows, cap_rows;
};

void answer_init(struct answer *a);
/* Moves all of `from` behind what `to` has; `from` is empty afterwards. */
void answer_move(struct answer *to, struct answer *from);
bool answer_empty(const struct answer *a);
void answer_clear(struct answer *a);
void answer_done(struct answer *a);
/* Adds a row and its piece. */
void answer_add_row(struct answer *a, const struct output_row *row, const void *piece, size_t n);

struct output {
    const char *const *stops; /* borrowed */
    size_t n_stops;
    struct buf partial;    /* the beginning of a character: at most 3 bytes */
    struct buf text;       /* whole characters, not yet released */
    struct answer waiting; /* rows, with their ends in `ends` */
    uint64_t *ends;        /* of each chosen row: released text must reach this */
    size_t n_ends, cap_ends;
    uint64_t released; /* bytes of text so far */
    uint64_t last_end; /* of the last row that is out */
};

void output_init(struct output *o, const char *const *stops, size_t n_stops);
void output_done(struct output *o);
/* `token`: its logprob rows and pieces (one chosen with its alternatives), moved away; NULL: not asked for. */
bool output_add(struct output *o, const void *bytes, size_t n, struct answer *token, struct answer *out);
void output_finish(struct output *o, struct answer *out);

#endif
