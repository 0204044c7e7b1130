/* engine/threads: how many threads a step should have, by what the machine gives.
 *
 * ggml's threads wait for each other spinning: one that a busy neighbour keeps off its core makes all
 * wait, and two threads become slower than one (engine.md 2). All threads of an undisturbed step use
 * CPU time for its whole length, so CPU time / (wall x threads) says how much was stolen.
 *
 *   threads_init(&t, maximum)
 *   n = threads_observe(&t, wall_ns, cpu_ns, now)      after each step: the number for the next
 *
 * One fewer when several steps in a row were disturbed. One more for a try after a pause, which ends
 * with its first disturbed step (such a step can be fifty times as long) and doubles the pause then.
 * Pure. Tests: threads_test.c.
 */
#ifndef TUG_ENGINE_THREADS_H
#define TUG_ENGINE_THREADS_H

#include <stdint.h>

struct threads {
    int32_t maximum, now;
    int32_t disturbed; /* steps in a row */
    int64_t retry_at_ns, pause_ns;
    int64_t trial_until_ns; /* a try is not believed before */
};

void threads_init(struct threads *t, int32_t maximum);
int32_t threads_observe(struct threads *t, int64_t wall_ns, int64_t cpu_ns, int64_t now_ns);

#endif
