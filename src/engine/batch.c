/* engine/batch.c: the batch thread.
 *
 *   batch_turn: take what arrived, drop what was cancelled, admit, plan, compute, answer; batch_run: again and again.
 *
 * A request is in one of two lists, both in order of arrival: `waiting` (no sequence) and `active`
 * (at most `parallel`; its sequence in the cache begins with its first rows). What it has to compute
 * is always tokens[computed..n_tokens): the whole prompt at first, one token while it decodes, all of
 * it again after a preemption. So preempting is only giving the sequence back. */
#include "engine/batch.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "engine/batch_private.h"
#include "platform/clock.h"
#include "platform/process.h"

#include <pthread.h>

enum {
    BATCH_STACK_BYTES = 8 * 1024 * 1024, /* libllama builds graphs on it */
    /* A kept prefix of 2,000 tokens costs each row of others 0.8 to 1.4 ms, moving it out and back 4 ms: a few rows
     * would do. Without host memory it must be computed anew, 1.3 (135M) to 4.6 ms (1B) a token. */
    BATCH_RENT_ROWS = 64,
    BATCH_RENT_ROWS_FORGET = 4096,
};

void list_add(struct request_list *l, struct gen_private *r)
{
    struct gen_private **at = &l->first; /* in order of arrival: a preempted one goes before newer ones */
    while (*at != NULL && (*at)->order < r->order)
        at = &(*at)->next;
    r->next = *at;
    *at = r;
    l->n++;
}

void list_remove(struct request_list *l, struct gen_private *r)
{
    struct gen_private **at = &l->first;
    while (*at != r) {
        CHECK(*at != NULL);
        at = &(*at)->next;
    }
    *at = r->next;
    r->next = NULL;
    l->n--;
}

static void batch_end(struct batch *b, struct gen_private *r, enum gen_finish finish)
{
    r->finish = finish;
    int64_t now = clock_now_ns();
    r->stats.completion_tokens = r->n_tokens - r->n_prompt;
    if (r->started_ns == 0) {
        r->stats.queued_ns = now - r->submitted_ns;
    } else if (r->first_token_ns == 0) {
        r->stats.prefill_ns = now - r->started_ns;
    } else {
        r->stats.decode_ns = now - r->first_token_ns;
    }
    if (finish == GEN_CANCELLED)
        b->stats.cancelled++;
    queue_answer(b->queue, r);
}

/* Ends a request that is in `active` or (from_waiting) in `waiting`. */
static void batch_leave(struct batch *b, struct request_list *from, struct gen_private *r, enum gen_finish finish)
{
    list_remove(from, r);
    if (b->cache != NULL)
        cache_give(b->cache, &r->seq, finish != GEN_FAILED);
    if (from == &b->waiting && !r->preempted)
        queue_started(b->queue);
    batch_end(b, r, finish);
    request_drop(r);
}

void batch_finish(struct batch *b, struct gen_private *r, enum gen_finish finish)
{
    batch_leave(b, &b->active, r, finish);
}

static void list_cancel(struct batch *b, struct request_list *l, bool all)
{
    struct gen_private *next;
    for (struct gen_private *r = l->first; r != NULL; r = next) {
        next = r->next;
        if (atomic_load(&r->cancelled)) {
            batch_leave(b, l, r, GEN_CANCELLED);
        } else if (all) {
            err_set(&r->err, ERR_UNAVAILABLE, "the engine was stopped before the answer was complete");
            batch_leave(b, l, r, GEN_FAILED);
        }
    }
}

/* Everything that is before the step: arrivals, cancels, the stop. False: end the thread. */
static bool batch_collect(struct batch *b, bool wait)
{
    bool stopping;
    int64_t deadline;
    struct gen_private *next;
    struct gen_private *r = queue_take(b->queue, wait && b->active.n + b->waiting.n == 0, &stopping, &deadline);
    for (; r != NULL; r = next) {
        next = r->next;
        list_add(&b->waiting, r);
        b->stats.requests++;
    }
    bool late = stopping && clock_now_ns() >= deadline;
    list_cancel(b, &b->waiting, late);
    list_cancel(b, &b->active, late);
    return !stopping || b->active.n + b->waiting.n > 0;
}

static void batch_publish(struct batch *b)
{
    struct context_times times;
    context_get_times(b->ctx, &times);
    b->stats.decode_call_ns = times.decode_ns;
    b->stats.threads = times.threads;
    b->stats.steps = times.decodes;
    if (b->cache != NULL) {
        b->stats.cells_used = cache_cells_used(b->cache);
        struct cache_stats cache;
        cache_get_stats(b->cache, &cache);
        b->stats.evictions = cache.evictions;
        b->stats.cache_hits = cache.hits;
        b->stats.cache_misses = cache.misses;
        b->stats.parked = cache.parked;
        b->stats.unparked = cache.unparked;
        b->stats.park_bytes = cache.park_bytes;
        b->stats.compactions = cache.compactions;
    }
    queue_set_stats(b->queue, &b->stats);
}

