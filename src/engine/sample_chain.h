/* engine/sample_chain: llama.cpp's further samplers (top_n_sigma, typical_p, xtc, dynamic temperature, mirostat), and
 * an order of one's own. sample.c's own way is faster and is taken when none of them is asked for.
 *
 * Works on the likeliest tokens of a row, best first; what has no chance is not among them. Pure. */
#ifndef TUG_ENGINE_SAMPLE_CHAIN_H
#define TUG_ENGINE_SAMPLE_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum chain_step {
    CHAIN_TOP_N_SIGMA,
    CHAIN_TOP_K,
    CHAIN_TYPICAL,
    CHAIN_TOP_P,
    CHAIN_MIN_P,
    CHAIN_XTC,
    CHAIN_TEMPERATURE,
    CHAIN_STEPS
};

struct sample_chain {
    bool used;
    double top_n_sigma; /* below 0: off, as everywhere a value that does nothing */
    double typical_p, xtc_probability, xtc_threshold, dynatemp_range, dynatemp_exponent;
    int32_t mirostat; /* 0, 1, 2: then temperature and it alone */
    double mirostat_tau, mirostat_eta;
    size_t min_keep;
    uint8_t order[CHAIN_STEPS]; /* enum chain_step */
    size_t n_order;
    bool no_penalties; /* the order leaves them out */
};
/* clang-format off */
#define SAMPLE_CHAIN_INIT                                                                                              \
    {.top_n_sigma = -1, .typical_p = 1, .xtc_threshold = 0.1, .dynatemp_exponent = 1, .mirostat_tau = 5,                \
     .mirostat_eta = 0.1, .order = {0, 1, 2, 3, 4, 5, 6}, .n_order = CHAIN_STEPS}
/* clang-format on */

struct chain_token {
    int32_t token;
    double logit, p;
};

/* What the steps beside the chain's own need. */
struct chain_wishes {
    double temperature, top_p, min_p;
    int32_t top_k, n_vocab;
    double sigma;              /* standard deviation of the whole row's logits */
    double (*draw)(void *ctx); /* in [0, 1) */
    void *ctx;
};

/* `tokens`: n of them, at least one, best first; changed. *mu: mirostat's memory, 0 before the first call. */
int32_t chain_choose(const struct sample_chain *chain, const struct chain_wishes *w, struct chain_token *tokens,
                     size_t n, double *mu);

#endif
