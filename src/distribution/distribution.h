/* distribution: pull, push, load, export, package: policy over a store and its sources.
 *
 *   distribution_new(store, &options, &d, err)
 *   job = distribution_pull(d, "ai/smollm2", token)        joins a running pull of the same model
 *   while (job_next(job, &event, cancel_fd)) ...           progress for this watcher; any number of watchers
 *   job_leave(&job)
 *
 * A transfer belongs to the daemon, not to the client that asked: when the last watcher has left,
 * a pull goes on for options.linger_ns and then pauses; its partial blobs stay and are resumed by
 * the next pull, after a crash too. At most LIMIT_PULLS pulls run, others wait and say so.
 * Retries: transport errors and 408 425 429 5xx, with back-off, at the exact offset, at most 6
 * times without progress. Wrong bytes: once again from zero, then an error.
 *
 * Threads: one worker thread per running job (its own registry object); jobs are reference-counted
 * under d's lock; job_next waits on a condition and on cancel_fd.
 */
#ifndef TUG_DISTRIBUTION_H
#define TUG_DISTRIBUTION_H

#include "base/err.h"
#include "store/store.h"

#include <stdint.h>
#include <sys/types.h>

struct distribution;
struct job;

struct distribution_options {
    const char *const *insecure; /* NULL-terminated lists, borrowed for the lifetime */
    const char *const *mirrors;
    int64_t linger_ns; /* default 0: pause when the last watcher leaves */
};

enum job_event_kind { JOB_PROGRESS, JOB_WARNING, JOB_SUCCESS, JOB_ERROR };

/* The wire form is dmr.md 2.5 (api/ writes it). */
struct job_event {
    enum job_event_kind kind;
    char message[ERR_TEXT_MAX];
    uint64_t total;             /* sum of all layers, bytes */
    char layer_id[DIGEST_TEXT]; /* "" : no layer */
    uint64_t layer_size, layer_current;
    enum err_code code; /* JOB_ERROR */
};

bool distribution_new(struct store *s, const struct distribution_options *options, struct distribution **ret_d,
                      struct err *err);
/* No new jobs; running ones end soon with ERR_UNAVAILABLE and keep what they have. Does not wait. */
void distribution_pause(struct distribution *d);
void distribution_stop(struct distribution **d); /* the same, and joins the threads */

/* Errors that are known at once (not a reference): false. Everything later comes as an event; the first event tells
 * whether it began: a JOB_ERROR before any other event lets api/ answer with its status code. */
bool distribution_pull(struct distribution *d, const char *reference, const char *bearer_token, struct job **ret_job,
                       struct err *err);
bool distribution_push(struct distribution *d, const char *reference, const char *bearer_token, struct job **ret_job,
                       struct err *err);

/* The next event, false: no more (the last was SUCCESS or ERROR) or cancel_fd closed. Progress is coalesced: a slow
 * watcher sees the newest numbers, never an endless backlog. */
bool job_next(struct job *j, struct job_event *ret_event, int cancel_fd);
void job_leave(struct job **j);

/* Reading a remote model without storing it (GET /models/X?remote=true). */
bool distribution_remote(struct distribution *d, const char *reference, struct arena *a, struct model *ret,
                         struct err *err);

/* DMR's tar (dmr.md 4.7): push-parsed as it arrives; the model id at the end. */
struct load;
/* Blobs are verified as they come; the model appears in load_finish or not at all. After false only load_end. */
bool load_begin(struct store *s, struct load **ret_l, struct err *err);
bool load_push(struct load *l, const void *data, size_t n, struct err *err);
bool load_finish(struct load *l, char ret_id[DIGEST_TEXT], struct err *err);
void load_end(struct load **l);

/* The same tar out, pulled: bytes into dst, 0 at the end, -1 with err. */
struct export_tar;
bool export_begin(struct store *s, const struct model *m, struct export_tar **ret_x, struct err *err);
ssize_t export_read(struct export_tar *x, void *dst, size_t max, struct err *err);
uint64_t export_bytes(const struct export_tar *x); /* the length of the whole, for Content-Length */
void export_end(struct export_tar **x);

/* `target` becomes `source` with this context size (0: as it is); no layer is copied. ModelPack has no field for it:
 * ERR_INVALID. */
bool distribution_repackage(struct store *s, const struct model *source, int64_t context_size,
                            const struct reference *target, char ret_id[DIGEST_TEXT], struct err *err);

/* A package made from files: equal contents, names and options give an equal id (no times; SOURCE_DATE_EPOCH, when
 * set, becomes the date of creation). The files are hashed once and read again for the archive (the CLI runs this on
 * its own machine and streams the tar to the daemon). */
struct package_spec {
    const char *gguf;                   /* path; the first shard takes its siblings along */
    const char *mmproj, *chat_template; /* NULL: none */
    const char *const *licenses;        /* NULL-terminated or NULL */
    int64_t context_size;               /* 0: from the GGUF */
    bool cncf;                          /* ModelPack instead of Docker's form */
};
struct package; /* manifest and config made, blobs still in their files */
bool package_open(const struct package_spec *spec, struct package **ret_p, struct err *err); /* hashes the files */
ssize_t package_read(struct package *p, void *dst, size_t max, struct err *err); /* the tar, as export_read */
uint64_t package_tar_bytes(const struct package *p);
const char *package_id(const struct package *p);
void package_close(struct package **p);

#endif
