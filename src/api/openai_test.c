/* The relay between a client and its engine: what goes through untouched, and that the backend is released exactly
 * once whatever happens. The engine is a server in this process that does what `do` in the body says; backends/ is
 * replaced by functions that count. */
#include "store/testing.h"

#include "api/handlers.h"
#include "backends/backends.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "http/client/http_client.h"
#include "http/server/http_test.h"

static struct {
    struct test_server daemon, engine;
    struct testing *store;
    struct api api;
    atomic_int uses, releases, waiting, cancelled;
    atomic_int dead; /* so many next uses get an engine that has died already */
    enum backend_mode mode;
    char as[600];
} world;

/* ---- backends/, counted ---------------------------------------------------------------------------- */

bool backends_use(struct backends *b, const struct model *m, const char *as, enum backend_mode mode, int cancel_fd,
                  struct backend_use *ret_use, struct err *err)
{
    (void)b, (void)cancel_fd;
    if (strstr(as, "broken") != NULL)
        return err_set(err, ERR_ENGINE, "the engine did not load: bad magic");
    atomic_fetch_add(&world.uses, 1);
    snprintf(world.as, sizeof world.as, "%s", as);
    world.mode = mode;
    *ret_use = (struct backend_use){0};
    snprintf(ret_use->id, sizeof ret_use->id, "%s", m->id);
    bool dead = atomic_load(&world.dead) > 0;
    if (dead)
        atomic_fetch_sub(&world.dead, 1);
    snprintf(ret_use->socket, sizeof ret_use->socket, "%s%s", world.engine.unix_path, dead ? "-gone" : "");
    return true;
}

bool backends_use_loaded(struct backends *b, const char *id, struct backend_use *ret_use)
{
    (void)b, (void)id, (void)ret_use;
    return false; /* each use is counted above */
}

void backends_release(struct backends *b, struct backend_use *use)
{
    (void)b, (void)use;
    atomic_fetch_add(&world.releases, 1);
}

bool backends_explain(struct backends *b, const struct backend_use *use, struct err *err)
{
    (void)b, (void)use;
    err_set(err, ERR_ENGINE, "the engine has crashed: SIGSEGV");
    return true;
}

/* ---- an engine ------------------------------------------------------------------------------------- */

struct steps {
    const char *const *next;
};

static ssize_t steps_read(void *ctx, char *dst, size_t max)
{
    struct steps *s = ctx;
    const char *step = *s->next++;
    (void)max;
    if (step == NULL)
        return 0;
    if (step[0] == '!')
        return -1;
    memcpy(dst, step, strlen(step));
    return (ssize_t)strlen(step);
}

#define BIG "data: {\"x\":\"\xc3\xa9 \\u0000 0123456789\"}\n\n"
static const char *const whole_steps[] = {BIG, BIG, "data: [DONE]\n\n", NULL};
static const char *const cut_steps[] = {BIG, "!"};
static const char *const half_steps[] = {"data: {\"half", "!"};
static const char *const json_cut_steps[] = {"{\"half", "!"};

static void engine_stream(struct http_request *req, const char *type, const char *const *steps)
{
    struct steps *s = arena_alloc(&req->arena, sizeof *s);
    s->next = steps;
    http_reply_stream(req, 200, type, (struct http_stream){steps_read, NULL, s});
}

static void engine_wait(struct http_request *req)
{
    struct socket_wait wait = {.fd = req->client_fd, .want = SOCKET_CLOSED};
    atomic_fetch_add(&world.waiting, 1);
    socket_wait(&wait, 1, clock_now_ns() + 20 * CLOCK_SECOND);
    atomic_fetch_add(&world.cancelled, wait.got != 0);
    http_reply(req, 200, "application/json", "{}", 2);
}

static void engine_answer(struct http_request *req)
{
    const char *body = buf_str(&req->body);
    if (strstr(body, "do-stream") != NULL) {
        engine_stream(req, "text/event-stream", whole_steps);
    } else if (strstr(body, "do-cut") != NULL) {
        engine_stream(req, "text/event-stream", cut_steps);
    } else if (strstr(body, "do-half") != NULL) {
        engine_stream(req, "text/event-stream", half_steps);
    } else if (strstr(body, "do-json-cut") != NULL) {
        engine_stream(req, "application/json", json_cut_steps);
    } else if (strstr(body, "do-die") != NULL) {
        shutdown(req->client_fd, SHUT_RDWR);
        http_reply(req, 200, NULL, NULL, 0);
    } else if (strstr(body, "do-wait") != NULL) {
        engine_wait(req);
    } else if (strstr(body, "do-busy") != NULL) {
        http_set_header(req, "Retry-After", "7");
        http_reply(req, 429, "application/json", "{\"error\":1}", 11);
    } else {
        http_set_header(req, "X-Path", req->path);
        http_reply(req, 200, "application/json", req->body.data, req->body.len);
    }
}

