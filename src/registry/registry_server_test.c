/* registry/registry_server_test.c: against the real docker-registry: open, with passwords, and behind a token server.
 * Skipped where the program is not installed. */
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "oci/manifest.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/process.h"
#include "platform/socket.h"
#include "registry/registry.h"
#include "registry/registry_test_tokens.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

struct service {
    struct process process;
    unsigned port;
    char host[32], folder[96];
};

static unsigned free_port(void)
{
    int fd = -1;
    assert_true(socket_listen_tcp("127.0.0.1:0", &fd, NULL));
    unsigned port = socket_port(fd);
    close(fd);
    return port;
}

static void put(const char *path, const char *text)
{
    assert_true(file_write_atomic(path, text, strlen(text), 0600, NULL));
}

static void service_start(struct service *s, const char *auth)
{
    char path[160];
    char config[2048];
    struct err err = ERR_INIT;
    static int count;
    s->port = free_port();
    snprintf(s->host, sizeof s->host, "127.0.0.1:%u", s->port);
    snprintf(s->folder, sizeof s->folder, "%s/registry-%d", root, count++);
    assert_true(file_mkdirs(s->folder, 0700, NULL));
    snprintf(config, sizeof config,
             "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n"
             "    rootdirectory: %s\nhttp:\n  addr: %s\n%s",
             s->folder, s->host, auth);
    snprintf(path, sizeof path, "%s/config.yml", s->folder);
    put(path, config);
    int nothing = open("/dev/null", 1);
    struct process_spec spec = {.argv = (const char *const[]){"docker-registry", "serve", path, NULL},
                                .stdin_fd = -1,
                                .stdout_fd = nothing,
                                .stderr_fd = nothing};
    if (!process_spawn(&spec, &s->process, &err)) {
        print_message("docker-registry is not installed: %s\n", err.text);
        skip();
    }
    close(nothing);
    for (int i = 0; i < 500; i++) {
        int fd = -1;
        if (socket_connect_tcp("127.0.0.1", (uint16_t)s->port, CLOCK_SECOND, &fd, NULL)) {
            close(fd);
            return;
        }
        usleep(20000);
    }
    fail_msg("docker-registry did not listen on %s", s->host);
}

static void service_stop(struct service *s)
{
    int status;
    process_signal(&s->process, SIGTERM);
    if (!process_wait(&s->process, clock_now_ns() + 5 * CLOCK_SECOND, &status))
        process_signal(&s->process, SIGKILL);
    process_wait(&s->process, clock_now_ns() + 5 * CLOCK_SECOND, &status);
    process_done(&s->process);
}

static struct registry *open_registry(const struct service *s, const char *bearer)
{
    struct registry *r = NULL;
    struct err err = ERR_INIT;
    struct registry_options options = {.cancel_fd = -1, .bearer_token = bearer};
    if (!registry_open(s->host, &options, &r, &err))
        fail_msg("%s", err.text);
    return r;
}

struct content {
    const char *bytes;
    uint64_t size, sent;
    char digest[DIGEST_TEXT];
};

static bool content_read(void *ctx, uint64_t offset, void *dst, size_t n, struct err *err)
{
    struct content *c = ctx;
    (void)err;
    assert_true(offset + n <= c->size);
    memcpy(dst, c->bytes + offset, n);
    return true;
}

static void content_sent(void *ctx, uint64_t sent) { ((struct content *)ctx)->sent = sent; }

static bool push(struct registry *r, const char *repo, struct content *c, const char *from, struct err *err)
{
    digest_of(c->bytes, (size_t)c->size, c->digest);
    struct registry_upload up = {.repo = repo,
                                 .digest = c->digest,
                                 .mount_from = from,
                                 .size = c->size,
                                 .read = content_read,
                                 .progress = content_sent,
                                 .ctx = c};
    return registry_push_blob(r, &up, err);
}

