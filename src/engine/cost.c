/* engine/cost.c: see cost.h. All terms are of the order of one row's time, so that the fit is well conditioned. */
#include "engine/cost.h"

#include <math.h>

#define FORGET        0.98 /* about 50 steps count */
#define SPREAD_FIRST  25.0 /* how little the first guess is believed, beside a step's own noise */
#define OUTLIER       2.5  /* times the prediction */
#define SPREAD_OUTPUT 0.25 /* rows and outputs often go together: then it is the rows that cost */
#define CELLS         1000.0

enum { TERM_STEP, TERM_ROW, TERM_OUTPUT, TERM_CELLS };

void cost_init(struct cost *c, int64_t one_row_ns)
{
    double one = one_row_ns > 0 ? (double)one_row_ns : 1;
    *c = (struct cost){.term = {0.7 * one, 0.25 * one, 0.05 * one, 0.5 * one}, .scale = one};
    for (int i = 0; i < COST_TERMS; i++)
        c->spread[i][i] = i == TERM_OUTPUT ? SPREAD_OUTPUT : SPREAD_FIRST;
}

static void step_terms(const struct cost_step *s, double x[COST_TERMS])
{
    x[TERM_STEP] = 1;
    x[TERM_ROW] = s->rows;
    x[TERM_OUTPUT] = s->outputs;
    x[TERM_CELLS] = s->attention / CELLS;
}

int64_t cost_predict(const struct cost *c, const struct cost_step *step)
{
    double x[COST_TERMS], sum = 0;
    step_terms(step, x);
    for (int i = 0; i < COST_TERMS; i++)
        sum += c->term[i] * x[i];
    return sum > 1 ? (int64_t)sum : 1;
}

/* One update of the recursive least squares: row x, wanted y. What is old is forgotten only in the direction of the
 * row (Kulhavy 1987): hours of decoding do not make the price of a prompt's row arbitrary. */
static void cost_update(struct cost *c, const double x[COST_TERMS], double y)
{
    double gain[COST_TERMS], known = 0, miss = y;
    for (int i = 0; i < COST_TERMS; i++) {
        gain[i] = 0;
        for (int j = 0; j < COST_TERMS; j++)
            gain[i] += c->spread[i][j] * x[j];
        known += x[i] * gain[i];
        miss -= x[i] * c->term[i];
    }
    if (known < 1e-12)
        return;
    double part = (FORGET * known - (1 - FORGET)) / (known * FORGET * (1 + known));
    for (int i = 0; i < COST_TERMS; i++)
        c->term[i] += gain[i] / (1 + known) * miss; /* may be below 0: terms that go together share a sum */
    for (int i = 0; i < COST_TERMS; i++)
        for (int j = 0; j < COST_TERMS; j++)
            c->spread[i][j] -= gain[i] * gain[j] * part;
}

void cost_learn(struct cost *c, const struct cost_step *step, int64_t ns)
{
    double x[COST_TERMS];
    double took = (double)ns, expected = (double)cost_predict(c, step);
    if (ns <= 0)
        return;
    double off = fabs(took - expected) / (took > expected ? took : expected);
    c->error += (off - c->error) / 16;
    bool odd = took > OUTLIER * expected;
    bool hiccup = odd && !c->odd; /* two in a row are none */
    c->odd = odd;
    if (hiccup)
        return;
    step_terms(step, x);
    for (int i = 0; i < COST_TERMS; i++)
        x[i] *= c->scale / took; /* relative: a long step says no more than a short one */
    cost_update(c, x, c->scale);
}

int32_t cost_rows(const struct cost *c, const struct cost_step *step, double depth, int64_t ns)
{
    double each = c->term[TERM_ROW] + c->term[TERM_CELLS] * depth / CELLS;
    double left = (double)(ns - cost_predict(c, step));
    if (left <= 0)
        return 0;
    if (each <= 0 || left / each > INT32_MAX / 2)
        return INT32_MAX / 2;
    return (int32_t)(left / each);
}
