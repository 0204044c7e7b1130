/* platform/socket: listening, connecting, waiting. The only place that makes sockets or polls.
 * Descriptors are CLOEXEC. Any thread. */
#ifndef TUG_PLATFORM_SOCKET_H
#define TUG_PLATFORM_SOCKET_H

#include "base/err.h"

#include <stdint.h>

/* "127.0.0.1:12434", "[::1]:80", ":0", "localhost:1": port 0 asks the system for one. SO_REUSEADDR is set, so a
 * restart need not wait. In use: ERR_CONFLICT and, where the system tells, the program that holds the port. */
bool socket_listen_tcp(const char *host_port, int *ret_fd, struct err *err);
/* Mode 0600. A dead socket file (nobody accepts) is replaced, a live one is ERR_CONFLICT. */
bool socket_listen_unix(const char *path, int *ret_fd, struct err *err);
/* A path that begins with @ is in Linux's abstract names. */
bool socket_connect_unix(const char *path, int *ret_fd, struct err *err);
/* ERR_UNREACHABLE when nobody answers within timeout_ns. */
bool socket_connect_tcp(const char *host, uint16_t port, int64_t timeout_ns, int *ret_fd, struct err *err);
uint16_t socket_port(int fd); /* own port of a TCP socket, 0 otherwise */
/* The numeric address that a TCP socket is bound to ("127.0.0.1", "::"); false: not a TCP socket. */
bool socket_local_address(int fd, char *dst, size_t size);
bool socket_is_local(int fd);                      /* a unix socket, or bound to a loopback address */
bool socket_is_loopback(const char *host);         /* a name or address that can only be this machine */
bool socket_pair(int ret_fds[2], struct err *err); /* stream */
bool socket_pipe(int ret_fds[2], struct err *err); /* [0] reads; both non-blocking */
bool socket_set_nonblocking(int fd, struct err *err);

enum { SOCKET_READABLE = 1, SOCKET_WRITABLE = 2, SOCKET_CLOSED = 4 };
struct socket_wait {
    int fd;   /* negative: ignored */
    int want; /* SOCKET_READABLE | SOCKET_WRITABLE | SOCKET_CLOSED (the peer has gone) */
    int got;
};
/* Waits until one of them has something or deadline_ns (clock_now_ns; CLOCK_FOREVER: none). Returns how many have; 0 =
 * deadline. */
int socket_wait(struct socket_wait *waits, size_t n, int64_t deadline_ns);
bool socket_peer_gone(int fd); /* the other side has closed or shut down; never blocks */

/* One byte into a pipe or socket to wake its reader; full is fine. And emptying it. */
void socket_wake(int fd);
void socket_drain(int fd);
/* Reads one line (LF cut) of at most max - 1 bytes; false: end, error, too long or deadline. */
bool socket_read_line(int fd, char *dst, size_t max, int64_t deadline_ns, struct err *err);
bool socket_write_all(int fd, const void *data, size_t n, struct err *err); /* no SIGPIPE */

/* One datagram to a unix socket; a path that begins with @ is in Linux's abstract names (sd_notify(3)). Never blocks.
 */
bool socket_send_datagram(const char *path, const void *data, size_t n, struct err *err);

#endif