static const struct http_route engine_routes[] = {
    {HTTP_POST, "/{any...}", engine_answer, HTTP_RIGHT_INFER, HTTP_BODY_BUFFER, .sink = NULL},
    {.pattern = NULL},
};

static const struct http_route daemon_routes[] = {
    {HTTP_POST, "/v1/chat/completions", openai_chat, HTTP_RIGHT_INFER, HTTP_BODY_BUFFER, .sink = NULL},
    {HTTP_POST, "/v1/embeddings", openai_embeddings, HTTP_RIGHT_INFER, HTTP_BODY_BUFFER, .sink = NULL},
    {HTTP_POST, "/engines/{model...}/v1/completions", openai_completions, HTTP_RIGHT_INFER, HTTP_BODY_BUFFER,
     .sink = NULL},
    {HTTP_GET, "/v1/models", openai_models_list, HTTP_RIGHT_READ, HTTP_BODY_NONE, .sink = NULL},
    {HTTP_GET, "/v1/models/{name...}", openai_models_one, HTTP_RIGHT_READ, HTTP_BODY_NONE, .sink = NULL},
    {HTTP_GET, "/engines/{model...}/v1/models", openai_models_of, HTTP_RIGHT_READ, HTTP_BODY_NONE, .sink = NULL},
    {.pattern = NULL},
};

static int set_up(void **state)
{
    testing_setup((void **)&world.store);
    testing_model(world.store->store, 1, 1000, "ai/smollm2", NULL);
    testing_model(world.store->store, 2, 1000, "ai/llama3.2:1B-Q8_0", NULL);
    testing_model(world.store->store, 3, 1000, "ai/broken", NULL);
    world.api = (struct api){.store = world.store->store, .upstreams = http_pools_new(), .version = "1.1.0"};
    test_server_start(&world.engine, &(struct http_server_config){.routes = engine_routes, .max_body = 1 << 25});
    test_server_start(&world.daemon,
                      &(struct http_server_config){.routes = daemon_routes, .max_body = 1 << 25, .app = &world.api});
    (void)state;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_pools_free(&world.api.upstreams); /* before the servers count their descriptors */
    test_server_stop(&world.daemon, CLOCK_SECOND);
    test_server_stop(&world.engine, CLOCK_SECOND);
    testing_teardown((void **)&world.store);
    return 0;
}

/* ---- the tests ------------------------------------------------------------------------------------- */

static int post(const char *path, const char *headers, const char *body, char *answer, size_t size)
{
    _cleanup_free_ char *request = NULL;
    assert_true(
        asprintf(
            &request,
            "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n%s",
            path, headers, strlen(body), body) > 0);
    return test_ask(&world.daemon, request, answer, size);
}

static void check_released(void)
{
    WAIT_FOR(http_server_active(world.daemon.server) == 0);
    assert_int_equal(atomic_load(&world.uses), atomic_load(&world.releases));
}

