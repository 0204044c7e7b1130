/* distribution/job.c: see job.h and distribution.h. */
#include "distribution/job.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/process.h"
#include "platform/socket.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTE_EVERY_NS (100 * CLOCK_MS)
enum { WORKER_STACK = 512 * 1024 };

struct job {
    struct task *task;
    struct job *next;
    int wake[2];
    uint64_t seen; /* the last stamp that was given */
    bool ended;    /* the last event was given */
};

/* ---- lifetime; d->lock is held in functions whose name ends in _locked ------------------------ */

static void distribution_unref_locked(struct distribution *d)
{
    if (--d->refs > 0) {
        pthread_mutex_unlock(&d->lock);
        return;
    }
    pthread_mutex_unlock(&d->lock);
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->changed);
    free(d);
}

/* Gives the lock back. */
static void task_unref_locked(struct task *t)
{
    struct distribution *d = t->d;
    if (--t->refs > 0) {
        pthread_mutex_unlock(&d->lock);
        return;
    }
    file_close(&t->cancel_fd);
    file_close(&t->cancel_end);
    free(t->layers);
    free(t->token);
    free(t);
    distribution_unref_locked(d);
}

static void task_unlist_locked(struct task *t)
{
    for (struct task **at = &t->d->tasks; *at != NULL; at = &(*at)->next)
        if (*at == t) {
            *at = t->next;
            return;
        }
}

/* Nobody can join it any more: who asks again begins a new one, which waits for the blobs of this one. */
static void task_cancel_locked(struct task *t)
{
    task_unlist_locked(t);
    file_close(&t->cancel_end);
    pthread_cond_broadcast(&t->d->changed);
}

static void task_wake_locked(struct task *t)
{
    for (struct job *j = t->watchers; j != NULL; j = j->next)
        socket_wake(j->wake[1]);
}

/* ---- the worker ------------------------------------------------------------------------------- */

static bool task_cancelled(const struct task *t, struct err *err)
{
    if (t->d->stopping)
        return err_set(err, ERR_UNAVAILABLE, "stopping; what was transferred of %s is kept, and the next time goes on",
                       t->ref.text);
    return err_set(err, ERR_CANCELLED, "cancelled; what was transferred of %s is kept, and the next time goes on",
                   t->ref.text);
}

/* A pull's turn: at most LIMIT_PULLS run. */
static bool task_take_slot(struct task *t, struct err *err)
{
    struct distribution *d = t->d;
    if (t->kind != TASK_PULL)
        return true;
    pthread_mutex_lock(&d->lock);
    if (d->running_pulls >= LIMIT_PULLS && t->cancel_end >= 0) {
        unsigned others = d->running_pulls;
        pthread_mutex_unlock(&d->lock);
        task_note(t, JOB_PROGRESS, "Waiting for %u other pulls to finish", others);
        pthread_mutex_lock(&d->lock);
    }
    while (d->running_pulls >= LIMIT_PULLS && t->cancel_end >= 0)
        pthread_cond_wait(&d->changed, &d->lock);
    bool ok = t->cancel_end >= 0 || task_cancelled(t, err);
    if (ok) {
        d->running_pulls++;
        t->started = true;
    }
    pthread_mutex_unlock(&d->lock);
    return ok;
}

static void task_finish(struct task *t, bool slot, const struct job_event *last)
{
    struct distribution *d = t->d;
    pthread_mutex_lock(&d->lock);
    task_unlist_locked(t);
    t->last = *last;
    if (t->cancel_end < 0 && last->kind == JOB_ERROR) {
        struct err err = ERR_INIT;
        task_cancelled(t, &err);
        t->last.code = err.code;
        text_format(t->last.message, sizeof t->last.message, "%s", err.text);
    }
    t->finished = true;
    task_wake_locked(t);
    if (slot && t->kind == TASK_PULL)
        d->running_pulls--;
    d->running--;
    t->worker->done = true;
    pthread_cond_broadcast(&d->changed);
    task_unref_locked(t);
}

static void *task_main(void *arg)
{
    struct task *t = arg;
    struct err err = ERR_INIT;
    struct job_event last = {.kind = JOB_ERROR};
    bool slot = task_take_slot(t, &err);
    if (slot && t->work(t, last.message, &err)) {
        last.kind = JOB_SUCCESS;
    } else {
        last.code = err.code;
        text_format(last.message, sizeof last.message, "%s", err.text);
    }
    log_info(t->kind == TASK_PULL ? "a pull ended" : "a push ended", "model=%s result=%s", t->ref.text, last.message);
    task_finish(t, slot, &last);
    return NULL;
}

void task_note(struct task *t, enum job_event_kind kind, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    pthread_mutex_lock(&t->d->lock);
    struct task_note *note = &t->notes[t->n_notes++ % TASK_NOTES];
    note->kind = kind;
    note->stamp = ++t->stamp;
    vsnprintf(note->message, sizeof note->message, fmt, ap);
    task_wake_locked(t);
    pthread_mutex_unlock(&t->d->lock);
    va_end(ap);
}

