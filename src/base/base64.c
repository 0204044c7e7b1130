/* base/base64.c: see base64.h. */
#include "base/base64.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool base64_encode(struct buf *out, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t group = (uint32_t)p[i] << 16;
        group |= i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0;
        group |= i + 2 < n ? p[i + 2] : 0;
        char four[4];
        for (int k = 0; k < 4; k++)
            four[k] = alphabet[group >> (18 - 6 * k) & 63];
        if (i + 1 >= n)
            four[2] = '=';
        if (i + 2 >= n)
            four[3] = '=';
        if (!buf_add(out, four, 4))
            return false;
    }
    return true;
}

bool base64_decode(struct buf *out, const char *text)
{
    size_t start = out->len;
    size_t n = strlen(text);
    uint32_t group = 0;
    int bits = 0;
    while (n > 0 && text[n - 1] == '=')
        n--;
    bool ok = n % 4 != 1;
    for (size_t i = 0; ok && i < n; i++) {
        const char *at = memchr(alphabet, text[i], sizeof alphabet - 1);
        ok = at != NULL;
        if (!ok)
            break;
        group = group << 6 | (uint32_t)(at - alphabet);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            ok = buf_add_char(out, (char)(group >> bits & 0xff));
        }
    }
    if (!ok)
        out->len = start;
    while (ok && out->len > start && out->data[out->len - 1] == '\0')
        out->len--;
    if (out->data != NULL)
        out->data[out->len] = '\0';
    return ok;
}
