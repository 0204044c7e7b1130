/* backends: the models that are in memory: who is loaded, who may stay, who leaves.
 *
 *   backends_new(store, &options, &b, err)
 *   backends_use(b, model, mode, cancel_fd, &use, err)      loads it if need be; waits; in use until released
 *   http_call to use.socket …
 *   backends_release(b, &use)
 *
 * Owner of every engine process and of the state machine ABSENT → QUEUED → STARTING → SERVING →
 * DRAINING → STOPPING (a table in backends/state.c; one function writes a state). Readiness is a line
 * on the engine's socketpair: "ready {json}" or "failed {json}", or the end of the process with its
 * last stderr lines; nobody polls. The socketpair closing is the engine's order to exit, so a daemon
 * that dies leaves no engine behind. One model has one engine, whatever modes it is asked for.
 *
 * Memory: an engine's need is predicted from the GGUF header (gguf_needs) and replaced by what it
 * reports when ready. No room: the idle backend that was used longest ago leaves (those kept alive
 * for ever last); one in use never does; if all are in use the request waits (options.wait_ns) and
 * then gets ERR_UNAVAILABLE with the models that hold the memory. What can never fit is ERR_ENGINE
 * at once, with both numbers. While loaded, the model is pinned in the store.
 *
 * Crashes: the third within a minute makes the next requests fail at once for options.backoff_ns,
 * doubled by each further one, up to a minute.
 *
 * Threads: any may call. One `backends` thread writes all states and waits for the engines; callers
 * queue under one lock, which is never held while somebody waits, and wait on a pipe of their own
 * beside their cancel_fd. A waiter that goes away does not abort the load. A model that is loaded
 * is taken without a hop to that thread.
 */
#ifndef TUG_BACKENDS_H
#define TUG_BACKENDS_H

#include "base/arena.h"
#include "base/err.h"
#include "store/store.h"

#include <stdint.h>
#include <sys/types.h>

enum backend_mode { BACKEND_COMPLETION, BACKEND_EMBEDDING };

struct backends;

struct backends_options {
    const char *engine_path; /* tug-engine */
    const char *run_dir;     /* sockets, 0700 */
    const char *log_dir;     /* engines' stderr as engine-ID12.log (and .1, the older half); NULL: ours */
    int64_t keep_alive_ns;   /* default 5 minutes; negative: forever; 0: at once when idle */
    int64_t wait_ns;         /* how long a request waits for room */
    uint64_t memory_bytes;   /* budget for all engines; 0: what the machine has, less a reserve */
    int64_t context_size;    /* 0: the model's own, limited */
    int parallel;            /* sequences at once; 0: the engine's default */
    int threads;             /* 0: the engine decides */
    int64_t load_ns;         /* an engine that is not ready after it is stopped; 0: 10 minutes */
    int64_t stop_ns;         /* from "stop" to SIGTERM, and from there to SIGKILL; 0: 3 s */
    int64_t backoff_ns;      /* after the third crash within a minute; 0: 5 s */
};

struct backend_use {
    char socket[108];    /* the engine's unix socket */
    char id[72];         /* model id */
    uint64_t generation; /* which of the backend's engines, counted from 1 */
    struct backend *backend;
};

/* The options' strings are copied. A run_dir that leaves no room for socket names (107 bytes): ERR_INVALID. */
bool backends_new(struct store *s, const struct backends_options *options, struct backends **ret_b, struct err *err);
/* Refuses new uses, lets running ones go on while there is time to stop their engines in order, and has killed every
 * engine at the deadline. All other calls must have returned or be about to (they get ERR_UNAVAILABLE), all uses be
 * released by then. */
void backends_stop(struct backends **b, int64_t deadline_ns);

/* `as`: how the request named the model (ps shows it). Errors: ERR_ENGINE with the engine's own last words,
 * ERR_UNAVAILABLE, ERR_CANCELLED. */
bool backends_use(struct backends *b, const struct model *m, const char *as, enum backend_mode mode, int cancel_fd,
                  struct backend_use *ret_use, struct err *err);
/* The short way when the model is loaded: takes it at once. False: it is not; then backends_use. */
bool backends_use_loaded(struct backends *b, const char *id, struct backend_use *ret_use);
void backends_release(struct backends *b, struct backend_use *use);
/* After a broken exchange: did the engine die? Waits a moment for its end. True: ERR_ENGINE with its last words. */
bool backends_explain(struct backends *b, const struct backend_use *use, struct err *err);

struct backend_info {
    char id[72], name[512], mode[16];
    enum { BACKEND_IS_LOADING, BACKEND_IS_IDLE, BACKEND_IS_BUSY, BACKEND_IS_STOPPING } state;
    int users;
    int64_t last_used_wall_ns, keep_alive_ns;
    bool keep_alive_set;
    int64_t unload_in_ns; /* idle ones; negative: never */
    uint64_t memory_bytes;
    pid_t pid;
    uint64_t starts, crashes;
};
size_t backends_list(struct backends *b, struct arena *a, struct backend_info **ret);
/* Idle ones only (a busy one counts as not running); id NULL: all. How many were stopped; waits until they have. */
size_t backends_unload(struct backends *b, const char *id);
/* Keep-alive of one model, until the daemon ends; what its settings say (model_settings.h) counts again from its next
 * load on. */
void backends_set_keep_alive(struct backends *b, const char *id, int64_t ns);
/* How many requests the model's engine answers now. */
int backends_users(struct backends *b, const char *id);
/* The model's settings in the store have changed. How long it stays counts at once; with `reload`, an engine that runs
 * with the old ones leaves as soon as it is idle, and the next request gets one with the new ones. */
struct model_settings;
void backends_configured(struct backends *b, const char *id, const struct model_settings *settings, bool reload);
/* Begins to load the model if it is not loaded, and does not wait; a failure is logged. More than LIMIT_PRELOADS at
 * once are left to the first request. */
void backends_preload(struct backends *b, const char *id, const char *as, enum backend_mode mode);
/* Prometheus text of all engines' own metrics with label model, plus our own. */
bool backends_metrics(struct backends *b, struct buf *out);

#endif
