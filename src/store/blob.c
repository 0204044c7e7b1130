/* store/blob.c: see store.h: blobs that are complete, and the small ones that are written whole. Those that arrive
 * in pieces are writer.c's. */
#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/file.h"
#include "platform/random.h"
#include "store/layout.h"

#include <stdlib.h>
#include <string.h>

bool store_blob_exists(struct store *s, const char *digest, uint64_t *ret_size)
{
    _cleanup_free_ char *path = store_blob_file(s, digest);
    struct file_info info = file_stat(path);
    if (info.kind != FILE_KIND_FILE)
        return false;
    if (ret_size != NULL)
        *ret_size = info.size;
    return true;
}

static bool blob_missing(struct store *s, const char *digest, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "the blob %s is not in the store %s; pull its model again", digest, s->root);
}

bool store_blob_read(struct store *s, const char *digest, size_t max, struct buf *out, struct err *err)
{
    _cleanup_free_ char *path = store_blob_file(s, digest);
    _cleanup_(buf_done) struct buf bytes = BUF_INIT(max);
    char actual[DIGEST_TEXT];
    if (file_stat(path).kind != FILE_KIND_FILE)
        return blob_missing(s, digest, err);
    if (!file_read_all(path, max, &bytes, err))
        return false;
    digest_of(bytes.len > 0 ? bytes.data : "", bytes.len, actual);
    if (strcmp(actual, digest) != 0)
        return err_set(err, ERR_INTERNAL, "%s is damaged: its content is %s; remove the file and pull its model again",
                       path, actual);
    if (!buf_add(out, bytes.len > 0 ? bytes.data : "", bytes.len))
        return err_set(err, ERR_TOO_LARGE, "the blob %s has %zu bytes, more than are expected here", digest, bytes.len);
    return true;
}

bool store_blob_path(struct store *s, const char *digest, char **ret_path, struct err *err)
{
    if (!store_blob_exists(s, digest, NULL))
        return blob_missing(s, digest, err);
    *ret_path = store_blob_file(s, digest);
    return true;
}

bool store_put_blob_locked(struct store *s, const void *bytes, size_t n, char ret_digest[DIGEST_TEXT], struct err *err)
{
    char digest[DIGEST_TEXT], id[17];
    uint64_t size = 0;
    digest_of(bytes, n, digest);
    if (!store_blob_exists(s, digest, &size) || size != n) {
        random_id(id, sizeof id - 1);
        _cleanup_free_ char *final = store_blob_file(s, digest);
        _cleanup_free_ char *beside = store_path(s, ".tug/partial/small-%s", id);
        _cleanup_(file_close) int fd = -1;
        if (!file_open(beside, FILE_CREATE, &fd, err))
            return err_while(err, "storing the blob %s", digest);
        if (!file_write(fd, bytes, n, beside, err) || !file_seal(fd, beside, err) || !file_sync(fd, beside, err) ||
            !file_rename(beside, final, err)) {
            file_remove(beside, NULL);
            return err_while(err, "storing the blob %s", digest);
        }
    }
    if (ret_digest != NULL)
        memcpy(ret_digest, digest, sizeof digest);
    return true;
}

bool store_put_blob(struct store *s, const void *bytes, size_t n, char ret_digest[DIGEST_TEXT], struct err *err)
{
    _cleanup_(file_close) int lock = -1;
    return store_lock_shared(s, &lock, err) && store_put_blob_locked(s, bytes, n, ret_digest, err);
}

bool store_check_space(struct store *s, uint64_t bytes, struct err *err)
{
    enum { SPARE_BYTES = 8 * 1024 * 1024 }; /* for the index, the journal and whoever else lives there */
    uint64_t have = 0;
    if (!file_free_bytes(s->root, &have, err))
        return false;
    if (bytes == 0 || (bytes < UINT64_MAX - SPARE_BYTES && bytes + SPARE_BYTES <= have))
        return true;
    char need[TEXT_SHORT_MAX], left[TEXT_SHORT_MAX], lack[TEXT_SHORT_MAX];
    text_size(need, bytes);
    text_size(left, have);
    text_size(lack, bytes > have ? bytes - have : SPARE_BYTES);
    return err_set(err, ERR_NO_SPACE,
                   "not enough room in %s: %s are needed, %s are free; make %s free (`tug prune` removes what nothing "
                   "refers to, `tug rm MODEL` a model)",
                   s->root, need, left, lack);
}
