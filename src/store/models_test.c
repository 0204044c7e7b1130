/* models_test: names, ids, removal by DMR's rules, pruning with leases and pins, bundles, usage, damage. */
#include "store/testing.h"

#include <sys/wait.h>

#define GGUF_BYTES 1000

static size_t names_of(struct testing *t, const char *text, char *dst, size_t size)
{
    struct arena a = ARENA_INIT;
    struct model m;
    dst[0] = '\0';
    must(store_find(t->store, text, &a, &m, &testing_err));
    for (size_t i = 0; i < m.n_names; i++)
        snprintf(dst + strlen(dst), size - strlen(dst), "%s%s", i > 0 ? " " : "", m.names[i]);
    size_t n = m.n_names;
    arena_done(&a);
    return n;
}

static size_t count_models(struct testing *t)
{
    struct arena a = ARENA_INIT;
    struct model *models = NULL;
    size_t n = 0;
    must(store_list(t->store, &a, &models, &n, &testing_err));
    arena_done(&a);
    return n;
}

/* What was done, as "Untagged x; Deleted y". */
static void removal(struct testing *t, const char *text, bool force, char dst[2048])
{
    struct arena a = ARENA_INIT;
    struct store_removal *list = NULL;
    size_t n = 0;
    dst[0] = '\0';
    must(store_remove(t->store, text, force, &a, &list, &n, &testing_err));
    for (size_t i = 0; i < n; i++)
        snprintf(dst + strlen(dst), 2048 - strlen(dst), "%s%s %s", i > 0 ? "; " : "", list[i].kind, list[i].what);
    arena_done(&a);
}

static void found_by_every_name(void **state)
{
    struct testing *t = *state;
    char id[DIGEST_TEXT], by_digest[160];
    testing_model(t->store, 1, GGUF_BYTES, "registry.example.com/org/smollm2:v1", id);
    snprintf(by_digest, sizeof by_digest, "registry.example.com/org/smollm2@%s", id);
    char short_id[13];
    snprintf(short_id, sizeof short_id, "%.12s", digest_hex(id));
    const char *const rows[] = {
        "registry.example.com/org/smollm2:v1", "smollm2:v1", id, digest_hex(id), short_id, by_digest, "SmolLM2:v1"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = ARENA_INIT;
        struct model m;
        if (!store_find(t->store, rows[i], &a, &m, &testing_err))
            fail_msg("%s: %s", rows[i], testing_err.text);
        assert_string_equal(m.id, id);
        assert_int_equal(m.n_names, 1);
        assert_string_equal(m.config.quantization, "Q8_0");
        assert_int_equal(m.manifest.n_layers, 1);
        arena_done(&a);
    }
}

/* index.json is remembered, and yet each change counts at once, another process's too. */
static void ids_follow_every_change(void **state)
{
    struct testing *t = *state;
    struct store *other = NULL;
    char first[DIGEST_TEXT], second[DIGEST_TEXT], got[DIGEST_TEXT];
    must(store_open(t->root, &other, &testing_err));
    testing_model(t->store, 1, GGUF_BYTES, "ai/a", first);
    testing_model(t->store, 2, GGUF_BYTES, "ai/b", second);
    assert_false(store_find_id(t->store, "ai/c", got, &testing_err));
    assert_int_equal(testing_err.code, ERR_NOT_FOUND);
    testing_err = ERR_INIT;
    for (int i = 0; i < 50; i++) {
        struct reference c;
        must(reference_parse("ai/c", &c, &testing_err));
        must(store_tag(other, i % 2 == 0 ? "ai/a" : "ai/b", &c, &testing_err));
        must(store_find_id(t->store, "ai/c", got, &testing_err));
        assert_string_equal(got, i % 2 == 0 ? first : second);
    }
    char name[64];
    removal(t, "ai/c", false, (char[2048]){0});
    snprintf(name, sizeof name, "%.12s", digest_hex(second));
    must(store_find_id(t->store, name, got, &testing_err));
    assert_false(store_find_id(t->store, "ai/c", got, NULL));
    store_close(&other);
}

