/* platform/address.c: see address.h. The ranges are IANA's special-purpose registries (RFC 6890 and later). */
#include "platform/address.h"

#include "base/check.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct range4 {
    uint32_t base;
    int bits;
    enum address_class kind;
};

static const struct range4 ranges4[] = {
    {0x00000000, 8, ADDRESS_SPECIAL},     /* this network */
    {0x0a000000, 8, ADDRESS_PRIVATE},     /* 10/8 */
    {0x64400000, 10, ADDRESS_SHARED},     /* 100.64/10 */
    {0x7f000000, 8, ADDRESS_LOOPBACK},    /* 127/8 */
    {0xa9fe0000, 16, ADDRESS_LINK_LOCAL}, /* 169.254/16 */
    {0xac100000, 12, ADDRESS_PRIVATE},    /* 172.16/12 */
    {0xc0000000, 24, ADDRESS_SPECIAL},    /* 192.0.0/24 */
    {0xc0000200, 24, ADDRESS_SPECIAL},    /* 192.0.2/24 */
    {0xc0a80000, 16, ADDRESS_PRIVATE},    /* 192.168/16 */
    {0xc6120000, 15, ADDRESS_SPECIAL},    /* 198.18/15 */
    {0xc6336400, 24, ADDRESS_SPECIAL},    /* 198.51.100/24 */
    {0xcb007100, 24, ADDRESS_SPECIAL},    /* 203.0.113/24 */
    {0xe0000000, 3, ADDRESS_SPECIAL},     /* multicast, reserved, broadcast */
};

static enum address_class class4(uint32_t a)
{
    for (size_t i = 0; i < ARRAY_LEN(ranges4); i++)
        if ((a ^ ranges4[i].base) >> (32 - ranges4[i].bits) == 0)
            return ranges4[i].kind;
    return ADDRESS_PUBLIC;
}

static uint32_t word(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The IPv4 address that an IPv6 one stands for. */
static bool holds4(const unsigned char *b, uint32_t *ret_four)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff}; /* ::ffff:a.b.c.d */
    static const unsigned char nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    bool low = memcmp(b, mapped, 12) == 0 || memcmp(b, nat64, 12) == 0;
    bool six_to_four = b[0] == 0x20 && b[1] == 0x02;
    if (!low && !six_to_four)
        return false;
    *ret_four = word(low ? b + 12 : b + 2);
    return true;
}

static enum address_class class6(const unsigned char *b)
{
    static const unsigned char zero[16];
    uint32_t four;
    if (memcmp(b, zero, 15) == 0)
        return b[15] == 1 ? ADDRESS_LOOPBACK : ADDRESS_SPECIAL;
    if (holds4(b, &four))
        return class4(four);
    if ((b[0] & 0xfe) == 0xfc)
        return ADDRESS_PRIVATE;
    if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80)
        return ADDRESS_LINK_LOCAL;
    if ((b[0] & 0xe0) != 0x20) /* only 2000::/3 is given out */
        return ADDRESS_SPECIAL;
    if (b[0] == 0x20 && b[1] == 0x01 && (b[2] < 0x02 || (b[2] == 0x0d && b[3] == 0xb8))) /* Teredo …, documentation */
        return ADDRESS_SPECIAL;
    return ADDRESS_PUBLIC;
}

enum address_class address_class_of(const char *text)
{
    unsigned char bytes[16];
    char plain[ADDRESS_TEXT];
    snprintf(plain, sizeof plain, "%s", text);
    plain[strcspn(plain, "%")] = '\0'; /* the zone of a link-local address */
    if (inet_pton(AF_INET, plain, bytes) == 1)
        return class4(word(bytes));
    return inet_pton(AF_INET6, plain, bytes) == 1 ? class6(bytes) : ADDRESS_SPECIAL;
}

bool address_resolve(const char *host, struct address ret[ADDRESSES_MAX], size_t *ret_n, struct err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char name[256];
    size_t len = strlen(host);
    bool brackets = len >= 2 && host[0] == '[' && host[len - 1] == ']';
    if (len >= sizeof name)
        return err_set(err, ERR_INVALID, "a host name is longer than %zu characters", sizeof name - 1);
    snprintf(name, sizeof name, "%.*s", (int)(brackets ? len - 2 : len), brackets ? host + 1 : host);
    int rc = getaddrinfo(name, NULL, &hints, &list);
    if (rc != 0)
        return err_set(err, ERR_UNREACHABLE, "cannot find the address of %s: %s", host, gai_strerror(rc));
    size_t n = 0;
    for (const struct addrinfo *a = list; a != NULL && n < ADDRESSES_MAX; a = a->ai_next) {
        if (getnameinfo(a->ai_addr, a->ai_addrlen, ret[n].text, ADDRESS_TEXT, NULL, 0, NI_NUMERICHOST) != 0)
            continue;
        ret[n].kind = address_class_of(ret[n].text);
        n++;
    }
    freeaddrinfo(list);
    if (n == 0)
        return err_set(err, ERR_UNREACHABLE, "%s has no address", host);
    *ret_n = n;
    return true;
}
