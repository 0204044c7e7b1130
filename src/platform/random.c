/* platform/random.c: getentropy, which gives up to 256 bytes a call and cannot be interrupted. */
#include "platform/random.h"

#include "base/check.h"

#include <unistd.h>

void random_bytes(void *dst, size_t n)
{
    unsigned char *p = dst;
    while (n > 0) {
        size_t part = n < 256 ? n : 256;
        CHECK(getentropy(p, part) == 0);
        p += part;
        n -= part;
    }
}

uint64_t random_u64(void)
{
    uint64_t value;
    random_bytes(&value, sizeof value);
    return value;
}

void random_id(char *dst, size_t n)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    for (size_t i = 0; i < n;) {
        unsigned char bytes[64];
        random_bytes(bytes, sizeof bytes);
        for (size_t k = 0; k < sizeof bytes && i < n; k++)
            if (bytes[k] < 252) /* 7 * 36: above it the first letters would come more often */
                dst[i++] = letters[bytes[k] % 36];
    }
    dst[n] = '\0';
}
