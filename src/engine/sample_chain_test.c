/* Each further sampler over hand-made probabilities: which tokens can come, and which come how often. */
#include "engine/sample_chain.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N = 5, DRAWS = 20000 };
static const double probabilities[N] = {0.5, 0.25, 0.15, 0.07, 0.03};
static uint64_t state_of_draws = 1;

static double draw(void *ctx)
{
    (void)ctx;
    state_of_draws = state_of_draws * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(state_of_draws >> 11) * 0x1.0p-53;
}

static void shares(const struct sample_chain *c, struct chain_wishes w, double share[N])
{
    int count[N] = {0};
    double mu = 0;
    w.draw = draw;
    for (int i = 0; i < DRAWS; i++) {
        struct chain_token t[N];
        for (int k = 0; k < N; k++)
            t[k] = (struct chain_token){.token = k, .logit = log(probabilities[k])};
        count[chain_choose(c, &w, t, N, &mu)]++;
    }
    for (int k = 0; k < N; k++)
        share[k] = (double)count[k] / DRAWS;
}

static const struct chain_wishes plain = {.temperature = 1, .top_p = 1, .n_vocab = N, .sigma = 1};

static void each_alone(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct sample_chain chain; /* what differs from the default is not 0 */
        struct chain_wishes wishes;
        double share[N];
    } rows[] = {
        {"nothing", {.min_keep = 0}, {.top_k = 0}, {0.5, 0.25, 0.15, 0.07, 0.03}},
        {"top_k", {0}, {.top_k = 2}, {0.667, 0.333, 0, 0, 0}},
        {"top_p", {0}, {.top_p = 0.8}, {0.556, 0.278, 0.167, 0, 0}},
        {"min_p", {0}, {.min_p = 0.29}, {0.556, 0.278, 0.167, 0, 0}},
        {"top_n_sigma", {.top_n_sigma = 0.8}, {.top_k = 0}, {0.667, 0.333, 0, 0, 0}},
        {"typical_p leaves out the likeliest", {.typical_p = 0.2}, {.top_k = 0}, {0, 1, 0, 0, 0}},
        {"xtc", {.xtc_probability = 1, .xtc_threshold = 0.2}, {.top_k = 0}, {0, 0.5, 0.3, 0.14, 0.06}},
        {"xtc with one above",
         {.xtc_probability = 1, .xtc_threshold = 0.4},
         {.top_k = 0},
         {0.5, 0.25, 0.15, 0.07, 0.03}},
        {"dynamic temperature, wide",
         {.dynatemp_range = 0.9, .dynatemp_exponent = 30},
         {.top_k = 0},
         {0.999, 0.001, 0, 0, 0}},
        {"mirostat 2, little surprise", {.mirostat = 2, .mirostat_tau = 0.01}, {.top_k = 0}, {1, 0, 0, 0, 0}},
        {"an order that leaves top_k out",
         {.n_order = 1, .order = {CHAIN_TEMPERATURE}},
         {.top_k = 1},
         {0.5, 0.25, 0.15, 0.07, 0.03}},
        {"xtc before top_k",
         {.xtc_probability = 1, .xtc_threshold = 0.2, .n_order = 2, .order = {CHAIN_XTC, CHAIN_TOP_K}},
         {.top_k = 1},
         {0, 1, 0, 0, 0}},
        {"min_keep", {.min_keep = 2}, {.top_k = 1}, {0.667, 0.333, 0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sample_chain c = SAMPLE_CHAIN_INIT;
        struct chain_wishes w = plain;
        double share[N];
#define TAKE_ROW(to, from) to = from != 0 ? from : to
        TAKE_ROW(c.top_n_sigma, rows[i].chain.top_n_sigma);
        TAKE_ROW(c.typical_p, rows[i].chain.typical_p);
        TAKE_ROW(c.xtc_probability, rows[i].chain.xtc_probability);
        TAKE_ROW(c.xtc_threshold, rows[i].chain.xtc_threshold);
        TAKE_ROW(c.dynatemp_range, rows[i].chain.dynatemp_range);
        TAKE_ROW(c.dynatemp_exponent, rows[i].chain.dynatemp_exponent);
        TAKE_ROW(c.mirostat, rows[i].chain.mirostat);
        TAKE_ROW(c.mirostat_tau, rows[i].chain.mirostat_tau);
        TAKE_ROW(c.min_keep, rows[i].chain.min_keep);
        TAKE_ROW(w.top_k, rows[i].wishes.top_k);
        TAKE_ROW(w.top_p, rows[i].wishes.top_p);
        TAKE_ROW(w.min_p, rows[i].wishes.min_p);
        for (size_t k = 0; k < rows[i].chain.n_order; k++)
            c.order[k] = rows[i].chain.order[k];
        c.n_order = rows[i].chain.n_order > 0 ? rows[i].chain.n_order : c.n_order;
        shares(&c, w, share);
        for (int k = 0; k < N; k++)
            if (fabs(share[k] - rows[i].share[k]) > 0.02)
                fail_msg("%s: token %d has %.3f, wanted %.3f", rows[i].name, k, share[k], rows[i].share[k]);
    }
}

/* The mean surprise comes near to what is asked for. */
static void mirostat_aims(void **state)
{
    (void)state;
    for (int version = 1; version <= 2; version++) {
        struct sample_chain c = SAMPLE_CHAIN_INIT;
        struct chain_wishes w = plain;
        double share[N];
        double surprise = 0;
        c.mirostat = version;
        c.mirostat_tau = 1.3;
        shares(&c, w, share);
        for (int k = 0; k < N; k++)
            surprise -= share[k] * log2(probabilities[k]);
        assert_true(surprise > 0.9 && surprise < 1.9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_alone), cmocka_unit_test(mirostat_aims)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
