/* base/arena: memory with the lifetime of one request; freed all at once.
 *
 *   struct arena a = ARENA_INIT;
 *   char *s = arena_printf(&a, "%s:%s", name, tag);
 *   arena_done(&a);
 *
 * Never returns NULL: out of memory, or above LIMIT_ARENA_BYTES (a request that large is refused
 * by its body limit first), ends the process. Memory is zeroed and aligned for any type. One
 * thread at a time.
 */
#ifndef TUG_BASE_ARENA_H
#define TUG_BASE_ARENA_H

#include <stddef.h>

struct arena_block;
struct arena {
    struct arena_block *blocks;
    size_t total;
};

#define ARENA_INIT ((struct arena){0})

void *arena_alloc(struct arena *a, size_t n);
void *arena_array(struct arena *a, size_t count, size_t size); /* checked multiplication */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
void *arena_memdup(struct arena *a, const void *p, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_done(struct arena *a);

#endif
