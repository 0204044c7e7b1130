/* oci/manifest_test: what registries send, good and hostile; each refusal names the field. */
#include "oci/manifest.h"

#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define D1                  "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2                  "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define D3                  "sha256:3333333333333333333333333333333333333333333333333333333333333333"
#define CONFIG              "\"config\":{\"mediaType\":\"" OCI_TYPE_CONFIG_V01 "\",\"size\":7,\"digest\":\"" D1 "\"}"
#define HEAD                "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_MANIFEST "\","
#define LAYER(size, digest) "{\"mediaType\":\"" OCI_TYPE_GGUF "\",\"size\":" size ",\"digest\":\"" digest "\"}"
#define NAMED(type, path)                                                                                              \
    "{\"mediaType\":\"" type "\",\"size\":3,\"digest\":\"" D2 "\",\"annotations\":{\"" OCI_ANNOTATION_FILEPATH         \
    "\":\"" path "\"}}"
#define WITH(layers) HEAD CONFIG ",\"layers\":[" layers "]}"
#define PATH_50      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const char whole[] = WITH(LAYER("256", D2) "," NAMED(OCI_TYPE_MMPROJ, "dir/mmproj.gguf") "," NAMED(
    OCI_TYPE_TEMPLATE, "template.jinja") "," NAMED(OCI_TYPE_LICENSE, "LICENSE"));