static void not_found_says_how_to_get_it(void **state)
{
    static const struct {
        const char *text;
        enum err_code code;
        const char *says;
    } rows[] = {
        {"ai/none", ERR_NOT_FOUND, "tug pull ai/none"},
        {"none", ERR_NOT_FOUND, "tug pull none"},
        {"smollm2", ERR_CONFLICT, "say which"},
        {"0123456789ab", ERR_NOT_FOUND, "0123456789ab"},
        {"a//b", ERR_INVALID, ""},
        {"", ERR_INVALID, ""},
        {"../../etc/passwd", ERR_INVALID, ""},
        {"smollm2:none", ERR_NOT_FOUND, "tug pull"},
    };
    struct testing *t = *state;
    testing_model(t->store, 1, GGUF_BYTES, "one/smollm2", NULL);
    testing_model(t->store, 2, GGUF_BYTES, "two/smollm2", NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = ARENA_INIT;
        struct model m;
        testing_err = ERR_INIT;
        assert_false(store_find(t->store, rows[i].text, &a, &m, &testing_err));
        if (testing_err.code != rows[i].code || strstr(testing_err.text, rows[i].says) == NULL)
            fail_msg("%s: %s %s", rows[i].text, err_name(testing_err.code), testing_err.text);
        arena_done(&a);
    }
}

static void tags_move_and_leave_a_nameless_model(void **state)
{
    struct testing *t = *state;
    char one[DIGEST_TEXT], two[DIGEST_TEXT], names[1024];
    struct reference ref = testing_ref("ai/x:latest"), other = testing_ref("other:v2");
    testing_model(t->store, 1, GGUF_BYTES, "ai/x", one);
    testing_model(t->store, 2, GGUF_BYTES, "ai/y", two);
    must(store_tag(t->store, "x", &other, &testing_err));
    assert_int_equal(names_of(t, one, names, sizeof names), 2);
    assert_string_equal(names, "docker.io/ai/other:v2 docker.io/ai/x:latest");
    must(store_tag(t->store, two, &ref, &testing_err)); /* x moves to two */
    assert_int_equal(names_of(t, one, names, sizeof names), 1);
    assert_int_equal(names_of(t, two, names, sizeof names), 2);
    must(store_tag(t->store, "y", &other, &testing_err)); /* one has no name any more */
    assert_int_equal(names_of(t, one, names, sizeof names), 0);
    assert_int_equal(names_of(t, "other:v2", names, sizeof names), 3);
    assert_int_equal(count_models(t), 2);
    must(store_tag(t->store, one, &ref, &testing_err)); /* and has one again */
    assert_int_equal(names_of(t, one, names, sizeof names), 1);
    assert_int_equal(count_models(t), 2);
    must_fail(store_tag(t->store, "nothing/here", &ref, &testing_err), ERR_NOT_FOUND);
}

static void remove_by_the_rules(void **state)
{
    struct testing *t = *state;
    struct arena a = ARENA_INIT;
    struct store_removal *list = NULL;
    size_t n = 0;
    char id[DIGEST_TEXT], done[2048], expected[2048];
    struct reference other = testing_ref("ai/other");
    testing_model(t->store, 1, GGUF_BYTES, "ai/x", id);
    must(store_tag(t->store, "x", &other, &testing_err));
    must_fail(store_remove(t->store, id, false, &a, &list, &n, &testing_err), ERR_CONFLICT);
    removal(t, "other", true, done); /* by name, another remains: only the untag */
    assert_string_equal(done, "Untagged docker.io/ai/other:latest");
    removal(t, "x", false, done);
    snprintf(expected, sizeof expected, "Untagged docker.io/ai/x:latest; Deleted %s", id);
    assert_string_equal(done, expected);
    assert_int_equal(testing_files(t, "blobs"), 0);
    testing_model(t->store, 1, GGUF_BYTES, "ai/x", id);
    must(store_tag(t->store, "x", &other, &testing_err));
    removal(t, id, true, done);
    assert_int_equal(testing_files(t, "blobs"), 0);
    testing_model(t->store, 1, GGUF_BYTES, NULL, id); /* nameless */
    removal(t, id, false, done);
    snprintf(expected, sizeof expected, "Deleted %s", id);
    assert_string_equal(done, expected);
    assert_int_equal(testing_files(t, "blobs"), 0);
    must_fail(store_remove(t->store, "x", false, &a, &list, &n, &testing_err), ERR_NOT_FOUND);
    arena_done(&a);
}

