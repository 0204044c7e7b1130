/* store/layout: what the files of store/ share: the store itself, its paths and its lock.
 *
 * Order of locks: the store lock (.tug/lock) before a partial's or a lease's; a thread never takes
 * the store lock twice (flock would wait for itself). store_…_locked functions want it held.
 */
#ifndef TUG_STORE_LAYOUT_H
#define TUG_STORE_LAYOUT_H

#include "store/store.h"

#include <pthread.h>

struct store_pin_count {
    char id[DIGEST_TEXT];
    unsigned count;
};

struct index_cache; /* index.h */

struct store {
    char *root;
    struct index_cache *index_cache;
    pthread_mutex_t pins_lock; /* pins, n_pins; nothing is called under it */
    struct store_pin_count *pins;
    size_t n_pins;
};

/* ROOT/ and the formatted rest, malloc'd. */
char *store_path(const struct store *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *store_blob_file(const struct store *s, const char *digest); /* whether it exists or not */
/* Held until the fd is closed. Shared: nobody frees anything and the index does not change. */
bool store_lock(struct store *s, int *ret_fd, struct err *err);
bool store_lock_shared(struct store *s, int *ret_fd, struct err *err);
bool store_is_pinned(struct store *s, const char *id);

/* A small blob, written beside and renamed. The store lock is held, shared or not. */
bool store_put_blob_locked(struct store *s, const void *bytes, size_t n, char ret_digest[DIGEST_TEXT], struct err *err);
bool store_lease_add_locked(struct store_lease *l, const char *digest, struct err *err);

#endif
