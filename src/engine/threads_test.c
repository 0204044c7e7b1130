/* A machine where a step's length depends on threads and neighbours as engine.md measured it. */
#include "engine/threads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS ((int64_t)1000000)

static int64_t now;

/* One row: 10 ms with one thread, half with two; `slower` is how many times as long several threads take. */
static int32_t step(struct threads *t, int32_t rows, int slower)
{
    int64_t wall = 10 * MS * rows / t->now * (t->now > 1 ? slower : 1);
    now += wall;
    return threads_observe(t, rows, wall, now);
}

static void start(struct threads *t, int32_t maximum)
{
    threads_init(t, maximum);
    for (int i = 0; i < 20; i++)
        step(t, 1, 1);
}

static void quiet_stays_at_maximum(void **state)
{
    struct threads t;
    (void)state;
    start(&t, 4);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(step(&t, 1 + i % 90, 1), 4);
}

static void longer_sequences_are_no_neighbours(void **state)
{
    struct threads t;
    (void)state;
    start(&t, 2);
    for (int i = 0; i < 4000; i++)
        assert_int_equal(threads_observe(&t, 1, 5 * MS + 10000 * i, now += 5 * MS), 2);
}

static void a_hiccup_changes_nothing(void **state)
{
    struct threads t;
    (void)state;
    start(&t, 2);
    for (int i = 0; i < 100; i++)
        assert_int_equal(step(&t, 1, i % 4 == 0 ? 1 : 40), 2);
}

static void what_still_gains_keeps_its_threads(void **state)
{
    struct threads t;
    (void)state;
    start(&t, 2);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(step(&t, 1, 2), 2); /* as long as with one: no gain, but no loss */
    for (int i = 0; i < 100; i++)
        assert_int_equal(step(&t, THREADS_ROWS + 1, 9), 2); /* long steps say nothing */
}

static void a_neighbour_takes_threads_away_but_one(void **state)
{
    struct threads t;
    (void)state;
    start(&t, 3);
    for (int i = 0; i < 4; i++)
        step(&t, 1, 5);
    assert_int_equal(t.now, 2);
    for (int i = 0; i < 4; i++)
        step(&t, 1, 5);
    assert_int_equal(t.now, 1);
    for (int i = 0; i < 50; i++)
        assert_int_equal(step(&t, 1, 5), 1);
}

static void comes_back_when_the_neighbour_has_gone(void **state)
{
    struct threads t;
    int steps = 0;
    (void)state;
    start(&t, 2);
    for (int i = 0; i < 4; i++)
        step(&t, 1, 5);
    assert_int_equal(t.now, 1);
    while (step(&t, 1, 1) == 1)
        assert_true(++steps < 200);
    for (int i = 0; i < 500; i++)
        assert_int_equal(step(&t, 1, 1), 2);
    assert_int_equal(t.pause_ns, 1000 * MS); /* and the next pause is a short one again */
}

static void failing_tries_become_rare(void **state)
{
    struct threads t;
    int tries = 0;
    (void)state;
    start(&t, 2);
    for (int i = 0; i < 12000; i++) { /* two minutes */
        int32_t before = t.now;
        tries += step(&t, 1, 5) > before;
    }
    assert_in_range(tries, 3, 9); /* after 1, 2, 4, 8, 16, 32, 32 … seconds, one step each */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quiet_stays_at_maximum),
        cmocka_unit_test(longer_sequences_are_no_neighbours),
        cmocka_unit_test(a_hiccup_changes_nothing),
        cmocka_unit_test(what_still_gains_keeps_its_threads),
        cmocka_unit_test(a_neighbour_takes_threads_away_but_one),
        cmocka_unit_test(comes_back_when_the_neighbour_has_gone),
        cmocka_unit_test(failing_tries_become_rare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
