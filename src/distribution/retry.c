/* distribution/retry.c: the back-off of transfer.h. */
#include "distribution/transfer.h"

#include "base/text.h"
#include "platform/clock.h"
#include "platform/random.h"

#define FIRST_WAIT_NS   (CLOCK_SECOND / 2)
#define LONGEST_WAIT_NS (60 * CLOCK_SECOND)

/* What another try can help: nobody answered, or asked us to come again. */
static bool retry_is_useful(enum err_code code)
{
    return code == ERR_UNREACHABLE || code == ERR_BUSY || code == ERR_UNAVAILABLE;
}

/* Doubled each time, less up to a quarter so that many clients do not come back together. */
static int64_t retry_wait_ns(unsigned failures)
{
    int64_t ns = FIRST_WAIT_NS << (failures < 8 ? failures : 8);
    if (ns > LONGEST_WAIT_NS)
        ns = LONGEST_WAIT_NS;
    return ns - (int64_t)(random_u64() % (uint64_t)(ns / 4));
}

void retry_progress(struct retry *r) { r->failures = 0; }

bool retry_again(struct retry *r, struct err *err)
{
    struct err gone = ERR_INIT;
    if (!task_wanted(r->task, &gone)) {
        *err = gone;
        return false;
    }
    if (!retry_is_useful(err->code))
        return false;
    if (r->failures + 1 >= r->most)
        return err_while(err, "gave up after %u tries", r->most);
    int64_t wait_ns = retry_wait_ns(r->failures++);
    task_note(r->task, JOB_WARNING, "%s; trying again in %.1f s (%u of %u)", err->text, (double)wait_ns / 1e9,
              r->failures + 1, r->most);
    if (!task_wait(r->task, wait_ns, &gone)) {
        *err = gone;
        return false;
    }
    return true;
}
