/* engine/salt.c: see salt.h. */
#include "engine/salt.h"

#include <stddef.h>
#include <string.h>

struct sip {
    uint64_t v[4];
};

static uint64_t rotate(uint64_t x, int n) { return (x << n) | (x >> (64 - n)); }

static void sip_rounds(struct sip *s, int n)
{
    uint64_t *v = s->v;
    while (n-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32) + v[3];
        v[2] += v[1];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] = rotate(v[2], 32);
    }
}

static void sip_word(struct sip *s, uint64_t word)
{
    s->v[3] ^= word;
    sip_rounds(s, 2);
    s->v[0] ^= word;
}

/* Little-endian, of fewer bytes than a word at the end. */
static uint64_t word_at(const char *bytes, size_t n)
{
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
    return word;
}

uint64_t salt_of(const struct salt_key *key, const char *cache_key)
{
    if (cache_key == NULL)
        return 0;
    struct sip s = {{
        key->half[0] ^ UINT64_C(0x736f6d6570736575),
        key->half[1] ^ UINT64_C(0x646f72616e646f6d),
        key->half[0] ^ UINT64_C(0x6c7967656e657261),
        key->half[1] ^ UINT64_C(0x7465646279746573),
    }};
    size_t n = strlen(cache_key), whole = n / 8 * 8;
    for (size_t i = 0; i < whole; i += 8)
        sip_word(&s, word_at(cache_key + i, 8));
    sip_word(&s, word_at(cache_key + whole, n - whole) | (uint64_t)n << 56);
    s.v[2] ^= 0xff;
    sip_rounds(&s, 4);
    uint64_t salt = s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
    return salt == 0 ? 1 : salt;
}
