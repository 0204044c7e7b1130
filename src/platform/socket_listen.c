/* platform/socket_listen.c: sockets that wait for others. */
#include "platform/socket.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "platform/file.h"
#include "platform/port_holder.h"
#include "platform/socket_address.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* "host:port", "[v6]:port", ":port" in two parts. */
static bool host_port_split(const char *text, char *host, size_t host_size, char port[8], struct err *err)
{
    const char *colon = strrchr(text, ':');
    uint64_t number;
    if (colon == NULL || !text_to_u64(colon + 1, &number) || number > 65535)
        return err_set(err, ERR_INVALID, "'%s' is not an address to listen on: write HOST:PORT, as 127.0.0.1:12434",
                       text);
    size_t n = (size_t)(colon - text);
    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        text++;
        n -= 2;
    } else if (memchr(text, ':', n) != NULL) {
        return err_set(err, ERR_INVALID, "'%s': write an IPv6 address in brackets, as [::1]:12434", text);
    }
    if (n >= host_size)
        return err_set(err, ERR_INVALID, "the host name to listen on is longer than %zu characters", host_size - 1);
    memcpy(host, text, n);
    host[n] = '\0';
    snprintf(port, 8, "%u", (unsigned)number);
    return true;
}

static bool port_taken(const char *host_port, const char *port, struct err *err)
{
    char holder[128];
    uint64_t number = 0;
    text_to_u64(port, &number);
    if (port_holder_find((uint16_t)number, holder, sizeof holder))
        return err_set(err, ERR_CONFLICT, "cannot listen on %s: the port is taken by %s; stop it or use another port",
                       host_port, holder);
    return err_set(err, ERR_CONFLICT, "cannot listen on %s: the port is taken by another program; use another port",
                   host_port);
}

/* -1 with errno, or a listening descriptor. */
static int listen_at(const struct addrinfo *a, bool dual)
{
    int on = 1;
    int off = 0;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, dual ? &off : &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

bool socket_listen_tcp(const char *host_port, int *ret_fd, struct err *err)
{
    char host[256] = "";
    char port[8] = "";
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list = NULL;
    if (!host_port_split(host_port, host, sizeof host, port, err))
        return false;
    bool any = host[0] == '\0';
    if (text_equal_nocase(host, "localhost")) /* what people mean, and no resolver is asked */
        snprintf(host, sizeof host, "127.0.0.1");
    int rc = getaddrinfo(any ? "::" : host, port, &hints, &list);
    if (rc != 0)
        return err_set(err, ERR_INVALID, "cannot listen on %s: %s", host_port, gai_strerror(rc));
    int fd = listen_at(list, any);
    int reason = errno;
    freeaddrinfo(list);
    if (fd < 0 && any && (reason == EAFNOSUPPORT || reason == EADDRNOTAVAIL)) { /* a kernel without IPv6 */
        char four[16];
        snprintf(four, sizeof four, "0.0.0.0:%s", port);
        return socket_listen_tcp(four, ret_fd, err);
    }
    if (fd < 0 && reason == EADDRINUSE)
        return port_taken(host_port, port, err);
    if (fd < 0) {
        err_errno(err, reason, "cannot listen on %s", host_port);
        if (err != NULL)
            err->code = reason == EACCES ? ERR_FORBIDDEN : ERR_INVALID;
        return false;
    }
    *ret_fd = fd;
    return true;
}

static int unix_bind(int fd, const struct sockaddr_un *address)
{
    return bind(fd, (const struct sockaddr *)address, sizeof *address);
}

/* Whether the socket file has nobody behind it. Anything but a refused connection counts as alive. */
static bool unix_is_dead(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool dead = connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 && errno == ECONNREFUSED;
    close(fd);
    return dead;
}

/* Removes a dead socket and binds in its place. Under a lock on the folder, else two starters could each remove the
 * other's fresh socket. */
static bool unix_replace(int fd, const struct sockaddr_un *address, struct err *err)
{
    const char *path = address->sun_path;
    struct stat st;
    char folder[sizeof address->sun_path];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash == NULL)
        snprintf(folder, sizeof folder, ".");
    else
        slash[slash == folder ? 1 : 0] = '\0';
    _cleanup_(file_close) int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0 || flock(lock, LOCK_EX) < 0)
        return err_errno(err, errno, "locking the folder %s", folder);
    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return err_set(err, ERR_CONFLICT, "cannot listen on %s: it is there and is not a socket; remove it", path);
    if (!unix_is_dead(address))
        return err_set(err, ERR_CONFLICT, "cannot listen on %s: another program answers there", path);
    unlink(path);
    if (unix_bind(fd, address) == 0)
        return true;
    return err_errno(err, errno, "cannot listen on %s", path);
}

bool socket_listen_unix(const char *path, int *ret_fd, struct err *err)
{
    struct sockaddr_un address;
    if (!socket_unix_address(path, &address, err))
        return false;
    _cleanup_(file_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(err, errno, "making a socket");
    /* On Linux bind gives the file the socket's own mode: no moment with a wider one, no umask of all threads. */
    if (fchmod(fd, 0600) < 0)
        return err_errno(err, errno, "setting the mode of %s", path);
    if (unix_bind(fd, &address) < 0) {
        if (errno != EADDRINUSE) {
            bool missing = errno == ENOENT;
            err_errno(err, errno, "cannot listen on %s", path);
            if (err != NULL && missing)
                err->code = ERR_NOT_FOUND;
            return false;
        }
        if (!unix_replace(fd, &address, err))
            return false;
    }
    if (listen(fd, SOMAXCONN) < 0)
        return err_errno(err, errno, "cannot listen on %s", path);
    *ret_fd = TAKE_FD(fd);
    return true;
}
