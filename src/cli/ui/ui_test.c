/* cli/ui/ui_test: exact strings from a clock and a width that the test sets; tables too. */
#include "cli/ui/progress.h"
#include "cli/ui/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SECOND ((int64_t)1000000000)
#define LAYER  "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_terminal(void **state)
{
    (void)state;
    struct progress p;
    progress_init(&p, true, 80, "Downloading", "Pull complete");
    progress_update(&p, LAYER, 0, 100000000, 100000000, 10 * SECOND);
    assert_string_equal(buf_str(&p.out), "0123456789ab: Waiting      \x1b[K\n");
    buf_clear(&p.out);
    progress_update(&p, LAYER, 10000000, 100000000, 100000000, 10 * SECOND + 1000); /* too soon to redraw */
    assert_string_equal(buf_str(&p.out), "");
    progress_update(&p, LAYER, 50000000, 100000000, 100000000, 12 * SECOND);
    assert_string_equal(
        buf_str(&p.out),
        "\x1b[1A\r0123456789ab: Downloading   [=====>    ] 50.00MB / 100.00MB  25.00MB/s  2s left\x1b[K\n");
    buf_clear(&p.out);
    progress_update(&p, LAYER, 100000000, 100000000, 100000000, 14 * SECOND);
    progress_finish(&p, 14 * SECOND);
    assert_non_null(strstr(buf_str(&p.out), "0123456789ab: Pull complete\x1b[K\n"));
    progress_done(&p);
}

/* A resumed transfer's rate counts only what it moved itself. */
static void test_resumed_rate(void **state)
{
    (void)state;
    struct progress p;
    progress_init(&p, true, 100, "Downloading", "Pull complete");
    progress_update(&p, LAYER, 90000000, 100000000, 100000000, SECOND);
    buf_clear(&p.out);
    progress_update(&p, LAYER, 91000000, 100000000, 100000000, 2 * SECOND);
    assert_non_null(strstr(buf_str(&p.out), " 1.00MB/s  9s left"));
    progress_done(&p);
}

static void test_narrow(void **state)
{
    (void)state;
    struct progress p;
    progress_init(&p, true, 30, "Downloading", "Pull complete");
    progress_update(&p, LAYER, 50, 100, 100, SECOND);
    const char *end = strstr(buf_str(&p.out), "\x1b[K\n");
    assert_non_null(end);
    assert_true(end - p.out.data <= 29);
    progress_done(&p);
}

static void test_plain(void **state)
{
    (void)state;
    struct progress p;
    progress_init(&p, false, 80, "Downloading", "Pull complete");
    progress_update(&p, LAYER, 1000000, 2000000, 2000000, SECOND);
    progress_update(&p, LAYER, 1500000, 2000000, 2000000, SECOND + 1000); /* within the same second */
    progress_update(&p, LAYER, 2000000, 2000000, 2000000, SECOND + 2000);
    progress_finish(&p, SECOND + 3000);
    assert_string_equal(buf_str(&p.out), "Downloaded 1.00MB of 2.00MB\nDownloaded 2.00MB of 2.00MB\n");
    progress_done(&p);
}

static void test_table(void **state)
{
    (void)state;
    static const char *const header[] = {"A", "LONG"};
    struct arena arena = ARENA_INIT;
    struct table t = {.header = header, .n_columns = 2, .arena = &arena};
    struct buf out = BUF_INIT(1000);
    table_row(&t, (const char *[]){"wide cell", NULL});
    table_row(&t, (const char *[]){"\xc3\xbc", "x"});
    table_write(&t, &out);
    assert_string_equal(buf_str(&out), "A          LONG  \nwide cell        \n\xc3\xbc          x     \n");
    buf_done(&out);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terminal), cmocka_unit_test(test_resumed_rate), cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_plain),    cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
