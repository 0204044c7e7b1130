/* model_settings_test: merging requests into what is kept, what it means, and the file's form. */
#include "backends/model_settings.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "platform/clock.h"
#include "json/json_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static json_t *object(const char *text)
{
    json_t *root = NULL;
    struct err err = ERR_INIT;
    if (!json_parse(text, strlen(text), &root, &err))
        fail_msg("%s: %s", text, err.text);
    return root;
}

static char *merged(const char *old_text, const char *request_text, struct err *err)
{
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    _cleanup_(json_free) json_t *old = old_text == NULL ? NULL : object(old_text), *request = object(request_text);
    _cleanup_(json_free) json_t *result = NULL;
    if (!model_settings_merge(old, request, &a, &result, err))
        return NULL;
    return json_dumps(result, JSON_COMPACT | JSON_SORT_KEYS);
}

static void requests_change_what_they_name(void **state)
{
    (void)state;
    static const struct {
        const char *old, *request, *is;
    } rows[] = {
        {NULL, "{\"model\":\"x\"}", "{}"},
        {NULL, "{\"context-size\":2048,\"unknown\":1}", "{\"context-size\":2048}"},
        {"{\"context-size\":2048}", "{\"keep_alive\":\"5m\"}", "{\"context-size\":2048,\"keep_alive\":\"5m0s\"}"},
        {"{\"context-size\":2048}", "{\"context-size\":-1}", "{}"},
        {"{\"context-size\":2048}", "{\"context-size\":0}", "{}"},
        {"{\"context-size\":2048}", "{\"context-size\":null}", "{}"},
        {NULL, "{\"keep_alive\":300}", "{\"keep_alive\":\"5m0s\"}"},
        {NULL, "{\"keep_alive\":0.5}", "{\"keep_alive\":\"500ms\"}"},
        {NULL, "{\"keep_alive\":-7}", "{\"keep_alive\":\"-1\"}"},
        {NULL, "{\"keep_alive\":\"-5m\"}", "{\"keep_alive\":\"-1\"}"},
        {NULL, "{\"keep_alive\":0}", "{\"keep_alive\":\"0\"}"},
        {"{\"keep_alive\":\"0\"}", "{\"keep_alive\":\"\"}", "{}"},
        {"{\"mode\":\"embedding\"}", "{\"mode\":null}", "{}"},
        {NULL, "{\"mode\":\"reranking\"}", "{\"mode\":\"reranking\"}"},
        {"{\"runtime-flags\":[\"--mlock\"]}", "{\"runtime-flags\":[\"--temp\",\"-1\"]}", NULL},
        {"{\"runtime-flags\":[\"--mlock\"]}", "{\"runtime-flags\":[\"--seed\",\"-1\"]}",
         "{\"runtime-flags\":[\"--seed\",\"-1\"]}"},
        {"{\"runtime-flags\":[\"--mlock\"]}", "{\"runtime-flags\":[]}", "{}"},
        {"{\"runtime-flags\":[\"--mlock\"]}", "{\"runtime-flags\":null}", "{}"},
        {"{\"runtime-flags\":[\"--mlock\"]}", "{\"raw-runtime-flags\":\"--temp '1'\"}",
         "{\"runtime-flags\":[\"--temp\",\"1\"]}"},
        {"{\"runtime-flags\":[\"--mlock\"]}", "{\"raw-runtime-flags\":null}", "{\"runtime-flags\":[\"--mlock\"]}"},
        {NULL, "{\"raw-runtime-flags\":\"--temp 1\",\"runtime-flags\":[\"--mlock\"]}",
         "{\"runtime-flags\":[\"--mlock\"]}"},
        {"{\"speculative\":{\"draft_model\":\"d\"}}", "{\"speculative\":{\"num_tokens\":4}}",
         "{\"speculative\":{\"draft_model\":\"d\",\"num_tokens\":4}}"},
        {"{\"speculative\":{\"draft_model\":\"d\"}}", "{\"speculative\":{\"draft_model\":\"\"}}", "{}"},
        {"{\"llamacpp\":{\"reasoning-budget\":0}}", "{\"llamacpp\":{\"reasoning-budget\":null}}", "{}"},
        {NULL, "{\"vllm\":{\"hf-overrides\":{\"a\":1},\"gpu-memory-utilization\":0.5}}",
         "{\"vllm\":{\"gpu-memory-utilization\":0.5,\"hf-overrides\":{\"a\":1}}}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        _cleanup_free_ char *is = merged(rows[i].old, rows[i].request, &err);
        if (rows[i].is == NULL ? is != NULL : is == NULL || strcmp(is, rows[i].is) != 0)
            fail_msg("%s: %s (%s)", rows[i].request, is == NULL ? "refused" : is, err.text);
    }
}

static void wrong_requests(void **state)
{
    (void)state;
    static const struct {
        const char *request, *text;
    } rows[] = {
        {"{\"keep_alive\":\"soon\"}", "keep_alive must be a duration"},
        {"{\"keep_alive\":1e300}", "keep_alive must be a duration"},
        {"{\"keep_alive\":[]}", "keep_alive must be a duration"},
        {"{\"context-size\":16777217}", "context-size"},
        {"{\"context-size\":1.5}", "context-size"},
        {"{\"mode\":1}", "mode"},
        {"{\"mode\":\"Completion\"}", "mode is \"Completion\"; it must be completion,"},
        {"{\"runtime-flags\":[\"--mlock\",null]}", "runtime-flags[1] must be a string"},
        {"{\"runtime-flags\":{}}", "must be an array"},
        {"{\"speculative\":[]}", "must be an object"},
        {"{\"speculative\":{\"num_tokens\":2000}}", "num_tokens"},
        {"{\"llamacpp\":{\"reasoning-budget\":-2}}", "reasoning-budget"},
        {"{\"vllm\":{\"gpu-memory-utilization\":2}}", "gpu-memory-utilization"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        _cleanup_free_ char *is = merged("{\"context-size\":1}", rows[i].request, &err);
        if (is != NULL || strstr(err.text, rows[i].text) == NULL || err.code != ERR_INVALID)
            fail_msg("%s: %s %s", rows[i].request, is == NULL ? "refused" : is, err.text);
    }
}

static void too_long_flags(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    enum { BIG = 20000 };
    char *request = malloc(BIG + 64), *end = request;
    end = stpcpy(end, "{\"runtime-flags\":[\"--chat-template\",\"");
    memset(end, 'x', BIG);
    strcpy(end + BIG, "\"]}");
    _cleanup_free_ char *is = merged(NULL, request, &err);
    assert_null(is);
    assert_non_null(strstr(err.text, "at most 16384"));
    free(request);
}

static void what_it_means(void **state)
{
    (void)state;
    static const struct {
        const char *json, *mode, *args; /* args with blanks */
        int64_t context, keep_alive_ns;
        size_t warnings;
    } rows[] = {
        {NULL, "completion", "", 0, 0, 0},
        {"{\"context-size\":99,\"keep_alive\":\"90s\"}", "completion", "", 99, 90 * CLOCK_SECOND, 0},
        {"{\"context-size\":99,\"runtime-flags\":[\"-c\",\"7\"]}", "completion", "", 7, 0, 0},
        {"{\"runtime-flags\":[\"--embeddings\"]}", "embedding", "", 0, 0, 0},
        {"{\"mode\":\"completion\",\"runtime-flags\":[\"--embeddings\"]}", "completion", "", 0, 0, 0},
        {"{\"runtime-flags\":[\"--rerank\"]}", "reranking", "", 0, 0, 1},
        {"{\"llamacpp\":{\"reasoning-budget\":0},\"runtime-flags\":[\"--temp\",\"1\"]}", "completion",
         "--thinking=0 --reasoning-budget=0 --temp=1", 0, 0, 0},
        {"{\"llamacpp\":{\"reasoning-budget\":0},\"runtime-flags\":[\"--reasoning-budget\",\"-1\"]}", "completion",
         "--thinking=0 --reasoning-budget=0 --thinking=1 --reasoning-budget=-1", 0, 0, 0},
        {"{\"llamacpp\":{\"reasoning-budget\":9}}", "completion", "--reasoning-budget=9", 0, 0, 0},
        {"{\"speculative\":{\"draft_model\":\"d\"},\"vllm\":{}}", "completion", "", 0, 0, 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_(arena_done) struct arena a = ARENA_INIT;
        _cleanup_(json_free) json_t *json = rows[i].json == NULL ? NULL : object(rows[i].json);
        struct model_settings s;
        struct err err = ERR_INIT;
        const char *args = "";
        if (!model_settings_read(json, &a, &s, &err))
            fail_msg("%s: %s", rows[i].json, err.text);
        for (size_t k = 0; k < s.flags.n_args; k++)
            args = arena_printf(&a, "%s%s%s", args, k == 0 ? "" : " ", s.flags.args[k]);
        assert_string_equal(s.mode, rows[i].mode);
        assert_string_equal(args, rows[i].args);
        assert_int_equal(s.context, rows[i].context);
        assert_int_equal(s.keep_alive_ns, rows[i].keep_alive_ns);
        assert_int_equal(s.flags.n_warnings, rows[i].warnings);
        assert_int_equal(s.load_as, strcmp(s.mode, "embedding") == 0 ? BACKEND_EMBEDDING : BACKEND_COMPLETION);
    }
}

static bool same(const char *x_text, const char *y_text)
{
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    _cleanup_(json_free) json_t *x_json = object(x_text), *y_json = object(y_text);
    struct model_settings x, y;
    assert_true(model_settings_read(x_json, &a, &x, NULL) && model_settings_read(y_json, &a, &y, NULL));
    return model_settings_same_engine(&x, &y);
}

static void what_needs_another_engine(void **state)
{
    (void)state;
    assert_true(same("{}", "{\"keep_alive\":\"5m0s\",\"mode\":\"embedding\"}"));
    assert_true(same("{\"runtime-flags\":[\"--temp\",\"1\"]}", "{\"runtime-flags\":[\"--temp=1.0\"]}"));
    assert_true(same("{}", "{\"runtime-flags\":[\"--log-colors\"]}"));
    assert_false(same("{}", "{\"context-size\":9}"));
    assert_false(same("{\"runtime-flags\":[\"--temp\",\"1\"]}", "{\"runtime-flags\":[\"--temp\",\"2\"]}"));
}

static void the_file(void **state)
{
    (void)state;
    _cleanup_(buf_done) struct buf out = BUF_INIT(LIMIT_SETTINGS_BYTES);
    _cleanup_(json_free) json_t *json = object("{\"keep_alive\":\"0\",\"context-size\":9}");
    _cleanup_(json_free) json_t *back = NULL, *empty = json_object(), *none = NULL;
    assert_true(model_settings_write(json, &out, NULL));
    assert_string_equal(buf_str(&out), "{\"version\":1,\"settings\":{\"context-size\":9,\"keep_alive\":\"0\"}}\n");
    assert_true(model_settings_parse(buf_str(&out), &back, NULL));
    assert_true(json_equal(json, back));
    buf_clear(&out);
    assert_true(model_settings_write(empty, &out, NULL));
    assert_int_equal(out.len, 0); /* nothing is set: no file */
    assert_true(model_settings_parse("", &none, NULL));
    assert_null(none);
}

static void damaged_files(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err_code code;
    } rows[] = {
        {"{", ERR_INVALID},
        {"[]", ERR_INVALID},
        {"{}", ERR_INVALID},
        {"{\"version\":\"1\"}", ERR_INVALID},
        {"{\"version\":0}", ERR_INVALID},
        {"{\"version\":2,\"settings\":{}}", ERR_UNSUPPORTED},
        {"{\"version\":1,\"settings\":[]}", ERR_INVALID},
        {"\xff\xfe", ERR_INVALID},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *json = NULL;
        struct err err = ERR_INIT;
        if (model_settings_parse(rows[i].text, &json, &err) || err.code != rows[i].code)
            fail_msg("%s: %s %s", rows[i].text, err_name(err.code), err.text);
        assert_null(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_change_what_they_name),
        cmocka_unit_test(wrong_requests),
        cmocka_unit_test(too_long_flags),
        cmocka_unit_test(what_it_means),
        cmocka_unit_test(what_needs_another_engine),
        cmocka_unit_test(the_file),
        cmocka_unit_test(damaged_files),
    };
    return cmocka_run_group_tests_name("backends/model_settings", tests, NULL, NULL);
}
