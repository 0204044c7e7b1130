/* pull_test: pulls and pushes against a real registry, with a proxy in front of it that breaks one thing at a time.
 * Asserted each time: the final bytes, what was fetched, the message, and that nothing half-done shows.
 * `pull_test ROOT NAME` is the other process of some tests: it pulls NAME into ROOT. */
#include "base/text.h"
#include "distribution/fault_proxy.h"
#include "distribution/job.h"
#include "platform/clock.h"
#include "registry/registry.h"

#include <sys/mount.h>

enum { LAYER_BYTES = 6 * 1024 * 1024 + 321, BIG = 1024 * 1024 };

static struct registry_process registry;
static unsigned char *weights;
static char layer_digest[DIGEST_TEXT], model_id[DIGEST_TEXT], blob_path[128];
static char *program, *manifest_text;

struct pulling {
    struct testing t;
    struct proxy *proxy;
    struct distribution *d;
    char name[128]; /* of the model, by way of the proxy */
};

/* ---- set-up ----------------------------------------------------------------------------------- */

static struct distribution *distribution_for(struct store *s)
{
    struct distribution_options options = {.linger_ns = 0};
    struct distribution *d = NULL;
    must(distribution_new(s, &options, &d, &testing_err));
    return d;
}

/* Runs a job to its end; warnings are joined into `warnings` (may be NULL). */
static struct job_event finish(struct job *j, char warnings[4096])
{
    struct job_event e, last = {.kind = JOB_ERROR, .message = "no event"};
    if (warnings != NULL)
        warnings[0] = '\0';
    while (job_next(j, &e, -1)) {
        if (e.kind == JOB_WARNING && warnings != NULL)
            snprintf(warnings + strlen(warnings), 4096 - strlen(warnings), "%s\n", e.message);
        last = e;
    }
    job_leave(&j);
    return last;
}

static struct job_event pull(struct pulling *p, const char *name, char warnings[4096])
{
    struct job *j = NULL;
    must(distribution_pull(p->d, name, NULL, &j, &testing_err));
    return finish(j, warnings);
}

static struct job_event push(struct distribution *d, const char *name)
{
    struct job *j = NULL;
    must(distribution_push(d, name, NULL, &j, &testing_err));
    return finish(j, NULL);
}

#define assert_success(event, text)                                                                                    \
    do {                                                                                                               \
        struct job_event success_ = (event);                                                                           \
        if (success_.kind != JOB_SUCCESS || strcmp(success_.message, text) != 0)                                       \
            fail_msg("wanted \"%s\", got %s: %s", text, err_name(success_.code), success_.message);                    \
    } while (0)

/* An error of this code whose text has both parts; and no model is to be seen. */
static void assert_refused(struct pulling *p, struct job_event e, enum err_code code, const char *a, const char *b)
{
    struct arena arena = ARENA_INIT;
    struct model *models;
    size_t n = 1;
    if (e.kind != JOB_ERROR || e.code != code || strstr(e.message, a) == NULL || strstr(e.message, b) == NULL)
        fail_msg("wanted %s with \"%s\" and \"%s\", got %s: %s", err_name(code), a, b, err_name(e.code), e.message);
    must(store_list(p->t.store, &arena, &models, &n, &testing_err));
    assert_int_equal(n, 0);
    arena_done(&arena);
}

static void assert_stored(struct pulling *p, const char *name)
{
    struct arena a = ARENA_INIT;
    struct model m;
    _cleanup_(buf_done) struct buf bytes = BUF_INIT(LAYER_BYTES);
    must(store_find(p->t.store, name, &a, &m, &testing_err));
    assert_string_equal(m.id, model_id);
    must(store_blob_read(p->t.store, layer_digest, LAYER_BYTES, &bytes, &testing_err));
    assert_memory_equal(bytes.data, weights, LAYER_BYTES);
    assert_int_equal(testing_files(&p->t, ".tug/partial"), 0);
    assert_int_equal(testing_files(&p->t, ".tug/leases"), 0);
    arena_done(&a);
}

