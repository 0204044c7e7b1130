/* store/usage.c: see store.h: what is on the disk, and what a prune would free. */
#include "base/cleanup.h"
#include "platform/file.h"
#include "store/gc.h"

#include <string.h>

struct usage_visit {
    const struct digest_set *keep;
    struct store_usage *usage;
};

static bool usage_blob(void *ctx, const char *digest, uint64_t size)
{
    struct usage_visit *v = ctx;
    v->usage->blobs++;
    v->usage->blobs_bytes += size;
    if (!digest_set_has(v->keep, digest))
        v->usage->reclaimable_bytes += size;
    return true;
}

/* Counts the models, and takes those out that a prune would remove. */
static size_t usage_models(struct store *s, struct index *x)
{
    _cleanup_(digest_set_done) struct digest_set ids = DIGEST_SET_INIT;
    struct index_entry e;
    for (size_t i = 0; i < index_count(x); i++)
        if (index_get(x, i, &e))
            digest_set_add(&ids, e.digest);
    digest_set_sort(&ids);
    size_t n = 0;
    for (size_t i = 0; i < ids.n; i++)
        n += i == 0 || strcmp(ids.items[i - 1], ids.items[i]) != 0;
    for (size_t i = index_count(x); i-- > 0;)
        if (index_get(x, i, &e) && e.name[0] == '\0' && !store_is_pinned(s, e.digest))
            index_drop(x, i);
    return n;
}

bool store_usage(struct store *s, struct store_usage *ret, struct err *err)
{
    _cleanup_(file_close) int lock = -1;
    _cleanup_(index_done) struct index x = INDEX_INIT;
    _cleanup_(digest_set_done) struct digest_set keep = DIGEST_SET_INIT;
    struct store_usage usage = {.models = 0};
    uint64_t partial_free = 0;
    if (!store_lock_shared(s, &lock, err) || !index_read(s, &x, err))
        return false;
    usage.models = usage_models(s, &x);
    struct usage_visit v = {.keep = &keep, .usage = &usage};
    if (!gc_mark(s, &x, &keep, err) || !gc_each_blob(s, usage_blob, &v, err) ||
        !gc_partial_bytes(s, &usage.partial_bytes, &partial_free, err))
        return false;
    usage.reclaimable_bytes += partial_free;
    *ret = usage;
    return true;
}
