/* platform/address: names to addresses, and what kind of network an address lies in.
 *
 * For the rule that a stranger's answer (a token realm, a redirect) may not make us call into a network that we were
 * not in already. Pure but for address_resolve, which asks the system's resolver and may block. Any thread.
 */
#ifndef TUG_PLATFORM_ADDRESS_H
#define TUG_PLATFORM_ADDRESS_H

#include "base/err.h"

#include <stdint.h>

enum address_class {
    ADDRESS_PUBLIC,
    ADDRESS_LOOPBACK,   /* 127/8, ::1 */
    ADDRESS_PRIVATE,    /* 10/8, 172.16/12, 192.168/16, fc00::/7 */
    ADDRESS_SHARED,     /* 100.64/10: carrier-grade NAT */
    ADDRESS_LINK_LOCAL, /* 169.254/16 (cloud metadata), fe80::/10 */
    ADDRESS_SPECIAL,    /* unspecified, multicast, reserved, documentation, Teredo: never a server's */
};

enum { ADDRESS_TEXT = 64, ADDRESSES_MAX = 16 };

struct address {
    char text[ADDRESS_TEXT]; /* numeric; IPv6 without brackets */
    enum address_class kind;
};

/* A numeric address. IPv4 inside IPv6 (mapped, NAT64, 6to4) counts as that IPv4. Not an address: SPECIAL. */
enum address_class address_class_of(const char *text);
/* At most ADDRESSES_MAX, in the system's order; brackets around host are cut. ERR_UNREACHABLE: no such name. */
bool address_resolve(const char *host, struct address ret[ADDRESSES_MAX], size_t *ret_n, struct err *err);

#endif
