/* distribution/pull.c: the work of a pull: which manifest, what is missing, fetch it, name it.
 *
 * The tag is asked for first (HEAD: free at Docker Hub); everything after goes by digest, so that a
 * tag that moves meanwhile mixes nothing. The manifest is kept as a blob from the start: a pull that
 * goes on later asks for the tag and the missing bytes, and for nothing else.
 */
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "distribution/transfer.h"

#include <string.h>

enum { INDEX_DEPTH = 2 };

struct pull {
    struct task *task;
    struct store *store;
    struct transfer transfer;
    struct arena arena;
    char id[DIGEST_TEXT]; /* of the manifest */
    struct buf bytes;     /* the manifest */
    struct manifest manifest;
};

static void pull_done(struct pull *p)
{
    buf_done(&p->bytes);
    arena_done(&p->arena);
    store_lease_end(&p->transfer.lease);
    registry_close(&p->transfer.registry);
}

/* ---- what is here already --------------------------------------------------------------------- */

static bool model_is_whole(struct store *s, const struct model *m)
{
    uint64_t size = 0;
    for (size_t i = 0; i < m->manifest.n_layers; i++)
        if (!store_blob_exists(s, m->manifest.layers[i].digest, &size) || size != m->manifest.layers[i].size)
            return false;
    return true;
}

static void cached_message(const struct model *m, char message[ERR_TEXT_MAX])
{
    char size[TEXT_SHORT_MAX];
    uint64_t bytes = 0;
    for (size_t i = 0; i < m->manifest.n_layers; i++)
        bytes += m->manifest.layers[i].size;
    text_size(size, bytes);
    bool told = m->config.size != NULL && m->config.size[0] != '\0';
    text_format(message, ERR_TEXT_MAX, "Using cached model: %s", told ? m->config.size : size);
}

/* Is `which` (an id or a full name) here with all its blobs? */
static bool pull_is_cached(struct pull *p, const char *which, char message[ERR_TEXT_MAX])
{
    struct model m;
    struct err none = ERR_INIT;
    if (!store_find(p->store, which, &p->arena, &m, &none) || !model_is_whole(p->store, &m))
        return false;
    cached_message(&m, message);
    return true;
}

/* The registry does not answer. What we have under that very name is better than an error. */
static bool pull_offline(struct pull *p, char message[ERR_TEXT_MAX], struct err *err)
{
    const struct reference *ref = &p->task->ref;
    if (err->code != ERR_UNREACHABLE || !pull_is_cached(p, ref->digest[0] != '\0' ? ref->digest : ref->text, message))
        return false;
    task_note(p->task, JOB_WARNING, "%s; using the model that is here, which may not be the newest", err->text);
    return true;
}

static bool pull_name_it(struct pull *p, struct err *err)
{
    return p->task->ref.tag[0] == '\0' || store_tag(p->store, p->id, &p->task->ref, err);
}

/* ---- the manifest ------------------------------------------------------------------------------ */

static bool pull_resolve(struct pull *p, struct err *err)
{
    const struct reference *ref = &p->task->ref;
    if (ref->digest[0] == '\0')
        return registry_resolve(p->transfer.registry, ref->repository, ref->tag, p->id, err);
    memcpy(p->id, ref->digest, sizeof p->id);
    return true;
}

/* The bytes for p->id, and the type that came with them. By the tag where the digest is not known there: the tag
 * moved just now, or that registry serves tags only; p->id is then what came. */
static bool pull_fetch_manifest(struct pull *p, bool by_tag, char type[128], struct err *err)
{
    const struct reference *ref = &p->task->ref;
    struct registry_manifest m = {.bytes = BUF_INIT(LIMIT_MANIFEST_BYTES)};
    type[0] = '\0';
    buf_clear(&p->bytes);
    if (store_blob_exists(p->store, p->id, NULL) &&
        store_blob_read(p->store, p->id, LIMIT_MANIFEST_BYTES, &p->bytes, err))
        return true;
    bool ok = registry_get_manifest(p->transfer.registry, ref->repository, p->id, &m, err);
    if (!ok && by_tag && err->code == ERR_NOT_FOUND && ref->tag[0] != '\0')
        ok = registry_get_manifest(p->transfer.registry, ref->repository, ref->tag, &m, err);
    if (ok) {
        text_format(type, 128, "%s", m.content_type);
        memcpy(p->id, m.digest, sizeof p->id);
        if (!buf_add(&p->bytes, buf_str(&m.bytes), m.bytes.len))
            ok = err_set(err, ERR_TOO_LARGE, "the manifest of %s has %zu bytes", ref->text, m.bytes.len);
    }
    registry_manifest_done(&m);
    return ok;
}