static int group_setup(void **state)
{
    (void)state;
    registry = registry_start("");
    if (registry.pid == 0)
        return 0; /* each test skips */
    struct testing t = {.store = NULL};
    char name[128];
    testing_folder(t.root);
    must(store_open(t.root, &t.store, &testing_err));
    weights = malloc(LAYER_BYTES);
    testing_fill(weights, LAYER_BYTES, 77);
    digest_of(weights, LAYER_BYTES, layer_digest);
    snprintf(blob_path, sizeof blob_path, "/blobs/%s", layer_digest);
    manifest_text = testing_manifest(t.store, weights, LAYER_BYTES, "6.00MiB");
    snprintf(name, sizeof name, "localhost:%d/demo/x:v1", registry.port);
    struct reference ref = testing_ref(name);
    must(store_put_manifest(t.store, manifest_text, strlen(manifest_text), &ref, model_id, &testing_err));
    struct distribution *d = distribution_for(t.store);
    assert_success(push(d, name), "Model pushed successfully");
    distribution_stop(&d);
    store_close(&t.store);
    testing_remove(t.root);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    registry_stop(&registry);
    free(weights);
    free(manifest_text);
    return 0;
}

static int setup(void **state)
{
    struct pulling *p = calloc(1, sizeof *p);
    *state = p;
    if (registry.pid == 0)
        return 0;
    testing_folder(p->t.root);
    must(store_open(p->t.root, &p->t.store, &testing_err));
    p->proxy = proxy_start(registry.port);
    p->d = distribution_for(p->t.store);
    snprintf(p->name, sizeof p->name, "localhost:%d/demo/x:v1", p->proxy->port);
    return 0;
}

static int teardown(void **state)
{
    struct pulling *p = *state;
    if (registry.pid != 0) {
        distribution_stop(&p->d);
        proxy_stop(p->proxy);
        store_close(&p->t.store);
        testing_remove(p->t.root);
    }
    free(p);
    return 0;
}

static struct pulling *begin(void **state)
{
    if (registry.pid == 0)
        skip();
    return *state;
}

/* Until so many bytes of blobs went through. Progress events would not do: the newest may come 100 ms later. */
static void wait_down(struct pulling *p, size_t bytes)
{
    for (int i = 0; i < 5000 && proxy_down(p->proxy) < bytes; i++)
        usleep(2000);
}

/* ---- that which goes well ----------------------------------------------------------------------- */

static void pull_then_cached_then_tagged(void **state)
{
    struct pulling *p = begin(state);
    struct job *j = NULL;
    struct job_event e;
    uint64_t most = 0;
    char by_digest[256];
    must(distribution_pull(p->d, p->name, NULL, &j, &testing_err));
    while (job_next(j, &e, -1))
        if (strcmp(e.layer_id, layer_digest) == 0) {
            assert_int_equal(e.total, LAYER_BYTES);
            assert_true(e.layer_current >= most);
            most = e.layer_current;
        }
    job_leave(&j);
    assert_int_equal(most, LAYER_BYTES);
    assert_success(e, "Model pulled successfully");
    assert_stored(p, p->name);
    assert_int_equal(proxy_count(p->proxy, "GET", "/manifests/"), 1); /* Docker Hub counts these */
    proxy_fault(p->proxy, (struct fault){.action = FAULT_NONE});
    assert_success(pull(p, p->name, NULL), "Using cached model: 6.00MiB");
    assert_int_equal(proxy_count(p->proxy, "GET", ""), 0);
    snprintf(by_digest, sizeof by_digest, "localhost:%d/demo/x@%s", p->proxy->port, model_id);
    assert_success(pull(p, by_digest, NULL), "Using cached model: 6.00MiB");
    assert_stored(p, p->name);
}

static void push_again_mounts_and_keeps_the_manifest(void **state)
{
    struct pulling *p = begin(state);
    char other[128];
    assert_success(pull(p, p->name, NULL), "Model pulled successfully");
    snprintf(other, sizeof other, "localhost:%d/demo/other:v2", p->proxy->port);
    struct reference ref = testing_ref(other);
    must(store_tag(p->t.store, p->name, &ref, &testing_err));
    proxy_fault(p->proxy, (struct fault){.action = FAULT_NONE});
    assert_success(push(p->d, other), "Model pushed successfully");
    assert_true(p->proxy->up_bytes < 64 * 1024); /* the blobs were there: only the manifest went */
    struct arena a = ARENA_INIT;
    struct model m;
    must(distribution_remote(p->d, other, &a, &m, &testing_err));
    assert_string_equal(m.id, model_id); /* byte for byte */
    assert_string_equal(m.config.size, "6.00MiB");
    assert_int_equal(m.n_names, 0);
    must_fail(distribution_remote(p->d, "localhost:1/demo/none", &a, &m, &testing_err), ERR_UNREACHABLE);
    arena_done(&a);
    struct job_event e = push(p->d, "ai/not-here");
    assert_int_equal(e.code, ERR_NOT_FOUND);
}

