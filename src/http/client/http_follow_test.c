/* http/client/http_follow_test.c: two scripted servers that send the client to each other. */
#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "http/client/http_follow.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/socket.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct server {
    int listener;
    unsigned port;
    pthread_t thread;
    pthread_mutex_t lock; /* of the two texts */
    char answer[512];     /* to /start and to what a loop asks */
    char request[4096];   /* the last one */
    _Atomic int requests;
};

static void *server_run(void *arg)
{
    struct server *s = arg;
    for (int fd; (fd = accept(s->listener, NULL, NULL)) >= 0; close(fd)) {
        char request[4096] = "";
        char text[512];
        size_t n = 0;
        while (strstr(request, "\r\n\r\n") == NULL) {
            ssize_t got = recv(fd, request + n, sizeof request - 1 - n, 0);
            if (got <= 0)
                break;
            n += (size_t)got;
            request[n] = '\0';
        }
        s->requests++;
        pthread_mutex_lock(&s->lock);
        memcpy(s->request, request, sizeof request);
        snprintf(text, sizeof text, "%s",
                 strstr(request, "/end") == NULL
                     ? s->answer
                     : "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nend");
        pthread_mutex_unlock(&s->lock);
        socket_write_all(fd, text, strlen(text), NULL);
    }
    return NULL;
}

/* Whether the last request had this in it. */
static bool asked(struct server *s, const char *text)
{
    pthread_mutex_lock(&s->lock);
    bool has = strstr(s->request, text) != NULL;
    pthread_mutex_unlock(&s->lock);
    return has;
}

static void server_start(struct server *s, const char *host)
{
    char at[64];
    memset(s, 0, sizeof *s);
    snprintf(at, sizeof at, "%s:0", host);
    assert_true(socket_listen_tcp(at, &s->listener, NULL));
    s->port = socket_port(s->listener);
    pthread_mutex_init(&s->lock, NULL);
    pthread_create(&s->thread, NULL, server_run, s);
}

static void server_stop(struct server *s)
{
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    file_close(&s->listener);
}

static void redirect(struct server *s, int status, const char *location)
{
    pthread_mutex_lock(&s->lock);
    snprintf(s->answer, sizeof s->answer, "HTTP/1.1 %d R\r\n%s%s%sContent-Length: 0\r\nConnection: close\r\n\r\n",
             status, location == NULL ? "" : "Location: ", location == NULL ? "" : location,
             location == NULL ? "" : "\r\n");
    pthread_mutex_unlock(&s->lock);
}

static bool follow(const struct server *s, struct http_call **call, char *url, struct err *err)
{
    char start[64];
    const char *const headers[] = {"Authorization: Bearer secret", "cookie: secret", "Range: bytes=3-", "X-Mine: y",
                                   NULL};
    snprintf(start, sizeof start, "http://127.0.0.1:%u/start", s->port);
    struct http_call_spec spec = {.method = "GET", .url = start, .headers = headers, .cancel_fd = -1};
    return http_call_follow(&spec, call, url, err);
}

static void test_same_host(void **state)
{
    static const int statuses[] = {301, 302, 303, 307, 308};
    struct server s;
    char url[HTTP_URL_MAX];
    char want[64];
    (void)state;
    server_start(&s, "127.0.0.1");
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        struct http_call *call = NULL;
        struct err err = ERR_INIT;
        redirect(&s, statuses[i], "end?x=%2F");
        if (!follow(&s, &call, url, &err))
            fail_msg("%d: %s", statuses[i], err.text);
        snprintf(want, sizeof want, "http://127.0.0.1:%u/end?x=%%2F", s.port);
        assert_string_equal(url, want);
        assert_true(asked(&s, "Authorization: Bearer secret"));
        http_call_close(&call);
    }
    redirect(&s, 304, "/end");
    struct http_call *call = NULL;
    assert_true(follow(&s, &call, NULL, NULL));
    assert_int_equal(http_call_status(call), 304);
    http_call_close(&call);
    server_stop(&s);
}

/* Another port is another origin; and going back does not bring the secret back. */
static void test_other_origin(void **state)
{
    struct server a;
    struct server b;
    char location[64];
    struct http_call *call = NULL;
    struct err err = ERR_INIT;
    (void)state;
    server_start(&a, "127.0.0.1");
    server_start(&b, "127.0.0.2");
    snprintf(location, sizeof location, "http://127.0.0.2:%u/end", b.port);
    redirect(&a, 307, location);
    if (!follow(&a, &call, NULL, &err))
        fail_msg("%s", err.text);
    assert_false(asked(&b, "secret"));
    assert_true(asked(&b, "Range: bytes=3-"));
    assert_true(asked(&b, "X-Mine: y"));
    http_call_close(&call);
    snprintf(location, sizeof location, "http://127.0.0.2:%u/back", b.port);
    redirect(&a, 307, location);
    snprintf(location, sizeof location, "http://127.0.0.1:%u/end", a.port);
    redirect(&b, 302, location);
    if (!follow(&a, &call, NULL, &err))
        fail_msg("%s", err.text);
    assert_false(asked(&a, "secret"));
    http_call_close(&call);
    server_stop(&a);
    server_stop(&b);
}

