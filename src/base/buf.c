/* base/buf.c: see buf.h. */
#include "base/buf.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

char *buf_reserve(struct buf *b, size_t n)
{
    if (n > b->max || b->len > b->max - n)
        return NULL;
    size_t need = b->len + n + 1;
    if (need > b->cap) {
        size_t cap = b->cap < 64 ? 64 : b->cap;
        while (cap < need)
            cap += cap / 2;
        b->data = check_alloc(realloc(b->data, cap));
        b->cap = cap;
    }
    b->data[b->len] = '\0';
    return b->data + b->len;
}

bool buf_add(struct buf *b, const void *data, size_t n)
{
    char *at = buf_reserve(b, n);
    if (at == NULL)
        return false;
    if (n > 0)
        memcpy(at, data, n);
    b->len += n;
    b->data[b->len] = '\0';
    return true;
}

bool buf_add_str(struct buf *b, const char *s) { return buf_add(b, s, strlen(s)); }
bool buf_add_char(struct buf *b, char c) { return buf_add(b, &c, 1); }

bool buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    CHECK(n >= 0);
    char *at = buf_reserve(b, (size_t)n);
    if (at != NULL) {
        vsnprintf(at, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return at != NULL;
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    bool ok = buf_vprintf(b, fmt, ap);
    va_end(ap);
    return ok;
}

void buf_drop(struct buf *b, size_t n)
{
    CHECK(n <= b->len);
    if (n == 0)
        return;
    memmove(b->data, b->data + n, b->len - n + 1);
    b->len -= n;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->data != NULL)
        b->data[0] = '\0';
}

void buf_done(struct buf *b)
{
    free(b->data);
    b->data = NULL;
    b->len = b->cap = 0;
}

const char *buf_str(const struct buf *b) { return b->data == NULL ? "" : b->data; }

char *buf_take(struct buf *b)
{
    char *p = b->data == NULL ? check_alloc(calloc(1, 1)) : b->data;
    b->data = NULL;
    b->len = b->cap = 0;
    return p;
}