static void shared_blobs_stay_until_the_last_user(void **state)
{
    struct testing *t = *state;
    char done[2048];
    unsigned char weights[GGUF_BYTES];
    testing_fill(weights, sizeof weights, 1);
    struct reference one = testing_ref("one"), two = testing_ref("two");
    _cleanup_free_ char *first = testing_manifest(t->store, weights, sizeof weights, "1KiB");
    _cleanup_free_ char *second = testing_manifest(t->store, weights, sizeof weights, "another");
    must(store_put_manifest(t->store, first, strlen(first), &one, NULL, &testing_err));
    must(store_put_manifest(t->store, second, strlen(second), &two, NULL, &testing_err));
    assert_int_equal(testing_files(t, "blobs"), 5); /* one layer, two configs, two manifests */
    removal(t, "one", false, done);
    assert_int_equal(testing_files(t, "blobs"), 3);
    removal(t, "two", false, done);
    assert_int_equal(testing_files(t, "blobs"), 0);
}

static uint64_t prune(struct testing *t, bool all, size_t *ret_n)
{
    struct arena a = ARENA_INIT;
    struct store_removal *list = NULL;
    uint64_t freed = 0;
    must(store_prune(t->store, all, &a, &list, ret_n, &freed, &testing_err));
    arena_done(&a);
    return freed;
}

static void prune_frees_exactly_what_nothing_refers_to(void **state)
{
    struct testing *t = *state;
    size_t n = 0;
    char digest[DIGEST_TEXT];
    struct store_usage usage;
    testing_model(t->store, 1, GGUF_BYTES, "ai/kept", NULL);
    testing_model(t->store, 2, GGUF_BYTES, NULL, NULL);
    must(store_put_blob(t->store, "garbage", 7, digest, &testing_err));
    must(store_usage(t->store, &usage, &testing_err));
    assert_int_equal(usage.models, 2);
    assert_int_equal(usage.blobs, 7);
    uint64_t freed = prune(t, false, &n);
    assert_int_equal(n, 1);
    assert_int_equal(freed, usage.reclaimable_bytes);
    assert_int_equal(testing_files(t, "blobs"), 3);
    must(store_usage(t->store, &usage, &testing_err));
    assert_int_equal(usage.reclaimable_bytes, 0);
    assert_int_equal(prune(t, false, &n), 0);
    prune(t, true, &n);
    assert_int_equal(n, 2);
    assert_int_equal(testing_files(t, "blobs"), 0);
}

