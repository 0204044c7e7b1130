/* engine/batch: many requests, one batch loop. The face that front.c sees of the scheduler.
 *
 *   batch_start(model, &options, &b, err)            the batch thread runs: context, KV cells, pool
 *   req = gen_new(b); fill req->…; gen_submit(req, err)      ERR_BUSY: queue full
 *   while (gen_wait(req, client_fd, &event)) ...     TEXT… then END; false: the client has gone
 *   gen_free(&req)                                   cancels what still runs; any moment is fine
 *
 * One thread, the batch thread, owns the llama_context, the KV cells (cache.h) and the samplers. A
 * step: schedule.c picks rows (one for each decoding sequence first, then prefill chunks shared
 * among the waiting prompts, within a row budget), llama_decode, sample.c for each output row,
 * output.c turns tokens into text: holds back incomplete UTF-8 and possible stop strings. Nothing
 * there parses JSON or touches a socket; front.c's connection threads do that.
 *
 * Each choice (`n`) is a request of its own with the same prompt; the cache makes the prefix be
 * computed once. Prefix reuse compares token ids.
 *
 * Cancelling: gen_free, or gen_wait seeing the client's socket close, marks the request; the batch
 * thread drops its sequence before the next step; a step of which nobody is left stops at once.
 * When cells run short, kept prefixes move to host memory or leave, then the newest request waits: its cells are saved
 * there too, or computed again later, and its text is the same.
 *
 * Limits: LIMIT_SEQUENCES, LIMIT_QUEUE_REQUESTS. A prompt that leaves no room for one token is refused
 * at submit (ERR_CONTEXT with both numbers); max_tokens beyond the room is no error, the answer then
 * ends with GEN_LENGTH. One sequence has at most the model's own context.
 *
 * A gen may be freed after batch_stop; gen_new may not be called then.
 */
#ifndef TUG_ENGINE_BATCH_H
#define TUG_ENGINE_BATCH_H

#include "base/buf.h"
#include "base/err.h"
#include "engine/model.h"
#include "engine/sample_chain.h"

#include <stdint.h>

struct batch;
struct guide;

struct batch_options {
    /* Tokens of KV for all sequences together, paid at once; 0: 8192, or what half of the memory free beside the
     * weights holds, but 1024. Of an embedding model: tokens of one input; 0: the model's own, at most 2048. */
    int32_t context;
    int32_t parallel;    /* sequences at once; 0: 16 */
    int32_t threads;     /* at most; fewer while other programs want the cores. 0: process_cpus() */
    int32_t chunk;       /* prompt rows of a step; 0: by the cost of a step (budget.c) */
    int kv_type;         /* ggml type of K and V; -1: chosen (context.c) */
    bool cache_prefixes; /* keep finished sequences' KV for later prompts */
};

bool batch_start(struct engine_model *m, const struct batch_options *options, struct batch **ret_b, struct err *err);
/* Finishes running requests until deadline (clock_now_ns), refuses new ones, joins the thread. */
void batch_stop(struct batch **b, int64_t deadline_ns);

struct token_bias {
    int32_t token;
    float bias; /* -100 and below: never */
};

struct gen_params {
    double temperature, top_p, min_p, repeat_penalty, presence_penalty, frequency_penalty;
    int32_t top_k, repeat_last_n;
    uint64_t seed;
    bool seed_set;
    int32_t max_tokens;       /* -1: until the context is full */
    int32_t reasoning_budget; /* tokens of reasoning; then its end is written; -1: no end */
    int32_t top_logprobs;     /* -1: no logprobs; 0..LIMIT_TOP_LOGPROBS alternatives */
    bool ignore_eos;
    const struct token_bias *bias; /* the request's own memory */
    size_t n_bias;
    const char *const *stops; /* not empty strings */
    size_t n_stops;
    struct sample_chain chain; /* further samplers; .used false: none of them */
    struct guide *guide;       /* guide.h; NULL: any text. gen_submit takes a reference of its own */
};
#define GEN_PARAMS_DEFAULT                                                                                             \
    ((struct gen_params){.temperature = 1.0,                                                                           \
                         .top_p = 1.0,                                                                                 \
                         .top_k = 40,                                                                                  \
                         .min_p = 0.05,                                                                                \
                         .repeat_penalty = 1.0,                                                                        \
                         .repeat_last_n = 64,                                                                          \
                         .max_tokens = -1,                                                                             \
                         .reasoning_budget = -1,                                                                       \
                         .top_logprobs = -1,                                                                           \
                         .chain = SAMPLE_CHAIN_INIT})

enum gen_finish { GEN_RUNNING, GEN_STOP, GEN_LENGTH, GEN_CANCELLED, GEN_FAILED };

struct gen_logprob {
    int32_t token;
    float logprob;
    const char *bytes; /* the token's piece, not terminated; valid until the next gen_wait */
    size_t n_bytes;
};

struct gen_event {
    enum { GEN_EVENT_TEXT, GEN_EVENT_END } kind;
    const char *text; /* complete UTF-8 characters, may be "" when only logprobs are reported */
    size_t text_len;
    const struct gen_logprob *logprobs;   /* chosen tokens that this text is made of (logprobs asked), in order */
    const struct gen_logprob *const *top; /* top[i]: alternatives of logprobs[i], top_n[i] of them */
    const size_t *top_n;
    size_t n_logprobs;
    enum gen_finish finish; /* END */
    struct err err;         /* END with GEN_FAILED */
};

struct gen_stats {
    int32_t prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens;
    int64_t queued_ns, prefill_ns, decode_ns; /* durations; queued: submit to first step */
};

struct gen {
    struct gen_params params;
    const int32_t *tokens; /* borrowed until gen_free */
    size_t n_tokens;
    uint64_t salt; /* prefixes are shared only among requests of the same one; 0: no key was given */
    bool embed;    /* set before submit: `embedding` is wanted, no text. Embedding models only, and they nothing else */
    float *embedding;       /* at END: n_embd floats of length 1 (L2), the gen's own until gen_free */
    struct gen_stats stats; /* complete at END */
    char id[24];            /* request id, for traces */
    struct gen_private *p;
};

struct gen *gen_new(struct batch *b);
bool gen_submit(struct gen *g, struct err *err);
/* Blocks. True with an event; its pointers are valid until the next call. Text that waited comes as one event; after
 * END comes END again. False: client_fd closed (-1: not watched), or no descriptor was left to wait with; the request
 * is cancelled then. */
bool gen_wait(struct gen *g, int client_fd, struct gen_event *ret_event);
/* Several requests of one client (n choices): the index of one that has an event, -1 when the client has gone. Each
 * END is told once while others run. The pointers of an event are valid until the next one of the same gen. */
int gen_wait_any(struct gen *const *gens, size_t n, int client_fd, struct gen_event *ret_event);
void gen_free(struct gen **g);

struct batch_stats {
    int32_t context, parallel, threads;
    int32_t running, waiting;
    uint64_t requests, prompt_tokens, cached_tokens, generated_tokens, decoded_rows, steps, cancelled, preemptions;
    uint64_t cache_hits, cache_misses, evictions, parked, unparked, park_bytes, compactions;
    int64_t busy_ns, decode_call_ns; /* time with work; time inside llama_decode */
    int64_t step_ns, predicted_ns;   /* of the steps that were computed: their time, and what was expected */
    int32_t cells_used, cells_total;
    uint64_t kv_bytes, compute_bytes;
};
void batch_get_stats(struct batch *b, struct batch_stats *ret); /* any thread, a copy */

#endif
