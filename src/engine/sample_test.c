/* Hand-made logits, and large random rows against the plain way: sort everything. */
#include "engine/sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SMALL = 6, LARGE = 10007 };

static const float six[SMALL] = {1, 4, 2, 4, -3, 0};

static struct gen_params greedy(void)
{
    struct gen_params p = GEN_PARAMS_DEFAULT;
    p.temperature = 0;
    return p;
}

static int32_t draw(const struct gen_params *p, uint64_t seed, const float *row, int32_t n, const int32_t *window,
                    size_t n_window)
{
    struct sample_scratch *s = sample_scratch_new(n);
    struct sampler sampler;
    float *copy = malloc((size_t)n * sizeof *copy);
    memcpy(copy, row, (size_t)n * sizeof *copy);
    sampler_init(&sampler, p, seed);
    int32_t token = sample_token(&sampler, s, copy, window, n_window);
    assert_memory_equal(copy, row, (size_t)n * sizeof *copy); /* as before */
    assert_in_range(token, 0, n - 1);
    free(copy);
    sample_scratch_free(&s);
    return token;
}

static void greedy_takes_the_first_highest(void **state)
{
    struct gen_params p = greedy();
    (void)state;
    assert_int_equal(draw(&p, 1, six, SMALL, NULL, 0), 1);
}

static void greedy_ignores_nan(void **state)
{
    float row[SMALL];
    struct gen_params p = greedy();
    (void)state;
    memcpy(row, six, sizeof row);
    row[0] = NAN;
    struct sample_scratch *s = sample_scratch_new(SMALL);
    struct sampler sampler;
    sampler_init(&sampler, &p, 1);
    assert_int_equal(sample_token(&sampler, s, row, NULL, 0), 1);
    p.temperature = 1;
    for (int i = 0; i < 100; i++)
        assert_int_not_equal(sample_token(&sampler, s, row, NULL, 0), 0);
    p.top_k = 0;
    p.min_p = 0;
    for (int i = 0; i < 100; i++)
        assert_int_not_equal(sample_token(&sampler, s, row, NULL, 0), 0);
    for (int32_t i = 0; i < SMALL; i++)
        row[i] = NAN;
    assert_int_equal(sample_token(&sampler, s, row, NULL, 0), 0); /* any, but no crash */
    sample_scratch_free(&s);
}

struct penalty_row {
    const char *name;
    double repeat, presence, frequency;
    int32_t last_n;
    int32_t expected;
};

/* The window is 1 1 3 0 2: tokens 1 (twice) and 3 have the highest logits, 4; 2 has 2. */
static const int32_t window[] = {1, 1, 3, 0, 2};
static const struct penalty_row penalties[] = {
    {"none", 1, 0, 0, 64, 1},
    {"frequency counts", 1, 0, 0.5, 64, 3},
    {"presence is the same for both", 1, 1, 0, 64, 1},
    {"repeat halves all that were there", 20, 0, 0, 64, 1},
    {"a strong presence", 1, 10, 0, 64, 5},
    {"a negative presence favours", 1, -10, 0, 2, 2},
    {"the window is the last two", 1, 10, 0, 2, 1},
    {"no window", 1, 10, 0, 0, 1},
    {"minus one is all of it", 1, 10, 0, -1, 5},
    {"the window without the first", 1, 0, 3, 4, 1},
};

static void penalties_change_the_choice(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof penalties / sizeof penalties[0]; i++) {
        const struct penalty_row *r = &penalties[i];
        struct gen_params p = greedy();
        p.repeat_penalty = r->repeat;
        p.presence_penalty = r->presence;
        p.frequency_penalty = r->frequency;
        p.repeat_last_n = r->last_n;
        int32_t got = draw(&p, 1, six, SMALL, window, 5);
        if (got != r->expected)
            fail_msg("%s: %d", r->name, got);
    }
}

static void bias_forces_and_forbids(void **state)
{
    struct gen_params p = greedy();
    struct token_bias bias[] = {{1, -100}, {3, -100}, {5, 1}, {2, -1.5f}, {5, 1}, {99, 5}, {-1, 5}};
    (void)state;
    p.bias = bias;
    p.n_bias = 7;
    assert_int_equal(draw(&p, 1, six, SMALL, NULL, 0), 5); /* 0 + 1 + 1, twice named */
    p.temperature = 1;
    for (uint64_t seed = 0; seed < 200; seed++) {
        int32_t token = draw(&p, seed, six, SMALL, NULL, 0);
        assert_true(token != 1 && token != 3);
    }
    struct token_bias none[SMALL];
    for (int32_t i = 0; i < SMALL; i++)
        none[i] = (struct token_bias){i, -1000};
    p.bias = none;
    p.n_bias = SMALL;
    assert_int_equal(draw(&p, 1, six, SMALL, NULL, 0), 0); /* nothing is left: any, but no crash */
}

