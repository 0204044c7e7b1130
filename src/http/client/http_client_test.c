/* http/client/http_client_test.c: the client against a scripted server: a thread that accepts and plays bytes. Long,
 * but one thing: that server and tables of what it plays. */
#include "base/check.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "http/client/http_client.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define OK_HEAD "HTTP/1.1 200 OK\r\n"

/* What the server does on each connection, one after the other. */
enum play {
    PLAY_SEND,    /* read a request, send `answer`, go on with the next request on this connection */
    PLAY_CLOSE,   /* as SEND, then close */
    PLAY_RESET,   /* as SEND, then RST */
    PLAY_STALL,   /* as SEND, then nothing until the client goes */
    PLAY_TRICKLE, /* a chunk of one byte each 2 ms */
    PLAY_FLOOD,   /* 64 MiB as fast as they go */
    PLAY_ECHO,    /* the request itself, as body */
};

struct server {
    int listener;
    enum play play;
    const char *answer;
    pthread_t thread;
    _Atomic int accepted;
    _Atomic long sent;
    _Atomic bool saw_close;
    char unix_path[64];
    char url[64];
};

/* One request: until the blank line, and as many bytes of body as its Content-Length says, or the last chunk. */
static bool request_read(int fd, struct buf *in)
{
    buf_clear(in);
    for (;;) {
        char *at = buf_reserve(in, 65536);
        ssize_t n = at == NULL ? -1 : recv(fd, at, 65536, 0);
        if (n <= 0)
            return false;
        in->len += (size_t)n;
        in->data[in->len] = '\0';
        const char *end = strstr(in->data, "\r\n\r\n");
        if (end == NULL)
            continue;
        size_t head = (size_t)(end + 4 - in->data);
        const char *length = strstr(in->data, "Content-Length: ");
        if (strstr(in->data, "Transfer-Encoding: chunked") != NULL) {
            if (strstr(end, "\r\n0\r\n\r\n") != NULL)
                return true;
        } else if (length == NULL || in->len >= head + strtoul(length + 16, NULL, 10)) {
            return true;
        }
    }
}

static void play_answer(struct server *s, int fd, const struct buf *in)
{
    static const char flood[65536];
    char text[128];
    if (s->play == PLAY_ECHO) {
        int n = snprintf(text, sizeof text, OK_HEAD "Content-Length: %zu\r\n\r\n", in->len);
        socket_write_all(fd, text, (size_t)n, NULL);
        socket_write_all(fd, in->data, in->len, NULL);
        return;
    }
    if (!socket_write_all(fd, s->answer, strlen(s->answer), NULL))
        return;
    for (int i = 0; s->play == PLAY_TRICKLE && i < 50; i++) {
        usleep(2000);
        int64_t now = clock_now_ns();
        char chunk[32];
        int n = snprintf(chunk, sizeof chunk, "13\r\n%019lld\r\n", (long long)now);
        socket_write_all(fd, chunk, (size_t)n, NULL);
    }
    if (s->play == PLAY_TRICKLE)
        socket_write_all(fd, "0\r\n\r\n", 5, NULL);
    for (int i = 0; s->play == PLAY_FLOOD && i < 1024; i++) {
        if (!socket_write_all(fd, flood, sizeof flood, NULL))
            return;
        s->sent += (long)sizeof flood;
    }
}

static void connection_serve(struct server *s, int fd)
{
    struct buf in = BUF_INIT(4 << 20);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    while (request_read(fd, &in)) {
        play_answer(s, fd, &in);
        if (s->play == PLAY_RESET) {
            struct linger hard = {.l_onoff = 1};
            usleep(20000); /* so that the bytes before it are read */
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        }
        if (s->play == PLAY_CLOSE || s->play == PLAY_RESET)
            break;
        if (s->play == PLAY_STALL) {
            char byte;
            s->saw_close = recv(fd, &byte, 1, 0) <= 0;
            break;
        }
    }
    close(fd);
    buf_done(&in);
}

static void *server_run(void *arg)
{
    struct server *s = arg;
    for (int fd; (fd = accept(s->listener, NULL, NULL)) >= 0;) {
        s->accepted++;
        connection_serve(s, fd);
    }
    return NULL;
}