static void test_refused(void **state)
{
    static const struct {
        const char *location;
        enum err_code code;
    } rows[] = {
        {"/start", ERR_PROTOCOL}, /* a loop */
        {NULL, ERR_PROTOCOL},
        {"file:///etc/passwd", ERR_PROTOCOL},
        {"http://user:pw@127.0.0.1/", ERR_PROTOCOL},
        {"http://169.254.169.254/latest", ERR_FORBIDDEN},
        {"http://10.0.0.1/", ERR_FORBIDDEN},
        {"http://0.0.0.0/", ERR_FORBIDDEN},
        {"http://[::ffff:10.0.0.1]/", ERR_FORBIDDEN},
        {"http://no-such-host.invalid/", ERR_UNREACHABLE},
    };
    struct server s;
    (void)state;
    server_start(&s, "127.0.0.1");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_call *call = NULL;
        struct err err = ERR_INIT;
        s.requests = 0;
        redirect(&s, 302, rows[i].location);
        assert_false(follow(&s, &call, NULL, &err));
        assert_null(call);
        if (err.code != rows[i].code)
            fail_msg("%s: %s %s", rows[i].location == NULL ? "none" : rows[i].location, err_name(err.code), err.text);
        assert_int_equal(s.requests, i == 0 ? LIMIT_REDIRECTS + 1 : 1);
    }
    server_stop(&s);
}

static void test_peers(void **state)
{
    static const struct {
        const char *from, *to;
        bool allowed;
    } rows[] = {
        {"https://127.0.0.1/", "https://127.0.0.1:3000/", true},
        {"https://127.0.0.1/", "https://127.0.0.2/", true},
        {"https://127.0.0.1/", "https://10.0.0.1/", false},
        {"https://127.0.0.1/", "https://169.254.169.254/", false},
        {"https://10.0.0.1/", "https://192.168.1.1/", true},
        {"https://10.0.0.1/", "https://127.0.0.1/", false},
        {"https://10.0.0.1/", "https://8.8.8.8/", true},
        {"https://8.8.8.8/", "https://9.9.9.9/", true},
        {"https://8.8.8.8/", "https://127.0.0.1:3000/", false},
        {"https://8.8.8.8/", "https://localhost/", false},
        {"https://8.8.8.8/", "https://10.1.2.3/", false},
        {"https://8.8.8.8/", "https://100.64.0.1/", false},
        {"https://8.8.8.8/", "https://[::1]/", false},
        {"https://8.8.8.8/", "https://[fd00::1]/", false},
        {"https://8.8.8.8/", "https://0x7f000001/", false},
        {"https://8.8.8.8/", "https://2130706433/", false},
        {"https://no-such-host.invalid/", "https://10.1.2.3/", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_url from;
        struct http_url to;
        char address[HTTP_ADDRESS_MAX] = "?";
        struct err err = ERR_INIT;
        assert_true(http_url_parse(rows[i].from, &from, NULL) && http_url_parse(rows[i].to, &to, NULL));
        if (http_peer_check(&from, &to, address, &err) != rows[i].allowed)
            fail_msg("%s -> %s: %s", rows[i].from, rows[i].to, err.text);
        if (!rows[i].allowed)
            assert_non_null(strstr(err.text, to.host));
    }
}

static void test_retry_after(void **state)
{
    static const struct {
        const char *value;
        bool ok;
        int64_t min_s, max_s;
    } rows[] = {
        {"2", true, 2, 2},
        {"0", true, 0, 0},
        {"-5", true, 0, 0},
        {"86400", true, 86400, 86400},
        {"9223372036854775807", true, INT64_MAX / CLOCK_SECOND, INT64_MAX / CLOCK_SECOND},
        {"Sun, 06 Nov 1994 08:49:37 GMT", true, 0, 0},
        {"Fri, 01 Jan 2100 00:00:00 GMT", true, 86400, INT64_MAX},
        {"soon", false, 0, 0},
    };
    struct server s;
    (void)state;
    server_start(&s, "127.0.0.1");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_call *call = NULL;
        int64_t ns = -1;
        pthread_mutex_lock(&s.lock);
        snprintf(s.answer, sizeof s.answer,
                 "HTTP/1.1 429 T\r\nRetry-After: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", rows[i].value);
        pthread_mutex_unlock(&s.lock);
        assert_true(follow(&s, &call, NULL, NULL));
        assert_int_equal(http_call_retry_after(call, &ns), rows[i].ok);
        if (rows[i].ok && (ns / CLOCK_SECOND < rows[i].min_s || ns / CLOCK_SECOND > rows[i].max_s))
            fail_msg("%s: %lld ns", rows[i].value, (long long)ns);
        http_call_close(&call);
    }
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_host), cmocka_unit_test(test_other_origin), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_peers),     cmocka_unit_test(test_retry_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
