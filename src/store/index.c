/* store/index.c: see index.h. */
#include "store/index.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/file.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { UPDATE_TRIES = 10 };

/* The coarsest time stamp of a file system that one meets (FAT aside). */
#define INDEX_TICK_NS (20 * CLOCK_MS)

void index_done(struct index *x)
{
    json_free(&x->root);
    *x = INDEX_INIT;
}

bool index_parse(const char *data, size_t n, struct index *ret, struct err *err)
{
    struct index x = INDEX_INIT;
    if (!json_parse(data, n, &x.root, err))
        return false;
    x.manifests = json_object_get(x.root, "manifests");
    if (x.manifests == NULL && json_is_object(x.root)) {
        x.manifests = json_array();
        CHECK(json_object_set_new(x.root, "manifests", x.manifests) == 0);
    }
    if (!json_is_array(x.manifests)) {
        index_done(&x);
        return err_set(err, ERR_PROTOCOL, "it is not an OCI image index: `manifests` must be an array");
    }
    *ret = x;
    return true;
}

bool index_read(struct store *s, struct index *ret, struct err *err)
{
    static const char empty[] = "{\"schemaVersion\":2}";
    _cleanup_free_ char *path = store_path(s, "index.json");
    _cleanup_(buf_done) struct buf text = BUF_INIT(LIMIT_INDEX_JSON_BYTES);
    if (file_stat(path).kind == FILE_KIND_NONE)
        return index_parse(empty, strlen(empty), ret, err);
    if (!file_read_all(path, LIMIT_INDEX_JSON_BYTES, &text, err))
        return false;
    if (!index_parse(buf_str(&text), text.len, ret, err)) {
        err_while(err, "%s is damaged; repair it, or remove it and pull the models again (their blobs stay)", path);
        return err == NULL ? false : (err->code = ERR_INTERNAL, false);
    }
    return true;
}

/* ---- the cache ---------------------------------------------------------------------------------- */

struct index_cache {
    pthread_mutex_t lock;
    struct file_info seen; /* kind FILE_KIND_NONE: nothing is cached */
    struct index x;
};

static bool same_file(struct file_info a, struct file_info b)
{
    return a.kind == b.kind && a.inode == b.inode && a.size == b.size && a.mtime_ns == b.mtime_ns;
}

