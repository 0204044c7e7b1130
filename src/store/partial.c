/* store/partial.c: see partial.h. */
#include "store/partial.h"

#include "base/check.h"

#include <string.h>

static const char magic[8] = {'T', 'U', 'G', 'P', 'A', 'R', 'T', '1'};

/* Where the fields of the header lie. */
enum { AT_VERSION = 8, AT_GRAIN = 12, AT_SIZE = 16, AT_INODE = 24, AT_DIGEST = 32, AT_BOOT = 104, AT_CRC = 252 };
/* Of a mark: kind, 3 bytes 0, CRC of the rest with this field 0, frontier, offset, state of the hash, 0. */
enum { MARK_CRC = 4, MARK_FRONTIER = 8, MARK_OFFSET = 16, MARK_HASH = 24 };

_Static_assert(AT_BOOT == AT_DIGEST + DIGEST_TEXT && AT_BOOT + PARTIAL_BOOT_ID <= AT_CRC, "header fields overlap");
_Static_assert(MARK_HASH + DIGEST_STATE_BYTES == PARTIAL_RECORD_BYTES, "a mark fills its record");

/* Bit by bit: records are at most 252 bytes, and the data itself is not run through it. */
uint32_t partial_crc32c(const void *p, size_t n)
{
    const unsigned char *bytes = p;
    uint32_t crc = 0xffffffffU;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (0x82f63b78U & (0U - (crc & 1U)));
    }
    return ~crc;
}

static void put_le(unsigned char *dst, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get_le(const unsigned char *src, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value |= (uint64_t)src[i] << (8 * i);
    return value;
}

void partial_header_encode(const struct partial_header *h, unsigned char dst[PARTIAL_HEADER_BYTES])
{
    memset(dst, 0, PARTIAL_HEADER_BYTES);
    memcpy(dst, magic, sizeof magic);
    put_le(dst + AT_VERSION, 1, 4);
    put_le(dst + AT_GRAIN, PARTIAL_GRAIN_BYTES, 4);
    put_le(dst + AT_SIZE, h->size, 8);
    put_le(dst + AT_INODE, h->inode, 8);
    memcpy(dst + AT_DIGEST, h->digest, strnlen(h->digest, DIGEST_TEXT - 1));
    memcpy(dst + AT_BOOT, h->boot_id, strnlen(h->boot_id, PARTIAL_BOOT_ID - 1));
    put_le(dst + AT_CRC, partial_crc32c(dst, AT_CRC), 4);
}

bool partial_header_decode(const void *state, size_t n, struct partial_header *ret)
{
    const unsigned char *p = state;
    if (n < PARTIAL_HEADER_BYTES || memcmp(p, magic, sizeof magic) != 0 ||
        get_le(p + AT_CRC, 4) != partial_crc32c(p, AT_CRC))
        return false;
    if (get_le(p + AT_VERSION, 4) != 1 || get_le(p + AT_GRAIN, 4) != PARTIAL_GRAIN_BYTES)
        return false;
    struct partial_header h = {.size = get_le(p + AT_SIZE, 8), .inode = get_le(p + AT_INODE, 8)};
    memcpy(h.digest, p + AT_DIGEST, DIGEST_TEXT - 1);
    memcpy(h.boot_id, p + AT_BOOT, PARTIAL_BOOT_ID - 1);
    if (!digest_valid(h.digest))
        return false;
    *ret = h;
    return true;
}

/* The CRC is over index and count, so that a record moved to another place is damaged too. */
static uint32_t grain_crc(uint64_t index, uint32_t written)
{
    unsigned char bytes[12];
    put_le(bytes, index, 8);
    put_le(bytes + 8, written, 4);
    return partial_crc32c(bytes, sizeof bytes);
}

void partial_grain_encode(uint64_t index, uint32_t written, unsigned char dst[PARTIAL_GRAIN_RECORD])
{
    CHECK(written <= PARTIAL_GRAIN_BYTES);
    put_le(dst, written, 4);
    put_le(dst + 4, grain_crc(index, written), 4);
}

uint64_t partial_frontier(const void *state, size_t n, uint64_t size)
{
    const unsigned char *p = state;
    uint64_t frontier = 0;
    for (uint64_t i = 0; frontier < size; i++) {
        size_t at = PARTIAL_HEADER_BYTES + (size_t)i * PARTIAL_GRAIN_RECORD;
        if (at + PARTIAL_GRAIN_RECORD > n)
            break;
        uint32_t written = (uint32_t)get_le(p + at, 4);
        if (written > PARTIAL_GRAIN_BYTES || get_le(p + at + 4, 4) != grain_crc(i, written))
            break;
        frontier += written;
        if (written < PARTIAL_GRAIN_BYTES)
            break;
    }
    return frontier < size ? frontier : size;
}

static uint32_t record_crc(const unsigned char src[PARTIAL_RECORD_BYTES])
{
    unsigned char copy[PARTIAL_RECORD_BYTES];
    memcpy(copy, src, sizeof copy);
    memset(copy + MARK_CRC, 0, 4);
    return partial_crc32c(copy, sizeof copy);
}

void partial_mark_encode(const struct partial_mark *m, unsigned char dst[PARTIAL_RECORD_BYTES])
{
    CHECK(m->offset <= m->frontier && m->offset % 64 == 0);
    memset(dst, 0, PARTIAL_RECORD_BYTES);
    dst[0] = 'M';
    put_le(dst + MARK_FRONTIER, m->frontier, 8);
    put_le(dst + MARK_OFFSET, m->offset, 8);
    memcpy(dst + MARK_HASH, m->hash, DIGEST_STATE_BYTES);
    put_le(dst + MARK_CRC, record_crc(dst), 4);
}

static bool mark_decode(const unsigned char *p, struct partial_mark *ret)
{
    struct digest_hash hash;
    if (p[0] != 'M')
        return false;
    ret->frontier = get_le(p + MARK_FRONTIER, 8);
    ret->offset = get_le(p + MARK_OFFSET, 8);
    memcpy(ret->hash, p + MARK_HASH, DIGEST_STATE_BYTES);
    uint64_t hashed = 0; /* the state's own count, big-endian, must tell the same place */
    for (size_t i = 0; i < 8; i++)
        hashed = hashed << 8 | ret->hash[DIGEST_STATE_BYTES - 8 + i];
    return ret->offset <= ret->frontier && hashed == ret->offset && digest_load(&hash, ret->hash);
}

bool partial_last_mark(const void *journal, size_t n, uint64_t limit, struct partial_mark *ret, size_t *ret_end)
{
    const unsigned char *p = journal;
    bool found = false;
    for (size_t at = 0; at + PARTIAL_RECORD_BYTES <= n; at += PARTIAL_RECORD_BYTES) {
        struct partial_mark mark;
        if (get_le(p + at + MARK_CRC, 4) != record_crc(p + at))
            break;
        if (!mark_decode(p + at, &mark) || mark.frontier > limit)
            continue;
        *ret = mark;
        *ret_end = at + PARTIAL_RECORD_BYTES;
        found = true;
    }
    return found;
}
