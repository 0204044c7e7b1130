/* platform/interface: the IPv4 addresses of this machine's network interfaces, and which of them containers sit behind.
 *
 * Docker's default network is the interface docker0; every other network of Docker's is br- and twelve hexadecimal
 * digits. Lookups need no netlink, so that they work where a service manager forbids it. Any thread.
 */
#ifndef TUG_PLATFORM_INTERFACE_H
#define TUG_PLATFORM_INTERFACE_H

#include "base/err.h"
#include "platform/address.h"

/* The first IPv4 address; false: there is no such interface, or it has none. */
bool interface_address(const char *name, char dst[ADDRESS_TEXT]);
/* docker0, docker1 …, br-0123456789ab. */
bool interface_is_docker(const char *name);
/* Whether a peer of this numeric address is this machine itself or sits in the network of `bridge` or of an interface
 * of Docker's. An answer to a forged address goes into that network, so no connection comes of one. */
bool interface_peer_is_local(const char *bridge, const char *peer);

/* Readable when an IPv4 address has come or gone; drain it then (socket_drain). */
bool interface_watch(int *ret_fd, struct err *err);

#endif
