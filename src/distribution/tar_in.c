/* distribution/tar_in.c: see tar_in.h. What is waited for decides the state: the next header, the text of a header
 * that speaks of the next one (pax, GNU long name), a file's content, padding, or nothing more. */
#include "distribution/tar_in.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 512,
    AT_SIZE = 124,
    AT_SUM = 148,
    AT_TYPE = 156,
    AT_MAGIC = 257,
    AT_PREFIX = 345,
    NAME_FIELD = 100,
    SIZE_FIELD = 12,
    SUM_FIELD = 8,
    PREFIX_FIELD = 155,
    TEXT_MAX = 1024 * 1024, /* a pax header or a long name */
};
#define TAR_SIZE_MAX (UINT64_C(1) << 53)

enum tar_state { TAR_HEADER, TAR_TEXT, TAR_FILE, TAR_SKIP, TAR_PADDING, TAR_END };

struct tar_in {
    const struct tar_sink *sink;
    void *ctx;
    enum tar_state state;
    unsigned char header[BLOCK];
    size_t have;    /* of the header */
    uint64_t left;  /* of the content */
    size_t padding; /* behind it */
    char text_type; /* 'x' or 'L' while in TAR_TEXT */
    struct buf text;
    struct buf name; /* of the next file, from pax or a long name; empty: from its header */
    uint64_t size;   /* from pax; UINT64_MAX: from its header */
    unsigned entries;
};

struct tar_in *tar_in_new(const struct tar_sink *sink, void *ctx)
{
    struct tar_in *t = check_alloc(calloc(1, sizeof *t));
    *t = (struct tar_in){
        .sink = sink, .ctx = ctx, .text = BUF_INIT(TEXT_MAX), .name = BUF_INIT(TAR_IN_NAME), .size = UINT64_MAX};
    return t;
}

void tar_in_free(struct tar_in **t)
{
    if (*t == NULL)
        return;
    buf_done(&(*t)->text);
    buf_done(&(*t)->name);
    free(*t);
    *t = NULL;
}

static bool tar_refuse(struct err *err, const char *why)
{
    return err_set(err, ERR_INVALID, "the archive is wrong: %s", why);
}

/* Octal with leading spaces or zeros, ended by a space or NUL; or base-256 when the first bit is set. */
static bool tar_number(const unsigned char *p, size_t n, uint64_t *ret)
{
    uint64_t v = 0;
    size_t i = 0;
    if (p[0] & 0x80) {
        if (p[0] != 0x80)
            return false; /* negative, or beyond 64 bits */
        for (i = 1; i < n; i++) {
            if (v >> 56 != 0)
                return false;
            v = v << 8 | p[i];
        }
        *ret = v;
        return true;
    }
    while (i < n && p[i] == ' ')
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        v = v << 3 | (uint64_t)(p[i] - '0');
    for (; i < n; i++)
        if (p[i] != ' ' && p[i] != '\0')
            return false;
    *ret = v;
    return true;
}

static bool header_sound(const unsigned char *h)
{
    uint64_t said;
    uint64_t sum = 0;
    for (size_t i = 0; i < BLOCK; i++)
        sum += i >= AT_SUM && i < AT_SUM + SUM_FIELD ? ' ' : h[i];
    return tar_number(h + AT_SUM, SUM_FIELD, &said) && said == sum;
}

static bool block_empty(const unsigned char *h)
{
    for (size_t i = 0; i < BLOCK; i++)
        if (h[i] != 0)
            return false;
    return true;
}

