/* cli/ui/attach.c: see attach.h. Facts: dmr.md 1.5. */
#include "cli/ui/attach.h"

#include "base/base64.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/file.h"

#include <string.h>

enum { ATTACH_PATH_MAX = 4096 };

struct attach {
    struct buf text;
    json_t *pictures;
    struct err *err;
};

/* A word at `at`: quoted or up to white space. Its length with the quotes; the path is in dst, "" when it is too long.
 */
static size_t attach_word(const char *at, char dst[ATTACH_PATH_MAX], bool *ret_quoted)
{
    const char *start = at, *end;
    *ret_quoted = at[0] == '"' || at[0] == '\'';
    if (*ret_quoted) {
        end = strchr(at + 1, at[0]);
        start = at + 1;
    } else {
        end = at + strcspn(at, " \t\n\"'");
    }
    dst[0] = '\0';
    if (end == NULL)
        return 0;
    if (!text_format(dst, ATTACH_PATH_MAX, "%.*s", (int)(end - start), start))
        dst[0] = '\0';
    return (size_t)(end - at) + (*ret_quoted ? 1 : 0);
}

static bool attach_read(struct attach *a, const char *path, struct buf *out)
{
    struct file_info info = file_stat(path);
    if (info.size > ATTACH_BYTES_MAX)
        return err_set(a->err, ERR_TOO_LARGE, "file size exceeds maximum limit (%d MiB): %s",
                       ATTACH_BYTES_MAX / (1024 * 1024), path);
    return file_read_all(path, ATTACH_BYTES_MAX, out, a->err);
}

static const char *attach_picture_type(const char *path)
{
    static const struct {
        const char *end, *type;
    } types[] = {{".jpg", "jpeg"}, {".jpeg", "jpeg"}, {".png", "png"}, {".webp", "webp"}};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot != NULL && i < sizeof types / sizeof types[0]; i++)
        if (text_equal_nocase(dot, types[i].end))
            return types[i].type;
    return NULL;
}

static bool attach_picture(struct attach *a, const char *path, const char *type)
{
    _cleanup_(buf_done) struct buf bytes = BUF_INIT(ATTACH_BYTES_MAX);
    _cleanup_(buf_done) struct buf url = BUF_INIT(LIMIT_REQUEST_BODY_BYTES);
    if (!attach_read(a, path, &bytes))
        return false;
    if (!buf_printf(&url, "data:image/%s;base64,", type) || !base64_encode(&url, bytes.data, bytes.len))
        return err_set(a->err, ERR_TOO_LARGE, "%s is too large for one request", path);
    json_array_append_new(a->pictures,
                          json_pack("{s:s, s:{s:s}}", "type", "image_url", "image_url", "url", buf_str(&url)));
    return true;
}

static bool attach_is_file(const char *path) { return path[0] != '\0' && file_stat(path).kind == FILE_KIND_FILE; }

/* How much of the text at `at`, the start of a word, was a file that has been attached; 0: none. False: err. */
static bool attach_at(struct attach *a, const char *at, size_t *ret_used)
{
    char path[ATTACH_PATH_MAX];
    bool quoted = false;
    *ret_used = 0;
    bool inserted = at[0] == '@';
    size_t n = attach_word(at + (inserted ? 1 : 0), path, &quoted);
    const char *type = attach_picture_type(path);
    bool rooted = path[0] == '/' || text_starts(path, "./");
    if (n == 0 || (!inserted && (type == NULL || (!rooted && !quoted))) || !attach_is_file(path))
        return true;
    *ret_used = n + (inserted ? 1 : 0);
    if (type != NULL)
        return attach_picture(a, path, type);
    _cleanup_(buf_done) struct buf bytes = BUF_INIT(ATTACH_BYTES_MAX);
    if (!attach_read(a, path, &bytes))
        return false;
    return buf_add(&a->text, bytes.data, bytes.len) || err_set(a->err, ERR_TOO_LARGE, "%s is too large", path);
}

static bool attach_text(struct attach *a, const char *text)
{
    bool word_start = true;
    while (*text != '\0') {
        size_t used = 0;
        if (word_start && !attach_at(a, text, &used))
            return false;
        if (used == 0) {
            word_start = *text == ' ' || *text == '\t' || *text == '\n';
            if (!buf_add_char(&a->text, *text++))
                return err_set(a->err, ERR_TOO_LARGE, "the message is above %zu bytes", a->text.max);
            continue;
        }
        text += used;
        word_start = false;
    }
    return true;
}

bool attach_content(const char *text, json_t **ret_content, struct err *err)
{
    struct attach a = {.text = BUF_INIT(LIMIT_REQUEST_BODY_BYTES / 2), .pictures = json_array(), .err = err};
    json_t *content = NULL, *words = NULL;
    bool ok = attach_text(&a, text);
    if (ok) {
        words = json_string(buf_str(&a.text));
        ok = words != NULL || err_set(err, ERR_INVALID, "the message, or a file in it, is not valid UTF-8 text");
    }
    if (ok && json_array_size(a.pictures) > 0) {
        content = json_incref(a.pictures);
        json_array_append_new(content, json_pack("{s:s, s:o}", "type", "text", "text", words));
    } else {
        content = words;
    }
    json_decref(a.pictures);
    buf_done(&a.text);
    if (ok)
        *ret_content = content;
    return ok;
}
