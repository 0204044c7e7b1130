/* engine/queue.c: see queue.h. */
#include "engine/queue.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "engine/guide.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/random.h"
#include "platform/socket.h"

#include <pthread.h>
#include <string.h>

enum { QUEUE_RETRY_MOST_S = 600 };

/* A pipe to wake one waiting thread; lives as long as the queue, so a late wake-up is harmless. */
struct waker {
    int fds[2];
    bool due; /* to be woken by the next queue_flush */
    struct waker *next_free, *next_all;
};

struct queue {
    struct queue_limits limits;
    int refs; /* the batch and each request: a gen may be freed after batch_stop. Under the lock, as all below */
    pthread_mutex_t lock; /* nothing is called under it that may block */
    pthread_cond_t work;
    struct gen_private *first, **last; /* arrived, not yet taken */
    int32_t n_waiting;                 /* arrived or taken, without a sequence */
    int32_t n_open;                    /* arrived and not ended */
    bool signalled;                    /* something to look at beside arrivals: a cancel, a stop */
    bool stopping;
    int64_t deadline_ns;
    uint64_t order;
    int64_t end_ns, interval_ns; /* of the last end, while others waited; from one end to the next, lately */
    struct waker *wakers_free, *wakers_all;
    struct batch_stats stats;
};

struct queue *queue_new(const struct queue_limits *limits)
{
    struct queue *q = check_alloc(calloc(1, sizeof *q));
    q->limits = *limits;
    q->refs = 1;
    q->last = &q->first;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->work, NULL);
    return q;
}

static void queue_drop(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool last = --q->refs == 0;
    pthread_mutex_unlock(&q->lock);
    if (!last)
        return;
    while (q->wakers_all != NULL) {
        struct waker *w = q->wakers_all;
        q->wakers_all = w->next_all;
        file_close(&w->fds[0]);
        file_close(&w->fds[1]);
        free(w);
    }
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->work);
    free(q);
}

void queue_free(struct queue **q)
{
    if (*q != NULL)
        queue_drop(*q);
    *q = NULL;
}

/* ---- the request's own thread ---- */

struct gen *gen_new(struct batch *b)
{
    struct gen *g = check_alloc(calloc(1, sizeof *g));
    struct gen_private *r = check_alloc(calloc(1, sizeof *r));
    g->params = GEN_PARAMS_DEFAULT;
    g->p = r;
    random_id(g->id, 12);
    r->queue = batch_queue(b);
    pthread_mutex_lock(&r->queue->lock);
    r->queue->refs++;
    pthread_mutex_unlock(&r->queue->lock);
    r->refs = 1;
    r->seq = r->row = -1;
    r->arena = ARENA_INIT;
    answer_init(&r->fresh);
    answer_init(&r->token);
    answer_init(&r->pending);
    answer_init(&r->taken);
    return g;
}

static void request_free(struct gen_private *r)
{
    queue_drop(r->queue);
    output_done(&r->output);
    answer_done(&r->fresh);
    answer_done(&r->token);
    answer_done(&r->pending);
    answer_done(&r->taken);
    arena_done(&r->arena);
    guided_free(&r->sampler.guided);
    guide_unref(&r->params.guide);
    free(r->tokens);
    free(r->embedding);
    free(r->view);
    free(r->view_top);
    free(r->view_n);
    free(r);
}

void request_drop(struct gen_private *r)
{
    pthread_mutex_lock(&r->queue->lock);
    bool last = --r->refs == 0;
    pthread_mutex_unlock(&r->queue->lock);
    if (last)
        request_free(r);
}

/* The request may outlive its gen until the running step ends, so it has its own copies. */
static void request_copy(struct gen_private *r, const struct gen *g)
{
    r->params = g->params;
    if (g->params.n_bias > 0)
        r->params.bias = arena_memdup(&r->arena, g->params.bias, g->params.n_bias * sizeof *g->params.bias);
    const char **stops = arena_array(&r->arena, g->params.n_stops + 1, sizeof *stops);
    for (size_t i = 0; i < g->params.n_stops; i++)
        stops[i] = arena_strdup(&r->arena, g->params.stops[i]);
    r->params.stops = stops;
    if (g->params.guide != NULL)
        r->params.guide = guide_ref(g->params.guide);
    r->embed = g->embed;
    r->salt = g->salt;
    r->n_tokens = r->n_prompt = (int32_t)g->n_tokens;
    r->cap_tokens = r->n_tokens + 64;
    r->tokens = check_alloc(calloc((size_t)r->cap_tokens, sizeof *r->tokens));
    memcpy(r->tokens, g->tokens, g->n_tokens * sizeof *r->tokens);
    r->stats.prompt_tokens = r->n_prompt;
}

