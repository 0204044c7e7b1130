/* registry/challenge_test.c: what registries send, and what they should not. */
#include "base/check.h"
#include "registry/challenge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_headers(void **state)
{
    static const struct {
        const char *name, *header;
        bool bearer, basic;
        const char *realm, *service, *scope, *error;
    } rows[] = {
        {"Docker Hub",
         "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
         "scope=\"repository:ai/x:pull\"",
         true, false, "https://auth.docker.io/token", "registry.docker.io", "repository:ai/x:pull", ""},
        {"commas in the scope", "Bearer realm=\"https://a/t\",scope=\"repository:a:pull,push\",error=\"invalid_token\"",
         true, false, "https://a/t", "", "repository:a:pull,push", "invalid_token"},
        {"two scopes", "Bearer realm=\"https://a/t\",scope=\"repository:a:pull,push repository:b:pull\"", true, false,
         "https://a/t", "", "repository:a:pull,push repository:b:pull", ""},
        {"Basic first", "Basic realm=\"x, y\", Bearer realm=\"https://a/t\"", true, true, "https://a/t", "", "", ""},
        {"Bearer first", "Bearer realm=\"https://a/t\", Basic realm=\"x\"", true, true, "https://a/t", "", "", ""},
        {"Basic alone", "Basic realm=\"Registry Realm\"", false, true, "", "", "", ""},
        {"Basic bare", "Basic", false, true, "", "", "", ""},
        {"case", "BEARER Realm=\"https://a/t\",SERVICE=s", true, false, "https://a/t", "s", "", ""},
        {"escapes", "Bearer realm=\"https://a/t\",service=\"a\\\"b\\\\c\"", true, false, "https://a/t", "a\"b\\c", "",
         ""},
        {"spaces", "Bearer   realm = \"https://a/t\" ,  service = \"s\"  ", true, false, "https://a/t", "s", "", ""},
        {"bare URL", "Bearer realm=https://a/t?x=1,service=s", true, false, "https://a/t?x=1", "s", "", ""},
        {"token68", "Negotiate YIIabc==, Bearer realm=\"https://a/t\"", true, false, "https://a/t", "", "", ""},
        {"bare Negotiate", "Negotiate, Bearer realm=\"https://a/t\"", true, false, "https://a/t", "", "", ""},
        {"other scheme's realm is not ours", "Digest realm=\"https://evil/\", Basic realm=\"b\"", false, true, "", "",
         "", ""},
        {"no realm", "Bearer service=\"s\"", false, false, "", "", "", ""},
        {"the first value counts", "Bearer realm=\"https://a/t\",realm=\"https://evil/\"", true, false, "https://a/t",
         "", "", ""},
        {"the first Bearer counts", "Bearer realm=\"https://a/t\", Bearer realm=\"https://evil/\"", true, false,
         "https://a/t", "", "", ""},
        {"open quote", "Bearer realm=\"https://a/t", false, false, "", "", "", ""},
        {"control character", "Bearer realm=\"https://a/\x01t\"", false, false, "", "", "", ""},
        {"empty", "", false, false, "", "", "", ""},
        {"commas", ",,, ,", false, false, "", "", "", ""},
        {"garbage", "=\"\\,@@ (x) Bearer", false, false, "", "", "", ""},
        {"long scheme", "BearerBearerBearerBearer realm=\"https://a/t\"", false, false, "", "", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct challenge c = {0};
        challenge_read(rows[i].header, &c);
        if (c.bearer != rows[i].bearer || c.basic != rows[i].basic || strcmp(c.realm, rows[i].realm) != 0 ||
            strcmp(c.service, rows[i].service) != 0 || strcmp(c.scope, rows[i].scope) != 0 ||
            strcmp(c.error, rows[i].error) != 0)
            fail_msg("%s: bearer %d basic %d realm '%s' service '%s' scope '%s' error '%s'", rows[i].name, c.bearer,
                     c.basic, c.realm, c.service, c.scope, c.error);
    }
}

static void test_several_headers(void **state)
{
    struct challenge c = {0};
    (void)state;
    challenge_read("Basic realm=\"x\"", &c);
    challenge_read("Bearer realm=\"https://a/t\"", &c);
    assert_true(c.basic && c.bearer);
    assert_string_equal(c.realm, "https://a/t");
}

static void test_too_long(void **state)
{
    static char header[8000];
    struct challenge c = {0};
    (void)state;
    strcpy(header, "Bearer realm=\"https://a/");
    memset(header + strlen(header), 'x', 4000);
    strcat(header, "\", Basic realm=\"b\"");
    challenge_read(header, &c);
    assert_false(c.bearer); /* unusable, not cut to another URL */
    assert_true(c.basic);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_several_headers),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