static void leases_and_pins_are_respected(void **state)
{
    struct testing *t = *state;
    struct arena a = ARENA_INIT;
    struct store_removal *list = NULL;
    struct store_lease *lease = NULL;
    size_t n = 0;
    char id[DIGEST_TEXT], leased[DIGEST_TEXT];
    testing_model(t->store, 1, GGUF_BYTES, "ai/x", id);
    must(store_lease_begin(t->store, &lease, &testing_err));
    digest_of("leased", 6, leased);
    must(store_lease_add(lease, leased, &testing_err)); /* before it is there */
    must(store_put_blob(t->store, "leased", 6, leased, &testing_err));
    store_pin(t->store, id);
    store_pin(t->store, id);
    must_fail(store_remove(t->store, "x", true, &a, &list, &n, &testing_err), ERR_CONFLICT);
    must_fail(store_purge(t->store, &testing_err), ERR_CONFLICT);
    prune(t, true, &n);
    assert_int_equal(n, 0);
    assert_int_equal(testing_files(t, "blobs"), 4);
    store_unpin(t->store, id);
    must_fail(store_remove(t->store, "x", true, &a, &list, &n, &testing_err), ERR_CONFLICT);
    store_unpin(t->store, id);
    must(store_remove(t->store, "x", true, &a, &list, &n, &testing_err));
    assert_int_equal(testing_files(t, "blobs"), 1);
    store_lease_end(&lease);
    assert_int_equal(prune(t, false, &n), 6);
    /* A lease of a dead process keeps nothing. */
    pid_t child = fork();
    if (child == 0) {
        must(store_lease_begin(t->store, &lease, &testing_err));
        must(store_lease_add(lease, leased, &testing_err));
        must(store_put_blob(t->store, "leased", 6, leased, &testing_err));
        _exit(0);
    }
    waitpid(child, NULL, 0);
    assert_int_equal(testing_files(t, ".tug/leases"), 1);
    assert_int_equal(prune(t, false, &n), 6);
    assert_int_equal(testing_files(t, ".tug/leases"), 0);
    must(store_purge(t->store, &testing_err));
    arena_done(&a);
}

static void a_manifest_needs_its_blobs(void **state)
{
    struct testing *t = *state;
    struct reference ref = testing_ref("x");
    unsigned char weights[GGUF_BYTES];
    char digest[DIGEST_TEXT], *path = NULL;
    testing_fill(weights, sizeof weights, 1);
    _cleanup_free_ char *manifest = testing_manifest(t->store, weights, sizeof weights, "1KiB");
    _cleanup_free_ char *lie = strdup(manifest);
    memcpy(strstr(lie, "\"size\":1000"), "\"size\":1001", 11);
    must_fail(store_put_manifest(t->store, lie, strlen(lie), &ref, NULL, &testing_err), ERR_PROTOCOL);
    digest_of(weights, sizeof weights, digest);
    must(store_blob_path(t->store, digest, &path, &testing_err));
    unlink(path);
    free(path);
    must_fail(store_put_manifest(t->store, manifest, strlen(manifest), &ref, NULL, &testing_err), ERR_CONFLICT);
    assert_non_null(strstr(testing_err.text, digest));
    must_fail(store_put_manifest(t->store, "{}", 2, &ref, NULL, &testing_err), ERR_UNSUPPORTED);
    assert_int_equal(count_models(t), 0);
}

static void bundles_have_the_engines_names(void **state)
{
    struct testing *t = *state;
    struct arena a = ARENA_INIT;
    struct model m;
    struct store_bundle b;
    struct stat st;
    char done[2048], layer[DIGEST_TEXT], *path = NULL;
    testing_model(t->store, 1, GGUF_BYTES, "ai/x", NULL);
    must(store_find(t->store, "x", &a, &m, &testing_err));
    for (int i = 0; i < 2; i++) { /* made anew each time */
        must(store_bundle(t->store, &m, &b, &testing_err));
        assert_string_equal(strrchr(b.model, '/'), "/model.gguf");
        assert_null(b.mmproj);
        assert_int_equal(stat(b.model, &st), 0);
        assert_int_equal(st.st_size, GGUF_BYTES);
        store_bundle_done(&b);
    }
    memcpy(layer, m.manifest.layers[0].digest, sizeof layer);
    must(store_blob_path(t->store, layer, &path, &testing_err));
    assert_int_equal(truncate(path, 10), 0);
    must_fail(store_bundle(t->store, &m, &b, &testing_err), ERR_NOT_FOUND);
    unlink(path);
    must_fail(store_bundle(t->store, &m, &b, &testing_err), ERR_NOT_FOUND);
    free(path);
    m.config.format = "safetensors";
    must_fail(store_bundle(t->store, &m, &b, &testing_err), ERR_UNSUPPORTED);
    removal(t, "x", false, done);
    assert_int_equal(testing_files(t, ".tug/bundles"), 0);
    arena_done(&a);
}

