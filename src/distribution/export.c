/* distribution/export.c: see distribution.h: a model of the store as DMR's archive, pulled. A lease keeps its blobs
 * while they are read, whatever is removed meanwhile. */
#include "distribution/distribution.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "distribution/tar_out.h"

#include <stdlib.h>
#include <string.h>

struct export_tar {
    struct store_lease *lease;
    struct arena arena;
    struct buf manifest;
    struct tar_out tar;
};

static bool export_part(struct store *s, struct export_tar *x, const struct descriptor *d, struct tar_part *part,
                        struct err *err)
{
    _cleanup_free_ char *path = NULL;
    uint64_t size = 0;
    if (!store_lease_add(x->lease, d->digest, err) || !store_blob_path(s, d->digest, &path, err))
        return false;
    if (!store_blob_exists(s, d->digest, &size) || size != d->size)
        return err_set(err, ERR_INTERNAL,
                       "the blob %s is damaged: it has not the size that its manifest says; pull "
                       "the model again",
                       d->digest);
    tar_part_blob(part, d->digest);
    part->path = arena_strdup(&x->arena, path);
    part->size = size;
    return true;
}

/* One entry per digest: two layers may be the same file. */
static bool export_has(const struct tar_part *parts, size_t n, const char *digest)
{
    struct tar_part wanted;
    tar_part_blob(&wanted, digest);
    for (size_t i = 0; i < n; i++)
        if (strcmp(parts[i].name, wanted.name) == 0)
            return true;
    return false;
}

static bool export_parts(struct store *s, const struct model *m, struct export_tar *x, struct err *err)
{
    const struct manifest *manifest = &m->manifest;
    struct tar_part *parts = arena_array(&x->arena, manifest->n_layers + 4, sizeof *parts);
    size_t n = 2;
    tar_part_folders(parts);
    for (size_t i = 0; i <= manifest->n_layers; i++) {
        const struct descriptor *d = i < manifest->n_layers ? &manifest->layers[i] : &manifest->config;
        if (export_has(parts, n, d->digest))
            continue;
        if (!export_part(s, x, d, &parts[n], err))
            return false;
        n++;
    }
    if (!store_lease_add(x->lease, m->id, err) || !store_blob_read(s, m->id, LIMIT_MANIFEST_BYTES, &x->manifest, err))
        return false;
    parts[n++] = (struct tar_part){.name = TAR_MANIFEST, .bytes = buf_str(&x->manifest), .size = x->manifest.len};
    x->tar = (struct tar_out){.parts = parts, .n = n, .fd = -1};
    return true;
}

bool export_begin(struct store *s, const struct model *m, struct export_tar **ret_x, struct err *err)
{
    struct export_tar *x = check_alloc(calloc(1, sizeof *x));
    *x = (struct export_tar){.manifest = BUF_INIT(LIMIT_MANIFEST_BYTES), .tar = {.fd = -1}};
    if (!store_lease_begin(s, &x->lease, err) || !export_parts(s, m, x, err)) {
        export_end(&x);
        return err_while(err, "exporting the model %s", m->id);
    }
    *ret_x = x;
    return true;
}

ssize_t export_read(struct export_tar *x, void *dst, size_t max, struct err *err)
{
    return tar_out_read(&x->tar, dst, max, err);
}

uint64_t export_bytes(const struct export_tar *x) { return tar_out_bytes(&x->tar); }

void export_end(struct export_tar **x)
{
    if (*x == NULL)
        return;
    tar_out_done(&(*x)->tar);
    store_lease_end(&(*x)->lease);
    buf_done(&(*x)->manifest);
    arena_done(&(*x)->arena);
    free(*x);
    *x = NULL;
}
