/* gguf/gguf_shards.c: the files of a split model, "NAME-00001-of-00003.gguf", by llama.cpp's naming. */
#include "gguf/gguf.h"

#include "base/limits.h"
#include "base/text.h"
#include "platform/file.h"

#include <ctype.h>
#include <string.h>

enum { SHARD_DIGITS = 5, SHARD_TAIL = sizeof "-00001-of-00003.gguf" - 1 };

static bool shard_number(const char *s, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < SHARD_DIGITS; i++) {
        if (!isdigit((unsigned char)s[i]))
            return false;
        v = v * 10 + (uint64_t)(s[i] - '0');
    }
    *ret = v;
    return true;
}

/* Length of NAME and the count, when the path is one of a set. */
static bool shard_split(const char *path, size_t *ret_stem, uint64_t *ret_index, uint64_t *ret_count)
{
    size_t n = strlen(path);
    if (n <= SHARD_TAIL)
        return false;
    const char *tail = path + n - SHARD_TAIL;
    if (tail[0] != '-' || strncmp(tail + 1 + SHARD_DIGITS, "-of-", 4) != 0 ||
        !text_equal_nocase(tail + SHARD_TAIL - 5, ".gguf"))
        return false;
    if (!shard_number(tail + 1, ret_index) || !shard_number(tail + 1 + SHARD_DIGITS + 4, ret_count))
        return false;
    *ret_stem = n - SHARD_TAIL;
    return true;
}

bool gguf_shards(const char *path, struct arena *a, const char ***ret_paths, size_t *ret_n, struct err *err)
{
    size_t stem;
    uint64_t index;
    uint64_t count;
    if (!shard_split(path, &stem, &index, &count)) {
        const char **one = arena_array(a, 1, sizeof *one);
        one[0] = arena_strdup(a, path);
        *ret_paths = one;
        *ret_n = 1;
        return true;
    }
    if (index < 1 || index > count || count > LIMIT_MANIFEST_LAYERS)
        return err_set(err, ERR_INVALID, "%s: the shard's number is not within 1 and its count, at most %d", path,
                       (int)LIMIT_MANIFEST_LAYERS);
    const char **paths = arena_array(a, (size_t)count, sizeof *paths);
    for (uint64_t i = 0; i < count; i++) {
        const char *suffix = path + strlen(path) - strlen(".gguf");
        paths[i] = arena_printf(a, "%.*s-%05u-of-%05u%s", (int)stem, path, (unsigned)(i + 1), (unsigned)count, suffix);
        if (file_stat(paths[i]).kind != FILE_KIND_FILE)
            return err_set(err, ERR_NOT_FOUND, "%s is missing: the model has %u shards, all in one folder", paths[i],
                           (unsigned)count);
    }
    *ret_paths = paths;
    *ret_n = (size_t)count;
    return true;
}
