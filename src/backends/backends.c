/* backends/backends.c: the calls of backends.h, on their callers' threads. */
#include "backends/backend.h"
#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/socket.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/un.h>

enum { THREAD_STACK_BYTES = 256 * 1024 };
#define EXPLAIN_NS (CLOCK_SECOND / 2) /* a dead process is noticed in less; a living one costs its user this much */

/* ---- making and ending ---------------------------------------------------------------------- */

static int64_t or_default(int64_t value, int64_t otherwise) { return value > 0 ? value : otherwise; }

static char *copy_text(const char *s) { return s == NULL ? NULL : check_alloc(strdup(s)); }

static void backends_free(struct backends *b)
{
    for (size_t i = 0; i < b->n_known; i++) {
        fit_plan_done(&b->known[i]->plan);
        free(b->known[i]);
    }
    free((char *)b->options.engine_path);
    free((char *)b->options.run_dir);
    free((char *)b->options.log_dir);
    file_close(&b->wake[0]);
    file_close(&b->wake[1]);
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->changed);
    free(b);
}

/* Sockets of engines that a daemon left when it was killed. */
static bool remove_stale_socket(void *ctx, const char *name)
{
    struct buf path = BUF_INIT(4096);
    if (text_starts(name, "m-") && text_ends(name, ".sock") && buf_printf(&path, "%s/%s", (const char *)ctx, name))
        file_remove(path.data, NULL);
    buf_done(&path);
    return true;
}

static bool prepare_folders(const struct backends_options *o, struct err *err)
{
    size_t most = sizeof((struct sockaddr_un *)0)->sun_path - sizeof "/m-0123456789ab-18446744073709551615.sock";
    if (strlen(o->run_dir) > most)
        return err_set(err, ERR_INVALID,
                       "the folder %s is too long for sockets: %zu bytes, at most %zu; set TUG_HOME to a shorter one",
                       o->run_dir, strlen(o->run_dir), most);
    return file_mkdirs(o->run_dir, 0700, err) && (o->log_dir == NULL || file_mkdirs(o->log_dir, 0700, err)) &&
           file_list(o->run_dir, remove_stale_socket, (void *)o->run_dir, err);
}

static struct backends *backends_alloc(struct store *s, const struct backends_options *o)
{
    struct backends *b = check_alloc(calloc(1, sizeof *b));
    b->store = s;
    b->options = *o;
    b->options.engine_path = copy_text(o->engine_path);
    b->options.run_dir = copy_text(o->run_dir);
    b->options.log_dir = copy_text(o->log_dir);
    b->options.load_ns = or_default(o->load_ns, 600 * CLOCK_SECOND);
    b->options.stop_ns = or_default(o->stop_ns, 3 * CLOCK_SECOND);
    b->options.backoff_ns = or_default(o->backoff_ns, 5 * CLOCK_SECOND);
    b->budget_bytes = o->memory_bytes != 0 ? o->memory_bytes : fit_default_budget();
    b->wake[0] = b->wake[1] = -1;
    b->next_ticket = 1;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    CHECK(pthread_mutex_init(&b->lock, NULL) == 0 && pthread_cond_init(&b->changed, &attr) == 0);
    pthread_condattr_destroy(&attr);
    return b;
}

bool backends_new(struct store *s, const struct backends_options *options, struct backends **ret_b, struct err *err)
{
    if (!prepare_folders(options, err))
        return false;
    struct backends *b = backends_alloc(s, options);
    if (!socket_pipe(b->wake, err) ||
        !process_thread("backends", backends_main, b, THREAD_STACK_BYTES, 0, &b->thread, err)) {
        backends_free(b);
        return false;
    }
    *ret_b = b;
    return true;
}

/* False: the deadline. Lock held. */
static bool changed_wait(struct backends *b, int64_t deadline_ns)
{
    if (deadline_ns == CLOCK_FOREVER)
        return pthread_cond_wait(&b->changed, &b->lock) == 0;
    struct timespec at = {.tv_sec = deadline_ns / CLOCK_SECOND, .tv_nsec = deadline_ns % CLOCK_SECOND};
    return pthread_cond_timedwait(&b->changed, &b->lock, &at) != ETIMEDOUT;
}

static int holds_of_all(const struct backends *b)
{
    int holds = b->callers;
    for (size_t i = 0; i < b->n_known; i++)
        holds += b->known[i]->holds;
    return holds;
}

