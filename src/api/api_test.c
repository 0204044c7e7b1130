/* The native interface over real sockets, on a real store, with real backends (without an engine) and transfers. */
#include "store/testing.h"

#include "api/handlers.h"
#include "api/log_ring.h"
#include "backends/backends.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "distribution/distribution.h"
#include "http/server/http_test.h"

static struct {
    struct test_server server;
    struct testing *store;
    struct api api;
    char logs[600], run[600];
    char id[DIGEST_TEXT];
} world;

static int set_up(void **state)
{
    (void)state;
    testing_setup((void **)&world.store);
    snprintf(world.logs, sizeof world.logs, "%s-logs", world.store->root);
    snprintf(world.run, sizeof world.run, "%s-run", world.store->root);
    mkdir(world.logs, 0700);
    testing_model(world.store->store, 1, 1000, "ai/smollm2", world.id);
    testing_model(world.store->store, 2, 1000, "localhost:5000/me/x:v1", NULL);
    world.api = (struct api){.store = world.store->store,
                             .logs = log_ring_new(LIMIT_LOG_RING_BYTES),
                             .engine_log_dir = world.logs,
                             .version = "1.1.0",
                             .endpoint = "http://127.0.0.1:1",
                             .start_ns = clock_now_ns()};
    struct backends_options backends = {.engine_path = "/nonexistent/tug-engine", .run_dir = world.run};
    must(backends_new(world.store->store, &backends, &world.api.backends, &testing_err));
    must(
        distribution_new(world.store->store, &(struct distribution_options){0}, &world.api.distribution, &testing_err));
    test_server_start(&world.server, &(struct http_server_config){.routes = api_routes, .app = &world.api});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_server_stop(&world.server, CLOCK_SECOND);
    distribution_stop(&world.api.distribution);
    backends_stop(&world.api.backends, clock_now_ns() + CLOCK_SECOND);
    log_ring_free(&world.api.logs);
    testing_remove(world.logs);
    testing_remove(world.run);
    testing_teardown((void **)&world.store);
    return 0;
}

static int ask(const char *method, const char *path, const char *headers, const char *body, char *answer, size_t size)
{
    _cleanup_free_ char *request = NULL;
    assert_true(asprintf(&request, "%s %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n%s", method, path,
                         headers, strlen(body), body) > 0);
    return test_ask(&world.server, request, answer, size);
}

struct row {
    const char *name, *method, *path, *body;
    int status;
    const char *has;
};

static void check_rows(const struct row *rows, size_t n)
{
    static char answer[100000];
    for (size_t i = 0; i < n; i++) {
        int status = ask(rows[i].method, rows[i].path, "", rows[i].body, answer, sizeof answer);
        const char *body = strstr(answer, "\r\n\r\n");
        if (status != rows[i].status || body == NULL || strstr(answer, rows[i].has) == NULL ||
            (rows[i].has[0] == '\0' && body[4] != '\0'))
            fail_msg("%s: %d, %s", rows[i].name, status, answer);
        if (status >= 400 && strstr(answer, "{\"error\":{\"message\":\"") == NULL)
            fail_msg("%s is not OpenAI's shape: %s", rows[i].name, answer);
    }
}

