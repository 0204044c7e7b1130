/* Which row answers which path, and what a path becomes before. */
#include "base/limits.h"
#include "http/server/exchange.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void normalises_paths(void **state)
{
    (void)state;
    static const struct {
        const char *name, *raw, *want; /* want NULL: refused */
    } rows[] = {
        {"root", "/", "/"},
        {"plain", "/v1/models", "/v1/models"},
        {"query is cut", "/v1/models?x=/../", "/v1/models"},
        {"double slash", "//v1///models", "/v1/models"},
        {"trailing slash stays", "/v1/models/", "/v1/models/"},
        {"escaped once", "/a%20b", "/a b"},
        {"not twice", "/a%2520b", "/a%20b"},
        {"escaped slash is one", "/models/ai%2Fsmollm2", "/models/ai/smollm2"},
        {"escaped double slash", "/a%2F%2fb", "/a/b"},
        {"tag", "/models/ai/llama3.2:1B-Q8_0", "/models/ai/llama3.2:1B-Q8_0"},
        {"plus is a plus", "/a+b", "/a+b"},
        {"utf-8", "/%C3%A9", "/\xc3\xa9"},
        {"dots in a name", "/a..b/...", "/a..b/..."},
        {"dot dot", "/a/../b", NULL},
        {"dot dot at the end", "/a/..", NULL},
        {"escaped dot dot", "/a/%2e%2E/b", NULL},
        {"dot dot behind an escaped slash", "/a%2f..%2fb", NULL},
        {"NUL", "/a%00b", NULL},
        {"line end", "/a%0d%0ab", NULL},
        {"broken escape", "/a%", NULL},
        {"broken escape 2", "/a%2", NULL},
        {"broken escape 3", "/a%zz", NULL},
        {"not UTF-8", "/a%ff", NULL},
        {"no slash", "v1", NULL},
        {"absolute form", "http://x/v1", NULL},
        {"empty", "", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = ARENA_INIT;
        struct err err = ERR_INIT;
        const char *path = NULL;
        bool ok = http_path_normalise(rows[i].raw, &a, &path, &err);
        if (ok != (rows[i].want != NULL) || (ok && strcmp(path, rows[i].want) != 0))
            fail_msg("%s: %s became %s (%s)", rows[i].name, rows[i].raw, ok ? path : "refused", err.text);
        if (!ok)
            assert_int_equal(err.code, ERR_INVALID);
        arena_done(&a);
    }
}

static void refuses_long_paths(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct err err = ERR_INIT;
    const char *path = NULL;
    char *raw = arena_alloc(&a, LIMIT_PATH_BYTES + 2);
    memset(raw, 'a', LIMIT_PATH_BYTES);
    raw[0] = '/';
    assert_true(http_path_normalise(raw, &a, &path, &err));
    raw[LIMIT_PATH_BYTES] = 'a';
    assert_false(http_path_normalise(raw, &a, &path, &err));
    arena_done(&a);
}

static void matches_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path, *params; /* params joined by `|`; NULL: no match */
    } rows[] = {
        {"/", "/", ""},
        {"/", "/x", NULL},
        {"/models", "/models", ""},
        {"/models", "/models/", NULL},
        {"/models", "/model", NULL},
        {"/models/{x}", "/models/a", "a"},
        {"/models/{x}", "/models/", NULL},
        {"/models/{x}", "/models/a/b", NULL},
        {"/models/{x...}", "/models/ai/smollm2:latest", "ai/smollm2:latest"},
        {"/models/{x...}", "/models/a", "a"},
        {"/models/{x...}", "/models/", NULL},
        {"/models/{x...}", "/models/a/", NULL},
        {"/models/{x...}/tag", "/models/ai/smollm2/tag", "ai/smollm2"},
        {"/models/{x...}/tag", "/models/tag", NULL},
        {"/models/{x...}/tag", "/models/a/tag/tag", "a/tag"},
        {"/models/{x...}/tag", "/models/a/tags", NULL},
        {"/engines/{m...}/v1/chat/completions", "/engines/ai/llama3.2:1B-Q8_0/v1/chat/completions",
         "ai/llama3.2:1B-Q8_0"},
        {"/engines/{m...}/v1/chat/completions", "/engines/v1/chat/completions", NULL},
        {"/engines/{m...}/v1/models/{n...}", "/engines/a/v1/models/b/v1/models/c", "a/v1/models/b|c"},
        {"/engines/{b}/v1/models/{n...}", "/engines/a/v1/models/b/c", "a|b/c"},
        {"/{a}/{b}/{c}/{d}", "/1/2/3/4", "1|2|3|4"},
        {"/{a}/{b}/{c}/{d}/{e}", "/1/2/3/4/5", NULL},
        {"/x{a", "/xb", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = ARENA_INIT;
        const char *params[HTTP_PARAMS_MAX] = {0};
        char got[256] = "";
        bool ok = http_route_match(rows[i].pattern, rows[i].path, &a, params);
        for (size_t p = 0; ok && p < HTTP_PARAMS_MAX && params[p] != NULL; p++) {
            strncat(got, p > 0 ? "|" : "", sizeof got - strlen(got) - 1);
            strncat(got, params[p], sizeof got - strlen(got) - 1);
        }
        if (ok != (rows[i].params != NULL) || (ok && strcmp(got, rows[i].params) != 0))
            fail_msg("%s on %s: %s", rows[i].pattern, rows[i].path, ok ? got : "no match");
        arena_done(&a);
    }
}

static void never(struct http_request *req) { (void)req; }

static void first_row_wins(void **state)
{
    (void)state;
    static const struct http_route routes[] = {
        {HTTP_GET, "/models/df", never, .summary = "df"},
        {HTTP_DELETE, "/models/{x...}", never, .summary = "rm"},
        {HTTP_GET | HTTP_PUT, "/models/{x...}", never, .summary = "get"},
        {.pattern = NULL},
    };
    static const struct {
        const char *method, *path, *row;
        const char *allow;
    } rows[] = {
        {"GET", "/models/df", "df", NULL},
        {"HEAD", "/models/df", "df", NULL},
        {"PUT", "/models/df", "get", NULL},
        {"DELETE", "/models/a/b", "rm", NULL},
        {"POST", "/models/a/b", NULL, "GET, HEAD, DELETE, PUT"},
        {"PATCH", "/models/a/b", NULL, "GET, HEAD, DELETE, PUT"},
        {"GET", "/nothing", NULL, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = ARENA_INIT;
        const char *params[HTTP_PARAMS_MAX] = {0};
        char allow[64] = "";
        int methods = 0;
        enum http_method method = 0;
        route_method_parse(rows[i].method, &method);
        const struct http_route *r = route_find(routes, method, rows[i].path, &a, params, &methods);
        route_methods_text(methods, allow, sizeof allow);
        assert_string_equal(r != NULL ? r->summary : "", rows[i].row != NULL ? rows[i].row : "");
        if (r == NULL)
            assert_string_equal(allow, rows[i].allow);
        arena_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalises_paths),
        cmocka_unit_test(refuses_long_paths),
        cmocka_unit_test(matches_patterns),
        cmocka_unit_test(first_row_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