void backends_stop(struct backends **pb, int64_t deadline_ns)
{
    struct backends *b = *pb;
    if (b == NULL)
        return;
    *pb = NULL;
    pthread_mutex_lock(&b->lock);
    b->ending = true;
    b->end_ns = deadline_ns;
    socket_wake(b->wake[1]);
    while (!b->ended)
        changed_wait(b, CLOCK_FOREVER);
    while (holds_of_all(b) > 0 && changed_wait(b, deadline_ns)) {
    }
    int holds = holds_of_all(b);
    pthread_mutex_unlock(&b->lock);
    pthread_join(b->thread, NULL);
    if (holds > 0)
        log_warn("requests still hold engines at the end", "count=%d", holds); /* what they point to must stay */
    else
        backends_free(b);
}

/* For threads inside a call that waits. Lock held. */
void caller_leave(struct backends *b)
{
    b->callers--;
    if (!b->ending)
        return;
    pthread_cond_broadcast(&b->changed);
    socket_wake(b->wake[1]);
}

/* ---- one backend ---------------------------------------------------------------------------- */

static bool forgettable(const struct backend *be)
{
    return be->state == BACKEND_ABSENT && be->holds == 0 && be->waiters == NULL && !be->planning && !be->planned &&
           !be->keep_alive_set;
}

/* Room for one more: the one unused for longest is forgotten, with its crashes. */
static struct backend *backend_recycle(struct backends *b)
{
    struct backend *best = NULL;
    for (size_t i = 0; i < b->n_known; i++)
        if (forgettable(b->known[i]) && (best == NULL || b->known[i]->last_used_ns < best->last_used_ns))
            best = b->known[i];
    return best;
}

struct backend *backend_find(struct backends *b, const char *id)
{
    for (size_t i = 0; i < b->n_known; i++)
        if (strcmp(b->known[i]->id, id) == 0)
            return b->known[i];
    return NULL;
}

struct backend *backend_find_or_add(struct backends *b, const char *id)
{
    struct backend *be = backend_find(b, id);
    if (be != NULL)
        return be;
    if (b->n_known < LIMIT_BACKENDS_KNOWN)
        be = b->known[b->n_known++] = check_alloc(malloc(sizeof *be));
    else
        be = backend_recycle(b);
    if (be == NULL)
        return NULL;
    *be = (struct backend){0};
    text_format(be->id, sizeof be->id, "%s", id);
    text_format(be->name, sizeof be->name, "%.19s", id);
    return be;
}

static void use_fill(const struct backend *be, struct backend_use *ret_use)
{
    struct backend_use use = {.backend = (struct backend *)be, .generation = be->generation};
    memcpy(use.socket, be->socket, sizeof use.socket);
    memcpy(use.id, be->id, sizeof use.id);
    *ret_use = use;
}

/* ---- using ---------------------------------------------------------------------------------- */

/* False, with the reason: not now. */
static bool may_start(struct backends *b, const struct backend *be, struct err *err)
{
    int64_t left = be->retry_ns - clock_now_ns();
    if (b->ending)
        return err_set(err, ERR_UNAVAILABLE, "cannot load %s: the daemon is stopping", be->name);
    if (be->state == BACKEND_ABSENT && left > 0)
        return err_set(err, ERR_ENGINE,
                       "%s crashed %d times in a row; Tug starts it again in %" PRId64
                       " s at the earliest. The last time: %s",
                       be->name, be->crash_streak, left / CLOCK_SECOND + 1, be->reason.text);
    return true;
}

/* An idle engine with settings that are no longer the model's leaves before it takes anybody. */
static bool backend_takes(const struct backend *be)
{
    return be->state == BACKEND_SERVING && (be->users > 0 || be->engine_settings == be->settings);
}

static void waiter_add(struct backend *be, struct waiter *w)
{
    struct waiter **at = &be->waiters;
    while (*at != NULL)
        at = &(*at)->next;
    *at = w;
}

static void waiter_remove(struct waiter *w)
{
    for (struct waiter **at = &w->backend->waiters; *at != NULL; at = &(*at)->next) {
        if (*at == w) {
            *at = w->next;
            return;
        }
    }
}

/* One caller makes the plan, outside the lock, since that reads files; all others just wait. */
static void plan_make(struct backends *b, struct backend *be, const struct model *m, const char *as)
{
    struct backend_plan plan = {0};
    struct err err = ERR_INIT;
    pthread_mutex_lock(&b->lock);
    uint64_t settings = be->settings; /* before they are read: a change meanwhile counts as one */
    pthread_mutex_unlock(&b->lock);
    bool ok = fit_plan(b, m, as, &plan, &err);
    plan.settings = settings;
    pthread_mutex_lock(&b->lock);
    be->planning = false;
    if (ok) {
        fit_plan_done(&be->plan);
        be->plan = plan;
        be->planned = true;
    } else {
        backend_fail_waiters(be, &err);
    }
    socket_wake(b->wake[1]);
    pthread_mutex_unlock(&b->lock);
}