static void an_index_is_followed(void **state)
{
    struct pulling *p = begin(state);
    struct registry_options options = {.cancel_fd = -1};
    struct registry *r = NULL;
    char host[64], text[1024], name[128];
    snprintf(host, sizeof host, "localhost:%d", registry.port);
    snprintf(text, sizeof text,
             "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_INDEX
             "\",\"manifests\":[{\"mediaType\":\"" OCI_TYPE_MANIFEST "\",\"digest\":\"%s\",\"size\":%zu}]}",
             model_id, strlen(manifest_text));
    must(registry_open(host, &options, &r, &testing_err));
    must(registry_put_manifest(r, "demo/x", "index", OCI_TYPE_INDEX, text, strlen(text), &testing_err));
    registry_close(&r);
    snprintf(name, sizeof name, "localhost:%d/demo/x:index", p->proxy->port);
    assert_success(pull(p, name, NULL), "Model pulled successfully");
    assert_stored(p, name);
    assert_success(pull(p, name, NULL), "Using cached model: 6.00MiB");
}

/* ---- that which breaks on the way --------------------------------------------------------------- */

static void a_cut_connection_goes_on_at_the_exact_byte(void **state)
{
    static const enum fault_action actions[] = {FAULT_RESET, FAULT_END};
    struct pulling *p = begin(state);
    for (size_t i = 0; i < 2; i++) {
        char warnings[4096];
        proxy_fault(p->proxy, (struct fault){.action = actions[i], .path = blob_path, .times = 2, .at = 2 * BIG});
        assert_success(pull(p, p->name, warnings), "Model pulled successfully");
        assert_stored(p, p->name);
        assert_non_null(strstr(warnings, "trying again"));
        assert_int_equal(proxy_count(p->proxy, "GET", blob_path), 3);
        bool exact = actions[i] == FAULT_END; /* an RST swallows what the sender's socket still held */
        if (exact) {
            assert_int_equal(proxy_count(p->proxy, blob_path, "2097152-"), 1);
            assert_int_equal(proxy_count(p->proxy, blob_path, "4194304-"), 1);
        }
        assert_true(proxy_down(p->proxy) < LAYER_BYTES + (exact ? 4096 : 4 * BIG));
        must(store_purge(p->t.store, &testing_err));
    }
}

static void a_server_without_ranges_starts_over(void **state)
{
    struct pulling *p = begin(state);
    struct job *j = NULL;
    proxy_fault(p->proxy, (struct fault){.action = FAULT_STALL, .path = blob_path, .at = 2 * BIG});
    must(distribution_pull(p->d, p->name, NULL, &j, &testing_err));
    wait_down(p, 2 * BIG);
    job_leave(&j);
    proxy_fault(p->proxy, (struct fault){.action = FAULT_NO_RANGE, .path = blob_path});
    assert_success(pull(p, p->name, NULL), "Model pulled successfully");
    assert_stored(p, p->name);
}

static void a_wrong_range_is_never_written(void **state)
{
    struct pulling *p = begin(state);
    proxy_fault(p->proxy, (struct fault){.action = FAULT_END, .path = blob_path, .times = 1, .at = 2 * BIG});
    struct job *j = NULL;
    struct job_event e;
    must(distribution_pull(p->d, p->name, NULL, &j, &testing_err));
    while (job_next(j, &e, -1) && e.kind != JOB_WARNING) /* it broke, and waits to try again */
        ;
    proxy_fault(p->proxy, (struct fault){.action = FAULT_WRONG_RANGE, .path = blob_path});
    assert_refused(p, finish(j, NULL), ERR_PROTOCOL, "localhost:", "another part");
    proxy_fault(p->proxy, (struct fault){.action = FAULT_NONE});
    assert_success(pull(p, p->name, NULL), "Model pulled successfully");
    assert_stored(p, p->name);
    assert_int_equal(proxy_count(p->proxy, blob_path, "2097152-"), 1); /* what was there before is still good */
}

