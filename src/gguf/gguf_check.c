/* gguf/gguf_check.c: what can only be judged when the whole header was read. Names are unique; each tensor lies
 * aligned inside the file and on no other one, so that the engine maps nothing twice. */
#include "gguf/gguf_file.h"

#include "base/check.h"
#include "base/cleanup.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { GGUF_ALIGNMENT = 32, GGUF_ALIGNMENT_MAX = 1 << 20 };

void gguf_shown(char dst[GGUF_SHOWN], const char *data, uint64_t len)
{
    size_t n = len < 40 ? (size_t)len : 40;
    for (size_t i = 0; i < n; i++)
        dst[i] = isprint((unsigned char)data[i]) ? data[i] : '?';
    memcpy(dst + n, len > n ? "..." : "", len > n ? 4 : 1);
}

int gguf_key_compare(const char *a, uint64_t a_len, const char *b, uint64_t b_len)
{
    uint64_t n = a_len < b_len ? a_len : b_len;
    int order = n > 0 ? memcmp(a, b, (size_t)n) : 0;
    return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

struct tensor_ref {
    const struct gguf_tensor *t;
};

static int kv_order(const void *a, const void *b)
{
    const struct gguf_kv *x = ((const struct gguf_kv_ref *)a)->kv;
    const struct gguf_kv *y = ((const struct gguf_kv_ref *)b)->kv;
    return gguf_key_compare(x->key.data, x->key.len, y->key.data, y->key.len);
}

static int tensor_name_order(const void *a, const void *b)
{
    const struct gguf_tensor *x = ((const struct tensor_ref *)a)->t;
    const struct gguf_tensor *y = ((const struct tensor_ref *)b)->t;
    return gguf_key_compare(x->name.data, x->name.len, y->name.data, y->name.len);
}

static int tensor_offset_order(const void *a, const void *b)
{
    const struct gguf_tensor *x = ((const struct tensor_ref *)a)->t;
    const struct gguf_tensor *y = ((const struct tensor_ref *)b)->t;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

bool gguf_index_keys(struct gguf *g, const char *name, struct err *err)
{
    g->kvs_by_key = check_alloc(calloc(g->n_kvs + 1, sizeof *g->kvs_by_key));
    for (size_t i = 0; i < g->n_kvs; i++)
        g->kvs_by_key[i].kv = &g->kvs[i];
    qsort(g->kvs_by_key, g->n_kvs, sizeof *g->kvs_by_key, kv_order);
    for (size_t i = 1; i < g->n_kvs; i++) {
        if (kv_order(&g->kvs_by_key[i - 1], &g->kvs_by_key[i]) != 0)
            continue;
        char shown[GGUF_SHOWN];
        gguf_shown(shown, g->kvs_by_key[i].kv->key.data, g->kvs_by_key[i].kv->key.len);
        return err_set(err, ERR_INVALID, "%s is not a sound GGUF file: the key \"%s\" is there twice", name, shown);
    }
    return true;
}

static bool tensor_refuse(const struct gguf_tensor *t, const char *name, const char *why, struct err *err)
{
    char shown[GGUF_SHOWN];
    gguf_shown(shown, t->name.data, t->name.len);
    return err_set(err, ERR_INVALID, "%s is not a sound GGUF file: tensor \"%s\" %s", name, shown, why);
}

static bool alignment_of(const struct gguf *g, const char *name, uint64_t *ret, struct err *err)
{
    const struct gguf_value *v = gguf_find(g, "general.alignment");
    uint64_t alignment = GGUF_ALIGNMENT;
    if (v != NULL)
        alignment = v->type == GGUF_U32 ? v->u : 0;
    if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > GGUF_ALIGNMENT_MAX)
        return err_set(err, ERR_INVALID, "%s is not a sound GGUF file: general.alignment is no power of 2", name);
    *ret = alignment;
    return true;
}

static bool tensors_unique(const struct gguf *g, struct tensor_ref *order, const char *name, struct err *err)
{
    qsort(order, g->n_tensors, sizeof *order, tensor_name_order);
    for (size_t i = 1; i < g->n_tensors; i++)
        if (tensor_name_order(&order[i - 1], &order[i]) == 0)
            return tensor_refuse(order[i].t, name, "is there twice", err);
    return true;
}

/* The file may still be on its way (gguf_open_bytes): only its size counts. */
static bool tensors_fit(const struct gguf *g, struct tensor_ref *order, uint64_t alignment, const char *name,
                        struct err *err)
{
    uint64_t room = g->file_size - g->data_offset;
    uint64_t end = 0;
    qsort(order, g->n_tensors, sizeof *order, tensor_offset_order);
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = order[i].t;
        if (t->offset % alignment != 0)
            return tensor_refuse(t, name, "is not aligned", err);
        if (t->offset > room || t->bytes > room - t->offset)
            return tensor_refuse(t, name, "reaches beyond the end of the file; is the file complete?", err);
        if (t->offset < end)
            return tensor_refuse(t, name, "lies on another tensor", err);
        end = t->offset + t->bytes;
    }
    return true;
}

bool gguf_place_tensors(struct gguf *g, const char *name, uint64_t header_end, struct err *err)
{
    uint64_t alignment = GGUF_ALIGNMENT;
    if (!alignment_of(g, name, &alignment, err))
        return false;
    uint64_t start = (header_end + alignment - 1) / alignment * alignment;
    if (start > g->file_size) {
        if (g->n_tensors > 0)
            return err_set(err, ERR_INVALID,
                           "%s is not a sound GGUF file: it ends at byte %" PRIu64 ", before its first tensor", name,
                           g->file_size);
        start = g->file_size;
    }
    g->data_offset = start;
    _cleanup_free_ struct tensor_ref *order = check_alloc(calloc(g->n_tensors + 1, sizeof *order));
    for (size_t i = 0; i < g->n_tensors; i++)
        order[i].t = &g->tensors[i];
    return tensors_unique(g, order, name, err) && tensors_fit(g, order, alignment, name, err);
}
