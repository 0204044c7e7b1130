/* engine/park.c: see park.h. Entries do not move, so that a pinned one can be pointed at. */
#include "engine/park.h"

#include "base/check.h"
#include "engine/cache.h"

#include <string.h>

struct park {
    struct park_entry entries[PARK_MOST]; /* n == 0: free */
    size_t limit, bytes;
    uint64_t clock, evictions;
};

struct park *park_new(size_t bytes)
{
    struct park *p = check_alloc(calloc(1, sizeof *p));
    p->limit = bytes;
    return p;
}

void park_free(struct park **p)
{
    if (*p != NULL)
        (void)park_clear(*p);
    free(*p);
    *p = NULL;
}

void park_drop(struct park *p, struct park_entry *e)
{
    CHECK(e->n > 0);
    p->bytes -= e->size;
    free(e->tokens);
    free(e->blob);
    *e = (struct park_entry){0};
}

bool park_clear(struct park *p)
{
    bool some = false;
    for (size_t i = 0; i < PARK_MOST; i++) {
        if (p->entries[i].n == 0)
            continue;
        park_drop(p, &p->entries[i]);
        some = true;
    }
    return some;
}

/* The least recently used one leaves; false: all that is left is pinned. */
static bool park_evict(struct park *p)
{
    struct park_entry *oldest = NULL;
    for (size_t i = 0; i < PARK_MOST; i++) {
        struct park_entry *e = &p->entries[i];
        if (e->n > 0 && !e->pinned && (oldest == NULL || e->used_at < oldest->used_at))
            oldest = e;
    }
    if (oldest == NULL)
        return false;
    park_drop(p, oldest);
    p->evictions++;
    return true;
}

/* Those that the new one begins with say nothing more than it does. */
static void park_replace(struct park *p, const int32_t *tokens, int32_t n, uint64_t salt)
{
    for (size_t i = 0; i < PARK_MOST; i++) {
        struct park_entry *e = &p->entries[i];
        if (e->n > 0 && !e->pinned && e->salt == salt && e->n <= n && cache_common(e->tokens, e->n, tokens, n) == e->n)
            park_drop(p, e);
    }
}

static struct park_entry *park_free_entry(struct park *p)
{
    for (size_t i = 0; i < PARK_MOST; i++)
        if (p->entries[i].n == 0)
            return &p->entries[i];
    return NULL;
}

void *park_put(struct park *p, const int32_t *tokens, int32_t n, uint64_t salt, size_t size)
{
    CHECK(n > 0);
    if (size == 0 || size > p->limit)
        return NULL;
    park_replace(p, tokens, n, salt);
    struct park_entry *e = park_free_entry(p);
    while (e == NULL || p->bytes + size > p->limit) {
        if (!park_evict(p))
            return NULL;
        e = park_free_entry(p);
    }
    void *blob = malloc(size); /* large, and only a saving: no reason to die when there is none */
    if (blob == NULL)
        return NULL;
    *e = (struct park_entry){.n = n, .salt = salt, .blob = blob, .size = size, .used_at = ++p->clock};
    e->tokens = check_alloc(malloc((size_t)n * sizeof *tokens));
    memcpy(e->tokens, tokens, (size_t)n * sizeof *tokens);
    p->bytes += size;
    return blob;
}

struct park_entry *park_find(const struct park *p, const int32_t *tokens, int32_t n, uint64_t salt, bool whole,
                             int32_t *ret_common)
{
    const struct park_entry *best = NULL;
    int32_t best_n = 0;
    for (size_t i = 0; i < PARK_MOST; i++) {
        const struct park_entry *e = &p->entries[i];
        if (e->n == 0 || e->salt != salt)
            continue;
        int32_t common = cache_common(e->tokens, e->n, tokens, n);
        if (common > best_n && (!whole || common == e->n)) {
            best = e;
            best_n = common;
        }
    }
    *ret_common = best_n;
    return (struct park_entry *)best;
}

void park_pin(struct park *p, struct park_entry *e)
{
    e->used_at = ++p->clock;
    e->pinned = true;
}

void park_unpin(struct park_entry *e) { e->pinned = false; }

size_t park_bytes(const struct park *p) { return p->bytes; }
uint64_t park_evictions(const struct park *p) { return p->evictions; }