static void server_start(struct server *s, enum play play, const char *answer)
{
    memset(s, 0, sizeof *s);
    s->play = play;
    s->answer = answer;
    assert_true(socket_listen_tcp("127.0.0.1:0", &s->listener, NULL));
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u/path?q=1", socket_port(s->listener));
    assert_int_equal(pthread_create(&s->thread, NULL, server_run, s), 0);
}

static void server_start_unix(struct server *s, enum play play, const char *answer)
{
    memset(s, 0, sizeof *s);
    s->play = play;
    s->answer = answer;
    snprintf(s->unix_path, sizeof s->unix_path, "/tmp/tug-http-%d", (int)getpid());
    snprintf(s->url, sizeof s->url, "http://engine/v1");
    assert_true(socket_listen_unix(s->unix_path, &s->listener, NULL));
    assert_int_equal(pthread_create(&s->thread, NULL, server_run, s), 0);
}

static void server_stop(struct server *s)
{
    shutdown(s->listener, SHUT_RDWR); /* ends accept() */
    pthread_join(s->thread, NULL);
    file_close(&s->listener);
    if (s->unix_path[0] != '\0')
        unlink(s->unix_path);
}

static struct http_call_spec get_of(const struct server *s)
{
    return (struct http_call_spec){.method = "GET", .url = s->url, .cancel_fd = -1};
}