void task_set_total(struct task *t, uint64_t total)
{
    pthread_mutex_lock(&t->d->lock);
    t->total = total;
    pthread_mutex_unlock(&t->d->lock);
}

static size_t layer_find(const struct task *t, const char *id)
{
    size_t i = 0;
    while (i < t->n_layers && strcmp(t->layers[i].id, id) != 0)
        i++;
    return i;
}

size_t task_layer(struct task *t, const char *id, uint64_t size)
{
    pthread_mutex_lock(&t->d->lock);
    size_t i = layer_find(t, id);
    if (i == t->n_layers) {
        CHECK(t->n_layers <= LIMIT_MANIFEST_LAYERS);
        t->layers = check_alloc(realloc(t->layers, (t->n_layers + 1) * sizeof *t->layers));
        t->layers[t->n_layers++] = (struct task_layer){.size = size};
        text_format(t->layers[i].id, DIGEST_TEXT, "%s", id);
    }
    pthread_mutex_unlock(&t->d->lock);
    return i;
}

void task_progress(struct task *t, size_t layer, uint64_t current)
{
    pthread_mutex_lock(&t->d->lock);
    CHECK(layer < t->n_layers);
    struct task_layer *l = &t->layers[layer];
    int64_t now = clock_now_ns();
    bool first = l->stamp == 0, whole = current == l->size && l->current != current;
    l->current = current;
    if (first || whole || now - l->noted_ns >= NOTE_EVERY_NS) {
        l->noted_ns = now;
        l->stamp = ++t->stamp;
        task_wake_locked(t);
    }
    pthread_mutex_unlock(&t->d->lock);
}

bool task_wanted(struct task *t, struct err *err)
{
    pthread_mutex_lock(&t->d->lock);
    if (t->cancel_end >= 0 && t->watchers == NULL && clock_now_ns() >= t->leave_ns)
        task_cancel_locked(t);
    bool wanted = t->cancel_end >= 0 || task_cancelled(t, err);
    pthread_mutex_unlock(&t->d->lock);
    return wanted;
}

bool task_wait(struct task *t, int64_t ns, struct err *err)
{
    struct socket_wait cancel = {.fd = t->cancel_fd, .want = SOCKET_CLOSED};
    socket_wait(&cancel, 1, clock_now_ns() + ns);
    return task_wanted(t, err);
}

/* ---- watchers --------------------------------------------------------------------------------- */

static bool same_token(const char *a, const char *b) { return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0; }

static struct task *task_find_locked(struct distribution *d, enum task_kind kind, const struct reference *ref,
                                     const char *token)
{
    for (struct task *t = d->tasks; t != NULL; t = t->next)
        if (t->kind == kind && strcmp(t->ref.text, ref->text) == 0 && same_token(t->token, token))
            return t;
    return NULL;
}

/* Joins the threads that are done, so that they do not gather in a daemon that lives for months. */
static void workers_reap_locked(struct distribution *d)
{
    for (struct worker **at = &d->workers; *at != NULL;) {
        struct worker *w = *at;
        if (!w->done) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        pthread_join(w->thread, NULL);
        free(w);
    }
}

/* A new task with its worker; cancel: a pipe, which it takes. */
static bool task_start_locked(struct distribution *d, enum task_kind kind, const struct reference *ref,
                              const char *token, int cancel[2], struct task **ret_task, struct err *err)
{
    struct task *t = check_alloc(calloc(1, sizeof *t));
    t->d = d;
    t->kind = kind;
    t->ref = *ref;
    t->token = token != NULL ? check_alloc(strdup(token)) : NULL;
    t->work = kind == TASK_PULL ? pull_work : push_work;
    t->refs = 1;
    t->cancel_fd = cancel[0];
    t->cancel_end = cancel[1];
    t->worker = check_alloc(calloc(1, sizeof *t->worker));
    workers_reap_locked(d);
    if (!process_thread(kind == TASK_PULL ? "pull" : "push", task_main, t, WORKER_STACK, 0, &t->worker->thread, err)) {
        free(t->worker);
        free(t->token);
        free(t);
        return false;
    }
    t->worker->next = d->workers;
    d->workers = t->worker;
    cancel[0] = cancel[1] = -1;
    t->next = d->tasks;
    d->tasks = t;
    d->running++;
    d->refs++;
    *ret_task = t;
    return true;
}

/* The new task's thread cannot go far before the watcher is in: task_take_slot wants the lock too. */
static bool task_join_locked(struct distribution *d, enum task_kind kind, const struct reference *ref,
                             const char *token, int cancel[2], struct job *j, struct err *err)
{
    if (d->stopping)
        return err_set(err, ERR_UNAVAILABLE, "stopping; ask again when it has started anew");
    struct task *t = task_find_locked(d, kind, ref, token);
    if (t == NULL && !task_start_locked(d, kind, ref, token, cancel, &t, err))
        return false;
    j->task = t;
    j->next = t->watchers;
    t->watchers = j;
    t->refs++;
    return true;
}

static void job_free(struct job *j)
{
    file_close(&j->wake[0]);
    file_close(&j->wake[1]);
    free(j);
}