/* Follows indexes to the manifest of a model, and keeps it. */
static bool pull_get_manifest(struct pull *p, struct err *err)
{
    char type[128];
    enum manifest_kind kind = MANIFEST_INDEX;
    for (int depth = 0;; depth++) {
        struct descriptor entry;
        if (!store_lease_add(p->transfer.lease, p->id, err) || !pull_fetch_manifest(p, depth == 0, type, err) ||
            !manifest_kind_of(type[0] != '\0' ? type : NULL, buf_str(&p->bytes), p->bytes.len, &kind, err))
            return false;
        if (kind == MANIFEST_IMAGE)
            break;
        if (depth == INDEX_DEPTH)
            return err_set(err, ERR_PROTOCOL, "indexes that name indexes, more than %d deep", INDEX_DEPTH);
        if (!manifest_pick(buf_str(&p->bytes), p->bytes.len, &p->arena, &entry, err))
            return false;
        memcpy(p->id, entry.digest, sizeof p->id);
    }
    return manifest_read(buf_str(&p->bytes), p->bytes.len, &p->arena, &p->manifest, err) &&
           store_lease_add(p->transfer.lease, p->id, err) &&
           store_put_blob(p->store, buf_str(&p->bytes), p->bytes.len, NULL, err);
}

/* ---- the blobs --------------------------------------------------------------------------------- */

/* Room for all that is missing, before the first byte. A partial has reserved its own already. */
static bool pull_check_space(struct pull *p, struct err *err)
{
    uint64_t missing = 0, total = 0, have = 0;
    for (size_t i = 0; i < p->manifest.n_layers; i++) {
        const struct descriptor *layer = &p->manifest.layers[i];
        total += layer->size; /* at most 1000 times 2^53 */
        if (!store_blob_exists(p->store, layer->digest, NULL) && !store_blob_progress(p->store, layer->digest, &have))
            missing += layer->size;
    }
    task_set_total(p->task, total);
    return store_check_space(p->store, missing, err);
}

/* First, since it is small: a config that nobody could read later is not worth the weights. */
static bool pull_config(struct pull *p, struct err *err)
{
    const struct descriptor *d = &p->manifest.config;
    _cleanup_(buf_done) struct buf bytes = BUF_INIT(LIMIT_MANIFEST_BYTES);
    struct model_config config;
    if (d->size > LIMIT_MANIFEST_BYTES)
        return err_set(err, ERR_TOO_LARGE, "the config of %s has %llu bytes; at most %d are read", p->task->ref.text,
                       (unsigned long long)d->size, (int)LIMIT_MANIFEST_BYTES);
    return transfer_blob(&p->transfer, d, err) &&
           store_blob_read(p->store, d->digest, LIMIT_MANIFEST_BYTES, &bytes, err) &&
           (model_config_read(d->media_type, buf_str(&bytes), bytes.len, &p->arena, &config, err) ||
            err_while(err, "the config of %s", p->task->ref.text));
}

static bool pull_blobs(struct pull *p, struct err *err)
{
    if (!pull_check_space(p, err) || !pull_config(p, err))
        return false;
    for (size_t i = 0; i < p->manifest.n_layers; i++)
        if (!transfer_blob(&p->transfer, &p->manifest.layers[i], err))
            return false;
    return true;
}

static bool pull_model(struct pull *p, char message[ERR_TEXT_MAX], struct err *err)
{
    const struct reference *ref = &p->task->ref;
    if (!pull_resolve(p, err))
        return pull_offline(p, message, err);
    if (pull_is_cached(p, p->id, message))
        return pull_name_it(p, err);
    if (!pull_get_manifest(p, err))
        return err_while(err, "the manifest of %s", ref->text) || pull_offline(p, message, err);
    if (pull_is_cached(p, p->id, message)) /* by way of an index */
        return pull_name_it(p, err);
    if (!pull_blobs(p, err) ||
        !store_put_manifest(p->store, buf_str(&p->bytes), p->bytes.len, ref->tag[0] != '\0' ? ref : NULL, NULL, err))
        return false;
    text_format(message, ERR_TEXT_MAX, "Model pulled successfully");
    return true;
}

bool pull_work(struct task *t, char message[ERR_TEXT_MAX], struct err *err)
{
    _cleanup_(pull_done) struct pull p = {.task = t, .store = t->d->store, .bytes = BUF_INIT(LIMIT_MANIFEST_BYTES)};
    struct registry_options options = transfer_registry_options(t);
    p.transfer.task = t;
    return registry_open(t->ref.registry, &options, &p.transfer.registry, err) &&
           store_lease_begin(t->d->store, &p.transfer.lease, err) && pull_model(&p, message, err);
}
