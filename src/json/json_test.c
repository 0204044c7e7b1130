/* json/json_test.c: reading hostile text, writing what reads back. */
#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "json/json_read.h"
#include "json/json_write.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        const char *error; /* NULL: accepted */
    } rows[] = {
        {"{}", NULL},
        {" [1, 2.5, \"x\", null, true] ", NULL},
        {"\"text\"", NULL},
        {"", "line 1"},
        {"{", "line 1"},
        {"{} x", "end of file expected"},
        {"{\"a\":1,\n \"a\":2}", "line 2"},
        {"{\"a\":1,}", "line 1"},
        {"[1e999]", "line 1"},
        {"[99999999999999999999]", "line 1"},
        {"\"\xff\"", "line 1"},
        {"\"\\u0000\"", "line 1"},
        {"\"\\ud800\"", "line 1"},
        {"nan", "line 1"},
        {"'x'", "line 1"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_(json_free) json_t *root = NULL;
        struct err err = ERR_INIT;
        bool ok = json_parse(rows[i].text, strlen(rows[i].text), &root, &err);
        if (ok != (rows[i].error == NULL) || (!ok && strstr(err.text, rows[i].error) == NULL))
            fail_msg("%s: %s", rows[i].text, ok ? "accepted" : err.text);
        assert_true(ok || (root == NULL && err.code == ERR_INVALID));
    }
}

static void test_depth(void **state)
{
    (void)state;
    for (int depth = LIMIT_JSON_DEPTH; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
        _cleanup_(buf_done) struct buf b = BUF_INIT(1000);
        _cleanup_(json_free) json_t *root = NULL;
        struct err err = ERR_INIT;
        for (int i = 0; i < depth; i++)
            buf_add_str(&b, i == 3 ? "[\"\\\"[[[\"," : "[");
        buf_add_str(&b, "0");
        for (int i = 0; i < depth; i++)
            buf_add_str(&b, "]");
        assert_int_equal(json_parse(b.data, b.len, &root, &err), depth <= LIMIT_JSON_DEPTH);
        if (depth > LIMIT_JSON_DEPTH)
            assert_non_null(strstr(err.text, "64 levels"));
    }
}

static void test_getters(void **state)
{
    static const char text[] = "{\"s\":\"x\",\"i\":3,\"r\":3.0,\"f\":3.5,\"b\":true,\"n\":null,\"a\":[1,2],\"o\":{}}";
    _cleanup_(json_free) json_t *root = NULL;
    struct err err = ERR_INIT;
    const char *s = "unchanged";
    const json_t *v = NULL;
    bool b = false;
    double d = 7;
    int64_t i = 7;
    (void)state;
    assert_true(json_parse(text, strlen(text), &root, &err));
    assert_true(json_get_string(root, "", "s", &s, &err) && strcmp(s, "x") == 0);
    assert_true(json_get_string(root, "", "absent", &s, &err) && strcmp(s, "x") == 0);
    assert_true(json_get_string(root, "", "n", &s, &err) && strcmp(s, "x") == 0);
    assert_false(json_get_string(root, "messages[2]", "i", &s, &err));
    assert_string_equal(err.param, "messages[2].i");
    assert_string_equal(err.text, "`messages[2].i` must be a string, not a number");
    assert_true(json_get_int(root, "", "i", 0, 5, &i, &err) && i == 3);
    assert_true(json_get_int(root, "", "r", 0, 5, &i, &err) && i == 3);
    assert_false(json_get_int(root, "", "f", 0, 5, &i, &err));
    assert_false(json_get_int(root, "", "i", 4, 5, &i, &err));
    assert_string_equal(err.text, "`i` must be between 4 and 5, not 3");
    assert_true(json_get_number(root, "", "f", 0, 5, &d, &err) && d > 3.4 && d < 3.6);
    assert_false(json_get_number(root, "", "f", 0, 3, &d, &err));
    assert_false(json_get_number(root, "", "s", 0, 3, &d, &err));
    assert_true(json_get_bool(root, "", "b", &b, &err) && b);
    assert_false(json_get_bool(root, "", "i", &b, &err));
    assert_true(json_get_array(root, "", "a", 2, &v, &err) && json_array_size(v) == 2);
    assert_false(json_get_array(root, "", "a", 1, &v, &err));
    assert_false(json_get_array(root, "", "o", 1, &v, &err));
    assert_true(json_get_object(root, "", "o", &v, &err));
    assert_false(json_get_object(root, "", "a", &v, &err));
    assert_true(json_need(root, "", "s", &err));
    assert_false(json_need(root, "", "n", &err));
    assert_false(json_need(root, "x", "absent", &err));
    assert_string_equal(err.param, "x.absent");
    assert_false(json_get_string(json_object_get(root, "a"), "a", "s", &s, &err));
    assert_string_equal(err.text, "a must be an object, not an array");
    assert_false(json_get_string(NULL, "", "s", &s, &err));
}

