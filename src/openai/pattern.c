/* openai/pattern.c: see pattern.h. */
#include "openai/pattern.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"

#include <stdbool.h>
#include <string.h>

/* Characters of a JSON string that need no escape; else "." could end the string. */
#define ANY "[^\\x00-\\x1F\"\\\\\\x7F]"

struct pattern {
    const char *at;
    struct buf out;
    char *why;
    size_t why_size;
    int depth;
    int64_t repeats; /* the product of nested counts would be the size of the grammar; this sums single ones */
};

static bool fail(struct pattern *p, const char *why)
{
    (void)text_format(p->why, p->why_size, "%s", why);
    return false;
}

/* What \d and its like stand for, inside of a class. */
static const char *shorthand(char c)
{
    switch (c) {
    case 'd':
        return "0-9";
    case 'w':
        return "0-9A-Za-z_";
    case 's':
        return " "; /* tabs and newlines need an escape in a JSON string */
    default:
        return NULL;
    }
}

static const char *shorthand_not(char c)
{
    switch (c) {
    case 'D':
        return "[^0-9\\x00-\\x1F\"\\\\\\x7F]";
    case 'W':
        return "[^0-9A-Za-z_\\x00-\\x1F\"\\\\\\x7F]";
    case 'S':
        return "[^ \\x00-\\x1F\"\\\\\\x7F]";
    default:
        return NULL;
    }
}

static bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/* \xNN and \uNNNN, as they are. */
static bool hex_escape(struct pattern *p, bool *ret_taken)
{
    size_t digits = p->at[1] == 'x' ? 2 : p->at[1] == 'u' ? 4 : 0;
    *ret_taken = false;
    if (digits == 0)
        return true;
    for (size_t i = 0; i < digits; i++)
        if (!is_hex(p->at[2 + i]))
            return fail(p, "\\x needs two and \\u four hexadecimal digits");
    (void)buf_add(&p->out, p->at, 2 + digits);
    p->at += 2 + digits;
    *ret_taken = true;
    return true;
}

/* Characters that a JSON string has only with a backslash; a pattern is about the string, a grammar about its JSON. */
static bool is_json_escaped(char c) { return c != '\0' && strchr("\"\\ntrf", c) != NULL; }

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* After a backslash outside of a class. */
static bool escape(struct pattern *p)
{
    char c = p->at[1];
    bool taken;
    const char *inside = shorthand(c);
    if (inside != NULL || shorthand_not(c) != NULL) {
        if (inside != NULL)
            (void)buf_printf(&p->out, "[%s]", inside);
        else
            (void)buf_add_str(&p->out, shorthand_not(c));
        p->at += 2;
        return true;
    }
    if (!hex_escape(p, &taken) || taken)
        return taken;
    if (is_json_escaped(c))
        return fail(p, "characters that JSON writes with a backslash are not supported in patterns");
    if (c == '\0' || is_alphanumeric(c))
        return fail(p, "only the escapes \\d \\w \\s \\D \\W \\S \\xNN \\uNNNN and of punctuation are supported");
    /* the conversion takes these with their backslash, all others bare */
    if (strchr("^$.[]()|{}*+?-", c) != NULL)
        (void)buf_add(&p->out, c == '-' ? "-" : p->at, c == '-' ? 1 : 2);
    else
        (void)buf_add_char(&p->out, c);
    p->at += 2;
    return true;
}

static bool class_escape(struct pattern *p)
{
    char c = p->at[1];
    bool taken;
    if (shorthand(c) != NULL) {
        (void)buf_add_str(&p->out, shorthand(c));
        p->at += 2;
        return true;
    }
    if (!hex_escape(p, &taken) || taken)
        return taken;
    if (c == '\\' || c == '[' || c == ']' || c == '-') {
        (void)buf_add(&p->out, p->at, 2);
    } else if (c != '\0' && strchr("^$.(){}|*+?/", c) != NULL) {
        (void)buf_add_char(&p->out, c);
    } else {
        return fail(p, "a class has an escape that is not supported");
    }
    p->at += 2;
    return true;
}

