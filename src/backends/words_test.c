/* backends/words_test: the last lines of an engine, and its log file with its maximum. */
#include "backends/backend.h"
#include "base/text.h"
#include "platform/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ID "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/words_test.XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    return !file_remove_tree(folder, NULL);
}

static void test_last_lines(void **state)
{
    (void)state;
    static const struct {
        const char *name, *said;
        size_t size;
        const char *last;
    } rows[] = {
        {"nothing", "", 64, ""},
        {"only line ends", "\n\n\n", 64, ""},
        {"one line", "out of memory\n", 64, "out of memory"},
        {"no line end", "out of memory", 64, "out of memory"},
        {"two lines", "a\nb\n", 64, "a | b"},
        {"the older does not fit", "an older line\nthe last\n", 12, "the last"},
        {"both just fit", "abc\nde\n", 9, "abc | de"},
        {"both just not", "abc\nde\n", 8, "de"},
        {"a long line's end", "0123456789\n", 6, "56789"},
        {"what is no news is left out", "t engine info: ready\nbad\nt engine debug: x\n", 64, "bad"},
        {"nothing but that", "t engine info: ready\n", 64, ""},
        {"control characters", "a\tb\033[1m\n", 64, "a b [1m"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct words w = {0};
        char last[64];
        words_begin(&w, folder, ID, "m");
        words_add(&w, rows[i].said, strlen(rows[i].said));
        words_last(&w, last, rows[i].size);
        if (strcmp(last, rows[i].last) != 0)
            fail_msg("%s: '%s', expected '%s'", rows[i].name, last, rows[i].last);
        words_end(&w);
    }
}

/* More than the ring holds, in pieces of any size: what remains is a whole number of the newest lines. */
static void test_ring_wraps(void **state)
{
    (void)state;
    struct words w = {0};
    char line[32], last[200];
    words_begin(&w, folder, ID, "m");
    for (int i = 0; i < 5000; i++) {
        text_format(line, sizeof line, "line %d\n", i);
        size_t n = strlen(line), cut = (size_t)i % n;
        words_add(&w, line, cut);
        words_add(&w, line + cut, n - cut);
    }
    words_last(&w, last, sizeof last);
    assert_true(text_starts(last, "line "));
    assert_true(text_ends(last, "line 4998 | line 4999"));
    char all[2 * LIMIT_ENGINE_WORDS_BYTES];
    words_last(&w, all, sizeof all);
    assert_true(text_starts(all, "line "));
    assert_true(strlen(all) > LIMIT_ENGINE_WORDS_BYTES / 2);
    words_end(&w);
}

static void test_log_has_two_halves(void **state)
{
    (void)state;
    char path[128], old[128], block[65536];
    struct words w = {0};
    memset(block, 'x', sizeof block);
    words_begin(&w, folder, ID, "ai/smollm2");
    for (size_t n = 0; n < 3 * (size_t)LIMIT_ENGINE_LOG_BYTES; n += sizeof block)
        words_add(&w, block, sizeof block);
    words_end(&w);
    text_format(path, sizeof path, "%s/engine-001122334455.log", folder);
    text_format(old, sizeof old, "%s.1", path);
    assert_in_range(file_stat(path).size, 1, LIMIT_ENGINE_LOG_BYTES);
    assert_in_range(file_stat(old).size, LIMIT_ENGINE_LOG_BYTES / 2, LIMIT_ENGINE_LOG_BYTES);
}

static void test_no_log_is_no_error(void **state)
{
    (void)state;
    struct words w = {0};
    char last[64];
    words_begin(&w, "/nonexistent/folder", ID, "m");
    words_add(&w, "words_test: expected on stderr\n", 31);
    words_last(&w, last, sizeof last);
    assert_string_equal(last, "words_test: expected on stderr");
    words_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_last_lines, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_ring_wraps, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_log_has_two_halves, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_no_log_is_no_error, make_folder, remove_folder),
    };
    return cmocka_run_group_tests_name("backends/words", tests, NULL, NULL);
}
