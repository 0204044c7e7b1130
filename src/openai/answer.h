/* openai/answer: what the engine says back: whole answers, chunks of a stream, embeddings, model lists.
 *
 *   openai_write_answer(&out, &head, choices, n, &usage, &timings)        {"object":"chat.completion",…}
 *
 *   for each piece: openai_event_chunk(&out, &head, &chunk)                data: {…}\n\n
 *   openai_event_usage(&out, &head, &usage, &timings)                      if it was asked for
 *   openai_event_done(&out)                                                data: [DONE]\n\n
 *
 * Field names and nesting are OpenAI's; `timings` is llama-server's. Writers only append; false: the
 * buf's maximum was reached (what was appended is then not JSON). Text that is not UTF-8 has U+FFFD
 * for its bad bytes. Any thread, one buf at a time.
 */
#ifndef TUG_OPENAI_ANSWER_H
#define TUG_OPENAI_ANSWER_H

#include "base/buf.h"
#include "base/err.h"
#include "openai/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The same in every object of one answer. */
struct openai_head {
    enum openai_kind kind;
    const char *id;           /* "chatcmpl-…", "cmpl-…" */
    const char *model;        /* as the client named it */
    int64_t created;          /* Unix seconds */
    const char *service_tier; /* as the client gave it; NULL: left out */
    bool include_usage;       /* chunks carry "usage":null, as OpenAI's do then */
};

enum openai_finish { OPENAI_RUNNING, OPENAI_FINISH_STOP, OPENAI_FINISH_LENGTH, OPENAI_FINISH_TOOLS };

struct openai_usage {
    int64_t prompt_tokens, cached_tokens, completion_tokens;
    int64_t reasoning_tokens; /* of completion_tokens; 0 is not written */
};

struct openai_timings {
    int64_t prompt_n; /* computed, without cache_n */
    int64_t cache_n, predicted_n;
    double prompt_ms, predicted_ms;
};

/* A token: its bytes (perhaps half a character) and its natural logarithm. */
struct openai_token {
    const char *bytes;
    size_t n;
    double logprob;
};

/* The logprobs of some text, collected as JSON. Chat and completions have different forms. */
struct openai_logprobs {
    enum openai_kind kind;
    struct buf columns[4]; /* chat: [0] alone; completions: tokens, token_logprobs, top_logprobs, text_offset */
    int64_t offset;        /* characters before the next token, completions */
};

void openai_logprobs_init(struct openai_logprobs *l, enum openai_kind kind);
bool openai_logprobs_add(struct openai_logprobs *l, const struct openai_token *chosen, const struct openai_token *top,
                         size_t n_top);
void openai_logprobs_clear(struct openai_logprobs *l); /* keeps offset: for the next chunk */
void openai_logprobs_done(struct openai_logprobs *l);

/* A piece of an assistant's message. */
enum openai_part_kind { OPENAI_PART_CONTENT, OPENAI_PART_REASONING, OPENAI_PART_CALL, OPENAI_PART_ARGUMENTS };

struct openai_part {
    enum openai_part_kind kind;
    const char *text; /* of a call's beginning: none */
    size_t n;
    size_t call;           /* calls and arguments: which one, from 0 */
    const char *name, *id; /* a call's beginning */
};

struct openai_call {
    const char *id, *name, *arguments;
};

struct openai_choice {
    const char *text; /* content; "" with calls is written as null */
    size_t text_len;
    const char *reasoning; /* NULL: none */
    const struct openai_call *calls;
    size_t n_calls;
    const struct openai_logprobs *logprobs; /* NULL: not asked for */
    enum openai_finish finish;
};

struct openai_chunk {
    size_t index;
    bool opening;     /* the first of its choice: role and empty content (chat only) */
    const char *text; /* completions, and the echo; NULL: none */
    size_t text_len;
    const struct openai_part *part; /* chat; NULL: none, for opening and finish */
    const struct openai_logprobs *logprobs;
    enum openai_finish finish;
    const struct openai_timings *timings; /* of the last chunk; NULL: none */
};

bool openai_write_answer(struct buf *out, const struct openai_head *head, const struct openai_choice *choices, size_t n,
                         const struct openai_usage *usage, const struct openai_timings *timings);
bool openai_event_chunk(struct buf *out, const struct openai_head *head, const struct openai_chunk *chunk);
bool openai_event_usage(struct buf *out, const struct openai_head *head, const struct openai_usage *usage,
                        const struct openai_timings *timings);
bool openai_event_error(struct buf *out, const struct err *err);
bool openai_event_done(struct buf *out);

/* vectors[i]: n_embd floats. base64: their little-endian bytes, which is what official clients ask for. */
bool openai_write_embeddings(struct buf *out, const char *model, const float *const *vectors, size_t n, size_t n_embd,
                             bool base64, int64_t prompt_tokens);

struct openai_model {
    const char *id;
    int64_t created;
    const char *owned_by;
};
bool openai_write_model(struct buf *out, const struct openai_model *model);
bool openai_write_models(struct buf *out, const struct openai_model *models, size_t n);

#endif
