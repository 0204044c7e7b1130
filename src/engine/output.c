/* engine/output.c: see output.h. Two stages: bytes become characters (output_decode), characters are
 * held back for stop strings (output_release). */
#include "engine/output.h"

#include "base/check.h"
#include "base/text.h"

#include <string.h>

/* Above any text of a context's tokens; only our own mistake passes it. */
#define OUTPUT_MAX ((size_t)1 << 30)

void answer_init(struct answer *a)
{
    *a = (struct answer){.text = BUF_INIT(OUTPUT_MAX), .pieces = BUF_INIT(OUTPUT_MAX)};
}

bool answer_empty(const struct answer *a) { return a->text.len == 0 && a->n_rows == 0; }

void answer_clear(struct answer *a)
{
    buf_clear(&a->text);
    buf_clear(&a->pieces);
    a->n_rows = 0;
}

void answer_done(struct answer *a)
{
    buf_done(&a->text);
    buf_done(&a->pieces);
    free(a->rows);
    a->rows = NULL;
    a->n_rows = a->cap_rows = 0;
}

static void answer_add(struct buf *b, const void *data, size_t n)
{
    bool fits = buf_add(b, data, n);
    CHECK(fits);
}

void answer_add_row(struct answer *a, const struct output_row *row, const void *piece, size_t n)
{
    if (a->n_rows == a->cap_rows) {
        a->cap_rows = a->cap_rows < 8 ? 8 : a->cap_rows * 2;
        a->rows = check_alloc(realloc(a->rows, a->cap_rows * sizeof *a->rows));
    }
    struct output_row *added = &a->rows[a->n_rows++];
    *added = *row;
    added->bytes = (uint32_t)a->pieces.len;
    added->n_bytes = (uint32_t)n;
    answer_add(&a->pieces, piece, n);
}

/* Rows `first` to `first + n` of `from`, copied behind those of `to`. */
static void answer_copy_rows(struct answer *to, const struct answer *from, size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++) {
        const struct output_row *row = &from->rows[i];
        answer_add_row(to, row, row->n_bytes > 0 ? from->pieces.data + row->bytes : "", row->n_bytes);
    }
}

void answer_move(struct answer *to, struct answer *from)
{
    if (answer_empty(to)) {
        struct answer empty = *to;
        *to = *from;
        *from = empty;
        answer_clear(from);
        return;
    }
    if (from->text.len > 0)
        answer_add(&to->text, from->text.data, from->text.len);
    answer_copy_rows(to, from, 0, from->n_rows);
    answer_clear(from);
}

void output_init(struct output *o, const char *const *stops, size_t n_stops)
{
    *o = (struct output){
        .stops = stops, .n_stops = n_stops, .partial = BUF_INIT(OUTPUT_MAX), .text = BUF_INIT(OUTPUT_MAX)};
    answer_init(&o->waiting);
}

void output_done(struct output *o)
{
    buf_done(&o->partial);
    buf_done(&o->text);
    answer_done(&o->waiting);
    free(o->ends);
    o->ends = NULL;
    o->n_ends = o->cap_ends = 0;
}

/* The length that a character beginning with this byte has; 0: none begins so. */
static size_t utf8_length(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF)
        return 2;
    if (first >= 0xE0 && first <= 0xEF)
        return 3;
    return first >= 0xF0 && first <= 0xF4 ? 4 : 0;
}

/* May `b` be the second byte after `first`? (No surrogates, no overlong forms, nothing above U+10FFFF.) */
static bool utf8_second(unsigned char first, unsigned char b)
{
    unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    return b >= low && b <= high;
}

/* How many of the n bytes make one character, one bad sequence (*ret_bad), or, 0, a beginning. */
static size_t utf8_next(const unsigned char *s, size_t n, bool *ret_bad)
{
    size_t want = utf8_length(s[0]);
    *ret_bad = want == 0;
    if (want <= 1)
        return 1;
    for (size_t i = 1; i < want; i++) {
        if (i == n)
            return 0;
        bool fits = i == 1 ? utf8_second(s[0], s[1]) : (s[i] & 0xC0) == 0x80;
        if (!fits) {
            *ret_bad = true;
            return i;
        }
    }
    return want;
}

