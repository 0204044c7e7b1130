/* registry/registry_test.c: scripted registries that are broken, hostile or busy; and the pure rules. Long, but one
 * thing: a scripted server and tables of what it may do. */
#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/log.h"
#include "oci/manifest.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/socket.h"
#include "registry/registry_state.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MANIFEST "{\"schemaVersion\":2}"
#define TYPE     "Content-Type: " OCI_TYPE_MANIFEST "\r\n"
#define BEARER   "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:%PORT%/token\",service=\"s\"\r\n"

/* The first row whose match is in the request and whose times are not used up answers it. %PORT% is our own port. */
struct row {
    const char *match;
    int times; /* 0: always */
    int status;
    const char *headers, *body;
    bool bare; /* no Content-Length: until close */
};

struct fake {
    int listener;
    unsigned port;
    pthread_t thread;
    struct row rows[8];
    int used[8];
    pthread_mutex_t lock;
    struct buf log; /* all requests */
    char host[32];
};

static void answer(struct fake *f, int fd, const char *request)
{
    size_t i = 0;
    while (i < 7 && f->rows[i].match != NULL &&
           (strstr(request, f->rows[i].match) == NULL || (f->rows[i].times > 0 && f->used[i] >= f->rows[i].times)))
        i++;
    const struct row none = {.status = 404, .headers = "", .body = ""};
    const struct row *row = f->rows[i].match != NULL ? &f->rows[i] : &none;
    f->used[i]++;
    _cleanup_(buf_done) struct buf out = BUF_INIT(8 << 20);
    buf_printf(&out, "HTTP/1.1 %d S\r\nConnection: close\r\n", row->status);
    for (const char *p = row->headers == NULL ? "" : row->headers; *p != '\0'; p++) {
        if (strncmp(p, "%PORT%", 6) == 0) {
            buf_printf(&out, "%u", f->port);
            p += 5;
        } else {
            buf_add_char(&out, *p);
        }
    }
    const char *body = row->body == NULL ? "" : row->body;
    if (!row->bare && strstr(out.data, "Content-Length") == NULL)
        buf_printf(&out, "Content-Length: %zu\r\n", strlen(body));
    buf_printf(&out, "\r\n%s", strncmp(request, "HEAD", 4) == 0 ? "" : body);
    socket_write_all(fd, out.data, out.len, NULL);
}

static void *fake_run(void *arg)
{
    struct fake *f = arg;
    for (int fd; (fd = accept(f->listener, NULL, NULL)) >= 0; close(fd)) {
        char request[16384] = "";
        size_t n = 0;
        for (;;) {
            ssize_t got = recv(fd, request + n, sizeof request - 1 - n, 0);
            if (got <= 0)
                break;
            n += (size_t)got;
            request[n] = '\0';
            const char *end = strstr(request, "\r\n\r\n");
            const char *length = strstr(request, "Content-Length: ");
            if (end != NULL && (length == NULL || n >= (size_t)(end + 4 - request) + strtoul(length + 16, NULL, 10)))
                break;
        }
        pthread_mutex_lock(&f->lock);
        buf_add_str(&f->log, request);
        if (n > 0)
            answer(f, fd, request);
        pthread_mutex_unlock(&f->lock);
    }
    return NULL;
}

static void fake_start(struct fake *f, const char *host, const struct row *rows, size_t n)
{
    char at[64];
    memset(f, 0, sizeof *f);
    memcpy(f->rows, rows, n * sizeof *rows);
    f->log = BUF_INIT(4 << 20);
    pthread_mutex_init(&f->lock, NULL);
    snprintf(at, sizeof at, "%s:0", host);
    assert_true(socket_listen_tcp(at, &f->listener, NULL));
    f->port = socket_port(f->listener);
    snprintf(f->host, sizeof f->host, "%s:%u", host, f->port);
    assert_int_equal(pthread_create(&f->thread, NULL, fake_run, f), 0);
}

static int count(struct fake *f, const char *text)
{
    int n = 0;
    pthread_mutex_lock(&f->lock);
    for (const char *p = buf_str(&f->log); (p = strstr(p, text)) != NULL; p++)
        n++;
    pthread_mutex_unlock(&f->lock);
    return n;
}

static void fake_stop(struct fake *f)
{
    shutdown(f->listener, SHUT_RDWR);
    pthread_join(f->thread, NULL);
    close(f->listener);
    buf_done(&f->log);
}

static char noticed[ERR_TEXT_MAX];
static void notice(void *ctx, const char *text)
{
    (void)ctx;
    snprintf(noticed, sizeof noticed, "%s", text);
}