/* Waits outside the lock until the waiter is done or its client has gone. Lock held at both ends. */
static bool waiter_wait(struct backends *b, struct waiter *w, int wait_fd, int cancel_fd)
{
    while (!w->done) {
        pthread_mutex_unlock(&b->lock);
        struct socket_wait waits[] = {{.fd = wait_fd, .want = SOCKET_READABLE},
                                      {.fd = cancel_fd, .want = SOCKET_CLOSED}};
        socket_wait(waits, ARRAY_LEN(waits), CLOCK_FOREVER);
        pthread_mutex_lock(&b->lock);
        if (!w->done && waits[1].got != 0) {
            waiter_remove(w);
            socket_wake(b->wake[1]); /* the last one of a queued model gives its place up */
            return false;
        }
    }
    return true;
}

/* Lock held. The state is none in which the backend could be taken at once. */
static bool use_wait(struct backends *b, struct backend *be, const struct model *m, const char *as, int cancel_fd,
                     struct err *err)
{
    int wake[2];
    if (!socket_pipe(wake, err))
        return false;
    struct waiter w = {.backend = be, .wake_fd = wake[1], .deadline_ns = clock_after_ns(b->options.wait_ns)};
    waiter_add(be, &w);
    bool plan = (be->state == BACKEND_ABSENT || be->state == BACKEND_STOPPING || be->state == BACKEND_SERVING) &&
                !be->planning && !be->planned;
    if (plan) {
        be->planning = true;
        store_pin(b->store, m->id); /* so that what is planned stays, until the backend has a pin of its own */
        pthread_mutex_unlock(&b->lock);
        plan_make(b, be, m, as);
        pthread_mutex_lock(&b->lock);
    }
    bool here = waiter_wait(b, &w, wake[0], cancel_fd);
    file_close(&wake[0]);
    file_close(&wake[1]);
    if (plan)
        store_unpin(b->store, m->id);
    if (!here)
        return err_set(err, ERR_CANCELLED, "the client went away while %s was loading", as);
    if (!w.granted && err != NULL)
        *err = w.err;
    return w.granted;
}

static void backend_name(struct backend *be, const char *as, enum backend_mode mode)
{
    if (be->state != BACKEND_ABSENT || be->waiters != NULL)
        return; /* the first request of a load names it */
    text_format(be->name, sizeof be->name, "%s", as);
    be->mode = mode;
}

bool backends_use(struct backends *b, const struct model *m, const char *as, enum backend_mode mode, int cancel_fd,
                  struct backend_use *ret_use, struct err *err)
{
    pthread_mutex_lock(&b->lock);
    struct backend *be = backend_find_or_add(b, m->id);
    if (be == NULL) {
        pthread_mutex_unlock(&b->lock);
        return err_set(err, ERR_UNAVAILABLE, "more than %d models are in use or configured", LIMIT_BACKENDS_KNOWN);
    }
    backend_name(be, as, mode);
    b->callers++;
    bool ok = may_start(b, be, err);
    if (ok && backend_takes(be))
        backend_grant(be);
    else if (ok)
        ok = use_wait(b, be, m, as, cancel_fd, err);
    if (ok)
        use_fill(be, ret_use);
    caller_leave(b);
    pthread_mutex_unlock(&b->lock);
    return ok;
}

bool backends_use_loaded(struct backends *b, const char *id, struct backend_use *ret_use)
{
    pthread_mutex_lock(&b->lock);
    struct backend *be = backend_find(b, id);
    bool ok = !b->ending && be != NULL && backend_takes(be);
    if (ok) {
        backend_grant(be);
        use_fill(be, ret_use);
    }
    pthread_mutex_unlock(&b->lock);
    return ok;
}