/* Moves the whole characters of `partial` into `text`. */
static void output_decode(struct output *o, bool last)
{
    const unsigned char *s = (const unsigned char *)buf_str(&o->partial);
    size_t n = o->partial.len;
    size_t at = 0;
    while (at < n) {
        bool bad;
        size_t used = utf8_next(s + at, n - at, &bad);
        if (used == 0 && !last)
            break;
        if (used == 0) {
            bad = true;
            used = n - at;
        }
        if (bad)
            answer_add(&o->text, "\xEF\xBF\xBD", 3);
        else
            answer_add(&o->text, s + at, used);
        at += used;
    }
    buf_drop(&o->partial, at);
}

/* The first stop string in text, its offset in *ret_at; false if none. */
static bool output_find_stop(const struct output *o, size_t *ret_at)
{
    bool found = false;
    for (size_t i = 0; i < o->n_stops; i++) {
        const char *at = o->text.len == 0 ? NULL : memmem(o->text.data, o->text.len, o->stops[i], strlen(o->stops[i]));
        if (at != NULL && (!found || (size_t)(at - o->text.data) < *ret_at)) {
            *ret_at = (size_t)(at - o->text.data);
            found = true;
        }
    }
    return found;
}

/* The number of bytes at the end of text that begin a stop string. */
static size_t output_hold_back(const struct output *o)
{
    size_t hold = 0;
    for (size_t i = 0; i < o->n_stops; i++) {
        size_t longest = strlen(o->stops[i]) - 1;
        if (longest > o->text.len)
            longest = o->text.len;
        for (size_t n = longest; n > hold; n--) {
            if (memcmp(o->text.data + o->text.len - n, o->stops[i], n) == 0) {
                hold = n;
                break;
            }
        }
    }
    return hold;
}

static void output_drop_rows(struct output *o, size_t rows, size_t ends)
{
    struct answer rest;
    answer_init(&rest);
    answer_copy_rows(&rest, &o->waiting, rows, o->waiting.n_rows - rows);
    answer_done(&o->waiting);
    o->waiting = rest;
    memmove(o->ends, o->ends + ends, (o->n_ends - ends) * sizeof *o->ends);
    o->n_ends -= ends;
}

/* Releases n bytes of text and the rows whose text is out. `cut`: also a row of which only a part will ever be. */
static void output_release(struct output *o, size_t n, bool cut, struct answer *out)
{
    if (n > 0)
        answer_add(&out->text, o->text.data, n);
    buf_drop(&o->text, n);
    o->released += n;
    size_t rows = 0;
    size_t ends = 0;
    while (ends < o->n_ends && o->ends[ends] <= o->released) {
        rows += 1 + o->waiting.rows[rows].n_top;
        o->last_end = o->ends[ends++];
    }
    if (cut && ends < o->n_ends && o->released > o->last_end) {
        rows += 1 + o->waiting.rows[rows].n_top;
        ends++;
    }
    if (ends > 0) {
        answer_copy_rows(out, &o->waiting, 0, rows);
        output_drop_rows(o, rows, ends);
    }
}

static void output_wait_row(struct output *o, struct answer *token)
{
    if (o->n_ends == o->cap_ends) {
        o->cap_ends = o->cap_ends < 8 ? 8 : o->cap_ends * 2;
        o->ends = check_alloc(realloc(o->ends, o->cap_ends * sizeof *o->ends));
    }
    /* a character that is not whole yet will be at least one byte more */
    o->ends[o->n_ends++] = o->released + o->text.len + (o->partial.len > 0 ? 1 : 0);
    answer_move(&o->waiting, token);
}

bool output_add(struct output *o, const void *bytes, size_t n, struct answer *token, struct answer *out)
{
    answer_add(&o->partial, bytes, n);
    output_decode(o, false);
    if (token != NULL && token->n_rows > 0)
        output_wait_row(o, token);
    size_t at = 0;
    if (output_find_stop(o, &at)) {
        output_release(o, at, true, out);
        buf_clear(&o->text);
        buf_clear(&o->partial);
        return true;
    }
    output_release(o, o->text.len - output_hold_back(o), false, out);
    return false;
}

void output_finish(struct output *o, struct answer *out)
{
    output_decode(o, true);
    size_t at = 0;
    bool stopped = output_find_stop(o, &at); /* a stop string may hold U+FFFD */
    output_release(o, stopped ? at : o->text.len, stopped, out);
    if (!stopped && o->waiting.n_rows > 0) { /* an end that counted on one byte more of a character */
        answer_copy_rows(out, &o->waiting, 0, o->waiting.n_rows);
        output_drop_rows(o, o->waiting.n_rows, o->n_ends);
    }
}
