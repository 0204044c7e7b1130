/* platform/clock: time. Monotonic nanoseconds everywhere; wall time only to show or to store. Any thread. */
#ifndef TUG_PLATFORM_CLOCK_H
#define TUG_PLATFORM_CLOCK_H

#include <stdint.h>

#define CLOCK_MS      ((int64_t)1000000)
#define CLOCK_SECOND  ((int64_t)1000000000)
#define CLOCK_FOREVER INT64_MAX

int64_t clock_now_ns(void);         /* monotonic */
int64_t clock_after_ns(int64_t ns); /* clock_now_ns() + ns; CLOCK_FOREVER when that is too far away to say */
int64_t clock_wall_ns(void);        /* since 1970, UTC */
int64_t clock_thread_cpu_ns(void);  /* CPU time of the calling thread */

#endif
