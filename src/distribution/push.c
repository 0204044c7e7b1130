/* distribution/push.c: the work of a push: blobs first, then the manifest, byte for byte as it is stored. */
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "distribution/transfer.h"
#include "platform/file.h"

#include <stdlib.h>
#include <string.h>

struct push {
    struct task *task;
    struct registry *registry;
    struct store_lease *lease; /* a remove in the middle leaves what is being sent */
    struct arena arena;
    struct model model;
    char from[256]; /* the repository to mount from, "": none */
};

static void push_done(struct push *p)
{
    arena_done(&p->arena);
    store_lease_end(&p->lease);
    registry_close(&p->registry);
}

struct push_blob {
    struct push *push;
    size_t layer;
    int fd;
    char *path;
};

static void push_blob_done(struct push_blob *b)
{
    file_close(&b->fd);
    free(b->path);
}

static bool push_read(void *ctx, uint64_t offset, void *dst, size_t n, struct err *err)
{
    struct push_blob *b = ctx;
    return task_wanted(b->push->task, err) && file_pread(b->fd, dst, n, offset, b->path, err);
}

static void push_progress(void *ctx, uint64_t sent)
{
    struct push_blob *b = ctx;
    task_progress(b->push->task, b->layer, sent);
}

static bool push_one(struct push *p, const struct descriptor *d, struct err *err)
{
    _cleanup_(push_blob_done) struct push_blob b = {.push = p, .fd = -1};
    struct retry retry = {.task = p->task, .most = RETRY_PUSH};
    struct registry_upload upload = {.repo = p->task->ref.repository,
                                     .digest = d->digest,
                                     .mount_from = p->from[0] != '\0' ? p->from : NULL,
                                     .size = d->size,
                                     .read = push_read,
                                     .progress = push_progress,
                                     .ctx = &b};
    b.layer = task_layer(p->task, d->digest, d->size);
    if (!store_blob_path(p->task->d->store, d->digest, &b.path, err) || !file_open(b.path, FILE_READ, &b.fd, err))
        return false;
    task_progress(p->task, b.layer, 0);
    while (!registry_push_blob(p->registry, &upload, err))
        if (!retry_again(&retry, err)) /* an upload starts over from 0: no try is progress */
            return err_while(err, "pushing %s to %s/%s", d->digest, p->task->ref.registry, p->task->ref.repository);
    task_progress(p->task, b.layer, d->size);
    return true;
}

/* Another name of the model on the same registry: its blobs are there most likely, and need not travel. */
static void push_find_mount(struct push *p)
{
    for (size_t i = 0; i < p->model.n_names; i++) {
        struct reference other;
        if (!reference_parse(p->model.names[i], &other, NULL) || strcmp(other.registry, p->task->ref.registry) != 0 ||
            strcmp(other.repository, p->task->ref.repository) == 0)
            continue;
        text_format(p->from, sizeof p->from, "%s", other.repository);
        return;
    }
}

static bool push_keep(struct push *p, struct err *err)
{
    const struct manifest *m = &p->model.manifest;
    if (!store_lease_add(p->lease, p->model.id, err) || !store_lease_add(p->lease, m->config.digest, err))
        return false;
    for (size_t i = 0; i < m->n_layers; i++)
        if (!store_lease_add(p->lease, m->layers[i].digest, err))
            return false;
    return true;
}

static bool push_manifest(struct push *p, struct err *err)
{
    const struct reference *ref = &p->task->ref;
    const char *type = p->model.manifest.media_type != NULL ? p->model.manifest.media_type : OCI_TYPE_MANIFEST;
    _cleanup_(buf_done) struct buf bytes = BUF_INIT(LIMIT_MANIFEST_BYTES);
    return (store_blob_read(p->task->d->store, p->model.id, LIMIT_MANIFEST_BYTES, &bytes, err) &&
            registry_put_manifest(p->registry, ref->repository, ref->tag, type, buf_str(&bytes), bytes.len, err)) ||
           err_while(err, "pushing the manifest of %s", ref->text);
}

static bool push_model(struct push *p, struct err *err)
{
    const struct manifest *m = &p->model.manifest;
    if (!push_keep(p, err))
        return false;
    push_find_mount(p);
    for (size_t i = 0; i < m->n_layers; i++)
        if (!push_one(p, &m->layers[i], err))
            return false;
    return push_one(p, &m->config, err) && push_manifest(p, err);
}

bool push_work(struct task *t, char message[ERR_TEXT_MAX], struct err *err)
{
    _cleanup_(push_done) struct push p = {.task = t};
    struct registry_options options = transfer_registry_options(t);
    if (!store_lease_begin(t->d->store, &p.lease, err) ||
        !store_find(t->d->store, t->ref.text, &p.arena, &p.model, err) ||
        !registry_open(t->ref.registry, &options, &p.registry, err) || !push_model(&p, err))
        return false;
    text_format(message, ERR_TEXT_MAX, "Model pushed successfully");
    return true;
}