static void test_answers(void **state)
{
    static const struct {
        const char *name;
        enum play play;
        const char *answer;
        int status;       /* 0: http_call_open fails */
        const char *body; /* NULL: reading fails */
        enum err_code code;
    } rows[] = {
        {"length", PLAY_CLOSE, OK_HEAD "Content-Length: 5\r\n\r\nhello", 200, "hello", ERR_NONE},
        {"chunked", PLAY_CLOSE, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 200,
         "hello", ERR_NONE},
        {"trailers", PLAY_CLOSE, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\nX: y\r\n\r\n", 200, "he",
         ERR_NONE},
        {"until close", PLAY_CLOSE, OK_HEAD "\r\nhello", 200, "hello", ERR_NONE},
        {"empty", PLAY_SEND, "HTTP/1.1 204 No Content\r\n\r\n", 204, "", ERR_NONE},
        {"a 1xx before", PLAY_CLOSE, "HTTP/1.1 102 Wait\r\nX: no\r\n\r\n" OK_HEAD "Content-Length: 1\r\n\r\na", 200,
         "a", ERR_NONE},
        {"redirect is not followed", PLAY_CLOSE, "HTTP/1.1 302 F\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n", 302, "",
         ERR_NONE},
        {"error status has its body", PLAY_CLOSE, "HTTP/1.1 500 E\r\nContent-Length: 3\r\n\r\nwhy", 500, "why",
         ERR_NONE},
        {"early FIN", PLAY_CLOSE, OK_HEAD "Content-Length: 9\r\n\r\nhello", 200, NULL, ERR_UNREACHABLE},
        {"chunked cut", PLAY_CLOSE, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhel", 200, NULL, ERR_UNREACHABLE},
        {"chunked without end", PLAY_CLOSE, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 200, NULL,
         ERR_UNREACHABLE},
        {"reset in the body", PLAY_RESET, OK_HEAD "Content-Length: 9\r\n\r\nhello", 200, NULL, ERR_UNREACHABLE},
        {"stall in the body", PLAY_STALL, OK_HEAD "Content-Length: 9\r\n\r\nhello", 200, NULL, ERR_UNREACHABLE},
        {"stall before the answer", PLAY_STALL, "", 0, NULL, ERR_UNREACHABLE},
        {"close before the answer", PLAY_CLOSE, "", 0, NULL, ERR_UNREACHABLE},
        {"reset before the answer", PLAY_RESET, "", 0, NULL, ERR_UNREACHABLE},
        {"headers cut", PLAY_CLOSE, OK_HEAD "X: y", 0, NULL, ERR_UNREACHABLE},
        {"not HTTP", PLAY_CLOSE, "SSH-2.0-OpenSSH_9.2\r\n", 0, NULL, ERR_PROTOCOL},
        {"bad chunk", PLAY_CLOSE, OK_HEAD "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 200, NULL, ERR_UNREACHABLE},
        {"wrong length with an error", PLAY_CLOSE, "HTTP/1.1 416 R\r\nContent-Length: 2147483648\r\n\r\nno", 416, NULL,
         ERR_UNREACHABLE},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct server s;
        struct http_call *call = NULL;
        struct err err = ERR_INIT;
        _cleanup_(buf_done) struct buf body = BUF_INIT(1000);
        server_start(&s, rows[i].play, rows[i].answer);
        struct http_call_spec spec = get_of(&s);
        spec.stall_timeout_ns = 200 * CLOCK_MS;
        bool open = http_call_open(&spec, &call, &err);
        if (open != (rows[i].status != 0))
            fail_msg("%s: %s", rows[i].name, err.text);
        if (open) {
            assert_int_equal(http_call_status(call), rows[i].status);
            bool read = http_call_read_all(call, &body, &err);
            if (read != (rows[i].body != NULL) || (read && strcmp(buf_str(&body), rows[i].body) != 0))
                fail_msg("%s: body '%s' %s", rows[i].name, buf_str(&body), err.text);
            char byte; /* an end stays an end, a failure stays a failure */
            assert_int_equal(http_call_read(call, &byte, 1, NULL), read ? 0 : -1);
        }
        if (rows[i].code != ERR_NONE && (err.code != rows[i].code || strstr(err.text, "127.0.0.1") == NULL))
            fail_msg("%s: %s '%s'", rows[i].name, err_name(err.code), err.text);
        http_call_close(&call);
        server_stop(&s);
    }
}

static void test_headers(void **state)
{
    struct server s;
    struct http_call *call = NULL;
    struct err err = ERR_INIT;
    (void)state;
    server_start(&s, PLAY_CLOSE,
                 OK_HEAD "WWW-Authenticate: Basic realm=\"a\"\r\nwww-authenticate:Bearer realm=\"b\"  \r\nEmpty:\r\n"
                         "X-One:  1 \r\nX-One: 2\r\nContent-Length: 0\r\n\r\n");
    struct http_call_spec spec = get_of(&s);
    assert_true(http_call_open(&spec, &call, &err));
    assert_string_equal(http_call_header_at(call, "WWW-Authenticate", 0), "Basic realm=\"a\"");
    assert_string_equal(http_call_header_at(call, "WWW-Authenticate", 1), "Bearer realm=\"b\"");
    assert_null(http_call_header_at(call, "WWW-Authenticate", 2));
    assert_string_equal(http_call_header(call, "x-one"), "2");
    assert_string_equal(http_call_header(call, "empty"), "");
    assert_null(http_call_header(call, "absent"));
    http_call_close(&call);
    server_stop(&s);
    /* A server that never stops sending headers. */
    _cleanup_(buf_done) struct buf many = BUF_INIT(1 << 20);
    buf_add_str(&many, OK_HEAD);
    for (int i = 0; i < 4000; i++)
        buf_printf(&many, "X-Header-%d: some value\r\n", i);
    buf_add_str(&many, "\r\n");
    server_start(&s, PLAY_CLOSE, many.data);
    spec = get_of(&s);
    assert_false(http_call_open(&spec, &call, &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
    server_stop(&s);
}

static ssize_t body_five(void *ctx, void *dst, size_t max)
{
    int *left = ctx;
    if (*left == -1)
        return -1;
    if (*left == 0 || max < 5)
        return 0;
    (*left)--;
    memcpy(dst, "12345", 5);
    return 5;
}

static void test_requests(void **state)
{
    static const struct {
        const char *method, *body;
        int pieces; /* of a streamed body; 0: none */
        uint64_t size;
        const char *has, *has_not;
    } rows[] = {
        {"GET", NULL, 0, 0, "GET /path?q=1 HTTP/1.1\r\n", "Content-"},
        {"GET", NULL, 0, 0, "Accept-Encoding: identity\r\n", "Expect"},
        {"GET", NULL, 0, 0, "User-Agent: tug/" TUG_VERSION "\r\n", "Transfer"},
        {"DELETE", NULL, 0, 0, "DELETE /path", "Content-Type"},
        {"POST", NULL, 0, 0, "Content-Length: 0\r\n", "Content-Type"},
        {"PUT", NULL, 0, 0, "Content-Length: 0\r\n", "Content-Type"},
        {"POST", "{\"a\":1}", 0, 0, "Content-Length: 7\r\n", "Expect"},
        {"POST", "{\"a\":1}", 0, 0, "\r\n\r\n{\"a\":1}", "urlencoded"},
        {"PATCH", "abc", 0, 0, "PATCH /path", "Expect"},
        {"PUT", NULL, 3, 15, "Content-Length: 15\r\n", "Expect"},
        {"PUT", NULL, 3, 15, "\r\n\r\n123451234512345", "chunked"},
        {"POST", NULL, 2, UINT64_MAX, "Transfer-Encoding: chunked\r\n", "Content-Length"},
        {"GET", NULL, 0, 0, "X-Mine: yes\r\n", "\nHost: engine"},
    };
    struct server s;
    (void)state;
    server_start(&s, PLAY_ECHO, "");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_(buf_done) struct buf echo = BUF_INIT(10000);
        struct err err = ERR_INIT;
        int status = 0;
        int left = rows[i].pieces;
        const char *const headers[] = {"X-Mine: yes", NULL};
        struct http_call_spec spec = get_of(&s);
        spec.method = rows[i].method;
        spec.body = rows[i].body;
        spec.body_len = rows[i].body == NULL ? 0 : strlen(rows[i].body);
        spec.body_read = rows[i].pieces > 0 ? body_five : NULL;
        spec.body_ctx = &left;
        spec.body_size = rows[i].size;
        spec.headers = headers;
        if (!http_call_simple(&spec, &echo, &status, &err))
            fail_msg("row %zu: %s", i, err.text);
        if (strstr(buf_str(&echo), rows[i].has) == NULL || strstr(buf_str(&echo), rows[i].has_not) != NULL)
            fail_msg("row %zu: %s", i, buf_str(&echo));
    }
    struct err err = ERR_INIT;
    struct http_call_spec spec = get_of(&s);
    struct http_call *call = NULL;
    const char *const evil[] = {"X: y\r\nAuthorization: z", NULL};
    spec.headers = evil;
    assert_false(http_call_open(&spec, &call, &err));
    assert_int_equal(err.code, ERR_INVALID);
    int abort_now = -1;
    spec = get_of(&s);
    spec.method = "PUT";
    spec.body_read = body_five;
    spec.body_ctx = &abort_now;
    spec.body_size = 5;
    assert_false(http_call_open(&spec, &call, &err));
    assert_int_equal(err.code, ERR_INTERNAL);
    server_stop(&s);
}

static void test_head(void **state)
{
    struct server s;
    _cleanup_(buf_done) struct buf body = BUF_INIT(10);
    int status = 0;
    struct err err = ERR_INIT;
    (void)state;
    server_start(&s, PLAY_SEND, OK_HEAD "Content-Length: 1000000\r\n\r\n");
    struct http_call_spec spec = get_of(&s);
    spec.method = "HEAD";
    assert_true(http_call_simple(&spec, &body, &status, &err));
    assert_int_equal(status, 200);
    assert_int_equal(body.len, 0);
    server_stop(&s);
}

static void test_reuse(void **state)
{
    struct server s;
    struct http_pool *pool = http_pool_new();
    struct err err = ERR_INIT;
    (void)state;
    server_start_unix(&s, PLAY_SEND, OK_HEAD "Content-Length: 5\r\n\r\nhello");
    int64_t start = clock_now_ns();
    for (int i = 0; i < 200; i++) {
        _cleanup_(buf_done) struct buf body = BUF_INIT(100);
        int status = 0;
        struct http_call_spec spec = get_of(&s);
        spec.unix_socket = s.unix_path;
        spec.pool = pool;
        if (!http_call_simple(&spec, &body, &status, &err))
            fail_msg("%s", err.text);
        assert_string_equal(buf_str(&body), "hello");
    }
    print_message("%lld us for a call on a kept unix socket\n", (long long)((clock_now_ns() - start) / 200000));
    assert_int_equal(s.accepted, 1);
    http_pool_free(&pool);
    assert_null(pool);
    http_pool_free(&pool);
    server_stop(&s);
    /* A connection that the server closed meanwhile is replaced, not an error. */
    pool = http_pool_new();
    server_start(&s, PLAY_CLOSE, OK_HEAD "Content-Length: 5\r\n\r\nhello");
    for (int i = 0; i < 5; i++) {
        _cleanup_(buf_done) struct buf body = BUF_INIT(100);
        int status = 0;
        struct http_call_spec spec = get_of(&s);
        spec.pool = pool;
        if (!http_call_simple(&spec, &body, &status, &err))
            fail_msg("%s", err.text);
    }
    http_pool_free(&pool);
    server_stop(&s);
}

/* A host that has no address, and again: the handle of the failed call is not used for the next one. */
static void test_pool_after_a_failed_call(void **state)
{
    (void)state;
    struct http_pool *pool = http_pool_new();
    for (int i = 0; i < 3; i++) {
        struct err err = ERR_INIT;
        struct http_call *call = NULL;
        struct http_call_spec spec = {
            .method = "GET", .url = "http://no-such-host.invalid/", .cancel_fd = -1, .pool = pool};
        assert_false(http_call_open(&spec, &call, &err));
        assert_int_equal(err.code, ERR_UNREACHABLE);
        spec.url = "http://127.0.0.1:1/";
        assert_false(http_call_open(&spec, &call, &err));
    }
    http_pool_free(&pool);
}

static bool call_once(struct server *s, struct http_pool *pool, bool *ret_unsent)
{
    struct err err = ERR_INIT;
    _cleanup_(buf_done) struct buf body = BUF_INIT(100);
    int status = 0;
    struct http_call_spec spec = get_of(s);
    spec.unix_socket = s->unix_path;
    spec.pool = pool;
    spec.ret_unsent = ret_unsent;
    return http_call_simple(&spec, &body, &status, &err);
}

static void test_pools(void **state)
{
    (void)state;
    struct server s;
    struct http_pools *pools = http_pools_new();
    bool unsent = false;
    server_start_unix(&s, PLAY_SEND, OK_HEAD "Content-Length: 5\r\n\r\nhello");
    for (int i = 0; i < 3; i++) {
        struct http_pool *pool = http_pools_take(pools);
        assert_true(call_once(&s, pool, NULL));
        http_pools_put(pools, &pool);
        assert_null(pool);
    }
    assert_int_equal(s.accepted, 1); /* the connection goes along with the pool */
    http_pools_free(&pools);
    http_pools_free(&pools);
    server_stop(&s);

    /* A kept connection that has died, and nobody behind the door: no byte of the new request went out. */
    struct http_pool *pool = http_pool_new();
    server_start_unix(&s, PLAY_CLOSE, OK_HEAD "Content-Length: 5\r\n\r\nhello");
    assert_true(call_once(&s, pool, &unsent));
    server_stop(&s);
    assert_false(call_once(&s, pool, &unsent));
    assert_true(unsent);
    http_pool_free(&pool);
}

static void test_unclean_close(void **state)
{
    struct server s;
    struct http_pool *pool = http_pool_new();
    struct http_call *call = NULL;
    struct http_call *second = NULL;
    struct err err = ERR_INIT;
    (void)state;
    server_start(&s, PLAY_STALL, OK_HEAD "Content-Length: 9\r\n\r\nhello");
    struct http_call_spec spec = get_of(&s);
    spec.pool = pool;
    assert_true(http_call_open(&spec, &call, &err));
    http_call_close(&call); /* incomplete: its connection must go, not be used again */
    assert_null(call);
    http_call_close(&call);
    for (int i = 0; i < 200 && !s.saw_close; i++)
        usleep(10000);
    assert_true(s.saw_close);
    assert_true(http_call_open(&spec, &call, &err));
    http_call_close(&call);
    server_stop(&s);
    /* Two open calls of one pool do not disturb each other. */
    struct server other;
    server_start(&s, PLAY_CLOSE, OK_HEAD "Content-Length: 3\r\n\r\none");
    server_start(&other, PLAY_CLOSE, OK_HEAD "Content-Length: 3\r\n\r\ntwo");
    spec.url = s.url;
    struct http_call_spec spec2 = get_of(&other);
    spec2.pool = pool;
    _cleanup_(buf_done) struct buf a = BUF_INIT(10);
    _cleanup_(buf_done) struct buf b = BUF_INIT(10);
    assert_true(http_call_open(&spec, &call, &err) && http_call_open(&spec2, &second, &err));
    assert_true(http_call_read_all(second, &b, &err) && http_call_read_all(call, &a, &err));
    assert_string_equal(buf_str(&a), "one");
    assert_string_equal(buf_str(&b), "two");
    http_call_close(&call);
    http_call_close(&second);
    server_stop(&s);
    server_stop(&other);
    http_pool_free(&pool);
}

static void *close_later(void *fd)
{
    usleep(100000);
    shutdown(*(int *)fd, SHUT_WR);
    return NULL;
}

static void test_cancel(void **state)
{
    struct server s;
    int client[2];
    struct err err = ERR_INIT;
    (void)state;
    for (int in_body = 0; in_body <= 1; in_body++) {
        pthread_t closer;
        struct http_call *call = NULL;
        assert_true(socket_pair(client, NULL));
        /* The client has sent its next request already: readable, but not gone. */
        assert_true(socket_write_all(client[1], "GET / HTTP/1.1\r\n", 16, NULL));
        server_start(&s, PLAY_STALL, in_body ? OK_HEAD "Content-Length: 9\r\n\r\n" : "");
        struct http_call_spec spec = get_of(&s);
        spec.cancel_fd = client[0];
        int64_t cpu = clock_thread_cpu_ns();
        int64_t start = clock_now_ns();
        pthread_create(&closer, NULL, close_later, &client[1]);
        assert_int_equal(http_call_open(&spec, &call, &err), in_body);
        if (in_body) {
            char byte;
            assert_int_equal(http_call_read(call, &byte, 1, &err), -1);
        }
        assert_int_equal(err.code, ERR_CANCELLED);
        int64_t took = clock_now_ns() - start;
        assert_true(took > 90 * CLOCK_MS && took < 2 * CLOCK_SECOND);
        assert_true(clock_thread_cpu_ns() - cpu < 60 * CLOCK_MS); /* it slept, it did not spin */
        http_call_close(&call);
        pthread_join(closer, NULL);
        server_stop(&s); /* returns only once the server saw our side close */
        assert_true(s.saw_close);
        close(client[0]);
        close(client[1]);
    }
}

/* Each chunk of a stream is there when it was sent, not when a buffer is full or a timer ran. */
static void test_latency(void **state)
{
    struct server s;
    struct http_call *call = NULL;
    struct err err = ERR_INIT;
    int64_t total = 0;
    int chunks = 0;
    char text[4096];
    (void)state;
    server_start_unix(&s, PLAY_TRICKLE, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n");
    struct http_call_spec spec = get_of(&s);
    spec.unix_socket = s.unix_path;
    assert_true(http_call_open(&spec, &call, &err));
    for (ssize_t n; (n = http_call_read(call, text, sizeof text - 1, &err)) > 0; chunks++) {
        text[n] = '\0';
        total += clock_now_ns() - strtoll(text, NULL, 10);
    }
    http_call_close(&call);
    server_stop(&s);
    print_message("%lld us from the server's write to our read, %d reads of 50 chunks\n",
                  (long long)(total / chunks / 1000), chunks);
    assert_true(chunks > 25 && total / chunks < 10 * CLOCK_MS);
}

static void test_one_byte_reads(void **state)
{
    struct server s;
    struct http_call *call = NULL;
    struct err err = ERR_INIT;
    (void)state;
    server_start(&s, PLAY_CLOSE,
                 OK_HEAD "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n");
    struct http_call_spec spec = get_of(&s);
    assert_true(http_call_open(&spec, &call, &err));
    for (const char *p = "abcdef"; *p != '\0'; p++) {
        char byte = 0;
        assert_int_equal(http_call_read(call, &byte, 1, &err), 1);
        assert_int_equal(byte, *p);
    }
    char byte;
    assert_int_equal(http_call_read(call, &byte, 1, &err), 0);
    http_call_close(&call);
    server_stop(&s);
}

/* A reader who does not read stops the sender: no more than sockets and our own limit hold. */
static void test_backpressure(void **state)
{
    struct server s;
    struct http_call *call = NULL;
    struct err err = ERR_INIT;
    char *block = malloc(1 << 20);
    long total = 0;
    (void)state;
    server_start(&s, PLAY_FLOOD, OK_HEAD "Content-Length: 67108864\r\n\r\n");
    struct http_call_spec spec = get_of(&s);
    assert_true(http_call_open(&spec, &call, &err));
    usleep(300000);
    long before = s.sent;
    assert_true(before < 24L << 20);
    for (ssize_t n; (n = http_call_read(call, block, 1 << 20, &err)) > 0;)
        total += n;
    assert_int_equal(total, 64L << 20);
    http_call_close(&call);
    server_stop(&s);
    free(block);
}

static void test_too_large(void **state)
{
    struct server s;
    struct err err = ERR_INIT;
    int status = 0;
    (void)state;
    server_start(&s, PLAY_CLOSE, OK_HEAD "Content-Length: 5\r\n\r\nhello");
    struct http_call_spec spec = get_of(&s);
    _cleanup_(buf_done) struct buf exact = BUF_INIT(5);
    assert_true(http_call_simple(&spec, &exact, &status, &err));
    _cleanup_(buf_done) struct buf small = BUF_INIT(4);
    assert_false(http_call_simple(&spec, &small, &status, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    server_stop(&s);
}

static void test_unreachable(void **state)
{
    static const struct {
        const char *url, *unix_socket;
        enum err_code code;
    } rows[] = {
        {"http://127.0.0.1:1/", NULL, ERR_UNREACHABLE},
        {"http://no-such-host.invalid/", NULL, ERR_UNREACHABLE},
        {"http://engine/", "/tmp/no/such/socket", ERR_UNREACHABLE},
        {"ftp://127.0.0.1/", NULL, ERR_INVALID},
        {"file:///etc/passwd", NULL, ERR_INVALID},
        {"http://", NULL, ERR_INVALID},
        {"http://user:secret@127.0.0.1/", NULL, ERR_INVALID},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_call *call = NULL;
        struct err err = ERR_INIT;
        struct http_call_spec spec = {
            .method = "GET", .url = rows[i].url, .unix_socket = rows[i].unix_socket, .cancel_fd = -1};
        assert_false(http_call_open(&spec, &call, &err));
        if (err.code != rows[i].code || strstr(err.text, "secret") != NULL)
            fail_msg("%s: %s %s", rows[i].url, err_name(err.code), err.text);
    }
    /* TLS spoken to a server without it: no use to try again. */
    struct server s;
    struct http_call *call = NULL;
    struct err err = ERR_INIT;
    char url[64];
    server_start(&s, PLAY_CLOSE, "");
    snprintf(url, sizeof url, "https://127.0.0.1:%u/", socket_port(s.listener));
    struct http_call_spec spec = {.method = "GET", .url = url, .cancel_fd = -1, .stall_timeout_ns = 300 * CLOCK_MS};
    assert_false(http_call_open(&spec, &call, &err));
    server_stop(&s);
}

static void test_resolve_to(void **state)
{
    struct server s;
    struct err err = ERR_INIT;
    _cleanup_(buf_done) struct buf echo = BUF_INIT(10000);
    int status = 0;
    char url[96];
    (void)state;
    server_start(&s, PLAY_ECHO, "");
    snprintf(url, sizeof url, "http://registry.invalid:%u/x", socket_port(s.listener));
    struct http_call_spec spec = {.method = "GET", .url = url, .cancel_fd = -1, .resolve_to = "127.0.0.1"};
    if (!http_call_simple(&spec, &echo, &status, &err))
        fail_msg("%s", err.text);
    assert_non_null(strstr(buf_str(&echo), "Host: registry.invalid"));
    server_stop(&s);
}

static void test_urls(void **state)
{
    static const struct {
        const char *url, *scheme, *host, *path;
        int port; /* 0: refused */
    } parsed[] = {
        {"http://Example.COM", "http", "example.com", "/", 80},
        {"https://a.b/c/d?e=%2Ff#g", "https", "a.b", "/c/d?e=%2Ff", 443},
        {"http://[::1]:5000/v2/", "http", "[::1]", "/v2/", 5000},
        {"http://127.0.0.1:65535/a%20b", "http", "127.0.0.1", "/a%20b", 65535},
        {"http://a:65536/", NULL, NULL, NULL, 0},
        {"http://a:0x50/", NULL, NULL, NULL, 0},
        {"ftp://a/", NULL, NULL, NULL, 0},
        {"//a/b", NULL, NULL, NULL, 0},
        {"a/b", NULL, NULL, NULL, 0},
        {"http://u@a/", NULL, NULL, NULL, 0},
        {"http://a b/", NULL, NULL, NULL, 0},
        {"http://a\r\nX: y/", NULL, NULL, NULL, 0},
        {"javascript:alert(1)", NULL, NULL, NULL, 0},
        {"", NULL, NULL, NULL, 0},
    };
    static const struct {
        const char *base, *location, *joined; /* NULL: refused */
    } joined[] = {
        {"http://a/b/c/d?q", "http://x/y", "http://x/y"},
        {"http://a/b/c/d?q", "//x/y", "http://x/y"},
        {"http://a/b/c/d?q", "/y?z=%2F", "http://a/y?z=%2F"},
        {"http://a/b/c/d?q", "y", "http://a/b/c/y"},
        {"http://a/b/c/d?q", "?y", "http://a/b/c/d?y"},
        {"http://a/b/c/d?q", "../y", "http://a/b/y"},
        {"http://a/b/c/d?q", "../../../y", "http://a/y"},
        {"http://a/b/c/d?q", "./y#frag", "http://a/b/c/y"},
        {"https://a:8443/b", "/c", "https://a:8443/c"},
        {"http://a/b", "https://a/c?_state=x%3D%3D&digest=1", "https://a/c?_state=x%3D%3D&digest=1"},
        {"http://a/b", "/with space", "http://a/with%20space"},
        {"http://a/b", "file:///etc/passwd", NULL},
        {"http://a/b", "gopher://x/", NULL},
        {"http://a/b", "http://u:p@x/", NULL},
        {"http://a/b", "/x\r\ny", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(parsed); i++) {
        struct http_url url = {0};
        struct err err = ERR_INIT;
        if (http_url_parse(parsed[i].url, &url, &err) != (parsed[i].port != 0))
            fail_msg("%s: %s", parsed[i].url, err.text);
        if (parsed[i].port == 0)
            continue;
        assert_string_equal(url.scheme, parsed[i].scheme);
        assert_string_equal(url.host, parsed[i].host);
        assert_string_equal(url.path, parsed[i].path);
        assert_int_equal(url.port, parsed[i].port);
    }
    for (size_t i = 0; i < ARRAY_LEN(joined); i++) {
        char dst[256] = "";
        struct err err = ERR_INIT;
        if (http_url_join(joined[i].base, joined[i].location, dst, sizeof dst, &err) != (joined[i].joined != NULL) ||
            (joined[i].joined != NULL && strcmp(dst, joined[i].joined) != 0))
            fail_msg("%s + %s: '%s' %s", joined[i].base, joined[i].location, dst, err.text);
    }
    char tiny[8];
    assert_false(http_url_join("http://a/b", "/longer", tiny, sizeof tiny, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_requests),       cmocka_unit_test(test_head),
        cmocka_unit_test(test_reuse),          cmocka_unit_test(test_unclean_close),
        cmocka_unit_test(test_pools),          cmocka_unit_test(test_pool_after_a_failed_call),
        cmocka_unit_test(test_cancel),         cmocka_unit_test(test_latency),
        cmocka_unit_test(test_one_byte_reads), cmocka_unit_test(test_backpressure),
        cmocka_unit_test(test_too_large),      cmocka_unit_test(test_unreachable),
        cmocka_unit_test(test_resolve_to),     cmocka_unit_test(test_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
