/* platform/socket_local.c: which address is a socket bound to. */
#include "platform/socket.h"

#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

bool socket_local_address(int fd, char *dst, size_t size)
{
    struct sockaddr_storage address;
    struct sockaddr *any = (struct sockaddr *)&address;
    socklen_t len = sizeof address;
    memset(&address, 0, sizeof address);
    if (getsockname(fd, any, &len) != 0 || (any->sa_family != AF_INET && any->sa_family != AF_INET6))
        return false;
    return getnameinfo(any, len, dst, (socklen_t)size, NULL, 0, NI_NUMERICHOST) == 0;
}
