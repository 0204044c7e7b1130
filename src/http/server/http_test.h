/* http_test: for the tests of http/server: a server with known routes, and a client that sends raw bytes. */
#ifndef TUG_HTTP_TEST_H
#define TUG_HTTP_TEST_H

#include "http/server/http_server.h"
#include "platform/clock.h"
#include "platform/socket.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct test_counts {
    atomic_int handlers, cancelled, closes, sink_begins, sink_ends;
    atomic_llong sink_bytes;
};

struct test_server {
    struct http_server *server;
    struct test_counts counts;
    char dir[64], unix_path[96];
    uint16_t port;
    size_t fds, threads; /* before the start */
};

static inline size_t test_count_dir(const char *path)
{
    size_t n = 0;
    DIR *d = opendir(path);
    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

/* Waits for a value that another thread brings about; the only place that gives up by time. */
#define WAIT_FOR(condition)                                                                                            \
    do {                                                                                                               \
        int64_t give_up = clock_now_ns() + 20 * CLOCK_SECOND;                                                          \
        while (!(condition) && clock_now_ns() < give_up)                                                               \
            usleep(1000);                                                                                              \
        assert_true(condition);                                                                                        \
    } while (0)

static inline void *test_nothing(void *arg) { return arg; }

static inline void test_server_start(struct test_server *t, const struct http_server_config *base)
{
    struct err err = ERR_INIT;
    int fds[2];
    struct http_server_config config = *base;
    pthread_t first; /* a sanitizer's own thread comes with the first one */
    memset(t, 0, sizeof *t);
    assert_int_equal(pthread_create(&first, NULL, test_nothing, NULL), 0);
    pthread_join(first, NULL);
    t->fds = test_count_dir("/proc/self/fd");
    t->threads = test_count_dir("/proc/self/task");
    snprintf(t->dir, sizeof t->dir, "/tmp/tug-http-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    snprintf(t->unix_path, sizeof t->unix_path, "%s/sock", t->dir);
    assert_true(socket_listen_tcp("127.0.0.1:0", &fds[0], &err));
    assert_true(socket_listen_unix(t->unix_path, &fds[1], &err));
    t->port = socket_port(fds[0]);
    config.listen_fds = fds;
    config.n_listen_fds = 2;
    config.server_name = "tug/test";
    if (config.app == NULL)
        config.app = &t->counts;
    if (config.max_body == 0)
        config.max_body = 100000;
    if (!http_server_start(&config, &t->server, &err))
        fail_msg("%s", err.text);
}

/* Nothing may be left behind. */
static inline void test_server_stop(struct test_server *t, int64_t grace_ns)
{
    http_server_stop(t->server, clock_now_ns() + grace_ns);
    unlink(t->unix_path);
    rmdir(t->dir);
    assert_true(test_count_dir("/proc/self/fd") <= t->fds); /* fewer: another server's connections have ended */
    WAIT_FOR(test_count_dir("/proc/self/task") <= t->threads);
}

static inline int test_dial(const struct test_server *t)
{
    int fd;
    struct err err = ERR_INIT;
    struct timeval limit = {.tv_sec = 20};
    if (!socket_connect_tcp("127.0.0.1", t->port, 10 * CLOCK_SECOND, &fd, &err))
        fail_msg("%s", err.text);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static inline void test_send(int fd, const char *text) { assert_true(socket_write_all(fd, text, strlen(text), NULL)); }

/* One answer: the headers, and the body by its Content-Length or to the last chunk (raw, with the chunks' frames) or to
 * the end. head: there is no body. Returns the status, 0 when the connection ended before an answer. */
static inline int test_read(int fd, char *dst, size_t size, int head)
{
    size_t n = 0, want = SIZE_MAX, body = 0;
    int status = 0;
    dst[0] = '\0';
    while (n < want && n + 1 < size) {
        ssize_t got = recv(fd, dst + n, body == 0 ? 1 : size - 1 - n < want - n ? size - 1 - n : want - n, 0);
        if (got <= 0)
            break;
        n += (size_t)got;
        dst[n] = '\0';
        if (body == 0 && n > 4 && strcmp(dst + n - 4, "\r\n\r\n") == 0) {
            const char *length = strcasestr(dst, "\r\nContent-Length:");
            body = n;
            if (sscanf(dst, "HTTP/1.%*d %d", &status) != 1)
                fail_msg("not HTTP: %.100s", dst);
            if (status == 100) {
                n = body = 0;
                continue;
            }
            if (head || status == 204)
                return status;
            if (length != NULL)
                want = n + (size_t)strtoull(length + 17, NULL, 10);
        }
        if (body > 0 && want == SIZE_MAX && n >= body + 5 && strcmp(dst + n - 5, "0\r\n\r\n") == 0)
            return status;
    }
    return status;
}

/* A whole exchange on a connection of its own. */
static inline int test_ask(const struct test_server *t, const char *request, char *dst, size_t size)
{
    int fd = test_dial(t);
    test_send(fd, request);
    int status = test_read(fd, dst, size, strncmp(request, "HEAD", 4) == 0);
    close(fd);
    return status;
}

#endif
