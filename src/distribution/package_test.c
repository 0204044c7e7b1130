/* distribution/package_test: files → package → load → export → load: one id all the way; and loads that must leave
 * nothing to be seen. */
#include "distribution/distribution.h"

#include "distribution/tar_out.h"
#include "gguf/gguf_sample.h"
#include "platform/file.h"
#include "json/json_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64]; /* of each test */

static char *at(struct arena *a, const char *name) { return arena_printf(a, "%s/%s", root, name); }

static const char *put(struct arena *a, const char *name, const void *bytes, size_t n)
{
    char *path = at(a, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
    return path;
}

static const char *put_model(struct arena *a, const char *name, char fill)
{
    struct buf b = BUF_INIT(SAMPLE_MAX);
    sample_model(&b, "tiny", fill);
    const char *path = put(a, name, b.data, b.len);
    buf_done(&b);
    return path;
}

static int set_up(void **state)
{
    (void)state;
    unsetenv("SOURCE_DATE_EPOCH");
    snprintf(root, sizeof root, "/tmp/package_test.XXXXXX");
    return mkdtemp(root) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    return !file_remove_tree(root, NULL);
}

static struct store *open_store(struct arena *a, const char *name)
{
    struct store *s = NULL;
    struct err err = {0};
    if (!store_open(at(a, name), &s, &err))
        fail_msg("%s", err.text);
    return s;
}

static void package_tar(const struct package_spec *spec, struct buf *out, char id[DIGEST_TEXT])
{
    struct package *p = NULL;
    struct err err = {0};
    char piece[1000];
    ssize_t n;
    if (!package_open(spec, &p, &err))
        fail_msg("%s", err.text);
    *out = BUF_INIT(SAMPLE_MAX);
    while ((n = package_read(p, piece, sizeof piece, &err)) > 0)
        assert_true(buf_add(out, piece, (size_t)n));
    assert_int_equal(n, 0);
    assert_int_equal(out->len, package_tar_bytes(p));
    snprintf(id, DIGEST_TEXT, "%s", package_id(p));
    package_close(&p);
    package_close(&p);
}

static bool load_tar(struct store *s, const struct buf *tar, size_t step, char id[DIGEST_TEXT], struct err *err)
{
    struct load *l = NULL;
    bool ok = load_begin(s, &l, err);
    for (size_t i = 0; ok && i < tar->len; i += step)
        ok = load_push(l, tar->data + i, tar->len - i < step ? tar->len - i : step, err);
    ok = ok && load_finish(l, id, err);
    load_end(&l);
    load_end(&l);
    return ok;
}

static size_t count_models(struct store *s)
{
    struct arena a = ARENA_INIT;
    struct model *models;
    size_t n = 0;
    assert_true(store_list(s, &a, &models, &n, NULL));
    arena_done(&a);
    return n;
}

static void export_tar(struct store *s, const char *id, struct buf *out)
{
    struct arena a = ARENA_INIT;
    struct model m;
    struct export_tar *x = NULL;
    struct err err = {0};
    char piece[777];
    ssize_t n;
    if (!store_find(s, id, &a, &m, &err) || !export_begin(s, &m, &x, &err))
        fail_msg("%s", err.text);
    arena_done(&a); /* the export keeps nothing of the caller's */
    *out = BUF_INIT(SAMPLE_MAX);
    while ((n = export_read(x, piece, sizeof piece, &err)) > 0)
        assert_true(buf_add(out, piece, (size_t)n));
    assert_int_equal(n, 0);
    assert_int_equal(out->len, export_bytes(x));
    export_end(&x);
    export_end(&x);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int cncf = 0; cncf < 2; cncf++) {
        struct arena a = ARENA_INIT;
        const char *licenses[] = {put(&a, "LICENSE", "Apache", 6), put(&a, "other", "MIT", 3), NULL};
        struct package_spec spec = {.gguf = put_model(&a, "model.gguf", 1),
                                    .mmproj = put_model(&a, "projector.gguf", 2),
                                    .chat_template = put(&a, "chat", "{{ messages }}", 14),
                                    .licenses = licenses,
                                    .context_size = cncf ? 0 : 512,
                                    .cncf = cncf};
        struct buf tar;
        struct buf out;
        char id[DIGEST_TEXT];
        char got[DIGEST_TEXT] = "";
        struct err err = {0};
        package_tar(&spec, &tar, id);
        struct store *first = open_store(&a, cncf ? "first-cncf" : "first");
        if (!load_tar(first, &tar, 4096, got, &err))
            fail_msg("%s", err.text);
        assert_string_equal(got, id);
        export_tar(first, id, &out);
        assert_int_equal(out.len, tar.len);
        assert_memory_equal(out.data, tar.data, tar.len);
        struct store *second = open_store(&a, cncf ? "second-cncf" : "second");
        assert_true(load_tar(second, &out, 1, got, &err));
        assert_string_equal(got, id);

        struct model m;
        assert_true(store_find(second, id, &a, &m, &err));
        static const enum layer_role roles[] = {LAYER_WEIGHTS, LAYER_LICENSE, LAYER_LICENSE, LAYER_TEMPLATE,
                                                LAYER_MMPROJ};
        assert_int_equal(m.manifest.n_layers, 5);
        for (size_t i = 0; i < 5; i++)
            assert_int_equal(m.manifest.layers[i].role, roles[i]);
        assert_int_equal(m.n_names, 0);
        assert_string_equal(m.config.format, "gguf");
        assert_string_equal(m.config.parameters, "512");
        assert_string_equal(m.config.quantization, "MOSTLY_Q4_K_M");
        assert_string_equal(m.config.architecture, "llama");
        assert_int_equal(m.config.context_size, cncf ? 0 : 512);
        assert_int_equal(m.config.created_wall_ns, 0);
        assert_true(m.created_wall_ns > 0); /* when it came into the store */
        assert_string_equal(m.manifest.layers[0].filepath, "model.gguf");
        assert_string_equal(m.manifest.layers[2].filepath, cncf ? "LICENSE-other" : "other");
        assert_string_equal(m.manifest.layers[3].filepath, cncf ? "chat.jinja" : "chat");
        assert_string_equal(m.manifest.layers[4].filepath, cncf ? "mmproj-projector.gguf" : "projector.gguf");
        assert_string_equal(m.manifest.config.media_type, cncf ? OCI_TYPE_CONFIG_CNCF : OCI_TYPE_CONFIG_V01);
        assert_int_equal(m.manifest.artifact_type != NULL, cncf);
        /* A second load of the same changes nothing. */
        assert_true(load_tar(second, &out, 512, got, &err));
        assert_int_equal(count_models(second), 1);
        store_close(&first);
        store_close(&second);
        buf_done(&tar);
        buf_done(&out);
        arena_done(&a);
    }
}

