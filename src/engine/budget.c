/* engine/budget.c: how many prompt rows may join a step, by the cost model (cost.h).
 *
 * While somebody decodes, a step's length is his gap between two tokens: with prompts in it, it may be BUDGET_GAP_NS,
 * or twice what it is without them, if that is more; but a minimal chunk always joins, or nobody would ever
 * begin. While nobody decodes, steps are longer but not as long as they could be: a short prompt that comes meanwhile,
 * and a client that leaves, wait for their end, and chunks above 64 rows are no cheaper by the row (engine.md 4). */
#include "engine/batch_private.h"

enum {
    BUDGET_GAP_NS = 100 * 1000000,
    BUDGET_PROMPTS_NS = 300 * 1000000,
    BUDGET_CHUNK_LEAST = 16, /* rows; below, each costs more: */
    BUDGET_STEP_LEAST = 32,  /* so do those of a step of fewer, whoever they belong to */
    BUDGET_PROMPTS_LEAST = 64,
    BUDGET_MULTIPLE = 4,
    BUDGET_TILE =
        64, /* rows from which flash attention over two F16 computes tiles against all cells, foreign ones too */
    BUDGET_BELOW_TILE = 60,
    BUDGET_SLOWNESS_STEPS = 8,
};

/* Cells that a row at this position attends to, in the model's terms. */
static double budget_depth(const struct batch *b, int32_t pos)
{
    int32_t used = cache_cells_used(b->cache);
    return pos + COST_FOREIGN * (used > pos ? used - pos : 0);
}

struct cost_step budget_planned(const struct batch *b)
{
    struct cost_step s = {0};
    for (const struct gen_private *r = b->active.first; r != NULL; r = r->next) {
        if (r->rows == 0)
            continue;
        s.rows += r->rows;
        s.outputs += r->row >= 0;
        s.attention += r->rows * budget_depth(b, r->computed + r->rows / 2);
    }
    return s;
}

/* What the step has in any case, and how deep the deepest prompt is. */
static struct cost_step budget_decoding(const struct batch *b, double *ret_depth)
{
    struct cost_step s = {0};
    int32_t deepest = 0;
    for (const struct gen_private *r = b->active.first; r != NULL; r = r->next) {
        if (request_decodes(r)) {
            s.rows++;
            s.outputs++;
            s.attention += budget_depth(b, r->computed);
        } else if (r->computed > deepest) {
            deepest = r->computed;
        }
    }
    *ret_depth = budget_depth(b, deepest);
    return s;
}

/* With both of K and V in F16, a step that would just reach the tiles stays below them: 16 prompts at once, one thread,
 * CPU seconds with 44, 112, 512 prompt rows: 135M Q8_0 10.3, 11.1, 10.7; 1B Q4_0 38.1, 38.5, 37.1 (240). */
static int32_t budget_avoid_tiles(const struct batch *b, int32_t decoding, int32_t rows)
{
    int32_t sum = decoding + rows;
    if (!b->limits.tiles || sum < BUDGET_TILE || sum >= 2 * BUDGET_TILE ||
        decoding >= BUDGET_BELOW_TILE - BUDGET_MULTIPLE)
        return rows;
    return BUDGET_BELOW_TILE - decoding;
}

struct schedule_limits budget_limits(const struct batch *b)
{
    double depth;
    struct schedule_limits l = {.ubatch = b->limits.ubatch, .chunk = b->limits.chunk, .multiple = BUDGET_MULTIPLE};
    struct cost_step decoding = budget_decoding(b, &depth);
    int64_t idle = decoding.rows > 0 ? cost_predict(&b->cost, &decoding) : 0;
    int64_t target = (int64_t)((decoding.rows > 0 ? BUDGET_GAP_NS : BUDGET_PROMPTS_NS) / b->slowness);
    if (target < 2 * idle)
        target = 2 * idle;
    int32_t least = decoding.rows == 0 ? BUDGET_PROMPTS_LEAST : BUDGET_STEP_LEAST - decoding.rows;
    if (least < BUDGET_CHUNK_LEAST)
        least = BUDGET_CHUNK_LEAST;
    if (!b->adapt_chunk)
        return l;
    int32_t rows = cost_rows(&b->cost, &decoding, depth, target) / BUDGET_MULTIPLE * BUDGET_MULTIPLE;
    if (rows > 2 * b->prompt_rows) /* the model is trusted a step at a time: what it has not seen, it may not know */
        rows = 2 * b->prompt_rows;
    if (rows < least)
        rows = least;
    l.chunk = budget_avoid_tiles(b, decoding.rows, rows < l.ubatch ? rows : l.ubatch);
    return l;
}

/* What is fitted is the batch thread's CPU time: what a step is made of, whatever else runs on the machine. That comes
 * back as a factor. On a GPU the thread only waits. */
void budget_learn(struct batch *b, const struct cost_step *step, int64_t ns, int64_t cpu_ns)
{
    int64_t spent = b->limits.gpu || cpu_ns > ns || cpu_ns < 1 ? ns : cpu_ns;
    b->stats.predicted_ns += (int64_t)((double)cost_predict(&b->cost, step) * b->slowness);
    b->stats.step_ns += ns;
    b->slowness += ((double)ns / (double)spent - b->slowness) / BUDGET_SLOWNESS_STEPS;
    if (step->rows > step->outputs)
        b->prompt_rows = step->rows;
    cost_learn(&b->cost, step, spent);
}
