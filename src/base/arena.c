/* base/arena.c: a list of blocks, each at least 8 KiB; the first in the list is the one in use. */
#include "base/arena.h"

#include "base/check.h"
#include "base/limits.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

enum { ARENA_BLOCK_BYTES = 8192 };

struct arena_block {
    struct arena_block *next;
    size_t used;
    size_t size;
    alignas(max_align_t) unsigned char bytes[];
};

void *arena_alloc(struct arena *a, size_t n)
{
    CHECK(n <= LIMIT_ARENA_BYTES && a->total <= LIMIT_ARENA_BYTES - n);
    size_t need = (n + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    struct arena_block *b = a->blocks;
    if (b == NULL || b->size - b->used < need) {
        size_t size = need > ARENA_BLOCK_BYTES ? need : (size_t)ARENA_BLOCK_BYTES;
        b = check_alloc(calloc(1, sizeof *b + size));
        b->size = size;
        b->next = a->blocks;
        a->blocks = b;
    }
    void *p = b->bytes + b->used;
    b->used += need;
    a->total += need;
    return p;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t n;
    CHECK(!__builtin_mul_overflow(count, size, &n));
    return arena_alloc(a, n);
}

void *arena_memdup(struct arena *a, const void *p, size_t n)
{
    void *copy = arena_alloc(a, n);
    if (n > 0)
        memcpy(copy, p, n);
    return copy;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    char *copy = arena_alloc(a, n + 1);
    if (n > 0)
        memcpy(copy, s, n);
    return copy;
}

char *arena_strdup(struct arena *a, const char *s) { return arena_strndup(a, s, strlen(s)); }

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_list again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    CHECK(n >= 0);
    char *s = arena_alloc(a, (size_t)n + 1);
    vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}

void arena_done(struct arena *a)
{
    while (a->blocks != NULL) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    a->total = 0;
}