static void test_whole(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct manifest m;
    struct err err = {0};
    if (!manifest_read(whole, sizeof whole - 1, &a, &m, &err))
        fail_msg("%s", err.text);
    assert_string_equal(m.media_type, OCI_TYPE_MANIFEST);
    assert_null(m.artifact_type);
    assert_string_equal(m.config.digest, D1);
    assert_int_equal(m.config.size, 7);
    assert_int_equal(m.n_layers, 4);
    assert_int_equal(m.layers[0].role, LAYER_WEIGHTS);
    assert_int_equal(m.layers[0].size, 256);
    assert_null(m.layers[0].filepath);
    assert_int_equal(m.layers[1].role, LAYER_MMPROJ);
    assert_string_equal(m.layers[1].filepath, "dir/mmproj.gguf");
    assert_string_equal(descriptor_annotation(&m.layers[1], OCI_ANNOTATION_FILEPATH), "dir/mmproj.gguf");
    assert_null(descriptor_annotation(&m.layers[1], "other"));
    assert_int_equal(m.layers[2].role, LAYER_TEMPLATE);
    assert_int_equal(m.layers[3].role, LAYER_LICENSE);

    /* The same bytes come out: DMR's key order. */
    struct buf out = BUF_INIT(LIMIT_MANIFEST_BYTES);
    assert_true(manifest_write(&m, &out, &err));
    assert_string_equal(out.data, whole);
    buf_done(&out);
    struct buf tiny = BUF_INIT(100);
    assert_false(manifest_write(&m, &tiny, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    buf_done(&tiny);
    arena_done(&a);
}

#define CNCF_HEAD                                                                                                      \
    "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_MANIFEST "\",\"artifactType\":\"" OCI_ARTIFACT_CNCF               \
    "\",\"config\":{\"mediaType\":\"" OCI_TYPE_CONFIG_CNCF "\",\"size\":7,\"digest\":\"" D1 "\"},\"layers\":["

#define CNCF_LAYERS                                                                                                    \
    NAMED(OCI_TYPE_CNCF_WEIGHT, "m.gguf")                                                                              \
    "," NAMED(OCI_TYPE_CNCF_WEIGHT, "x-MMPROJ-f16.gguf") "," NAMED(                                                    \
        OCI_TYPE_CNCF_CONFIG_FILE,                                                                                     \
        "chat_template.jinja") "," NAMED(OCI_TYPE_CNCF_CONFIG_FILE,                                                    \
                                         "config.json") "," NAMED(OCI_TYPE_CNCF_DOC,                                   \
                                                                  "LICENSE.txt") "," NAMED(OCI_TYPE_CNCF_DOC,          \
                                                                                           "README.md")

static void test_modelpack(void **state)
{
    (void)state;
    static const char text[] = CNCF_HEAD CNCF_LAYERS "]}";
    static const enum layer_role roles[] = {LAYER_WEIGHTS,     LAYER_MMPROJ,  LAYER_TEMPLATE,
                                            LAYER_CONFIG_FILE, LAYER_LICENSE, LAYER_OTHER};
    struct arena a = ARENA_INIT;
    struct manifest m;
    struct err err = {0};
    if (!manifest_read(text, sizeof text - 1, &a, &m, &err))
        fail_msg("%s", err.text);
    assert_string_equal(m.artifact_type, OCI_ARTIFACT_CNCF);
    assert_int_equal(m.n_layers, 6);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(m.layers[i].role, roles[i]);
    struct buf out = BUF_INIT(LIMIT_MANIFEST_BYTES);
    assert_true(manifest_write(&m, &out, &err));
    assert_string_equal(out.data, text);
    buf_done(&out);
    arena_done(&a);
}

static const struct {
    const char *name, *text, *why;
    enum err_code code;
} bad[] = {
    {"empty", "", "manifest", ERR_INVALID},
    {"html", "<html>", "manifest", ERR_INVALID},
    {"an array", "[]", "not a JSON object", ERR_INVALID},
    {"text behind", WITH("") "x", "manifest", ERR_INVALID},
    {"duplicate keys", HEAD CONFIG "," CONFIG ",\"layers\":[]}", "uplicate", ERR_INVALID},
    {"schema 1", "{\"schemaVersion\":1}", "schemaVersion", ERR_UNSUPPORTED},
    {"no schema", "{" CONFIG ",\"layers\":[]}", "schemaVersion", ERR_UNSUPPORTED},
    {"schema as text", "{\"schemaVersion\":\"2\"," CONFIG ",\"layers\":[]}", "schemaVersion", ERR_UNSUPPORTED},
    {"an index", "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_INDEX "\",\"manifests\":[]}", "not supported",
     ERR_UNSUPPORTED},
    {"an image of Docker",
     HEAD "\"config\":{\"mediaType\":\"application/vnd.docker.container.image.v1+json\",\"size\":7,\"digest\":\"" D1
          "\"},\"layers\":[]}",
     "config type \"application/vnd.docker.container.image.v1+json\" is not supported", ERR_UNSUPPORTED},
    {"config without a type", HEAD "\"config\":{\"size\":7,\"digest\":\"" D1 "\"},\"layers\":[]}",
     "config type \"\" is not supported", ERR_UNSUPPORTED},
    {"no config", HEAD "\"layers\":[]}", "config", ERR_INVALID},
    {"config not an object", HEAD "\"config\":3,\"layers\":[]}", "config", ERR_INVALID},
    {"layers not an array", HEAD CONFIG ",\"layers\":{}}", "layers", ERR_INVALID},
    {"layer not an object", WITH("7"), "layers[0]", ERR_INVALID},
    {"size negative", WITH(LAYER("-1", D2)), "layers[0].size", ERR_INVALID},
    {"size 2^53 + 1", WITH(LAYER("9007199254740993", D2)), "layers[0].size", ERR_INVALID},
    {"size 2^63", WITH(LAYER("9223372036854775808", D2)), "integer", ERR_INVALID},
    {"size 2^64", WITH(LAYER("18446744073709551616", D2)), "integer", ERR_INVALID},
    {"size a float", WITH(LAYER("3.5", D2)), "layers[0].size", ERR_INVALID},
    {"size 3.0", WITH(LAYER("3.0", D2)), "layers[0].size", ERR_INVALID},
    {"size 1e99", WITH(LAYER("1e99", D2)), "layers[0].size", ERR_INVALID},
    {"size as text", WITH(LAYER("\"3\"", D2)), "layers[0].size", ERR_INVALID},
    {"size null", WITH(LAYER("null", D2)), "layers[0].size", ERR_INVALID},
    {"no size", WITH("{\"mediaType\":\"x\",\"digest\":\"" D2 "\"}"), "layers[0].size", ERR_INVALID},
    {"no digest", WITH("{\"mediaType\":\"x\",\"size\":3}"), "layers[0].digest", ERR_INVALID},
    {"digest a number", WITH("{\"mediaType\":\"x\",\"size\":3,\"digest\":5}"), "layers[0].digest", ERR_INVALID},
    {"digest a path", WITH(LAYER("3", D2) "," LAYER("3", "sha256:../../x")), "layers[1].digest", ERR_INVALID},
    {"digest in upper case",
     WITH(LAYER("3", "sha256:AAAA111111111111111111111111111111111111111111111111111111111111")), "layers[0].digest",
     ERR_INVALID},
    {"digest of another kind",
     WITH(LAYER("3", "sha512:1111111111111111111111111111111111111111111111111111111111111111")), "layers[0].digest",
     ERR_INVALID},
    {"digest with NUL", WITH(LAYER("3", D2 "\\u0000")), "", ERR_INVALID},
    {"path to the parent", WITH(NAMED(OCI_TYPE_GGUF, "../x")), OCI_ANNOTATION_FILEPATH, ERR_INVALID},
    {"path through the parent", WITH(NAMED(OCI_TYPE_GGUF, "a/../../b")), "..", ERR_INVALID},
    {"path ends in the parent", WITH(NAMED(OCI_TYPE_GGUF, "a/..")), "..", ERR_INVALID},
    {"path absolute", WITH(NAMED(OCI_TYPE_GGUF, "/etc/x")), "absolute", ERR_INVALID},
    {"path with NUL", WITH(NAMED(OCI_TYPE_GGUF, "a\\u0000b")), "", ERR_INVALID},
    {"path empty", WITH(NAMED(OCI_TYPE_GGUF, "")), "empty", ERR_INVALID},
    {"path a dot", WITH(NAMED(OCI_TYPE_GGUF, "./a")), "empty part", ERR_INVALID},
    {"path with two slashes", WITH(NAMED(OCI_TYPE_GGUF, "a//b")), "empty part", ERR_INVALID},
    {"path with a slash at the end", WITH(NAMED(OCI_TYPE_GGUF, "a/")), "empty part", ERR_INVALID},
    {"path with a backslash", WITH(NAMED(OCI_TYPE_GGUF, "..\\\\x")), "backslash", ERR_INVALID},
    {"path with a newline", WITH(NAMED(OCI_TYPE_GGUF, "a\\nb")), "control", ERR_INVALID},
    {"path of 256 bytes", WITH(NAMED(OCI_TYPE_GGUF, PATH_50 PATH_50 PATH_50 PATH_50 PATH_50 "xxxxxx")), "255",
     ERR_INVALID},
    {"annotation not text", WITH("{\"mediaType\":\"x\",\"size\":3,\"digest\":\"" D2 "\",\"annotations\":{\"a\":1}}"),
     "layers[0].annotations[\"a\"]", ERR_INVALID},
    {"annotations an array", WITH("{\"mediaType\":\"x\",\"size\":3,\"digest\":\"" D2 "\",\"annotations\":[]}"),
     "layers[0].annotations", ERR_INVALID},
    {"ModelPack weight without a path",
     CNCF_HEAD "{\"mediaType\":\"" OCI_TYPE_CNCF_WEIGHT "\",\"size\":3,\"digest\":\"" D2 "\"}]}",
     OCI_ANNOTATION_FILEPATH, ERR_INVALID},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct arena a = ARENA_INIT;
        struct manifest m = {.n_layers = 77};
        struct err err = {0};
        if (manifest_read(bad[i].text, strlen(bad[i].text), &a, &m, &err))
            fail_msg("%s: taken", bad[i].name);
        if (strstr(err.text, bad[i].why) == NULL || err.code != bad[i].code)
            fail_msg("%s: %s %s", bad[i].name, err_name(err.code), err.text);
        assert_int_equal(m.n_layers, 77);
        arena_done(&a);
    }
}

static void test_path_of_255(void **state)
{
    (void)state;
    static const char text[] = WITH(NAMED(OCI_TYPE_GGUF, PATH_50 PATH_50 PATH_50 PATH_50 PATH_50 "xxxxx"));
    struct arena a = ARENA_INIT;
    struct manifest m;
    assert_true(manifest_read(text, sizeof text - 1, &a, &m, NULL));
    assert_int_equal(strlen(m.layers[0].filepath), 255);
    arena_done(&a);
}

/* `count` times `item`, comma-separated, between `head` and `tail`; malloc'd. */
static char *repeat(const char *head, const char *item, size_t count, const char *comma, const char *tail)
{
    size_t n = strlen(item) + strlen(comma);
    char *text = malloc(strlen(head) + count * n + strlen(tail) + 1);
    char *p = text + sprintf(text, "%s", head);
    for (size_t i = 0; i < count; i++)
        p += sprintf(p, "%s%s", i > 0 ? comma : "", item);
    sprintf(p, "%s", tail);
    return text;
}

static void test_bombs(void **state)
{
    (void)state;
    static const struct {
        const char *name, *head, *item, *comma, *tail;
        size_t count;
        enum err_code code;
    } rows[] = {
        {"depth", HEAD CONFIG ",\"layers\":", "[", "", "", 100000, ERR_INVALID},
        {"depth of objects", "", "{\"a\":", "", "", 100000, ERR_INVALID},
        {"a million layers", HEAD CONFIG ",\"layers\":[", "{}", ",", "]}", 1000000, ERR_INVALID},
        {"a million numbers", HEAD CONFIG ",\"layers\":[", "0", ",", "]}", 1000000, ERR_INVALID},
        {"1001 layers", HEAD CONFIG ",\"layers\":[", LAYER("1", D2), ",", "]}", 1001, ERR_INVALID},
        {"above 4 MiB", HEAD CONFIG ",\"layers\":[", LAYER("1", D2), ",", "]}", 40000, ERR_TOO_LARGE},
        {"1000 layers", HEAD CONFIG ",\"layers\":[", LAYER("1", D2), ",", "]}", 1000, ERR_NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = repeat(rows[i].head, rows[i].item, rows[i].count, rows[i].comma, rows[i].tail);
        struct arena a = ARENA_INIT;
        struct manifest m;
        struct err err = {0};
        bool ok = manifest_read(text, strlen(text), &a, &m, &err);
        if (ok != (rows[i].code == ERR_NONE) || err.code != rows[i].code)
            fail_msg("%s: %s %s", rows[i].name, err_name(err.code), err.text);
        arena_done(&a);
        free(text);
    }
}

static void test_annotations(void **state)
{
    (void)state;
    static const size_t counts[] = {256, 257};
    for (size_t i = 0; i < 2; i++) {
        struct buf b = BUF_INIT(LIMIT_MANIFEST_BYTES);
        struct arena a = ARENA_INIT;
        struct manifest m;
        struct err err = {0};
        buf_add_str(&b,
                    HEAD CONFIG ",\"layers\":[{\"mediaType\":\"x\",\"size\":1,\"digest\":\"" D2 "\",\"annotations\":{");
        for (size_t k = 0; k < counts[i]; k++)
            buf_printf(&b, "%s\"%zu\":\"\"", k > 0 ? "," : "", k);
        buf_add_str(&b, "}}]}");
        assert_int_equal(manifest_read(b.data, b.len, &a, &m, &err), i == 0);
        assert_true(i == 0 || strstr(err.text, "layers[0] has 257 annotations") != NULL);
        arena_done(&a);
        buf_done(&b);
    }
}

static void test_format(void **state)
{
    (void)state;
    static const struct {
        const char *text, *is;
    } rows[] = {
        {WITH(LAYER("3", D2)), "gguf"},
        {WITH(NAMED("application/vnd.docker.ai.safetensors", "a.bin")), "safetensors"},
        {CNCF_HEAD NAMED(OCI_TYPE_CNCF_CONFIG_FILE, "a.gguf") "," NAMED(OCI_TYPE_CNCF_WEIGHT, "b.GGUF") "]}", "gguf"},
        {CNCF_HEAD NAMED(OCI_TYPE_CNCF_WEIGHT, "dir/b.safetensors") "]}", "safetensors"},
        {CNCF_HEAD NAMED(OCI_TYPE_CNCF_WEIGHT, "gguf") "]}", NULL},
        {WITH(""), NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena a = ARENA_INIT;
        struct manifest m;
        assert_true(manifest_read(rows[i].text, strlen(rows[i].text), &a, &m, NULL));
        const char *is = manifest_format(&m);
        if ((is == NULL) != (rows[i].is == NULL) || (is != NULL && strcmp(is, rows[i].is) != 0))
            fail_msg("row %zu: %s", i, is != NULL ? is : "none");
        arena_done(&a);
    }
}

#define INDEX(entries) "{\"schemaVersion\":2,\"manifests\":[" entries "]}"
#define ENTRY(digest, os, arch)                                                                                        \
    "{\"mediaType\":\"" OCI_TYPE_MANIFEST "\",\"size\":5,\"digest\":\"" digest "\",\"platform\":{\"os\":\"" os         \
    "\",\"architecture\":\"" arch "\"}}"
#define PLAIN(digest) "{\"mediaType\":\"" OCI_TYPE_MANIFEST "\",\"size\":5,\"digest\":\"" digest "\"}"
#if defined(__aarch64__)
#define OUR_ARCH "arm64"
#else
#define OUR_ARCH "amd64"
#endif

static void test_pick(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *digest;
    } rows[] = {
        {"the only one", INDEX(ENTRY(D1, "windows", "mips")), D1},
        {"this platform", INDEX(ENTRY(D1, "windows", "amd64") "," ENTRY(D2, "linux", OUR_ARCH)), D2},
        {"the first", INDEX(PLAIN(D3) "," PLAIN(D2)), D3},
        {"none", INDEX(""), NULL},
        {"not an index", WITH(""), NULL},
        {"entry with a wrong digest", INDEX("{\"mediaType\":\"x\",\"size\":1,\"digest\":\"sha256:../x\"}"), NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena a = ARENA_INIT;
        struct descriptor d;
        struct err err = {0};
        bool ok = manifest_pick(rows[i].text, strlen(rows[i].text), &a, &d, &err);
        if (ok != (rows[i].digest != NULL) || (ok && strcmp(d.digest, rows[i].digest) != 0))
            fail_msg("%s: %s", rows[i].name, err.text);
        arena_done(&a);
    }
}

static void test_kind(void **state)
{
    (void)state;
    static const struct {
        const char *name, *type, *text;
        int kind; /* -1: refused */
    } rows[] = {
        {"manifest", OCI_TYPE_MANIFEST, WITH(""), MANIFEST_IMAGE},
        {"no content type", NULL, WITH(""), MANIFEST_IMAGE},
        {"empty content type", "", WITH(""), MANIFEST_IMAGE},
        {"parameters are cut", OCI_TYPE_MANIFEST "; charset=utf-8", WITH(""), MANIFEST_IMAGE},
        {"by its fields", "application/json", INDEX(PLAIN(D1)), MANIFEST_INDEX},
        {"index", OCI_TYPE_INDEX, "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_INDEX "\",\"manifests\":[]}",
         MANIFEST_INDEX},
        {"Docker's list", NULL, "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_DOCKER_LIST "\",\"manifests\":[]}",
         MANIFEST_INDEX},
        {"types differ", OCI_TYPE_INDEX, WITH(""), -1},
        {"says one thing, is another", NULL,
         "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_MANIFEST "\",\"manifests\":[]}", -1},
        {"both", NULL, "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", -1},
        {"neither", NULL, "{\"schemaVersion\":2}", -1},
        {"unknown", NULL, "{\"schemaVersion\":2,\"mediaType\":\"text/plain\",\"layers\":[]}", -1},
        {"not JSON", OCI_TYPE_MANIFEST, "<html>", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum manifest_kind kind = MANIFEST_INDEX;
        struct err err = {0};
        bool ok = manifest_kind_of(rows[i].type, rows[i].text, strlen(rows[i].text), &kind, &err);
        if (ok != (rows[i].kind >= 0) || (ok && (int)kind != rows[i].kind))
            fail_msg("%s: %s", rows[i].name, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),       cmocka_unit_test(test_annotations), cmocka_unit_test(test_format),
        cmocka_unit_test(test_modelpack),   cmocka_unit_test(test_bad),         cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_path_of_255), cmocka_unit_test(test_pick),        cmocka_unit_test(test_kind)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
