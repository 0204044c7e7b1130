/* Who may ask: Host, Origin and key, over a real server. */
#include "http/server/http_test.h"

#include "base/log.h"
#include "http/server/exchange.h"

static void get_ok(struct http_request *req) { http_reply(req, 200, "text/plain", "ok", 2); }

static const struct http_route routes[] = {
    {HTTP_GET | HTTP_POST, "/ok", get_ok, HTTP_RIGHT_READ, HTTP_BODY_BUFFER, .sink = NULL},
    {HTTP_GET, "/open", get_ok, HTTP_RIGHT_OPEN, HTTP_BODY_NONE, .sink = NULL},
    {.pattern = NULL},
};

struct row {
    const char *name, *headers;
    int status;
    const char *has;
};

static void check_rows(const struct http_server_config *config, const char *method, const char *path,
                       const struct row *rows, size_t n)
{
    struct test_server server;
    char request[1000], answer[4000];
    test_server_start(&server, config);
    for (size_t i = 0; i < n; i++) {
        snprintf(request, sizeof request, "%s %s HTTP/1.1\r\n%s\r\n", method, path, rows[i].headers);
        int status = test_ask(&server, request, answer, sizeof answer);
        if (status != rows[i].status || (rows[i].has != NULL && strstr(answer, rows[i].has) == NULL))
            fail_msg("%s: %d, %s", rows[i].name, status, answer);
    }
    test_server_stop(&server, CLOCK_SECOND);
}

static void hosts(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"localhost", "Host: localhost\r\n", 200, NULL},
        {"with a port", "Host: localhost:12434\r\n", 200, NULL},
        {"any case", "Host: LOCALHOST\r\n", 200, NULL},
        {"address", "Host: 127.0.0.1:12434\r\n", 200, NULL},
        {"other loopback", "Host: 127.1.2.3\r\n", 200, NULL},
        {"IPv6", "Host: [::1]:12434\r\n", 200, NULL},
        {"allowed", "Host: my-box.example\r\n", 200, NULL},
        {"allowed, with a port", "Host: my-box.example:80\r\n", 200, NULL},
        {"a container's name for us", "Host: model-runner:12434\r\n", 200, NULL},
        {"Docker's name for it", "Host: model-runner.docker.internal\r\n", 200, NULL},
        {"Docker's name for the host", "Host: HOST.docker.internal:12434\r\n", 200, NULL},
        {"a site below such a name", "Host: model-runner.evil.example\r\n", 403, NULL},
        {"a site that ends so", "Host: evil-model-runner\r\n", 403, NULL},
        {"ends almost like docker's", "Host: evildocker.internal\r\n", 403, NULL},
        {"nothing before it", "Host: .docker.internal\r\n", 403, NULL},
        {"begins like docker's", "Host: host.docker.internal.evil.example\r\n", 403, NULL},
        {"foreign name", "Host: evil.example\r\n", 403, "the Host 'evil.example' is not a name of this server"},
        {"begins like ours", "Host: localhost.evil.example\r\n", 403, NULL},
        {"address in a name", "Host: 127.0.0.1.evil.example\r\n", 403, NULL},
        {"not our address", "Host: 192.168.1.5\r\n", 403, NULL},
        {"broken port", "Host: localhost:80.evil.example\r\n", 403, NULL},
        {"broken bracket", "Host: [::1\r\n", 403, NULL},
        {"user", "Host: a@localhost\r\n", 403, NULL},
    };
    static const char *const allowed[] = {"my-box.example", NULL};
    check_rows(&(struct http_server_config){.routes = routes, .allowed_hosts = allowed}, "GET", "/ok", rows,
               sizeof rows / sizeof rows[0]);
}

static bool peer_is_asked(void *ctx, const char *peer)
{
    assert_string_equal(peer, "127.0.0.1");
    return *(atomic_bool *)ctx;
}

