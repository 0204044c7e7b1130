/* store/gc.c: see gc.h. */
#include "store/gc.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "platform/file.h"

#include <stdlib.h>
#include <string.h>

enum { INDEX_DEPTH = 3, LEASE_BYTES = 1024 * 1024 };

void digest_set_add(struct digest_set *set, const char *digest)
{
    if (set->n == set->cap) {
        set->cap = set->cap == 0 ? 64 : 2 * set->cap;
        set->items = check_alloc(realloc(set->items, set->cap * sizeof *set->items));
    }
    text_format(set->items[set->n++], DIGEST_TEXT, "%s", digest);
}

static int digest_compare(const void *a, const void *b) { return strcmp(a, b); }

void digest_set_sort(struct digest_set *set)
{
    if (set->n > 1)
        qsort(set->items, set->n, sizeof *set->items, digest_compare);
}

bool digest_set_has(const struct digest_set *set, const char *digest)
{
    return set->n > 0 && bsearch(digest, set->items, set->n, sizeof *set->items, digest_compare) != NULL;
}

void digest_set_done(struct digest_set *set)
{
    free(set->items);
    *set = DIGEST_SET_INIT;
}

/* ---- marking -------------------------------------------------------------------------------- */

static const char *descriptor_digest(const json_t *descriptor)
{
    const char *digest = json_string_value(json_object_get(descriptor, "digest"));
    return digest != NULL && digest_valid(digest) ? digest : NULL;
}

static bool gc_walk(struct store *s, const char *digest, int depth, struct digest_set *set, struct err *err);

static bool gc_walk_list(struct store *s, const json_t *list, int depth, struct digest_set *set, struct err *err)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *digest = descriptor_digest(json_array_get(list, i));
        if (digest == NULL)
            continue;
        if (depth == 0)
            digest_set_add(set, digest);
        else if (!gc_walk(s, digest, depth - 1, set, err))
            return false;
    }
    return true;
}

/* By the members that manifests and indexes of every kind have, so that artifacts of others are kept whole too. */
static bool gc_walk(struct store *s, const char *digest, int depth, struct digest_set *set, struct err *err)
{
    _cleanup_(buf_done) struct buf bytes = BUF_INIT(LIMIT_MANIFEST_BYTES);
    _cleanup_(json_free) json_t *root = NULL;
    digest_set_add(set, digest);
    if (!store_blob_exists(s, digest, NULL))
        return true;
    if (!store_blob_read(s, digest, LIMIT_MANIFEST_BYTES, &bytes, err) ||
        !json_parse(buf_str(&bytes), bytes.len, &root, err))
        return err_while(err, "the manifest %s cannot be read, so what it refers to is not known", digest);
    const char *config = descriptor_digest(json_object_get(root, "config"));
    if (config != NULL)
        digest_set_add(set, config);
    return gc_walk_list(s, json_object_get(root, "layers"), 0, set, err) &&
           gc_walk_list(s, json_object_get(root, "blobs"), 0, set, err) &&
           gc_walk_list(s, json_object_get(root, "manifests"), depth, set, err);
}

bool gc_refs(struct store *s, const char *digest, struct digest_set *set, struct err *err)
{
    return gc_walk(s, digest, INDEX_DEPTH, set, err);
}

struct gc_visit {
    struct store *store;
    const struct digest_set *keep;
    struct digest_set *set;
    uint64_t *freed;
    uint64_t all, free;
    bool (*each)(void *ctx, const char *digest, uint64_t size);
    void *ctx;
    struct err *err;
    bool failed;
};

/* A file whose flock nobody holds. Missing counts as free. */
static bool gc_lock_is_free(const char *path)
{
    _cleanup_(file_close) int fd = -1;
    struct err err = ERR_INIT;
    if (!file_open(path, FILE_READ, &fd, &err))
        return err.code == ERR_NOT_FOUND;
    return file_try_lock(fd, path, &err);
}

