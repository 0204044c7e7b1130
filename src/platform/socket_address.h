/* platform/socket_address: internal to platform/: what listening and connecting share. */
#ifndef TUG_PLATFORM_SOCKET_ADDRESS_H
#define TUG_PLATFORM_SOCKET_ADDRESS_H

#include "base/err.h"

#include <sys/un.h>

/* ERR_INVALID when the path does not fit (107 bytes on Linux). */
bool socket_unix_address(const char *path, struct sockaddr_un *ret_address, struct err *err);

#endif
