/* store/models.c: see store.h: storing, finding, listing and naming models. Taking them away is remove.c's. */
#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "platform/file.h"
#include "store/index.h"

#include <stdlib.h>
#include <string.h>

/* ---- reading -------------------------------------------------------------------------------- */

static int name_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void model_names(const struct index *x, const char *id, struct arena *a, struct model *m)
{
    struct index_entry e;
    m->names = arena_array(a, index_count(x) + 1, sizeof *m->names);
    for (size_t i = 0; i < index_count(x); i++)
        if (index_get(x, i, &e) && e.name[0] != '\0' && strcmp(e.digest, id) == 0)
            m->names[m->n_names++] = arena_strdup(a, e.name);
    qsort(m->names, m->n_names, sizeof *m->names, name_compare);
    size_t kept = 0;
    for (size_t i = 0; i < m->n_names; i++)
        if (kept == 0 || strcmp(m->names[kept - 1], m->names[i]) != 0)
            m->names[kept++] = m->names[i];
    m->n_names = kept;
}

static bool model_load(struct store *s, const struct index *x, const char *id, struct arena *a, struct model *ret,
                       struct err *err)
{
    _cleanup_(buf_done) struct buf manifest = BUF_INIT(LIMIT_MANIFEST_BYTES);
    _cleanup_(buf_done) struct buf config = BUF_INIT(LIMIT_MANIFEST_BYTES);
    struct model m = {.n_names = 0};
    text_format(m.id, sizeof m.id, "%s", id);
    if (!store_blob_read(s, id, LIMIT_MANIFEST_BYTES, &manifest, err) ||
        !manifest_read(buf_str(&manifest), manifest.len, a, &m.manifest, err) ||
        !store_blob_read(s, m.manifest.config.digest, LIMIT_MANIFEST_BYTES, &config, err) ||
        !model_config_read(m.manifest.config.media_type, buf_str(&config), config.len, a, &m.config, err))
        return err_while(err, "reading the model %s", id);
    model_names(x, id, a, &m);
    if (m.config.format == NULL)
        m.config.format = manifest_format(&m.manifest);
    m.created_wall_ns = m.config.created_wall_ns;
    if (m.created_wall_ns == 0) {
        _cleanup_free_ char *path = store_blob_file(s, id);
        m.created_wall_ns = file_stat(path).mtime_ns;
    }
    *ret = m;
    return true;
}

bool store_find(struct store *s, const char *text, struct arena *a, struct model *ret_model, struct err *err)
{
    _cleanup_(file_close) int lock = -1;
    _cleanup_(index_done) struct index x = INDEX_INIT;
    struct index_match match;
    return store_lock_shared(s, &lock, err) && index_read(s, &x, err) && index_resolve(&x, text, &match, err) &&
           model_load(s, &x, match.id, a, ret_model, err);
}

bool store_find_id(struct store *s, const char *text, char ret_id[DIGEST_TEXT], struct err *err)
{
    struct index_match match;
    if (!index_find(s, text, &match, err))
        return false;
    memcpy(ret_id, match.id, DIGEST_TEXT);
    return true;
}

static int model_compare(const void *a, const void *b)
{
    const struct model *x = a, *y = b;
    if (x->created_wall_ns != y->created_wall_ns)
        return x->created_wall_ns > y->created_wall_ns ? -1 : 1;
    return strcmp(x->id, y->id);
}

static bool seen_before(const struct index *x, size_t i, const char *digest)
{
    struct index_entry e;
    for (size_t k = 0; k < i; k++)
        if (index_get(x, k, &e) && strcmp(e.digest, digest) == 0)
            return true;
    return false;
}

