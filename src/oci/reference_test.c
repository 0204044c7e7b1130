/* oci/reference_test: dmr.md 3's table, and names that must never become a path or a URL. */
#include "oci/reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
    const char *name, *in, *out;
} good[] = {
    {"short name", "gemma3", "docker.io/ai/gemma3:latest"},
    {"upper case name", "MyModel", "docker.io/ai/mymodel:latest"},
    {"empty tag", "model:", "docker.io/ai/model:latest"},
    {"organisation", "myorg/model:v2", "docker.io/myorg/model:v2"},
    {"registry without organisation", "registry.example.com/model", "registry.example.com/model:latest"},
    {"hugging face", "hf.co/Org/Model:Q4_K_M", "huggingface.co/org/model:Q4_K_M"},
    {"hugging face, upper case", "HF.co/Org/Model", "huggingface.co/org/model:latest"},
    {"hugging face, long", "huggingface.co/Org/Model-1.5:IQ2_XXS", "huggingface.co/org/model-1.5:IQ2_XXS"},
    {"seed", "ai/llama3.2:1B-Q8_0", "docker.io/ai/llama3.2:1B-Q8_0"},
    {"whole", "docker.io/ai/smollm2:latest", "docker.io/ai/smollm2:latest"},
    {"docker hub's other name", "index.docker.io/ai/smollm2", "docker.io/ai/smollm2:latest"},
    {"docker hub without organisation", "docker.io/smollm2", "docker.io/ai/smollm2:latest"},
    {"host and port", "host:5000/x/y:z", "host:5000/x/y:z"},
    {"host and port, no tag", "127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"},
    {"localhost", "localhost/x", "localhost/x:latest"},
    {"localhost, upper case", "LOCALHOST/X", "localhost/x:latest"},
    {"localhost and port", "localhost:5000/ai/smollm2", "localhost:5000/ai/smollm2:latest"},
    {"a name and a tag of digits", "localhost:5000", "docker.io/ai/localhost:5000"},
    {"ipv6", "[::1]:5000/x", "[::1]:5000/x:latest"},
    {"spaces around", " \tsmollm2\n", "docker.io/ai/smollm2:latest"},
    {"digest", "ai/smollm2@sha256:" HEX64, "docker.io/ai/smollm2@sha256:" HEX64},
    {"tag and digest", "ai/smollm2:v1@sha256:" HEX64, "docker.io/ai/smollm2@sha256:" HEX64},
    {"separators", "a__b/c-d---e/f.g_h", "docker.io/a__b/c-d---e/f.g_h:latest"},
    {"11 hex digits are a name", "1234567890a", "docker.io/ai/1234567890a:latest"},
    {"13 hex digits are a name", "1234567890abc", "docker.io/ai/1234567890abc:latest"},
    {"an id behind an organisation", "ai/1234567890ab", "docker.io/ai/1234567890ab:latest"},
};

