/* store/bundle.c: see store.h: `.tug/bundles/HEX/`, relative symlinks into blobs/, made anew at each use. */
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/file.h"
#include "store/layout.h"

#include <stdlib.h>
#include <string.h>

/* Shards in the order of their file names where all have one (as packages of folders do), else as they come. */
static int shard_compare(const void *a, const void *b)
{
    const struct descriptor *x = *(const struct descriptor *const *)a, *y = *(const struct descriptor *const *)b;
    return strcmp(x->filepath, y->filepath);
}

static size_t bundle_weights(const struct model *m, const struct descriptor **weights)
{
    size_t n = 0, named = 0;
    for (size_t i = 0; i < m->manifest.n_layers; i++) {
        const struct descriptor *layer = &m->manifest.layers[i];
        if (layer->role != LAYER_WEIGHTS)
            continue;
        weights[n++] = layer;
        named += layer->filepath != NULL;
    }
    if (n > 1 && named == n)
        qsort(weights, n, sizeof(struct descriptor *), shard_compare);
    return n;
}

static const struct descriptor *bundle_one(const struct model *m, enum layer_role role)
{
    for (size_t i = 0; i < m->manifest.n_layers; i++)
        if (m->manifest.layers[i].role == role)
            return &m->manifest.layers[i];
    return NULL;
}

static bool bundle_link(struct store *s, const char *folder, const char *name, const struct descriptor *d,
                        char **ret_path, struct err *err)
{
    uint64_t size = 0;
    if (!store_blob_exists(s, d->digest, &size))
        return err_set(err, ERR_NOT_FOUND, "its blob %s is gone; pull the model again", d->digest);
    if (size != d->size)
        return err_set(err, ERR_NOT_FOUND,
                       "its blob %s has %llu bytes instead of %llu; remove and pull the model again", d->digest,
                       (unsigned long long)size, (unsigned long long)d->size);
    char target[DIGEST_TEXT + 32];
    text_format(target, sizeof target, "../../../blobs/sha256/%s", digest_hex(d->digest));
    _cleanup_free_ char *path = store_path(s, "%s/%s", folder, name);
    if (!file_symlink(target, path, err))
        return false;
    if (ret_path != NULL)
        *ret_path = TAKE(path);
    return true;
}

static bool bundle_link_weights(struct store *s, const char *folder, const struct model *m, char **ret_path,
                                struct err *err)
{
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    const struct descriptor **weights = arena_array(&a, m->manifest.n_layers + 1, sizeof(struct descriptor *));
    size_t n = bundle_weights(m, weights);
    if (n == 0)
        return err_set(err, ERR_UNSUPPORTED, "it has no weights");
    for (size_t i = 0; i < n; i++) {
        char name[64] = "model.gguf";
        if (n > 1)
            text_format(name, sizeof name, "model-%05zu-of-%05zu.gguf", i + 1, n);
        if (!bundle_link(s, folder, name, weights[i], i == 0 ? ret_path : NULL, err))
            return false;
    }
    return true;
}

static bool bundle_fill(struct store *s, const struct model *m, struct store_bundle *b, struct err *err)
{
    char folder[128];
    text_format(folder, sizeof folder, ".tug/bundles/%s", digest_hex(m->id));
    _cleanup_free_ char *path = store_path(s, "%s", folder);
    _cleanup_(file_close) int lock = -1;
    const struct descriptor *mmproj = bundle_one(m, LAYER_MMPROJ), *chat = bundle_one(m, LAYER_TEMPLATE);
    const char *format = m->config.format;
    if (format != NULL && format[0] != '\0' && !text_equal_nocase(format, "gguf"))
        return err_set(err, ERR_UNSUPPORTED, "its weights are %s; only GGUF can be run", format);
    return store_lock_shared(s, &lock, err) && file_mkdirs(path, 0700, err) &&
           bundle_link_weights(s, folder, m, &b->model, err) &&
           (mmproj == NULL || bundle_link(s, folder, "mmproj.gguf", mmproj, &b->mmproj, err)) &&
           (chat == NULL || bundle_link(s, folder, "template.jinja", chat, &b->chat_template, err));
}

bool store_bundle(struct store *s, const struct model *m, struct store_bundle *ret, struct err *err)
{
    struct store_bundle b = {.model = NULL};
    if (!bundle_fill(s, m, &b, err)) {
        store_bundle_done(&b);
        return err_while(err, "preparing %s", m->n_names > 0 ? m->names[0] : m->id);
    }
    *ret = b;
    return true;
}

void store_bundle_done(struct store_bundle *b)
{
    free(b->model);
    free(b->mmproj);
    free(b->chat_template);
    *b = (struct store_bundle){.model = NULL};
}
