/* store/settings.c: see store.h: one small file a model, replaced as a whole. */
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/file.h"
#include "store/index.h"

#include <stdlib.h>
#include <string.h>

static char *settings_path(const struct store *s, const char *id)
{
    return store_path(s, ".tug/settings/%s.json", digest_hex(id));
}

/* Replaced by a rename: who reads needs no lock. */
bool store_settings_read(struct store *s, const char *id, struct buf *out, struct err *err)
{
    _cleanup_free_ char *path = settings_path(s, id);
    return file_read_all(path, LIMIT_SETTINGS_BYTES, out, err);
}

static bool settings_of_a_model(struct store *s, const char *id, struct err *err)
{
    _cleanup_(index_done) struct index x = INDEX_INIT;
    struct index_entry e;
    if (!index_read(s, &x, err))
        return false;
    for (size_t i = 0; i < index_count(&x); i++)
        if (index_get(&x, i, &e) && strcmp(e.digest, id) == 0)
            return true;
    return err_set(err, ERR_NOT_FOUND, "the model %.19s was removed meanwhile: pull it again, then configure it", id);
}

bool store_settings_update(struct store *s, const char *id,
                           bool (*change)(void *ctx, const char *old, struct buf *ret_text, struct err *err), void *ctx,
                           struct err *err)
{
    _cleanup_(file_close) int lock = -1;
    _cleanup_(buf_done) struct buf old = BUF_INIT(LIMIT_SETTINGS_BYTES);
    _cleanup_(buf_done) struct buf text = BUF_INIT(LIMIT_SETTINGS_BYTES);
    _cleanup_free_ char *path = settings_path(s, id);
    struct err missing = ERR_INIT;
    if (!store_lock(s, &lock, err) || !settings_of_a_model(s, id, err))
        return false;
    if (!file_read_all(path, LIMIT_SETTINGS_BYTES, &old, &missing) && missing.code != ERR_NOT_FOUND &&
        missing.code != ERR_TOO_LARGE) {
        if (err != NULL)
            *err = missing;
        return false;
    }
    if (!change(ctx, buf_str(&old), &text, err))
        return false;
    if (strcmp(buf_str(&old), buf_str(&text)) == 0)
        return true;
    return text.len == 0 ? file_remove(path, err) : file_write_atomic(path, text.data, text.len, 0600, err);
}

struct settings_visit {
    bool (*each)(void *ctx, const char *id);
    void *ctx;
};

static bool settings_visit_one(void *ctx, const char *name)
{
    struct settings_visit *v = ctx;
    char id[DIGEST_TEXT];
    if (!text_ends(name, ".json") ||
        !text_format(id, sizeof id, "sha256:%.*s", (int)(strlen(name) - strlen(".json")), name) || !digest_valid(id))
        return true; /* one that is being written, or not ours */
    return v->each(v->ctx, id);
}

bool store_settings_list(struct store *s, bool (*each)(void *ctx, const char *id), void *ctx, struct err *err)
{
    struct settings_visit v = {.each = each, .ctx = ctx};
    _cleanup_free_ char *folder = store_path(s, ".tug/settings");
    return file_list(folder, settings_visit_one, &v, err);
}
