/* daemon/settings_test: what variables do to the options, and what they are refused for. */
#include "daemon/settings.h"

#include "base/check.h"
#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    return settings_from_env(o, a, NULL, err);
}

static void test_nothing_set(void **state)
{
    (void)state;
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    struct daemon_options o = DAEMON_OPTIONS_DEFAULT;
    clear_all();
    assert_true(settings_from_env(&o, &a, NULL, NULL));
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
    assert_true(settings_from_env(&o, &a, NULL, NULL));
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

static const char *file_with(const char *text)
{
    static char path[64];
    strcpy(path, "/tmp/settings_test.XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    return path;
}

static void test_file(void **state)
{
    (void)state;
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    struct daemon_options o = DAEMON_OPTIONS_DEFAULT;
    struct settings_origin origins[SETTINGS_MAX] = {{0}};
    struct err err = ERR_INIT;
    const char *path = file_with("# all of it\n\n keep-alive = 1h # long\r\nlisten=127.0.0.1:1, 127.0.0.1:2\n"
                                 "wait = \"30s\"\nno-tcp=yes\nmemory = 512\nthreads =\nlog-level = debug");
    if (!settings_from_file(&o, path, &a, origins, &err))
        fail_msg("%s", err.text);
    assert_int_equal(o.keep_alive_ns, (int64_t)3600 * 1000000000);
    assert_string_equal(o.listen[1], "127.0.0.1:2");
    assert_int_equal(o.wait_ns, (int64_t)30 * 1000000000);
    assert_true(o.no_tcp);
    assert_int_equal(o.memory_bytes, (uint64_t)512 << 20);
    assert_int_equal(o.threads, 0);
    assert_int_equal(o.log_level, LOG_DEBUG);
    for (const struct setting *s = settings_table; s->variable != NULL; s++) {
        char key[SETTING_KEY_MAX], where[128];
        setting_key(s, key);
        if (strcmp(key, "keep-alive") != 0)
            continue;
        snprintf(where, sizeof where, "%s:3", path);
        assert_int_equal(origins[s - settings_table].from, SETTING_FROM_FILE);
        assert_string_equal(origins[s - settings_table].where, where);
    }
    clear_all();
    setenv("TUG_KEEP_ALIVE", "7m", 1); /* the environment wins */
    assert_true(settings_from_env(&o, &a, origins, NULL));
    assert_int_equal(o.keep_alive_ns, (int64_t)420 * 1000000000);
    unlink(path);
    assert_true(settings_from_file(&o, path, &a, NULL, NULL)); /* a missing one is empty */
    assert_false(settings_from_file(&o, "/tmp", &a, NULL, &err));
}

static void test_file_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"\nlisen = 1\n", ":2: there is no setting \"lisen\"; there are: listen, socket, "},
        {"keep-alive = soon", ":1: keep-alive=soon is not a duration: 5m"},
        {"threads = 4097", ":1: threads=4097 is not a whole number from 0 to 1024"},
        {"no-tcp = maybe", ":1: no-tcp=maybe is not yes or no"},
        {"log-level = loud", ":1: log-level=loud is not error, warn, info or debug"},
        {"no-tcp", ":1: \"no-tcp\" is not of the form: key = value"},
        {" = 5", "there is no setting \"\""},
        {"home = x", "home cannot be set in a file: set TUG_HOME"},
        {"KEEP-ALIVE = 5m", "there is no setting \"KEEP-ALIVE\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_(arena_done) struct arena a = ARENA_INIT;
        struct daemon_options o = DAEMON_OPTIONS_DEFAULT;
        struct err err = ERR_INIT;
        const char *path = file_with(rows[i].text);
        bool ok = settings_from_file(&o, path, &a, NULL, &err);
        unlink(path);
        if (ok || strstr(err.text, rows[i].says) == NULL || strstr(err.text, path) == NULL)
            fail_msg("%s: '%s', expected '%s'", rows[i].text, err.text, rows[i].says);
        assert_int_equal(err.code, ERR_INVALID);
    }
}

/* Every setting shows what was read, but the key. */
static void test_shown(void **state)
{
    (void)state;
    static const struct {
        const char *line, *shown;
    } rows[] = {
        {"keep-alive=90", "1m30s"},
        {"listen=a:1,b:2", "a:1,b:2"},
        {"port=8080", "127.0.0.1:8080"},
        {"memory=7", "7"},
        {"threads=3", "3"},
        {"context-size=99", "99"},
        {"insecure=on", "yes"},
        {"log-level=warn", "warn"},
        {"api-key=hunter2", "(set)"},
        {"engine=/x", "/x"},
        {"grace=0", "0s"},
        {"keep-alive=-1", "-1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_(arena_done) struct arena a = ARENA_INIT;
        _cleanup_(buf_done) struct buf text = BUF_INIT(4096);
        struct daemon_options o = DAEMON_OPTIONS_DEFAULT;
        struct settings_origin origins[SETTINGS_MAX] = {{0}};
        const char *path = file_with(rows[i].line);
        assert_true(settings_from_file(&o, path, &a, origins, NULL));
        unlink(path);
        for (const struct setting *s = settings_table; s->variable != NULL; s++)
            if (setting_is_main(s) && origins[s - settings_table].from == SETTING_FROM_FILE)
                setting_show(s, &o, &text);
        assert_string_equal(buf_str(&text), rows[i].shown);
    }
}

/* Each row can be shown to people, and no variable has two. */
static void test_rows(void **state)
{
    (void)state;
    for (const struct setting *s = settings_table; s->variable != NULL; s++) {
        assert_true(s - settings_table < SETTINGS_MAX - 1);
        assert_true(s->help[0] != '\0' && s->value[0] != '\0');
        for (const struct setting *other = settings_table; other < s; other++)
            assert_string_not_equal(s->variable, other->variable);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_set),  cmocka_unit_test(test_values), cmocka_unit_test(test_ours_wins),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_rows),   cmocka_unit_test(test_file),
        cmocka_unit_test(test_file_refused), cmocka_unit_test(test_shown),
    };
    return cmocka_run_group_tests_name("daemon/settings", tests, NULL, NULL);
}
