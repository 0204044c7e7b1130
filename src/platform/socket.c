/* platform/socket.c: connecting, waiting, and small reads and writes. Listening is in socket_listen.c. */
#include "platform/socket.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/socket_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool socket_unix_address(const char *path, struct sockaddr_un *ret_address, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof address.sun_path)
        return err_set(err, ERR_INVALID, "the socket path '%s' is empty or longer than %zu bytes", path,
                       sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, n + 1);
    *ret_address = address;
    return true;
}

/* Linux's abstract names (@NAME): the bytes after a NUL, without one at the end. The size of the address. */
static socklen_t socket_abstract(struct sockaddr_un *address)
{
    if (address->sun_path[0] != '@')
        return sizeof *address;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address->sun_path));
    address->sun_path[0] = '\0';
    return size;
}

static bool unreachable(struct err *err, int reason, const char *what)
{
    err_errno(err, reason, "cannot reach %s", what);
    if (err != NULL)
        err->code = ERR_UNREACHABLE;
    return false;
}

bool socket_connect_unix(const char *path, int *ret_fd, struct err *err)
{
    struct sockaddr_un address = {0};
    struct timeval limit = {.tv_sec = 10}; /* a full backlog would block for ever */
    struct timeval none = {0};
    int rc;
    if (!socket_unix_address(path, &address, err))
        return false;
    socklen_t size = socket_abstract(&address);
    _cleanup_(file_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(err, errno, "making a socket");
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    do
        rc = connect(fd, (const struct sockaddr *)&address, size);
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return unreachable(err, errno, path);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);
    *ret_fd = TAKE_FD(fd);
    return true;
}

/* -1 with errno, or a connected, blocking descriptor. */
static int connect_at(const struct addrinfo *a, int64_t deadline_ns)
{
    int on = 1;
    int reason = 0;
    socklen_t size = sizeof reason;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
        reason = errno;
        if (reason == EINPROGRESS) {
            struct socket_wait wait = {.fd = fd, .want = SOCKET_WRITABLE};
            if (socket_wait(&wait, 1, deadline_ns) == 0)
                reason = ETIMEDOUT;
            else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &reason, &size) < 0)
                reason = errno;
        }
    }
    if (reason == 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return fd;
    }
    close(fd);
    errno = reason;
    return -1;
}

bool socket_connect_tcp(const char *host, uint16_t port, int64_t timeout_ns, int *ret_fd, struct err *err)
{
    char service[8];
    char name[320];
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int64_t now = clock_now_ns();
    int64_t deadline = timeout_ns > CLOCK_FOREVER - now ? CLOCK_FOREVER : now + timeout_ns;
    snprintf(service, sizeof service, "%u", port);
    snprintf(name, sizeof name, "%s:%u", host, port);
    int rc = getaddrinfo(host, service, &hints, &list);
    if (rc != 0)
        return err_set(err, ERR_UNREACHABLE, "cannot reach %s: %s", name, gai_strerror(rc));
    int fd = -1;
    int reason = ETIMEDOUT;
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
        fd = connect_at(a, deadline);
        if (fd < 0)
            reason = errno;
    }
    freeaddrinfo(list);
    if (fd < 0)
        return unreachable(err, reason, name);
    *ret_fd = fd;
    return true;
}

uint16_t socket_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return 0;
    if (address.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)&address)->sin_port);
    return address.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&address)->sin6_port) : 0;
}

bool socket_is_local(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    char text[INET6_ADDRSTRLEN] = "";
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return false;
    if (address.ss_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, text, sizeof text);
    else if (address.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&address)->sin6_addr, text, sizeof text);
    return address.ss_family == AF_UNIX || (text[0] != '\0' && socket_is_loopback(text));
}

bool socket_is_loopback(const char *host)
{
    char name[256];
    struct in_addr four;
    struct in6_addr six;
    size_t n = strlen(host);
    if (n >= sizeof name)
        return false;
    bool brackets = n >= 2 && host[0] == '[' && host[n - 1] == ']';
    snprintf(name, sizeof name, "%.*s", (int)(brackets ? n - 2 : n), brackets ? host + 1 : host);
    n = strlen(name);
    if (n > 0 && name[n - 1] == '.')
        name[n - 1] = '\0';
    if (inet_pton(AF_INET, name, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, name, &six) == 1)
        return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
    n = strlen(name);
    /* RFC 6761: localhost and all below it are this machine. */
    return text_equal_nocase(name, "localhost") || (n > 10 && text_equal_nocase(name + n - 10, ".localhost"));
}

bool socket_pair(int ret_fds[2], struct err *err)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return err_errno(err, errno, "making a socket pair");
    memcpy(ret_fds, fds, sizeof fds);
    return true;
}

bool socket_pipe(int ret_fds[2], struct err *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return err_errno(err, errno, "making a pipe");
    memcpy(ret_fds, fds, sizeof fds);
    return true;
}

bool socket_set_nonblocking(int fd, struct err *err)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return err_errno(err, errno, "making a descriptor non-blocking");
    return true;
}

static short events_of(int want)
{
    int events = 0;
    events |= want & SOCKET_READABLE ? POLLIN : 0;
    events |= want & SOCKET_WRITABLE ? POLLOUT : 0;
    events |= want & SOCKET_CLOSED ? POLLRDHUP : 0;
    return (short)events;
}

