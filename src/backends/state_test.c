/* backends/state_test: every pair of a state and an event, against what should be possible. */
#include "backends/backend.h"
#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { NO = -1 };

/* Written a second time, as a matrix, so that a row that was changed by mistake is seen. */
/* clang-format off */
static const int expected[BACKEND_STATES][BACKEND_EVENTS] = {
                          /* WANTED          ROOM              GIVEN_UP        NO_START        READY            FAILED            EXIT            EVICT             END               IDLE              LATE */
    [BACKEND_ABSENT]   = { BACKEND_QUEUED, NO,               NO,             NO,             NO,              NO,               NO,             NO,               NO,               NO,               NO },
    [BACKEND_QUEUED]   = { NO,             BACKEND_STARTING, BACKEND_ABSENT, NO,             NO,              NO,               NO,             NO,               BACKEND_ABSENT,   NO,               NO },
    [BACKEND_STARTING] = { NO,             NO,               NO,             BACKEND_ABSENT, BACKEND_SERVING, BACKEND_STOPPING, BACKEND_ABSENT, NO,               BACKEND_STOPPING, NO,               BACKEND_STOPPING },
    [BACKEND_SERVING]  = { NO,             NO,               NO,             NO,             NO,              NO,               BACKEND_ABSENT, BACKEND_STOPPING, BACKEND_DRAINING, NO,               NO },
    [BACKEND_DRAINING] = { NO,             NO,               NO,             NO,             NO,              NO,               BACKEND_ABSENT, NO,               NO,               BACKEND_STOPPING, BACKEND_STOPPING },
    [BACKEND_STOPPING] = { NO,             NO,               NO,             NO,             NO,              NO,               BACKEND_ABSENT, NO,               NO,               NO,               NO },
};
/* clang-format on */

static void test_every_pair(void **state)
{
    (void)state;
    for (int in = 0; in < BACKEND_STATES; in++) {
        for (int on = 0; on < BACKEND_EVENTS; on++) {
            const struct backend_row *row = backend_row_find((enum backend_state)in, (enum backend_event)on);
            int becomes = row == NULL ? NO : (int)row->becomes;
            if (becomes != expected[in][on])
                fail_msg("%s on %s becomes %d, expected %d", backend_state_name((enum backend_state)in),
                         backend_event_name((enum backend_event)on), becomes, expected[in][on]);
            if (row != NULL)
                assert_true(row->why != NULL && row->why[0] != '\0');
        }
    }
}

/* Wherever a process lives, its end leads back to ABSENT; wherever none does, there is no end. */
static void test_exit_is_always_known(void **state)
{
    (void)state;
    for (int in = 0; in < BACKEND_STATES; in++) {
        const struct backend_row *row = backend_row_find((enum backend_state)in, EV_EXIT);
        struct backend be = {.state = (enum backend_state)in};
        assert_int_equal(row != NULL, backend_holds_memory(&be));
        if (row != NULL)
            assert_int_equal(row->becomes, BACKEND_ABSENT);
    }
}

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < BACKEND_STATES; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(backend_state_name((enum backend_state)i),
                                    backend_state_name((enum backend_state)j));
    for (int i = 0; i < BACKEND_EVENTS; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(backend_event_name((enum backend_event)i),
                                    backend_event_name((enum backend_event)j));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair),
        cmocka_unit_test(test_exit_is_always_known),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests_name("backends/state", tests, NULL, NULL);
}