void backends_release(struct backends *b, struct backend_use *use)
{
    struct backend *be = use->backend;
    if (be == NULL)
        return;
    use->backend = NULL;
    pthread_mutex_lock(&b->lock);
    be->holds--;
    if (use->generation == be->generation && be->users > 0) {
        be->users--;
        be->last_used_ns = clock_now_ns();
        be->last_used_wall_ns = clock_wall_ns();
        if (be->users == 0)
            socket_wake(b->wake[1]); /* its time to leave begins; who waits for room may get it */
    }
    if (b->ending)
        pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

bool backends_explain(struct backends *b, const struct backend_use *use, struct err *err)
{
    struct backend *be = use->backend;
    int64_t deadline = clock_now_ns() + EXPLAIN_NS;
    pthread_mutex_lock(&b->lock);
    b->callers++;
    while (be->generation == use->generation && be->engine != NULL && changed_wait(b, deadline)) {
    }
    bool died = be->reason_generation >= use->generation;
    if (died && err != NULL)
        *err = be->reason;
    caller_leave(b);
    pthread_mutex_unlock(&b->lock);
    return died;
}

/* ---- looking and leaving -------------------------------------------------------------------- */

static void info_fill(const struct backends *b, const struct backend *be, int64_t now, struct backend_info *ret)
{
    static const char *const modes[] = {[BACKEND_COMPLETION] = "completion", [BACKEND_EMBEDDING] = "embedding"};
    struct backend_info info = {.users = be->users,
                                .last_used_wall_ns = be->last_used_wall_ns,
                                .keep_alive_ns = backend_keep_alive_ns(b, be),
                                .keep_alive_set = be->keep_alive_set,
                                .unload_in_ns = -1,
                                .memory_bytes = be->state == BACKEND_QUEUED ? be->plan.need_bytes : be->memory_bytes,
                                .pid = be->pid,
                                .starts = be->starts,
                                .crashes = be->crashes};
    memcpy(info.id, be->id, sizeof info.id);
    memcpy(info.name, be->name, sizeof info.name);
    text_format(info.mode, sizeof info.mode, "%s", modes[be->mode]);
    if (be->state == BACKEND_STOPPING)
        info.state = BACKEND_IS_STOPPING;
    else if (be->state == BACKEND_QUEUED || be->state == BACKEND_STARTING)
        info.state = BACKEND_IS_LOADING;
    else
        info.state = be->users > 0 ? BACKEND_IS_BUSY : BACKEND_IS_IDLE;
    int64_t leave = backend_leave_ns(b, be);
    if (leave != CLOCK_FOREVER)
        info.unload_in_ns = leave > now ? leave - now : 0;
    *ret = info;
}

size_t backends_list(struct backends *b, struct arena *a, struct backend_info **ret)
{
    int64_t now = clock_now_ns();
    size_t n = 0;
    pthread_mutex_lock(&b->lock);
    struct backend_info *infos = arena_array(a, b->n_known + 1, sizeof *infos);
    for (size_t i = 0; i < b->n_known; i++)
        if (b->known[i]->state != BACKEND_ABSENT)
            info_fill(b, b->known[i], now, &infos[n++]);
    pthread_mutex_unlock(&b->lock);
    *ret = infos;
    return n;
}

/* Still the same engine, asked to leave or leaving. */
static bool is_leaving(const struct backend *be, uint64_t generation)
{
    return be->generation == generation &&
           (be->state == BACKEND_STOPPING || (be->state == BACKEND_SERVING && be->unload));
}

size_t backends_unload(struct backends *b, const char *id)
{
    struct {
        struct backend *be;
        uint64_t generation;
    } leaving[LIMIT_BACKENDS];
    size_t n = 0, gone = 0;
    pthread_mutex_lock(&b->lock);
    b->callers++;
    for (size_t i = 0; i < b->n_known && n < LIMIT_BACKENDS; i++) {
        struct backend *be = b->known[i];
        if (be->state != BACKEND_SERVING || be->users > 0 || (id != NULL && strcmp(be->id, id) != 0))
            continue;
        be->unload = true;
        leaving[n].be = be;
        leaving[n].generation = be->generation;
        n++;
    }
    socket_wake(b->wake[1]);
    for (size_t i = 0; i < n; i++) {
        while (is_leaving(leaving[i].be, leaving[i].generation) && changed_wait(b, CLOCK_FOREVER)) {
        }
        /* Not counted: one that a request took before the thread saw the order. */
        gone += leaving[i].be->generation != leaving[i].generation || leaving[i].be->engine == NULL;
    }
    caller_leave(b);
    pthread_mutex_unlock(&b->lock);
    return gone;
}

void backends_set_keep_alive(struct backends *b, const char *id, int64_t ns)
{
    pthread_mutex_lock(&b->lock);
    struct backend *be = backend_find_or_add(b, id);
    if (be != NULL) {
        be->keep_alive_ns = ns;
        be->keep_alive_set = true;
    }
    socket_wake(b->wake[1]);
    pthread_mutex_unlock(&b->lock);
}