static void answers(void **state)
{
    (void)state;
    static const struct {
        const char *name, *path, *headers, *body;
        int status;
        const char *has;
        int uses;
    } rows[] = {
        {"untouched", "/v1/chat/completions", "", "{ \"model\" : \"ai/smollm2\", \"x\": [1.0,\t2e0 ]}", 200,
         "\r\n\r\n{ \"model\" : \"ai/smollm2\", \"x\": [1.0,\t2e0 ]}", 1},
        {"to the same path", "/v1/embeddings", "", "{\"model\":\"smollm2\"}", 200, "\r\n\r\n{\"model\":\"smollm2\"}",
         1},
        {"model in the path", "/engines/ai/llama3.2:1B-Q8_0/v1/completions", "", "{\"prompt\":\"x\"}", 200,
         "{\"prompt\":\"x\"}", 1},
        {"model in both", "/engines/ai/llama3.2:1B-Q8_0/v1/completions", "",
         "{\"model\":\"docker.io/ai/llama3.2:1B-Q8_0\"}", 200, "", 1},
        {"models differ", "/engines/ai/llama3.2:1B-Q8_0/v1/completions", "", "{\"model\":\"ai/smollm2\"}", 400,
         "the path names the model 'ai/llama3.2:1B-Q8_0', the body 'ai/smollm2'", 0},
        {"models differ by tag", "/engines/ai/llama3.2:1B-Q8_0/v1/completions", "", "{\"model\":\"ai/llama3.2\"}", 400,
         "\"param\":\"model\"", 0},
        {"no model", "/v1/chat/completions", "", "{\"messages\":[]}", 400, "model is required", 0},
        {"no body", "/v1/chat/completions", "", "", 400, "model is required", 0},
        {"model is a number", "/v1/chat/completions", "", "{\"model\":5}", 400, "\"param\":\"model\"", 0},
        {"not JSON", "/v1/chat/completions", "", "{\"model\":", 400, "\"type\":\"invalid_request_error\"", 0},
        {"not an object", "/v1/chat/completions", "", "[1]", 400, "must be a JSON object", 0},
        {"unknown model", "/v1/chat/completions", "", "{\"model\":\"ai/qwen3\"}", 404,
         "{\"error\":{\"message\":\"model 'ai/qwen3' is not here; pull it with: tug pull "
         "ai/qwen3\",\"type\":\"not_found_error\",\"param\":null,\"code\":\"model_not_found\"}}",
         0},
        {"engine does not load", "/v1/chat/completions", "", "{\"model\":\"ai/broken\"}", 503, "bad magic", 0},
        {"preload", "/v1/chat/completions", "X-Preload-Only: true\r\n", "{\"model\":\"ai/smollm2\",\"messages\":[]}",
         200, "Content-Length: 0\r\n", 1},
        {"engine refuses", "/v1/chat/completions", "", "{\"model\":\"ai/smollm2\",\"x\":\"do-busy\"}", 429,
         "Retry-After: 7\r\n", 1},
        {"stream", "/v1/chat/completions", "", "{\"model\":\"ai/smollm2\",\"x\":\"do-stream\"}", 200,
         "data: [DONE]\n\n\r\n0\r\n\r\n", 1},
        {"stream's type", "/v1/chat/completions", "", "{\"model\":\"ai/smollm2\",\"x\":\"do-stream\"}", 200,
         "Content-Type: text/event-stream\r\n", 1},
        {"stream is untouched", "/v1/chat/completions", "", "{\"model\":\"ai/smollm2\",\"x\":\"do-stream\"}", 200, BIG,
         1},
        {"engine dies before its answer", "/v1/chat/completions", "", "{\"model\":\"ai/smollm2\",\"x\":\"do-die\"}",
         503, "{\"error\":{\"message\":\"the engine has crashed: SIGSEGV\",\"type\":\"engine_error\"", 1},
        {"engine dies in a JSON answer", "/v1/chat/completions", "", "{\"model\":\"ai/smollm2\",\"x\":\"do-json-cut\"}",
         503, "the engine has crashed: SIGSEGV", 1},
        {"engine dies between events", "/v1/chat/completions", "", "{\"model\":\"ai/smollm2\",\"x\":\"do-cut\"}", 200,
         "\ndata: {\"error\":{\"message\":\"the engine has crashed: SIGSEGV\"", 1},
        {"engine dies in an event", "/v1/chat/completions", "", "{\"model\":\"ai/smollm2\",\"x\":\"do-half\"}", 200,
         "\n\ndata: {\"error\":{\"message\":\"the engine has crashed: SIGSEGV\"", 1},
    };
    static char answer[20000];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int uses = atomic_load(&world.uses);
        int status = post(rows[i].path, rows[i].headers, rows[i].body, answer, sizeof answer);
        if (status != rows[i].status || strstr(answer, rows[i].has) == NULL)
            fail_msg("%s: %d, %s", rows[i].name, status, answer);
        check_released();
        assert_int_equal(atomic_load(&world.uses), uses + rows[i].uses);
        bool cut = strstr(rows[i].name, "in an event") != NULL || strstr(rows[i].name, "between") != NULL;
        assert_int_equal(cut, status == 200 && strstr(answer, "SIGSEGV") != NULL && !text_ends(answer, "0\r\n\r\n"));
    }
}

