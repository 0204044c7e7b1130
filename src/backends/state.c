/* backends/state.c: the life of a backend, as rows; and the one function that writes a state. */
#include "backends/backend.h"
#include "base/check.h"
#include "base/log.h"
#include "platform/clock.h"

/* clang-format off */
static const struct backend_row rows[] = {
    /* in               on           becomes           do                  why */
    { BACKEND_ABSENT,   EV_WANTED,   BACKEND_QUEUED,   act_queue,          "a request came first" },
    { BACKEND_QUEUED,   EV_ROOM,     BACKEND_STARTING, act_spawn,          "memory is set aside from here on" },
    { BACKEND_QUEUED,   EV_GIVEN_UP, BACKEND_ABSENT,   act_forget,         "all who waited have gone or were told why not" },
    { BACKEND_QUEUED,   EV_END,      BACKEND_ABSENT,   act_fail_queued,    "the daemon ends" },
    { BACKEND_STARTING, EV_NO_START, BACKEND_ABSENT,   act_no_start,       "no such program, no process" },
    { BACKEND_STARTING, EV_READY,    BACKEND_SERVING,  act_release_all,    "it tells us; no polling" },
    { BACKEND_STARTING, EV_FAILED,   BACKEND_STOPPING, act_fail_and_stop,  "it said why; its end follows" },
    { BACKEND_STARTING, EV_LATE,     BACKEND_STOPPING, act_fail_and_stop,  "it hangs" },
    { BACKEND_STARTING, EV_END,      BACKEND_STOPPING, act_fail_and_stop,  "the daemon ends" },
    { BACKEND_STARTING, EV_EXIT,     BACKEND_ABSENT,   act_crashed,        "with its last stderr lines" },
    { BACKEND_SERVING,  EV_EVICT,    BACKEND_STOPPING, act_stop,           "idle: one in use never leaves" },
    { BACKEND_SERVING,  EV_END,      BACKEND_DRAINING, NULL,               "no new users; those that are may finish" },
    { BACKEND_SERVING,  EV_EXIT,     BACKEND_ABSENT,   act_crashed,        "its users' exchanges break; they ask why" },
    { BACKEND_DRAINING, EV_IDLE,     BACKEND_STOPPING, act_stop,           "nobody is left" },
    { BACKEND_DRAINING, EV_LATE,     BACKEND_STOPPING, act_stop,           "the time of grace is over" },
    { BACKEND_DRAINING, EV_EXIT,     BACKEND_ABSENT,   act_crashed,        "as in SERVING" },
    { BACKEND_STOPPING, EV_EXIT,     BACKEND_ABSENT,   act_gone,           "who waits for the next one goes on waiting" },
};
/* clang-format on */

const struct backend_row *backend_row_find(enum backend_state in, enum backend_event on)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].in == in && rows[i].on == on)
            return &rows[i];
    return NULL;
}

const char *backend_state_name(enum backend_state state)
{
    static const char *const names[BACKEND_STATES] = {"absent",  "queued",   "starting",
                                                      "serving", "draining", "stopping"};
    return names[state];
}

const char *backend_event_name(enum backend_event event)
{
    static const char *const names[BACKEND_EVENTS] = {"wanted", "room",  "given-up", "no-start", "ready", "failed",
                                                      "exit",   "evict", "end",      "idle",     "late"};
    return names[event];
}

void backend_step(struct backends *b, struct backend *be, enum backend_event on)
{
    const struct backend_row *row = backend_row_find(be->state, on);
    CHECK(row != NULL);
    log_debug("backend", "model=%s id=%.19s state=%s on=%s becomes=%s", be->name, be->id, backend_state_name(be->state),
              backend_event_name(on), backend_state_name(row->becomes));
    be->state = row->becomes;
    be->since_ns = clock_now_ns();
    pthread_cond_broadcast(&b->changed);
    if (row->act != NULL)
        row->act(b, be);
}