bool store_list(struct store *s, struct arena *a, struct model **ret_models, size_t *ret_n, struct err *err)
{
    _cleanup_(file_close) int lock = -1;
    _cleanup_(index_done) struct index x = INDEX_INIT;
    if (!store_lock_shared(s, &lock, err) || !index_read(s, &x, err))
        return false;
    struct model *models = arena_array(a, index_count(&x) + 1, sizeof *models);
    size_t n = 0;
    for (size_t i = 0; i < index_count(&x); i++) {
        struct index_entry e;
        struct err damaged = ERR_INIT;
        if (!index_get(&x, i, &e) || seen_before(&x, i, e.digest))
            continue;
        if (model_load(s, &x, e.digest, a, &models[n], &damaged))
            n++;
        else
            log_warn("left a model out of the list", "name=%s reason=%s", e.name, damaged.text);
    }
    qsort(models, n, sizeof *models, model_compare);
    *ret_models = models;
    *ret_n = n;
    return true;
}

/* ---- writing -------------------------------------------------------------------------------- */

struct put_change {
    const char *id, *media_type, *name;
    uint64_t size;
};

static bool put_apply(void *ctx, struct index *x, struct err *err)
{
    const struct put_change *c = ctx;
    (void)err;
    index_add(x, c->id, c->media_type, c->size, c->name);
    return true;
}

static bool put_check_blob(struct store *s, const struct descriptor *d, struct err *err)
{
    uint64_t size = 0;
    if (!store_blob_exists(s, d->digest, &size))
        return err_set(err, ERR_CONFLICT, "missing blob %s: a manifest is stored only when all its blobs are there",
                       d->digest);
    if (size != d->size)
        return err_set(err, ERR_PROTOCOL, "the manifest says that the blob %s has %llu bytes; it has %llu", d->digest,
                       (unsigned long long)d->size, (unsigned long long)size);
    return true;
}

bool store_put_manifest(struct store *s, const void *bytes, size_t n, const struct reference *name, char *ret_id,
                        struct err *err)
{
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    struct manifest m;
    char id[DIGEST_TEXT];
    _cleanup_(file_close) int lock = -1;
    CHECK(name == NULL || name->tag[0] != '\0');
    if (!manifest_read(bytes, n, &a, &m, err) || !store_lock(s, &lock, err) || !put_check_blob(s, &m.config, err))
        return false;
    for (size_t i = 0; i < m.n_layers; i++)
        if (!put_check_blob(s, &m.layers[i], err))
            return false;
    if (!store_put_blob_locked(s, bytes, n, id, err))
        return false;
    struct put_change change = {.id = id,
                                .media_type = m.media_type != NULL ? m.media_type : OCI_TYPE_MANIFEST,
                                .name = name != NULL ? name->text : NULL,
                                .size = n};
    if (!index_update(s, put_apply, &change, err))
        return false;
    if (ret_id != NULL)
        memcpy(ret_id, id, sizeof id);
    return true;
}

struct tag_change {
    const char *source, *target;
};

static bool tag_apply(void *ctx, struct index *x, struct err *err)
{
    const struct tag_change *c = ctx;
    struct index_match match;
    struct index_entry e;
    if (!index_resolve(x, c->source, &match, err))
        return false;
    for (size_t i = 0; i < index_count(x); i++) {
        if (!index_get(x, i, &e) || strcmp(e.digest, match.id) != 0)
            continue;
        char media_type[256]; /* e borrows from an entry that index_add may drop */
        text_format(media_type, sizeof media_type, "%s", e.media_type[0] != '\0' ? e.media_type : OCI_TYPE_MANIFEST);
        index_add(x, match.id, media_type, e.size, c->target);
        return true;
    }
    return err_set(err, ERR_INTERNAL, "the index lost %s while it was read", match.id);
}

bool store_tag(struct store *s, const char *source, const struct reference *target, struct err *err)
{
    struct tag_change change = {.source = source, .target = target->text};
    _cleanup_(file_close) int lock = -1;
    if (target->tag[0] == '\0')
        return err_set(err, ERR_INVALID, "%s names a digest; a tag is NAME:TAG", target->text);
    return store_lock(s, &lock, err) && index_update(s, tag_apply, &change, err);
}