static void a_busy_registry_is_asked_again(void **state)
{
    static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy";
    static const char *const paths[] = {"/blobs/", "/manifests/"};
    struct pulling *p = begin(state);
    for (size_t i = 0; i < 2; i++) {
        char warnings[4096];
        proxy_fault(p->proxy,
                    (struct fault){.action = FAULT_STATUS, .path = paths[i], .method = "*", .times = 2, .text = busy});
        assert_success(pull(p, p->name, warnings), "Model pulled successfully");
        assert_stored(p, p->name);
        assert_true(i == 1 || strstr(warnings, "trying again") != NULL);
        must(store_purge(p->t.store, &testing_err));
    }
}

static void wrong_bytes_once_are_fetched_again(void **state)
{
    struct pulling *p = begin(state);
    char warnings[4096];
    proxy_fault(p->proxy, (struct fault){.action = FAULT_FLIP, .path = blob_path, .times = 1, .at = BIG});
    assert_success(pull(p, p->name, warnings), "Model pulled successfully");
    assert_stored(p, p->name);
    assert_non_null(strstr(warnings, "wrong bytes"));
    assert_int_equal(proxy_count(p->proxy, "GET", blob_path), 2);
}

static void wrong_bytes_twice_are_an_error(void **state)
{
    struct pulling *p = begin(state);
    proxy_fault(p->proxy, (struct fault){.action = FAULT_FLIP, .path = blob_path, .at = BIG});
    assert_refused(p, pull(p, p->name, NULL), ERR_PROTOCOL, layer_digest, "localhost:");
    assert_int_equal(proxy_count(p->proxy, "GET", blob_path), 2);
    assert_int_equal(testing_files(&p->t, ".tug/partial"), 0);
    assert_false(store_blob_exists(p->t.store, layer_digest, NULL));
}

static void lies_about_sizes_are_named(void **state)
{
    struct pulling *p = begin(state);
    _cleanup_free_ char *lie = strdup(manifest_text);
    char *size = strstr(lie, "\"size\":6291777");
    for (int i = 0; i < 2; i++) {
        assert_non_null(size);
        memcpy(size, i == 0 ? "\"size\":6291778" : "\"size\":6291776", 14);
        proxy_fault(p->proxy,
                    (struct fault){.action = FAULT_REPLACE, .path = "/manifests/", .method = "*", .text = lie});
        assert_refused(p, pull(p, p->name, NULL), ERR_PROTOCOL, "size", "localhost:");
        assert_true(proxy_down(p->proxy) < LAYER_BYTES);
    }
}

static void answers_that_are_no_manifest(void **state)
{
    static const struct {
        const char *name, *answer;
        enum err_code code;
        const char *says;
    } rows[] = {
        {"html",
         "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\nConnection: close\r\n\r\n<html>hi</html>",
         ERR_PROTOCOL, "HTML"},
        {"not found",
         "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 54\r\nConnection: close\r\n\r\n"
         "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"x\"}]}",
         ERR_NOT_FOUND, "demo/x"},
        {"login",
         "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: "
         "close\r\n\r\n",
         ERR_UNAUTHORIZED, "docker login"},
        {"empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", ERR_PROTOCOL, ""},
    };
    struct pulling *p = begin(state);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        proxy_fault(p->proxy,
                    (struct fault){.action = FAULT_STATUS, .path = "/v2/", .method = "*", .text = rows[i].answer});
        struct job_event e = pull(p, p->name, NULL);
        if (e.code != rows[i].code)
            fail_msg("%s: %s: %s", rows[i].name, err_name(e.code), e.message);
        assert_refused(p, e, rows[i].code, rows[i].says, "localhost:");
    }
}

