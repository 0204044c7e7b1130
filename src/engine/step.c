/* engine/step.c: one step of generation: admit, plan, fill the batch, decode, sample, answer. */
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "engine/batch_private.h"
#include "engine/guide.h"
#include "platform/clock.h"

#include <stdlib.h>

enum {
    STEP_HEADROOM = 32,    /* cells that an admitted request finds beyond its prompt */
    STEP_SHARE_LEAST = 32, /* tokens in common with an older prompt that are worth waiting for */
    STEP_PIECE_MAX = 65536,
};

bool request_decodes(const struct gen_private *r)
{
    return r->n_tokens > r->n_prompt && r->n_tokens - r->computed == 1;
}

/* ---- admission and preemption ---- */

/* Cells that the active requests will still want for what they have to compute now. */
static int32_t step_promised(const struct batch *b)
{
    int32_t sum = 0;
    for (const struct gen_private *r = b->active.first; r != NULL; r = r->next)
        sum += r->n_tokens - r->computed;
    return sum;
}

/* In order of arrival, while a sequence and cells for its tokens are there. One alone is always admitted:
 * gen_submit has checked that it fits. */
static void step_admit(struct batch *b)
{
    while (b->waiting.first != NULL && b->active.n < b->limits.parallel) {
        struct gen_private *r = b->waiting.first;
        int32_t room = b->limits.cells - cache_cells_held(b->cache) - step_promised(b);
        int32_t there;
        (void)cache_match(b->cache, r->tokens, r->n_tokens, r->salt, &there);
        int32_t want = r->n_tokens - there + STEP_HEADROOM;
        if (b->active.n > 0 && want > room)
            return;
        list_remove(&b->waiting, r);
        list_add(&b->active, r);
        if (!r->preempted)
            queue_started(b->queue);
    }
}

/* The newest active request waits again; its cells are saved or computed anew later, its sampler is as it was. The only
 * one ends: gen_submit has checked that it fits, so that would be for ever. */
static void step_preempt(struct batch *b)
{
    if (b->active.n == 1) {
        struct gen_private *only = b->active.first;
        err_set(&only->err, ERR_ENGINE,
                "the context has no room for this request's %d tokens, though nothing else runs", only->n_tokens);
        batch_finish(b, only, GEN_FAILED);
        return;
    }
    struct gen_private *newest = b->active.first;
    while (newest->next != NULL)
        newest = newest->next;
    log_debug("a request waits for cells", "tokens=%d active=%d", newest->n_tokens, b->active.n);
    if (newest->seq >= 0)
        cache_suspend(b->cache, &newest->seq);
    b->stats.preemptions++;
    newest->computed = newest->rows = 0;
    newest->preempted = true;
    list_remove(&b->active, newest);
    list_add(&b->waiting, newest);
}

/* ---- the plan ---- */

/* Does an older prompt compute a longer common beginning than is there now? */
static bool request_waits(const struct batch *b, const struct gen_private *r, int32_t there)
{
    for (const struct gen_private *older = b->active.first; older != r; older = older->next) {
        if (request_decodes(older) || older->salt != r->salt)
            continue;
        int32_t common = cache_common(older->tokens, older->n_tokens, r->tokens, r->n_tokens - 1);
        bool nearly = older->computed > 0 && older->computed >= there; /* a step more, and all of it is there */
        if (common > older->computed && common >= there + (nearly ? 1 : STEP_SHARE_LEAST))
            return true;
    }
    return false;
}

static void step_fill_items(struct batch *b)
{
    struct schedule_item *item = b->items;
    for (struct gen_private *r = b->active.first; r != NULL; r = r->next, item++) {
        *item = (struct schedule_item){.remaining = r->n_tokens - r->computed, .decoding = request_decodes(r)};
        if (r->seq < 0) {
            int32_t cells;
            int32_t there = cache_match(b->cache, r->tokens, r->n_tokens, r->salt, &cells);
            item->remaining -= there;
            item->decoding = false;
            item->waits = b->limits.partial && request_waits(b, r, there);
        }
    }
}