static int got_of(int want, short revents)
{
    int got = 0;
    int gone = POLLHUP | POLLERR | POLLNVAL; /* a read or write now returns at once, with the reason */
    got |= revents & (POLLIN | gone) ? SOCKET_READABLE : 0;
    got |= revents & (POLLOUT | gone) ? SOCKET_WRITABLE : 0;
    got |= revents & (POLLRDHUP | gone) ? SOCKET_CLOSED : 0;
    return got & want;
}

/* ppoll until deadline; signals that interrupt it do not end the wait. */
static int poll_until(struct pollfd *fds, size_t n, int64_t deadline_ns)
{
    for (;;) {
        struct timespec ts;
        struct timespec *limit = NULL;
        if (deadline_ns != CLOCK_FOREVER) {
            int64_t left = deadline_ns - clock_now_ns();
            left = left > 0 ? left : 0;
            ts = (struct timespec){.tv_sec = left / CLOCK_SECOND, .tv_nsec = left % CLOCK_SECOND};
            limit = &ts;
        }
        int rc = ppoll(fds, n, limit, NULL);
        CHECK(rc >= 0 || errno == EINTR || errno == ENOMEM);
        if (rc >= 0)
            return rc;
    }
}

int socket_wait(struct socket_wait *waits, size_t n, int64_t deadline_ns)
{
    enum { ON_STACK = 32 };
    struct pollfd stack[ON_STACK];
    _cleanup_free_ struct pollfd *heap = n > ON_STACK ? check_alloc(calloc(n, sizeof *heap)) : NULL;
    struct pollfd *fds = heap != NULL ? heap : stack;
    for (size_t i = 0; i < n; i++)
        fds[i] = (struct pollfd){.fd = waits[i].fd, .events = events_of(waits[i].want)};
    for (;;) {
        int ready = 0;
        bool unwanted = false;
        poll_until(fds, n, deadline_ns);
        for (size_t i = 0; i < n; i++) {
            short revents = waits[i].fd < 0 ? 0 : fds[i].revents;
            waits[i].got = got_of(waits[i].want, revents);
            ready += waits[i].got != 0;
            if (revents != 0 && waits[i].got == 0) { /* an error on a descriptor that wants nothing */
                unwanted = true;
                fds[i].fd = -1;
            }
        }
        if (ready > 0 || !unwanted)
            return ready;
    }
}

bool socket_peer_gone(int fd)
{
    struct socket_wait wait = {.fd = fd, .want = SOCKET_CLOSED};
    return socket_wait(&wait, 1, 0) > 0;
}

void socket_wake(int fd)
{
    char byte = 0;
    ssize_t n = send(fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == ENOTSOCK)
        n = write(fd, &byte, 1); /* a pipe of socket_pipe: non-blocking, and its reader is ourselves */
    (void)n;                     /* full: the reader will wake anyway */
}

void socket_drain(int fd)
{
    char bytes[256];
    ssize_t n;
    do {
        n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n < 0 && errno == ENOTSOCK)
            n = read(fd, bytes, sizeof bytes);
    } while (n == (ssize_t)sizeof bytes || (n < 0 && errno == EINTR));
}

/* What is there, at most n bytes, up to and with the first LF. A pipe gives one byte at a time: it cannot be peeked. */
static ssize_t line_part(int fd, char *dst, size_t n)
{
    ssize_t got = recv(fd, dst, n, MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && errno == ENOTSOCK)
        return read(fd, dst, 1);
    if (got <= 0)
        return got;
    const char *lf = memchr(dst, '\n', (size_t)got);
    return recv(fd, dst, lf == NULL ? (size_t)got : (size_t)(lf - dst) + 1, MSG_DONTWAIT);
}

bool socket_read_line(int fd, char *dst, size_t max, int64_t deadline_ns, struct err *err)
{
    size_t len = 0;
    CHECK(max > 1);
    for (;;) {
        struct socket_wait wait = {.fd = fd, .want = SOCKET_READABLE};
        if (socket_wait(&wait, 1, deadline_ns) == 0)
            return err_set(err, ERR_UNREACHABLE, "no answer in time");
        ssize_t n = line_part(fd, dst + len, max - len);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return unreachable(err, errno, "the other side");
        if (n == 0)
            return err_set(err, ERR_UNREACHABLE, "the other side closed the connection");
        len += (size_t)n;
        if (dst[len - 1] == '\n') {
            dst[len - 1] = '\0';
            return true;
        }
        if (len == max)
            return err_set(err, ERR_PROTOCOL, "the other side sent a line of more than %zu bytes", max - 1);
    }
}

bool socket_write_all(int fd, const void *data, size_t n, struct err *err)
{
    const char *p = data;
    while (n > 0) {
        ssize_t put = send(fd, p, n, MSG_NOSIGNAL);
        if (put < 0 && errno == ENOTSOCK)
            put = write(fd, p, n);
        if (put < 0 && errno == EAGAIN) {
            struct socket_wait wait = {.fd = fd, .want = SOCKET_WRITABLE};
            socket_wait(&wait, 1, CLOCK_FOREVER);
        } else if (put < 0 && errno != EINTR) {
            return unreachable(err, errno, "the other side");
        } else if (put > 0) {
            p += put;
            n -= (size_t)put;
        }
    }
    return true;
}

bool socket_send_datagram(const char *path, const void *data, size_t n, struct err *err)
{
    struct sockaddr_un address = {0};
    if (!socket_unix_address(path, &address, err))
        return false;
    socklen_t size = socket_abstract(&address);
    _cleanup_(file_close) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(err, errno, "making a socket");
    if (sendto(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&address, size) != (ssize_t)n)
        return unreachable(err, errno, path);
    return true;
}