static bool request_check_params(const struct gen_params *p, struct err *err)
{
    if (p->n_stops > LIMIT_STOP_STRINGS)
        return err_param(err, "stop", "at most %d stop strings", LIMIT_STOP_STRINGS);
    for (size_t i = 0; i < p->n_stops; i++)
        if (p->stops[i][0] == '\0' || strlen(p->stops[i]) > LIMIT_STOP_BYTES)
            return err_param(err, "stop", "a stop string has 1 to %d bytes", LIMIT_STOP_BYTES);
    if (p->n_bias > LIMIT_LOGIT_BIAS)
        return err_param(err, "logit_bias", "at most %d entries", LIMIT_LOGIT_BIAS);
    if (p->top_logprobs > LIMIT_TOP_LOGPROBS)
        return err_param(err, "top_logprobs", "at most %d", LIMIT_TOP_LOGPROBS);
    if (!(p->repeat_penalty > 0))
        return err_param(err, "repeat_penalty", "must be above 0");
    return true;
}

static bool request_check(const struct queue_limits *limits, const struct gen *g, struct err *err)
{
    if (g->embed != limits->embedding)
        return err_set(err, ERR_UNSUPPORTED,
                       g->embed
                           ? "this model generates text and has no embeddings: ask an embedding model"
                           : "this model gives embeddings only: ask for /embeddings, or use another model for text");
    if (g->n_tokens == 0)
        return err_set(err, ERR_INVALID, "the prompt is empty: it has no token");
    int32_t room = limits->embedding ? limits->sequence : limits->sequence - 1;
    if (g->n_tokens > (size_t)(room > 0 ? room : 0))
        return err_set(
            err, ERR_CONTEXT, "the prompt has %zu tokens, the context holds %d%s", g->n_tokens, limits->sequence,
            limits->embedding ? ""
                              : " (one of them for the answer): shorten it, or load the model with a larger context");
    for (size_t i = 0; i < g->n_tokens; i++)
        if (g->tokens[i] < 0 || g->tokens[i] >= limits->n_vocab)
            return err_set(err, ERR_INVALID, "the prompt's token %zu is %d, the vocabulary has 0 to %d", i,
                           g->tokens[i], limits->n_vocab - 1);
    return request_check_params(&g->params, err);
}

/* Says how long the queue is in time, and to come back when half of it should be done. */
static bool queue_full(int32_t waiting, int64_t interval_ns, struct err *err)
{
    int64_t whole_s = interval_ns * waiting / CLOCK_SECOND;
    if (interval_ns == 0)
        err_set(err, ERR_BUSY, "the queue is full: %d requests are waiting, and none has ended yet; try again later",
                waiting);
    else
        err_set(err, ERR_BUSY, "the queue is full: %d requests are waiting, about %lld s of work; try again later",
                waiting, (long long)whole_s + 1);
    if (err != NULL)
        err->retry_after_s = whole_s / 2 < QUEUE_RETRY_MOST_S ? (int)(whole_s / 2) + 1 : QUEUE_RETRY_MOST_S;
    return false;
}

bool gen_submit(struct gen *g, struct err *err)
{
    struct gen_private *r = g->p;
    struct queue *q = r->queue;
    CHECK(r->tokens == NULL); /* once */
    if (!request_check(&q->limits, g, err))
        return false;
    request_copy(r, g);
    sampler_init(&r->sampler, &r->params, r->params.seed_set ? r->params.seed : random_u64());
    output_init(&r->output, r->params.stops, r->params.n_stops);
    bool open = r->params.max_tokens < 0 || r->params.max_tokens > q->limits.sequence - r->n_prompt;
    r->last = open ? q->limits.sequence : r->n_prompt + r->params.max_tokens;
    r->submitted_ns = clock_now_ns();

    pthread_mutex_lock(&q->lock);
    bool stopping = q->stopping;
    int32_t waiting = q->n_waiting;
    int64_t interval = q->interval_ns;
    if (!stopping && waiting < LIMIT_QUEUE_REQUESTS) {
        r->refs++;
        r->submitted = true;
        r->order = q->order++;
        *q->last = r;
        q->last = &r->next;
        q->n_waiting++;
        q->n_open++;
        pthread_cond_signal(&q->work);
    }
    pthread_mutex_unlock(&q->lock);
    if (stopping)
        return err_set(err, ERR_UNAVAILABLE, "the engine is stopping");
    return waiting < LIMIT_QUEUE_REQUESTS || queue_full(waiting, interval, err);
}