static void reading(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"root", "GET", "/", "", 200, "\r\n\r\nDocker Model Runner is running"},
        {"version", "GET", "/version", "", 200, "{\"version\":\"v1.1.0\",\"endpoint\":\"http://127.0.0.1:1\"}"},
        {"list", "GET", "/models", "", 200, "\r\n\r\n[{\"id\":\"sha256:"},
        {"list has the tags", "GET", "/models", "", 200, "\"tags\":[\"docker.io/ai/smollm2:latest\"],\"created\":"},
        {"list has the config", "GET", "/models", "", 200, "\"config\":{\"format\":\"gguf\","},
        {"inspect", "GET", "/models/smollm2", "", 200, "\r\n\r\n{\"id\":\"sha256:"},
        {"inspect a whole name", "GET", "/models/localhost:5000/me/x:v1", "", 200,
         "\"tags\":[\"localhost:5000/me/x:v1\"]"},
        {"inspect, escaped", "GET", "/models/ai%2Fsmollm2%3Alatest", "", 200, "docker.io/ai/smollm2:latest"},
        {"inspect: none", "GET", "/models/ai/none", "", 404,
         "model 'ai/none' is not here; pull it with: tug pull ai/none"},
        {"inspect: not a name", "GET", "/models/AI//..x", "", 400, "is not a model name"},
        {"remote: bad flag", "GET", "/models/smollm2?remote=perhaps", "", 400, "\"param\":\"remote\""},
        {"remote: nobody answers", "GET", "/models/localhost:1/a/b?remote", "", 502, "localhost:1"},
        {"ps", "GET", "/engines/ps", "", 200, "\r\n\r\n[]"},
        {"df", "GET", "/engines/df", "", 200, "{\"models_disk_usage\":"},
        {"status", "GET", "/engines/status", "", 200, "{\"llama.cpp\":\"Running: tug-engine 1.1.0\"}"},
        {"unload nothing", "POST", "/engines/unload", "", 200, "{\"unloaded_runners\":0}"},
        {"unload all", "POST", "/engines/unload", "{\"all\":true,\"backend\":\"\",\"models\":[]}", 200,
         "{\"unloaded_runners\":0}"},
        {"unload one that does not run", "POST", "/engines/unload", "{\"models\":[\"smollm2\",\"none\"]}", 200,
         "{\"unloaded_runners\":0}"},
        {"unload a number", "POST", "/engines/unload", "{\"models\":[5]}", 400, "models[0] must be a string"},
        {"metrics", "GET", "/metrics", "", 200, "tug_info{version=\"1.1.0\"} 1\n"},
        {"metrics of the store", "GET", "/metrics", "", 200, "\ntug_models 2\n"},
        {"OpenAI's list", "GET", "/engines/v1/models", "", 200, "{\"object\":\"list\",\"data\":[{\"id\":\""},
    };
    check_rows(rows, sizeof rows / sizeof rows[0]);
}

static void refusing(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"create: no body", "POST", "/models/create", "", 400, "from"},
        {"create: from is a number", "POST", "/models/create", "{\"from\":1}", 400, "\"param\":\"from\""},
        {"create: from is null", "POST", "/models/create", "{\"from\":null}", 400, "\"param\":\"from\""},
        {"create: not a name", "POST", "/models/create", "{\"from\":\"a b\"}", 400, "a b"},
        {"push: not here", "POST", "/models/none/push", "", 404, "'none' is not here"},
        {"push: not JSON", "POST", "/models/smollm2/push", "x", 400, "invalid_request_error"},
        {"tag: no target", "POST", "/models/smollm2/tag?repo=x", "", 400, "missing repo or tag query parameter"},
        {"tag: not a name", "POST", "/models/smollm2/tag?repo=a+b&tag=1", "", 400, "a b"},
        {"tag: not here", "POST", "/models/none/tag?repo=a&tag=1", "", 404, "'none' is not here"},
        {"unknown action", "POST", "/models/smollm2/other", "", 405, "answers"},
        {"export: not here", "GET", "/models/none/export", "", 404, "'none' is not here"},
        {"load: not a tar", "POST", "/models/load", "this is no tar", 400, ""},
        {"remove: not here", "DELETE", "/models/none", "", 404, "none"},
        {"remove: bad flag", "DELETE", "/models/smollm2?force=x", "", 400, "\"param\":\"force\""},
        {"a model that is no GGUF", "POST", "/v1/chat/completions", "{\"model\":\"smollm2\"}", 400,
         "is not a GGUF file"},
    };
    static char answer[100000];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int status = ask(rows[i].method, rows[i].path, "", rows[i].body, answer, sizeof answer);
        bool any = strcmp(rows[i].name, "load: not a tar") == 0 && status >= 400;
        if ((status != rows[i].status && !any) || strstr(answer, rows[i].has) == NULL ||
            strstr(answer, "{\"error\":{\"message\":\"") == NULL)
            fail_msg("%s: %d, %s", rows[i].name, status, answer);
    }
}