/* Gives each request of the plan its sequence; those that get none have no rows in this step. */
static void step_take_sequences(struct batch *b)
{
    int64_t now = clock_now_ns();
    const struct schedule_item *item = b->items;
    for (struct gen_private *r = b->active.first; r != NULL; r = r->next, item++) {
        r->rows = item->rows;
        if (r->rows == 0 || r->seq >= 0)
            continue;
        int32_t reused;
        enum cache_miss miss;
        if (!cache_take(b->cache, r->tokens, r->n_tokens, r->salt, &r->seq, &reused, &miss)) {
            r->rows = 0;
            continue;
        }
        r->computed = reused;
        log_debug("a request begins", "prompt=%d reused=%d why=\"%s\"", r->n_prompt, reused, cache_miss_text(miss));
        if (r->rows > r->n_tokens - reused)
            r->rows = r->n_tokens - reused;
        if (r->started_ns == 0) {
            r->started_ns = now;
            r->stats.queued_ns = now - r->submitted_ns;
            r->stats.cached_tokens = reused;
            b->stats.prompt_tokens += (uint64_t)r->n_prompt;
            b->stats.cached_tokens += (uint64_t)reused;
        }
    }
}

static int32_t step_count_rows(const struct batch *b)
{
    int32_t rows = 0;
    for (const struct gen_private *r = b->active.first; r != NULL; r = r->next)
        rows += r->rows;
    return rows;
}

/* Rows for the kernels' sake: only beside others, and where there is room in the batch. */
static int32_t step_padding(const struct batch *b, int32_t rows)
{
    int32_t over = rows % b->limits.multiple;
    int32_t pads = over == 0 || rows == 1 ? 0 : b->limits.multiple - over;
    return rows + pads <= b->limits.ubatch ? pads : 0;
}

static void step_fill_batch(struct batch *b, int32_t pads)
{
    context_clear_batch(b->ctx);
    for (struct gen_private *r = b->active.first; r != NULL; r = r->next) {
        r->row = -1;
        for (int32_t i = 0; i < r->rows; i++) {
            int32_t pos = r->computed + i;
            bool output = pos == r->n_tokens - 1;
            int32_t row = context_add(b->ctx, r->tokens[pos], pos, r->seq, output);
            if (output)
                r->row = row;
        }
    }
    for (int32_t i = 0; i < pads; i++)
        context_add(b->ctx, 0, i, cache_scratch(b->cache), false);
}

/* Plans until there is a batch with room for it. False: nothing can be computed now. */
static bool step_plan(struct batch *b)
{
    struct schedule_limits limits = budget_limits(b);
    while (b->active.n > 0) {
        step_fill_items(b);
        schedule_plan(b->items, (size_t)b->active.n, &limits);
        step_take_sequences(b);
        int32_t rows = step_count_rows(b);
        if (rows > 0 && cache_reserve(b->cache, rows)) {
            int32_t pads = step_padding(b, rows);
            step_fill_batch(b, cache_reserve(b->cache, rows + pads) ? pads : 0);
            return true;
        }
        step_preempt(b);
    }
    return false;
}

/* ---- the answer ---- */

static void request_push_token(struct gen_private *r, int32_t token)
{
    if (r->n_tokens == r->cap_tokens) {
        r->cap_tokens += r->cap_tokens / 2;
        r->tokens = check_alloc(realloc(r->tokens, (size_t)r->cap_tokens * sizeof *r->tokens));
    }
    r->tokens[r->n_tokens++] = token;
}

static void request_logprobs(struct batch *b, struct gen_private *r, const float *logits, int32_t token,
                             const struct buf *piece)
{
    struct sample_alternative top[LIMIT_TOP_LOGPROBS];
    float logprob;
    size_t n = sample_logprobs(b->scratch, logits, token, (size_t)r->params.top_logprobs, &logprob, top);
    answer_clear(&r->token);
    answer_add_row(&r->token, &(struct output_row){.token = token, .logprob = logprob, .n_top = (uint32_t)n},
                   buf_str(piece), piece->len);
    for (size_t i = 0; i < n; i++) {
        _cleanup_(buf_done) struct buf other = BUF_INIT(STEP_PIECE_MAX);
        model_piece(b->model, top[i].token, true, &other);
        answer_add_row(&r->token, &(struct output_row){.token = top[i].token, .logprob = top[i].logprob},
                       buf_str(&other), other.len);
    }
}

/* The token that was drawn: its text into r->fresh. How the generation goes on. */
static enum gen_finish request_take_token(struct batch *b, struct gen_private *r, const float *logits, int32_t token)
{
    _cleanup_(buf_done) struct buf piece = BUF_INIT(STEP_PIECE_MAX);
    bool end = model_is_eog(b->model, token);
    request_push_token(r, token);
    b->stats.generated_tokens++;
    if (end && !r->params.ignore_eos) {
        output_finish(&r->output, &r->fresh);
        return GEN_STOP;
    }
    struct guided *guided = r->sampler.guided;
    bool whole = guided != NULL && guided_accept(guided, token);
    r->stats.reasoning_tokens = guided == NULL ? 0 : guided_thought(guided);
    model_piece(b->model, token, guided != NULL && guided_is_special(guided, token), &piece);
    if (r->params.top_logprobs >= 0)
        request_logprobs(b, r, logits, token, &piece);
    if (output_add(&r->output, buf_str(&piece), piece.len, r->params.top_logprobs >= 0 ? &r->token : NULL, &r->fresh))
        return GEN_STOP;
    if (!whole && r->n_tokens < r->last)
        return GEN_RUNNING;
    output_finish(&r->output, &r->fresh);
    return whole ? GEN_STOP : GEN_LENGTH;
}