/* The name of the entry, without "./": into dst. */
static bool entry_name(const struct tar_in *t, char dst[TAR_IN_NAME], struct err *err)
{
    const char *h = (const char *)t->header;
    size_t n = strnlen(h, NAME_FIELD);
    size_t prefix = memcmp(h + AT_MAGIC, "ustar", 6) == 0 ? strnlen(h + AT_PREFIX, PREFIX_FIELD) : 0;
    bool fits = t->name.len > 0 ? text_format(dst, TAR_IN_NAME, "%s", t->name.data)
                                : text_format(dst, TAR_IN_NAME, "%.*s%s%.*s", (int)prefix, h + AT_PREFIX,
                                              prefix > 0 ? "/" : "", (int)n, h);
    if (!fits)
        return tar_refuse(err, "a name is too long");
    char *name = dst;
    while (text_starts(name, "./"))
        name += 2;
    if (name[0] == '/')
        return tar_refuse(err, "a name is absolute");
    for (const char *s = name;; s++) {
        size_t part = strcspn(s, "/");
        if (part == 2 && s[0] == '.' && s[1] == '.')
            return tar_refuse(err, "a name has `..` in it");
        s += part;
        if (*s == '\0')
            break;
    }
    memmove(dst, name, strlen(name) + 1);
    return true;
}

static void content_begin(struct tar_in *t, enum tar_state state, uint64_t size)
{
    t->state = state;
    t->left = size;
    t->padding = (size_t)((BLOCK - size % BLOCK) % BLOCK);
}

static bool file_begin(struct tar_in *t, uint64_t size, struct err *err)
{
    char name[TAR_IN_NAME];
    if (!entry_name(t, name, err))
        return false;
    buf_clear(&t->name);
    t->size = UINT64_MAX;
    if (text_ends(name, "/")) { /* an old tar's folder */
        content_begin(t, TAR_SKIP, size);
        return true;
    }
    content_begin(t, TAR_FILE, size);
    return t->sink->begin(t->ctx, name, size, err);
}

static bool folder_begin(struct tar_in *t, uint64_t size, struct err *err)
{
    char name[TAR_IN_NAME];
    if (!entry_name(t, name, err))
        return false;
    buf_clear(&t->name);
    t->size = UINT64_MAX;
    content_begin(t, TAR_SKIP, size);
    return true;
}

static bool text_begin(struct tar_in *t, uint64_t size, struct err *err)
{
    if (size > TEXT_MAX)
        return tar_refuse(err, "an extended header is too long");
    t->text_type = (char)t->header[AT_TYPE];
    buf_clear(&t->text);
    content_begin(t, TAR_TEXT, size);
    return true;
}

static bool entry_begin(struct tar_in *t, struct err *err)
{
    uint64_t size;
    if (block_empty(t->header)) {
        t->state = TAR_END;
        return true;
    }
    if (!header_sound(t->header))
        return tar_refuse(err, "a header's checksum does not match; is it a tar, and not compressed?");
    if (!tar_number(t->header + AT_SIZE, SIZE_FIELD, &size))
        return tar_refuse(err, "a size is no number");
    if (++t->entries > TAR_IN_ENTRIES)
        return tar_refuse(err, "it has too many entries");
    char type = (char)t->header[AT_TYPE];
    if (t->size != UINT64_MAX && type != 'x' && type != 'g' && type != 'L' && type != 'K')
        size = t->size;
    if (size > TAR_SIZE_MAX)
        return tar_refuse(err, "a size is beyond 2^53");
    switch (type) {
    case '0':
    case '\0':
    case '7':
        return file_begin(t, size, err);
    case '5':
        return folder_begin(t, size, err);
    case 'x':
    case 'L':
        return text_begin(t, size, err);
    case 'g': /* a comment for all; git writes one */
    case 'K': /* the target of a link, which then is refused */
        content_begin(t, TAR_SKIP, size);
        return true;
    case '1':
    case '2':
        return tar_refuse(err, "it has a link; models have plain files only");
    default:
        return tar_refuse(err, "it has an entry that is neither file nor folder");
    }
}

static bool pax_record(struct tar_in *t, const char *key, size_t key_len, const char *value, size_t len,
                       struct err *err)
{
    if (key_len == 4 && memcmp(key, "path", 4) == 0) {
        buf_clear(&t->name);
        if (memchr(value, '\0', len) != NULL || len == 0 || !buf_add(&t->name, value, len))
            return tar_refuse(err, "a name is empty, too long or holds a NUL byte");
    } else if (key_len == 4 && memcmp(key, "size", 4) == 0) {
        char number[24];
        if (!text_format(number, sizeof number, "%.*s", (int)(len < 30 ? len : 30), value) ||
            !text_to_u64(number, &t->size) || t->size > TAR_SIZE_MAX)
            return tar_refuse(err, "a size is no number");
    } else if (key_len >= 10 && memcmp(key, "GNU.sparse", 10) == 0) {
        return tar_refuse(err, "it has a sparse file");
    }
    return true;
}