static void damage_hides_one_model_and_stops_the_sweep(void **state)
{
    struct testing *t = *state;
    struct arena a = ARENA_INIT;
    struct store_removal *list = NULL;
    size_t n = 0;
    uint64_t freed = 0;
    char id[DIGEST_TEXT], done[2048], *path = NULL;
    testing_model(t->store, 1, GGUF_BYTES, "ai/good", NULL);
    testing_model(t->store, 2, GGUF_BYTES, "ai/bad", id);
    must(store_blob_path(t->store, id, &path, &testing_err));
    unlink(path);
    testing_write(path, "{\"layers\":", 10);
    free(path);
    assert_int_equal(count_models(t), 1);
    /* What the damaged one refers to is not known: nothing is freed on a guess. */
    must_fail(store_prune(t->store, false, &a, &list, &n, &freed, &testing_err), ERR_INTERNAL);
    assert_int_equal(testing_files(t, "blobs"), 6);
    removal(t, "bad", false, done);
    prune(t, false, &n);
    assert_int_equal(testing_files(t, "blobs"), 3);
    arena_done(&a);
}

static void foreign_index_json(void **state)
{
    static const struct {
        const char *name, *text;
        bool opens;
    } rows[] = {
        {"no manifests", "{\"schemaVersion\":2}", true},
        {"no mediaType", "{\"schemaVersion\":2,\"manifests\":[]}", true},
        {"odd entries",
         "{\"schemaVersion\":2,\"manifests\":[1,null,{},{\"digest\":\"sha256:../../x\"},{\"digest\":5,\"size\":-1},"
         "{\"mediaType\":\"x\",\"digest\":\"sha512:00\",\"size\":3}]}",
         true},
        {"empty file", "", false},
        {"an array", "[]", false},
        {"manifests no array", "{\"manifests\":{}}", false},
        {"cut", "{\"schemaVersion\":2,\"manifests\":[", false},
    };
    struct testing *t = *state;
    _cleanup_free_ char *index = testing_path(t, "index.json", "");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = ARENA_INIT;
        struct model *models = NULL;
        size_t n = 0;
        testing_write(index, rows[i].text, strlen(rows[i].text));
        testing_err = ERR_INIT;
        bool ok = store_list(t->store, &a, &models, &n, &testing_err);
        if (ok != rows[i].opens || (!ok && strstr(testing_err.text, "index.json") == NULL))
            fail_msg("%s: %s", rows[i].name, testing_err.text);
        arena_done(&a);
        if (!rows[i].opens)
            continue;
        char id[DIGEST_TEXT];
        testing_model(t->store, 3, GGUF_BYTES, "ai/added", id);
        assert_int_equal(count_models(t), 1);
        struct buf text = BUF_INIT(1 << 20);
        FILE *f = fopen(index, "r");
        char line[4096];
        size_t got = fread(line, 1, sizeof line - 1, f);
        line[got] = '\0';
        fclose(f);
        assert_non_null(strstr(line, "\"mediaType\": \"" OCI_TYPE_INDEX "\""));
        if (strcmp(rows[i].name, "odd entries") == 0)
            assert_non_null(strstr(line, "sha512:00")); /* not ours, not lost */
        buf_done(&text);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, testing_setup, testing_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(found_by_every_name),
        T(ids_follow_every_change),
        T(not_found_says_how_to_get_it),
        T(tags_move_and_leave_a_nameless_model),
        T(remove_by_the_rules),
        T(shared_blobs_stay_until_the_last_user),
        T(prune_frees_exactly_what_nothing_refers_to),
        T(leases_and_pins_are_respected),
        T(a_manifest_needs_its_blobs),
        T(bundles_have_the_engines_names),
        T(damage_hides_one_model_and_stops_the_sweep),
        T(foreign_index_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
