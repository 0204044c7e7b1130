/* backends/metrics_merge_test: several engines' Prometheus texts become one, grouped, each sample with its model. */
#include "backends/backend.h"
#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct row {
    const char *name;
    const char *first, *second; /* of models a and b"\ */
    const char *merged;
} rows[] = {
    {"nothing", "", "", ""},
    {"one sample", "x 1\n", "", "x{model=\"a\"} 1\n"},
    {"no line end, timestamps", "x 1 1700000000", "", "x{model=\"a\"} 1 1700000000\n"},
    {"grouped, one head", "# HELP x The x.\n# TYPE x counter\nx 1\n# TYPE y gauge\ny 2\n",
     "# HELP x The x.\n# TYPE x counter\nx 3\n# TYPE y gauge\ny 4\n",
     "# HELP x The x.\n# TYPE x counter\nx{model=\"a\"} 1\nx{model=\"b\\\"\\\\\"} 3\n"
     "# TYPE y gauge\ny{model=\"a\"} 2\ny{model=\"b\\\"\\\\\"} 4\n"},
    {"labels stay", "x{code=\"2}0\",m=\"\"} 1\nx{} 2\n", "",
     "x{model=\"a\",code=\"2}0\",m=\"\"} 1\nx{model=\"a\"} 2\n"},
    {"a histogram stays together", "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 2\nh_count 3\n",
     "h_bucket{le=\"1\"} 4\n",
     "# TYPE h histogram\nh_bucket{model=\"a\",le=\"1\"} 1\nh_sum{model=\"a\"} 2\nh_count{model=\"a\"} 3\n"
     "h_bucket{model=\"b\\\"\\\\\",le=\"1\"} 4\n"},
    {"a head without samples", "# TYPE x counter\n", "", ""},
    {"other lines go", "<html>\n# EOF\n\n 1\nx\nx 1\r\n", "", "x{model=\"a\"} 1\n"},
};

static void test_merge(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        _cleanup_(buf_done) struct buf out = BUF_INIT(65536);
        _cleanup_(metrics_merge_free) struct metrics_merge *mm = metrics_merge_new();
        metrics_merge_add(mm, rows[i].first, "a");
        metrics_merge_add(mm, rows[i].second, "b\"\\");
        assert_true(metrics_merge_write(mm, &out));
        if (strcmp(buf_str(&out), rows[i].merged) != 0)
            fail_msg("%s:\n%s\nexpected:\n%s", rows[i].name, buf_str(&out), rows[i].merged);
    }
}

static void test_limit_of_families(void **state)
{
    (void)state;
    _cleanup_(buf_done) struct buf out = BUF_INIT(1024 * 1024);
    _cleanup_(metrics_merge_free) struct metrics_merge *mm = metrics_merge_new();
    char line[32];
    for (int i = 0; i < LIMIT_METRIC_FAMILIES + 10; i++) {
        snprintf(line, sizeof line, "m%d 1\n", i);
        metrics_merge_add(mm, line, "a");
    }
    assert_true(metrics_merge_write(mm, &out));
    int lines = 0;
    for (const char *p = out.data; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(lines, LIMIT_METRIC_FAMILIES);
}

/* The caller's buffer may be too small: false, never half a line more than it holds. */
static void test_small_buffer(void **state)
{
    (void)state;
    _cleanup_(buf_done) struct buf out = BUF_INIT(8);
    _cleanup_(metrics_merge_free) struct metrics_merge *mm = metrics_merge_new();
    metrics_merge_add(mm, "some_metric 1\n", "a");
    assert_false(metrics_merge_write(mm, &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_limit_of_families),
        cmocka_unit_test(test_small_buffer),
    };
    return cmocka_run_group_tests_name("backends/metrics_merge", tests, NULL, NULL);
}