static void test_determinism(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    char first[DIGEST_TEXT];
    char second[DIGEST_TEXT];
    struct buf x;
    struct buf y;
    struct package_spec spec = {.gguf = put_model(&a, "model.gguf", 1)};
    package_tar(&spec, &x, first);
    assert_int_equal(
        system(arena_printf(&a, "mkdir %s/d && cp %s %s/d/model.gguf && touch -d 2001-01-01 %s/d/model.gguf", root,
                            spec.gguf, root, root)),
        0);
    spec.gguf = at(&a, "d/model.gguf");
    package_tar(&spec, &y, second);
    assert_string_equal(first, second);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    buf_done(&y);
    spec.context_size = 100;
    package_tar(&spec, &y, second);
    assert_string_not_equal(first, second);
    buf_done(&y);
    spec.context_size = 0;
    setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
    package_tar(&spec, &y, second);
    assert_string_not_equal(first, second);
    assert_non_null(memmem(y.data, y.len, "\"created\":\"2023-11-14T22:13:20Z\"", 32));
    buf_done(&y);
    struct package *p = NULL;
    struct err err = {0};
    setenv("SOURCE_DATE_EPOCH", "tomorrow", 1);
    assert_false(package_open(&spec, &p, &err));
    assert_non_null(strstr(err.text, "SOURCE_DATE_EPOCH"));
    unsetenv("SOURCE_DATE_EPOCH");
    buf_done(&x);
    arena_done(&a);
}

