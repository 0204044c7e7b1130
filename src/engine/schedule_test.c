/* What a step is made of: d = decoding, a number = a prompt's tokens left, w before it = waits for a prefix. */
#include "engine/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 300 };

struct row {
    const char *name, *items;
    int32_t ubatch, chunk;
    const char *rows;
    int32_t multiple;
};

static const struct row rows[] = {
    {"nothing to do", "", 512, 64, "", 0},
    {"one decodes", "d", 512, 64, "1", 0},
    {"all decode", "d d d d", 512, 64, "1 1 1 1", 0},
    {"more decode than fit", "d d d", 2, 64, "1 1 0", 0},
    {"a prompt alone has the chunk too", "1000", 512, 64, "64", 0},
    {"a prompt alone fills the ubatch", "1000", 512, 512, "512", 0},
    {"a short prompt alone", "10", 512, 64, "10", 0},
    {"a prompt beside decoding gets a chunk", "d d 1000", 512, 64, "1 1 64", 0},
    {"the chunk never passes the ubatch", "d d 1000", 10, 64, "1 1 8", 0},
    {"equal prompts go one after the other", "100 100 100 100", 200, 200, "100 100 0 0", 0},
    {"the short one first, a quarter for the oldest", "8000 100", 512, 512, "412 100", 0},
    {"the short one does not wait behind the long one", "d 8000 40", 512, 64, "1 24 40", 0},
    {"the oldest has its share however many short ones come", "8000 60 60 60 60 60 60 60 60", 64, 64,
     "16 48 0 0 0 0 0 0 0", 0},
    {"the share is at least one row", "8000 5", 2, 64, "1 1", 0},
    {"who waits gets nothing", "100 w100 w100", 512, 512, "100 0 0", 0},
    {"who waits is not the oldest", "w100 40", 512, 64, "0 40", 0},
    {"a prompt that goes on is cut to the multiple", "d d d 1000", 512, 64, "1 1 1 61", 4},
    {"one that ends is not", "d d d 62", 512, 64, "1 1 1 62", 4},
    {"the last that goes on is cut", "d 8000 40", 512, 64, "1 23 40", 4},
    {"never to nothing", "d d d 1000", 4, 64, "1 1 1 1", 3},
};

static size_t parse(const char *text, struct schedule_item *items)
{
    char copy[512];
    size_t n = 0;
    char *rest = copy;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        bool decoding = word[0] == 'd';
        bool waits = word[0] == 'w';
        int32_t left = decoding ? 1 : (int32_t)strtol(word + waits, NULL, 10);
        items[n++] = (struct schedule_item){.remaining = left, .decoding = decoding, .waits = waits};
    }
    return n;
}

static void plans(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct schedule_item items[MOST];
        char got[512] = "";
        size_t n = parse(rows[i].items, items);
        int32_t sum =
            schedule_plan(items, n, &(struct schedule_limits){rows[i].ubatch, rows[i].chunk, rows[i].multiple});
        int32_t count = 0;
        for (size_t j = 0; j < n; j++) {
            size_t at = strlen(got);
            snprintf(got + at, sizeof got - at, "%s%d", j > 0 ? " " : "", items[j].rows);
            count += items[j].rows;
        }
        if (strcmp(got, rows[i].rows) != 0 || sum != count)
            fail_msg("%s: \"%s\", not \"%s\", sum %d", rows[i].name, got, rows[i].rows, sum);
    }
}

/* Whatever comes: within the budget, never more than is left, work is done, and the oldest prompt ends. */
static void random_traffic(void **state)
{
    (void)state;
    unsigned seed = 7;
    for (int round = 0; round < 300; round++) {
        struct schedule_item items[MOST];
        struct schedule_limits l = {1 + rand_r(&seed) % 512, 1 + rand_r(&seed) % 64, 1 + rand_r(&seed) % 5};
        size_t n = 1 + (size_t)rand_r(&seed) % 40;
        items[0] = (struct schedule_item){.remaining = 1 + rand_r(&seed) % 2000};
        for (size_t i = 1; i < n; i++) {
            bool decoding = rand_r(&seed) % 3 == 0 && i < (size_t)l.ubatch; /* else they take all, rightly */
            items[i] =
                (struct schedule_item){.remaining = decoding ? 1 : 1 + rand_r(&seed) % 300, .decoding = decoding};
        }
        for (int step = 0; items[0].remaining > 0; step++) {
            assert_true(step < 2001);
            int32_t sum = schedule_plan(items, n, &l);
            int32_t decodes = 0;
            assert_in_range(sum, 1, l.ubatch);
            for (size_t i = 0; i < n; i++) {
                assert_in_range(items[i].rows, 0, items[i].remaining);
                decodes += items[i].decoding ? items[i].rows : 0;
            }
            if (decodes > 0)
                assert_true(sum - decodes <= l.chunk);
            if (decodes < l.ubatch)
                assert_true(items[0].rows > 0);
            else
                break;
            items[0].remaining -= items[0].rows;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(plans), cmocka_unit_test(random_traffic)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
