/* backends/backend: what the files of this folder share: one backend, the set of them, the table.
 *
 * Private: others include backends.h.
 *
 *   backends.c   the calls of backends.h         state.c   the table, and the one writer of `state`
 *   loop.c       the thread: waits, timers       act.c     what the table's rows do
 *   spawn.c      starting and ending a process   words.c   its stderr: a ring and a log file
 *   fit.c        memory: plans, room, who leaves metrics.c, metrics_merge.c   Prometheus text
 *   configure.c  settings that change, preloads  model_settings.c, flags.c    what they mean
 *
 * What is in struct engine belongs to the backends thread; all else is under backends.lock. Under the
 * lock nobody waits for anything but a process being started; files and upstreams are read outside.
 */
#ifndef TUG_BACKENDS_BACKEND_H
#define TUG_BACKENDS_BACKEND_H

#include "backends/backends.h"
#include "base/limits.h"
#include "engine/engine_protocol.h"
#include "platform/process.h"

#include <pthread.h>

/* Named for what the backend waits for. */
enum backend_state {
    BACKEND_ABSENT,   /* somebody to want it */
    BACKEND_QUEUED,   /* room in memory */
    BACKEND_STARTING, /* the engine to say "ready" */
    BACKEND_SERVING,  /* requests */
    BACKEND_DRAINING, /* its users to go: the daemon is ending */
    BACKEND_STOPPING, /* the process to end */
    BACKEND_STATES
};

enum backend_event {
    EV_WANTED,   /* a request waits for it, and its plan is made */
    EV_ROOM,     /* memory and a slot are there */
    EV_GIVEN_UP, /* nobody waits any more */
    EV_NO_START, /* the program could not be started */
    EV_READY,    /* the engine's line */
    EV_FAILED,   /* likewise */
    EV_EXIT,     /* the process has ended */
    EV_EVICT,    /* it is idle, and must leave: room, keep-alive, unload */
    EV_END,      /* the daemon ends */
    EV_IDLE,     /* its last user has gone */
    EV_LATE,     /* the time for what it waits for is over */
    BACKEND_EVENTS
};

/* How to start the engine, and what it will need; made by the first caller, used up by the start. */
struct backend_plan {
    char *model, *mmproj, *chat_template; /* paths; NULL: none */
    int64_t context;                      /* tokens for all sequences; 0: the engine decides */
    char **args;                          /* more for tug-engine, of the model's settings */
    size_t n_args;
    bool keep_alive_set; /* likewise */
    int64_t keep_alive_ns;
    uint64_t settings; /* backend.settings when they were read */
    uint64_t weights_bytes, kv_bytes, rest_bytes, need_bytes;
};

/* words.c: the end of an engine's stderr. */
struct words {
    char ring[LIMIT_ENGINE_WORDS_BYTES];
    size_t total; /* bytes ever added */
    int log_fd;   /* -1: our stderr */
    uint64_t log_bytes;
    char *log_path;
};

/* The process of a backend that is STARTING, SERVING, DRAINING or STOPPING. Written by the backends thread alone. */
struct engine {
    struct process process;
    int channel_fd, stderr_fd; /* our ends */
    bool channel_eof;
    char line[ENGINE_LINE_MAX]; /* what came of its one line */
    size_t line_len;
    struct words words;
    int64_t term_ns, kill_ns; /* when these signals are due; CLOCK_FOREVER: not */
};

/* A caller that waits; lives on its stack. Linked in its backend until done. */
struct waiter {
    struct waiter *next;
    struct backend *backend;
    int wake_fd;         /* gets a byte when done */
    int64_t deadline_ns; /* for room only */
    bool done, granted;
    struct err err;
};

struct backend {
    /* who */
    char id[DIGEST_TEXT];
    char name[LIMIT_REFERENCE_BYTES]; /* as the first request of this load named it */
    enum backend_mode mode;

    /* where it is */
    enum backend_state state;
    int64_t since_ns;    /* of the state */
    uint64_t ticket;     /* place in the queue for room */
    uint64_t generation; /* counts engines; a use of an older one is of a dead one */
    struct backend_plan plan;
    bool planned, planning;
    struct waiter *waiters;
    bool unload;              /* asked for by name */
    uint64_t settings;        /* counts the changes of the model's settings */
    uint64_t engine_settings; /* those that the engine was started with: another number, and it leaves when idle */

    /* who uses it */
    int users; /* of this generation */
    int holds; /* backend_use not yet released, of any generation */
    int64_t last_used_ns, last_used_wall_ns;
    int64_t keep_alive_ns;
    bool keep_alive_set;

    /* its process */
    struct engine *engine; /* NULL: none */
    pid_t pid;             /* 0: none */
    char socket[108];