/* Retries are told as they happen; a client that leaves ends its watching at once. */
static void leaving_a_pull(void **state)
{
    (void)state;
    char answer[10000] = "";
    size_t n = 0;
    int fd = test_dial(&world.server);
    test_send(fd, "POST /models/create HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
                  "Content-Length: 24\r\n\r\n{\"from\":\"localhost:1/a\"}");
    while (strstr(answer, "{\"type\":\"warning\",\"message\":\"") == NULL) {
        ssize_t got = recv(fd, answer + n, sizeof answer - 1 - n, 0);
        assert_true(got > 0);
        n += (size_t)got;
        answer[n] = '\0';
    }
    assert_int_equal(strncmp(answer, "HTTP/1.1 200 OK", 15), 0);
    assert_non_null(strstr(answer, "Content-Type: application/json\r\n"));
    int64_t start = clock_now_ns();
    close(fd);
    WAIT_FOR(http_server_active(world.server.server) == 0);
    assert_true(clock_now_ns() - start < 2 * CLOCK_SECOND);
}

/* The tar that export gives is one that load takes. */
static void tar_out_and_in(void **state)
{
    (void)state;
    enum { SIZE = 4 * 1000 * 1000 };
    char *answer = malloc(SIZE), *tar = malloc(SIZE), head[300];
    size_t n = 0, tar_len = 0;
    int fd = test_dial(&world.server);
    test_send(fd, "GET /models/ai/smollm2/export HTTP/1.0\r\n\r\n"); /* no chunks, then the end */
    for (ssize_t got; (got = recv(fd, answer + n, SIZE - 1 - n, 0)) > 0;)
        n += (size_t)got;
    close(fd);
    answer[n] = '\0';
    assert_non_null(strstr(answer, "Content-Type: application/x-tar\r\n"));
    assert_non_null(strstr(answer, "Content-Disposition: attachment; filename=\"ai_smollm2.tar\"\r\n"));
    const char *body = strstr(answer, "\r\n\r\n") + 4;
    tar_len = n - (size_t)(body - answer);
    memcpy(tar, body, tar_len);
    assert_true(tar_len > 1000);
    assert_int_equal(ask("DELETE", "/models/smollm2", "", "", answer, SIZE), 200);
    assert_non_null(strstr(answer, "[{\"Untagged\":\"docker.io/ai/smollm2:latest\"},{\"Deleted\":\"sha256:"));
    fd = test_dial(&world.server);
    snprintf(head, sizeof head, "POST /models/load HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n",
             tar_len);
    test_send(fd, head);
    assert_true(socket_write_all(fd, tar, tar_len, NULL));
    assert_int_equal(test_read(fd, answer, SIZE, 0), 200);
    close(fd);
    assert_non_null(strstr(answer, "{\"type\":\"success\",\"message\":\"Model loaded successfully\",\"total\":0,"));
    snprintf(head, sizeof head, "/models/%s/tag?repo=docker.io/ai/smollm2&tag=latest", world.id);
    assert_int_equal(ask("POST", head, "", "", answer, SIZE), 201);
    assert_non_null(strstr(answer,
                           "{\"message\":\"Model tagged successfully with "
                           "\\\"docker.io/ai/smollm2:latest\\\"\",\"target\":\"docker.io/ai/smollm2:latest\"}"));
    free(answer);
    free(tar);
}

