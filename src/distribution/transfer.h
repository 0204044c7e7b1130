/* distribution/transfer: one blob from a registry into the store, whatever happens on the way; and the back-off
 * that pulls and pushes share. Worker threads only. */
#ifndef TUG_DISTRIBUTION_TRANSFER_H
#define TUG_DISTRIBUTION_TRANSFER_H

#include "distribution/job.h"
#include "registry/registry.h"

/* Failures in a row. Progress forgets them. */
struct retry {
    struct task *task;
    unsigned most; /* tries without progress */
    unsigned failures;
};

/* What is not in here is tried again by registry/ itself: whole exchanges, and an upload a few times. */
enum { RETRY_BLOB = 6, RETRY_PUSH = 3 };

/* After a failure whose reason is in err. True: it waited, try again. False: the failure is final; err says so. */
bool retry_again(struct retry *r, struct err *err);
void retry_progress(struct retry *r);

struct transfer {
    struct task *task;
    struct registry *registry;
    struct store_lease *lease; /* keeps what has arrived until the manifest names it */
};

/* Afterwards the blob is in the store, verified. It is there already: nothing is asked. Another transfer of it runs,
 * in this process or another: waits and shows how far that is, and goes on if it stops. */
bool transfer_blob(struct transfer *x, const struct descriptor *blob, struct err *err);

/* The options for a task's registry: its token, its cancellation, notices as warnings. */
struct registry_options transfer_registry_options(struct task *t);

#endif
