/* sharing_test: one root used by several processes and threads at once, and by skopeo. */
#include "store/index.h"
#include "store/testing.h"

#include <pthread.h>
#include <sys/wait.h>

enum { PROCESSES = 4, TAGS = 15 };

static void wait_all(const pid_t *children, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int status = -1;
        waitpid(children[i], &status, 0);
        assert_int_equal(status, 0);
    }
}

static size_t names_of(struct store *s, const char *text)
{
    struct arena a = ARENA_INIT;
    struct model m;
    must(store_find(s, text, &a, &m, &testing_err));
    size_t n = m.n_names;
    arena_done(&a);
    return n;
}

/* Every process opens the root itself and adds its tags; nothing may be lost. */
static void processes_tag_at_once(void **state)
{
    struct testing *t = *state;
    char id[DIGEST_TEXT];
    pid_t children[PROCESSES];
    testing_model(t->store, 1, 1000, NULL, id);
    for (int p = 0; p < PROCESSES; p++) {
        children[p] = fork();
        if (children[p] != 0)
            continue;
        struct store *s = NULL;
        must(store_open(t->root, &s, &testing_err));
        for (int i = 0; i < TAGS; i++) {
            char name[64];
            snprintf(name, sizeof name, "ai/p%d:t%d", p, i);
            struct reference ref = testing_ref(name);
            must(store_tag(s, id, &ref, &testing_err));
        }
        store_close(&s);
        _exit(0);
    }
    wait_all(children, PROCESSES);
    assert_int_equal(names_of(t->store, id), PROCESSES * TAGS);
}

/* Models come and go while another process prunes all the time: what has a name is never touched. */
static void prune_never_takes_a_model_that_is_arriving(void **state)
{
    struct testing *t = *state;
    pid_t children[2];
    int stop[2];
    assert_int_equal(pipe(stop), 0);
    fcntl(stop[0], F_SETFL, O_NONBLOCK);
    children[0] = fork();
    if (children[0] == 0) {
        struct store *s = NULL;
        char byte;
        must(store_open(t->root, &s, &testing_err));
        while (read(stop[0], &byte, 1) != 1) {
            struct arena a = ARENA_INIT;
            struct store_removal *list;
            size_t n;
            uint64_t freed;
            must(store_prune(s, false, &a, &list, &n, &freed, &testing_err));
            arena_done(&a);
        }
        store_close(&s);
        _exit(0);
    }
    for (uint64_t i = 0; i < 12; i++) {
        unsigned char weights[100];
        char name[32], digest[DIGEST_TEXT];
        struct store_lease *lease = NULL;
        struct blob_writer *w = NULL;
        testing_fill(weights, sizeof weights, 100 + i);
        snprintf(name, sizeof name, "ai/m%d", (int)i);
        struct reference ref = testing_ref(name);
        must(store_lease_begin(t->store, &lease, &testing_err));
        /* An upload, whose digest nobody knows before: the lease takes it as it becomes visible. */
        must(store_blob_begin(t->store, NULL, UINT64_MAX, &w, &testing_err));
        blob_use_lease(w, lease);
        must(blob_write(w, weights, sizeof weights, &testing_err));
        must(blob_commit(&w, digest, &testing_err));
        usleep(5000);
        assert_true(store_blob_exists(t->store, digest, NULL));
        char config[DIGEST_TEXT];
        const char *text = "{\"config\":{\"format\":\"gguf\"},\"descriptor\":{},\"rootfs\":{\"type\":\"rootfs\","
                           "\"diff_ids\":[]}}";
        digest_of(text, strlen(text), config);
        must(store_lease_add(lease, config, &testing_err));
        must(store_put_blob(t->store, text, strlen(text), config, &testing_err));
        char manifest[1024];
        snprintf(manifest, sizeof manifest,
                 "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_MANIFEST "\",\"config\":{\"mediaType\":\"%s\","
                 "\"size\":%zu,\"digest\":\"%s\"},\"layers\":[{\"mediaType\":\"%s\",\"size\":100,\"digest\":\"%s\"}]}",
                 OCI_TYPE_CONFIG_V01, strlen(text), config, OCI_TYPE_GGUF, digest);
        must(store_put_manifest(t->store, manifest, strlen(manifest), &ref, NULL, &testing_err));
        store_lease_end(&lease);
    }
    assert_int_equal(write(stop[1], "x", 1), 1);
    wait_all(children, 1);
    for (int i = 0; i < 12; i++) {
        char name[32];
        struct arena a = ARENA_INIT;
        struct model m;
        snprintf(name, sizeof name, "ai/m%d", i);
        must(store_find(t->store, name, &a, &m, &testing_err));
        assert_true(store_blob_exists(t->store, m.manifest.layers[0].digest, NULL));
        arena_done(&a);
    }
    close(stop[0]);
    close(stop[1]);
}

static void *tag_thread(void *arg)
{
    struct testing *t = arg;
    for (int i = 0; i < TAGS; i++) {
        struct err err = ERR_INIT;
        struct reference ref;
        struct arena a = ARENA_INIT;
        struct model *models;
        struct store_usage usage;
        size_t n;
        char name[64];
        snprintf(name, sizeof name, "ai/t%lx:t%d", (unsigned long)pthread_self(), i);
        if (!reference_parse(name, &ref, &err) || !store_tag(t->store, "base", &ref, &err) ||
            !store_list(t->store, &a, &models, &n, &err) || !store_usage(t->store, &usage, &err))
            fail_msg("%s", err.text);
        store_pin(t->store, models[0].id);
        store_unpin(t->store, models[0].id);
        arena_done(&a);
    }
    return NULL;
}

