/* The cost model against machines that are known exactly, with noise and neighbours. */
#include "engine/cost.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct machine {
    const char *name;
    double step, row, output, thousand_cells; /* ms */
    int noise_percent;
};

static const struct machine machines[] = {
    {"135M Q8_0", 3.5, 2.4, 0.2, 5.9, 0},
    {"1B Q4_0", 15, 4.6, 1, 8, 0},
    {"8B", 150, 35, 4, 40, 0},
    {"a gpu", 8, 0.02, 0.01, 0.1, 0},
    {"135M beside others", 3.5, 2.4, 0.2, 5.9, 20},
    {"nothing but rows", 0, 1, 0, 0, 0},
};

static int64_t takes(const struct machine *m, const struct cost_step *s, unsigned *seed)
{
    double ms = m->step + m->row * s->rows + m->output * s->outputs + m->thousand_cells * s->attention / 1000;
    if (m->noise_percent > 0)
        ms *= 1 + (rand_r(seed) % (2 * m->noise_percent) - m->noise_percent) / 100.0;
    return (int64_t)(ms * 1e6);
}

/* As they come: some decode, some have a chunk. */
static struct cost_step some_step(unsigned *seed)
{
    int32_t decoding = rand_r(seed) % 12, chunk = rand_r(seed) % 3 == 0 ? 16 + rand_r(seed) % 64 : 0;
    if (decoding + chunk == 0)
        decoding = 1;
    double depth = rand_r(seed) % 2000;
    return (struct cost_step){decoding + chunk, decoding, (decoding + chunk) * depth};
}

static void it_learns(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++) {
        const struct machine *m = &machines[i];
        struct cost c;
        unsigned seed = 3;
        struct cost_step one = {1, 1, 20};
        cost_init(&c, takes(m, &one, &seed));
        for (int n = 0; n < 200; n++) {
            struct cost_step s = some_step(&seed);
            cost_learn(&c, &s, takes(m, &s, &seed));
        }
        struct machine exact = *m;
        exact.noise_percent = 0;
        double limit = m->noise_percent > 0 ? 0.25 : 0.05;
        for (int n = 0; n < 50; n++) {
            struct cost_step s = some_step(&seed);
            double want = (double)takes(&exact, &s, &seed), got = (double)cost_predict(&c, &s);
            if (got < want * (1 - limit) || got > want * (1 + limit))
                fail_msg("%s: %d rows, %d outputs: %.1f ms, not %.1f", m->name, s.rows, s.outputs, got / 1e6,
                         want / 1e6);
        }
        assert_true(c.error < limit);
    }
}

static void rows_fill_the_time(void **state)
{
    (void)state;
    const struct machine *m = &machines[0];
    struct cost c;
    unsigned seed = 3;
    struct cost_step four = {4, 4, 400}, one = {1, 1, 20};
    cost_init(&c, takes(m, &one, &seed));
    for (int n = 0; n < 200; n++) {
        struct cost_step s = some_step(&seed);
        cost_learn(&c, &s, takes(m, &s, &seed));
    }
    int32_t rows = cost_rows(&c, &four, 1000, 100000000); /* (100 - 16.3) / (2.4 + 5.9) */
    assert_in_range(rows, 9, 11);
    assert_int_equal(cost_rows(&c, &four, 1000, 5000000), 0);
}

/* One step of a second says nothing about the next ones. */
static void a_hiccup_is_forgiven(void **state)
{
    (void)state;
    const struct machine *m = &machines[0];
    struct cost c;
    unsigned seed = 5;
    struct cost_step s = {4, 4, 400};
    cost_init(&c, takes(m, &(struct cost_step){1, 1, 20}, &seed));
    for (int n = 0; n < 100; n++)
        cost_learn(&c, &s, takes(m, &s, &seed));
    cost_learn(&c, &s, 1000000000);
    double want = (double)takes(m, &s, &seed);
    assert_true((double)cost_predict(&c, &s) < 1.25 * want);
    for (int n = 0; n < 100; n++)
        cost_learn(&c, &s, takes(m, &s, &seed));
    assert_true((double)cost_predict(&c, &s) < 1.02 * want && (double)cost_predict(&c, &s) > 0.98 * want);
}

/* Long after nothing but one kind of step came, another kind is still foretold. */
static void monotony_does_no_harm(void **state)
{
    (void)state;
    const struct machine *m = &machines[4];
    struct cost c;
    unsigned seed = 7;
    cost_init(&c, takes(m, &(struct cost_step){1, 1, 20}, &seed));
    for (int n = 0; n < 100; n++) {
        struct cost_step s = some_step(&seed);
        cost_learn(&c, &s, takes(m, &s, &seed));
    }
    for (int n = 0; n < 5000; n++) {
        struct cost_step s = {4, 4, 400 + n};
        cost_learn(&c, &s, takes(m, &s, &seed));
    }
    struct cost_step chunk = {68, 4, 20000};
    double want = (double)takes(&machines[0], &chunk, &seed), got = (double)cost_predict(&c, &chunk);
    assert_true(got > want / 2 && got < want * 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_learns),
        cmocka_unit_test(rows_fill_the_time),
        cmocka_unit_test(a_hiccup_is_forgiven),
        cmocka_unit_test(monotony_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
