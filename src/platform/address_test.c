/* platform/address_test.c: each range, its edges, and the disguises. */
#include "base/check.h"
#include "platform/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_classes(void **state)
{
    static const struct {
        const char *text;
        enum address_class kind;
    } rows[] = {
        {"8.8.8.8", ADDRESS_PUBLIC},
        {"127.0.0.1", ADDRESS_LOOPBACK},
        {"127.255.255.255", ADDRESS_LOOPBACK},
        {"128.0.0.1", ADDRESS_PUBLIC},
        {"10.0.0.1", ADDRESS_PRIVATE},
        {"172.15.255.255", ADDRESS_PUBLIC},
        {"172.16.0.1", ADDRESS_PRIVATE},
        {"172.31.255.255", ADDRESS_PRIVATE},
        {"172.32.0.0", ADDRESS_PUBLIC},
        {"192.168.1.1", ADDRESS_PRIVATE},
        {"100.64.0.1", ADDRESS_SHARED},
        {"100.128.0.1", ADDRESS_PUBLIC},
        {"169.254.169.254", ADDRESS_LINK_LOCAL},
        {"0.0.0.0", ADDRESS_SPECIAL},
        {"0.1.2.3", ADDRESS_SPECIAL},
        {"224.0.0.1", ADDRESS_SPECIAL},
        {"255.255.255.255", ADDRESS_SPECIAL},
        {"2606:4700::1", ADDRESS_PUBLIC},
        {"::1", ADDRESS_LOOPBACK},
        {"::", ADDRESS_SPECIAL},
        {"::2", ADDRESS_SPECIAL},
        {"fd00::1", ADDRESS_PRIVATE},
        {"fe80::1", ADDRESS_LINK_LOCAL},
        {"fe80::1%eth0", ADDRESS_LINK_LOCAL},
        {"::ffff:127.0.0.1", ADDRESS_LOOPBACK},
        {"::ffff:10.1.2.3", ADDRESS_PRIVATE},
        {"::ffff:8.8.8.8", ADDRESS_PUBLIC},
        {"64:ff9b::169.254.169.254", ADDRESS_LINK_LOCAL},
        {"64:ff9b::808:808", ADDRESS_PUBLIC},
        {"2002:7f00:1::", ADDRESS_LOOPBACK},
        {"2001::1", ADDRESS_SPECIAL},
        {"2001:db8::1", ADDRESS_SPECIAL},
        {"ff02::1", ADDRESS_SPECIAL},
        {"0177.0.0.1", ADDRESS_SPECIAL},
        {"2130706433", ADDRESS_SPECIAL},
        {"name", ADDRESS_SPECIAL},
        {"", ADDRESS_SPECIAL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (address_class_of(rows[i].text) != rows[i].kind)
            fail_msg("%s is %d", rows[i].text, (int)address_class_of(rows[i].text));
}

static void test_resolve(void **state)
{
    struct address found[ADDRESSES_MAX];
    size_t n = 0;
    struct err err = ERR_INIT;
    (void)state;
    assert_true(address_resolve("127.0.0.1", found, &n, &err));
    assert_int_equal(n, 1);
    assert_string_equal(found[0].text, "127.0.0.1");
    assert_int_equal(found[0].kind, ADDRESS_LOOPBACK);
    assert_true(address_resolve("[::1]", found, &n, &err));
    assert_string_equal(found[0].text, "::1");
    assert_true(address_resolve("2130706433", found, &n, &err)); /* what a resolver makes of it is judged */
    assert_int_equal(found[0].kind, ADDRESS_LOOPBACK);
    assert_false(address_resolve("no-such-host.invalid", found, &n, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_classes), cmocka_unit_test(test_resolve)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