static void tells_backends_what_was_asked(void **state)
{
    (void)state;
    static char answer[20000];
    post("/v1/embeddings", "", "{\"model\":\"smollm2\"}", answer, sizeof answer);
    assert_int_equal(world.mode, BACKEND_EMBEDDING);
    assert_string_equal(world.as, "smollm2");
    post("/engines/ai/llama3.2:1B-Q8_0/v1/completions", "", "{\"model\":\"docker.io/ai/llama3.2:1B-Q8_0\"}", answer,
         sizeof answer);
    assert_int_equal(world.mode, BACKEND_COMPLETION);
    assert_string_equal(world.as, "ai/llama3.2:1B-Q8_0");
}

static void leaving_client_stops_the_engine(void **state)
{
    (void)state;
    static const char *const scripts[] = {"do-wait", "do-stream", "do-cut"};
    char request[500];
    for (size_t i = 0; i < 3; i++) {
        int uses = atomic_load(&world.uses), cancelled = atomic_load(&world.cancelled);
        int fd = test_dial(&world.daemon);
        snprintf(request, sizeof request,
                 "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                 "%zu\r\n\r\n{\"model\":\"ai/smollm2\",\"x\":\"%s\"}",
                 strlen(scripts[i]) + 29, scripts[i]);
        test_send(fd, request);
        WAIT_FOR(atomic_load(&world.uses) == uses + 1);
        if (i == 0)
            WAIT_FOR(atomic_load(&world.waiting) == 1);
        close(fd);
        if (i == 0)
            WAIT_FOR(atomic_load(&world.cancelled) == cancelled + 1);
        check_released();
    }
}

/* Died while idle, and nobody has noticed: the request never reached it, so it goes to the next engine, once. */
static void starts_a_dead_engine_again(void **state)
{
    (void)state;
    static const struct {
        int dead, uses, status;
        const char *has;
    } rows[] = {{0, 1, 200, "ai/smollm2"}, {1, 2, 200, "ai/smollm2"}, {2, 2, 503, "the engine has crashed: SIGSEGV"}};
    static char answer[20000];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int uses = atomic_load(&world.uses);
        atomic_store(&world.dead, rows[i].dead);
        int status = post("/v1/chat/completions", "", "{\"model\":\"ai/smollm2\"}", answer, sizeof answer);
        if (status != rows[i].status || strstr(answer, rows[i].has) == NULL)
            fail_msg("%d dead: %d, %s", rows[i].dead, status, answer);
        check_released();
        assert_int_equal(atomic_load(&world.uses), uses + rows[i].uses);
    }
}

static void large_bodies_pass(void **state)
{
    (void)state;
    enum { N = 5 * 1000 * 1000 };
    char *body = malloc(N + 100), *answer = malloc(N + 1000);
    memset(body, 'a', N);
    memcpy(body, "{\"model\":\"ai/smollm2\",\"x\":\"", 27);
    memcpy(body + N - 2, "\"}", 3);
    assert_int_equal(post("/v1/chat/completions", "", body, answer, N + 1000), 200);
    assert_string_equal(strstr(answer, "\r\n\r\n") + 4, body);
    free(body);
    free(answer);
    check_released();
}

static void lists_models(void **state)
{
    (void)state;
    static char answer[20000];
    static const struct {
        const char *path;
        int status;
        const char *has, *lacks;
    } rows[] = {
        {"/v1/models", 200, "{\"object\":\"list\",\"data\":[{\"id\":\"docker.io/ai/", "gguf"},
        {"/v1/models", 200, "\"id\":\"docker.io/ai/llama3.2:1B-Q8_0\",\"object\":\"model\",\"created\":", "xx"},
        {"/v1/models/smollm2", 200, "{\"id\":\"docker.io/ai/smollm2:latest\",\"object\":\"model\",", "llama3"},
        {"/v1/models/ai/nothing", 404, "model 'ai/nothing' is not here", "dmr"},
        {"/engines/ai/smollm2/v1/models", 200, "{\"object\":\"list\",\"data\":[{\"id\":\"docker.io/ai/smollm2:latest\"",
         "llama3"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char request[300];
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", rows[i].path);
        int status = test_ask(&world.daemon, request, answer, sizeof answer);
        if (status != rows[i].status || strstr(answer, rows[i].has) == NULL || strstr(answer, rows[i].lacks) != NULL)
            fail_msg("%s: %d, %s", rows[i].path, status, answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(tells_backends_what_was_asked),
        cmocka_unit_test(leaving_client_stops_the_engine),
        cmocka_unit_test(large_bodies_pass),
        cmocka_unit_test(starts_a_dead_engine_again),
        cmocka_unit_test(lists_models),
    };
    log_init("test", LOG_ERROR);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