static void naming_and_going(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"tag", "POST", "/models/localhost:5000/me/x:v1/tag?repo=mine&tag=Two", "", 201, "\"target\":\"mine:Two\"}"},
        {"tagged", "GET", "/models/ai/mine:Two", "", 200,
         "\"tags\":[\"docker.io/ai/mine:Two\",\"localhost:5000/me/x:v1\"]"},
        {"repackage", "POST", "/models/mine:Two/repackage", "{\"target\":\"mine:4k\",\"context_size\":4096}", 201,
         "\"source\":\"mine:Two\",\"target\":\"docker.io/ai/mine:4k\"}"},
        {"repackaged", "GET", "/models/ai/mine:4k", "", 200, "\"context_size\":4096"},
        {"the source is as it was", "GET", "/models/ai/mine:Two", "", 200, "\"tags\":[\"docker.io/ai/mine:Two\""},
        {"repackage as what", "POST", "/models/mine:Two/repackage", "{}", 400, "target is required"},
        {"repackage as a digest", "POST", "/models/mine:Two/repackage", "{\"target\":\"a b\"}", 400, "a b"},
        {"repackage nothing", "POST", "/models/none/repackage", "{\"target\":\"x\"}", 404, "none"},
        {"repackage to nonsense", "POST", "/models/mine:Two/repackage", "{\"target\":\"x\",\"context_size\":-5}", 400,
         "context_size"},
        {"untag", "DELETE", "/models/mine:Two", "", 200, "\r\n\r\n[{\"Untagged\":\"docker.io/ai/mine:Two\"}]"},
        {"prune nothing", "POST", "/models/prune", "", 200, "{\"removed\":[],\"freed_bytes\":0}"},
        {"prune all", "POST", "/models/prune?all=true", "", 200, "{\"removed\":[{\"Untagged\":"},
        {"nothing left", "GET", "/models", "", 200, "\r\n\r\n[]"},
        {"OpenAI's list is never null", "GET", "/v1/models", "", 200, "\"data\":[]"},
        {"purge", "DELETE", "/models/purge", "", 200, "Content-Length: 0\r\n"},
    };
    check_rows(rows, sizeof rows / sizeof rows[0]);
}

static void daemon_says(const char *line) { log_ring_sink(world.api.logs, line, strlen(line)); }

static void logs(void **state)
{
    (void)state;
    char path[700], answer[100000];
    static const char engine[] = "---- 2026-01-01T00:00:00.000Z engine for x\nllama says\n";
    daemon_says("2026-01-02T00:00:00.000Z tug info: loaded the model model=x\n");
    snprintf(path, sizeof path, "%s/engine-0123.log", world.logs);
    testing_write(path, engine, sizeof engine - 1);
    assert_int_equal(ask("GET", "/logs", "", "", answer, sizeof answer), 200);
    assert_non_null(strstr(answer, "llama says"));
    assert_non_null(strstr(strstr(answer, "llama says"), "loaded the model model=x"));
    assert_int_equal(ask("GET", "/logs?no-engines=true", "", "", answer, sizeof answer), 200);
    assert_null(strstr(answer, "llama says"));
    assert_int_equal(ask("GET", "/logs?follow=x", "", "", answer, sizeof answer), 400);
    int fd = test_dial(&world.server);
    test_send(fd, "GET /logs?follow=true HTTP/1.0\r\n\r\n");
    size_t n = 0;
    int step = 0;
    static const char *const wanted[] = {"loaded the model model=x\n", "again model=y\n", "llama says more\n"};
    while (step < 3) {
        ssize_t got = recv(fd, answer + n, sizeof answer - 1 - n, 0);
        assert_true(got > 0);
        n += (size_t)got;
        answer[n] = '\0';
        while (step < 3 && strstr(answer, wanted[step]) != NULL) {
            if (++step == 1)
                daemon_says("2026-01-02T00:00:01.000Z tug info: again model=y\n");
            if (step == 2) {
                int file = open(path, O_WRONLY | O_APPEND);
                assert_int_equal(write(file, "llama says more\n", 16), 16);
                close(file);
            }
        }
    }
    close(fd);
    WAIT_FOR(http_server_active(world.server.server) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading),        cmocka_unit_test(refusing),         cmocka_unit_test(leaving_a_pull),
        cmocka_unit_test(tar_out_and_in), cmocka_unit_test(naming_and_going), cmocka_unit_test(logs),
    };
    log_init("test", LOG_ERROR);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
