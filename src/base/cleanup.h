/* base/cleanup: free what a local owns when its scope ends.
 *
 *   _cleanup_(buf_done) struct buf b = BUF_INIT(LIMIT_MANIFEST_BYTES);
 *   _cleanup_free_ char *s = strdup(x);
 *
 * A cleanup function takes a pointer to the local and accepts it untouched.
 */
#ifndef TUG_BASE_CLEANUP_H
#define TUG_BASE_CLEANUP_H

#include <stdlib.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

static inline void cleanup_free(void *p) { free(*(void **)p); }
#define _cleanup_free_ _cleanup_(cleanup_free)

/* Hands a pointer to the caller and leaves NULL, so that the cleanup does nothing. */
#define TAKE(p)                                                                                                        \
    __extension__({                                                                                                    \
        __typeof__(p) take_tmp_ = (p);                                                                                 \
        (p) = NULL;                                                                                                    \
        take_tmp_;                                                                                                     \
    })

/* Hands a descriptor over and leaves -1, so that _cleanup_(file_close) does nothing. */
#define TAKE_FD(fd)                                                                                                    \
    __extension__({                                                                                                    \
        int take_fd_ = (fd);                                                                                           \
        (fd) = -1;                                                                                                     \
        take_fd_;                                                                                                      \
    })

#endif
