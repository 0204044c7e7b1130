/* engine/vocab: the bytes of every token, sorted, so that tokens which begin alike are looked at together.
 *
 *   const struct vocab *v = model_vocab(m);      made at the first call (0.1 s at 128,000 tokens), any thread
 *
 * Immutable; as old as its model.
 */
#ifndef TUG_ENGINE_VOCAB_H
#define TUG_ENGINE_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VOCAB_CONTROL = 1, VOCAB_END = 2 }; /* flags */

struct vocab {
    int32_t n;
    char *bytes;
    uint32_t *offsets;   /* n + 1 */
    uint8_t *flags;      /* of each token */
    int32_t *order;      /* tokens sorted by their bytes */
    uint16_t *in_common; /* bytes that order[i] shares with order[i - 1]; at most UINT16_MAX */
};

static inline size_t vocab_length(const struct vocab *v, int32_t token)
{
    return v->offsets[token + 1] - v->offsets[token];
}
static inline const char *vocab_bytes(const struct vocab *v, int32_t token) { return v->bytes + v->offsets[token]; }

/* `pieces[i]` of `lengths[i]` bytes and `flags[i]`: copied. */
struct vocab *vocab_new(const char *const *pieces, const size_t *lengths, const uint8_t *flags, int32_t n);
void vocab_free(struct vocab **v);

struct engine_model;
const struct vocab *model_vocab(struct engine_model *m);

#endif
