/* platform/interface.c: see interface.h. */
#include "platform/interface.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "platform/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INTERFACES_MAX = 512 }; /* a machine with more networks than this has to name its bridge */

static uint32_t ipv4_of(const struct sockaddr *a)
{
    uint32_t address = 0;
    if (a->sa_family == AF_INET)
        memcpy(&address, (const char *)a + offsetof(struct sockaddr_in, sin_addr), sizeof address);
    return address;
}

static int interface_socket(void) { return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); }

bool interface_address(const char *name, char dst[ADDRESS_TEXT])
{
    _cleanup_(file_close) int fd = interface_socket();
    struct ifreq request;
    memset(&request, 0, sizeof request);
    request.ifr_addr.sa_family = AF_INET;
    if (fd < 0 || !text_format(request.ifr_name, sizeof request.ifr_name, "%s", name))
        return false;
    if (ioctl(fd, SIOCGIFADDR, &request) < 0)
        return false;
    struct in_addr address = {.s_addr = ipv4_of(&request.ifr_addr)};
    return address.s_addr != 0 && inet_ntop(AF_INET, &address, dst, ADDRESS_TEXT) != NULL;
}

bool interface_is_docker(const char *name)
{
    if (text_starts(name, "docker"))
        return name[6] != '\0' && strspn(name + 6, "0123456789") == strlen(name + 6);
    return text_starts(name, "br-") && strlen(name) == 15 && strspn(name + 3, "0123456789abcdef") == 12;
}

static uint32_t interface_mask(int fd, const struct ifreq *row)
{
    struct ifreq request = *row;
    return ioctl(fd, SIOCGIFNETMASK, &request) < 0 ? UINT32_MAX : ipv4_of(&request.ifr_netmask);
}

bool interface_peer_is_local(const char *bridge, const char *peer)
{
    static const char mapped[] = "::ffff:";
    struct ifreq rows[INTERFACES_MAX] = {0};
    struct ifconf list = {.ifc_len = sizeof rows, .ifc_req = rows};
    struct in_addr asked;
    _cleanup_(file_close) int fd = interface_socket();
    if (text_starts(peer, mapped))
        peer += sizeof mapped - 1;
    if (inet_pton(AF_INET, peer, &asked) != 1 || fd < 0 || ioctl(fd, SIOCGIFCONF, &list) < 0)
        return false;
    if (ntohl(asked.s_addr) >> 24 == 127)
        return true;
    for (size_t i = 0; i < (size_t)list.ifc_len / sizeof rows[0]; i++) {
        uint32_t own = ipv4_of(&rows[i].ifr_addr);
        if (own == asked.s_addr)
            return true;
        if (strcmp(rows[i].ifr_name, bridge) != 0 && !interface_is_docker(rows[i].ifr_name))
            continue;
        if (((own ^ asked.s_addr) & interface_mask(fd, &rows[i])) == 0)
            return true;
    }
    return false;
}

bool interface_watch(int *ret_fd, struct err *err)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_IFADDR};
    _cleanup_(file_close) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return err_errno(err, errno, "watching this machine's addresses");
    *ret_fd = TAKE_FD(fd);
    return true;
}
