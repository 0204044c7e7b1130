/* Streams over real sockets: a chunk a read, at once; closed exactly once, whoever ends it. */
#include "http/server/http_test.h"

#include "base/log.h"

static struct test_server server;

/* A stream by a script, a character a read: d = some data, w = wait 100 ms before it, b = blocks until the client has
 * gone, ! = abort; its end = the end. */
struct script {
    const char *next;
    int client_fd;
    struct test_counts *counts;
};

static ssize_t script_read(void *ctx, char *dst, size_t max)
{
    struct script *s = ctx;
    struct socket_wait wait = {.fd = s->client_fd, .want = SOCKET_CLOSED};
    switch (*s->next++) {
    case 'w':
        socket_wait(&wait, 1, clock_now_ns() + 100 * CLOCK_MS);
        /* fall through */
    case 'd':
        memcpy(dst, "data", 4);
        return 4;
    case 'f': /* for ever: as much as fits, without looking at the client */
        s->next--;
        memset(dst, 'x', max);
        return (ssize_t)max;
    case 'b':
        socket_wait(&wait, 1, CLOCK_FOREVER);
        return -1;
    case '!':
        return -1;
    default:
        return 0;
    }
}

static void script_close(void *ctx)
{
    struct script *s = ctx;
    atomic_fetch_add(&s->counts->closes, 1);
}

static void get_stream(struct http_request *req)
{
    struct script *s = arena_alloc(&req->arena, sizeof *s); /* still there when close is called */
    s->next = http_query(req, "s");
    s->client_fd = req->client_fd;
    s->counts = req->app;
    atomic_fetch_add(&s->counts->handlers, 1);
    http_reply_stream(req, 200, "text/event-stream", (struct http_stream){script_read, script_close, s});
}

static const struct http_route routes[] = {
    {HTTP_GET, "/stream", get_stream, HTTP_RIGHT_READ, HTTP_BODY_NONE, .sink = NULL},
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
    assert_int_equal(atomic_load(&server.counts.closes), atomic_load(&server.counts.handlers));
    return 0;
}

#define ASK(script) "GET /stream?s=" script " HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define CHUNK       "4\r\ndata\r\n"

static void streams_end(void **state)
{
    (void)state;
    static const struct {
        const char *name, *request, *body;
        bool kept;
    } rows[] = {
        {"empty", ASK(""), "0\r\n\r\n", true},
        {"one", ASK("d"), CHUNK "0\r\n\r\n", true},
        {"three", ASK("ddd"), CHUNK CHUNK CHUNK "0\r\n\r\n", true},
        {"with waits", ASK("wdw"), CHUNK CHUNK CHUNK "0\r\n\r\n", true},
        {"aborted", ASK("dd%21"), CHUNK CHUNK, false},
        {"http 1.0", "GET /stream?s=dd HTTP/1.0\r\n\r\n", "datadata", false},
        {"head", "HEAD /stream?s=dd HTTP/1.1\r\nHost: localhost\r\n\r\n", "", true},
    };
    char answer[4000], more[10];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int closes = atomic_load(&server.counts.closes);
        bool head = strncmp(rows[i].request, "HEAD", 4) == 0;
        int fd = test_dial(&server);
        test_send(fd, rows[i].request);
        assert_int_equal(test_read(fd, answer, sizeof answer, head), 200);
        const char *body = strstr(answer, "\r\n\r\n") + 4;
        if (strcmp(body, rows[i].body) != 0)
            fail_msg("%s: %s", rows[i].name, answer);
        WAIT_FOR(atomic_load(&server.counts.closes) == closes + 1);
        if (!rows[i].kept)
            assert_int_equal(recv(fd, more, sizeof more, 0), 0);
        close(fd);
    }
}

/* What a read returns must not wait for the next one. */
static void chunks_go_out_at_once(void **state)
{
    (void)state;
    char answer[4000], chunk[100];
    int fd = test_dial(&server);
    test_send(fd, ASK("dwwb"));
    size_t n = 0;
    do { /* the headers, byte by byte, so that no chunk is read along */
        assert_int_equal(recv(fd, answer + n, 1, 0), 1);
        n++;
    } while (n < 4 || memcmp(answer + n - 4, "\r\n\r\n", 4) != 0);
    for (int i = 0; i < 3; i++) {
        int64_t start = clock_now_ns();
        assert_int_equal(recv(fd, chunk, sizeof chunk, 0), 9);
        assert_memory_equal(chunk, CHUNK, 9);
        assert_true(clock_now_ns() - start < 10 * CLOCK_SECOND);
    }
    close(fd); /* 'b': it would never come by itself */
    WAIT_FOR(atomic_load(&server.counts.closes) == atomic_load(&server.counts.handlers));
}

static void client_leaves_in_stream(void **state)
{
    (void)state;
    static const char *const rows[] = {
        ASK("b"),                                       /* before the first byte */
        ASK("db"),                                      /* while it waits */
        ASK("dwdwdwdwdwdwdwdwdwdwdwdwdwdwdwdwdwdwdwb"), /* between chunks */
        ASK("f"),                                       /* in the middle of sending */
    };
    char some[100];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int how = 0; how < 3; how++) {
            int closes = atomic_load(&server.counts.closes);
            int handlers = atomic_load(&server.counts.handlers);
            int fd = test_dial(&server);
            test_send(fd, rows[i]);
            WAIT_FOR(atomic_load(&server.counts.handlers) == handlers + 1);
            if (how == 1)
                assert_true(recv(fd, some, sizeof some, i == 0 ? MSG_DONTWAIT : 0) != 0);
            if (how == 2) { /* a reset instead of an end */
                struct linger hard = {.l_onoff = 1};
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
            }
            int64_t limit = clock_now_ns() + 5 * CLOCK_SECOND;
            close(fd);
            while (atomic_load(&server.counts.closes) != closes + 1) {
                if (clock_now_ns() > limit)
                    fail_msg("row %zu, way %d: not closed once", i, how);
                usleep(1000);
            }
        }
    }
    WAIT_FOR(http_server_active(server.server) == 0);
    assert_int_equal(atomic_load(&server.counts.closes), atomic_load(&server.counts.handlers));
}

static void stopping_ends_streams(void **state)
{
    (void)state;
    char answer[4000];
    int fd = test_dial(&server);
    int handlers = atomic_load(&server.counts.handlers);
    test_send(fd, ASK("db"));
    WAIT_FOR(atomic_load(&server.counts.handlers) == handlers + 1);
    http_server_stop(server.server, clock_now_ns() + 20 * CLOCK_MS);
    assert_int_equal(atomic_load(&server.counts.closes), atomic_load(&server.counts.handlers));
    test_read(fd, answer, sizeof answer, 0);
    assert_null(strstr(answer, "0\r\n\r\n")); /* cut, not ended */
    close(fd);
    unlink(server.unix_path);
    rmdir(server.dir);
    set_up(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_end),
        cmocka_unit_test(chunks_go_out_at_once),
        cmocka_unit_test(client_leaves_in_stream),
        cmocka_unit_test(stopping_ends_streams),
    };
    log_init("test", LOG_ERROR);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