static const struct {
    const char *name, *in, *why;
} bad[] = {
    {"empty", "", "empty"},
    {"blank", "  ", "empty"},
    {"short id", "1234567890ab", "id"},
    {"long id", HEX64, "id"},
    {"digest alone", "sha256:" HEX64, "id"},
    {"parent", "../x", "host name"},
    {"parent in the middle", "a/../../etc/passwd", "parts of a name"},
    {"dot", "./x", "host name"},
    {"absolute", "/etc/passwd", "parts of a name"},
    {"two slashes", "a//b", "parts of a name"},
    {"slash at the end", "a/b/", "parts of a name"},
    {"slash alone", "/", "parts of a name"},
    {"scheme", "https://registry.example.com/x", "scheme"},
    {"file", "file:///etc/passwd", "scheme"},
    {"space", "a b", "parts of a name"},
    {"control character",
     "a\x01"
     "b",
     "parts of a name"},
    {"newline in the middle", "a\nb", "parts of a name"},
    {"not ascii", "mod\xc3\xa8le", "parts of a name"},
    {"not utf-8", "\xff\xfe", "parts of a name"},
    {"dot at the start", ".a/b", "host name"},
    {"three underscores", "a___b", "parts of a name"},
    {"two dots", "ai/a..b", "parts of a name"},
    {"dash at the end", "ai/a-", "parts of a name"},
    {"percent", "a%2e%2e/b", "parts of a name"},
    {"backslash", "a\\b", "parts of a name"},
    {"tag with a slash before", "a:b:c", "parts of a name"},
    {"tag begins with a dot", "a:.b", "tag"},
    {"tag begins with a dash", "a:-b", "tag"},
    {"tag with a space", "a:b c", "tag"},
    {"tag too long",
     "a:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
     "tag"},
    {"digest too short", "a@sha256:abcd", "64 digits"},
    {"digest too long", "a@sha256:" HEX64 "0", "64 digits"},
    {"digest in upper case", "a@sha256:ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789", "64 digits"},
    {"digest of another kind", "a@sha512:" HEX64, "64 digits"},
    {"digest empty", "a@", "64 digits"},
    {"digest with a path", "a@sha256:../../../../../../../etc/passwd", "64 digits"},
    {"two digests", "a@sha256:" HEX64 "@sha256:" HEX64, "64 digits"},
    {"no name before the digest", "@sha256:" HEX64, "parts of a name"},
    {"port 0", "host:0/x", "host name"},
    {"port too large", "host:65536/x", "host name"},
    {"port not a number", "host:a/x", "host name"},
    {"port empty", "host:/x", "host name"},
    {"port signed", "host:+80/x", "host name"},
    {"user before the host", "user:secret@host.example/x", "64 digits"},
    {"host with a dash first", "-a.example/x", "host name"},
    {"host with an empty label", "a..example/x", "host name"},
    {"ipv6 open", "[::1/x", "host name"},
    {"ipv6 with dots", "[::..1]/x", "host name"},
    {"registry without a name", "registry.example.com/", "parts of a name"},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct reference r;
        struct err err = {0};
        if (!reference_parse(good[i].in, &r, &err))
            fail_msg("%s: %s", good[i].name, err.text);
        if (strcmp(r.text, good[i].out) != 0)
            fail_msg("%s: %s", good[i].name, r.text);
        struct reference again;
        assert_true(reference_parse(r.text, &again, &err));
        assert_string_equal(again.text, r.text);
    }
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct reference r;
        memset(&r, 0x5a, sizeof r);
        struct reference before = r;
        struct err err = {0};
        if (reference_parse(bad[i].in, &r, &err))
            fail_msg("%s: taken as %s", bad[i].name, r.text);
        assert_int_equal(err.code, ERR_INVALID);
        if (strstr(err.text, bad[i].why) == NULL)
            fail_msg("%s: %s", bad[i].name, err.text);
        for (const char *s = err.text; *s != '\0'; s++)
            assert_in_range(*s, 0x20, 0x7e);
        assert_memory_equal(&r, &before, sizeof r);
    }
}

static void test_long(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t n;
        bool ok;
    } rows[] = {{"fits", 255 - 13, true}, {"one more", 255 - 12, false}, {"300", 300, false}, {"5000", 5000, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[6000];
        struct reference r;
        struct err err = {0};
        memset(text, 'a', rows[i].n);
        text[rows[i].n] = '\0';
        if (reference_parse(text, &r, &err) != rows[i].ok)
            fail_msg("%s: %s", rows[i].name, err.text);
    }
}

static void test_parts(void **state)
{
    (void)state;
    struct reference r;
    assert_true(reference_parse("Host.Example:5000/Org/Model:V2", &r, NULL));
    assert_string_equal(r.registry, "host.example:5000");
    assert_string_equal(r.repository, "org/model");
    assert_string_equal(r.tag, "V2");
    assert_string_equal(r.digest, "");
    assert_true(reference_parse("model:v1@sha256:" HEX64, &r, NULL));
    assert_string_equal(r.tag, "");
    assert_string_equal(r.digest, "sha256:" HEX64);
}

static void test_id(void **state)
{
    (void)state;
    assert_true(reference_is_id("1234567890ab"));
    assert_true(reference_is_id(HEX64));
    assert_true(reference_is_id("sha256:" HEX64));
    assert_false(reference_is_id("sha256:1234567890ab"));
    assert_false(reference_is_id("1234567890AB"));
    assert_false(reference_is_id("1234567890a"));
    assert_false(reference_is_id(""));
    assert_false(reference_is_id("smollm2"));
}

static void test_display(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"docker.io/ai/smollm2:latest", "smollm2"},
        {"index.docker.io/ai/smollm2:v1", "smollm2:v1"},
        {"docker.io/myorg/model:latest", "myorg/model"},
        {"huggingface.co/org/model:Q4_K_M", "huggingface.co/org/model:Q4_K_M"},
        {"localhost:5000/x:latest", "localhost:5000/x"},
        {"docker.io/ai/smollm2@sha256:" HEX64, "smollm2@sha256:" HEX64},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char shown[512];
        reference_display(rows[i].in, shown);
        assert_string_equal(shown, rows[i].out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
                                       cmocka_unit_test(test_long), cmocka_unit_test(test_parts),
                                       cmocka_unit_test(test_id),   cmocka_unit_test(test_display)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
