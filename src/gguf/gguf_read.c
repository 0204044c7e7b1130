/* gguf/gguf_read.c: the header, front to back, through one cursor that never passes its end. Nothing is allocated
 * from a count before the count was held against the bytes that are left. Layout: magic, version, tensor count, key
 * count; keys (name, type, value); tensors (name, dimensions, type, offset); padding; data. */
#include "gguf/gguf_file.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { GGUF_VERSION_MIN = 2, GGUF_VERSION_MAX = 3, GGUF_KEY_MAX = 65535, GGUF_TENSOR_NAME_MAX = 63, GGUF_DIMS = 4 };
/* The fewest bytes that a key and a tensor can have. */
enum { GGUF_KEY_LEAST = 8 + 4 + 1, GGUF_TENSOR_LEAST = 8 + 4 + 4 + 8 };

struct cursor {
    const unsigned char *p;
    size_t n, at;
    const char *name; /* of the file, for messages */
    struct err *err;
};

static bool cursor_refuse(const struct cursor *c, const char *why)
{
    return err_set(c->err, ERR_INVALID, "%s is not a sound GGUF file: %s at byte %zu", c->name, why, c->at);
}

static size_t cursor_left(const struct cursor *c) { return c->n - c->at; }

static bool cursor_bytes(struct cursor *c, uint64_t n, const unsigned char **ret)
{
    if (n > cursor_left(c))
        return cursor_refuse(c, "the header is cut off (is the file complete?)");
    *ret = c->p + c->at;
    c->at += (size_t)n;
    return true;
}

static bool cursor_uint(struct cursor *c, size_t n, uint64_t *ret)
{
    const unsigned char *p = NULL;
    if (!cursor_bytes(c, n, &p))
        return false;
    *ret = gguf_little_endian(p, n);
    return true;
}

static bool cursor_string(struct cursor *c, uint64_t max, const char **ret_data, uint64_t *ret_len)
{
    uint64_t len;
    const unsigned char *p = NULL;
    if (!cursor_uint(c, 8, &len))
        return false;
    if (len > max)
        return cursor_refuse(c, "a string is too long");
    if (!cursor_bytes(c, len, &p))
        return false;
    *ret_data = (const char *)p;
    *ret_len = len;
    return true;
}

static bool read_type(struct cursor *c, enum gguf_type *ret)
{
    uint64_t type;
    if (!cursor_uint(c, 4, &type))
        return false;
    if (type > GGUF_F64)
        return cursor_refuse(c, "a value has an unknown type");
    *ret = (enum gguf_type)type;
    return true;
}

static bool read_array(struct cursor *c, struct gguf_value *v)
{
    uint64_t count;
    if (!read_type(c, &v->array.type) || !cursor_uint(c, 8, &count))
        return false;
    if (v->array.type == GGUF_ARRAY)
        return cursor_refuse(c, "an array holds arrays");
    if (count > LIMIT_GGUF_ARRAY_ITEMS)
        return cursor_refuse(c, "an array has too many items");
    size_t start = c->at;
    if (v->array.type == GGUF_STRING) {
        for (uint64_t i = 0; i < count; i++) {
            const char *data;
            uint64_t len;
            if (!cursor_string(c, LIMIT_GGUF_STRING_BYTES, &data, &len))
                return false;
        }
    } else {
        const unsigned char *p = NULL;
        if (!cursor_bytes(c, count * gguf_value_bytes(v->array.type), &p))
            return false;
    }
    v->array.count = count;
    v->array.data = c->p + start;
    v->array.bytes = c->at - start;
    return true;
}

static bool read_number(struct cursor *c, struct gguf_value *v)
{
    const unsigned char *p = NULL;
    if (!cursor_bytes(c, gguf_value_bytes(v->type), &p))
        return false;
    gguf_number(p, v);
    return v->type != GGUF_BOOL || v->u <= 1 || cursor_refuse(c, "a bool is neither 0 nor 1");
}

static bool read_kv(struct cursor *c, struct gguf_kv *kv)
{
    struct gguf_value *v = &kv->value;
    if (!cursor_string(c, GGUF_KEY_MAX, &kv->key.data, &kv->key.len))
        return false;
    if (kv->key.len == 0)
        return cursor_refuse(c, "a key is empty");
    if (!read_type(c, &v->type))
        return false;
    if (v->type == GGUF_STRING)
        return cursor_string(c, LIMIT_GGUF_STRING_BYTES, &v->str.data, &v->str.len);
    return v->type == GGUF_ARRAY ? read_array(c, v) : read_number(c, v);
}