static void a_page_in_place_of_a_blob_costs_nothing(void **state)
{
    struct pulling *p = begin(state);
    struct job *j = NULL;
    struct job_event e;
    proxy_fault(p->proxy, (struct fault){.action = FAULT_END, .path = blob_path, .times = 1, .at = 2 * BIG});
    must(distribution_pull(p->d, p->name, NULL, &j, &testing_err));
    while (job_next(j, &e, -1) && e.kind != JOB_WARNING)
        ;
    proxy_fault(p->proxy, (struct fault){.action = FAULT_STATUS,
                                         .path = blob_path,
                                         .text = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n"
                                                 "Connection: close\r\n\r\n<html>hi</html>"});
    assert_refused(p, finish(j, NULL), ERR_PROTOCOL, "HTML", "localhost:");
    proxy_fault(p->proxy, (struct fault){.action = FAULT_NONE});
    assert_success(pull(p, p->name, NULL), "Model pulled successfully");
    assert_int_equal(proxy_count(p->proxy, blob_path, "2097152-"), 1);
}

static void offline_uses_what_is_here(void **state)
{
    struct pulling *p = begin(state);
    char warnings[4096], name[128];
    assert_success(pull(p, p->name, NULL), "Model pulled successfully");
    snprintf(name, sizeof name, "localhost:%d/demo/x:v1", free_port());
    struct job_event e = pull(p, name, NULL);
    assert_int_equal(e.kind, JOB_ERROR);
    assert_int_equal(e.code, ERR_UNREACHABLE);
    assert_non_null(strstr(e.message, "localhost:"));
    struct reference ref = testing_ref(name);
    must(store_tag(p->t.store, p->name, &ref, &testing_err));
    assert_success(pull(p, name, warnings), "Using cached model: 6.00MiB");
    assert_non_null(strstr(warnings, "may not be the newest"));
}

/* ---- leaving, dying, sharing -------------------------------------------------------------------- */

static void leaving_a_stalled_pull_takes_less_than_a_second(void **state)
{
    struct pulling *p = begin(state);
    struct job *j = NULL;
    proxy_fault(p->proxy, (struct fault){.action = FAULT_STALL, .path = blob_path, .at = 3 * BIG});
    must(distribution_pull(p->d, p->name, NULL, &j, &testing_err));
    wait_down(p, 3 * BIG);
    usleep(100000); /* the last bytes are on their way */
    int64_t left = clock_now_ns();
    job_leave(&j);
    distribution_stop(&p->d); /* waits for the worker */
    assert_true(clock_now_ns() - left < CLOCK_SECOND);
    proxy_fault(p->proxy, (struct fault){.action = FAULT_NONE});
    p->d = distribution_for(p->t.store);
    assert_success(pull(p, p->name, NULL), "Model pulled successfully");
    assert_stored(p, p->name);
    assert_int_equal(proxy_count(p->proxy, blob_path, "3145728-"), 1);
    assert_int_equal(proxy_count(p->proxy, "GET", "/manifests/"), 0); /* kept from the first time */
}

static pid_t other_process(struct pulling *p)
{
    pid_t child = fork();
    if (child == 0) {
        execl(program, program, p->t.root, p->name, (char *)NULL);
        _exit(127);
    }
    return child;
}

static void kill_9_in_mid_pull_fetches_only_the_rest(void **state)
{
    struct pulling *p = begin(state);
    size_t fetched = 0;
    for (int round = 0; round < 4; round++) {
        /* Seconds for the layer, so that a busy machine does not finish it before the kill. */
        proxy_fault(p->proxy, (struct fault){.action = FAULT_SLOW, .path = blob_path, .at = 2 * BIG});
        pid_t child = other_process(p);
        wait_down(p, BIG + 300000 * (size_t)round);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        usleep(50000);
        fetched += proxy_down(p->proxy);
        struct arena a = ARENA_INIT;
        struct model m;
        must_fail(store_find(p->t.store, p->name, &a, &m, &testing_err), ERR_NOT_FOUND);
        arena_done(&a);
    }
    proxy_fault(p->proxy, (struct fault){.action = FAULT_NONE});
    assert_success(pull(p, p->name, NULL), "Model pulled successfully");
    struct store *again = NULL; /* sweeps what the dead left */
    must(store_open(p->t.root, &again, &testing_err));
    store_close(&again);
    assert_stored(p, p->name);
    /* Lost with each kill: what the sockets held. */
    assert_true(fetched + proxy_down(p->proxy) < LAYER_BYTES + 4 * 1500000);
}

