/* engine/request: one generation or embedding, from gen_submit to its end. Internal to the batch.
 *
 * Two threads know a request: its own (front.c's connection thread, through gen_*) and the batch
 * thread. Each holds a reference; the last one frees it. Which fields are whose is said below; what
 * both touch is under the queue's lock, but `cancelled`, which is atomic so that a long step can ask.
 */
#ifndef TUG_ENGINE_REQUEST_H
#define TUG_ENGINE_REQUEST_H

#include "base/arena.h"
#include "engine/batch.h"
#include "engine/output.h"
#include "engine/sample.h"

#include <stdatomic.h>

struct queue;

struct gen_private {
    struct queue *queue;
    atomic_bool cancelled;

    /* set by gen_submit, then read only */
    struct arena arena; /* of the copies below */
    struct gen_params params;
    bool embed;
    uint64_t order; /* of arrival */
    uint64_t salt;  /* of its cache key */
    int64_t submitted_ns;

    /* the batch thread's */
    int32_t *tokens; /* prompt and what was generated */
    int32_t n_tokens, n_prompt, cap_tokens;
    int32_t last;     /* n_tokens at which the generation ends for its length */
    int32_t computed; /* tokens whose KV is there */
    int32_t seq;      /* -1: none yet */
    int32_t row;      /* of the running step: where its logits are; -1: none */
    int32_t rows;     /* of the running step */
    bool preempted;
    struct sampler sampler;
    struct output output;
    struct answer fresh, token; /* of this step; one token's rows */
    enum gen_finish finish;
    struct err err;
    struct gen_stats stats;
    int64_t started_ns, first_token_ns;

    /* under the queue's lock */
    int refs;
    bool submitted, ended, end_taken;
    struct answer pending;
    struct waker *waker;
    float *embedding; /* n_embd floats once ended */
    struct gen_private *next;

    /* the request's own thread's */
    struct answer taken;
    struct gen_logprob *view; /* of `taken`: chosen ones first, then all alternatives */
    const struct gen_logprob **view_top;
    size_t *view_n;
};

#endif
