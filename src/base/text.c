/* base/text.c: strings, numbers, hex. Time is in text_time.c, characters are in text_utf8.c. */
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool text_starts(const char *s, const char *prefix) { return strncmp(s, prefix, strlen(prefix)) == 0; }

bool text_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s);
    size_t m = strlen(suffix);
    return m <= n && memcmp(s + n - m, suffix, m) == 0;
}

bool text_equal_nocase(const char *a, const char *b)
{
    for (;; a++, b++) {
        char x = *a >= 'A' && *a <= 'Z' ? (char)(*a + 32) : *a;
        char y = *b >= 'A' && *b <= 'Z' ? (char)(*b + 32) : *b;
        if (x != y)
            return false;
        if (x == '\0')
            return true;
    }
}

bool text_format(char *dst, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(dst, size, fmt, ap);
    va_end(ap);
    return n >= 0 && (size_t)n < size;
}

/* Digits only, so that strtoull's leading blanks and signs are not numbers here. */
static bool text_digits(const char *s, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (*s == '\0')
        return false;
    for (; *s != '\0'; s++) {
        if (*s < '0' || *s > '9')
            return false;
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
            return false;
    }
    *ret_value = value;
    return true;
}

bool text_to_u64(const char *s, uint64_t *ret_value) { return text_digits(*s == '+' ? s + 1 : s, ret_value); }

bool text_to_i64(const char *s, int64_t *ret_value)
{
    uint64_t value;
    bool negative = *s == '-';
    if (!text_digits(*s == '-' || *s == '+' ? s + 1 : s, &value))
        return false;
    if (value > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *ret_value = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

bool text_to_double(const char *s, double *ret_value)
{
    /* strtod also takes blanks, hexadecimal, "inf" and "nan", none of which a person means here. */
    if (*s == '\0' || strspn(s, "0123456789+-.eE") != strlen(s))
        return false;
    char *end;
    errno = 0;
    double value = strtod(s, &end);
    if (*end != '\0' || !isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

bool text_to_bool(const char *s, bool *ret_value)
{
    static const char *const words[2][5] = {{"0", "f", "false", "no", "off"}, {"1", "t", "true", "yes", "on"}};
    for (size_t v = 0; v < 2; v++) {
        for (size_t i = 0; i < 5; i++) {
            if (text_equal_nocase(s, words[v][i])) {
                *ret_value = v == 1;
                return true;
            }
        }
    }
    return false;
}

void text_size(char dst[TEXT_SHORT_MAX], uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1000.0 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1000.0;
        unit++;
    }
    snprintf(dst, TEXT_SHORT_MAX, "%.2f%s", value, units[unit]);
}

void text_hex(char *dst, const void *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) {
        dst[2 * i] = digits[p[i] >> 4];
        dst[2 * i + 1] = digits[p[i] & 15];
    }
    dst[2 * n] = '\0';
}

static int text_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool text_unhex(const char *s, size_t n_bytes, unsigned char *dst)
{
    for (size_t i = 0; i < 2 * n_bytes; i++)
        if (text_hex_digit(s[i]) < 0) /* a NUL too, so nothing past the end is read */
            return false;
    if (s[2 * n_bytes] != '\0')
        return false;
    for (size_t i = 0; i < n_bytes; i++)
        dst[i] = (unsigned char)(text_hex_digit(s[2 * i]) * 16 + text_hex_digit(s[2 * i + 1]));
    return true;
}
