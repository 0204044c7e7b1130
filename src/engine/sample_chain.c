/* engine/sample_chain.c: see sample_chain.h. */
#include "engine/sample_chain.h"

#include <math.h>
#include <stdlib.h>

enum { MIROSTAT_LOOKED_AT = 100 };

static void softmax(struct chain_token *t, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += t[i].p = exp(t[i].logit - t[0].logit);
    for (size_t i = 0; i < n; i++)
        t[i].p /= sum;
}

static size_t at_least(size_t n, size_t kept, size_t min_keep)
{
    size_t least = min_keep > 0 ? min_keep : 1;
    kept = kept > least ? kept : least;
    return kept < n ? kept : n;
}

static size_t keep_top_p(struct chain_token *t, size_t n, double top_p, size_t min_keep)
{
    double sum = 0;
    size_t kept = 0;
    if (top_p >= 1)
        return n;
    softmax(t, n);
    while (kept < n && sum < top_p)
        sum += t[kept++].p;
    return at_least(n, kept, min_keep);
}

static size_t keep_above(const struct chain_token *t, size_t n, double least, size_t min_keep)
{
    size_t kept = n;
    while (kept > 1 && t[kept - 1].logit < least)
        kept--;
    return at_least(n, kept, min_keep);
}

static int by_p(const void *a, const void *b)
{
    double x = ((const struct chain_token *)a)->p;
    double y = ((const struct chain_token *)b)->p;
    return x < y ? -1 : x > y;
}

static int by_logit(const void *a, const void *b)
{
    const struct chain_token *x = a;
    const struct chain_token *y = b;
    if (x->logit > y->logit || x->logit < y->logit)
        return x->logit > y->logit ? -1 : 1;
    return x->token < y->token ? -1 : x->token > y->token;
}

static double entropy(const struct chain_token *t, size_t n)
{
    double h = 0;
    for (size_t i = 0; i < n; i++)
        h -= t[i].p > 0 ? t[i].p * log(t[i].p) : 0;
    return h;
}

/* The tokens whose surprise is nearest to the expected one, until they have this share. */
static size_t keep_typical(struct chain_token *t, size_t n, double share, size_t min_keep)
{
    double best = t[0].logit;
    double sum = 0;
    double whole = 0;
    size_t kept = 0;
    if (share >= 1)
        return n;
    softmax(t, n);
    double h = entropy(t, n);
    for (size_t i = 0; i < n; i++)
        whole += exp(t[i].logit - best);
    for (size_t i = 0; i < n; i++)
        t[i].p = fabs(-log(t[i].p) - h); /* the distance, for the order */
    qsort(t, n, sizeof *t, by_p);
    while (kept < n && sum < share)
        sum += exp(t[kept++].logit - best) / whole;
    kept = at_least(n, kept, min_keep);
    qsort(t, kept, sizeof *t, by_logit);
    return kept;
}

/* Exclude top choices: of those above the threshold only the least likely stays. */
static size_t drop_xtc(const struct sample_chain *c, const struct chain_wishes *w, struct chain_token *t, size_t n)
{
    size_t above = 0;
    if (c->xtc_probability <= 0 || c->xtc_threshold > 0.5 || n < 2 || w->draw(w->ctx) > c->xtc_probability)
        return n;
    softmax(t, n);
    while (above < n && t[above].p >= c->xtc_threshold)
        above++;
    if (above < 2 || n - (above - 1) < (c->min_keep > 0 ? c->min_keep : 1))
        return n;
    for (size_t i = above - 1; i < n; i++)
        t[i - (above - 1)] = t[i];
    return n - (above - 1);
}

/* The surer the model, the lower. */
static double dynamic_temperature(const struct sample_chain *c, double t, struct chain_token *tokens, size_t n)
{
    if (c->dynatemp_range <= 0 || n < 2)
        return t;
    double low = t > c->dynatemp_range ? t - c->dynatemp_range : 0;
    softmax(tokens, n);
    double part = pow(entropy(tokens, n) / log((double)n), c->dynatemp_exponent);
    return low + (t + c->dynatemp_range - low) * part;
}

static void scale(struct chain_token *t, size_t n, double temperature)
{
    double by = temperature > 1e-6 ? temperature : 1e-6;
    for (size_t i = 0; i < n; i++)
        t[i].logit /= by;
}

static size_t step(const struct sample_chain *c, const struct chain_wishes *w, enum chain_step what,
                   struct chain_token *t, size_t n)
{
    switch (what) {
    case CHAIN_TOP_N_SIGMA:
        return c->top_n_sigma <= 0 ? n : keep_above(t, n, t[0].logit - c->top_n_sigma * w->sigma, 1);
    case CHAIN_TOP_K:
        return w->top_k <= 0 ? n : at_least(n, (size_t)w->top_k, c->min_keep);
    case CHAIN_TYPICAL:
        return keep_typical(t, n, c->typical_p, c->min_keep);
    case CHAIN_TOP_P:
        return keep_top_p(t, n, w->top_p, c->min_keep);
    case CHAIN_MIN_P:
        return w->min_p <= 0 ? n : keep_above(t, n, t[0].logit + log(w->min_p), c->min_keep);
    case CHAIN_XTC:
        return drop_xtc(c, w, t, n);
    case CHAIN_TEMPERATURE:
        scale(t, n, dynamic_temperature(c, w->temperature, t, n));
        return n;
    default:
        return n;
    }
}

static size_t draw(const struct chain_wishes *w, struct chain_token *t, size_t n)
{
    softmax(t, n);
    double left = w->draw(w->ctx);
    for (size_t i = 0; i < n; i++) {
        left -= t[i].p;
        if (left < 0)
            return i;
    }
    return n - 1;
}

/* Version 1 guesses how many tokens have the wanted surprise (Basu et al., 2020); 2 cuts at it. */
static size_t mirostat_keep(const struct sample_chain *c, const struct chain_wishes *w, const struct chain_token *t,
                            size_t n, double mu)
{
    size_t kept = 1;
    if (c->mirostat == 2) {
        while (kept < n && -log2(t[kept].p) <= mu)
            kept++;
        return kept;
    }
    double tb = 0;
    double tt = 0;
    for (size_t i = 0; i + 1 < n && i < MIROSTAT_LOOKED_AT - 1; i++) {
        double ti = log((double)(i + 2) / (double)(i + 1));
        tb += ti * log(t[i].p / t[i + 1].p);
        tt += ti * ti;
    }
    double s = tt > 0 ? tb / tt : 1;
    double k = pow((s - 1) * pow(2, mu) / (1 - pow((double)w->n_vocab, -(s - 1))), 1 / s);
    return isfinite(k) && k >= 1 ? (k < (double)n ? (size_t)k : n) : 1;
}

static int32_t mirostat(const struct sample_chain *c, const struct chain_wishes *w, struct chain_token *t, size_t n,
                        double *mu)
{
    if (*mu == 0)
        *mu = 2 * c->mirostat_tau;
    scale(t, n, w->temperature);
    softmax(t, n);
    size_t at = draw(w, t, mirostat_keep(c, w, t, n, *mu));
    *mu -= c->mirostat_eta * (-log2(t[at].p) - c->mirostat_tau);
    return t[at].token;
}

int32_t chain_choose(const struct sample_chain *c, const struct chain_wishes *w, struct chain_token *t, size_t n,
                     double *mu)
{
    if (c->mirostat > 0)
        return mirostat(c, w, t, n, mu);
    for (size_t i = 0; i < c->n_order; i++)
        n = step(c, w, (enum chain_step)c->order[i], t, n);
    return t[draw(w, t, n)].token;
}
