/* engine/vocab.c: see vocab.h. */
#include "engine/vocab.h"

#include "base/check.h"
#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

struct key {
    const char *bytes;
    size_t n;
    int32_t token;
};

static int key_compare(const void *a, const void *b)
{
    const struct key *x = a;
    const struct key *y = b;
    int order = memcmp(x->bytes, y->bytes, x->n < y->n ? x->n : y->n);
    if (order == 0)
        order = x->n < y->n ? -1 : x->n > y->n;
    return order != 0 ? order : x->token < y->token ? -1 : x->token > y->token;
}

static void vocab_sort(struct vocab *v)
{
    _cleanup_free_ struct key *keys = check_alloc(calloc((size_t)v->n + 1, sizeof *keys));
    for (int32_t i = 0; i < v->n; i++)
        keys[i] = (struct key){vocab_bytes(v, i), vocab_length(v, i), i};
    qsort(keys, (size_t)v->n, sizeof *keys, key_compare);
    for (int32_t i = 0; i < v->n; i++) {
        size_t common = 0;
        while (i > 0 && common < keys[i].n && common < keys[i - 1].n && common < UINT16_MAX &&
               keys[i].bytes[common] == keys[i - 1].bytes[common])
            common++;
        v->order[i] = keys[i].token;
        v->in_common[i] = (uint16_t)common;
    }
}

struct vocab *vocab_new(const char *const *pieces, const size_t *lengths, const uint8_t *flags, int32_t n)
{
    struct vocab *v = check_alloc(calloc(1, sizeof *v));
    size_t all = 0;
    for (int32_t i = 0; i < n; i++)
        all += lengths[i];
    CHECK(all < UINT32_MAX);
    v->n = n;
    v->bytes = check_alloc(malloc(all + 1));
    v->offsets = check_alloc(calloc((size_t)n + 1, sizeof *v->offsets));
    v->flags = check_alloc(calloc((size_t)n + 1, 1));
    v->order = check_alloc(calloc((size_t)n + 1, sizeof *v->order));
    v->in_common = check_alloc(calloc((size_t)n + 1, sizeof *v->in_common));
    for (int32_t i = 0; i < n; i++) {
        memcpy(v->bytes + v->offsets[i], pieces[i], lengths[i]);
        v->offsets[i + 1] = v->offsets[i] + (uint32_t)lengths[i];
        v->flags[i] = flags[i];
    }
    vocab_sort(v);
    return v;
}

void vocab_free(struct vocab **v)
{
    if (*v == NULL)
        return;
    free((*v)->bytes);
    free((*v)->offsets);
    free((*v)->flags);
    free((*v)->order);
    free((*v)->in_common);
    free(*v);
    *v = NULL;
}