static bool gc_mark_lease(void *ctx, const char *name)
{
    struct gc_visit *v = ctx;
    _cleanup_free_ char *path = store_path(v->store, ".tug/leases/%s", name);
    _cleanup_(buf_done) struct buf text = BUF_INIT(LEASE_BYTES);
    if (gc_lock_is_free(path))
        return true;
    if (!file_read_all(path, LEASE_BYTES, &text, v->err)) {
        v->failed = true;
        return false;
    }
    for (size_t at = 0; at + DIGEST_TEXT <= text.len; at += DIGEST_TEXT) {
        char digest[DIGEST_TEXT];
        memcpy(digest, text.data + at, DIGEST_TEXT - 1);
        digest[DIGEST_TEXT - 1] = '\0';
        if (digest_valid(digest))
            digest_set_add(v->set, digest);
    }
    return true;
}

bool gc_mark(struct store *s, const struct index *x, struct digest_set *set, struct err *err)
{
    struct index_entry e;
    for (size_t i = 0; i < index_count(x); i++)
        if (index_get(x, i, &e) && !gc_refs(s, e.digest, set, err))
            return false;
    struct gc_visit v = {.store = s, .set = set, .err = err};
    _cleanup_free_ char *leases = store_path(s, ".tug/leases");
    if (!file_list(leases, gc_mark_lease, &v, err) || v.failed)
        return false;
    digest_set_sort(set);
    return true;
}

/* ---- freeing -------------------------------------------------------------------------------- */

bool gc_free_blob(struct store *s, const char *digest, uint64_t *freed, struct err *err)
{
    _cleanup_free_ char *path = store_blob_file(s, digest);
    _cleanup_free_ char *bundle = store_path(s, ".tug/bundles/%s", digest_hex(digest));
    _cleanup_free_ char *settings = store_path(s, ".tug/settings/%s.json", digest_hex(digest));
    struct file_info info = file_stat(path);
    if (!file_remove_tree(bundle, err) || !file_remove(settings, err))
        return false;
    if (info.kind != FILE_KIND_FILE)
        return true;
    if (!file_remove(path, err))
        return false;
    *freed += info.size;
    return true;
}

static bool gc_visit_blob(void *ctx, const char *name)
{
    struct gc_visit *v = ctx;
    char digest[DIGEST_TEXT];
    if (!text_format(digest, sizeof digest, "sha256:%s", name) || !digest_valid(digest))
        return true;
    _cleanup_free_ char *path = store_blob_file(v->store, digest);
    return v->each(v->ctx, digest, file_stat(path).size);
}

bool gc_each_blob(struct store *s, bool (*each)(void *ctx, const char *digest, uint64_t size), void *ctx,
                  struct err *err)
{
    struct gc_visit v = {.store = s, .each = each, .ctx = ctx};
    _cleanup_free_ char *blobs = store_path(s, "blobs/sha256");
    return file_list(blobs, gc_visit_blob, &v, err);
}

static bool gc_sweep_blob(void *ctx, const char *digest, uint64_t size)
{
    struct gc_visit *v = ctx;
    (void)size;
    if (!digest_set_has(v->keep, digest) && !gc_free_blob(v->store, digest, v->freed, v->err))
        v->failed = true;
    return !v->failed;
}

static bool gc_sweep_bundle(void *ctx, const char *name)
{
    struct gc_visit *v = ctx;
    char digest[DIGEST_TEXT];
    _cleanup_free_ char *path = store_path(v->store, ".tug/bundles/%s", name);
    bool known = text_format(digest, sizeof digest, "sha256:%s", name) && digest_valid(digest) &&
                 digest_set_has(v->keep, digest);
    v->failed = !known && !file_remove_tree(path, v->err);
    return !v->failed;
}

