/* store/layout.c: see layout.h and store.h: making and opening the layout, the lock, pins. */
#include "store/layout.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/file.h"
#include "store/gc.h"
#include "json/json_read.h"

#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

static const char layout_text[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
static const char index_text[] = "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_INDEX "\",\"manifests\":[]}";

char *store_path(const struct store *s, const char *fmt, ...)
{
    struct buf b = BUF_INIT(PATH_BYTES);
    va_list ap;
    va_start(ap, fmt);
    CHECK(buf_printf(&b, "%s/", s->root) && buf_vprintf(&b, fmt, ap));
    va_end(ap);
    return buf_take(&b);
}

char *store_blob_file(const struct store *s, const char *digest)
{
    CHECK(digest_valid(digest));
    return store_path(s, "blobs/sha256/%s", digest_hex(digest));
}

static bool store_take_lock(struct store *s, bool (*lock)(int, const char *, struct err *), int *ret_fd,
                            struct err *err)
{
    _cleanup_free_ char *path = store_path(s, ".tug/lock");
    _cleanup_(file_close) int fd = -1;
    if (!file_open(path, FILE_READ_WRITE, &fd, err) || !lock(fd, path, err))
        return err_while(err, "locking the model store");
    *ret_fd = fd;
    fd = -1;
    return true;
}

bool store_lock(struct store *s, int *ret_fd, struct err *err) { return store_take_lock(s, file_lock, ret_fd, err); }

bool store_lock_shared(struct store *s, int *ret_fd, struct err *err)
{
    return store_take_lock(s, file_lock_shared, ret_fd, err);
}

/* A root that is of another version is not ours to write into. */
static bool layout_check_version(struct store *s, struct err *err)
{
    _cleanup_free_ char *path = store_path(s, "oci-layout");
    if (file_stat(path).kind == FILE_KIND_NONE)
        return file_write_atomic(path, layout_text, strlen(layout_text), 0644, err);
    _cleanup_(buf_done) struct buf text = BUF_INIT(LIMIT_MANIFEST_BYTES);
    _cleanup_(json_free) json_t *root = NULL;
    const char *version = "";
    if (!file_read_all(path, LIMIT_MANIFEST_BYTES, &text, err))
        return false;
    if (!json_parse(buf_str(&text), text.len, &root, err) ||
        !json_get_string(root, "", "imageLayoutVersion", &version, err))
        return err_while(err, "%s is damaged; if it holds nothing else of yours, remove it", path);
    if (strcmp(version, "1.0.0") != 0)
        return err_set(err, ERR_UNSUPPORTED, "%s says version \"%s\"; this program reads OCI image layout 1.0.0", path,
                       version);
    return true;
}

static bool layout_make(struct store *s, struct err *err)
{
    static const char *const folders[] = {"blobs/sha256", ".tug/partial", ".tug/leases", ".tug/bundles",
                                          ".tug/settings"};
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        _cleanup_free_ char *path = store_path(s, "%s", folders[i]);
        if (!file_mkdirs(path, i == 0 ? 0755 : 0700, err))
            return false;
    }
    _cleanup_(file_close) int lock = -1;
    if (!store_lock(s, &lock, err) || !layout_check_version(s, err))
        return false;
    _cleanup_free_ char *index = store_path(s, "index.json");
    if (file_stat(index).kind == FILE_KIND_NONE && !file_write_atomic(index, index_text, strlen(index_text), 0644, err))
        return false;
    return gc_sweep_uploads(s, err);
}

bool store_open(const char *root, struct store **ret_store, struct err *err)
{
    size_t n = strlen(root);
    while (n > 1 && root[n - 1] == '/')
        n--;
    if (n == 0 || n > PATH_BYTES - 256)
        return err_set(err, ERR_INVALID, "the folder of the model store has a name of %zu bytes", n);
    struct store *s = check_alloc(calloc(1, sizeof *s));
    s->root = check_alloc(strndup(root, n));
    pthread_mutex_init(&s->pins_lock, NULL);
    s->index_cache = index_cache_new();
    if (!layout_make(s, err)) {
        store_close(&s);
        return err_while(err, "opening the model store %.*s", (int)n, root);
    }
    *ret_store = s;
    return true;
}

void store_close(struct store **store)
{
    struct store *s = *store;
    if (s == NULL)
        return;
    pthread_mutex_destroy(&s->pins_lock);
    index_cache_free(&s->index_cache);
    free(s->pins);
    free(s->root);
    free(s);
    *store = NULL;
}

static struct store_pin_count *pin_find(struct store *s, const char *id)
{
    for (size_t i = 0; i < s->n_pins; i++)
        if (strcmp(s->pins[i].id, id) == 0)
            return &s->pins[i];
    return NULL;
}

void store_pin(struct store *s, const char *id)
{
    CHECK(digest_valid(id));
    pthread_mutex_lock(&s->pins_lock);
    struct store_pin_count *pin = pin_find(s, id);
    if (pin == NULL) {
        s->pins = check_alloc(realloc(s->pins, (s->n_pins + 1) * sizeof *s->pins));
        pin = &s->pins[s->n_pins++];
        *pin = (struct store_pin_count){.count = 0};
        text_format(pin->id, sizeof pin->id, "%s", id);
    }
    pin->count++;
    pthread_mutex_unlock(&s->pins_lock);
}

void store_unpin(struct store *s, const char *id)
{
    pthread_mutex_lock(&s->pins_lock);
    struct store_pin_count *pin = pin_find(s, id);
    CHECK(pin != NULL);
    if (--pin->count == 0)
        *pin = s->pins[--s->n_pins];
    pthread_mutex_unlock(&s->pins_lock);
}

bool store_is_pinned(struct store *s, const char *id)
{
    pthread_mutex_lock(&s->pins_lock);
    bool pinned = pin_find(s, id) != NULL;
    pthread_mutex_unlock(&s->pins_lock);
    return pinned;
}