static void test_shards(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct buf tar;
    char id[DIGEST_TEXT];
    struct err err = {0};
    struct model m;
    put_model(&a, "m-00001-of-00003.gguf", 1);
    put_model(&a, "m-00002-of-00003.gguf", 2);
    put_model(&a, "m-00003-of-00003.gguf", 1); /* the same bytes as the first */
    struct package_spec spec = {.gguf = at(&a, "m-00001-of-00003.gguf")};
    package_tar(&spec, &tar, id);
    struct store *s = open_store(&a, "store");
    if (!load_tar(s, &tar, 4096, id, &err))
        fail_msg("%s", err.text);
    assert_true(store_find(s, id, &a, &m, &err));
    assert_int_equal(m.manifest.n_layers, 3);
    assert_string_equal(m.manifest.layers[1].filepath, "m-00002-of-00003.gguf");
    assert_string_equal(m.manifest.layers[0].digest, m.manifest.layers[2].digest);
    assert_string_equal(m.config.parameters, "1.54K");
    struct buf out;
    export_tar(s, id, &out);
    assert_int_equal(out.len, tar.len);
    buf_done(&out);
    buf_done(&tar);
    struct package *p = NULL;
    unlink(at(&a, "m-00002-of-00003.gguf"));
    assert_false(package_open(&spec, &p, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "m-00002-of-00003.gguf"));
    store_close(&s);
    arena_done(&a);
}