static void request_cancel(struct gen_private *r)
{
    struct queue *q = r->queue;
    atomic_store(&r->cancelled, true);
    pthread_mutex_lock(&q->lock);
    if (r->submitted && !r->ended) {
        q->signalled = true;
        pthread_cond_signal(&q->work);
    }
    pthread_mutex_unlock(&q->lock);
}

void gen_free(struct gen **g)
{
    if (*g == NULL)
        return;
    request_cancel((*g)->p);
    request_drop((*g)->p);
    free(*g);
    *g = NULL;
}

/* Pointers into `taken`, in the shape of gen_event. */
static void request_view(struct gen_private *r, struct gen_event *e)
{
    const struct answer *a = &r->taken;
    size_t chosen = 0;
    for (size_t i = 0; i < a->n_rows; i += 1 + a->rows[i].n_top)
        chosen++;
    r->view = check_alloc(realloc(r->view, (a->n_rows + 1) * sizeof *r->view));
    r->view_top = check_alloc(realloc(r->view_top, (chosen + 1) * sizeof *r->view_top));
    r->view_n = check_alloc(realloc(r->view_n, (chosen + 1) * sizeof *r->view_n));
    size_t at = 0;
    size_t top = chosen;
    for (size_t i = 0; i < a->n_rows; at++) {
        size_t n = a->rows[i].n_top;
        r->view_top[at] = &r->view[top];
        r->view_n[at] = n;
        for (size_t j = 0; j <= n; j++, i++) {
            const struct output_row *row = &a->rows[i];
            r->view[j == 0 ? at : top++] =
                (struct gen_logprob){row->token, row->logprob, buf_str(&a->pieces) + row->bytes, row->n_bytes};
        }
    }
    e->logprobs = r->view;
    e->top = r->view_top;
    e->top_n = r->view_n;
    e->n_logprobs = chosen;
}

/* Under the lock: the next event of g, if there is one. */
static bool gen_take_event(struct gen *g, struct gen_event *e)
{
    struct gen_private *r = g->p;
    if (!answer_empty(&r->pending)) {
        answer_clear(&r->taken);
        answer_move(&r->taken, &r->pending);
        *e = (struct gen_event){.kind = GEN_EVENT_TEXT};
        return true;
    }
    if (!r->ended)
        return false;
    r->end_taken = true;
    *e = (struct gen_event){.kind = GEN_EVENT_END, .text = "", .finish = r->finish, .err = r->err};
    g->stats = r->stats;
    if (r->embedding != NULL)
        g->embedding = r->embedding;
    return true;
}

/* An end is told once, so that the others of a list get their turn; when all have ended, again. */
static int gens_take_event(struct gen *const *gens, size_t n, struct gen_event *e)
{
    size_t ended = 0;
    for (size_t i = 0; i < n; i++) {
        if (gens[i]->p->end_taken)
            ended++;
        else if (gen_take_event(gens[i], e))
            return (int)i;
    }
    return ended == n && gen_take_event(gens[0], e) ? 0 : -1;
}

/* Under the lock. NULL: no descriptor is left. */
static struct waker *queue_borrow_waker(struct queue *q)
{
    struct waker *w = q->wakers_free;
    if (w != NULL) {
        q->wakers_free = w->next_free;
        return w;
    }
    w = check_alloc(calloc(1, sizeof *w));
    if (!socket_pipe(w->fds, NULL)) {
        free(w);
        return NULL;
    }
    w->next_all = q->wakers_all;
    q->wakers_all = w;
    return w;
}

static void gens_set_waker(struct gen *const *gens, size_t n, struct waker *w)
{
    for (size_t i = 0; i < n; i++)
        gens[i]->p->waker = w;
}

/* Waits for the waker or the client's end; false: the client has gone. */
static bool waker_wait(struct waker *w, int client_fd)
{
    struct socket_wait waits[2] = {
        {.fd = w->fds[0], .want = SOCKET_READABLE},
        {.fd = client_fd, .want = SOCKET_CLOSED},
    };
    socket_wait(waits, 2, CLOCK_FOREVER);
    socket_drain(w->fds[0]);
    return (waits[1].got & SOCKET_CLOSED) == 0;
}

