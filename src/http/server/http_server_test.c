/* Requests and answers over real sockets: what is accepted, refused, and cleaned up after. */
#include "http/server/http_test.h"

#include "base/limits.h"
#include "base/log.h"

#include <pthread.h>

static struct test_server server;

/* ---- the routes ---------------------------------------------------------------------------------- */

static void get_hello(struct http_request *req)
{
    const char *name = http_query(req, "name");
    http_set_header(req, "X-Name", name == NULL ? "none" : name[0] == '\0' ? "empty" : name);
    http_reply(req, 200, "text/plain", "hello", 5);
}

static void get_params(struct http_request *req)
{
    char *text = arena_printf(&req->arena, "%s|%s", req->params[0], req->params[1]);
    http_reply(req, 200, "text/plain", text, strlen(text));
}

static void post_echo(struct http_request *req) { http_reply(req, 200, "text/plain", req->body.data, req->body.len); }

static void post_wait(struct http_request *req)
{
    struct test_counts *counts = req->app;
    struct socket_wait wait = {.fd = req->client_fd, .want = SOCKET_CLOSED};
    const char *ms = http_query(req, "ms");
    int64_t limit = (ms != NULL ? atoi(ms) : 60000) * CLOCK_MS;
    atomic_fetch_add(&counts->handlers, 1);
    if (socket_wait(&wait, 1, clock_now_ns() + limit) > 0)
        atomic_fetch_add(&counts->cancelled, 1);
    http_reply(req, 200, "text/plain", "waited", 6);
}

static void post_fail(struct http_request *req)
{
    struct err err = ERR_INIT;
    err_set(&err, ERR_UNAVAILABLE, "no room \"now\"");
    http_reply_error(req, &err);
}

static bool sink_begin(struct http_request *req, void **ret_state, struct err *err)
{
    struct test_counts *counts = req->app;
    if (http_query(req, "refuse") != NULL)
        return err_set(err, ERR_UNSUPPORTED, "not now");
    atomic_fetch_add(&counts->sink_begins, 1);
    *ret_state = counts;
    return true;
}

static bool sink_push(void *state, const void *data, size_t n, struct err *err)
{
    struct test_counts *counts = state;
    atomic_fetch_add(&counts->sink_bytes, (long long)n);
    return memchr(data, '!', n) == NULL ? true : err_set(err, ERR_INVALID, "the upload has a '!'");
}

static void sink_end(void *state)
{
    struct test_counts *counts = state;
    atomic_fetch_add(&counts->sink_ends, 1);
}

static void post_upload(struct http_request *req)
{
    struct test_counts *counts = req->sink_state;
    assert_int_equal(atomic_load(&counts->sink_ends), atomic_load(&counts->sink_begins) - 1);
    char *text = arena_printf(&req->arena, "%lld", atomic_load(&counts->sink_bytes));
    http_reply(req, 200, "text/plain", text, strlen(text));
}

static const struct http_sink sink = {sink_begin, sink_push, sink_end};

static const struct http_route routes[] = {
    {HTTP_GET, "/hello", get_hello, HTTP_RIGHT_READ, HTTP_BODY_NONE, .sink = NULL},
    {HTTP_GET, "/p/{a...}/x/{b}", get_params, HTTP_RIGHT_READ, HTTP_BODY_NONE, .sink = NULL},
    {HTTP_POST | HTTP_PUT, "/echo", post_echo, HTTP_RIGHT_READ, HTTP_BODY_BUFFER, .sink = NULL},
    {HTTP_POST, "/wait", post_wait, HTTP_RIGHT_READ, HTTP_BODY_BUFFER, .sink = NULL},
    {HTTP_POST, "/fail", post_fail, HTTP_RIGHT_READ, HTTP_BODY_NONE, .sink = NULL},
    {HTTP_POST, "/upload", post_upload, HTTP_RIGHT_READ, HTTP_BODY_STREAM, .sink = &sink},
    {.pattern = NULL},
};

static int set_up(void **state)
{
    (void)state;
    test_server_start(&server, &(struct http_server_config){.routes = routes});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_server_stop(&server, CLOCK_SECOND);
    return 0;
}

/* ---- one exchange -------------------------------------------------------------------------------- */

#define HOST "Host: localhost\r\n"

