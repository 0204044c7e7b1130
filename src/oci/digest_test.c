/* oci/digest_test: known sums, and the state saved in one place and loaded in another. */
#include "oci/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_known(void **state)
{
    (void)state;
    char text[DIGEST_TEXT];
    digest_of("", 0, text);
    assert_string_equal(text, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest_of("abc", 3, text);
    assert_string_equal(text, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    struct digest_hash h;
    digest_start(&h);
    digest_add(&h, "a", 1);
    digest_add(&h, NULL, 0);
    digest_add(&h, "bc", 2);
    char again[DIGEST_TEXT];
    digest_end(&h, again);
    assert_string_equal(text, again);
    assert_string_equal(digest_hex(text), text + 7);
}

static void test_valid(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        bool ok;
    } rows[] = {
        {"good", "sha256:" HEX64, true},
        {"NULL", NULL, false},
        {"empty", "", false},
        {"no prefix", HEX64, false},
        {"one short", "sha256:123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", false},
        {"one long", "sha256:" HEX64 "0", false},
        {"upper case", "sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", false},
        {"upper case prefix", "SHA256:" HEX64, false},
        {"sha512", "sha512:" HEX64, false},
        {"path", "sha256:../../../../../../../../../../../../../../../../../../../../etc/passwd", false},
        {"space at the end", "sha256:" HEX64 " ", false},
        {"newline at the end", "sha256:" HEX64 "\n", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (digest_valid(rows[i].text) != rows[i].ok)
            fail_msg("%s", rows[i].name);
}

static void test_save_load(void **state)
{
    (void)state;
    static unsigned char bytes[1000];
    char whole[DIGEST_TEXT];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7 + i / 13);
    digest_of(bytes, sizeof bytes, whole);
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        unsigned char saved[DIGEST_STATE_BYTES];
        struct digest_hash h;
        digest_start(&h);
        digest_add(&h, bytes, cut);
        assert_int_equal(digest_save(&h, saved), cut % 64 == 0);
        if (cut % 64 != 0)
            continue;
        assert_int_equal((uint64_t)saved[38] << 8 | saved[39], cut);
        struct digest_hash other;
        char text[DIGEST_TEXT];
        assert_true(digest_load(&other, saved));
        digest_add(&other, bytes + cut, sizeof bytes - cut);
        digest_end(&other, text);
        assert_string_equal(text, whole);
    }
}

/* The byte count above 2^29 reaches the high word of the bit count. */
static void test_save_load_large(void **state)
{
    (void)state;
    static unsigned char bytes[1 << 20];
    struct digest_hash h;
    unsigned char saved[DIGEST_STATE_BYTES];
    digest_start(&h);
    for (int i = 0; i < 513; i++)
        digest_add(&h, bytes, sizeof bytes);
    assert_true(digest_save(&h, saved));
    struct digest_hash other;
    assert_true(digest_load(&other, saved));
    digest_add(&h, "x", 1);
    digest_add(&other, "x", 1);
    char a[DIGEST_TEXT];
    char b[DIGEST_TEXT];
    digest_end(&h, a);
    digest_end(&other, b);
    assert_string_equal(a, b);
}

static void test_load_refuses(void **state)
{
    (void)state;
    unsigned char saved[DIGEST_STATE_BYTES] = {0};
    struct digest_hash h;
    saved[39] = 1;
    assert_false(digest_load(&h, saved));
    memset(saved, 0xff, sizeof saved);
    saved[39] = 0xc0;
    assert_false(digest_load(&h, saved));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known), cmocka_unit_test(test_valid),
                                       cmocka_unit_test(test_save_load), cmocka_unit_test(test_save_load_large),
                                       cmocka_unit_test(test_load_refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