static struct registry *open_at(const char *host, const char *const *mirrors, const char *bearer, int cancel_fd)
{
    struct registry *r = NULL;
    struct err err = ERR_INIT;
    struct registry_options options = {
        .cancel_fd = cancel_fd, .mirrors = mirrors, .bearer_token = bearer, .notice = notice};
    noticed[0] = '\0';
    if (!registry_open(host, &options, &r, &err))
        fail_msg("%s", err.text);
    return r;
}

static char big[(5 << 20) + 1];

static void test_manifests(void **state)
{
    const char *other = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const struct {
        const char *name, *which;
        struct row rows[4];
        enum err_code code;
        const char *text;  /* in the error, or (code NONE) in the notice */
        const char *asked; /* a piece of the requests … */
        int times;         /* … and how often; NULL: not checked */
    } cases[] = {
        {"good",
         "latest",
         {{"manifests/latest", 0, 200, TYPE, MANIFEST, false}},
         ERR_NONE,
         NULL,
         "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
         "application/vnd.docker.distribution.manifest.v2+json, "
         "application/vnd.docker.distribution.manifest.list.v2+json\r\n",
         1},
        {"a web page",
         "latest",
         {{"GET", 0, 200, "Content-Type: Text/HTML; charset=utf-8\r\n", "<html>", false}},
         ERR_PROTOCOL,
         "is it a registry",
         NULL,
         0},
        {"a web page as error",
         "latest",
         {{"GET", 0, 404, "Content-Type: text/html\r\n", "<html>", false}},
         ERR_PROTOCOL,
         "web page",
         NULL,
         0},
        {"a proxy's text", "latest", {{"GET", 0, 200, "", "go away", false}}, ERR_PROTOCOL, "no manifest", NULL, 0},
        {"nothing", "latest", {{"GET", 0, 200, TYPE, "", false}}, ERR_PROTOCOL, "no manifest", NULL, 0},
        {"too large", "latest", {{"GET", 0, 200, TYPE, big, false}}, ERR_TOO_LARGE, "larger than", NULL, 0},
        {"other digest in the header",
         "latest",
         {{"GET", 0, 200,
           "Docker-Content-Digest: sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
           MANIFEST, false}},
         ERR_PROTOCOL,
         "does not match",
         NULL,
         0},
        {"other bytes than asked",
         other,
         {{"GET", 0, 200, TYPE, MANIFEST, false}},
         ERR_PROTOCOL,
         "whose digest is",
         NULL,
         0},
        {"cut",
         "latest",
         {{"GET", 0, 200, TYPE "Content-Length: 400\r\n", MANIFEST, false}},
         ERR_UNREACHABLE,
         "cut",
         NULL,
         0},
        {"missing",
         "latest",
         {{"GET", 0, 404, "", "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"not\\nhere\"}]}", false}},
         ERR_NOT_FOUND,
         "has no ai/x:latest: not?here",
         "GET",
         1},
        {"missing, in plain text",
         "latest",
         {{"GET", 0, 404, "", "404 page not found", false}},
         ERR_NOT_FOUND,
         "has no ai/x:latest",
         "GET",
         1},
        {"forbidden", "latest", {{"GET", 0, 403, "", "", false}}, ERR_FORBIDDEN, "forbids", "GET", 1},
        {"busy, then not",
         "latest",
         {{"GET", 1, 429, "Retry-After: 0\r\n", "", false}, {"GET", 0, 200, TYPE, MANIFEST, false}},
         ERR_NONE,
         "asks to wait",
         "GET",
         2},
        {"broken, then not",
         "latest",
         {{"GET", 1, 503, "", "", false}, {"GET", 0, 200, TYPE, MANIFEST, false}},
         ERR_NONE,
         NULL,
         "GET",
         2},
        {"come back tomorrow",
         "latest",
         {{"GET", 0, 429, "Retry-After: 86400\r\n", "", false}},
         ERR_BUSY,
         "come back in 24 hours",
         "GET",
         1},
        {"redirect to a file",
         "latest",
         {{"GET", 0, 302, "Location: file:///etc/passwd\r\n", "", false}},
         ERR_PROTOCOL,
         "only http",
         NULL,
         0},
        {"redirect for ever",
         "latest",
         {{"GET", 0, 302, "Location: /again\r\n", "", false}},
         ERR_PROTOCOL,
         "more than 10 times",
         "GET",
         LIMIT_REDIRECTS + 1},
        {"redirect into a private network",
         "latest",
         {{"GET", 0, 302, "Location: http://10.1.2.3/\r\n", "", false}},
         ERR_FORBIDDEN,
         "10.1.2.3",
         "GET",
         1},
        {"Basic without a login",
         "latest",
         {{"GET", 0, 401, "WWW-Authenticate: Basic realm=\"r\"\r\n", "", false}},
         ERR_UNAUTHORIZED,
         "docker login",
         "GET",
         1},
        {"401 without a challenge", "latest", {{"GET", 0, 401, "", "", false}}, ERR_UNAUTHORIZED, "login", "GET", 1},
    };
    (void)state;
    memset(big, ' ', sizeof big - 1);
    big[0] = '{';
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fake f;
        struct registry_manifest m = {0};
        struct err err = ERR_INIT;
        fake_start(&f, "127.0.0.1", cases[i].rows, 4);
        struct registry *r = open_at(f.host, NULL, NULL, -1);
        bool ok = registry_get_manifest(r, "ai/x", cases[i].which, &m, &err);
        if (err.code != cases[i].code || ok != (cases[i].code == ERR_NONE))
            fail_msg("%s: %s %s", cases[i].name, err_name(err.code), err.text);
        if (cases[i].text != NULL && strstr(ok ? noticed : err.text, cases[i].text) == NULL)
            fail_msg("%s: no '%s' in '%s'", cases[i].name, cases[i].text, ok ? noticed : err.text);
        if (!ok && strstr(err.text, "127.0.0.1") == NULL)
            fail_msg("%s: names no host: %s", cases[i].name, err.text);
        if (cases[i].asked != NULL && count(&f, cases[i].asked) != cases[i].times)
            fail_msg("%s: asked %d times", cases[i].name, count(&f, cases[i].asked));
        registry_manifest_done(&m);
        registry_close(&r);
        fake_stop(&f);
    }
}