static void two_processes_one_transfer(void **state)
{
    struct pulling *p = begin(state);
    int status = -1;
    proxy_fault(p->proxy, (struct fault){.action = FAULT_SLOW, .path = blob_path, .at = 6 * BIG});
    pid_t child = other_process(p);
    wait_down(p, BIG);
    struct job *j = NULL;
    struct job_event e;
    int between = 0;
    must(distribution_pull(p->d, p->name, NULL, &j, &testing_err));
    while (job_next(j, &e, -1))
        between += strcmp(e.layer_id, layer_digest) == 0 && e.layer_current > 0 && e.layer_current < LAYER_BYTES;
    job_leave(&j);
    assert_int_equal(e.kind, JOB_SUCCESS);
    assert_true(between > 0); /* it saw how far the other is */
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_stored(p, p->name);
    assert_int_equal(proxy_count(p->proxy, "GET", blob_path), 1);
}

static void a_full_disk_is_said_before_the_first_byte(void **state)
{
    struct pulling *p = begin(state);
    struct testing small = {.store = NULL};
    testing_folder(small.root);
    if (mount("tmpfs", small.root, "tmpfs", 0, "size=5m") != 0) {
        rmdir(small.root);
        skip();
    }
    must(store_open(small.root, &small.store, &testing_err));
    struct distribution *d = distribution_for(small.store), *saved = p->d;
    p->d = d;
    struct job_event e = pull(p, p->name, NULL);
    p->d = saved;
    assert_int_equal(e.code, ERR_NO_SPACE);
    assert_non_null(strstr(e.message, "free"));
    assert_int_equal(proxy_count(p->proxy, "GET", blob_path), 0);
    distribution_stop(&d);
    store_close(&small.store);
    umount(small.root);
    rmdir(small.root);
}

static void an_upload_that_breaks_is_sent_again(void **state)
{
    struct pulling *p = begin(state);
    char name[128];
    testing_model(p->t.store, 99, 2 * BIG, "ai/new", NULL);
    snprintf(name, sizeof name, "localhost:%d/demo/new:v1", p->proxy->port);
    struct reference ref = testing_ref(name);
    must(store_tag(p->t.store, "ai/new", &ref, &testing_err));
    proxy_fault(p->proxy,
                (struct fault){.action = FAULT_RESET, .path = "/uploads/", .method = "PUT", .times = 1, .at = BIG});
    assert_success(push(p->d, name), "Model pushed successfully");
    struct arena a = ARENA_INIT;
    struct model m;
    must(distribution_remote(p->d, name, &a, &m, &testing_err));
    arena_done(&a);
}

static int pull_main(const char *root, const char *name)
{
    struct store *s = NULL;
    struct job *j = NULL;
    struct err err;
    if (!store_open(root, &s, &err))
        return 1;
    struct distribution *d = distribution_for(s);
    if (!distribution_pull(d, name, NULL, &j, &err))
        return 2;
    struct job_event e = finish(j, NULL);
    distribution_stop(&d);
    store_close(&s);
    return e.kind == JOB_SUCCESS ? 0 : 3;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    if (argc == 3)
        return pull_main(argv[1], argv[2]);
    program = argv[0];
    setenv("DOCKER_CONFIG", "/nonexistent", 1);
    const struct CMUnitTest tests[] = {
        T(pull_then_cached_then_tagged),
        T(push_again_mounts_and_keeps_the_manifest),
        T(an_index_is_followed),
        T(a_cut_connection_goes_on_at_the_exact_byte),
        T(a_server_without_ranges_starts_over),
        T(a_wrong_range_is_never_written),
        T(a_busy_registry_is_asked_again),
        T(wrong_bytes_once_are_fetched_again),
        T(wrong_bytes_twice_are_an_error),
        T(lies_about_sizes_are_named),
        T(answers_that_are_no_manifest),
        T(a_page_in_place_of_a_blob_costs_nothing),
        T(offline_uses_what_is_here),
        T(leaving_a_stalled_pull_takes_less_than_a_second),
        T(kill_9_in_mid_pull_fetches_only_the_rest),
        T(two_processes_one_transfer),
        T(a_full_disk_is_said_before_the_first_byte),
        T(an_upload_that_breaks_is_sent_again),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