static void test_write(void **state)
{
    static const struct {
        int indent;
        const char *text;
    } rows[] = {
        {0, "{\"a\":[1,-2,18446744073709551615],\"b\":{},\"c\":null,\"d\":\"q\\\"\\\\\\n\\u0001\xc3\xa9\xef\xbf\xbdx\","
            "\"e\":0.1,\"f\":null,\"g\":true,\"h\":[{\"x\":1}],\"i\":[]}"},
        {2, "{\n  \"a\": [\n    1,\n    -2,\n    18446744073709551615\n  ],\n  \"b\": {},\n  \"c\": null,\n"
            "  \"d\": \"q\\\"\\\\\\n\\u0001\xc3\xa9\xef\xbf\xbdx\",\n  \"e\": 0.1,\n  \"f\": null,\n  \"g\": true,\n"
            "  \"h\": [\n    {\"x\":1}\n  ],\n  \"i\": []\n}"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_(buf_done) struct buf b = BUF_INIT(1000);
        struct json_out j = JSON_OUT(&b);
        j.indent = rows[i].indent;
        json_open(&j, '{');
        json_key(&j, "a");
        json_open(&j, '[');
        json_int(&j, 1);
        json_int(&j, -2);
        json_uint(&j, UINT64_MAX);
        json_close(&j, ']');
        json_key(&j, "b");
        json_open(&j, '{');
        json_close(&j, '}');
        json_kv_str(&j, "c", NULL);
        json_kv_str(&j, "d", "q\"\\\n\x01\xc3\xa9\xffx");
        json_kv_num(&j, "e", 0.1);
        json_kv_num(&j, "f", NAN);
        json_kv_bool(&j, "g", true);
        json_key(&j, "h");
        json_open(&j, '[');
        json_raw(&j, "{\"x\":1}", 7);
        json_close(&j, ']');
        json_key(&j, "i");
        json_open(&j, '[');
        json_close(&j, ']');
        json_close(&j, '}');
        assert_true(json_ok(&j));
        assert_string_equal(buf_str(&b), rows[i].text);
    }
}

static void test_write_limits(void **state)
{
    static const double numbers[] = {0, -0.5, 1e300, 5e-324, 1.0 / 3, 123456789012345680.0, 0.7, 1e15};
    _cleanup_(buf_done) struct buf tiny = BUF_INIT(10);
    struct json_out j = JSON_OUT(&tiny);
    (void)state;
    json_str(&j, "far too long for it");
    assert_false(json_ok(&j));
    assert_true(tiny.len <= 10);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        _cleanup_(buf_done) struct buf b = BUF_INIT(100);
        struct json_out n = JSON_OUT(&b);
        json_num(&n, numbers[i]);
        assert_true(strtod(buf_str(&b), NULL) == numbers[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse), cmocka_unit_test(test_depth),        cmocka_unit_test(test_getters),
        cmocka_unit_test(test_write), cmocka_unit_test(test_write_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