static void answers(void **state)
{
    (void)state;
    static const struct {
        const char *name, *request;
        int status;
        const char *has;   /* in the answer */
        const char *lacks; /* NULL: nothing */
    } rows[] = {
        {"get", "GET /hello HTTP/1.1\r\n" HOST "\r\n", 200, "\r\n\r\nhello", NULL},
        {"server header", "GET /hello HTTP/1.1\r\n" HOST "\r\n", 200, "\r\nServer: tug/test\r\n", NULL},
        {"request id", "GET /hello HTTP/1.1\r\n" HOST "\r\n", 200, "\r\nX-Request-Id: req-", NULL},
        {"query", "GET /hello?a=1&name=x+y%26%3d&name=z HTTP/1.1\r\n" HOST "\r\n", 200, "X-Name: x y&=\r\n", NULL},
        {"query without value", "GET /hello?name HTTP/1.1\r\n" HOST "\r\n", 200, "X-Name: empty\r\n", NULL},
        {"broken escape in query", "GET /hello?name=%zz%4 HTTP/1.1\r\n" HOST "\r\n", 200, "X-Name: %zz%4\r\n", NULL},
        {"no header from outside", "GET /hello?name=a%0d%0aEvil:1 HTTP/1.1\r\n" HOST "\r\n", 200, "X-Name: a  Evil:1",
         NULL},
        {"collapsed path", "GET //hello HTTP/1.1\r\n" HOST "\r\n", 200, "hello", NULL},
        {"params", "GET /p/a/b%2fc/x/d HTTP/1.1\r\n" HOST "\r\n", 200, "a/b/c|d", NULL},
        {"head", "HEAD /hello HTTP/1.1\r\n" HOST "\r\n", 200, "Content-Length: 5\r\n", "\r\n\r\nhello"},
        {"http 1.0", "GET /hello HTTP/1.0\r\n\r\n", 200, "hello", NULL},
        {"unknown path", "GET /nothing HTTP/1.1\r\n" HOST "\r\n", 404, "\"message\":\"there is no route '/nothing'",
         NULL},
        {"wrong method", "DELETE /echo HTTP/1.1\r\n" HOST "\r\n", 405, "\r\nAllow: POST, PUT\r\n", NULL},
        {"unknown method", "PATCH /echo HTTP/1.1\r\n" HOST "\r\n", 405, "{\"error\":{\"message\":", NULL},
        {"405 has a request id", "PATCH /echo HTTP/1.1\r\n" HOST "\r\n", 405, "\r\nX-Request-Id: req-", NULL},
        {"dot dot", "GET /a/../hello HTTP/1.1\r\n" HOST "\r\n", 400, "'..' segment", NULL},
        {"body", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 200, "\r\n\r\nabc", NULL},
        {"empty body", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 200, "Content-Length: 0\r\n", NULL},
        {"chunked body",
         "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", 200,
         "\r\n\r\nabcde", NULL},
        {"expect", "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", 200,
         "\r\n\r\nabc", NULL},
        {"a body that nobody wants", "POST /fail HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 503,
         "no room \\\"now\\\"", NULL},
        {"retry after", "POST /fail HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 503, "\r\nRetry-After: ", NULL},
        {"openai's shape", "POST /fail HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 503,
         "\"type\":\"overloaded_error\",\"param\":null,\"code\":null}}", NULL},
        {"too large, told at once",
         "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 100001\r\n\r\n", 413,
         "100001 bytes, the limit is 100000", NULL},
        {"too large for a wait", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 9999999999\r\n\r\nabc", 413,
         "\r\nX-Request-Id: req-", NULL},
        {"length is no number", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: x\r\n\r\n", 400, "", NULL},
        {"length is negative", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 400, "", NULL},
        {"chunk size is no number", "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
         400, "", NULL},
        {"no host", "GET /hello HTTP/1.1\r\n\r\n", 400, "", NULL},
        {"sink", "POST /upload HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200,
         "\r\n\r\n3", NULL},
        {"sink refuses to begin", "POST /upload?refuse HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 422,
         "not now", NULL},
        {"sink refuses", "POST /upload HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\na!c", 400, "has a '!'", NULL},
        {"sink refuses in the middle", "POST /upload HTTP/1.1\r\n" HOST "Content-Length: 30000000\r\n\r\na!c", 400,
         "has a '!'", NULL},
    };
    static char answer[20000];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        atomic_store(&server.counts.sink_bytes, 0);
        int status = test_ask(&server, rows[i].request, answer, sizeof answer);
        if (status != rows[i].status || strstr(answer, rows[i].has) == NULL ||
            (rows[i].lacks != NULL && strstr(answer, rows[i].lacks) != NULL))
            fail_msg("%s: %d, %s", rows[i].name, status, answer);
    }
    WAIT_FOR(atomic_load(&server.counts.sink_begins) == atomic_load(&server.counts.sink_ends));
    WAIT_FOR(http_server_active(server.server) == 0);
}

static void survives_nonsense(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "\r\n\r\n\r\n",
        "GARBAGE\r\n\r\n",
        "GET\r\n\r\n",
        "GET /hello\r\n\r\n",
        "GET /hello HTTP/9.9\r\n\r\n",
        "GET /hel lo HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /hello HTTP/1.1\r\nno colon\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab",
    };
    char answer[4000];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = test_dial(&server);
        test_send(fd, rows[i]);
        shutdown(fd, SHUT_WR);
        int status = test_read(fd, answer, sizeof answer, 0);
        if (status != 0 && status != 400 && status != 505 && i != 3) /* HTTP/0.9's form may be answered */
            fail_msg("row %zu: %d, %s", i, status, answer);
        close(fd);
    }
    assert_int_equal(test_ask(&server, "GET /hello HTTP/1.1\r\n" HOST "\r\n", answer, sizeof answer), 200);
}