static void threads_share_one_store(void **state)
{
    struct testing *t = *state;
    pthread_t threads[PROCESSES];
    testing_model(t->store, 1, 1000, "base", NULL);
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, tag_thread, t), 0);
    for (int i = 0; i < PROCESSES; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(names_of(t->store, "base"), PROCESSES * TAGS + 1);
}

/* Two processes bring the same blob: one writes, the other waits and finds it there. */
static void processes_bring_one_blob(void **state)
{
    struct testing *t = *state;
    pid_t children[PROCESSES];
    enum { BYTES = 3 * 1024 * 1024 };
    unsigned char *blob = malloc(BYTES);
    char digest[DIGEST_TEXT];
    testing_fill(blob, BYTES, 9);
    digest_of(blob, BYTES, digest);
    for (int p = 0; p < PROCESSES; p++) {
        children[p] = fork();
        if (children[p] != 0)
            continue;
        while (!store_blob_exists(t->store, digest, NULL)) {
            struct blob_writer *w = NULL;
            if (!store_blob_begin(t->store, digest, BYTES, &w, &testing_err)) {
                assert_int_equal(testing_err.code, ERR_BUSY);
                must(store_blob_wait(t->store, digest, INT64_MAX, -1, &testing_err));
                continue;
            }
            while (w->have < BYTES)
                must(blob_write(w, blob + w->have, 65536, &testing_err));
            must(blob_commit(&w, NULL, &testing_err));
        }
        _exit(0);
    }
    wait_all(children, PROCESSES);
    assert_int_equal(testing_files(t, "blobs"), 1);
    assert_int_equal(testing_files(t, ".tug/partial"), 0);
    free(blob);
}

static int skopeo_copy(const char *from, const char *to)
{
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        execlp("skopeo", "skopeo", "--insecure-policy", "copy", "-q", from, to, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void skopeo_reads_and_writes_the_layout(void **state)
{
    struct testing *t = *state;
    char id[DIGEST_TEXT], other_root[512], from[1024], to[1024], back[1024];
    struct store *other = NULL;
    struct arena a = ARENA_INIT;
    struct model m;
    testing_folder(other_root);
    testing_model(t->store, 1, 100000, "ai/x", id);
    testing_model(t->store, 2, 1000, "ai/y", NULL);
    snprintf(from, sizeof from, "oci:%s:docker.io/ai/x:latest", t->root);
    snprintf(to, sizeof to, "oci:%s:x", other_root);
    int status = skopeo_copy(from, to);
    if (status == 127) {
        testing_remove(other_root);
        skip();
    }
    assert_int_equal(status, 0);
    must(store_open(other_root, &other, &testing_err));
    must(store_find(other, "x", &a, &m, &testing_err)); /* a plain tag is a name too */
    assert_string_equal(m.id, id);
    assert_string_equal(m.config.architecture, "llama");
    store_close(&other);
    /* And back, under another name: our entries, annotations and files stay. */
    snprintf(back, sizeof back, "oci:%s:docker.io/ai/back:v1", t->root);
    assert_int_equal(skopeo_copy(to, back), 0);
    must(store_find(t->store, "back:v1", &a, &m, &testing_err));
    assert_string_equal(m.id, id);
    assert_int_equal(m.n_names, 2);
    must(store_find(t->store, "ai/y", &a, &m, &testing_err));
    struct reference tag = testing_ref("ai/z");
    must(store_tag(t->store, "back:v1", &tag, &testing_err)); /* writes the index that skopeo wrote */
    assert_int_equal(names_of(t->store, id), 3);
    snprintf(from, sizeof from, "oci:%s:docker.io/ai/z:latest", t->root);
    snprintf(to, sizeof to, "oci:%s:again", other_root);
    assert_int_equal(skopeo_copy(from, to), 0);
    arena_done(&a);
    testing_remove(other_root);
}

struct foreign {
    char *index, *beside;
    char id[DIGEST_TEXT];
    int calls;
};

/* Between our read and our write somebody without our lock replaces index.json, the first time. */
static bool change_while_others_write(void *ctx, struct index *x, struct err *err)
{
    struct foreign *f = ctx;
    char text[2048];
    (void)err;
    index_add(x, f->id, OCI_TYPE_MANIFEST, 5, "docker.io/ai/ours:latest");
    if (f->calls++ > 0)
        return true;
    snprintf(text, sizeof text,
             "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":5,\"annotations\":{"
             "\"org.opencontainers.image.ref.name\":\"foreign\",\"x\":\"y\"}}]}",
             OCI_TYPE_MANIFEST, f->id);
    testing_write(f->beside, text, strlen(text));
    assert_int_equal(rename(f->beside, f->index), 0);
    return true;
}

static void a_foreign_writer_is_noticed(void **state)
{
    struct testing *t = *state;
    struct foreign f = {.index = testing_path(t, "index.json", ""), .beside = testing_path(t, "foreign", "")};
    int lock = -1;
    testing_model(t->store, 1, 1000, "ai/x", f.id);
    must(store_lock(t->store, &lock, &testing_err));
    must(index_update(t->store, change_while_others_write, &f, &testing_err));
    close(lock);
    assert_int_equal(f.calls, 2);
    assert_int_equal(names_of(t->store, "ours"), 2); /* the foreign entry and ours */
    assert_int_equal(names_of(t->store, "foreign"), 2);
    free(f.index);
    free(f.beside);
}

#define T(name) cmocka_unit_test_setup_teardown(name, testing_setup, testing_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(processes_tag_at_once),    T(prune_never_takes_a_model_that_is_arriving), T(threads_share_one_store),
        T(processes_bring_one_blob), T(skopeo_reads_and_writes_the_layout),         T(a_foreign_writer_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