static void expect_blob(struct registry *r, const char *repo, const struct content *c, uint64_t offset)
{
    struct http_call *call = NULL;
    struct err err = ERR_INIT;
    uint64_t from = 99;
    _cleanup_(buf_done) struct buf body = BUF_INIT(c->size + 1);
    if (!registry_open_blob(r, repo, c->digest, offset, c->size, &from, &call, &err))
        fail_msg("%s", err.text);
    assert_int_equal(from, offset);
    assert_true(http_call_read_all(call, &body, &err));
    assert_int_equal(body.len, c->size - offset);
    assert_memory_equal(buf_str(&body), c->bytes + offset, body.len);
    http_call_close(&call);
}

static const char manifest[] =
    "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_MANIFEST "\",\"config\":{\"mediaType\":\"" OCI_TYPE_CONFIG_V01
    "\",\"size\":%d,\"digest\":\"%s\"},"
    "\"layers\":[{\"mediaType\":\"" OCI_TYPE_GGUF "\",\"size\":%d,\"digest\":\"%s\"}]}";

static void test_open(void **state)
{
    struct service s;
    struct err err = ERR_INIT;
    (void)state;
    service_start(&s, "");
    struct registry *r = open_registry(&s, NULL);
    char *large = malloc(5 << 20);
    for (size_t i = 0; i < 5 << 20; i++)
        large[i] = (char)(i * 2654435761u >> 13);
    struct content blobs[] = {{.bytes = "", .size = 0},
                              {.bytes = "x", .size = 1},
                              {.bytes = "{\"config\":{}}", .size = 13},
                              {.bytes = large, .size = 5 << 20}};
    for (size_t i = 0; i < ARRAY_LEN(blobs); i++) {
        bool has = true;
        if (!push(r, "ai/x", &blobs[i], NULL, &err))
            fail_msg("blob %zu: %s", i, err.text);
        assert_int_equal(blobs[i].sent, blobs[i].size);
        assert_true(registry_has_blob(r, "ai/x", blobs[i].digest, &has, &err) && has);
        assert_true(push(r, "ai/x", &blobs[i], NULL, &err)); /* again: it is there */
        expect_blob(r, "ai/x", &blobs[i], 0);
    }
    expect_blob(r, "ai/x", &blobs[3], 1);
    expect_blob(r, "ai/x", &blobs[3], (5 << 20) - 1);
    blobs[2].sent = 0;
    assert_true(push(r, "ai/y", &blobs[2], "ai/x", &err)); /* mounted: nothing is read */
    expect_blob(r, "ai/y", &blobs[2], 0);
    assert_true(push(r, "ai/z", &blobs[1], "ai/nowhere", &err)); /* not to be mounted: uploaded */
    expect_blob(r, "ai/z", &blobs[1], 0);
    char text[1024];
    char digest[DIGEST_TEXT];
    char resolved[DIGEST_TEXT];
    int n =
        snprintf(text, sizeof text, manifest, (int)blobs[2].size, blobs[2].digest, (int)blobs[3].size, blobs[3].digest);
    digest_of(text, (size_t)n, digest);
    if (!registry_put_manifest(r, "ai/x", "1B-Q8_0", OCI_TYPE_MANIFEST, text, (size_t)n, &err))
        fail_msg("%s", err.text);
    assert_true(registry_resolve(r, "ai/x", "1B-Q8_0", resolved, &err));
    assert_string_equal(resolved, digest);
    const char *const names[] = {"1B-Q8_0", digest};
    for (size_t i = 0; i < 2; i++) {
        struct registry_manifest m = {0};
        assert_true(registry_get_manifest(r, "ai/x", names[i], &m, &err));
        assert_string_equal(m.digest, digest);
        assert_string_equal(m.content_type, OCI_TYPE_MANIFEST);
        assert_int_equal(m.bytes.len, n);
        assert_memory_equal(m.bytes.data, text, (size_t)n);
        registry_manifest_done(&m);
    }
    registry_close(&r);
    service_stop(&s);
    free(large);
}

