/* base/buf: a growing byte buffer with a maximum that is fixed at birth.
 *
 *   _cleanup_(buf_done) struct buf b = BUF_INIT(LIMIT_MANIFEST_BYTES);
 *   if (!buf_add(&b, data, n)) ...                the maximum would be passed: nothing was added
 *
 * data is always NUL-terminated once something was added (the NUL is not counted), and NULL
 * before. Out of memory ends the process; only the maximum is an error. Not thread-safe.
 */
#ifndef TUG_BASE_BUF_H
#define TUG_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data;
    size_t len;
    size_t cap;
    size_t max;
};

#define BUF_INIT(maximum) ((struct buf){.max = (size_t)(maximum)})

bool buf_add(struct buf *b, const void *data, size_t n);
bool buf_add_str(struct buf *b, const char *s);
bool buf_add_char(struct buf *b, char c);
bool buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool buf_vprintf(struct buf *b, const char *fmt, va_list ap);
/* Room for n more bytes at data + len, to be counted by the caller with b->len += used. NULL: over the maximum. */
char *buf_reserve(struct buf *b, size_t n);
/* Removes the first n bytes. */
void buf_drop(struct buf *b, size_t n);
void buf_clear(struct buf *b); /* keeps the memory */
void buf_done(struct buf *b);
/* The text, "" when empty; borrowed. */
const char *buf_str(const struct buf *b);
/* The malloc'd text, to the caller; the buffer is empty afterwards. Never NULL. */
char *buf_take(struct buf *b);

#endif