static void banned_is_never_drawn(void **state)
{
    static const int32_t banned[] = {1, 3};
    struct gen_params p = GEN_PARAMS_DEFAULT;
    struct sampler sampler;
    struct sample_scratch *s = sample_scratch_new(SMALL);
    float row[SMALL];
    (void)state;
    memcpy(row, six, sizeof row);
    sampler_init(&sampler, &p, 4);
    sampler.banned = banned;
    sampler.n_banned = 2;
    for (int i = 0; i < 300; i++) {
        int32_t token = sample_token(&sampler, s, row, NULL, 0);
        assert_true(token != 1 && token != 3);
    }
    sample_scratch_free(&s);
}

/* ---- against the plain way ---- */

struct plain {
    float logit;
    int32_t token;
};

static int plain_compare(const void *a, const void *b)
{
    const struct plain *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return x->token < y->token ? -1 : 1;
}

/* Which tokens may be drawn, and how likely each is. */
static size_t plain_distribution(const struct gen_params *p, const float *row, int32_t n, struct plain *sorted,
                                 double *ret_p)
{
    for (int32_t i = 0; i < n; i++)
        sorted[i] = (struct plain){row[i], i};
    qsort(sorted, (size_t)n, sizeof *sorted, plain_compare);
    size_t left = p->top_k > 0 && p->top_k < n ? (size_t)p->top_k : (size_t)n;
    double whole = 0, sum = 0;
    for (size_t i = 0; i < left; i++)
        whole += exp((double)sorted[i].logit - (double)sorted[0].logit);
    for (size_t i = 0; i < left && p->top_p < 1; i++) {
        sum += exp((double)sorted[i].logit - (double)sorted[0].logit);
        if (sum >= p->top_p * whole)
            left = i + 1;
    }
    while (left > 1 && exp((double)sorted[left - 1].logit - (double)sorted[0].logit) < p->min_p)
        left--;
    sum = 0;
    for (size_t i = 0; i < left; i++)
        sum += ret_p[i] = exp(((double)sorted[i].logit - (double)sorted[0].logit) / p->temperature);
    for (size_t i = 0; i < left; i++)
        ret_p[i] /= sum;
    return left;
}

static float *random_row(int32_t n, float spread)
{
    float *row = malloc((size_t)n * sizeof *row);
    unsigned seed = 17;
    for (int32_t i = 0; i < n; i++)
        row[i] = (float)rand_r(&seed) / (float)RAND_MAX * spread;
    return row;
}

struct distribution_row {
    const char *name;
    double temperature, top_p, min_p;
    int32_t top_k;
    int32_t n;
    float spread;
};

static const struct distribution_row distributions[] = {
    {"top_k", 1, 1, 0, 5, LARGE, 10},
    {"top_k and top_p", 1, 0.5, 0, 40, LARGE, 10},
    {"top_k, top_p, min_p", 0.8, 0.9, 0.6, 40, LARGE, 30},
    {"min_p alone", 1, 1, 0.9, 0, LARGE, 50},
    {"min_p and top_p", 1, 0.001, 0.5, 0, LARGE, 50},
    {"top_p alone, few", 1, 0.5, 0, 0, LARGE, 8000},
    {"top_p alone, above a thousand", 1, 0.9, 0, 0, LARGE, 5},
    {"no limit", 1.3, 1, 0, 0, 50, 6},
    {"no limit, hot", 3, 1, 0, 0, 50, 6},
    {"no limit, cold", 0.1, 1, 0, 0, LARGE, 100},
    {"top_k above the vocabulary", 1, 1, 0, 100, 50, 6},
    {"one token", 1, 0.5, 0.5, 40, 1, 1},
};