static void step_sample(struct batch *b, struct gen_private *r)
{
    if (r->n_tokens >= r->last) { /* max_tokens: 0 */
        batch_finish(b, r, GEN_LENGTH);
        return;
    }
    float *logits = context_logits(b->ctx, r->row);
    CHECK(logits != NULL);
    if (r->params.ignore_eos)
        r->sampler.banned = model_end_tokens(b->model, &r->sampler.n_banned);
    if (r->params.guide != NULL && r->sampler.guided == NULL)
        r->sampler.guided = guided_new(r->params.guide);
    int32_t token = sample_token(&r->sampler, b->scratch, logits, r->tokens, (size_t)r->n_tokens);
    if (token < 0) {
        err_param(&r->err, "grammar", "the grammar or schema leaves no token of this model that could come next");
        batch_finish(b, r, GEN_FAILED);
        return;
    }
    if (r->first_token_ns == 0) {
        r->first_token_ns = clock_now_ns();
        r->stats.prefill_ns = r->first_token_ns - r->started_ns;
    }
    enum gen_finish finish = request_take_token(b, r, logits, token);
    if (finish != GEN_RUNNING)
        batch_finish(b, r, finish);
    else if (!answer_empty(&r->fresh))
        queue_answer(b->queue, r);
}

static void step_answer(struct batch *b)
{
    struct gen_private *next;
    for (struct gen_private *r = b->active.first; r != NULL; r = next) {
        next = r->next;
        for (int32_t i = 0; i < r->rows; i++)
            cache_extend(b->cache, r->seq, r->tokens[r->computed + i]);
        r->computed += r->rows;
        r->rows = 0;
        if (r->row >= 0)
            step_sample(b, r);
    }
}

/* A step that did not happen: everybody back to what was computed before it. */
static void step_undo(struct batch *b)
{
    for (struct gen_private *r = b->active.first; r != NULL; r = r->next) {
        if (r->rows > 0)
            cache_cut(b->cache, r->seq, r->computed);
        if (r->seq >= 0)
            r->computed = cache_length(b->cache, r->seq);
        r->rows = 0;
    }
}

static void step_fail(struct batch *b)
{
    char reason[MODEL_REASON_MAX];
    model_reason(b->model, reason);
    struct gen_private *next;
    log_error("llama.cpp failed to compute a step", "requests=%d reason=\"%s\"", b->active.n, reason);
    for (struct gen_private *r = b->active.first; r != NULL; r = next) {
        next = r->next;
        if (r->rows == 0)
            continue;
        r->rows = 0;
        err_set(&r->err, ERR_ENGINE, "llama.cpp failed to compute a step with this request: %s", reason);
        batch_finish(b, r, GEN_FAILED);
    }
}

void step_run(struct batch *b)
{
    step_admit(b);
    if (!step_plan(b))
        return;
    int32_t rows = step_count_rows(b);
    bool padded = context_rows(b->ctx) > rows;
    struct cost_step planned = budget_planned(b);
    int64_t start = clock_now_ns(), start_cpu = clock_thread_cpu_ns();
    enum context_result result = context_decode(b->ctx);
    if (padded)
        cache_scratch_drop(b->cache);
    if (result == CONTEXT_NO_CELLS) { /* our count says otherwise: what is kept leaves, then the newest */
        if (!cache_forget(b->cache))
            step_preempt(b);
        step_undo(b);
        return;
    }
    if (result == CONTEXT_FAILED) {
        step_fail(b);
        return;
    }
    if (result == CONTEXT_ABORTED) {
        step_undo(b);
        return;
    }
    b->stats.decoded_rows += (uint64_t)rows;
    budget_learn(b, &planned, clock_now_ns() - start, clock_thread_cpu_ns() - start_cpu);
    step_answer(b);
    cache_age(b->cache, rows);
    cache_compact(b->cache);
    for (struct gen_private *r = b->active.first; r != NULL; r = r->next)
        if (r->seq >= 0)
            r->computed = cache_length(b->cache, r->seq);
}
