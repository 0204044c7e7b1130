/* base/check: CHECK states what only our own mistake can break; it stays on in release builds.
 * Never for input. It prints the file, line and expression and aborts. */
#ifndef TUG_BASE_CHECK_H
#define TUG_BASE_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(expr)                                                                                                    \
    do {                                                                                                               \
        if (__builtin_expect(!(expr), 0)) {                                                                            \
            fprintf(stderr, "tug: bug: %s:%d: %s\n", __FILE__, __LINE__, #expr);                                       \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Allocation of a small, bounded object: out of memory here ends the process. */
static inline void *check_alloc(void *p)
{
    CHECK(p != NULL);
    return p;
}

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