/* Every draw is one that may be, and the likeliest come as often as they should. */
static void draws_follow_the_distribution(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof distributions / sizeof distributions[0]; i++) {
        const struct distribution_row *r = &distributions[i];
        struct gen_params p = GEN_PARAMS_DEFAULT;
        p.temperature = r->temperature, p.top_p = r->top_p, p.min_p = r->min_p, p.top_k = r->top_k;
        float *row = random_row(r->n, r->spread);
        struct plain *sorted = malloc((size_t)r->n * sizeof *sorted);
        double *likely = malloc((size_t)r->n * sizeof *likely);
        int *seen = calloc((size_t)r->n, sizeof *seen);
        size_t left = plain_distribution(&p, row, r->n, sorted, likely);
        struct sample_scratch *s = sample_scratch_new(r->n);
        struct sampler sampler;
        sampler_init(&sampler, &p, 99);
        int draws = r->n == LARGE && r->top_k == 0 ? 400 : 4000;
        for (int j = 0; j < draws; j++)
            seen[sample_token(&sampler, s, row, NULL, 0)]++;
        int among = 0;
        for (size_t j = 0; j < left; j++) {
            double expected = likely[j] * draws;
            among += seen[sorted[j].token];
            if (fabs(seen[sorted[j].token] - expected) > 5 * sqrt(expected + 1))
                fail_msg("%s: place %zu drawn %d times, not %.1f", r->name, j, seen[sorted[j].token], expected);
        }
        if (among < draws - (left > 1000)) /* at the edge of a sum of floats one may differ */
            fail_msg("%s: %d of %d draws are not among the %zu allowed", r->name, draws - among, draws, left);
        sample_scratch_free(&s);
        free(row), free(sorted), free(likely), free(seen);
    }
}

static void same_seed_same_draws(void **state)
{
    struct gen_params p = GEN_PARAMS_DEFAULT;
    float *row = random_row(LARGE, 5);
    int same = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        assert_int_equal(draw(&p, seed, row, LARGE, NULL, 0), draw(&p, seed, row, LARGE, NULL, 0));
        same += draw(&p, seed, row, LARGE, NULL, 0) == draw(&p, seed + 1, row, LARGE, NULL, 0);
    }
    assert_true(same < 15);
    free(row);
}

static void logprobs_are_log_softmax(void **state)
{
    float *row = random_row(LARGE, 12);
    struct plain *sorted = malloc(LARGE * sizeof *sorted);
    double whole = 0;
    struct sample_alternative top[20];
    float logprob;
    (void)state;
    for (int32_t i = 0; i < LARGE; i++) {
        whole += exp((double)row[i]);
        sorted[i] = (struct plain){row[i], i};
    }
    qsort(sorted, LARGE, sizeof *sorted, plain_compare);
    struct sample_scratch *s = sample_scratch_new(LARGE);
    assert_int_equal(sample_logprobs(s, row, 123, 20, &logprob, top), 20);
    assert_true(fabs((double)logprob - ((double)row[123] - log(whole))) < 1e-5);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(top[i].token, sorted[i].token);
        assert_true(fabs((double)top[i].logprob - ((double)sorted[i].logit - log(whole))) < 1e-5);
    }
    assert_int_equal(sample_logprobs(s, row, 5, 0, &logprob, NULL), 0);
    sample_scratch_free(&s);
    free(row), free(sorted);
}

static void more_alternatives_than_tokens(void **state)
{
    struct sample_alternative top[20];
    float logprob;
    (void)state;
    struct sample_scratch *s = sample_scratch_new(SMALL);
    assert_int_equal(sample_logprobs(s, six, 1, 20, &logprob, top), SMALL);
    assert_int_equal(top[0].token, 1);
    assert_int_equal(top[1].token, 3);
    assert_int_equal(top[5].token, 4);
    sample_scratch_free(&s);
}

static void logprobs_are_numbers(void **state)
{
    static const float row[SMALL] = {1, -INFINITY, NAN, 1, 0, 0}; /* JSON has no infinity */
    struct sample_alternative top[SMALL];
    float logprob;
    (void)state;
    struct sample_scratch *s = sample_scratch_new(SMALL);
    assert_int_equal(sample_logprobs(s, row, 1, SMALL, &logprob, top), 4);
    assert_true(logprob == -9999);
    sample_logprobs(s, row, 2, 0, &logprob, NULL);
    assert_true(logprob == -9999);
    sample_scratch_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_first_highest), cmocka_unit_test(greedy_ignores_nan),
        cmocka_unit_test(penalties_change_the_choice),    cmocka_unit_test(bias_forces_and_forbids),
        cmocka_unit_test(banned_is_never_drawn),          cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(same_seed_same_draws),           cmocka_unit_test(logprobs_are_log_softmax),
        cmocka_unit_test(more_alternatives_than_tokens),  cmocka_unit_test(logprobs_are_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
