/* gguf/gguf_value.c: looking things up in an opened header. */
#include "gguf/gguf_file.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

enum {
    GGUF_COPY_MAX = 1024 * 1024, /* what gguf_get_str copies into an arena */
    GGUF_ARCHITECTURE_MAX = 64,  /* longer is no architecture that anyone knows */
};

uint64_t gguf_little_endian(const unsigned char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

void gguf_number(const unsigned char *p, struct gguf_value *v)
{
    uint64_t raw = gguf_little_endian(p, gguf_value_bytes(v->type));
    uint32_t low = (uint32_t)raw;
    float f;
    switch (v->type) {
    case GGUF_I8:
        v->i = raw < 0x80 ? (int64_t)raw : (int64_t)raw - 0x100;
        break;
    case GGUF_I16:
        v->i = (int16_t)raw;
        break;
    case GGUF_I32:
        v->i = (int32_t)raw;
        break;
    case GGUF_I64:
        v->i = (int64_t)raw;
        break;
    case GGUF_F32:
        memcpy(&f, &low, sizeof f);
        v->f = (double)f;
        break;
    case GGUF_F64:
        memcpy(&v->f, &raw, sizeof v->f);
        break;
    default:
        v->u = raw;
        break;
    }
}

struct gguf *gguf_new(const void *bytes, size_t n, uint64_t file_size)
{
    struct gguf *g = check_alloc(calloc(1, sizeof *g));
    CHECK(n <= file_size);
    *g = (struct gguf){.bytes = bytes, .n = n, .file_size = file_size};
    return g;
}

size_t gguf_kv_count(const struct gguf *g) { return g->n_kvs; }
const struct gguf_kv *gguf_kv_at(const struct gguf *g, size_t i) { return i < g->n_kvs ? &g->kvs[i] : NULL; }
size_t gguf_tensor_count(const struct gguf *g) { return g->n_tensors; }
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i)
{
    return i < g->n_tensors ? &g->tensors[i] : NULL;
}
uint64_t gguf_data_offset(const struct gguf *g) { return g->data_offset; }

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    size_t len = strlen(key);
    size_t low = 0;
    size_t high = g->n_kvs;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct gguf_kv *kv = g->kvs_by_key[mid].kv;
        int order = gguf_key_compare(kv->key.data, kv->key.len, key, len);
        if (order == 0)
            return &kv->value;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

bool gguf_get_u64(const struct gguf *g, const char *key, uint64_t *ret)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (v == NULL)
        return false;
    switch (v->type) {
    case GGUF_U8:
    case GGUF_U16:
    case GGUF_U32:
    case GGUF_U64:
        *ret = v->u;
        return true;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64:
        if (v->i < 0)
            return false;
        *ret = (uint64_t)v->i;
        return true;
    default:
        return false;
    }
}

const char *gguf_architecture(const struct gguf *g, struct arena *a)
{
    const char *name = gguf_get_str(g, "general.architecture", a);
    return name != NULL && name[0] != '\0' && strlen(name) <= GGUF_ARCHITECTURE_MAX ? name : "llama";
}

bool gguf_array_item(const struct gguf_value *array, uint64_t index, struct gguf_value *ret)
{
    if (array->type != GGUF_ARRAY || index >= array->array.count)
        return false;
    const unsigned char *p = array->array.data;
    struct gguf_value item = {.type = array->array.type};
    if (item.type != GGUF_STRING) {
        gguf_number(p + index * gguf_value_bytes(item.type), &item);
        *ret = item;
        return true;
    }
    for (uint64_t i = 0;; i++) { /* the reader has been through these lengths */
        item.str.len = gguf_little_endian(p, 8);
        item.str.data = (const char *)p + 8;
        if (i == index)
            break;
        p += 8 + item.str.len;
    }
    *ret = item;
    return true;
}

const char *gguf_get_str(const struct gguf *g, const char *key, struct arena *a)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (v == NULL || v->type != GGUF_STRING || v->str.len > GGUF_COPY_MAX)
        return NULL;
    if (v->str.len > 0 && memchr(v->str.data, '\0', (size_t)v->str.len) != NULL)
        return NULL;
    return arena_strndup(a, v->str.data, (size_t)v->str.len);
}