static void test_refused_files(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct buf b = BUF_INIT(SAMPLE_MAX);
    const char *good = put_model(&a, "good.gguf", 1);
    const char *text = put(&a, "text.gguf", "not a model", 11);
    sample_model(&b, "tiny", 1);
    const char *cut = put(&a, "cut.gguf", b.data, b.len - 1);
    buf_clear(&b);
    sample_front(&b, 3, 0, 1);
    sample_text(&b, "general.architecture", "clip");
    const char *clip = put(&a, "clip.gguf", b.data, b.len);
    buf_clear(&b);
    sample_front(&b, 3, 0, 1);
    sample_u32(&b, "x", 1);
    const char *vocabulary = put(&a, "vocabulary.gguf", b.data, b.len);
    buf_clear(&b);
    sample_front(&b, 3, 0, 1);
    sample_u32(&b, "split.count", 4);
    const char *shard = put(&a, "shard.gguf", b.data, b.len);
    buf_done(&b);
    const char *newline = put(&a, "a\nb.txt", "x", 1);
    const char *same = put(&a, "d-LICENSE", "x", 1);
    const char *license_twice[] = {same, same, NULL};
    const char *license_missing[] = {at(&a, "none.txt"), NULL};
    const char *license_folder[] = {root, NULL};
    const char *license_newline[] = {newline, NULL};
    const struct {
        const char *name;
        struct package_spec spec;
        const char *why, *file;
    } rows[] = {
        {"no GGUF", {.gguf = text}, "not a GGUF file", "text.gguf"},
        {"truncated", {.gguf = cut}, "is the file complete", "cut.gguf"},
        {"missing", {.gguf = at(&a, "none.gguf")}, "", "none.gguf"},
        {"a folder", {.gguf = root}, "not a plain file", root},
        {"a projector", {.gguf = clip}, "projector", "clip.gguf"},
        {"a vocabulary", {.gguf = vocabulary}, "no weights", "vocabulary.gguf"},
        {"a shard of another name", {.gguf = shard}, "-of-00004", "shard.gguf"},
        {"mmproj no GGUF", {.gguf = good, .mmproj = text}, "not a GGUF file", "text.gguf"},
        {"template missing", {.gguf = good, .chat_template = at(&a, "none.jinja")}, "", "none.jinja"},
        {"template empty", {.gguf = good, .chat_template = put(&a, "empty.jinja", "", 0)}, "empty", "empty.jinja"},
        {"licence missing", {.gguf = good, .licenses = license_missing}, "", "none.txt"},
        {"licence a folder", {.gguf = good, .licenses = license_folder}, "folder", root},
        {"licence with a newline", {.gguf = good, .licenses = license_newline}, "control", "rename"},
        {"one name twice", {.gguf = good, .licenses = license_twice, .cncf = true}, "rename", "d-LICENSE"},
        {"context with cncf", {.gguf = good, .cncf = true, .context_size = 5}, "ModelPack", ""},
        {"context negative", {.gguf = good, .context_size = -5}, "context size", ""},
        {"context too large", {.gguf = good, .context_size = INT64_C(1) << 31}, "context size", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct package *p = NULL;
        struct err err = {0};
        if (package_open(&rows[i].spec, &p, &err))
            fail_msg("%s: taken", rows[i].name);
        if (strstr(err.text, rows[i].why) == NULL || strstr(err.text, rows[i].file) == NULL)
            fail_msg("%s: %s", rows[i].name, err.text);
        assert_null(p);
    }
    arena_done(&a);
}

/* ---- archives that lie ------------------------------------------------------------------------ */

#define D0 "0000000000000000000000000000000000000000000000000000000000000000"

/* An archive of these parts. */
static void make(struct buf *out, const struct tar_part *parts, size_t n)
{
    struct tar_out t = {.parts = parts, .n = n, .fd = -1};
    char piece[4096];
    ssize_t got;
    *out = BUF_INIT(SAMPLE_MAX);
    while ((got = tar_out_read(&t, piece, sizeof piece, NULL)) > 0)
        assert_true(buf_add(out, piece, (size_t)got));
}

static struct tar_part part(const char *name, const char *bytes)
{
    struct tar_part p = {.bytes = bytes, .size = strlen(bytes)};
    snprintf(p.name, sizeof p.name, "%s", name);
    return p;
}

static struct tar_part blob(const char *bytes, char digest[DIGEST_TEXT])
{
    struct tar_part p = {.bytes = bytes, .size = strlen(bytes)};
    digest_of(bytes, strlen(bytes), digest);
    tar_part_blob(&p, digest);
    return p;
}

/* A sound model of one layer: "weights", and its config; `format` is a manifest with %s, %zu for both. */
struct small {
    char config[DIGEST_TEXT], layer[DIGEST_TEXT];
    struct tar_part config_part, layer_part;
};

static struct small small_model(const char *config)
{
    struct small m;
    m.config_part = blob(config, m.config);
    m.layer_part = blob("weights", m.layer);
    return m;
}

static char *small_manifest(struct arena *a, const struct small *m, size_t config_size, size_t layer_size)
{
    return arena_printf(a,
                        "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_MANIFEST
                        "\",\"config\":{\"mediaType\":\"" OCI_TYPE_CONFIG_V01
                        "\",\"size\":%zu,\"digest\":\"%s\"},\"layers\":[{\"mediaType\":\"" OCI_TYPE_GGUF
                        "\",\"size\":%zu,\"digest\":\"%s\"}]}",
                        config_size, m->config, layer_size, m->layer);
}

static void refused(const char *name, const struct tar_part *parts, size_t n, enum err_code code, const char *why)
{
    struct arena a = ARENA_INIT;
    struct buf tar;
    struct store *s = open_store(&a, "refused");
    char id[DIGEST_TEXT] = "untouched";
    struct err err = {0};
    make(&tar, parts, n);
    for (size_t step = 1; step <= 8192; step = step * 8 + 1) {
        if (load_tar(s, &tar, step, id, &err))
            fail_msg("%s: taken", name);
        if (err.code != code || strstr(err.text, why) == NULL)
            fail_msg("%s: %s %s", name, err_name(err.code), err.text);
        assert_string_equal(id, "untouched");
        assert_int_equal(count_models(s), 0);
        struct store_usage usage;
        assert_true(store_usage(s, &usage, NULL));
        assert_int_equal(usage.partial_bytes, 0);
    }
    store_close(&s);
    assert_true(file_remove_tree(at(&a, "refused"), NULL));
    buf_done(&tar);
    arena_done(&a);
}

static void test_refused_archives(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct small m = small_model("{\"config\":{\"format\":\"gguf\"}}");
    size_t config_size = m.config_part.size;
    struct tar_part manifest = part(TAR_MANIFEST, small_manifest(&a, &m, config_size, 7));
    struct tar_part ok[] = {m.layer_part, m.config_part, manifest};

    struct tar_part no_layer[] = {m.config_part, manifest};
    refused("layer missing", no_layer, 2, ERR_CONFLICT, m.layer);
    struct tar_part no_config[] = {m.layer_part, manifest};
    refused("config missing", no_config, 2, ERR_CONFLICT, m.config);
    refused("no manifest", ok, 2, ERR_INVALID, "no manifest.json");
    struct tar_part twice[] = {m.layer_part, m.config_part, manifest, manifest};
    refused("manifest twice", twice, 4, ERR_INVALID, "twice");
    struct tar_part wrong[] = {m.layer_part, m.config_part, manifest};
    wrong[0].bytes = "WEIGHTS";
    refused("wrong digest", wrong, 3, ERR_PROTOCOL, m.layer);
    struct tar_part size[] = {m.layer_part, m.config_part, part(TAR_MANIFEST, small_manifest(&a, &m, config_size, 8))};
    refused("layer's size lies", size, 3, ERR_PROTOCOL, "7");
    size[2] = part(TAR_MANIFEST, small_manifest(&a, &m, config_size + 1, 7));
    refused("config's size lies", size, 3, ERR_PROTOCOL, m.config);
    struct tar_part parent[] = {part("blobs/sha256/../../../x", "x"), m.layer_part, m.config_part, manifest};
    refused("parent", parent, 4, ERR_INVALID, "..");
    parent[0] = part("/etc/passwd", "x");
    refused("absolute", parent, 4, ERR_INVALID, "absolute");
    parent[0] = part("blobs/sha256/abc", "x");
    refused("name of no digest", parent, 4, ERR_INVALID, "digest");
    parent[0] = part("blobs/sha256/" D0 "/x", "x");
    refused("folder below a digest", parent, 4, ERR_INVALID, "digest");
    struct tar_part html[] = {m.layer_part, m.config_part, part(TAR_MANIFEST, "<html>")};
    refused("manifest no JSON", html, 3, ERR_INVALID, "manifest");
    html[2] = part(TAR_MANIFEST, "[]");
    refused("Docker's own manifest.json", html, 3, ERR_INVALID, "not a JSON object");
    struct small bad = small_model("{\"config\":7}");
    struct tar_part config[] = {bad.layer_part, bad.config_part, part(TAR_MANIFEST, small_manifest(&a, &bad, 12, 7))};
    refused("config wrong", config, 3, ERR_INVALID, "config");

    /* And the sound one, its parts in any order, with strangers between. */
    struct tar_part shuffled[] = {manifest, part("README", "hello"), m.config_part, m.layer_part};
    struct buf tar;
    char id[DIGEST_TEXT];
    struct err err = {0};
    struct store *s = open_store(&a, "sound");
    make(&tar, shuffled, 4);
    if (!load_tar(s, &tar, 100, id, &err))
        fail_msg("%s", err.text);
    assert_int_equal(count_models(s), 1);
    store_close(&s);
    buf_done(&tar);
    arena_done(&a);
}

/* Cut at any byte: no model, no partial; afterwards the whole loads. */
static void test_cut_uploads(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct package_spec spec = {.gguf = put_model(&a, "model.gguf", 1)};
    struct store *s = open_store(&a, "store");
    struct buf tar;
    char id[DIGEST_TEXT];
    char got[DIGEST_TEXT];
    struct err err = {0};
    package_tar(&spec, &tar, id);
    for (size_t n = 0; n < tar.len - 2048; n += 97) {
        struct buf cut = tar;
        cut.len = n;
        if (load_tar(s, &cut, 512, got, &err))
            fail_msg("taken when cut at %zu of %zu", n, tar.len);
        assert_int_equal(count_models(s), 0);
    }
    assert_true(load_tar(s, &tar, 4096, got, &err));
    assert_string_equal(got, id);
    store_close(&s);
    buf_done(&tar);
    arena_done(&a);
}

int main(void)
{
#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {WITH_ROOT(test_round_trip),       WITH_ROOT(test_determinism),
                                       WITH_ROOT(test_shards),           WITH_ROOT(test_refused_files),
                                       WITH_ROOT(test_refused_archives), WITH_ROOT(test_cut_uploads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
