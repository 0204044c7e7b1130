/* engine/embed.c: one step of an embedding model: as many inputs as one ubatch takes, then nothing is
 * remembered. Attention is over the whole ubatch with foreign inputs masked, so short inputs go
 * together and a long one alone. */
#include "base/check.h"
#include "base/log.h"
#include "engine/batch_private.h"
#include "platform/clock.h"

#include <math.h>
#include <stdlib.h>

enum { EMBED_TOGETHER_TOKENS = 512 };

/* Moves the next inputs into `active`, each with its place as its sequence. */
static void embed_admit(struct batch *b)
{
    int32_t tokens = 0;
    while (b->waiting.first != NULL && b->active.n < b->limits.parallel) {
        struct gen_private *r = b->waiting.first;
        if (tokens > 0 && tokens + r->n_tokens > EMBED_TOGETHER_TOKENS)
            return;
        tokens += r->n_tokens;
        list_remove(&b->waiting, r);
        r->seq = b->active.n;
        r->rows = r->n_tokens;
        r->started_ns = clock_now_ns();
        r->stats.queued_ns = r->started_ns - r->submitted_ns;
        list_add(&b->active, r);
        queue_started(b->queue);
        for (int32_t i = 0; i < r->n_tokens; i++)
            context_add(b->ctx, r->tokens[i], i, r->seq, true);
    }
}

static bool embed_normalise(struct gen_private *r, const float *from, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)from[i] * (double)from[i];
    if (!isfinite(sum))
        return err_set(&r->err, ERR_ENGINE, "the model's answer to this input is not a number");
    float scale = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
    r->embedding = check_alloc(calloc(n, sizeof *r->embedding));
    for (size_t i = 0; i < n; i++)
        r->embedding[i] = from[i] * scale;
    return true;
}

static bool embed_take(struct batch *b, struct gen_private *r, bool computed)
{
    char reason[MODEL_REASON_MAX] = "the GGUF names no pooling type, or it is a reranker's, which gives no vectors";
    if (!computed)
        model_reason(b->model, reason);
    const float *pooled = computed ? context_embedding(b->ctx, r->seq) : NULL;
    if (pooled == NULL)
        return err_set(&r->err, ERR_ENGINE, "llama.cpp has no embedding of this input: %s", reason);
    return embed_normalise(r, pooled, (size_t)model_get_info(b->model)->n_embd);
}

void embed_step(struct batch *b)
{
    context_clear_batch(b->ctx);
    context_forget(b->ctx);
    embed_admit(b);
    int32_t rows = context_rows(b->ctx);
    enum context_result result = context_decode(b->ctx);
    if (result == CONTEXT_OK)
        b->stats.decoded_rows += (uint64_t)rows;
    struct gen_private *next;
    for (struct gen_private *r = b->active.first; r != NULL; r = next) {
        next = r->next;
        b->stats.prompt_tokens += (uint64_t)r->n_prompt;
        bool taken = embed_take(b, r, result == CONTEXT_OK);
        bool gone = atomic_load(&r->cancelled);
        batch_finish(b, r, gone ? GEN_CANCELLED : taken ? GEN_STOP : GEN_FAILED);
    }
}