static void test_open_errors(void **state)
{
    struct service s;
    struct err err = ERR_INIT;
    struct registry_manifest m = {0};
    struct http_call *call = NULL;
    uint64_t from;
    bool has = true;
    char digest[DIGEST_TEXT];
    (void)state;
    service_start(&s, "");
    struct registry *r = open_registry(&s, NULL);
    digest_of("none", 4, digest);
    assert_false(registry_get_manifest(r, "ai/none", "latest", &m, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "ai/none:latest"));
    assert_false(registry_resolve(r, "ai/none", "latest", digest, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_true(registry_has_blob(r, "ai/none", digest, &has, &err));
    assert_false(has);
    assert_false(registry_open_blob(r, "ai/none", digest, 0, 4, &from, &call, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    /* A manifest whose blobs are not there; a blob that is not what its digest says. */
    char text[1024];
    int n = snprintf(text, sizeof text, manifest, 4, digest, 4, digest);
    assert_false(registry_put_manifest(r, "ai/x", "v", OCI_TYPE_MANIFEST, text, (size_t)n, &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
    struct content wrong = {.bytes = "other", .size = 5};
    struct registry_upload up = {.repo = "ai/x", .digest = digest, .size = 5, .read = content_read, .ctx = &wrong};
    assert_false(registry_push_blob(r, &up, &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
    const char *const bad[] = {"", "../x", "a b", "A/../b", "/x", "x?y"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(registry_get_manifest(r, bad[i], "latest", &m, &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_false(registry_get_manifest(r, "ai/x", i == 0 ? "" : bad[i], &m, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
    registry_close(&r);
    service_stop(&s);
    r = open_registry(&s, NULL);
    assert_false(registry_get_manifest(r, "ai/x", "latest", &m, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    assert_non_null(strstr(err.text, s.host));
    registry_close(&r);
}

static void login(const struct service *s, const char *entry)
{
    char path[160];
    char text[512];
    snprintf(path, sizeof path, "%s/config.json", root);
    snprintf(text, sizeof text, "{\"auths\":{\"%s\":%s}}", s->host, entry);
    put(path, text);
}

static void test_basic(void **state)
{
    struct service s;
    struct err err = ERR_INIT;
    char path[160];
    char auth[300];
    struct content c = {.bytes = "content", .size = 7};
    (void)state;
    snprintf(path, sizeof path, "%s/htpasswd", root);
    put(path, "u:$2b$04$vFzoYxpd54z8MIpeZ6yyQuizLwVYV1JAmeu4nbhbuqnBVnYssrt6a\n"); /* p:w */
    snprintf(auth, sizeof auth, "auth:\n  htpasswd:\n    realm: a realm, with a comma\n    path: %s\n", path);
    service_start(&s, auth);
    login(&s, "{}");
    struct registry *r = open_registry(&s, NULL);
    assert_false(push(r, "ai/x", &c, NULL, &err));
    assert_int_equal(err.code, ERR_UNAUTHORIZED);
    assert_non_null(strstr(err.text, "docker login"));
    registry_close(&r);
    login(&s, "{\"username\":\"u\",\"password\":\"wrong\"}");
    r = open_registry(&s, NULL);
    assert_false(push(r, "ai/x", &c, NULL, &err));
    assert_int_equal(err.code, ERR_UNAUTHORIZED);
    assert_null(strstr(err.text, "wrong"));
    registry_close(&r);
    login(&s, "{\"auth\":\"dTpwOnc=\"}");
    r = open_registry(&s, NULL);
    if (!push(r, "ai/x", &c, NULL, &err))
        fail_msg("%s", err.text);
    expect_blob(r, "ai/x", &c, 3);
    registry_close(&r);
    service_stop(&s);
}

/* A token server: hands out the prepared tokens, and counts. */
struct token_server {
    int listener;
    unsigned port;
    pthread_t thread;
    _Atomic int asked, with_login, pushes;
};

static void *token_run(void *arg)
{
    struct token_server *t = arg;
    for (int fd; (fd = accept(t->listener, NULL, NULL)) >= 0; close(fd)) {
        char request[8192];
        char answer[4096];
        size_t n = 0;
        for (ssize_t got = 1; got > 0 && n < sizeof request - 1; n += (size_t)(got > 0 ? got : 0)) {
            request[n] = '\0';
            if (strstr(request, "\r\n\r\n") != NULL)
                break;
            got = recv(fd, request + n, sizeof request - 1 - n, 0);
        }
        t->asked++;
        t->with_login += strstr(request, "Authorization: Basic dTpwOnc=") != NULL;
        bool wants_push = strstr(request, "pull%2Cpush") != NULL;
        bool may_push = wants_push && strstr(request, "Authorization: Basic dTpwOnc=") != NULL;
        t->pushes += wants_push;
        int len = snprintf(answer, sizeof answer,
                           "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"%s\":\"%s\",\"expires_in\":300}",
                           wants_push ? "access_token" : "token", may_push ? test_token_push : test_token_pull);
        socket_write_all(fd, answer, (size_t)len, NULL);
    }
    return NULL;
}

static void test_tokens(void **state)
{
    struct service s;
    struct token_server t = {0};
    struct err err = ERR_INIT;
    char path[160];
    char auth[512];
    struct content c = {.bytes = "content", .size = 7};
    struct content more = {.bytes = "more", .size = 4};
    (void)state;
    assert_true(socket_listen_tcp("127.0.0.1:0", &t.listener, NULL));
    t.port = socket_port(t.listener);
    pthread_create(&t.thread, NULL, token_run, &t);
    snprintf(path, sizeof path, "%s/c.pem", root);
    put(path, test_certificate);
    snprintf(
        auth, sizeof auth,
        "auth:\n  token:\n    realm: http://127.0.0.1:%u/token?a=b\n    service: registry.test\n    issuer: tug-test\n"
        "    rootcertbundle: %s\n",
        t.port, path);
    service_start(&s, auth);
    login(&s, "{\"auth\":\"dTpwOnc=\"}");
    struct registry *r = open_registry(&s, NULL);
    if (!push(r, "ai/x", &c, NULL, &err) || !push(r, "ai/x", &more, NULL, &err))
        fail_msg("%s", err.text);
    assert_int_equal(t.asked, 1); /* one token for HEAD, POST and PUT of both */
    assert_int_equal(t.with_login, 1);
    expect_blob(r, "ai/x", &c, 0);
    expect_blob(r, "ai/x", &c, 5);
    assert_int_equal(t.asked, 2);
    struct registry_manifest m = {0};
    assert_false(registry_get_manifest(r, "ai/other", "latest", &m, &err)); /* a token, but not for this */
    assert_int_equal(err.code, ERR_UNAUTHORIZED);
    assert_int_equal(t.asked, 3);
    registry_close(&r);
    login(&s, "{}");
    r = open_registry(&s, NULL); /* without a login: may pull, not push */
    expect_blob(r, "ai/x", &c, 0);
    struct content third = {.bytes = "third", .size = 5};
    assert_false(push(r, "ai/x", &third, NULL, &err));
    assert_int_equal(err.code, ERR_UNAUTHORIZED);
    registry_close(&r);
    r = open_registry(&s, test_token_pull); /* a token of the user's own */
    int asked = t.asked;
    expect_blob(r, "ai/x", &c, 0);
    assert_false(push(r, "ai/x", &third, NULL, &err));
    assert_int_equal(err.code, ERR_UNAUTHORIZED);
    assert_int_equal(t.asked, asked);
    registry_close(&r);
    service_stop(&s);
    shutdown(t.listener, SHUT_RDWR);
    pthread_join(t.thread, NULL);
    close(t.listener);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/tug-registry-XXXXXX");
    if (mkdtemp(root) == NULL)
        return -1;
    setenv("DOCKER_CONFIG", root, 1);
    setenv("HOME", root, 1);
    unsetenv("DOCKER_AUTH_CONFIG");
    unsetenv("REGISTRY_AUTH_FILE");
    log_init("test", LOG_ERROR);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return !file_remove_tree(root, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_open_errors),
        cmocka_unit_test(test_basic),
        cmocka_unit_test(test_tokens),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
