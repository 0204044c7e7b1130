/* base/text_utf8.c: UTF-8, and how wide a character is on a terminal. */
#include "base/text.h"

#include <string.h>

/* Bytes of the character that begins with c; 0: no character begins so. */
static size_t utf8_length(unsigned char c)
{
    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c <= 0xdf)
        return 2;
    if (c >= 0xe0 && c <= 0xef)
        return 3;
    return c >= 0xf0 && c <= 0xf4 ? 4 : 0;
}

/* Whether b may be the second byte after a: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool utf8_second_ok(unsigned char a, unsigned char b)
{
    if (a == 0xe0)
        return b >= 0xa0 && b <= 0xbf;
    if (a == 0xed)
        return b >= 0x80 && b <= 0x9f;
    if (a == 0xf0)
        return b >= 0x90 && b <= 0xbf;
    if (a == 0xf4)
        return b >= 0x80 && b <= 0x8f;
    return b >= 0x80 && b <= 0xbf;
}

/* Length of the valid character at s (n > 0), or 0. */
static size_t utf8_at(const unsigned char *s, size_t n)
{
    size_t len = utf8_length(s[0]);
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if (i == 1 ? !utf8_second_ok(s[0], s[1]) : (s[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

size_t text_utf8_partial(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned char c = p[n - back];
        if ((c & 0xc0) == 0x80)
            continue;
        if (utf8_length(c) <= back)
            return 0;
        return back == 1 || utf8_second_ok(c, p[n - back + 1]) ? back : 0;
    }
    return 0;
}

bool text_utf8_valid(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    for (size_t i = 0; i < n;) {
        size_t len = p[i] < 0x80 ? 1 : utf8_at(p + i, n - i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

struct range {
    uint32_t first, last;
};

/* Combining marks, joiners, variation selectors, skin tones: they stand on the character before. */
static const struct range ranges_zero[] = {
    {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x0610, 0x061a},   {0x064b, 0x065f},
    {0x0900, 0x0902}, {0x093c, 0x093c}, {0x0941, 0x0948}, {0x094d, 0x094d},   {0x0e31, 0x0e31},
    {0x0e34, 0x0e3a}, {0x0e47, 0x0e4e}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},   {0x200b, 0x200f},
    {0x202a, 0x202e}, {0x2060, 0x2064}, {0x20d0, 0x20f0}, {0x302a, 0x302d},   {0x3099, 0x309a},
    {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0x1f3fb, 0x1f3ff}, {0xe0100, 0xe01ef},
};

/* East Asian wide and full-width, and emoji, by block: finer than a table column needs. */
static const struct range ranges_wide[] = {
    {0x1100, 0x115f},   {0x231a, 0x231b},   {0x23e9, 0x23ec},   {0x25fd, 0x25fe},   {0x2614, 0x2615},
    {0x26a1, 0x26a1},   {0x26aa, 0x26ab},   {0x26bd, 0x26be},   {0x2705, 0x2705},   {0x270a, 0x270b},
    {0x2728, 0x2728},   {0x274c, 0x274c},   {0x2753, 0x2755},   {0x2795, 0x2797},   {0x2b1b, 0x2b1c},
    {0x2e80, 0x303e},   {0x3041, 0x33ff},   {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xa000, 0xa4cf},
    {0xa960, 0xa97f},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},
    {0xffe0, 0xffe6},   {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x1fa70, 0x1faff},
    {0x20000, 0x3fffd},
};

static bool range_has(const struct range *ranges, size_t n, uint32_t c)
{
    size_t low = 0;
    while (low < n) {
        size_t middle = low + (n - low) / 2;
        if (c > ranges[middle].last)
            low = middle + 1;
        else if (c < ranges[middle].first)
            n = middle;
        else
            return true;
    }
    return false;
}

static size_t columns_of(uint32_t c)
{
    if (c < 0x20 || (c >= 0x7f && c < 0xa0) || range_has(ranges_zero, sizeof ranges_zero / sizeof ranges_zero[0], c))
        return 0;
    return range_has(ranges_wide, sizeof ranges_wide / sizeof ranges_wide[0], c) ? 2 : 1;
}

size_t text_columns(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t left = strlen(s);
    size_t columns = 0;
    while (left > 0) {
        size_t len = utf8_at(p, left);
        uint32_t c = p[0];
        if (len > 1) {
            c &= 0xffu >> (len + 1);
            for (size_t i = 1; i < len; i++)
                c = c << 6 | (p[i] & 0x3fu);
        }
        columns += len == 0 ? 1 : columns_of(c); /* a bad byte is drawn as one replacement mark */
        p += len == 0 ? 1 : len;
        left -= len == 0 ? 1 : len;
    }
    return columns;
}
