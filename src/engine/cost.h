/* engine/cost: how long a step will take.
 *
 *   cost_init(&c, one_row_ns)                a step of one row, as timed while loading
 *   ns = cost_predict(&c, &step)             before it
 *   cost_learn(&c, &step, ns)                after it
 *   n = cost_rows(&c, &step, depth, ns)      prompt rows at `depth` that may join the step within so much time
 *
 * step = a + b x rows + c x outputs + d x attention (engine.md 4), fitted by recursive least squares of the
 * relative error that forgets old steps: the machine, its neighbours and the number of threads change. A step
 * that took a multiple of what was expected does not count: a neighbour's doing, unless the next one does too. Pure.
 * Tests: cost_test.c.
 */
#ifndef TUG_ENGINE_COST_H
#define TUG_ENGINE_COST_H

#include <stdbool.h>
#include <stdint.h>

enum { COST_TERMS = 4 };

struct cost {
    double term[COST_TERMS]; /* ns: of a step, a row, an output row, 1,000 cells attended to by a row */
    double spread[COST_TERMS][COST_TERMS];
    double scale; /* of the fit: a step's length is seen as this much */
    bool odd;     /* the last step took a multiple of what was expected */
    double error; /* of late, a part of the step's length */
};

struct cost_step {
    int32_t rows, outputs;
    double attention; /* cells, summed over the rows: a row's own ones, and cost_foreign for the others */
};

/* A foreign cell is skipped by a test of its mask: 0.4 us for a row of a 135M model, an own one costs 6 us. */
#define COST_FOREIGN 0.07

void cost_init(struct cost *c, int64_t one_row_ns);
int64_t cost_predict(const struct cost *c, const struct cost_step *step);
void cost_learn(struct cost *c, const struct cost_step *step, int64_t ns);
/* `depth`: what each of the rows adds to the attention. 0 and more. */
int32_t cost_rows(const struct cost *c, const struct cost_step *step, double depth, int64_t ns);

#endif