struct index_cache *index_cache_new(void)
{
    struct index_cache *c = check_alloc(calloc(1, sizeof *c));
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void index_cache_free(struct index_cache **cache)
{
    struct index_cache *c = *cache;
    if (c == NULL)
        return;
    index_done(&c->x);
    pthread_mutex_destroy(&c->lock);
    free(c);
    *cache = NULL;
}

/* The file is looked at before it is read: one that is replaced in between is read again the next time. A clock tick is
 * longer than a write, so a file that was changed just now is not trusted to show its next change by its time. */
static bool index_cache_fill(struct store *s, struct index_cache *c, struct err *err)
{
    _cleanup_free_ char *path = store_path(s, "index.json");
    struct file_info now = file_stat(path);
    if (now.kind != FILE_KIND_NONE && same_file(now, c->seen) && c->x.root != NULL)
        return true;
    struct index fresh = INDEX_INIT;
    if (!index_read(s, &fresh, err))
        return false;
    index_done(&c->x);
    c->x = fresh;
    c->seen = clock_wall_ns() - now.mtime_ns > INDEX_TICK_NS ? now : (struct file_info){.kind = FILE_KIND_NONE};
    return true;
}

bool index_find(struct store *s, const char *text, struct index_match *ret, struct err *err)
{
    struct index_cache *c = s->index_cache;
    pthread_mutex_lock(&c->lock);
    bool ok = index_cache_fill(s, c, err) && index_resolve(&c->x, text, ret, err);
    pthread_mutex_unlock(&c->lock);
    return ok;
}

size_t index_count(const struct index *x) { return json_array_size(x->manifests); }

/* The full name is preferred: containerd writes only the tag to ref.name, and skopeo what its user typed. */
static const char *entry_name(const json_t *entry)
{
    const json_t *annotations = json_object_get(entry, "annotations");
    const char *ref = json_string_value(json_object_get(annotations, OCI_ANNOTATION_REF_NAME));
    const char *full = json_string_value(json_object_get(annotations, OCI_ANNOTATION_CONTAINERD));
    return full != NULL && (ref == NULL || strchr(ref, '/') == NULL) ? full : ref;
}

bool index_get(const struct index *x, size_t i, struct index_entry *ret)
{
    const json_t *entry = json_array_get(x->manifests, i);
    const char *digest = json_string_value(json_object_get(entry, "digest"));
    const char *type = json_string_value(json_object_get(entry, "mediaType"));
    json_int_t size = json_integer_value(json_object_get(entry, "size"));
    if (digest == NULL || !digest_valid(digest))
        return false;
    *ret = (struct index_entry){.digest = digest, .media_type = type != NULL ? type : ""};
    ret->size = size > 0 ? (uint64_t)size : 0;
    struct reference ref;
    const char *name = entry_name(entry);
    if (name != NULL && reference_parse(name, &ref, NULL))
        text_format(ret->name, sizeof ret->name, "%s", ref.text);
    return true;
}

void index_drop(struct index *x, size_t i) { CHECK(json_array_remove(x->manifests, i) == 0); }

static bool index_has_other(const struct index *x, const char *digest, size_t except)
{
    struct index_entry e;
    for (size_t i = 0; i < index_count(x); i++)
        if (i != except && index_get(x, i, &e) && strcmp(e.digest, digest) == 0)
            return true;
    return false;
}

void index_untag(struct index *x, size_t i)
{
    struct index_entry e;
    CHECK(index_get(x, i, &e));
    if (index_has_other(x, e.digest, i)) {
        index_drop(x, i);
        return;
    }
    json_t *annotations = json_object_get(json_array_get(x->manifests, i), "annotations");
    json_object_del(annotations, OCI_ANNOTATION_REF_NAME);
    json_object_del(annotations, OCI_ANNOTATION_CONTAINERD);
}

/* Whether digest has an entry with exactly this name already; otherwise other holders of the name lose it. */
static bool index_free_name(struct index *x, const char *digest, const char *name)
{
    struct index_entry e;
    bool present = false;
    for (size_t i = index_count(x); i-- > 0;) {
        if (!index_get(x, i, &e) || strcmp(e.name, name) != 0)
            continue;
        if (strcmp(e.digest, digest) == 0)
            present = true;
        else
            index_untag(x, i);
    }
    return present;
}

static void index_drop_nameless(struct index *x, const char *digest)
{
    struct index_entry e;
    for (size_t i = index_count(x); i-- > 0;)
        if (index_get(x, i, &e) && strcmp(e.digest, digest) == 0 && e.name[0] == '\0')
            index_drop(x, i);
}

void index_add(struct index *x, const char *digest, const char *media_type, uint64_t size, const char *name)
{
    if (name == NULL ? index_has_other(x, digest, SIZE_MAX) : index_free_name(x, digest, name))
        return;
    json_t *entry = json_pack("{s:s, s:s, s:I}", "mediaType", media_type, "digest", digest, "size", (json_int_t)size);
    CHECK(entry != NULL);
    if (name != NULL) {
        index_drop_nameless(x, digest);
        json_t *annotations = json_pack("{s:s, s:s}", OCI_ANNOTATION_REF_NAME, name, OCI_ANNOTATION_CONTAINERD, name);
        CHECK(annotations != NULL && json_object_set_new(entry, "annotations", annotations) == 0);
    }
    CHECK(json_array_append_new(x->manifests, entry) == 0);
}

static bool resolve_id(const struct index *x, const char *text, struct index_match *ret, struct err *err)
{
    struct index_entry e;
    const char *hex = text_starts(text, "sha256:") ? text + 7 : text;
    bool found = false;
    for (size_t i = 0; i < index_count(x); i++) {
        if (!index_get(x, i, &e) || !text_starts(digest_hex(e.digest), hex))
            continue;
        if (found && strcmp(ret->id, e.digest) != 0)
            return err_set(err, ERR_CONFLICT, "the id %s is short for several models; give all 64 characters", text);
        text_format(ret->id, sizeof ret->id, "%s", e.digest);
        ret->name[0] = '\0';
        found = true;
    }
    return found || err_set(err, ERR_NOT_FOUND, "no such model: %s; `tug list` shows those that are here", text);
}

/* Does `name` end in "/LAST:TAG", LAST being the typed word? */
static bool name_has_last(const char *name, const struct reference *typed)
{
    struct reference ref;
    if (!reference_parse(name, &ref, NULL) || strcmp(ref.tag, typed->tag) != 0)
        return false;
    const char *a = strrchr(ref.repository, '/'), *b = strrchr(typed->repository, '/');
    return strcmp(a != NULL ? a : ref.repository, b != NULL ? b : typed->repository) == 0;
}

static bool resolve_name(const struct index *x, const struct reference *ref, struct index_match *ret)
{
    struct index_entry e;
    for (size_t i = 0; i < index_count(x); i++) {
        if (!index_get(x, i, &e) || strcmp(e.name, ref->text) != 0)
            continue;
        text_format(ret->id, sizeof ret->id, "%s", e.digest);
        text_format(ret->name, sizeof ret->name, "%s", e.name);
        return true;
    }
    return false;
}

static bool resolve_last(const struct index *x, const char *text, const struct reference *ref, struct index_match *ret,
                         struct err *err)
{
    struct index_entry e;
    bool found = false;
    for (size_t i = 0; i < index_count(x); i++) {
        if (!index_get(x, i, &e) || e.name[0] == '\0' || !name_has_last(e.name, ref))
            continue;
        if (found && strcmp(ret->id, e.digest) != 0)
            return err_set(err, ERR_CONFLICT, "several models are called %s, %s and %s among them; say which", text,
                           ret->name, e.name);
        text_format(ret->id, sizeof ret->id, "%s", e.digest);
        text_format(ret->name, sizeof ret->name, "%s", e.name);
        found = true;
    }
    return found || err_set(err, ERR_NOT_FOUND, "no such model: %s; `tug pull %s` fetches it", text, text);
}

static bool resolve_reference(const struct index *x, const char *text, struct index_match *match, struct err *err)
{
    struct reference ref;
    if (!reference_parse(text, &ref, err))
        return false;
    if (ref.digest[0] != '\0')
        return resolve_id(x, ref.digest, match, err);
    if (resolve_name(x, &ref, match))
        return true;
    if (strchr(text, '/') == NULL)
        return resolve_last(x, text, &ref, match, err);
    return err_set(err, ERR_NOT_FOUND, "no such model: %s; `tug pull %s` fetches it", text, text);
}

/* What looks like an id may be a name all the same (`tug tag X 123456789012`), so names come second. */
bool index_resolve(const struct index *x, const char *text, struct index_match *ret, struct err *err)
{
    struct index_match match = {.name = ""};
    struct err no_id = ERR_INIT;
    bool id_form = reference_is_id(text);
    if (id_form && resolve_id(x, text, &match, &no_id)) {
        *ret = match;
        return true;
    }
    if (id_form && no_id.code != ERR_NOT_FOUND)
        return err_set(err, no_id.code, "%s", no_id.text);
    match = (struct index_match){.name = ""};
    if (resolve_reference(x, text, &match, err)) {
        *ret = match;
        return true;
    }
    return id_form ? err_set(err, no_id.code, "%s", no_id.text) : false;
}

/* *ret_done: false when a foreign writer changed index.json after `seen`. It takes no lock, so a write of its between
 * our look and our rename is still lost; the window is that of two system calls. */
static bool index_write(struct store *s, struct index *x, struct file_info seen, bool *ret_done, struct err *err)
{
    if (json_object_get(x->root, "mediaType") == NULL) /* skopeo drops it */
        CHECK(json_object_set_new(x->root, "mediaType", json_string(OCI_TYPE_INDEX)) == 0);
    if (json_object_get(x->root, "schemaVersion") == NULL)
        CHECK(json_object_set_new(x->root, "schemaVersion", json_integer(2)) == 0);
    _cleanup_free_ char *text = check_alloc(json_dumps(x->root, JSON_INDENT(2)));
    _cleanup_free_ char *path = store_path(s, "index.json");
    _cleanup_free_ char *beside = store_path(s, ".tug/index.json.new");
    if (strlen(text) > LIMIT_INDEX_JSON_BYTES)
        return err_set(err, ERR_TOO_LARGE,
                       "index.json of the store would be above %d bytes; remove models with `tug rm`",
                       LIMIT_INDEX_JSON_BYTES);
    if (!file_write_atomic(beside, text, strlen(text), 0644, err))
        return false;
    *ret_done = same_file(seen, file_stat(path));
    return !*ret_done || file_rename(beside, path, err);
}

bool index_update(struct store *s, bool (*change)(void *ctx, struct index *x, struct err *err), void *ctx,
                  struct err *err)
{
    _cleanup_free_ char *path = store_path(s, "index.json");
    for (int i = 0; i < UPDATE_TRIES; i++) {
        _cleanup_(index_done) struct index x = INDEX_INIT;
        struct file_info seen = file_stat(path);
        bool done = false;
        if (!index_read(s, &x, err) || !change(ctx, &x, err) || !index_write(s, &x, seen, &done, err))
            return false;
        if (done)
            return true;
    }
    return err_set(err, ERR_CONFLICT, "%s is being changed by another program all the time; try again when it is done",
                   path);
}
