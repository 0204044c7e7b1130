/* distribution/load.c: see distribution.h: DMR's archive into the store.
 *
 * Each blob goes through a blob_writer, which verifies it against the digest that is its name; a lease keeps the
 * finished ones until the manifest names them. The model appears with the manifest, in load_finish, or not at all:
 * what a failed load left behind is garbage that the next prune takes. */
#include "distribution/distribution.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "distribution/tar_in.h"
#include "distribution/tar_out.h"

#include <stdlib.h>
#include <string.h>

enum load_target { LOAD_SKIP, LOAD_BLOB, LOAD_MANIFEST };

struct load {
    struct store *store;
    struct store_lease *lease;
    struct tar_in *tar;
    enum load_target target; /* of the entry that is arriving */
    struct blob_writer *writer;
    char digest[DIGEST_TEXT];
    struct buf manifest;
    bool has_manifest;
};

/* The digest that an entry's name stands for; false: it is no blob, *ret is "". */
static bool load_blob_name(const char *name, char ret[DIGEST_TEXT], struct err *err)
{
    static const char *const folders[] = {"blobs/sha256/", "manifests/sha256/"};
    ret[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        if (!text_starts(name, folders[i]))
            continue;
        if (!text_format(ret, DIGEST_TEXT, "sha256:%s", name + strlen(folders[i])) || !digest_valid(ret))
            return err_set(err, ERR_INVALID, "the archive is wrong: \"%.100s\" is not named by a sha256 digest", name);
    }
    return true;
}

static bool load_blob_begin(struct load *l, uint64_t size, struct err *err)
{
    uint64_t has = 0;
    if (!store_lease_add(l->lease, l->digest, err))
        return false;
    l->target = LOAD_SKIP;
    if (store_blob_exists(l->store, l->digest, &has) && has == size)
        return true;
    if (!store_blob_begin(l->store, l->digest, size, &l->writer, err))
        return false;
    l->target = LOAD_BLOB;
    blob_use_lease(l->writer, l->lease);
    /* A stream begins at its start: what an earlier pull left is written again. */
    return l->writer->have == 0 || blob_restart(l->writer, err);
}

static bool load_entry(void *ctx, const char *name, uint64_t size, struct err *err)
{
    struct load *l = ctx;
    l->target = LOAD_SKIP;
    if (!load_blob_name(name, l->digest, err))
        return false;
    if (l->digest[0] != '\0')
        return load_blob_begin(l, size, err);
    if (strcmp(name, TAR_MANIFEST) != 0)
        return true;
    if (l->has_manifest)
        return err_set(err, ERR_INVALID, "the archive is wrong: it has " TAR_MANIFEST " twice");
    if (size > LIMIT_MANIFEST_BYTES)
        return err_set(err, ERR_TOO_LARGE, "the archive's " TAR_MANIFEST " is larger than %d bytes",
                       (int)LIMIT_MANIFEST_BYTES);
    l->has_manifest = true;
    l->target = LOAD_MANIFEST;
    return true;
}

static bool load_data(void *ctx, const void *p, size_t n, struct err *err)
{
    struct load *l = ctx;
    if (l->target == LOAD_BLOB)
        return blob_write(l->writer, p, n, err);
    if (l->target == LOAD_MANIFEST && !buf_add(&l->manifest, p, n))
        return err_set(err, ERR_TOO_LARGE, "the archive's " TAR_MANIFEST " is too large");
    return true;
}

static bool load_entry_end(void *ctx, struct err *err)
{
    struct load *l = ctx;
    return l->target != LOAD_BLOB || blob_commit(&l->writer, NULL, err);
}

static const struct tar_sink load_sink = {load_entry, load_data, load_entry_end};

bool load_begin(struct store *s, struct load **ret_l, struct err *err)
{
    struct store_lease *lease = NULL;
    if (!store_lease_begin(s, &lease, err))
        return err_while(err, "loading an archive");
    struct load *l = check_alloc(calloc(1, sizeof *l));
    *l = (struct load){.store = s, .lease = lease, .manifest = BUF_INIT(LIMIT_MANIFEST_BYTES)};
    l->tar = tar_in_new(&load_sink, l);
    *ret_l = l;
    return true;
}

bool load_push(struct load *l, const void *data, size_t n, struct err *err)
{
    return tar_in_push(l->tar, data, n, err) || err_while(err, "loading an archive");
}

/* The config must be one that the store can show afterwards. */
static bool load_check_config(struct load *l, struct err *err)
{
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    _cleanup_(buf_done) struct buf config = BUF_INIT(LIMIT_MANIFEST_BYTES);
    struct manifest m;
    struct model_config c;
    if (!manifest_read(buf_str(&l->manifest), l->manifest.len, &a, &m, err))
        return false;
    uint64_t size;
    if (!store_blob_exists(l->store, m.config.digest, &size))
        return true; /* store_put_manifest says which blobs are missing */
    if (size > LIMIT_MANIFEST_BYTES)
        return err_set(err, ERR_TOO_LARGE, "the model's config is larger than %d bytes", (int)LIMIT_MANIFEST_BYTES);
    return store_blob_read(l->store, m.config.digest, LIMIT_MANIFEST_BYTES, &config, err) &&
           model_config_read(m.config.media_type, buf_str(&config), config.len, &a, &c, err);
}

bool load_finish(struct load *l, char ret_id[DIGEST_TEXT], struct err *err)
{
    bool ok = tar_in_finish(l->tar, err);
    if (ok && !l->has_manifest)
        ok = err_set(err, ERR_INVALID,
                     "the archive has no " TAR_MANIFEST "; `tug package` and /models/X/export make one");
    ok = ok && load_check_config(l, err) &&
         store_put_manifest(l->store, buf_str(&l->manifest), l->manifest.len, NULL, ret_id, err);
    return ok || err_while(err, "loading an archive");
}

void load_end(struct load **l)
{
    if (*l == NULL)
        return;
    tar_in_free(&(*l)->tar);
    blob_discard(&(*l)->writer);
    store_lease_end(&(*l)->lease);
    buf_done(&(*l)->manifest);
    free(*l);
    *l = NULL;
}
