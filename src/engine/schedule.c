/* engine/schedule.c: see schedule.h. */
#include "engine/schedule.h"

#include "base/check.h"

static int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

/* The waiting prompt with the fewest tokens left that has no rows beyond its share yet; the oldest of equals. */
static struct schedule_item *schedule_shortest(struct schedule_item *items, size_t n)
{
    struct schedule_item *shortest = NULL;
    for (size_t i = 0; i < n; i++) {
        struct schedule_item *item = &items[i];
        if (item->decoding || item->waits || item->rows == item->remaining)
            continue;
        if (shortest == NULL || item->remaining < shortest->remaining)
            shortest = item;
    }
    return shortest;
}

/* The rows above a multiple, taken from the last prompt that goes on anyway. */
static int32_t schedule_trim(struct schedule_item *items, size_t n, int32_t over)
{
    for (size_t i = n; i > 0 && over > 0; i--) {
        struct schedule_item *item = &items[i - 1];
        if (!item->decoding && item->rows > over && item->rows < item->remaining) {
            item->rows -= over;
            return over;
        }
    }
    return 0;
}

int32_t schedule_plan(struct schedule_item *items, size_t n, const struct schedule_limits *limits)
{
    int32_t sum = 0;
    struct schedule_item *oldest = NULL;
    for (size_t i = 0; i < n; i++) {
        struct schedule_item *item = &items[i];
        CHECK(item->remaining > 0);
        item->rows = item->decoding && sum < limits->ubatch ? 1 : 0;
        sum += item->rows;
        if (oldest == NULL && !item->decoding && !item->waits)
            oldest = item;
    }
    int32_t room = limits->ubatch - sum;
    int32_t left = smaller(limits->chunk, room);
    sum += left;
    if (oldest != NULL && left > 0) {
        oldest->rows = smaller(oldest->remaining, left / 4 > 0 ? left / 4 : 1);
        left -= oldest->rows;
    }
    while (left > 0) {
        struct schedule_item *item = schedule_shortest(items, n);
        if (item == NULL)
            break;
        int32_t more = smaller(item->remaining - item->rows, left);
        item->rows += more;
        left -= more;
        if (item->rows < item->remaining)
            break; /* nothing left */
    }
    sum -= left;
    return sum - schedule_trim(items, n, limits->multiple > 1 ? sum % limits->multiple : 0);
}
