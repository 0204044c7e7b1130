/* backends/act.c: what the rows of the table do. The backends thread calls, the lock is held. */
#include "backends/backend.h"
#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/socket.h"

#include <string.h>

enum { CRASHES_FREE = 3 }; /* so many within CRASH_WINDOW_NS, and the next start has to wait */
#define CRASH_WINDOW_NS (60 * CLOCK_SECOND)
#define BACKOFF_MAX_NS  (60 * CLOCK_SECOND)

bool backend_holds_memory(const struct backend *be)
{
    return be->state != BACKEND_ABSENT && be->state != BACKEND_QUEUED;
}

int64_t backend_keep_alive_ns(const struct backends *b, const struct backend *be)
{
    return be->keep_alive_set ? be->keep_alive_ns : b->options.keep_alive_ns;
}

int64_t backend_leave_ns(const struct backends *b, const struct backend *be)
{
    int64_t keep = backend_keep_alive_ns(b, be);
    if (keep < 0 || keep > CLOCK_FOREVER - be->last_used_ns)
        return CLOCK_FOREVER;
    return be->last_used_ns + keep;
}

void backend_grant(struct backend *be)
{
    be->users++;
    be->holds++;
    be->last_used_ns = clock_now_ns();
    be->last_used_wall_ns = clock_wall_ns();
}

static void waiter_finish(struct waiter *w)
{
    w->done = true;
    socket_wake(w->wake_fd);
}

void backend_fail_waiters(struct backend *be, const struct err *reason)
{
    while (be->waiters != NULL) {
        struct waiter *w = be->waiters;
        be->waiters = w->next;
        w->err = *reason;
        waiter_finish(w);
    }
}

void act_queue(struct backends *b, struct backend *be)
{
    be->ticket = b->next_ticket++;
    store_pin(b->store, be->id);
}

void act_forget(struct backends *b, struct backend *be)
{
    fit_plan_done(&be->plan);
    be->planned = false;
    store_unpin(b->store, be->id);
}

void backend_fail_ending(struct backend *be)
{
    struct err err = ERR_INIT;
    err_set(&err, ERR_UNAVAILABLE, "cannot load %s: the daemon is stopping", be->name);
    backend_fail_waiters(be, &err);
}

void act_fail_queued(struct backends *b, struct backend *be)
{
    backend_fail_ending(be);
    act_forget(b, be);
}

void act_spawn(struct backends *b, struct backend *be)
{
    struct err err = ERR_INIT;
    be->generation++;
    be->memory_bytes = be->plan.need_bytes;
    be->engine_settings = be->plan.settings;
    if (be->plan.keep_alive_set && be->plan.settings == be->settings) {
        be->keep_alive_ns = be->plan.keep_alive_ns;
        be->keep_alive_set = true;
    }
    bool ok = engine_spawn(b, be, &err);
    fit_plan_done(&be->plan);
    be->planned = false;
    if (ok) {
        be->starts++;
        log_info("loading the model", "model=%s pid=%d need_bytes=%llu", be->name, (int)be->engine->process.pid,
                 (unsigned long long)be->memory_bytes);
        return;
    }
    be->reason = err;
    backend_step(b, be, EV_NO_START);
}

void act_no_start(struct backends *b, struct backend *be)
{
    log_error("cannot start the engine", "model=%s reason=%s", be->name, be->reason.text);
    backend_fail_waiters(be, &be->reason);
    store_unpin(b->store, be->id);
    be->memory_bytes = 0;
}

void act_release_all(struct backends *b, struct backend *be)
{
    (void)b;
    int64_t now = clock_now_ns();
    be->users = 0;
    be->last_used_ns = now;
    be->last_used_wall_ns = clock_wall_ns();
    while (be->waiters != NULL) {
        struct waiter *w = be->waiters;
        be->waiters = w->next;
        w->granted = true;
        backend_grant(be);
        waiter_finish(w);
    }
}

void act_fail_and_stop(struct backends *b, struct backend *be)
{
    if (b->ending) {
        backend_fail_ending(be);
    } else {
        log_error("the model did not load", "model=%s reason=%s", be->name, be->reason.text);
        backend_fail_waiters(be, &be->reason);
    }
    engine_stop_begin(b, be);
}

void act_stop(struct backends *b, struct backend *be)
{
    log_info("unloading the model", "model=%s idle_ms=%lld", be->name,
             (long long)((clock_now_ns() - be->last_used_ns) / CLOCK_MS));
    engine_stop_begin(b, be);
}

/* The daemon and its log are told how an engine went away; the plan of who waits for the next one stays. */
void act_gone(struct backends *b, struct backend *be)
{
    engine_close(be);
    be->users = 0;
    be->memory_bytes = 0;
    be->unload = false;
    store_unpin(b->store, be->id);
}

static void count_crash(struct backends *b, struct backend *be)
{
    int64_t now = clock_now_ns(), delay = b->options.backoff_ns;
    be->crashes++;
    /* A delay that was served does not count: else a minute of back-off would forget why it is there. */
    int64_t quiet_since = be->retry_ns > be->last_crash_ns ? be->retry_ns : be->last_crash_ns;
    bool again = be->crash_streak > 0 && now - quiet_since < CRASH_WINDOW_NS;
    be->crash_streak = again ? be->crash_streak + 1 : 1;
    be->last_crash_ns = now;
    be->retry_ns = 0;
    if (be->crash_streak < CRASHES_FREE)
        return;
    for (int i = CRASHES_FREE; i < be->crash_streak && delay < BACKOFF_MAX_NS; i++)
        delay *= 2;
    be->retry_ns = now + (delay < BACKOFF_MAX_NS ? delay : BACKOFF_MAX_NS);
}

/* `reason` was written by the loop, from the status and the last words. */
void act_crashed(struct backends *b, struct backend *be)
{
    log_error("an engine died", "model=%s users=%d reason=%s", be->name, be->users, be->reason.text);
    count_crash(b, be);
    be->reason_generation = be->generation;
    backend_fail_waiters(be, &be->reason);
    act_gone(b, be);
}
