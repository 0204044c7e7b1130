/* platform/socket_address: internal to platform/: what listening and connecting share. */
#ifndef TUG_PLATFORM_SOCKET_ADDRESS_H
#define TUG_PLATFORM_SOCKET_ADDRESS_H

#include "base/err.h"

#include <sys/un.h>

/* ERR_INVALID when the path does not fit (107 bytes on Linux). */
bool socket_unix_address(const char *path, struct sockaddr_un *ret_address, struct err *err);

/* Hands a descriptor over and leaves -1, so that _cleanup_(file_close) does nothing. */
#define TAKE_FD(fd)                                                                                                    \
    __extension__({                                                                                                    \
        int take_fd_ = (fd);                                                                                           \
        (fd) = -1;                                                                                                     \
        take_fd_;                                                                                                      \
    })

#endif
