/* api/log_merge.c: the next entry is the earliest of the texts' first ones. */
#include "api/log_merge.h"

#include <string.h>

enum { TIME_LEN = 23 }; /* 2026-11-24T13:04:05.123 */

/* The time at the beginning of a line, TIME_LEN characters that compare as text; NULL: it has none. */
static const char *line_time(const char *line, size_t len)
{
    static const char form[] = "0000-00-00T00:00:00.000";
    static const char head[] = "---- ";
    if (len > sizeof head && memcmp(line, head, sizeof head - 1) == 0) {
        line += sizeof head - 1;
        len -= sizeof head - 1;
    }
    if (len < TIME_LEN)
        return NULL;
    for (size_t i = 0; i < TIME_LEN; i++) {
        bool digit = line[i] >= '0' && line[i] <= '9';
        if (form[i] == '0' ? !digit : line[i] != form[i])
            return NULL;
    }
    return line;
}

static size_t line_len(const char *text, size_t len)
{
    const char *end = memchr(text, '\n', len);
    return end != NULL ? (size_t)(end - text) + 1 : len;
}

static size_t entry_len(const struct log_text *t)
{
    size_t n = line_len(t->text, t->len);
    while (n < t->len && line_time(t->text + n, t->len - n) == NULL)
        n += line_len(t->text + n, t->len - n);
    return n;
}

/* Earlier than all that have a time: an entry without one, which can only be the first of its text. */
static bool entry_before(const struct log_text *a, const struct log_text *b)
{
    const char *x = line_time(a->text, a->len), *y = line_time(b->text, b->len);
    if (x == NULL || y == NULL)
        return x == NULL && y != NULL;
    return memcmp(x, y, TIME_LEN) < 0;
}

bool log_merge(struct log_text *texts, size_t n, struct buf *out)
{
    for (;;) {
        struct log_text *first = NULL;
        for (size_t i = 0; i < n; i++)
            if (texts[i].len > 0 && (first == NULL || entry_before(&texts[i], first)))
                first = &texts[i];
        if (first == NULL)
            return true;
        size_t len = entry_len(first);
        if (!buf_add(out, first->text, len))
            return false;
        first->text += len;
        first->len -= len;
    }
}
