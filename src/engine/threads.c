/* engine/threads.c: see threads.h. */
#include "engine/threads.h"

#include <stdbool.h>

enum {
    THREADS_SHARE_PERCENT = 80,  /* of the CPU time that an undisturbed step has */
    THREADS_DISTURBED_STEPS = 4, /* in a row: a single one is a hiccup, and costs less than switching */
};
#define THREADS_PAUSE_FIRST_NS ((int64_t)1000000000)
#define THREADS_PAUSE_LAST_NS  ((int64_t)32000000000)

void threads_init(struct threads *t, int32_t maximum)
{
    *t = (struct threads){.maximum = maximum, .now = maximum, .pause_ns = THREADS_PAUSE_FIRST_NS};
}

static void threads_lower(struct threads *t, int64_t now_ns)
{
    t->disturbed = 0;
    t->now--;
    t->retry_at_ns = now_ns + t->pause_ns;
    t->pause_ns = t->pause_ns < THREADS_PAUSE_LAST_NS ? t->pause_ns * 2 : THREADS_PAUSE_LAST_NS;
}

int32_t threads_observe(struct threads *t, int64_t wall_ns, int64_t cpu_ns, int64_t now_ns)
{
    bool trial = now_ns < t->trial_until_ns;
    if (t->now > 1 && cpu_ns < wall_ns * t->now / 100 * THREADS_SHARE_PERCENT) {
        if (trial || ++t->disturbed >= THREADS_DISTURBED_STEPS)
            threads_lower(t, now_ns);
        return t->now;
    }
    t->disturbed = 0;
    if (t->now < t->maximum && now_ns >= t->retry_at_ns) {
        t->now++;
        t->trial_until_ns = now_ns + THREADS_PAUSE_FIRST_NS;
    } else if (t->now == t->maximum && !trial) {
        t->pause_ns = THREADS_PAUSE_FIRST_NS;
    }
    return t->now;
}