bool task_join(struct distribution *d, enum task_kind kind, const struct reference *ref, const char *token,
               struct job **ret_job, struct err *err)
{
    int cancel[2] = {-1, -1};
    struct job *j = check_alloc(calloc(1, sizeof *j));
    j->wake[0] = j->wake[1] = -1;
    bool ok = socket_pipe(j->wake, err) && socket_pipe(cancel, err);
    if (ok) {
        pthread_mutex_lock(&d->lock);
        ok = task_join_locked(d, kind, ref, token, cancel, j, err);
        pthread_mutex_unlock(&d->lock);
    }
    file_close(&cancel[0]);
    file_close(&cancel[1]);
    if (ok)
        *ret_job = j;
    else
        job_free(j);
    return ok;
}

static void event_of_layer(const struct task *t, const struct task_layer *l, struct job_event *e)
{
    *e = (struct job_event){.kind = JOB_PROGRESS, .layer_size = l->size, .layer_current = l->current};
    e->total = t->total > 0 ? t->total : l->size;
    memcpy(e->layer_id, l->id, sizeof e->layer_id);
    text_format(e->message, sizeof e->message, "%s: %.2f MB", t->kind == TASK_PULL ? "Downloaded" : "Uploaded",
                (double)l->current / (1024.0 * 1024.0)); /* DMR: MiB, labelled MB */
}

/* The note or layer that changed first after what j has seen. */
static bool job_take_locked(struct job *j, struct job_event *e)
{
    struct task *t = j->task;
    const struct task_note *note = NULL;
    const struct task_layer *layer = NULL;
    uint64_t best = UINT64_MAX;
    for (size_t i = 0; i < TASK_NOTES && i < t->n_notes; i++)
        if (t->notes[i].stamp > j->seen && t->notes[i].stamp < best) {
            note = &t->notes[i];
            best = note->stamp;
        }
    for (size_t i = 0; i < t->n_layers; i++)
        if (t->layers[i].stamp > j->seen && t->layers[i].stamp < best) {
            layer = &t->layers[i];
            best = layer->stamp;
        }
    if (layer != NULL) {
        event_of_layer(t, layer, e);
    } else if (note != NULL) {
        *e = (struct job_event){.kind = note->kind};
        memcpy(e->message, note->message, sizeof e->message);
    } else if (t->finished && !j->ended) {
        *e = t->last;
        j->ended = true;
        return true;
    } else {
        return false;
    }
    j->seen = best;
    return true;
}

bool job_next(struct job *j, struct job_event *ret_event, int cancel_fd)
{
    struct distribution *d = j->task->d;
    for (;;) {
        pthread_mutex_lock(&d->lock);
        bool taken = !j->ended && job_take_locked(j, ret_event);
        bool ended = j->ended;
        pthread_mutex_unlock(&d->lock);
        if (taken || ended)
            return taken;
        struct socket_wait waits[] = {{.fd = j->wake[0], .want = SOCKET_READABLE},
                                      {.fd = cancel_fd, .want = SOCKET_CLOSED}};
        socket_wait(waits, ARRAY_LEN(waits), CLOCK_FOREVER);
        if (waits[1].got != 0)
            return false;
        socket_drain(j->wake[0]);
    }
}

void job_leave(struct job **job)
{
    struct job *j = *job;
    if (j == NULL)
        return;
    struct task *t = j->task;
    struct distribution *d = t->d;
    pthread_mutex_lock(&d->lock);
    for (struct job **at = &t->watchers; *at != NULL; at = &(*at)->next)
        if (*at == j) {
            *at = j->next;
            break;
        }
    if (t->watchers == NULL && !t->finished) {
        t->leave_ns = clock_now_ns() + d->options.linger_ns;
        if (d->options.linger_ns == 0 || (t->kind == TASK_PULL && !t->started))
            task_cancel_locked(t);
    }
    task_unref_locked(t);
    job_free(j);
    *job = NULL;
}

/* ---- the whole -------------------------------------------------------------------------------- */

bool distribution_new(struct store *s, const struct distribution_options *options, struct distribution **ret_d,
                      struct err *err)
{
    (void)err;
    struct distribution *d = check_alloc(calloc(1, sizeof *d));
    d->store = s;
    d->options = *options;
    d->refs = 1;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->changed, NULL);
    *ret_d = d;
    return true;
}

static void distribution_pause_locked(struct distribution *d)
{
    d->stopping = true;
    while (d->tasks != NULL)
        task_cancel_locked(d->tasks);
}

void distribution_pause(struct distribution *d)
{
    pthread_mutex_lock(&d->lock);
    distribution_pause_locked(d);
    pthread_mutex_unlock(&d->lock);
}

void distribution_stop(struct distribution **distribution)
{
    struct distribution *d = *distribution;
    if (d == NULL)
        return;
    pthread_mutex_lock(&d->lock);
    distribution_pause_locked(d);
    while (d->running > 0)
        pthread_cond_wait(&d->changed, &d->lock);
    workers_reap_locked(d);
    distribution_unref_locked(d);
    *distribution = NULL;
}
