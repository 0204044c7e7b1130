/* Prefixes in host memory: found by their tokens, bounded, the least recently used leaves first. */
#include "engine/park.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const int32_t abc[] = {1, 2, 3}, abcd[] = {1, 2, 3, 4}, xyz[] = {7, 8, 9}, abx[] = {1, 2, 9};

static bool put(struct park *p, const int32_t *tokens, int32_t n, uint64_t salt, size_t size)
{
    char *blob = park_put(p, tokens, n, salt, size);
    if (blob != NULL)
        memset(blob, tokens[0], size);
    return blob != NULL;
}

static int32_t find(const struct park *p, const int32_t *tokens, int32_t n, uint64_t salt, bool whole)
{
    int32_t common = -1;
    const struct park_entry *e = park_find(p, tokens, n, salt, whole, &common);
    assert_int_equal(e != NULL, common > 0);
    if (e != NULL)
        assert_int_equal(((char *)e->blob)[e->size - 1], tokens[0]);
    return common;
}

static void the_longest_is_found(void **state)
{
    (void)state;
    struct park *p = park_new(100);
    assert_true(put(p, abc, 3, 0, 10));
    assert_true(put(p, xyz, 3, 0, 10));
    assert_int_equal(find(p, abcd, 4, 0, false), 3);
    assert_int_equal(find(p, abcd, 4, 0, true), 3);
    assert_int_equal(find(p, abx, 3, 0, false), 2);
    assert_int_equal(find(p, abx, 3, 0, true), 0);
    assert_int_equal(find(p, abcd, 4, 5, false), 0); /* another tenant's */
    assert_true(put(p, abcd, 4, 0, 12));             /* replaces its beginning */
    assert_int_equal(park_bytes(p), 22);
    assert_true(put(p, abcd, 4, 5, 12));
    assert_int_equal(park_bytes(p), 34);
    assert_true(park_clear(p));
    assert_false(park_clear(p));
    assert_int_equal(park_bytes(p), 0);
    park_free(&p);
}

static void the_oldest_leaves(void **state)
{
    int32_t common;
    (void)state;
    struct park *p = park_new(25);
    assert_true(put(p, abc, 3, 0, 10));
    assert_true(put(p, xyz, 3, 0, 10));
    struct park_entry *e = park_find(p, abc, 3, 0, false, &common);
    park_pin(p, e); /* used, and it may not leave */
    assert_true(put(p, abx, 3, 1, 10));
    assert_int_equal(find(p, xyz, 3, 0, false), 0);
    assert_false(put(p, xyz, 3, 0, 20)); /* only the pinned one is left beside it */
    assert_int_equal(find(p, abc, 3, 0, false), 3);
    park_unpin(e);
    assert_true(put(p, xyz, 3, 0, 20));
    assert_int_equal(find(p, abc, 3, 0, false), 0);
    assert_false(put(p, abc, 3, 0, 26)); /* more than there is at all: nothing leaves for it */
    assert_int_equal(find(p, xyz, 3, 0, false), 3);
    assert_int_equal(park_evictions(p), 3);
    park_free(&p);
}

static void entries_have_a_limit(void **state)
{
    int32_t tokens[2] = {0, 1};
    (void)state;
    struct park *p = park_new(100000);
    for (int32_t i = 0; i < PARK_MOST + 10; i++) {
        tokens[0] = i + 1;
        assert_true(put(p, tokens, 2, 0, 8));
    }
    assert_int_equal(park_bytes(p), PARK_MOST * 8);
    assert_int_equal(park_evictions(p), 10);
    park_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_is_found),
        cmocka_unit_test(the_oldest_leaves),
        cmocka_unit_test(entries_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