static bool read_tensor(struct cursor *c, struct gguf_tensor *t)
{
    uint64_t n_dims;
    uint64_t type;
    if (!cursor_string(c, GGUF_TENSOR_NAME_MAX, &t->name.data, &t->name.len) || !cursor_uint(c, 4, &n_dims))
        return false;
    if (n_dims > GGUF_DIMS)
        return cursor_refuse(c, "a tensor has more than 4 dimensions");
    t->n_dims = (uint32_t)n_dims;
    t->elements = 1;
    for (size_t i = 0; i < GGUF_DIMS; i++) {
        t->dims[i] = 1;
        if (i < n_dims && !cursor_uint(c, 8, &t->dims[i]))
            return false;
        if (t->dims[i] > INT64_MAX || __builtin_mul_overflow(t->elements, t->dims[i], &t->elements) ||
            t->elements > INT64_MAX)
            return cursor_refuse(c, "a tensor's dimensions are too large");
    }
    if (!cursor_uint(c, 4, &type) || !cursor_uint(c, 8, &t->offset))
        return false;
    t->type = (uint32_t)type;
    const struct gguf_tensor_type *block = gguf_tensor_type(t->type);
    if (block == NULL) {
        char shown[GGUF_SHOWN];
        gguf_shown(shown, t->name.data, t->name.len);
        return err_set(c->err, ERR_UNSUPPORTED,
                       "%s: tensor \"%s\" has type %" PRIu64 ", which this version cannot read", c->name, shown, type);
    }
    if (t->dims[0] % block->block_elements != 0)
        return cursor_refuse(c, "a tensor's rows are not whole blocks");
    if (__builtin_mul_overflow(t->elements / block->block_elements, block->block_bytes, &t->bytes))
        return cursor_refuse(c, "a tensor's dimensions are too large");
    return true;
}

static bool read_front(struct cursor *c, uint64_t *ret_tensors, uint64_t *ret_kvs)
{
    const unsigned char *magic;
    uint64_t version;
    if (c->n < 4 || !cursor_bytes(c, 4, &magic) || memcmp(magic, "GGUF", 4) != 0)
        return err_set(c->err, ERR_INVALID, "%s is not a GGUF file: it does not begin with \"GGUF\"", c->name);
    if (!cursor_uint(c, 4, &version))
        return false;
    if ((version & 0xffff) == 0 && version != 0)
        return err_set(c->err, ERR_UNSUPPORTED, "%s is a big-endian GGUF file; convert it to little-endian", c->name);
    if (version < GGUF_VERSION_MIN || version > GGUF_VERSION_MAX)
        return err_set(c->err, ERR_UNSUPPORTED, "%s has GGUF version %" PRIu64 "; versions %d and %d are supported",
                       c->name, version, GGUF_VERSION_MIN, GGUF_VERSION_MAX);
    if (!cursor_uint(c, 8, ret_tensors) || !cursor_uint(c, 8, ret_kvs))
        return false;
    if (*ret_tensors > LIMIT_GGUF_TENSORS || *ret_tensors > cursor_left(c) / GGUF_TENSOR_LEAST)
        return cursor_refuse(c, "it announces more tensors than it has room for (is the file complete?)");
    if (*ret_kvs > LIMIT_GGUF_KV || *ret_kvs > cursor_left(c) / GGUF_KEY_LEAST)
        return cursor_refuse(c, "it announces more keys than it has room for (is the file complete?)");
    return true;
}

static bool read_header(struct gguf *g, const char *name, struct err *err)
{
    size_t n = g->n < LIMIT_GGUF_HEADER_BYTES ? g->n : LIMIT_GGUF_HEADER_BYTES;
    struct cursor c = {.p = g->bytes, .n = n, .name = name, .err = err};
    uint64_t n_tensors = 0;
    uint64_t n_kvs = 0;
    if (!read_front(&c, &n_tensors, &n_kvs))
        return false;
    g->kvs = check_alloc(calloc((size_t)n_kvs + 1, sizeof *g->kvs));
    g->tensors = check_alloc(calloc((size_t)n_tensors + 1, sizeof *g->tensors));
    for (; g->n_kvs < n_kvs; g->n_kvs++)
        if (!read_kv(&c, &g->kvs[g->n_kvs]))
            return false;
    for (; g->n_tensors < n_tensors; g->n_tensors++)
        if (!read_tensor(&c, &g->tensors[g->n_tensors]))
            return false;
    return gguf_index_keys(g, name, err) && gguf_place_tensors(g, name, c.at, err);
}

bool gguf_open_bytes(const void *bytes, size_t n, uint64_t file_size, struct gguf **ret_g, struct err *err)
{
    _cleanup_(gguf_close) struct gguf *g = gguf_new(bytes, n, file_size);
    if (!read_header(g, "the file", err))
        return false;
    *ret_g = TAKE(g);
    return true;
}

bool gguf_open(const char *path, struct gguf **ret_g, struct err *err)
{
    const unsigned char *bytes = NULL;
    size_t n = 0;
    struct file_info info = file_stat(path);
    if (info.kind != FILE_KIND_NONE && info.kind != FILE_KIND_FILE)
        return err_set(err, ERR_INVALID, "%s is not a GGUF file: it is not a plain file", path);
    if (!file_map(path, &bytes, &n, err))
        return false;
    _cleanup_(gguf_close) struct gguf *g = gguf_new(bytes, n, n);
    g->mapped = true;
    if (!read_header(g, path, err))
        return false;
    *ret_g = TAKE(g);
    return true;
}

void gguf_close(struct gguf **g)
{
    if (*g == NULL)
        return;
    if ((*g)->mapped)
        file_unmap((*g)->bytes, (*g)->n);
    free((*g)->kvs);
    free((*g)->kvs_by_key);
    free((*g)->tensors);
    free(*g);
    *g = NULL;
}
