/* engine/threads.c: see threads.h. */
#include "engine/threads.h"

#include <stdbool.h>

enum {
    THREADS_DISTURBED_STEPS = 4,  /* in a row: a single one is a hiccup, and costs less than switching */
    THREADS_MARGIN_PERCENT = 125, /* of what one thread fewer would take */
    THREADS_FORGET = 512,         /* the remembered length grows by this part a step: sequences get longer */
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

/* Would one thread fewer have been quicker? */
static bool threads_too_many(const struct threads *t, int32_t rows, int64_t wall_ns)
{
    int64_t quick = t->quick_ns[rows];
    return quick > 0 && t->now > 1 && wall_ns > quick * t->maximum / (t->now - 1) * THREADS_MARGIN_PERCENT / 100;
}

int32_t threads_observe(struct threads *t, int32_t rows, int64_t wall_ns, int64_t now_ns)
{
    bool trial = now_ns < t->trial_until_ns;
    if (rows < 1 || rows > THREADS_ROWS)
        return t->now;
    if (threads_too_many(t, rows, wall_ns)) {
        if (trial || ++t->disturbed >= THREADS_DISTURBED_STEPS)
            threads_lower(t, now_ns);
        return t->now;
    }
    t->disturbed = 0;
    if (t->now < t->maximum) {
        if (now_ns >= t->retry_at_ns) {
            t->now++;
            t->trial_until_ns = now_ns + THREADS_PAUSE_FIRST_NS;
        }
        return t->now;
    }
    int64_t quick = t->quick_ns[rows] + t->quick_ns[rows] / THREADS_FORGET;
    t->quick_ns[rows] = quick == 0 || wall_ns < quick ? wall_ns : quick;
    if (!trial)
        t->pause_ns = THREADS_PAUSE_FIRST_NS;
    return t->now;
}
