/* platform/interface_test.c: which names are Docker's, which peers are this machine's; loopback is always there. */
#include "platform/interface.h"

#include "base/check.h"
#include "platform/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_names(void **state)
{
    static const struct {
        const char *name;
        bool docker;
    } rows[] = {
        {"docker0", true},
        {"docker12", true},
        {"docker", false},
        {"docker_gwbridge", false},
        {"br-0123456789ab", true},
        {"br-lan", false},
        {"br-0123456789aX", false},
        {"br-0123456789abc", false},
        {"br-0123456789a", false},
        {"br0", false},
        {"virbr0", false},
        {"eth0", false},
        {"", false},
        {"lo", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (interface_is_docker(rows[i].name) != rows[i].docker)
            fail_msg("%s", rows[i].name);
    }
}

static void test_address(void **state)
{
    char address[ADDRESS_TEXT] = "untouched";
    (void)state;
    assert_true(interface_address("lo", address));
    assert_string_equal(address, "127.0.0.1");
    assert_false(interface_address("none-such-0", address));
    assert_false(interface_address("a-name-that-is-longer-than-any-interface", address));
    assert_string_equal(address, "127.0.0.1");
}

static void test_peers(void **state)
{
    static const struct {
        const char *bridge, *peer;
        bool local;
    } rows[] = {
        {"docker0", "127.0.0.1", true},        {"docker0", "127.1.2.3", true},
        {"docker0", "::ffff:127.0.0.1", true}, {"docker0", "8.8.8.8", false},
        {"docker0", "not an address", false},  {"docker0", "", false},
        {"docker0", "2001:db8::1", false},     {"lo", "8.8.8.8", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (interface_peer_is_local(rows[i].bridge, rows[i].peer) != rows[i].local)
            fail_msg("%s by %s", rows[i].peer, rows[i].bridge);
    }
}

static void test_watch(void **state)
{
    int fd = -1;
    (void)state;
    assert_true(interface_watch(&fd, NULL));
    assert_true(fd >= 0);
    file_close(&fd);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_address),
        cmocka_unit_test(test_peers),
        cmocka_unit_test(test_watch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
