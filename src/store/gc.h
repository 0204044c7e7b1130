/* store/gc: which blobs something refers to, and freeing the others. The store lock is held, exclusively where
 * something is freed. */
#ifndef TUG_STORE_GC_H
#define TUG_STORE_GC_H

#include "store/index.h"

/* Digests, sorted once they are complete. */
struct digest_set {
    char (*items)[DIGEST_TEXT];
    size_t n, cap;
};
#define DIGEST_SET_INIT ((struct digest_set){0})
void digest_set_add(struct digest_set *set, const char *digest);
void digest_set_sort(struct digest_set *set);
bool digest_set_has(const struct digest_set *set, const char *digest); /* after sorting */
void digest_set_done(struct digest_set *set);

/* The blob and all that it names, manifests of an index included. A damaged one: false, since what it names is not
 * known then; one that is missing names nothing. Not sorted. */
bool gc_refs(struct store *s, const char *digest, struct digest_set *set, struct err *err);
/* All that must stay: what the index's entries and the leases of living processes name. Sorted. */
bool gc_mark(struct store *s, const struct index *x, struct digest_set *set, struct err *err);

/* Removes a blob and, if it was a manifest, its bundle and settings; *freed grows by its size. */
bool gc_free_blob(struct store *s, const char *digest, uint64_t *freed, struct err *err);
/* Calls each(ctx, digest, size) for every blob there is. */
bool gc_each_blob(struct store *s, bool (*each)(void *ctx, const char *digest, uint64_t size), void *ctx,
                  struct err *err);
/* Every blob that is not in the set, bundles without a manifest, partials that nobody writes, dead leases. */
bool gc_sweep(struct store *s, const struct digest_set *keep, uint64_t *freed, struct err *err);
/* At start: uploads and small blobs that a dead process left. */
bool gc_sweep_uploads(struct store *s, struct err *err);
/* Bytes on disk of the partials, and of those that nobody writes. */
bool gc_partial_bytes(struct store *s, uint64_t *ret_all, uint64_t *ret_free, struct err *err);

#endif
