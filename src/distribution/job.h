/* distribution/job: one transfer of one model (a task), those who watch it (jobs), and what they see.
 *
 * The worker notes what happens, each note with the next stamp of its task; a watcher remembers the
 * last stamp that it was given. A layer keeps only its newest numbers, so a slow watcher skips
 * instead of lagging, and one that joins late sees where every layer is.
 *
 * Locks    distribution.lock guards everything below that is not said to be fixed. Under it nothing
 *          blocks but the wait for a slot, and nothing of store/ or registry/ is called.
 * Threads  one worker per task; it alone calls task_* but task_new and task_join.
 */
#ifndef TUG_DISTRIBUTION_JOB_H
#define TUG_DISTRIBUTION_JOB_H

#include "distribution/distribution.h"

#include <pthread.h>

enum task_kind { TASK_PULL, TASK_PUSH };
enum { TASK_NOTES = 32 }; /* sentences kept for those who join; the oldest go first */

struct distribution {
    struct store *store;                 /* fixed */
    struct distribution_options options; /* fixed */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a slot or a worker came free, or a task was cancelled */
    struct task *tasks;     /* those that can be joined */
    unsigned running_pulls;
    unsigned running;       /* workers that have not finished */
    struct worker *workers; /* those too whose threads are still to be joined */
    unsigned refs;          /* its owner, and each task */
    bool stopping;
};

struct worker {
    struct worker *next;
    pthread_t thread;
    bool done; /* it needs the lock no more: joining it takes no time */
};

struct task_note {
    enum job_event_kind kind;
    uint64_t stamp;
    char message[ERR_TEXT_MAX];
};

struct task_layer {
    char id[DIGEST_TEXT];
    uint64_t size, current, stamp;
    int64_t noted_ns;
};

struct task {
    struct distribution *d; /* these are fixed */
    enum task_kind kind;
    struct reference ref;
    char *token; /* NULL: none */
    bool (*work)(struct task *t, char message[ERR_TEXT_MAX], struct err *err);
    int cancel_fd; /* what the worker's calls watch: it closes when the task is cancelled */

    int cancel_end; /* its other end; -1: cancelled */
    struct task *next;
    struct worker *worker;
    struct job *watchers;
    unsigned refs; /* its worker, and each watcher */
    bool started, finished;
    int64_t leave_ns; /* nobody watches: goes on until then */
    uint64_t total, stamp;
    struct task_layer *layers;
    size_t n_layers;
    struct task_note notes[TASK_NOTES];
    size_t n_notes; /* ever made */
    struct job_event last;
};

/* Joins the running task of this kind, reference and token, or starts a new one. */
bool task_join(struct distribution *d, enum task_kind kind, const struct reference *ref, const char *token,
               struct job **ret_job, struct err *err);

/* A sentence for the watchers: JOB_PROGRESS (nothing to act on) or JOB_WARNING. */
void task_note(struct task *t, enum job_event_kind kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The sum that events carry; 0: each layer's own size (DMR's pushes). */
void task_set_total(struct task *t, uint64_t total);
/* The number of a layer, for task_progress. A digest that is there already keeps its number. */
size_t task_layer(struct task *t, const char *id, uint64_t size);
void task_progress(struct task *t, size_t layer, uint64_t current);
/* False once cancelled, with ERR_CANCELLED. To be asked now and then while bytes move. */
bool task_wanted(struct task *t, struct err *err);
/* Waits, or false with ERR_CANCELLED. */
bool task_wait(struct task *t, int64_t ns, struct err *err);

/* The two kinds of work. The success message is DMR's. */
bool pull_work(struct task *t, char message[ERR_TEXT_MAX], struct err *err);
bool push_work(struct task *t, char message[ERR_TEXT_MAX], struct err *err);

#endif