/* Records "LENGTH KEY=VALUE\n", LENGTH counting all of it. */
static bool pax_read(struct tar_in *t, struct err *err)
{
    const char *p = t->text.data;
    size_t left = t->text.len;
    while (left > 0) {
        size_t digits = 0;
        size_t length = 0;
        while (digits < left && digits < 8 && p[digits] >= '0' && p[digits] <= '9')
            length = length * 10 + (size_t)(p[digits++] - '0');
        if (digits == 0 || digits == left || p[digits] != ' ' || length > left || length < digits + 4 ||
            p[length - 1] != '\n')
            return tar_refuse(err, "a pax record is malformed");
        const char *key = p + digits + 1;
        const char *end = p + length - 1;
        const char *equals = memchr(key, '=', (size_t)(end - key));
        if (equals == NULL)
            return tar_refuse(err, "a pax record is malformed");
        if (!pax_record(t, key, (size_t)(equals - key), equals + 1, (size_t)(end - equals - 1), err))
            return false;
        p += length;
        left -= length;
    }
    return true;
}

static bool content_end(struct tar_in *t, struct err *err)
{
    bool ok = true;
    if (t->state == TAR_FILE)
        ok = t->sink->end(t->ctx, err);
    if (t->state == TAR_TEXT && t->text_type == 'x')
        ok = pax_read(t, err);
    if (t->state == TAR_TEXT && t->text_type == 'L') {
        buf_clear(&t->name);
        if (!buf_add(&t->name, buf_str(&t->text), strlen(buf_str(&t->text))))
            ok = tar_refuse(err, "a name is too long");
    }
    t->state = t->padding > 0 ? TAR_PADDING : TAR_HEADER;
    return ok;
}

static bool content_add(struct tar_in *t, const unsigned char *p, size_t n, struct err *err)
{
    if (t->state == TAR_FILE)
        return t->sink->data(t->ctx, p, n, err);
    if (t->state == TAR_TEXT)
        return buf_add(&t->text, p, n) || tar_refuse(err, "an extended header is too long");
    return true;
}

/* Takes some of the n > 0 bytes. */
static bool tar_step(struct tar_in *t, const unsigned char *p, size_t n, size_t *ret_used, struct err *err)
{
    size_t used;
    switch (t->state) {
    case TAR_HEADER:
        used = n < BLOCK - t->have ? n : BLOCK - t->have;
        memcpy(t->header + t->have, p, used);
        t->have += used;
        *ret_used = used;
        if (t->have < BLOCK)
            return true;
        t->have = 0;
        if (!entry_begin(t, err))
            return false;
        break;
    case TAR_PADDING:
        used = n < t->padding ? n : t->padding;
        t->padding -= used;
        *ret_used = used;
        if (t->padding == 0)
            t->state = TAR_HEADER;
        return true;
    case TAR_END:
        *ret_used = n;
        return true;
    default:
        used = n < t->left ? n : (size_t)t->left;
        *ret_used = used;
        if (!content_add(t, p, used, err))
            return false;
        t->left -= used;
        break;
    }
    bool in_content = t->state == TAR_FILE || t->state == TAR_TEXT || t->state == TAR_SKIP;
    return !in_content || t->left > 0 || content_end(t, err);
}

bool tar_in_push(struct tar_in *t, const void *data, size_t n, struct err *err)
{
    const unsigned char *p = data;
    while (n > 0) {
        size_t used = 0;
        if (!tar_step(t, p, n, &used, err))
            return false;
        p += used;
        n -= used;
    }
    return true;
}

bool tar_in_finish(struct tar_in *t, struct err *err)
{
    if (t->state == TAR_END || (t->state == TAR_HEADER && t->have == 0 && t->entries > 0))
        return true;
    if (t->entries == 0)
        return tar_refuse(err, "it is empty or no tar");
    return tar_refuse(err, "it ends in the middle of an entry; was the upload cut off?");
}
