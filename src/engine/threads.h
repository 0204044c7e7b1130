/* engine/threads: how many threads a step should have, by what the machine gives.
 *
 * ggml's threads wait for each other spinning, hundreds of times in a step: one that a busy neighbour
 * keeps off its core makes all wait. A step of few rows then takes longer with two threads than it
 * would with one (135M: 22 ms instead of 5.6, engine.md 2); a long one still gains. CPU time does not
 * tell these cases apart, since spinning is CPU time too; the step's own length does.
 *
 *   threads_init(&t, maximum)
 *   n = threads_observe(&t, rows, wall_ns, now_ns)      after each step: the number for the next
 *
 * The quickest step of late with all threads is remembered for each number of rows. One thread fewer
 * when several steps in a row took clearly longer than that would with one fewer and no neighbour. One
 * more for a try after a pause, which ends with its first such step and doubles the pause then.
 * Steps of more than THREADS_ROWS rows always have what there is. Pure. Tests: threads_test.c.
 */
#ifndef TUG_ENGINE_THREADS_H
#define TUG_ENGINE_THREADS_H

#include <stdint.h>

enum { THREADS_ROWS = 64 };

struct threads {
    int32_t maximum, now;
    int32_t disturbed; /* steps in a row */
    int64_t retry_at_ns, pause_ns;
    int64_t trial_until_ns;             /* a try is not believed before */
    int64_t quick_ns[THREADS_ROWS + 1]; /* by rows, with `maximum` threads; 0: not seen yet */
};

void threads_init(struct threads *t, int32_t maximum);
int32_t threads_observe(struct threads *t, int32_t rows, int64_t wall_ns, int64_t now_ns);

#endif
