/* engine/schedule: what goes into the next step. Pure: numbers in, numbers out.
 *
 * A step has a budget of rows. Each decoding sequence has one; what is left goes to prompts: first
 * the oldest gets its share (a quarter of it, so that nobody starves), then the one with least left,
 * and so on: short prompts do not wait behind long ones, and equal ones end one after the other
 * instead of all at the end. A prompt that shares more tokens with an older one that is still being
 * computed than the cache has now waits for it (`waits_for`), and then takes the prefix over.
 *
 * Kernels of repacked weights compute the rows beyond a multiple of 4 one by one, each at the price of
 * four: a prompt that does not end in this step gives up to 3 rows back.
 *
 * The budget of prompt rows is `chunk` (budget.c), whether somebody decodes or not, and never more than the
 * ubatch has room for. Tests: schedule_test.c.
 */
#ifndef TUG_ENGINE_SCHEDULE_H
#define TUG_ENGINE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct schedule_item {
    int32_t remaining; /* tokens to compute; 1 and decoding: the token drawn last */
    bool decoding;
    bool waits;   /* for a prefix that another one computes */
    int32_t rows; /* out */
};

struct schedule_limits {
    int32_t ubatch;   /* rows of a step at most */
    int32_t chunk;    /* prompt rows */
    int32_t multiple; /* of rows that the kernels like: a prompt that goes on is cut to it */
};

/* Items in order of arrival. Returns the sum of rows; 0 only when there is nothing to compute. */
int32_t schedule_plan(struct schedule_item *items, size_t n, const struct schedule_limits *limits);

#endif
