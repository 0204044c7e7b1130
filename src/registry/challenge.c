/* registry/challenge.c: a scheme is a word that no `=` follows; what follows it up to the next such word is its own. */
#include "registry/challenge.h"

#include "base/check.h"
#include "base/text.h"

#include <stddef.h>
#include <string.h>

struct field {
    const char *name;
    char *dst;
    size_t size;
};

/* RFC 9110's tchar. */
static bool is_token(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static const char *skip_space(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

static const char *skip_separators(const char *p)
{
    while (*p == ' ' || *p == '\t' || *p == ',')
        p++;
    return p;
}

/* A value as it is read, into a field of a size. */
struct value {
    char *dst;
    size_t size, n;
    bool ok; /* it fits, is complete, and holds no control character */
};

static void value_add(struct value *v, char c)
{
    if ((unsigned char)c < 0x20 || c == 0x7f || v->n + 1 >= v->size)
        v->ok = false;
    else
        v->dst[v->n++] = c;
}

static const char *quoted_read(const char *p, struct value *v)
{
    for (p++; *p != '\0' && *p != '"'; p++) {
        if (*p == '\\' && p[1] != '\0')
            p++;
        value_add(v, *p);
    }
    if (*p != '"')
        v->ok = false;
    return *p == '"' ? p + 1 : p;
}

/* A quoted string or a token (URLs without quotes are met too), into dst. Returns the end. */
static const char *value_read(const char *p, char *dst, size_t size, bool *ok)
{
    struct value v = {.dst = dst, .size = size, .ok = true};
    if (*p == '"')
        p = quoted_read(p, &v);
    else
        for (; is_token(*p) || (*p != '\0' && strchr("/:=?", *p) != NULL); p++)
            value_add(&v, *p);
    dst[v.n] = '\0';
    *ok = v.ok;
    return p;
}

/* One challenge's parameters, up to the next scheme or the end, into `one`. *ok: all that we know fit. */
static const char *params_read(const char *p, struct challenge *one, bool *ok)
{
    struct field fields[] = {
        {"realm", one->realm, sizeof one->realm},
        {"service", one->service, sizeof one->service},
        {"scope", one->scope, sizeof one->scope},
        {"error", one->error, sizeof one->error},
    };
    for (;;) {
        char ignored[8];
        const char *start = skip_separators(p);
        const char *end = start;
        while (is_token(*end))
            end++;
        const char *after = skip_space(end);
        if (end == start)
            return *start == '\0' ? start : start + 1; /* no word: step over it, so that each round moves on */
        if (*after != '=')
            return start; /* the next scheme */
        after = skip_space(after + 1);
        struct field *field = NULL;
        for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
            char name[16];
            text_format(name, sizeof name, "%.*s", (int)(end - start), start);
            if (text_equal_nocase(name, fields[i].name) && fields[i].dst[0] == '\0')
                field = &fields[i];
        }
        bool fits = true;
        p = value_read(after, field != NULL ? field->dst : ignored, field != NULL ? field->size : sizeof ignored,
                       &fits);
        if (field != NULL && !fits)
            *ok = false;
    }
}

/* "Negotiate YII…==": base64 in place of parameters. Returns what follows it, or p itself. */
static const char *token68_skip(const char *p)
{
    const char *end = skip_space(p);
    const char *start = end;
    while (is_token(*end) || *end == '/')
        end++;
    if (end == start || *end != '=')
        return p;
    while (*end == '=')
        end++;
    const char *after = skip_space(end);
    return *after == '\0' || *after == ',' ? after : p;
}

void challenge_read(const char *header, struct challenge *c)
{
    const char *p = skip_separators(header);
    while (*p != '\0') {
        struct challenge one = {0};
        bool ok = true;
        char scheme[16];
        const char *end = p;
        while (is_token(*end))
            end++;
        if (end == p) {
            p = skip_separators(p + 1);
            continue;
        }
        text_format(scheme, sizeof scheme, "%.*s", (int)(end - p), p);
        bool known = (size_t)(end - p) < sizeof scheme;
        p = skip_separators(params_read(token68_skip(end), &one, &ok));
        if (known && text_equal_nocase(scheme, "Basic"))
            c->basic = true;
        if (!known || !text_equal_nocase(scheme, "Bearer") || !ok || one.realm[0] == '\0' || c->bearer)
            continue;
        one.bearer = true;
        one.basic = c->basic;
        *c = one;
    }
}