    /* what is known of it */
    uint64_t memory_bytes; /* predicted, then as the engine says */
    uint64_t starts, crashes;
    int64_t load_ns_total;
    struct err reason;          /* why the waiters fail, or what the last engine died of */
    uint64_t reason_generation; /* of the engine that `reason` is about */
    int crash_streak;
    int64_t last_crash_ns, retry_ns; /* not before */
};

struct backends {
    struct store *store;
    struct backends_options options; /* strings are our own */
    uint64_t budget_bytes;
    int wake[2];
    pthread_t thread;

    pthread_mutex_t lock;   /* all below, and the backends but for what is in their engines */
    pthread_cond_t changed; /* a state was written, a caller left, a use was released */
    struct backend *known[LIMIT_BACKENDS_KNOWN];
    size_t n_known;
    uint64_t next_ticket;
    bool ending, ended;
    int64_t end_ns; /* every engine is dead by then */
    int callers;    /* threads inside a call that waits */
    int preloads;   /* those of them that nobody waits for */
    uint64_t evictions, refusals;
};

/* ---- state.c */
typedef void backend_act(struct backends *b, struct backend *be);
struct backend_row {
    enum backend_state in;
    enum backend_event on;
    enum backend_state becomes;
    backend_act *act; /* NULL: nothing more */
    const char *why;
};
const struct backend_row *backend_row_find(enum backend_state in, enum backend_event on); /* NULL: cannot happen */
const char *backend_state_name(enum backend_state state);
const char *backend_event_name(enum backend_event event);
/* The only writer of `state`. Backends thread, lock held. CHECKs that the row exists. */
void backend_step(struct backends *b, struct backend *be, enum backend_event on);

/* ---- act.c: backends thread, lock held */
backend_act act_queue, act_forget, act_spawn, act_release_all, act_fail_and_stop, act_stop, act_crashed, act_gone,
    act_no_start, act_fail_queued;
/* Hands the running engine to a user. */
void backend_grant(struct backend *be);
void backend_fail_waiters(struct backend *be, const struct err *reason);
void backend_fail_ending(struct backend *be); /* because the daemon stops */
int64_t backend_keep_alive_ns(const struct backends *b, const struct backend *be);
/* When an idle SERVING backend is due to leave; CLOCK_FOREVER: never. */
int64_t backend_leave_ns(const struct backends *b, const struct backend *be);
/* A process of ours lives, or memory is set aside for one. */
bool backend_holds_memory(const struct backend *be);

/* ---- spawn.c: backends thread, lock held */
bool engine_spawn(struct backends *b, struct backend *be, struct err *err);
void engine_stop_begin(struct backends *b, struct backend *be); /* "stop", and the times of the signals */
void engine_signal_due(struct backend *be, int64_t now);        /* sends what is due */
void engine_close(struct backend *be);                          /* after its end: descriptors, socket file, memory */
/* "signal 11 (a bad memory access)", "exit code 3" */
void engine_status_text(int status, char *dst, size_t size);

/* ---- fit.c */
/* Any thread, no lock: reads the store and the GGUF header. */
bool fit_plan(struct backends *b, const struct model *m, const char *as, struct backend_plan *ret_plan,
              struct err *err);
void fit_plan_done(struct backend_plan *plan);
uint64_t fit_default_budget(void);
/* Backends thread, lock held: starts what fits, in order, and sends idle ones away for the first that does not. */
void fit_place(struct backends *b);
/* Why a request that waited for room so long gets none. */
void fit_explain(struct backends *b, const struct backend *be, int64_t waited_ns, struct err *err);

/* ---- words.c: backends thread */
void words_begin(struct words *w, const char *log_dir, const char *id, const char *name);
void words_add(struct words *w, const char *data, size_t n);
/* The last whole lines that fit, oldest first, joined by " | ", without the engine's own infos; "" when none is left.
 */
void words_last(const struct words *w, char *dst, size_t size);
void words_end(struct words *w);

/* ---- backends.c: lock held */
struct backend *backend_find(struct backends *b, const char *id);
/* NULL: too many are known and in use. */
struct backend *backend_find_or_add(struct backends *b, const char *id);
void caller_leave(struct backends *b); /* ends a thread's stay in a call that waits: b->callers */

/* ---- loop.c */
void *backends_main(void *backends);

/* ---- metrics_merge.c */
struct metrics_merge;
struct metrics_merge *metrics_merge_new(void);
/* Adds one engine's text; each sample gets label model="…". What is not Prometheus text is left out. */
void metrics_merge_add(struct metrics_merge *mm, const char *text, const char *model);
bool metrics_merge_write(const struct metrics_merge *mm, struct buf *out); /* one group a metric */
void metrics_merge_free(struct metrics_merge **mm);
/* In quotes; backslash, quote and line end are escaped. */
bool metrics_label_value(struct buf *out, const char *s);

#endif
