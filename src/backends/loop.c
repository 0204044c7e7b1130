/* backends/loop.c: the backends thread: one wait for all engines, all timers and all callers.
 *
 * A turn: settle what is due (timers, requests, room), then wait for the first of: an engine's
 * line, its stderr, its end, a caller's byte in the wake pipe, the next deadline. Only this thread
 * steps a state, so nothing changes under its feet but users, waiters and settings.
 */
#include "backends/backend.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/socket.h"
#include "json/json_read.h"

#include <string.h>

enum watch { WATCH_CHANNEL, WATCH_STDERR, WATCH_PROCESS };

struct turn {
    struct socket_wait waits[1 + 3 * LIMIT_BACKENDS];
    struct {
        struct backend *be;
        enum watch what;
    } of[1 + 3 * LIMIT_BACKENDS];
    size_t n;
    int64_t deadline_ns;
};

static int64_t min_ns(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- what is due ---------------------------------------------------------------------------- */

static void settle_absent(struct backends *b, struct backend *be, int64_t now)
{
    (void)now;
    if (b->ending)
        backend_fail_ending(be);
    if (be->planned && be->waiters != NULL) {
        backend_step(b, be, EV_WANTED);
    } else if (be->planned) {
        fit_plan_done(&be->plan);
        be->planned = false;
    }
}

/* Those whose time to wait for room is over are told so; room itself is fit_place's. */
static void settle_queued(struct backends *b, struct backend *be, int64_t now)
{
    struct waiter **at = &be->waiters;
    bool fresh = be->since_ns >= now; /* fit_place has not seen it yet */
    while (*at != NULL) {
        struct waiter *w = *at;
        if (fresh || now < w->deadline_ns) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        b->refusals++;
        fit_explain(b, be, b->options.wait_ns, &w->err);
        w->done = true;
        socket_wake(w->wake_fd);
    }
    if (b->ending)
        backend_step(b, be, EV_END);
}

static void settle_starting(struct backends *b, struct backend *be, int64_t now)
{
    if (b->ending) {
        backend_step(b, be, EV_END);
    } else if (now - be->since_ns >= b->options.load_ns) {
        err_set(&be->reason, ERR_ENGINE, "cannot load %s: the engine was not ready after %lld s; its log may say more",
                be->name, (long long)(b->options.load_ns / CLOCK_SECOND));
        backend_step(b, be, EV_LATE);
    }
}

static void settle_serving(struct backends *b, struct backend *be, int64_t now)
{
    if (b->ending)
        backend_step(b, be, EV_END);
    else if (be->users == 0 && (be->unload || be->engine_settings != be->settings || backend_leave_ns(b, be) <= now))
        backend_step(b, be, EV_EVICT);
    if (be->unload) {
        be->unload = false; /* done, or somebody was faster */
        pthread_cond_broadcast(&b->changed);
    }
}

/* When a DRAINING one must begin to stop, so that it has ended, one way or the other, at end_ns. */
static int64_t drain_end_ns(const struct backends *b) { return b->end_ns - 2 * b->options.stop_ns; }

static void settle_draining(struct backends *b, struct backend *be, int64_t now)
{
    if (be->users == 0)
        backend_step(b, be, EV_IDLE);
    else if (drain_end_ns(b) <= now)
        backend_step(b, be, EV_LATE);
}

static void settle_stopping(struct backends *b, struct backend *be, int64_t now)
{
    if (b->ending)
        backend_fail_ending(be); /* who waits for the next engine: there is none */
    if (b->ending && be->engine->kill_ns != CLOCK_FOREVER)
        be->engine->kill_ns = min_ns(be->engine->kill_ns, b->end_ns);
    engine_signal_due(be, now);
}

/* A step may lead to a state in which something is due as well. */
static void settle(struct backends *b, struct backend *be, int64_t now)
{
    static void (*const due[BACKEND_STATES])(struct backends * b, struct backend * be, int64_t now) = {
        [BACKEND_ABSENT] = settle_absent,   [BACKEND_QUEUED] = settle_queued,     [BACKEND_STARTING] = settle_starting,
        [BACKEND_SERVING] = settle_serving, [BACKEND_DRAINING] = settle_draining, [BACKEND_STOPPING] = settle_stopping,
    };
    enum backend_state before;
    do {
        before = be->state;
        due[before](b, be, now);
    } while (be->state != before);
}

static int64_t backend_deadline_ns(const struct backends *b, const struct backend *be)
{
    int64_t due = CLOCK_FOREVER;
    switch (be->state) {
    case BACKEND_QUEUED:
        for (const struct waiter *w = be->waiters; w != NULL; w = w->next)
            due = min_ns(due, w->deadline_ns);
        break;
    case BACKEND_STARTING:
        due = be->since_ns + b->options.load_ns;
        break;
    case BACKEND_SERVING:
        due = be->users == 0 ? backend_leave_ns(b, be) : CLOCK_FOREVER;
        break;
    case BACKEND_DRAINING:
        due = drain_end_ns(b);
        break;
    case BACKEND_STOPPING:
        due = min_ns(be->engine->term_ns, be->engine->kill_ns);
        break;
    case BACKEND_ABSENT:
    case BACKEND_STATES:
        break;
    }
    return due;
}

/* ---- what came ------------------------------------------------------------------------------ */

/* What is there of its stderr, without waiting. */
static void read_stderr(struct engine *e)
{
    char data[4096];
    size_t n = 0;
    for (bool first = true; e->stderr_fd >= 0; first = false) {
        bool ok = file_read_some(e->stderr_fd, data, sizeof data, "an engine's stderr", &n, NULL);
        if (ok && n > 0)
            words_add(&e->words, data, n);
        else if (ok || first) /* the first read follows a readable descriptor, so it fails only for good */
            file_close(&e->stderr_fd);
        else
            return;
    }
}

/* True: the line is whole, in e->line without its LF. Too long a line is cut: it is an error anyway. */
static bool read_channel(struct engine *e)
{
    size_t n = 0;
    if (!file_read_some(e->channel_fd, e->line + e->line_len, sizeof e->line - 1 - e->line_len, "an engine", &n,
                        NULL) ||
        n == 0)
        e->channel_eof = true;
    e->line_len += n;
    e->line[e->line_len] = '\0';
    char *end = memchr(e->line, '\n', e->line_len);
    if (end != NULL)
        *end = '\0';
    return end != NULL || e->line_len + 1 == sizeof e->line;
}

static void take_ready(struct backends *b, struct backend *be, const char *json)
{
    _cleanup_(json_free) json_t *root = NULL;
    int64_t bytes = 0;
    if (json_parse(json, strlen(json), &root, NULL) &&
        json_get_int(root, "", "memory_bytes", 0, INT64_MAX, &bytes, NULL) && bytes > 0)
        be->memory_bytes = (uint64_t)bytes;
    int64_t took = clock_now_ns() - be->since_ns;
    be->load_ns_total += took;
    log_info("loaded the model", "model=%s ms=%lld memory_bytes=%llu", be->name, (long long)(took / CLOCK_MS),
             (unsigned long long)be->memory_bytes);
    backend_step(b, be, EV_READY);
}

static void take_failed(struct backends *b, struct backend *be, const char *json)
{
    _cleanup_(json_free) json_t *root = NULL;
    const char *message = json;
    if (json_parse(json, strlen(json), &root, NULL))
        json_get_string(root, "", "message", &message, NULL);
    err_set(&be->reason, ERR_ENGINE, "cannot load %s: %s", be->name, message);
    backend_step(b, be, EV_FAILED);
}

static void take_line(struct backends *b, struct backend *be)
{
    const char *line = be->engine->line;
    if (be->state != BACKEND_STARTING)
        return; /* it was told to stop meanwhile */
    if (text_starts(line, ENGINE_WORD_READY)) {
        take_ready(b, be, line + strlen(ENGINE_WORD_READY));
    } else if (text_starts(line, ENGINE_WORD_FAILED)) {
        take_failed(b, be, line + strlen(ENGINE_WORD_FAILED));
    } else {
        err_set(&be->reason, ERR_ENGINE, "cannot load %s: %s is not a tug-engine, it said: %.200s", be->name,
                b->options.engine_path, line);
        backend_step(b, be, EV_FAILED);
    }
}

static void take_exit(struct backends *b, struct backend *be, int status)
{
    char how[128], words[ERR_TEXT_MAX / 2];
    engine_status_text(status, how, sizeof how);
    words_last(&be->engine->words, words, sizeof words);
    /* What it was stopped for is the reason; how it went then is of no interest. */
    if (be->state != BACKEND_STOPPING)
        err_set(&be->reason, ERR_ENGINE, "the engine for %s died%s (%s)%s%s", be->name,
                be->state == BACKEND_STARTING ? " while loading" : "", how, words[0] == '\0' ? "" : ": ", words);
    backend_step(b, be, EV_EXIT);
}

static void take(struct backends *b, struct backend *be, enum watch what)
{
    struct engine *e = be->engine;
    int status;
    if (what == WATCH_STDERR) {
        read_stderr(e);
    } else if (what == WATCH_CHANNEL) {
        if (read_channel(e)) {
            e->channel_eof = true; /* one line is all that it says */
            pthread_mutex_lock(&b->lock);
            take_line(b, be);
            pthread_mutex_unlock(&b->lock);
        }
    } else if (process_wait(&e->process, 0, &status)) {
        read_stderr(e);
        pthread_mutex_lock(&b->lock);
        take_exit(b, be, status);
        pthread_mutex_unlock(&b->lock);
    }
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void turn_watch(struct turn *t, struct backend *be, int fd, enum watch what)
{
    CHECK(t->n < ARRAY_LEN(t->waits));
    t->waits[t->n] = (struct socket_wait){.fd = fd, .want = SOCKET_READABLE};
    t->of[t->n].be = be;
    t->of[t->n].what = what;
    t->n++;
}

/* Lock held. False: the daemon ends, no engine is left and no caller waits. */
static bool turn_prepare(struct backends *b, struct turn *t)
{
    int64_t now = clock_now_ns();
    bool engines = false;
    for (size_t i = 0; i < b->n_known; i++)
        settle(b, b->known[i], now);
    fit_place(b);
    t->n = 1;
    t->waits[0] = (struct socket_wait){.fd = b->wake[0], .want = SOCKET_READABLE};
    t->deadline_ns = CLOCK_FOREVER;
    for (size_t i = 0; i < b->n_known; i++) {
        struct backend *be = b->known[i];
        t->deadline_ns = min_ns(t->deadline_ns, backend_deadline_ns(b, be));
        if (be->engine == NULL)
            continue;
        engines = true;
        /* The line before the end: "failed" says more than "exit code 1". */
        if (!be->engine->channel_eof)
            turn_watch(t, be, be->engine->channel_fd, WATCH_CHANNEL);
        if (be->engine->stderr_fd >= 0)
            turn_watch(t, be, be->engine->stderr_fd, WATCH_STDERR);
        turn_watch(t, be, be->engine->process.pidfd, WATCH_PROCESS);
    }
    return engines || b->callers > 0 || !b->ending;
}

void *backends_main(void *backends)
{
    struct backends *b = backends;
    struct turn *t = check_alloc(calloc(1, sizeof *t));
    for (;;) {
        pthread_mutex_lock(&b->lock);
        bool more = turn_prepare(b, t);
        if (!more) {
            b->ended = true;
            pthread_cond_broadcast(&b->changed);
        }
        pthread_mutex_unlock(&b->lock);
        if (!more)
            break;
        socket_wait(t->waits, t->n, t->deadline_ns);
        if (t->waits[0].got != 0)
            socket_drain(b->wake[0]);
        for (size_t i = 1; i < t->n; i++)
            if (t->waits[i].got != 0)
                take(b, t->of[i].be, t->of[i].what);
    }
    free(t);
    return NULL;
}