static void test_tokens(void **state)
{
    const struct {
        const char *name;
        struct row rows[4];
        enum err_code code;
        const char *text;
        int registry, token; /* how often each was asked */
    } cases[] = {
        {"good",
         {{"/token?", 0, 200, "", "{\"token\":\"abc\"}", false},
          {"Bearer abc", 0, 200, TYPE, MANIFEST, false},
          {"/v2/", 0, 401, BEARER, "", false}},
         ERR_NONE,
         NULL,
         2,
         1},
        {"refused for ever",
         {{"/token?", 0, 200, "", "{\"token\":\"abc\"}", false}, {"/v2/", 0, 401, BEARER, "", false}},
         ERR_UNAUTHORIZED,
         "gives no access to ai/x:latest",
         2,
         1},
        {"no token in it",
         {{"/token?", 0, 200, "", "{\"secret\":\"internal\"}", false}, {"/v2/", 0, 401, BEARER, "", false}},
         ERR_PROTOCOL,
         "no usable token",
         1,
         1},
        {"a web page",
         {{"/token?", 0, 200, "", "<html>internal", false}, {"/v2/", 0, 401, BEARER, "", false}},
         ERR_PROTOCOL,
         "sent no token",
         1,
         1},
        {"endless",
         {{"/token?", 0, 200, "", big, false}, {"/v2/", 0, 401, BEARER, "", false}},
         ERR_PROTOCOL,
         "larger than",
         1,
         1},
        {"a header in it",
         {{"/token?", 0, 200, "", "{\"token\":\"a\\r\\nX: y\"}", false}, {"/v2/", 0, 401, BEARER, "", false}},
         ERR_PROTOCOL,
         "no usable token",
         1,
         1},
        {"login refused",
         {{"/token?", 0, 401, "", "internal", false}, {"/v2/", 0, 401, BEARER, "", false}},
         ERR_UNAUTHORIZED,
         "refuses the login without a name",
         1,
         1},
        {"not there",
         {{"/token?", 0, 404, "", "internal", false}, {"/v2/", 0, 401, BEARER, "", false}},
         ERR_PROTOCOL,
         "status 404",
         1,
         1},
        {"broken once",
         {{"/token?", 1, 500, "", "", false},
          {"/token?", 0, 200, "", "{\"access_token\":\"abc\"}", false},
          {"Bearer abc", 0, 200, TYPE, MANIFEST, false},
          {"/v2/", 0, 401, BEARER, "", false}},
         ERR_NONE,
         NULL,
         2,
         2},
        {"redirects within itself",
         {{"/token?", 0, 307, "Location: /other\r\n", "", false},
          {"/other", 0, 200, "", "{\"token\":\"abc\"}", false},
          {"Bearer abc", 0, 200, TYPE, MANIFEST, false},
          {"/v2/", 0, 401, BEARER, "", false}},
         ERR_NONE,
         NULL,
         2,
         1},
        {"redirects elsewhere",
         {{"/token?", 0, 307, "Location: http://127.0.0.2:1/\r\n", "", false}, {"/v2/", 0, 401, BEARER, "", false}},
         ERR_PROTOCOL,
         "redirects elsewhere",
         1,
         1},
        {"realm in a private network",
         {{"/v2/", 0, 401, "WWW-Authenticate: Bearer realm=\"http://10.0.0.1/token\"\r\n", "", false}},
         ERR_FORBIDDEN,
         "10.0.0.1",
         1,
         0},
        {"realm at the cloud's metadata",
         {{"/v2/", 0, 401, "WWW-Authenticate: Bearer realm=\"http://169.254.169.254/latest\"\r\n", "", false}},
         ERR_FORBIDDEN,
         "169.254.169.254",
         1,
         0},
        {"realm in the open, over plain http",
         {{"/v2/", 0, 401, "WWW-Authenticate: Bearer realm=\"http://8.8.8.8/token\"\r\n", "", false}},
         ERR_FORBIDDEN,
         "plain http",
         1,
         0},
        {"realm is no URL",
         {{"/v2/", 0, 401, "WWW-Authenticate: Bearer realm=\"gopher://x\"\r\n", "", false}},
         ERR_PROTOCOL,
         "not a URL",
         1,
         0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fake f;
        struct registry_manifest m = {0};
        struct err err = ERR_INIT;
        fake_start(&f, "127.0.0.1", cases[i].rows, 4);
        struct registry *r = open_at(f.host, NULL, NULL, -1);
        bool ok = registry_get_manifest(r, "ai/x", "latest", &m, &err);
        if (err.code != cases[i].code || ok != (cases[i].code == ERR_NONE) ||
            (cases[i].text != NULL && strstr(err.text, cases[i].text) == NULL))
            fail_msg("%s: %s %s", cases[i].name, err_name(err.code), err.text);
        if (strstr(err.text, "internal") != NULL)
            fail_msg("%s: shows the answer: %s", cases[i].name, err.text);
        if (count(&f, "GET /v2/") != cases[i].registry || count(&f, "GET /token") != cases[i].token)
            fail_msg("%s: registry %d, token server %d", cases[i].name, count(&f, "GET /v2/"), count(&f, "GET /token"));
        registry_manifest_done(&m);
        registry_close(&r);
        fake_stop(&f);
    }
}

/* A token that ends in mid-pull is renewed once; stored logins that are out of date do not stop a pull. */
static void test_token_renewal(void **state)
{
    const struct row rows[] = {
        {"Authorization: Basic", 0, 401, "", "", false},       {"/token?", 1, 200, "", "{\"token\":\"one\"}", false},
        {"/token?", 0, 200, "", "{\"token\":\"two\"}", false}, {"Bearer one", 1, 200, TYPE, MANIFEST, false},
        {"Bearer two", 0, 200, TYPE, MANIFEST, false},         {"/v2/", 0, 401, BEARER, "", false},
    };
    struct fake f;
    struct registry_manifest m = {0};
    struct err err = ERR_INIT;
    char config[256];
    (void)state;
    fake_start(&f, "127.0.0.1", rows, ARRAY_LEN(rows));
    snprintf(config, sizeof config, "{\"auths\":{\"%s\":{\"username\":\"old\",\"password\":\"gone\"}}}", f.host);
    setenv("DOCKER_AUTH_CONFIG", config, 1);
    struct registry *r = open_at(f.host, NULL, NULL, -1);
    for (int i = 0; i < 3; i++) {
        if (!registry_get_manifest(r, "ai/x", "latest", &m, &err))
            fail_msg("round %d: %s", i, err.text);
        registry_manifest_done(&m);
    }
    unsetenv("DOCKER_AUTH_CONFIG");
    assert_non_null(strstr(noticed, "does not accept the stored login"));
    assert_int_equal(count(&f, "GET /token"), 4); /* each time first with the login, then without */
    assert_int_equal(count(&f, "GET /v2/"), 5);
    registry_close(&r);
    fake_stop(&f);
}

static void test_identity_token(void **state)
{
    const struct row rows[] = {
        {"grant_type=refresh_token&refresh_token=it%2F1&service=s&client_id=tug&scope=repository%3Aai%2Fx%3Apull", 0,
         200, "", "{\"access_token\":\"abc\"}", false},
        {"Bearer abc", 0, 200, TYPE, MANIFEST, false},
        {"/v2/", 0, 401, BEARER, "", false},
    };
    struct fake f;
    struct registry_manifest m = {0};
    struct err err = ERR_INIT;
    char config[256];
    (void)state;
    fake_start(&f, "127.0.0.1", rows, ARRAY_LEN(rows));
    snprintf(config, sizeof config, "{\"auths\":{\"%s\":{\"identitytoken\":\"it/1\"}}}", f.host);
    setenv("DOCKER_AUTH_CONFIG", config, 1);
    struct registry *r = open_at(f.host, NULL, NULL, -1);
    if (!registry_get_manifest(r, "ai/x", "latest", &m, &err))
        fail_msg("%s", err.text);
    unsetenv("DOCKER_AUTH_CONFIG");
    registry_manifest_done(&m);
    registry_close(&r);
    fake_stop(&f);
}

static void test_blobs(void **state)
{
    static const char digest[] = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const struct {
        const char *name;
        uint64_t offset;
        struct row rows[2];
        enum err_code code;
        uint64_t from;
        const char *body;
    } cases[] = {
        {"whole", 0, {{"GET", 0, 200, "", "0123456789", false}}, ERR_NONE, 0, "0123456789"},
        {"range",
         4,
         {{"Range: bytes=4-9\r\n", 0, 206, "Content-Range: bytes 4-9/10\r\n", "456789", false}},
         ERR_NONE,
         4,
         "456789"},
        {"range, total unknown",
         4,
         {{"GET", 0, 206, "Content-Range: bytes 4-9/*\r\n", "456789", false}},
         ERR_NONE,
         4,
         "456789"},
        {"range ignored", 4, {{"GET", 0, 200, "", "0123456789", false}}, ERR_NONE, 0, "0123456789"},
        {"another range",
         4,
         {{"GET", 0, 206, "Content-Range: bytes 3-9/10\r\n", "3456789", false}},
         ERR_PROTOCOL,
         0,
         NULL},
        {"another end", 4, {{"GET", 0, 206, "Content-Range: bytes 4-8/10\r\n", "45678", false}}, ERR_PROTOCOL, 0, NULL},
        {"another total",
         4,
         {{"GET", 0, 206, "Content-Range: bytes 4-9/11\r\n", "456789", false}},
         ERR_PROTOCOL,
         0,
         NULL},
        {"no Content-Range", 4, {{"GET", 0, 206, "", "456789", false}}, ERR_PROTOCOL, 0, NULL},
        {"multipart",
         4,
         {{"GET", 0, 206, "Content-Type: multipart/byteranges; boundary=x\r\n", "--x", false}},
         ERR_PROTOCOL,
         0,
         NULL},
        {"416, then whole",
         4,
         {{"Range:", 0, 416, "Content-Length: 2147483648\r\n", "no", false}, {"GET", 0, 200, "", "0123456789", false}},
         ERR_NONE,
         0,
         "0123456789"},
        {"compressed",
         4,
         {{"GET", 0, 206, "Content-Encoding: gzip\r\nContent-Range: bytes 4-9/10\r\n", "456789", false}},
         ERR_PROTOCOL,
         0,
         NULL},
        {"identity",
         0,
         {{"GET", 0, 200, "Content-Encoding: identity\r\n", "0123456789", false}},
         ERR_NONE,
         0,
         "0123456789"},
        {"another size", 0, {{"GET", 0, 200, "", "012345678", false}}, ERR_PROTOCOL, 0, NULL},
        {"no length", 0, {{"GET", 0, 200, "", "0123456789", true}}, ERR_NONE, 0, "0123456789"},
        {"a web page", 0, {{"GET", 0, 200, "Content-Type: text/html\r\n", "<!html>   ", false}}, ERR_PROTOCOL, 0, NULL},
        {"missing", 0, {{"GET", 0, 404, "", "", false}}, ERR_NOT_FOUND, 0, NULL},
        {"broken: the caller tries again", 0, {{"GET", 0, 500, "", "", false}}, ERR_UNREACHABLE, 0, NULL},
        {"206 to a whole",
         0,
         {{"GET", 0, 206, "Content-Range: bytes 0-4/10\r\n", "01234", false}},
         ERR_PROTOCOL,
         0,
         NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fake f;
        struct http_call *call = NULL;
        struct err err = ERR_INIT;
        uint64_t from = 99;
        _cleanup_(buf_done) struct buf body = BUF_INIT(100);
        fake_start(&f, "127.0.0.1", cases[i].rows, 2);
        struct registry *r = open_at(f.host, NULL, NULL, -1);
        bool ok = registry_open_blob(r, "ai/x", digest, cases[i].offset, 10, &from, &call, &err);
        if (err.code != cases[i].code || ok != (cases[i].code == ERR_NONE) || from != (ok ? cases[i].from : 99))
            fail_msg("%s: %s %s", cases[i].name, err_name(err.code), err.text);
        if (ok) {
            assert_true(http_call_read_all(call, &body, &err));
            assert_string_equal(buf_str(&body), cases[i].body);
        }
        http_call_close(&call);
        registry_close(&r);
        fake_stop(&f);
    }
}

/* Blobs lie elsewhere: the login stays at home, and an expired address is asked for anew. */
static void test_storage(void **state)
{
    static const char digest[] = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const struct row storage_rows[] = {
        {"sig=old", 0, 403, "", "expired", false},
        {"sig=odd", 0, 401, "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:1/steal\"\r\n", "", false},
        {"Range: bytes=2-9", 0, 206, "Content-Range: bytes 2-9/10\r\n", "23456789", false},
    };
    struct fake storage;
    struct fake f;
    struct http_call *call = NULL;
    struct err err = ERR_INIT;
    uint64_t from = 0;
    char headers[3][128];
    static const char *const signatures[] = {"old", "odd", "new"};
    (void)state;
    fake_start(&storage, "127.0.0.2", storage_rows, ARRAY_LEN(storage_rows));
    for (size_t i = 0; i < 3; i++)
        snprintf(headers[i], sizeof headers[i], "Location: http://%s/b?sig=%s\r\n", storage.host, signatures[i]);
    const struct row rows[] = {
        {"blobs", 1, 307, headers[0], "", false},
        {"blobs", 1, 307, headers[1], "", false},
        {"blobs", 0, 307, headers[2], "", false},
    };
    fake_start(&f, "127.0.0.1", rows, ARRAY_LEN(rows));
    struct registry *r = open_at(f.host, NULL, "mine", -1);
    for (int i = 0; i < 2; i++) {
        assert_false(registry_open_blob(r, "ai/x", digest, 2, 10, &from, &call, &err));
        assert_int_equal(err.code, ERR_UNREACHABLE);
    }
    if (!registry_open_blob(r, "ai/x", digest, 2, 10, &from, &call, &err))
        fail_msg("%s", err.text);
    assert_int_equal(from, 2);
    http_call_close(&call);
    bool has = false;
    assert_true(registry_has_blob(r, "ai/x", digest, &has, &err) && has); /* storage is not asked for a HEAD */
    assert_int_equal(count(&storage, "HEAD"), 0);
    assert_int_equal(count(&f, "Authorization: Bearer mine"), 4);
    assert_int_equal(count(&storage, "Authorization"), 0);
    registry_close(&r);
    fake_stop(&f);
    fake_stop(&storage);
}

static void test_mirrors(void **state)
{
    const struct row first_rows[] = {{"GET", 0, 500, "Retry-After: 3600\r\n", "", false}};
    const struct row second_rows[] = {{"GET /some/path/v2/ai/x/manifests/latest", 0, 200, TYPE, MANIFEST, false}};
    struct fake first;
    struct fake second;
    struct registry_manifest m = {0};
    struct err err = ERR_INIT;
    char url[2][64];
    (void)state;
    fake_start(&first, "127.0.0.1", first_rows, 1);
    fake_start(&second, "127.0.0.1", second_rows, 1);
    snprintf(url[0], sizeof url[0], "%s", first.host);
    snprintf(url[1], sizeof url[1], "http://%s/some/path/v2/", second.host);
    const char *const mirrors[] = {url[0], url[1], NULL};
    struct registry *r = open_at("docker.io", mirrors, "for docker.io only", -1);
    if (!registry_get_manifest(r, "ai/x", "latest", &m, &err))
        fail_msg("%s", err.text);
    assert_non_null(strstr(noticed, "cannot help"));
    assert_int_equal(count(&first, "Authorization") + count(&second, "Authorization"), 0);
    registry_manifest_done(&m);
    registry_close(&r);
    r = open_at(first.host, mirrors, NULL, -1); /* mirrors are Docker Hub's alone */
    assert_false(registry_get_manifest(r, "ai/x", "latest", &m, &err));
    assert_int_equal(count(&second, "GET"), 1);
    registry_close(&r);
    fake_stop(&first);
    fake_stop(&second);
}

static void test_addresses(void **state)
{
    static const struct {
        const char *host, *insecure, *base, *name; /* base NULL: refused */
    } rows[] = {
        {"docker.io", NULL, "https://registry-1.docker.io", "docker.io"},
        {"index.docker.io", NULL, "https://registry-1.docker.io", "docker.io"},
        {"ghcr.io", NULL, "https://ghcr.io", "ghcr.io"},
        {"r.example:5000", NULL, "https://r.example:5000", "r.example:5000"},
        {"localhost:5000", NULL, "http://localhost:5000", "localhost:5000"},
        {"127.0.0.1", NULL, "http://127.0.0.1", "127.0.0.1"},
        {"[::1]:5000", NULL, "http://[::1]:5000", "[::1]:5000"},
        {"r.example:5000", "r.example:5000", "http://r.example:5000", "r.example:5000"},
        {"r.example:5000", "R.example", "http://r.example:5000", "r.example:5000"},
        {"r.example:5000", "r.example:5001", "https://r.example:5000", "r.example:5000"},
        {"localhost.evil.example", NULL, "https://localhost.evil.example", "localhost.evil.example"},
        {"http://r.example", NULL, NULL, NULL},
        {"http://r.example/a/", "r.example", "http://r.example/a", "r.example"},
        {"https://localhost:5000/v2/", NULL, "https://localhost:5000", "localhost:5000"},
        {"ftp://r.example", NULL, NULL, NULL},
        {"https://r.example/?x", NULL, NULL, NULL},
        {"user@r.example", NULL, NULL, NULL},
        {"r.example:99999", NULL, NULL, NULL},
        {"", NULL, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct endpoint e = {0};
        struct err err = ERR_INIT;
        const char *const insecure[] = {rows[i].insecure, NULL};
        bool ok = endpoint_init(&e, rows[i].host, insecure, &err);
        if (ok != (rows[i].base != NULL) ||
            (ok && (strcmp(e.base, rows[i].base) != 0 || strcmp(e.name, rows[i].name) != 0)))
            fail_msg("%s: %s %s", rows[i].host, ok ? e.base : err.text, ok ? e.name : "");
        endpoint_done(&e);
    }
}

static void test_realms(void **state)
{
    static const struct {
        const char *registry, *realm;
        bool allowed;
    } rows[] = {
        {"https://8.8.8.8", "https://9.9.9.9/token", true},
        {"https://8.8.8.8", "https://8.8.8.8:5001/token", true},
        {"https://8.8.8.8", "http://8.8.8.8/token", false},
        {"https://8.8.8.8", "http://9.9.9.9/token", false},
        {"https://8.8.8.8", "https://127.0.0.1:3000/", false},
        {"https://8.8.8.8", "https://10.0.0.1/", false},
        {"https://8.8.8.8", "https://[::ffff:169.254.169.254]/", false},
        {"https://10.0.0.1", "https://192.168.1.1/token", true},
        {"https://10.0.0.1", "https://127.0.0.1/token", false},
        {"127.0.0.1:5000", "http://127.0.0.1:5001/token", true},
        {"127.0.0.1:5000", "http://127.0.0.2/token", true},
        {"127.0.0.1:5000", "http://8.8.8.8/token", false},
        {"127.0.0.1:5000", "https://8.8.8.8/token", true},
        {"127.0.0.1:5000", "file:///etc/passwd", false},
        {"127.0.0.1:5000", "//127.0.0.1/token", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct endpoint e = {0};
        struct err err = ERR_INIT;
        char address[HTTP_ADDRESS_MAX];
        assert_true(endpoint_init(&e, rows[i].registry, NULL, &err));
        if (token_realm_check(&e, rows[i].realm, address, &err) != rows[i].allowed)
            fail_msg("%s -> %s: %s", rows[i].registry, rows[i].realm, err.text);
        endpoint_done(&e);
    }
}

static void *close_soon(void *fd)
{
    usleep(150000);
    close(*(int *)fd);
    return NULL;
}

static void test_cancel(void **state)
{
    const struct row rows[] = {{"GET", 0, 429, "Retry-After: 30\r\n", "", false}};
    struct fake f;
    struct registry_manifest m = {0};
    struct err err = ERR_INIT;
    int fds[2];
    pthread_t closer;
    (void)state;
    assert_true(socket_pair(fds, NULL));
    fake_start(&f, "127.0.0.1", rows, 1);
    struct registry *r = open_at(f.host, NULL, NULL, fds[0]);
    int64_t start = clock_now_ns();
    pthread_create(&closer, NULL, close_soon, &fds[1]);
    assert_false(registry_get_manifest(r, "ai/x", "latest", &m, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
    assert_true(clock_now_ns() - start < 5 * CLOCK_SECOND);
    assert_non_null(strstr(noticed, "asks to wait 30 seconds"));
    pthread_join(closer, NULL);
    close(fds[0]);
    registry_close(&r);
    fake_stop(&f);
}

static bool read_ten(void *ctx, uint64_t offset, void *dst, size_t n, struct err *err)
{
    if (ctx != NULL)
        return err_set(err, ERR_INTERNAL, "our file is gone");
    memcpy(dst, &"0123456789"[offset], n);
    return true;
}

static void test_uploads(void **state)
{
    static char digest[] = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    static char bad_file;
    const struct {
        const char *name;
        const char *mount;
        void *ctx;
        struct row rows[7];
        enum err_code code;
        const char *asked;
        int times;
    } cases[] = {
        {"there already", NULL, NULL, {{"HEAD", 0, 200, "", "", false}}, ERR_NONE, "POST", 0},
        {"query kept, relative",
         NULL,
         NULL,
         {{"HEAD", 0, 404, "", "", false},
          {"POST", 0, 202, "Location: /up/1?_state=x%3D%3D\r\n", "", false},
          {"PUT", 0, 201, "", "", false}},
         ERR_NONE,
         "PUT /up/1?_state=x%3D%3D&digest=sha256%3Abbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb "
         "HTTP/1.1\r\n",
         1},
        {"mounted",
         "ai/up",
         NULL,
         {{"HEAD", 0, 404, "", "", false}, {"POST", 0, 201, "", "", false}},
         ERR_NONE,
         "uploads/?mount=sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb&from=ai/up ",
         1},
        {"mount from a bad name", "ai/up?x", NULL, {{"HEAD", 0, 404, "", "", false}}, ERR_INVALID, "POST", 0},
        {"no Location",
         NULL,
         NULL,
         {{"HEAD", 0, 404, "", "", false}, {"POST", 0, 202, "", "", false}},
         ERR_PROTOCOL,
         "PUT",
         0},
        {"Location in a private network",
         NULL,
         NULL,
         {{"HEAD", 0, 404, "", "", false}, {"POST", 0, 202, "Location: http://10.0.0.1/u\r\n", "", false}},
         ERR_FORBIDDEN,
         "PUT",
         0},
        {"too large: in chunks",
         NULL,
         NULL,
         {{"HEAD", 0, 404, "", "", false},
          {"POST", 0, 202, "Location: /up/1\r\n", "", false},
          {"PUT", 1, 413, "", "", false},
          {"Content-Range: 0-9", 0, 201, "", "", false}},
         ERR_NONE,
         "POST",
         2},
        {"session gone: again",
         NULL,
         NULL,
         {{"HEAD", 0, 404, "", "", false},
          {"POST", 0, 202, "Location: /up/1\r\n", "", false},
          {"PUT", 1, 404, "", "{\"errors\":[{\"code\":\"BLOB_UPLOAD_INVALID\"}]}", false},
          {"\r\n\r\n0123456789", 0, 201, "", "", false}},
         ERR_NONE,
         "POST",
         2},
        {"500 though stored",
         NULL,
         NULL,
         {{"HEAD", 1, 404, "", "", false},
          {"HEAD", 0, 200, "", "", false},
          {"POST", 0, 202, "Location: /up/1\r\n", "", false},
          {"PUT", 0, 500, "", "", false}},
         ERR_NONE,
         "PUT",
         1},
        {"refused digest",
         NULL,
         NULL,
         {{"HEAD", 0, 404, "", "", false},
          {"POST", 0, 202, "Location: /up/1\r\n", "", false},
          {"PUT", 0, 400, "", "{\"errors\":[{\"message\":\"digest invalid\"}]}", false}},
         ERR_PROTOCOL,
         "PUT",
         1},
        {"forbidden",
         NULL,
         NULL,
         {{"HEAD", 0, 404, "", "", false}, {"POST", 0, 403, "", "", false}},
         ERR_FORBIDDEN,
         "POST",
         1},
        {"our file",
         NULL,
         &bad_file,
         {{"HEAD", 0, 404, "", "", false}, {"POST", 0, 202, "Location: /up/1\r\n", "", false}},
         ERR_INTERNAL,
         "POST",
         1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fake f;
        struct err err = ERR_INIT;
        fake_start(&f, "127.0.0.1", cases[i].rows, 7);
        struct registry *r = open_at(f.host, NULL, NULL, -1);
        struct registry_upload up = {.repo = "ai/x",
                                     .digest = digest,
                                     .mount_from = cases[i].mount,
                                     .size = 10,
                                     .read = read_ten,
                                     .ctx = cases[i].ctx};
        bool ok = registry_push_blob(r, &up, &err);
        if (ok != (cases[i].code == ERR_NONE) || (!ok && err.code != cases[i].code))
            fail_msg("%s: %s %s", cases[i].name, err_name(err.code), err.text);
        if (count(&f, cases[i].asked) != cases[i].times)
            fail_msg("%s: %d times '%s' in\n%s", cases[i].name, count(&f, cases[i].asked), cases[i].asked,
                     buf_str(&f.log));
        registry_close(&r);
        fake_stop(&f);
    }
}

static int set_up(void **state)
{
    static const char *const names[] = {"DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR",
                                        "DOCKER_USERNAME"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        unsetenv(names[i]);
    setenv("HOME", "/nonexistent", 1);
    setenv("DOCKER_CONFIG", "/nonexistent", 1);
    log_init("test", LOG_ERROR);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),      cmocka_unit_test(test_realms),  cmocka_unit_test(test_manifests),
        cmocka_unit_test(test_tokens),         cmocka_unit_test(test_blobs),   cmocka_unit_test(test_token_renewal),
        cmocka_unit_test(test_identity_token), cmocka_unit_test(test_storage), cmocka_unit_test(test_mirrors),
        cmocka_unit_test(test_uploads),        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
