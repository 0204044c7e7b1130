/* oci/model_config_test: configs as DMR, older DMR and ModelPack write them. */
#include "oci/manifest.h"

#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"

static const char docker[] =
    "{\"config\":{\"format\":\"gguf\",\"quantization\":\"MOSTLY_Q4_K_M\",\"parameters\":\"361.82M\",\"architecture\":"
    "\"llama\",\"size\":\"256.35MiB\",\"gguf\":{\"general.name\":\"SmolLM2\",\"llama.context_length\":\"8192\"},"
    "\"context_size\":8192},\"descriptor\":{\"created\":\"2025-03-24T11:23:01.5Z\"},\"rootfs\":{\"type\":\"rootfs\","
    "\"diff_ids\":[\"" D1 "\"]}}";
static const char modelpack[] =
    "{\"descriptor\":{\"createdAt\":\"2025-03-24T11:23:01Z\",\"family\":\"llama\"},\"modelfs\":{\"type\":\"layers\","
    "\"diffIds\":[\"" D1 "\"]},\"config\":{\"architecture\":\"llama\",\"format\":\"gguf\",\"paramSize\":\"8B\","
    "\"quantization\":\"Q8_0\"}}";

static void test_docker(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct buf out = BUF_INIT(LIMIT_MANIFEST_BYTES);
    struct model_config c;
    struct err err = {0};
    struct descriptor layer = {.digest = D1};
    if (!model_config_read(OCI_TYPE_CONFIG_V01, docker, sizeof docker - 1, &a, &c, &err))
        fail_msg("%s", err.text);
    assert_string_equal(c.format, "gguf");
    assert_string_equal(c.quantization, "MOSTLY_Q4_K_M");
    assert_string_equal(c.parameters, "361.82M");
    assert_string_equal(c.architecture, "llama");
    assert_string_equal(c.size, "256.35MiB");
    assert_int_equal(c.context_size, 8192);
    assert_int_equal(c.n_gguf, 2);
    assert_int_equal(c.created_wall_ns, INT64_C(1742815381500000000));
    assert_true(model_config_write(&c, &layer, 1, &out, &err));
    assert_string_equal(out.data, docker);
    buf_clear(&out);
    c.created_wall_ns = INT64_C(1742815381000000000);
    assert_true(model_config_write(&c, &layer, 1, &out, &err));
    assert_non_null(strstr(out.data, "\"created\":\"2025-03-24T11:23:01Z\""));
    buf_done(&out);
    arena_done(&a);
}

static void test_modelpack(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct buf out = BUF_INIT(LIMIT_MANIFEST_BYTES);
    struct model_config c;
    struct err err = {0};
    struct descriptor layer = {.digest = D1};
    if (!model_config_read(OCI_TYPE_CONFIG_CNCF, modelpack, sizeof modelpack - 1, &a, &c, &err))
        fail_msg("%s", err.text);
    assert_string_equal(c.format, "gguf");
    assert_string_equal(c.parameters, "8B");
    assert_string_equal(c.size, "8B");
    assert_string_equal(c.architecture, "llama");
    assert_int_equal(c.context_size, 0);
    assert_true(model_config_write_modelpack(&c, &layer, 1, &out, &err));
    assert_string_equal(out.data, modelpack);
    /* Under Docker's type the fields tell. */
    struct model_config again;
    assert_true(model_config_read(OCI_TYPE_CONFIG_V01, modelpack, sizeof modelpack - 1, &a, &again, &err));
    assert_string_equal(again.parameters, "8B");
    static const char upper[] =
        "{\"descriptor\":{\"family\":\"qwen3\"},\"config\":{\"format\":\"GGUF\"},\"modelfs\":{}}";
    assert_true(model_config_read(OCI_TYPE_CONFIG_CNCF, upper, sizeof upper - 1, &a, &again, &err));
    assert_string_equal(again.format, "gguf");
    assert_string_equal(again.architecture, "qwen3");
    buf_done(&out);
    arena_done(&a);
}

static void test_rows(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *why; /* why NULL: taken */
    } rows[] = {
        {"empty object", "{}", NULL},
        {"config null", "{\"config\":null}", NULL},
        {"old, with spaces", "{\"config\":{\"size\":\"256.35 MiB\",\"quantization\":\"IQ2_XXS/Q4_K_M\"}}", NULL},
        {"context -1", "{\"config\":{\"context_size\":-1}}", NULL},
        {"fields unknown to us", "{\"config\":{\"safetensors\":{\"a\":\"b\"},\"new\":[1]},\"more\":1}", NULL},
        {"a date that is none", "{\"descriptor\":{\"created\":\"yesterday\"}}", NULL},
        {"not JSON", "gguf", "config"},
        {"an array", "[]", "config"},
        {"config a string", "{\"config\":\"x\"}", "config"},
        {"format a number", "{\"config\":{\"format\":1}}", "config.format"},
        {"gguf an array", "{\"config\":{\"gguf\":[]}}", "config.gguf"},
        {"gguf value a number", "{\"config\":{\"gguf\":{\"a\":1}}}", "config.gguf[\"a\"]"},
        {"context too large", "{\"config\":{\"context_size\":2147483648}}", "config.context_size"},
        {"context -2", "{\"config\":{\"context_size\":-2}}", "config.context_size"},
        {"created a number", "{\"descriptor\":{\"created\":5}}", "descriptor.created"},
        {"twice", "{\"config\":{},\"config\":{}}", "uplicate"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena a = ARENA_INIT;
        struct model_config c;
        struct err err = {0};
        bool ok = model_config_read(OCI_TYPE_CONFIG_V02, rows[i].text, strlen(rows[i].text), &a, &c, &err);
        if (ok != (rows[i].why == NULL) || (!ok && strstr(err.text, rows[i].why) == NULL))
            fail_msg("%s: %s", rows[i].name, err.text);
        arena_done(&a);
    }
}

static void test_empty_write(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(LIMIT_MANIFEST_BYTES);
    struct model_config c = {.format = "gguf"};
    assert_true(model_config_write(&c, NULL, 0, &out, NULL));
    assert_string_equal(out.data, "{\"config\":{\"format\":\"gguf\"},\"descriptor\":{},\"rootfs\":{\"type\":\"rootfs\","
                                  "\"diff_ids\":[]}}");
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_docker), cmocka_unit_test(test_modelpack),
                                       cmocka_unit_test(test_rows), cmocka_unit_test(test_empty_write)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
