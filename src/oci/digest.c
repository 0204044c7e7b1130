/* oci/digest.c: SHA256_CTX from OpenSSL's low-level interface, which is deprecated but is the only one in 3.0 whose
 * state can leave the process. It is copied in and out of the opaque bytes, so that no struct of OpenSSL's is part
 * of our header. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "oci/digest.h"

#include "base/check.h"
#include "base/text.h"

#include <openssl/sha.h>
#include <string.h>

static const char digest_prefix[] = "sha256:";
enum { DIGEST_PREFIX_BYTES = sizeof digest_prefix - 1 };

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct digest_hash), "the opaque bytes hold OpenSSL's state");
_Static_assert(DIGEST_TEXT == DIGEST_PREFIX_BYTES + DIGEST_HEX + 1, "a digest and its NUL");

bool digest_valid(const char *text)
{
    if (text == NULL || strncmp(text, digest_prefix, DIGEST_PREFIX_BYTES) != 0)
        return false;
    const char *hex = text + DIGEST_PREFIX_BYTES;
    return strspn(hex, "0123456789abcdef") == DIGEST_HEX && hex[DIGEST_HEX] == '\0';
}

const char *digest_hex(const char *digest)
{
    const char *colon = strchr(digest, ':');
    return colon != NULL ? colon + 1 : digest;
}

static SHA256_CTX digest_unpack(const struct digest_hash *h)
{
    SHA256_CTX c;
    memcpy(&c, h->opaque, sizeof c);
    return c;
}

static void digest_pack(struct digest_hash *h, const SHA256_CTX *c) { memcpy(h->opaque, c, sizeof *c); }

void digest_start(struct digest_hash *h)
{
    SHA256_CTX c;
    memset(h, 0, sizeof *h);
    CHECK(SHA256_Init(&c) == 1);
    digest_pack(h, &c);
}

void digest_add(struct digest_hash *h, const void *p, size_t n)
{
    SHA256_CTX c = digest_unpack(h);
    if (n > 0)
        CHECK(SHA256_Update(&c, p, n) == 1);
    digest_pack(h, &c);
}

void digest_end(struct digest_hash *h, char ret_text[DIGEST_TEXT])
{
    unsigned char sum[SHA256_DIGEST_LENGTH];
    SHA256_CTX c = digest_unpack(h);
    CHECK(SHA256_Final(sum, &c) == 1);
    memcpy(ret_text, digest_prefix, DIGEST_PREFIX_BYTES);
    text_hex(ret_text + DIGEST_PREFIX_BYTES, sum, sizeof sum);
    memset(h, 0, sizeof *h);
}

void digest_of(const void *p, size_t n, char ret_text[DIGEST_TEXT])
{
    struct digest_hash h;
    digest_start(&h);
    digest_add(&h, p, n);
    digest_end(&h, ret_text);
}

static void digest_put(unsigned char *dst, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = (unsigned char)(v >> (8 * (n - 1 - i)));
}

static uint64_t digest_take(const unsigned char *src, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | src[i];
    return v;
}

bool digest_save(const struct digest_hash *h, unsigned char state[DIGEST_STATE_BYTES])
{
    SHA256_CTX c = digest_unpack(h);
    if (c.num != 0)
        return false;
    for (size_t i = 0; i < 8; i++)
        digest_put(state + 4 * i, c.h[i], 4);
    uint64_t bits = (uint64_t)c.Nh << 32 | c.Nl;
    digest_put(state + 32, bits / 8, 8);
    return true;
}

bool digest_load(struct digest_hash *h, const unsigned char state[DIGEST_STATE_BYTES])
{
    uint64_t bytes = digest_take(state + 32, 8);
    if (bytes % 64 != 0 || bytes > UINT64_MAX / 8)
        return false;
    SHA256_CTX c;
    CHECK(SHA256_Init(&c) == 1);
    for (size_t i = 0; i < 8; i++)
        c.h[i] = (SHA_LONG)digest_take(state + 4 * i, 4);
    c.Nl = (SHA_LONG)(bytes * 8);
    c.Nh = (SHA_LONG)(bytes * 8 >> 32);
    memset(h, 0, sizeof *h);
    digest_pack(h, &c);
    return true;
}