static bool class_take(struct pattern *p)
{
    bool negated = p->at[1] == '^';
    (void)buf_add_str(&p->out, negated ? "[^\\x00-\\x1F\"\\\\\\x7F" : "[");
    p->at += negated ? 2 : 1;
    if (*p->at == ']')
        return fail(p, "an empty class is not supported");
    while (*p->at != ']') {
        if (*p->at == '\0')
            return fail(p, "a class is not closed");
        if (*p->at == '"' && !negated)
            return fail(p, "characters that JSON writes with a backslash are not supported in patterns");
        if (*p->at == '\\') {
            if (!class_escape(p))
                return false;
        } else {
            if (*p->at == '[')
                (void)buf_add_char(&p->out, '\\');
            (void)buf_add_char(&p->out, *p->at++);
        }
    }
    (void)buf_add_char(&p->out, *p->at++);
    return true;
}

static bool braces(struct pattern *p)
{
    const char *end = strchr(p->at, '}');
    for (const char *c = p->at + 1; end != NULL && c < end; c++)
        if ((*c < '0' || *c > '9') && *c != ',')
            end = NULL;
    if (end == NULL || end - p->at > 16 || p->at[1] == ',' || p->at[1] == '}')
        return fail(p, "braces must be {3}, {3,} or {3,5}");
    int64_t largest = 0;
    int64_t n = 0;
    for (const char *c = p->at + 1; c < end; c++) {
        n = *c == ',' ? 0 : n * 10 + (*c - '0');
        largest = n > largest ? n : largest;
    }
    p->repeats += largest;
    if (largest > LIMIT_SCHEMA_COUNT || p->repeats > LIMIT_SCHEMA_COUNT)
        return fail(p, "its repetitions are above LIMIT_SCHEMA_COUNT");
    (void)buf_add(&p->out, p->at, (size_t)(end - p->at) + 1);
    p->at = end + 1;
    return true;
}

static bool group(struct pattern *p)
{
    if (p->at[1] == '?' && p->at[2] != ':')
        return fail(p, "lookaround, named groups and flags are not supported");
    if (++p->depth > LIMIT_SCHEMA_DEPTH)
        return fail(p, "its groups are nested too deep");
    size_t n = p->at[1] == '?' ? 3 : 1;
    (void)buf_add_char(&p->out, '(');
    p->at += n;
    return true;
}

static bool piece(struct pattern *p, bool *ret_end)
{
    switch (*p->at) {
    case '\\':
        return escape(p);
    case '[':
        return class_take(p);
    case '{':
        return braces(p);
    case '(':
        return group(p);
    case ')':
        if (--p->depth < 0)
            return fail(p, "a \")\" too many");
        break;
    case '.':
        p->at++;
        return buf_add_str(&p->out, ANY);
    case '^':
        return fail(p, "\"^\" is supported at the beginning alone");
    case '$':
        if (p->at[1] != '\0')
            return fail(p, "\"$\" is supported at the end alone");
        *ret_end = true;
        p->at++;
        return true;
    case '"':
        return fail(p, "characters that JSON writes with a backslash are not supported in patterns");
    case ']':
    case '}':
        return fail(p, "a \"]\" or \"}\" that closes nothing needs a backslash");
    default:
        if ((unsigned char)*p->at < 0x20)
            return fail(p, "control characters are not supported in patterns");
    }
    bool lazy = (*p->at == '*' || *p->at == '+' || *p->at == '?') && p->at[1] == '?';
    (void)buf_add_char(&p->out, *p->at);
    p->at += lazy ? 2 : 1; /* the same texts fit */
    return true;
}

/* Alternatives at the top belong to the anchors only within a group. */
char *pattern_plain(const char *pattern, char *why, size_t why_size)
{
    struct pattern p = {.at = pattern, .out = BUF_INIT(8 * LIMIT_PATTERN_BYTES), .why = why, .why_size = why_size};
    bool start = pattern[0] == '^';
    bool end = false;
    bool ok = strlen(pattern) <= LIMIT_PATTERN_BYTES || fail(&p, "it is longer than LIMIT_PATTERN_BYTES");
    p.at += start;
    (void)buf_add_str(&p.out, start ? "^(" : "^" ANY "*(");
    while (ok && *p.at != '\0')
        ok = piece(&p, &end);
    if (ok && p.depth != 0)
        ok = fail(&p, "a \"(\" is not closed");
    if (ok)
        ok = buf_add_str(&p.out, end ? ")$" : ")" ANY "*$") || fail(&p, "it is too long");
    if (!ok) {
        buf_done(&p.out);
        return NULL;
    }
    return buf_take(&p.out);
}
