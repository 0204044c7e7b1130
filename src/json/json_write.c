/* json/json_write.c: see json_write.h. */
#include "json/json_write.h"

#include "base/check.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(struct json_out *j, const char *s, size_t n)
{
    if (!j->failed && !buf_add(j->buf, s, n))
        j->failed = true;
}

static void put_line(struct json_out *j)
{
    static const char blanks[] = "                                ";
    put(j, "\n", 1);
    for (int left = j->indent * j->depth; left > 0;) {
        int n = left < (int)sizeof blanks - 1 ? left : (int)sizeof blanks - 1;
        put(j, blanks, (size_t)n);
        left -= n;
    }
}

/* Before each value or key: the comma, and the new line where there are some. */
static void put_lead(struct json_out *j)
{
    if (j->after_key) {
        j->after_key = false;
        return;
    }
    if (j->comma)
        put(j, ",", 1);
    if (j->indent > 0 && j->depth > 0)
        put_line(j);
}

static void put_value(struct json_out *j, const char *s, size_t n)
{
    put_lead(j);
    put(j, s, n);
    j->comma = true;
}

void json_open(struct json_out *j, char bracket)
{
    put_lead(j);
    put(j, &bracket, 1);
    j->depth++;
    j->comma = false;
}

void json_close(struct json_out *j, char bracket)
{
    CHECK(j->depth > 0 && !j->after_key);
    j->depth--;
    if (j->indent > 0 && j->comma) /* an empty one stays {} */
        put_line(j);
    put(j, &bracket, 1);
    j->comma = true;
}

static void put_escape(struct json_out *j, unsigned char c)
{
    static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    char escape[8];
    for (size_t i = 0; i + 1 < sizeof named; i += 2) {
        if ((unsigned char)named[i] == c) {
            put(j, (char[]){'\\', named[i + 1]}, 2);
            return;
        }
    }
    snprintf(escape, sizeof escape, "\\u%04x", c);
    put(j, escape, 6);
}

/* Length of the valid character at s that needs no escape beyond its own bytes; 0: a bad byte. */
static size_t character_at(const char *s, size_t n)
{
    for (size_t len = 2; len <= 4 && len <= n; len++)
        if (text_utf8_valid(s, len))
            return len;
    return 0;
}

static void put_quoted(struct json_out *j, const char *s, size_t n)
{
    size_t from = 0;
    put(j, "\"", 1);
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            i++;
            continue;
        }
        size_t len = c >= 0x80 ? character_at(s + i, n - i) : 0;
        if (len > 0) {
            i += len;
            continue;
        }
        put(j, s + from, i - from);
        if (c < 0x80)
            put_escape(j, c);
        else
            put(j, "\xef\xbf\xbd", 3);
        from = ++i;
    }
    put(j, s + from, n - from);
    put(j, "\"", 1);
}

void json_key(struct json_out *j, const char *key)
{
    put_lead(j);
    put_quoted(j, key, strlen(key));
    put(j, ": ", j->indent > 0 ? 2 : 1);
    j->after_key = true;
}

void json_strn(struct json_out *j, const char *s, size_t n)
{
    put_lead(j);
    put_quoted(j, s, n);
    j->comma = true;
}

void json_str(struct json_out *j, const char *s)
{
    if (s == NULL)
        json_write_null(j);
    else
        json_strn(j, s, strlen(s));
}

void json_int(struct json_out *j, int64_t v)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%lld", (long long)v);
    put_value(j, text, (size_t)n);
}

void json_uint(struct json_out *j, uint64_t v)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    put_value(j, text, (size_t)n);
}

void json_num(struct json_out *j, double v)
{
    char text[40];
    int n = 0;
    if (!isfinite(v)) {
        json_write_null(j);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    put_value(j, text, (size_t)n);
}

void json_bool(struct json_out *j, bool v) { put_value(j, v ? "true" : "false", v ? 4 : 5); }
void json_write_null(struct json_out *j) { put_value(j, "null", 4); }
void json_raw(struct json_out *j, const char *text, size_t n) { put_value(j, text, n); }
bool json_ok(const struct json_out *j) { return !j->failed; }

void json_kv_str(struct json_out *j, const char *key, const char *s)
{
    json_key(j, key);
    json_str(j, s);
}

void json_kv_int(struct json_out *j, const char *key, int64_t v)
{
    json_key(j, key);
    json_int(j, v);
}

void json_kv_uint(struct json_out *j, const char *key, uint64_t v)
{
    json_key(j, key);
    json_uint(j, v);
}

void json_kv_num(struct json_out *j, const char *key, double v)
{
    json_key(j, key);
    json_num(j, v);
}

void json_kv_bool(struct json_out *j, const char *key, bool v)
{
    json_key(j, key);
    json_bool(j, v);
}
