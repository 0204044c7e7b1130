/* Steps of 10 ms, undisturbed or with a neighbour that takes half of the CPU time. */
#include "engine/threads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS ((int64_t)1000000)

static int64_t now;

static int32_t step(struct threads *t, int percent)
{
    now += 10 * MS;
    return threads_observe(t, 10 * MS, 10 * MS * t->now * percent / 100, now);
}

static void quiet_stays_at_maximum(void **state)
{
    struct threads t;
    (void)state;
    threads_init(&t, 4);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(step(&t, 97), 4);
}

static void one_hiccup_changes_nothing(void **state)
{
    struct threads t;
    (void)state;
    threads_init(&t, 2);
    for (int i = 0; i < 100; i++)
        assert_int_equal(step(&t, i % 4 == 0 ? 99 : 50), 2);
}

static void neighbour_takes_threads_away_but_one(void **state)
{
    struct threads t;
    (void)state;
    threads_init(&t, 3);
    for (int i = 0; i < 4; i++)
        step(&t, 50);
    assert_int_equal(t.now, 2);
    for (int i = 0; i < 4; i++)
        step(&t, 50);
    assert_int_equal(t.now, 1);
    for (int i = 0; i < 50; i++)
        assert_int_equal(step(&t, 10), 1);
}

static void comes_back_when_the_neighbour_has_gone(void **state)
{
    struct threads t;
    (void)state;
    threads_init(&t, 2);
    for (int i = 0; i < 4; i++)
        step(&t, 50);
    assert_int_equal(t.now, 1);
    int steps = 0;
    while (step(&t, 99) == 1)
        assert_true(++steps < 200);
    for (int i = 0; i < 500; i++)
        assert_int_equal(step(&t, 99), 2);
    assert_int_equal(t.pause_ns, 1000 * MS); /* and the next pause is a short one again */
}

static void failing_tries_become_rare(void **state)
{
    struct threads t;
    int tries = 0;
    (void)state;
    threads_init(&t, 2);
    for (int i = 0; i < 12000; i++) { /* two minutes */
        int32_t before = t.now;
        tries += step(&t, before == 2 ? 50 : 99) > before;
    }
    assert_in_range(tries, 3, 9); /* after 1, 2, 4, 8, 16, 32, 32 … seconds, one step each */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quiet_stays_at_maximum),
        cmocka_unit_test(one_hiccup_changes_nothing),
        cmocka_unit_test(neighbour_takes_threads_away_but_one),
        cmocka_unit_test(comes_back_when_the_neighbour_has_gone),
        cmocka_unit_test(failing_tries_become_rare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