/* A listener that comes later decides about its peers; the others go on as before. */
static void peers_of_a_later_listener(void **state)
{
    (void)state;
    static const char request[] = "GET /ok HTTP/1.1\r\nHost: localhost\r\n\r\n";
    atomic_bool may = true;
    struct test_server server, later;
    struct err err = ERR_INIT;
    char answer[4000];
    int fd;
    test_server_start(&server, &(struct http_server_config){.routes = routes});
    later = server;
    for (size_t i = 0; i < HTTP_LISTENERS_LATER; i++) {
        assert_true(socket_listen_tcp("127.0.0.1:0", &fd, &err));
        later.port = socket_port(fd);
        assert_true(http_server_add(server.server, fd, peer_is_asked, &may, &err));
    }
    assert_int_equal(test_ask(&later, request, answer, sizeof answer), 200);
    atomic_store(&may, false);
    fd = test_dial(&later);
    send(fd, request, sizeof request - 1, MSG_NOSIGNAL);
    assert_true(recv(fd, answer, sizeof answer, 0) <= 0); /* closed without a byte */
    close(fd);
    assert_int_equal(test_ask(&server, request, answer, sizeof answer), 200);
    assert_true(socket_listen_tcp("127.0.0.1:0", &fd, &err));
    assert_false(http_server_add(server.server, fd, NULL, NULL, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    test_server_stop(&server, CLOCK_SECOND); /* each descriptor and thread is gone, also of the last one */
}

/* Bound to all addresses: each address may be ours, a foreign name may not. */
static void host_of_a_listener(void **state)
{
    (void)state;
    static const struct {
        const char *bound, *host;
        bool want;
    } rows[] = {
        {"0.0.0.0", "192.168.1.5:80", true}, {"::", "[fd00::1]", true},          {"0.0.0.0", "evil.example", false},
        {"10.0.0.1", "10.0.0.1", true},      {"10.0.0.1", "10.0.0.2", false},    {"fd00::1", "[fd00:0::1]:80", true},
        {"fd00::1", "[fd00::2]", false},     {"10.0.0.1", "localhost:80", true},
    };
    struct http_server server = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_listener l = {.server = &server};
        snprintf(l.host, sizeof l.host, "%s", rows[i].bound);
        if (guard_host(&l, rows[i].host, NULL) != rows[i].want)
            fail_msg("%s on %s", rows[i].host, rows[i].bound);
    }
}

#define HOST "Host: localhost:1\r\n"

static void origins(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"none", HOST, 200, NULL},
        {"local page", HOST "Origin: http://localhost:3000\r\n", 200,
         "\r\nAccess-Control-Allow-Origin: http://localhost:3000\r\n"},
        {"local page, https", HOST "Origin: https://127.0.0.1\r\n", 200,
         "Access-Control-Allow-Origin: https://127.0.0.1"},
        {"local page, IPv6", HOST "Origin: http://[::1]:5\r\n", 200, "Vary: Origin"},
        {"allowed", HOST "Origin: https://ui.example\r\n", 200, NULL},
        {"foreign", HOST "Origin: https://evil.example\r\n", 403, "'https://evil.example'"},
        {"foreign that begins so", HOST "Origin: http://localhost.evil.example\r\n", 403, NULL},
        {"opaque", HOST "Origin: null\r\n", 403, NULL},
        {"other scheme", HOST "Origin: ftp://localhost\r\n", 403, NULL},
        {"path", HOST "Origin: http://localhost:1/x\r\n", 403, NULL},
    };
    static const char *const allowed[] = {"https://ui.example", NULL};
    check_rows(&(struct http_server_config){.routes = routes, .allowed_origins = allowed}, "GET", "/ok", rows,
               sizeof rows / sizeof rows[0]);
}

static void own_pages(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"our own page", "Host: ai.example:1\r\nOrigin: http://ai.example:1\r\n", 200, NULL},
        {"of another port", "Host: ai.example:1\r\nOrigin: http://ai.example:2\r\n", 403, NULL},
    };
    static const char *const any[] = {"*", NULL};
    check_rows(&(struct http_server_config){.routes = routes, .allowed_hosts = any}, "POST", "/ok", rows, 2);
}

static void preflights(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"allowed", HOST "Origin: http://localhost:3000\r\nAccess-Control-Request-Headers: content-type, x-a\r\n", 204,
         "\r\nAccess-Control-Allow-Headers: content-type, x-a\r\n"},
        {"methods", HOST "Origin: http://localhost:3000\r\n", 204,
         "\r\nAccess-Control-Allow-Methods: GET, POST, PUT, DELETE\r\n"},
        {"foreign", HOST "Origin: http://evil.example\r\n", 403, NULL},
        {"no origin", HOST, 405, NULL},
    };
    check_rows(&(struct http_server_config){.routes = routes, .api_key = "secret"}, "OPTIONS", "/ok", rows,
               sizeof rows / sizeof rows[0]);
}

static void keys(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"none", HOST, 401, "\r\nWWW-Authenticate: Bearer\r\n"},
        {"openai's code", HOST, 401, "\"type\":\"authentication_error\",\"param\":null,\"code\":\"invalid_api_key\""},
        {"right", HOST "Authorization: Bearer secret\r\n", 200, NULL},
        {"any case of the scheme", HOST "authorization: bearer secret\r\n", 200, NULL},
        {"wrong", HOST "Authorization: Bearer secre\r\n", 401, "the API key is wrong"},
        {"longer", HOST "Authorization: Bearer secrets\r\n", 401, NULL},
        {"empty", HOST "Authorization: Bearer \r\n", 401, NULL},
        {"basic", HOST "Authorization: Basic secret\r\n", 401, NULL},
        {"anthropic's header", HOST "X-Api-Key: secret\r\n", 200, NULL},
        {"anthropic's header, wrong", HOST "X-Api-Key: Secret\r\n", 401, NULL},
    };
    static const struct row open[] = {{"open route", HOST, 200, NULL}};
    struct http_server_config config = {.routes = routes, .api_key = "secret"};
    check_rows(&config, "GET", "/ok", rows, sizeof rows / sizeof rows[0]);
    check_rows(&config, "GET", "/open", open, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts),
        cmocka_unit_test(peers_of_a_later_listener),
        cmocka_unit_test(host_of_a_listener),
        cmocka_unit_test(origins),
        cmocka_unit_test(own_pages),
        cmocka_unit_test(preflights),
        cmocka_unit_test(keys),
    };
    log_init("test", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