static void refuses_long_headers(void **state)
{
    (void)state;
    static char request[400000], answer[4000];
    static const size_t sizes[] = {LIMIT_REQUEST_HEADER_BYTES - 100, LIMIT_REQUEST_HEADER_BYTES, 300000};
    for (size_t i = 0; i < 3; i++) {
        int n = snprintf(request, sizeof request, "GET /hello HTTP/1.1\r\n" HOST "X-Long: ");
        memset(request + n, 'a', sizes[i]);
        snprintf(request + (size_t)n + sizes[i], 5, "\r\n\r\n");
        assert_int_equal(test_ask(&server, request, answer, sizeof answer), i == 0 ? 200 : 431);
        if (i == 1) /* above the connection's memory it is libmicrohttpd that answers */
            assert_non_null(strstr(answer, "{\"error\":{\"message\":\"the request's headers have"));
    }
}

static void keeps_the_connection(void **state)
{
    (void)state;
    char answer[4000], first[64] = "", id[64] = "";
    int fd = test_dial(&server);
    for (int i = 0; i < 50; i++) {
        test_send(fd, i % 2 == 0 ? "GET /hello HTTP/1.1\r\n" HOST "\r\n"
                                 : "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nok");
        assert_int_equal(test_read(fd, answer, sizeof answer, 0), 200);
        const char *at = strstr(answer, "X-Request-Id: ");
        assert_non_null(at);
        assert_int_equal(sscanf(at, "X-Request-Id: %63s", id), 1);
        assert_string_not_equal(id, first);
        memcpy(first, id, sizeof first);
    }
    /* refusals keep it too, when the body is short */
    test_send(fd, "POST /nothing HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nabcde");
    assert_int_equal(test_read(fd, answer, sizeof answer, 0), 404);
    /* two at once */
    test_send(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(test_read(fd, answer, sizeof answer, 0), 200);
    assert_int_equal(test_read(fd, answer, sizeof answer, 0), 200);
    close(fd);
}

static void takes_large_uploads(void **state)
{
    (void)state;
    enum { BYTES = 40 * 1000 * 1000, PIECE = 100000 };
    static char piece[PIECE], answer[4000];
    char head[200];
    atomic_store(&server.counts.sink_bytes, 0);
    int fd = test_dial(&server);
    snprintf(head, sizeof head, "POST /upload HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n", BYTES);
    test_send(fd, head);
    memset(piece, 'a', sizeof piece);
    for (int sent = 0; sent < BYTES; sent += PIECE)
        assert_true(socket_write_all(fd, piece, sizeof piece, NULL));
    assert_int_equal(test_read(fd, answer, sizeof answer, 0), 200);
    assert_non_null(strstr(answer, "\r\n\r\n40000000"));
    close(fd);
}

/* A client that sends all of a body that is too large before it reads: it must see the answer, not a reset. */
static void answers_before_the_end_of_a_large_body(void **state)
{
    (void)state;
    enum { BYTES = 5 * 1000 * 1000, PIECE = 100000 };
    static char piece[PIECE], answer[4000];
    int fd = test_dial(&server);
    test_send(fd, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5000000\r\n\r\n");
    for (int sent = 0; sent < BYTES; sent += PIECE)
        assert_true(socket_write_all(fd, piece, sizeof piece, NULL));
    assert_int_equal(test_read(fd, answer, sizeof answer, 0), 413);
    close(fd);
}

static void unix_socket_answers_too(void **state)
{
    (void)state;
    int fd;
    char answer[4000];
    assert_true(socket_connect_unix(server.unix_path, &fd, NULL));
    test_send(fd, "GET /hello HTTP/1.1\r\nHost: anything\r\n\r\n");
    assert_int_equal(test_read(fd, answer, sizeof answer, 0), 200);
    close(fd);
}

/* ---- clients that leave ---------------------------------------------------------------------------- */

static void client_leaves_in_body(void **state)
{
    (void)state;
    int ends = atomic_load(&server.counts.sink_ends);
    for (int i = 0; i < 20; i++) {
        int fd = test_dial(&server);
        test_send(fd, "POST /upload HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\nabc");
        WAIT_FOR(atomic_load(&server.counts.sink_begins) == ends + i + 1);
        close(fd);
        WAIT_FOR(atomic_load(&server.counts.sink_ends) == ends + i + 1);
    }
    WAIT_FOR(http_server_active(server.server) == 0);
}

static void client_leaves_in_handler(void **state)
{
    (void)state;
    int handlers = atomic_load(&server.counts.handlers);
    int cancelled = atomic_load(&server.counts.cancelled);
    int fd = test_dial(&server);
    test_send(fd, "POST /wait HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
    WAIT_FOR(atomic_load(&server.counts.handlers) == handlers + 1);
    assert_int_equal(http_server_active(server.server), 1);
    close(fd);
    WAIT_FOR(atomic_load(&server.counts.cancelled) == cancelled + 1);
    WAIT_FOR(http_server_active(server.server) == 0);
}

/* ---- time ------------------------------------------------------------------------------------------ */

/* libmicrohttpd counts the time of a handler as the client's inactivity; we must not let it. */
static void time_limits(void **state)
{
    (void)state;
    struct test_server quick;
    char answer[4000];
    test_server_start(&quick, &(struct http_server_config){.routes = routes, .receive_timeout_s = 1});
    int silent = test_dial(&quick), slow = test_dial(&quick), waits = test_dial(&quick);
    int body = test_dial(&quick);
    test_send(silent, "GET /hello HTTP/1.1\r\n");
    test_send(body, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\na");
    test_send(waits, "POST /wait?ms=2500 HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
    for (const char *p = "GET /hello HTTP/1.1\r\n" HOST "X: 123456789012345\r\n\r\n"; *p != '\0'; p++) {
        assert_true(socket_write_all(slow, p, 1, NULL));
        usleep(40 * 1000);
    }
    assert_int_equal(test_read(slow, answer, sizeof answer, 0), 200); /* slow is not silent */
    assert_int_equal(test_read(waits, answer, sizeof answer, 0), 200);
    test_read(silent, answer, sizeof answer, 0); /* may be told 408; ends in any case */
    assert_int_equal(recv(silent, answer, 1, 0), 0);
    assert_int_equal(test_read(body, answer, sizeof answer, 0), 0);
    /* between two requests the connection is kept longer */
    test_send(waits, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(test_read(waits, answer, sizeof answer, 0), 200);
    usleep(1500 * 1000);
    test_send(waits, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(test_read(waits, answer, sizeof answer, 0), 200);
    close(silent), close(slow), close(waits), close(body);
    test_server_stop(&quick, CLOCK_SECOND);
}

/* ---- many, and the end ----------------------------------------------------------------------------- */

static void *one_client(void *arg)
{
    char answer[4000];
    int *ok = arg;
    int fd = test_dial(&server);
    test_send(fd, "POST /wait?ms=300 HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
    *ok = test_read(fd, answer, sizeof answer, 0) == 200;
    close(fd);
    return NULL;
}

static void serves_200_at_once(void **state)
{
    (void)state;
    enum { CLIENTS = 200 };
    pthread_t threads[CLIENTS];
    int ok[CLIENTS] = {0};
    int64_t start = clock_now_ns();
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, one_client, &ok[i]), 0);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < CLIENTS; i++)
        assert_true(ok[i]);
    if (clock_now_ns() - start > 20 * CLOCK_SECOND) /* one after the other would be 60 s */
        fail_msg("not at once");
}

static void limits_connections(void **state)
{
    (void)state;
    struct test_server small;
    char answer[4000];
    int fds[4];
    test_server_start(&small, &(struct http_server_config){.routes = routes, .max_connections = 3});
    for (int i = 0; i < 4; i++) {
        fds[i] = test_dial(&small);
        if (i == 3) /* the limit is for all listeners together */
            assert_true(close(fds[i]) == 0 && socket_connect_unix(small.unix_path, &fds[i], NULL));
        test_send(fds[i], "GET /hello HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(test_read(fds[i], answer, sizeof answer, 0), i < 3 ? 200 : 503);
    }
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    assert_non_null(strstr(answer, "more than 3 connections are open"));
    assert_int_equal(recv(fds[3], answer, 1, 0), 0);
    close(fds[3]);
    close(fds[0]); /* there is room again */
    int status = 503;
    for (int i = 0; i < 1000 && status != 200; i++)
        status = test_ask(&small, "GET /hello HTTP/1.1\r\n" HOST "\r\n", answer, sizeof answer);
    assert_int_equal(status, 200);
    close(fds[1]), close(fds[2]);
    test_server_stop(&small, CLOCK_SECOND);
}

static void draining_refuses_new_and_finishes_old(void **state)
{
    (void)state;
    char answer[4000];
    int handlers = atomic_load(&server.counts.handlers);
    int idle = test_dial(&server);
    test_send(idle, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(test_read(idle, answer, sizeof answer, 0), 200);
    int running = test_dial(&server);
    test_send(running, "POST /wait?ms=1000 HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
    WAIT_FOR(atomic_load(&server.counts.handlers) == handlers + 1);
    http_server_refuse_new(server.server);
    assert_int_equal(test_ask(&server, "GET /hello HTTP/1.1\r\n" HOST "\r\n", answer, sizeof answer), 503);
    assert_non_null(strstr(answer, "this server is stopping"));
    test_send(idle, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(test_read(idle, answer, sizeof answer, 0), 503);
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    int64_t start = clock_now_ns();
    http_server_stop(server.server, clock_now_ns() + 15 * CLOCK_SECOND);
    assert_true(clock_now_ns() - start < 10 * CLOCK_SECOND); /* as soon as it has ended */
    assert_int_equal(test_read(running, answer, sizeof answer, 0), 200);
    close(idle);
    close(running);
    unlink(server.unix_path);
    rmdir(server.dir);
    assert_int_equal(test_count_dir("/proc/self/fd"), server.fds);
    set_up(NULL);
}

static void stopping_cuts_what_does_not_end(void **state)
{
    (void)state;
    char answer[4000];
    int fd = test_dial(&server);
    test_send(fd, "POST /wait HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
    WAIT_FOR(atomic_load(&server.counts.handlers) == 1);
    http_server_stop(server.server, clock_now_ns() + 50 * CLOCK_MS);
    assert_int_equal(atomic_load(&server.counts.cancelled), 1);
    assert_int_equal(test_read(fd, answer, sizeof answer, 0), 0);
    close(fd);
    unlink(server.unix_path);
    rmdir(server.dir);
    set_up(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(survives_nonsense),
        cmocka_unit_test(refuses_long_headers),
        cmocka_unit_test(keeps_the_connection),
        cmocka_unit_test(takes_large_uploads),
        cmocka_unit_test(answers_before_the_end_of_a_large_body),
        cmocka_unit_test(unix_socket_answers_too),
        cmocka_unit_test(client_leaves_in_body),
        cmocka_unit_test(client_leaves_in_handler),
        cmocka_unit_test(time_limits),
        cmocka_unit_test(serves_200_at_once),
        cmocka_unit_test(limits_connections),
        cmocka_unit_test(draining_refuses_new_and_finishes_old),
        cmocka_unit_test(stopping_cuts_what_does_not_end),
    };
    log_init("test", LOG_ERROR);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