bool batch_turn(struct batch *b, bool wait)
{
    if (!batch_collect(b, wait)) {
        queue_flush(b->queue);
        return false;
    }
    if (b->active.n + b->waiting.n > 0) {
        int64_t start = clock_now_ns();
        if (b->embedding)
            embed_step(b);
        else
            step_run(b);
        b->stats.busy_ns += clock_now_ns() - start;
    }
    batch_publish(b);
    queue_flush(b->queue);
    return true;
}

static void *batch_run(void *arg)
{
    while (batch_turn(arg, true))
        ;
    return NULL;
}

/* Inside a long step: is there still one who wants it? */
static bool batch_abandoned(void *arg)
{
    const struct batch *b = arg;
    bool any = false;
    for (const struct gen_private *r = b->active.first; r != NULL; r = r->next) {
        if (r->rows == 0)
            continue;
        if (!atomic_load_explicit(&r->cancelled, memory_order_relaxed))
            return false;
        any = true;
    }
    return any;
}

void batch_close(struct batch **b)
{
    if (*b == NULL)
        return;
    queue_free(&(*b)->queue);
    cache_free(&(*b)->cache);
    sample_scratch_free(&(*b)->scratch);
    context_close(&(*b)->ctx);
    free((*b)->items);
    free(*b);
    *b = NULL;
}

static void batch_prepare(struct batch *b, struct engine_model *m, const struct batch_options *options)
{
    const struct model_info *model = model_get_info(m);
    const struct context_info *info = context_get_info(b->ctx);
    b->model = m;
    b->embedding = model->embedding;
    b->limits = *info;
    b->adapt_chunk = options->chunk == 0;
    cost_init(&b->cost, info->one_row_ns);
    b->slowness = 1;
    b->items = check_alloc(calloc((size_t)info->parallel + 1, sizeof *b->items));
    b->queue = queue_new(&(struct queue_limits){info->sequence, model->n_vocab, model->n_embd, model->embedding});
    b->stats = (struct batch_stats){.context = info->sequence,
                                    .parallel = info->parallel,
                                    .threads = info->threads,
                                    .cells_total = info->causal_memory ? info->cells : 0,
                                    .kv_bytes = info->kv_bytes,
                                    .compute_bytes = info->compute_bytes};
    queue_set_stats(b->queue, &b->stats);
    context_set_abort(b->ctx, batch_abandoned, b);
    if (b->embedding)
        return;
    b->scratch = sample_scratch_new(model->n_vocab);
    struct cache_ops ops = context_cache_ops(b->ctx);
    size_t park_bytes = options->cache_prefixes ? (size_t)info->park_bytes : 0;
    b->cache = cache_new(&ops, &(struct cache_options){
                                   .cells = info->cells,
                                   .sequences = info->partial ? LIMIT_SEQUENCES - 1 : info->parallel,
                                   .rent = park_bytes > 0 ? BATCH_RENT_ROWS : BATCH_RENT_ROWS_FORGET,
                                   .park_bytes = park_bytes,
                                   .keep = options->cache_prefixes,
                                   .partial = info->partial,
                               });
}

bool batch_open(struct engine_model *m, const struct batch_options *options, struct batch **ret_b, struct err *err)
{
    _cleanup_(batch_close) struct batch *b = check_alloc(calloc(1, sizeof *b));
    if (!context_open(m, options, &b->ctx, err))
        return false;
    batch_prepare(b, m, options);
    *ret_b = TAKE(b);
    return true;
}

bool batch_start(struct engine_model *m, const struct batch_options *options, struct batch **ret_b, struct err *err)
{
    _cleanup_(batch_close) struct batch *b = NULL;
    if (!batch_open(m, options, &b, err))
        return false;
    if (!process_thread("batch", batch_run, b, BATCH_STACK_BYTES, 0, &b->thread, err))
        return false;
    *ret_b = TAKE(b);
    return true;
}

void batch_stop(struct batch **b, int64_t deadline_ns)
{
    if (*b == NULL)
        return;
    queue_stop((*b)->queue, deadline_ns);
    pthread_join((*b)->thread, NULL);
    batch_close(b);
}

void batch_get_stats(struct batch *b, struct batch_stats *ret) { queue_get_stats(b->queue, ret); }
struct queue *batch_queue(struct batch *b) { return b->queue; }
