/* platform/clock.c: the kernel's clocks. */
#include "platform/clock.h"

#include "base/check.h"

#include <time.h>

static int64_t clock_read(clockid_t id)
{
    struct timespec ts;
    CHECK(clock_gettime(id, &ts) == 0);
    return (int64_t)ts.tv_sec * CLOCK_SECOND + ts.tv_nsec;
}

int64_t clock_now_ns(void) { return clock_read(CLOCK_MONOTONIC); }
int64_t clock_wall_ns(void) { return clock_read(CLOCK_REALTIME); }
int64_t clock_thread_cpu_ns(void) { return clock_read(CLOCK_THREAD_CPUTIME_ID); }

int64_t clock_after_ns(int64_t ns)
{
    int64_t now = clock_now_ns();
    return ns > CLOCK_FOREVER - now ? CLOCK_FOREVER : now + ns;
}