int gen_wait_any(struct gen *const *gens, size_t n, int client_fd, struct gen_event *ret_event)
{
    CHECK(n > 0);
    struct queue *q = gens[0]->p->queue;
    bool there = true;
    pthread_mutex_lock(&q->lock);
    int got = gens_take_event(gens, n, ret_event);
    struct waker *w = got < 0 ? queue_borrow_waker(q) : NULL;
    if (w != NULL)
        gens_set_waker(gens, n, w);
    while (w != NULL && got < 0 && there) {
        pthread_mutex_unlock(&q->lock);
        there = waker_wait(w, client_fd);
        pthread_mutex_lock(&q->lock);
        got = gens_take_event(gens, n, ret_event);
    }
    if (w != NULL) {
        gens_set_waker(gens, n, NULL);
        w->next_free = q->wakers_free;
        q->wakers_free = w;
    }
    pthread_mutex_unlock(&q->lock);
    if (!there || got < 0) {
        for (size_t i = 0; i < n; i++)
            request_cancel(gens[i]->p);
        return -1;
    }
    if (ret_event->kind == GEN_EVENT_TEXT) {
        struct gen_private *r = gens[got]->p;
        ret_event->text = buf_str(&r->taken.text);
        ret_event->text_len = r->taken.text.len;
        request_view(r, ret_event);
    }
    return got;
}

bool gen_wait(struct gen *g, int client_fd, struct gen_event *ret_event)
{
    return gen_wait_any(&g, 1, client_fd, ret_event) == 0;
}

/* ---- the batch thread ---- */

struct gen_private *queue_take(struct queue *q, bool idle, bool *ret_stopping, int64_t *ret_deadline_ns)
{
    pthread_mutex_lock(&q->lock);
    while (idle && q->first == NULL && !q->signalled && !q->stopping)
        pthread_cond_wait(&q->work, &q->lock);
    struct gen_private *arrived = q->first;
    q->first = NULL;
    q->last = &q->first;
    q->signalled = false;
    *ret_stopping = q->stopping;
    *ret_deadline_ns = q->deadline_ns;
    pthread_mutex_unlock(&q->lock);
    return arrived;
}

void queue_started(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->n_waiting--;
    pthread_mutex_unlock(&q->lock);
}

/* Under the lock. How quickly requests end while the queue is never empty, in the mean. */
static void queue_learn(struct queue *q)
{
    int64_t now = clock_now_ns();
    if (q->end_ns > 0) {
        int64_t took = now - q->end_ns;
        q->interval_ns = q->interval_ns == 0 ? took : q->interval_ns + (took - q->interval_ns) / 16;
    }
    q->end_ns = q->n_waiting > 0 ? now : 0;
}

void queue_answer(struct queue *q, struct gen_private *r)
{
    pthread_mutex_lock(&q->lock);
    answer_move(&r->pending, &r->fresh);
    r->ended = r->finish != GEN_RUNNING;
    q->n_open -= r->ended;
    if (r->ended && r->finish != GEN_CANCELLED)
        queue_learn(q);
    if (r->waker != NULL)
        r->waker->due = true;
    pthread_mutex_unlock(&q->lock);
}

void queue_flush(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    struct waker *w = q->wakers_all;
    pthread_mutex_unlock(&q->lock);
    for (; w != NULL; w = w->next_all) { /* wakers are only ever put in front */
        pthread_mutex_lock(&q->lock);
        bool due = w->due;
        w->due = false;
        pthread_mutex_unlock(&q->lock);
        if (due)
            socket_wake(w->fds[1]);
    }
}

void queue_stop(struct queue *q, int64_t deadline_ns)
{
    pthread_mutex_lock(&q->lock);
    q->stopping = true;
    q->deadline_ns = deadline_ns;
    pthread_cond_signal(&q->work);
    pthread_mutex_unlock(&q->lock);
}

void queue_set_stats(struct queue *q, const struct batch_stats *s)
{
    pthread_mutex_lock(&q->lock);
    q->stats = *s;
    pthread_mutex_unlock(&q->lock);
}

void queue_get_stats(struct queue *q, struct batch_stats *ret)
{
    pthread_mutex_lock(&q->lock);
    *ret = q->stats;
    ret->waiting = q->n_waiting;
    ret->running = q->n_open - q->n_waiting;
    pthread_mutex_unlock(&q->lock);
}
