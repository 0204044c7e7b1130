/* daemon/settings_test: what variables do to the options, and what they are refused for. */
#include "daemon/settings.h"

#include "base/check.h"
#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void clear_all(void)
{
    for (const struct setting *s = settings_table; s->variable != NULL; s++)
        unsetenv(s->variable);
}

/* Reads with one variable set; two for the rows that test who wins. */
static bool read_with(const char *name, const char *value, struct daemon_options *o, struct arena *a, struct err *err)
{
    clear_all();
    setenv(name, value, 1);
    *o = DAEMON_OPTIONS_DEFAULT;
    return settings_from_env(o, a, err);
}

static void test_nothing_set(void **state)
{
    (void)state;
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    struct daemon_options o = DAEMON_OPTIONS_DEFAULT;
    clear_all();
    assert_true(settings_from_env(&o, &a, NULL));
    assert_null(o.home);
    assert_null(o.listen);
    assert_int_equal(o.keep_alive_ns, (int64_t)300 * 1000000000);
    assert_int_equal(o.grace_ns, (int64_t)10 * 1000000000);
    assert_int_equal(o.log_level, LOG_INFO);
    assert_int_equal(o.ready_fd, -1);
}

static void test_values(void **state)
{
    (void)state;
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    struct daemon_options o;
    assert_true(read_with("TUG_HOME", " '/srv/tug' ", &o, &a, NULL));
    assert_string_equal(o.home, "/srv/tug");
    assert_true(read_with("TUG_LISTEN", "127.0.0.1:1, [::1]:2,,", &o, &a, NULL));
    assert_string_equal(o.listen[0], "127.0.0.1:1");
    assert_string_equal(o.listen[1], "[::1]:2");
    assert_null(o.listen[2]);
    assert_true(read_with("MODEL_RUNNER_PORT", "8080", &o, &a, NULL));
    assert_string_equal(o.listen[0], "127.0.0.1:8080");
    assert_true(read_with("TUG_INSECURE", "yes", &o, &a, NULL));
    assert_true(o.insecure);
    assert_true(read_with("TUG_KEEP_ALIVE", "1h30m", &o, &a, NULL));
    assert_int_equal(o.keep_alive_ns, (int64_t)5400 * 1000000000);
    assert_true(read_with("TUG_KEEP_ALIVE", "-1", &o, &a, NULL));
    assert_true(o.keep_alive_ns < 0);
    assert_true(read_with("TUG_MEMORY", "4096", &o, &a, NULL));
    assert_int_equal(o.memory_bytes, (uint64_t)4 << 30);
    assert_true(read_with("TUG_PARALLEL", "16", &o, &a, NULL));
    assert_int_equal(o.parallel, 16);
    assert_int_equal(o.threads, 0);
    assert_true(read_with("TUG_CONTEXT_SIZE", "8192", &o, &a, NULL));
    assert_int_equal(o.context_size, 8192);
    assert_true(read_with("LOG_LEVEL", "debug", &o, &a, NULL));
    assert_int_equal(o.log_level, LOG_DEBUG);
    assert_true(read_with("TUG_LISTEN", " \"\" ", &o, &a, NULL)); /* empty is none */
    assert_null(o.listen);
}

static void test_ours_wins(void **state)
{
    (void)state;
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    struct daemon_options o = DAEMON_OPTIONS_DEFAULT;
    clear_all();
    setenv("MODEL_RUNNER_PORT", "8080", 1);
    setenv("TUG_LISTEN", "127.0.0.1:9", 1);
    setenv("LOG_LEVEL", "debug", 1);
    setenv("TUG_LOG_LEVEL", "error", 1);
    assert_true(settings_from_env(&o, &a, NULL));
    assert_string_equal(o.listen[0], "127.0.0.1:9");
    assert_int_equal(o.log_level, LOG_ERROR);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *variable, *value, *text;
    } rows[] = {
        {"TUG_KEEP_ALIVE", "soon", "TUG_KEEP_ALIVE=soon is not a duration"},
        {"TUG_GRACE", "-1", "TUG_GRACE=-1 is not possible here"},
        {"TUG_PARALLEL", "257", "TUG_PARALLEL=257 is not a whole number from 0 to 256"},
        {"TUG_THREADS", "two", "TUG_THREADS=two is not a whole number"},
        {"TUG_THREADS", "4294967297", "is not a whole number from 0 to 1024"},
        {"MODEL_RUNNER_PORT", "65536", "MODEL_RUNNER_PORT=65536 is not a whole number from 0 to 65535"},
        {"TUG_MEMORY", "-5", "is not a whole number"},
        {"TUG_NO_TCP", "perhaps", "TUG_NO_TCP=perhaps is not yes or no"},
        {"TUG_LOG_LEVEL", "loud", "TUG_LOG_LEVEL=loud is not error, warn, info or debug"},
        {"TUG_LISTEN",
         "1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,"
         "9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5",
         "TUG_LISTEN has more than 64 entries"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_(arena_done) struct arena a = ARENA_INIT;
        struct daemon_options o;
        struct err err = ERR_INIT;
        if (read_with(rows[i].variable, rows[i].value, &o, &a, &err) || strstr(err.text, rows[i].text) == NULL)
            fail_msg("%s=%s: '%s', expected '%s'", rows[i].variable, rows[i].value, err.text, rows[i].text);
        assert_int_equal(err.code, ERR_INVALID);
    }
}

/* Each row can be shown to people, and no variable has two. */
static void test_rows(void **state)
{
    (void)state;
    for (const struct setting *s = settings_table; s->variable != NULL; s++) {
        assert_true(s->help[0] != '\0' && s->value[0] != '\0');
        for (const struct setting *other = settings_table; other < s; other++)
            assert_string_not_equal(s->variable, other->variable);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_set), cmocka_unit_test(test_values), cmocka_unit_test(test_ours_wins),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests_name("daemon/settings", tests, NULL, NULL);
}