/* What a foreign tool left when it removed a model. */
static bool gc_sweep_settings(void *ctx, const char *name)
{
    struct gc_visit *v = ctx;
    char digest[DIGEST_TEXT];
    _cleanup_free_ char *path = store_path(v->store, ".tug/settings/%s", name);
    bool known = text_format(digest, sizeof digest, "sha256:%.*s", (int)strcspn(name, "."), name) &&
                 digest_valid(digest) && digest_set_has(v->keep, digest);
    v->failed = !known && !file_remove(path, v->err);
    return !v->failed;
}

static bool gc_sweep_lease(void *ctx, const char *name)
{
    struct gc_visit *v = ctx;
    _cleanup_free_ char *path = store_path(v->store, ".tug/leases/%s", name);
    v->failed = gc_lock_is_free(path) && !file_remove(path, v->err);
    return !v->failed;
}

/* Bytes on disk of a partial, and whether nobody writes it. */
static uint64_t partial_look(struct store *s, const char *name, bool *ret_free)
{
    _cleanup_free_ char *path = store_path(s, ".tug/partial/%s", name);
    _cleanup_free_ char *data = store_path(s, ".tug/partial/%s/data", name);
    _cleanup_free_ char *state = store_path(s, ".tug/partial/%s/state", name);
    bool folder = file_stat(path).kind == FILE_KIND_DIR;
    *ret_free = !folder || gc_lock_is_free(state);
    return file_stat(folder ? data : path).disk_bytes;
}

static bool gc_sweep_partial(void *ctx, const char *name)
{
    struct gc_visit *v = ctx;
    _cleanup_free_ char *path = store_path(v->store, ".tug/partial/%s", name);
    bool unused = false;
    uint64_t bytes = partial_look(v->store, name, &unused);
    if (!unused)
        return true;
    if (file_stat(path).kind == FILE_KIND_DIR ? !file_remove_tree(path, v->err) : !file_remove(path, v->err)) {
        v->failed = true;
        return false;
    }
    *v->freed += bytes;
    return true;
}

static bool gc_sweep_upload(void *ctx, const char *name)
{
    return text_starts(name, "sha256-") || gc_sweep_partial(ctx, name);
}

static bool gc_sweep_folder(struct gc_visit *v, const char *folder, bool (*each)(void *ctx, const char *name))
{
    _cleanup_free_ char *path = store_path(v->store, "%s", folder);
    return file_list(path, each, v, v->err) && !v->failed;
}

bool gc_sweep(struct store *s, const struct digest_set *keep, uint64_t *freed, struct err *err)
{
    struct gc_visit v = {.store = s, .keep = keep, .freed = freed, .err = err};
    return gc_each_blob(s, gc_sweep_blob, &v, err) && !v.failed &&
           gc_sweep_folder(&v, ".tug/bundles", gc_sweep_bundle) &&
           gc_sweep_folder(&v, ".tug/settings", gc_sweep_settings) &&
           gc_sweep_folder(&v, ".tug/partial", gc_sweep_partial) && gc_sweep_folder(&v, ".tug/leases", gc_sweep_lease);
}

bool gc_sweep_uploads(struct store *s, struct err *err)
{
    uint64_t freed = 0;
    struct gc_visit v = {.store = s, .freed = &freed, .err = err};
    return gc_sweep_folder(&v, ".tug/partial", gc_sweep_upload) && gc_sweep_folder(&v, ".tug/leases", gc_sweep_lease);
}

static bool gc_count_partial(void *ctx, const char *name)
{
    struct gc_visit *v = ctx;
    bool unused = false;
    uint64_t bytes = partial_look(v->store, name, &unused);
    v->all += bytes;
    v->free += unused ? bytes : 0;
    return true;
}

bool gc_partial_bytes(struct store *s, uint64_t *ret_all, uint64_t *ret_free, struct err *err)
{
    struct gc_visit v = {.store = s, .err = err};
    if (!gc_sweep_folder(&v, ".tug/partial", gc_count_partial))
        return false;
    *ret_all = v.all;
    *ret_free = v.free;
    return true;
}
