/* cli/contexts.c: the file of named daemons: read, changed, replaced. */
#include "cli/contexts.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "platform/file.h"
#include "json/json_read.h"

#include <string.h>

enum { CONTEXTS_VERSION = 1, CONTEXTS_BYTES_MAX = 1024 * 1024, CONTEXTS_NAME_MAX = 128, CONTEXTS_PATH_MAX = 4096 };

static bool contexts_path(const char *docker_config, const char *file, char dst[CONTEXTS_PATH_MAX], struct err *err)
{
    if (text_format(dst, CONTEXTS_PATH_MAX, "%s/model%s%s", docker_config, file[0] != '\0' ? "/" : "", file))
        return true;
    return err_set(err, ERR_INVALID, "the path of DOCKER_CONFIG is too long");
}

static bool contexts_check(const json_t *root, const char *path, struct err *err)
{
    const json_t *contexts = NULL;
    const char *current = NULL, *name;
    int64_t version = 0;
    struct err why = ERR_INIT;
    if (!json_is_object(root))
        return err_set(err, ERR_INVALID, "%s is not a list of contexts: repair it or remove it", path);
    json_t *context;
    bool ok = json_need(root, "", "version", &why) && json_get_int(root, "", "version", 0, INT32_MAX, &version, &why) &&
              json_get_string(root, "", "current", &current, &why) &&
              json_get_object(root, "", "contexts", &contexts, &why);
    if (ok && version != CONTEXTS_VERSION)
        return err_set(err, ERR_UNSUPPORTED, "%s has version %d; this version of Tug reads version %d", path,
                       (int)version, CONTEXTS_VERSION);
    json_object_foreach((json_t *)contexts, name, context)
    {
        const char *host = NULL;
        ok = ok && json_need(context, name, "host", &why) && json_get_string(context, name, "host", &host, &why);
    }
    return ok || err_set(err, ERR_INVALID, "%s: %s; repair it or remove it", path, why.text);
}

bool contexts_read(const char *docker_config, json_t **ret_root, struct err *err)
{
    char path[CONTEXTS_PATH_MAX];
    struct err why = ERR_INIT;
    _cleanup_(buf_done) struct buf text = BUF_INIT(CONTEXTS_BYTES_MAX);
    _cleanup_(json_free) json_t *root = NULL;
    if (!contexts_path(docker_config, "contexts.json", path, err))
        return false;
    if (!file_read_all(path, CONTEXTS_BYTES_MAX, &text, &why)) {
        enum file_kind kind = file_stat(docker_config).kind;
        if (kind != FILE_KIND_NONE && kind != FILE_KIND_DIR)
            return err_set(err, ERR_INVALID, "cannot read the contexts: %s is not a folder; set DOCKER_CONFIG",
                           docker_config);
        if (why.code != ERR_NOT_FOUND)
            return err_set(err, why.code, "cannot read the contexts: %s; see to its access, or set DOCKER_CONFIG",
                           why.text);
        *ret_root = json_pack("{s:i, s:{}}", "version", CONTEXTS_VERSION, "contexts");
        return true;
    }
    if (!json_parse(buf_str(&text), text.len, &root, &why))
        return err_set(err, ERR_INVALID, "%s: %s; repair it or remove it", path, why.text);
    if (!contexts_check(root, path, err))
        return false;
    if (!json_is_object(json_object_get(root, "contexts")))
        json_object_set_new(root, "contexts", json_object());
    *ret_root = TAKE(root);
    return true;
}

bool contexts_change(const char *docker_config, bool (*change)(json_t *root, void *ctx, struct err *err), void *ctx,
                     struct err *err)
{
    char dir[CONTEXTS_PATH_MAX], lock_path[CONTEXTS_PATH_MAX], path[CONTEXTS_PATH_MAX];
    _cleanup_(file_close) int lock = -1;
    _cleanup_(json_free) json_t *root = NULL;
    if (!contexts_path(docker_config, "", dir, err) || !contexts_path(docker_config, "contexts.lock", lock_path, err) ||
        !contexts_path(docker_config, "contexts.json", path, err))
        return false;
    if (!file_mkdirs(dir, 0700, err) || !file_open(lock_path, FILE_READ_WRITE, &lock, err) ||
        !file_lock(lock, lock_path, err))
        return err_while(err, "changing the contexts");
    if (!contexts_read(docker_config, &root, err) || !change(root, ctx, err))
        return false;
    _cleanup_free_ char *text = json_dumps(root, JSON_INDENT(4));
    return file_write_atomic(path, text, strlen(text), 0600, err);
}

const char *contexts_current(const json_t *root)
{
    const char *name = json_string_value(json_object_get(root, "current"));
    return name == NULL || name[0] == '\0' ? CONTEXT_DEFAULT : name;
}

const json_t *contexts_find(const json_t *root, const char *name)
{
    return json_object_get(json_object_get(root, "contexts"), name);
}

bool contexts_name_valid(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    static const char more[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t n = strlen(name);
    return n > 0 && n <= CONTEXTS_NAME_MAX && strchr(letters, name[0]) != NULL && strspn(name, more) == n;
}
