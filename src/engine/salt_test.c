/* SipHash-2-4 with the key 00 01 .. 0f, as in the reference code's vectors. */
#include "engine/salt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct salt_key key = {{UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)}};

static void vectors(void **state)
{
    (void)state;
    assert_true(salt_of(&key, "") == UINT64_C(0x726fdb47dd0e0e31)); /* the reference code's first vector */
    assert_true(salt_of(&key, NULL) == 0);
    assert_true(salt_of(&key, "tenant-a") != salt_of(&key, "tenant-b"));
    assert_true(salt_of(&key, "a") != salt_of(&key, "aa"));
    assert_true(salt_of(&key, "same") == salt_of(&key, "same"));
}

static void another_key_gives_another_salt(void **state)
{
    struct salt_key other = {{1, 2}};
    (void)state;
    assert_true(salt_of(&key, "tenant") != salt_of(&other, "tenant"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(vectors), cmocka_unit_test(another_key_gives_another_salt)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
