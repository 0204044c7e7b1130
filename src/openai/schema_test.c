/* JSON schemas: what is kept, changed, refused by which name, and hostile ones. */
#include "openai/schema.h"

#include "base/limits.h"
#include "openai/pattern.h"
#include "json/json_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static json_t *parse(const char *text)
{
    struct err err = ERR_INIT;
    json_t *root = NULL;
    if (!json_parse(text, strlen(text), &root, &err))
        fail_msg("%s: %s", text, err.text);
    return root;
}

#define OBJECT(...) "{\"type\":\"object\",\"properties\":{\"a\":" __VA_ARGS__ "}}"

static void strict_ones(void **state)
{
    static const struct {
        const char *schema, *says; /* NULL: taken */
    } rows[] = {
        {OBJECT("{\"type\":\"string\"}"), NULL},
        {OBJECT("{\"type\":[\"string\",\"null\"],\"description\":\"d\",\"default\":\"x\"}"), NULL},
        {OBJECT("{\"type\":\"integer\",\"minimum\":1,\"exclusiveMaximum\":9}"), NULL},
        {OBJECT("{\"type\":\"number\",\"minimum\":1}"), "\"minimum\" is not supported"},
        {OBJECT("{\"type\":\"number\",\"multipleOf\":2}"), "\"multipleOf\" is not supported"},
        {OBJECT("{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"minItems\":1,\"maxItems\":3}"), NULL},
        {OBJECT("{\"type\":\"array\",\"uniqueItems\":true}"), "\"uniqueItems\" is not supported"},
        {OBJECT("{\"type\":\"array\",\"minItems\":3,\"maxItems\":2}"), "nothing fits"},
        {OBJECT("{\"type\":\"string\",\"minLength\":-1}"), "whole number"},
        {OBJECT("{\"type\":\"string\",\"maxLength\":1000000}"), "LIMIT_SCHEMA_COUNT"},
        {OBJECT("{\"type\":\"string\",\"format\":\"email\"}"), NULL},
        {OBJECT("{\"type\":\"string\",\"format\":\"date-time\"}"), NULL},
        {OBJECT("{\"type\":\"string\",\"format\":\"iri\"}"), "format \"iri\""},
        {OBJECT("{\"type\":\"string\",\"pattern\":\"^[a-z]+$\"}"), NULL},
        {OBJECT("{\"type\":\"string\",\"pattern\":\"(?=a)b\"}"), "lookaround"},
        {OBJECT("{\"type\":\"string\",\"pattern\":\"^a$\",\"maxLength\":3}"), "\"maxLength\" is not supported"},
        {OBJECT("{\"type\":\"text\"}"), "\"type\" must be"},
        {OBJECT("{\"type\":[]}"), "nothing fits"},
        {OBJECT("{\"enum\":[]}"), "\"enum\""},
        {OBJECT("{\"enum\":[1,\"a\",null]}"), NULL},
        {OBJECT("{\"const\":{\"x\":1}}"), NULL},
        {OBJECT("{\"anyOf\":[]}"), "\"anyOf\""},
        {OBJECT("{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}"), NULL},
        {OBJECT("{\"anyOf\":[{\"type\":\"string\"}],\"enum\":[\"a\"]}"), "beside"},
        {OBJECT("{\"not\":{\"type\":\"string\"}}"), "\"not\" is not supported"},
        {OBJECT("{\"if\":{},\"then\":{}}"), "is not supported"},
        {OBJECT("true"), "must be an object"},
        {OBJECT("{\"$ref\":\"#/$defs/b\"}"), "within this schema"},
        {OBJECT("{\"$ref\":\"https://example.com/s.json\"}"), "not fetched"},
        {OBJECT("{\"$ref\":\"#\"}"), "\"#\" alone"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/n\"}},\"$defs\":{\"n\":{\"type\":\"object\","
         "\"properties\":{\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/n\"},{\"type\":\"null\"}]}}}}}",
         NULL},
        {"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"$ref\":\"#/$defs/a\"}}}",
         "circle"},
        {"{\"allOf\":[{\"$ref\":\"#/$defs/a\"}],\"$defs\":{\"a\":{\"$ref\":\"#/$defs/a\"}}}", "circle"},
        {"{\"allOf\":[{\"$ref\":\"#/x-a\"}],\"x-a\":{\"allOf\":[{\"$ref\":\"#/x-b\"}]},\"x-b\":{\"properties\":{}}}",
         "properties"},
        {"{\"$ref\":\"#/x-a\",\"x-a\":{\"type\":\"object\"}}", "no schema"},
        {"{\"allOf\":[{\"type\":\"string\"}]}", "\"allOf\" is supported for objects"},
        {"{\"type\":\"object\",\"properties\":{},\"required\":[\"b\"]}", "\"required\" names"},
        {"{\"type\":\"object\",\"patternProperties\":{}}", "\"patternProperties\" is not supported"},
        {"[]", "must be an object"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = ERR_INIT;
        json_t *schema = parse(rows[i].schema);
        bool ok = schema_prepare(schema, "s", SCHEMA_STRICT, &err);
        if (ok != (rows[i].says == NULL) || (!ok && strstr(err.text, rows[i].says) == NULL))
            fail_msg("%s: %d '%s'", rows[i].schema, ok, err.text);
        if (!ok)
            assert_string_equal(err.param, "s");
        json_decref(schema);
    }
}

/* What a grammar cannot hold is left out of a tool's parameters; what makes no sense is refused all the same. */
static void lenient_ones(void **state)
{
    static const struct {
        const char *schema, *becomes; /* NULL: refused */
    } rows[] = {
        {"{\"type\":\"object\",\"not\":{},\"x-a\":1}", "{\"type\":\"object\",\"x-a\":1}"},
        {"{\"type\":\"number\",\"minimum\":1}", "{\"type\":\"number\"}"},
        {"{\"type\":\"string\",\"format\":\"iri\"}", "{\"type\":\"string\"}"},
        {"{\"type\":\"string\",\"pattern\":\"(?=a)\"}", "{\"type\":\"string\"}"},
        {"{\"type\":\"string\",\"pattern\":\"a\\\\db\"}",
         "{\"type\":\"string\",\"pattern\":\"^[^\\\\x00-\\\\x1F\\\"\\\\\\\\\\\\x7F]*(a[0-9]b)[^\\\\x00-"
         "\\\\x1F\\\"\\\\\\\\\\\\x7F]*$\"}"},
        {"{\"type\":\"string\",\"maxLength\":99999999}", "{\"type\":\"string\"}"},
        {"{\"type\":\"array\",\"prefixItems\":[{}],\"items\":false}", "{\"type\":\"array\",\"prefixItems\":[{}]}"},
        {"{\"type\":\"wrong\"}", NULL},
        {"{\"$ref\":\"#/nowhere\"}", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = ERR_INIT;
        json_t *schema = parse(rows[i].schema);
        bool ok = schema_prepare(schema, "s", SCHEMA_LENIENT, &err);
        char *text = json_dumps(schema, JSON_COMPACT);
        if (ok != (rows[i].becomes != NULL) || (ok && strcmp(text, rows[i].becomes) != 0))
            fail_msg("%s: %d %s %s", rows[i].schema, ok, text, err.text);
        free(text);
        json_decref(schema);
    }
}

static void large_ones_name_their_limit(void **state)
{
    (void)state;
    static const char *const limits[] = {"LIMIT_SCHEMA_PROPERTIES", "LIMIT_SCHEMA_NODES", "LIMIT_SCHEMA_DEPTH",
                                         "LIMIT_SCHEMA_ENUM", "LIMIT_SCHEMA_NAME_BYTES"};
    for (size_t i = 0; i < 5; i++) {
        struct err err = ERR_INIT;
        json_t *schema = parse("{\"type\":\"object\",\"properties\":{}}");
        json_t *properties = json_object_get(schema, "properties");
        json_t *at = properties;
        char name[300];
        for (int k = 0; i == 0 && k <= LIMIT_SCHEMA_PROPERTIES; k++) {
            snprintf(name, sizeof name, "p%d", k);
            json_object_set_new(properties, name, json_object());
        }
        for (int k = 0; i == 1 && k < 100; k++) {
            snprintf(name, sizeof name, "p%d", k);
            json_t *list = json_array();
            for (int n = 0; n < 50; n++)
                json_array_append_new(list, json_object());
            json_object_set_new(properties, name, json_pack("{s:o}", "anyOf", list));
        }
        for (int k = 0; i == 2 && k < 40; k++) {
            json_object_set_new(at, "a", json_pack("{s:s,s:{}}", "type", "object", "properties"));
            at = json_object_get(json_object_get(at, "a"), "properties");
        }
        if (i == 3) {
            json_t *list = json_array();
            for (int k = 0; k <= LIMIT_SCHEMA_ENUM; k++)
                json_array_append_new(list, json_integer(k));
            json_object_set_new(properties, "a", json_pack("{s:o}", "enum", list));
        }
        if (i == 4) {
            memset(name, 'n', sizeof name - 1);
            name[sizeof name - 1] = '\0';
            json_object_set_new(properties, name, json_object());
        }
        assert_false(schema_prepare(schema, "s", SCHEMA_LENIENT, &err));
        if (strstr(err.text, limits[i]) == NULL)
            fail_msg("%s: %s", limits[i], err.text);
        json_decref(schema);
    }
}

#define ANY "[^\\x00-\\x1F\"\\\\\\x7F]"

static void patterns(void **state)
{
    static const struct {
        const char *pattern, *plain; /* NULL: refused */
    } rows[] = {
        {"^abc$", "^(abc)$"},
        {"^a|b$", "^(a|b)$"},
        {"abc", "^" ANY "*(abc)" ANY "*$"},
        {"^\\d{3}-\\w+\\.x$", "^([0-9]{3}-[0-9A-Za-z_]+\\.x)$"},
        {"^[\\d.\\-]+$", "^([0-9.\\-]+)$"},
        {"^[^\\s]+$", "^([^\\x00-\\x1F\"\\\\\\x7F ]+)$"},
        {"^.*?x$", "^(" ANY "*x)$"},
        {"^(?:a|b)+$", "^((a|b)+)$"},
        {"^\\u00e9$", "^(\\u00e9)$"},
        {"^a\\/b$", "^(a/b)$"},
        {"(?!a)b", NULL},
        {"(?<name>a)", NULL},
        {"\\bword\\b", NULL},
        {"^(a)\\1$", NULL},
        {"a^b", NULL},
        {"a$b", NULL},
        {"^\"$", NULL},
        {"^\\n$", NULL},
        {"^(a$", NULL},
        {"^a)$", NULL},
        {"^[a$", NULL},
        {"^a{99999}$", NULL},
        {"^a{,3}$", NULL},
        {"^(((((((((((((((((((((((((((((((((a)))))))))))))))))))))))))))))))))$", NULL},
        {"^a\\", NULL},
        {"^\\x1$", NULL},
        {"^[\\u12]$", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char why[128] = "";
        char *plain = pattern_plain(rows[i].pattern, why, sizeof why);
        if ((plain == NULL) != (rows[i].plain == NULL) || (plain != NULL && strcmp(plain, rows[i].plain) != 0))
            fail_msg("%s: %s (%s)", rows[i].pattern, plain == NULL ? "refused" : plain, why);
        assert_true(plain != NULL || why[0] != '\0');
        free(plain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strict_ones),
        cmocka_unit_test(lenient_ones),
        cmocka_unit_test(large_ones_name_their_limit),
        cmocka_unit_test(patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
