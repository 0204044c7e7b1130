/* backends/backends_test: loading, crashing and leaving, with engines that do as their model's name says. */
#include "backends/backends_fake.h"

/* ---- loading -------------------------------------------------------------------------------- */

static void test_first_request_starts_it(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_info info = {0};
    start(&o);
    struct backend_use one = use_ok("ready-10"), two = use_ok("ready-10");
    assert_string_equal(one.socket, two.socket);
    assert_true(text_starts(one.socket, fix.run_dir));
    assert_int_equal(state_of("ready-10", &info), BACKEND_IS_BUSY);
    assert_int_equal(info.users, 2);
    assert_int_equal(info.starts, 1);
    assert_int_equal(info.memory_bytes, 10 * MIB);
    assert_string_equal(info.mode, "completion");
    assert_int_equal(pins, 1);
    backends_release(fix.b, &one);
    backends_release(fix.b, &one); /* released already: nothing */
    backends_release(fix.b, &two);
    assert_int_equal(state_of("ready-10", &info), BACKEND_IS_IDLE);
    assert_true(info.unload_in_ns < 0);
}

static void test_loaded_is_taken_at_once(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_info info = {0};
    struct backend_use two = {0};
    const char *name = "ready-10";
    struct model m = model_of(&name);
    start(&o);
    assert_false(backends_use_loaded(fix.b, m.id, &two)); /* nor does it load it */
    assert_int_equal(state_of(name, &info), -1);
    struct backend_use one = use_ok(name);
    assert_true(backends_use_loaded(fix.b, m.id, &two));
    assert_string_equal(one.socket, two.socket);
    backends_release(fix.b, &one);
    assert_int_equal(state_of(name, &info), BACKEND_IS_BUSY);
    assert_int_equal(info.users, 1);
    backends_release(fix.b, &two);
    assert_int_equal(backends_unload(fix.b, m.id), 1);
    assert_false(backends_use_loaded(fix.b, m.id, &two));
}

static void test_two_modes_one_engine(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_info info = {0};
    const char *name = "ready-10";
    struct model m = model_of(&name);
    struct backend_use chat, embed;
    start(&o);
    assert_true(backends_use(fix.b, &m, name, BACKEND_EMBEDDING, -1, &embed, NULL));
    assert_true(backends_use(fix.b, &m, name, BACKEND_COMPLETION, -1, &chat, NULL));
    assert_string_equal(chat.socket, embed.socket);
    state_of(name, &info);
    assert_int_equal(info.starts, 1);
    assert_string_equal(info.mode, "embedding"); /* the first one's */
    backends_release(fix.b, &chat);
    backends_release(fix.b, &embed);
}

static void test_readiness_wakes_all(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_info info = {0};
    struct asker askers[8];
    start(&o);
    for (size_t i = 0; i < ARRAY_LEN(askers); i++)
        ask_begin(&askers[i], "slow-10", -1);
    pid_t pid = pid_of_begun("slow-10");
    wait_for_waiters("slow-10", ARRAY_LEN(askers));
    assert_int_equal(state_of("slow-10", NULL), BACKEND_IS_LOADING);
    kill(pid, SIGUSR1);
    for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
        ask_end(&askers[i]);
        assert_true(askers[i].ok);
    }
    state_of("slow-10", &info);
    assert_int_equal(info.starts, 1);
    assert_int_equal(info.users, 8);
    assert_int_equal(most_bundles, 1); /* one of them made the plan */
    for (size_t i = 0; i < ARRAY_LEN(askers); i++)
        backends_release(fix.b, &askers[i].use);
}

static void test_leaving_does_not_abort(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_info info = {0};
    struct asker asker;
    int client[2];
    start(&o);
    socket_pair(client, NULL);
    ask_begin(&asker, "slow-10", client[0]);
    pid_t pid = pid_of_begun("slow-10");
    close(client[1]);
    ask_end(&asker);
    close(client[0]);
    assert_false(asker.ok);
    assert_int_equal(asker.err.code, ERR_CANCELLED);
    assert_int_equal(state_of("slow-10", NULL), BACKEND_IS_LOADING);
    kill(pid, SIGUSR1);
    wait_for_state("slow-10", BACKEND_IS_IDLE);
    touch("slow-10");
    state_of("slow-10", &info);
    assert_int_equal(info.starts, 1);
}

static void test_arguments(void **state)
{
    (void)state;
    static const char *const wanted[] = {
        "--model args-10 ",
        "--listen unix:/tmp/backends_test.",
        "--ready-fd 3 ",
        "--alias args-10 ",
        "--chat-template-file /t/template.jinja ",
        "--ctx-size 256 ",
        "--parallel 4 ",
        "--threads 2 ",
        "key= ",
    };
    struct backends_options o = options();
    struct backend_use u;
    struct err err = ERR_INIT;
    o.parallel = 4;
    o.threads = 2;
    setenv("TUG_API_KEY", "secret", 1);
    start(&o);
    assert_false(use("args-10", -1, &u, &err));
    unsetenv("TUG_API_KEY");
    text_format(err.text + strlen(err.text), sizeof err.text - strlen(err.text), " ");
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        if (strstr(err.text, wanted[i]) == NULL)
            fail_msg("no '%s' in: %s", wanted[i], err.text);
}

static void test_load_fails(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum err_code code;
        const char *text;
    } rows[] = {
        {"fail-10", ERR_ENGINE, "cannot load fail-10: the file is cut at byte 77"},
        {"crash-10", ERR_ENGINE, "the engine for crash-10 died while loading (signal 11, a bad memory access): "},
        {"crash-11", ERR_ENGINE, "assertion n_layers > 0"},
        {"quit-10", ERR_ENGINE, "died while loading (exit code 5)"},
        {"garbage-10", ERR_ENGINE, "is not a tug-engine, it said: HTTP/1.1 400"},
        {"nobundle-10", ERR_NOT_FOUND, "cannot load nobundle-10: its blob is gone"},
        {"noweights-10", ERR_UNSUPPORTED, "no GGUF weights"},
        {"broken-10", ERR_INVALID, "cannot load broken-10: broken-10 is not GGUF"},
    };
    struct backends_options o = options();
    start(&o);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        use_fails(rows[i].name, rows[i].code, rows[i].text);
        wait_for_state(rows[i].name, -1);
        use_fails(rows[i].name, rows[i].code, rows[i].text); /* and the next request tries again */
    }
}

static void test_failure_reaches_all_waiters(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct asker askers[4];
    start(&o);
    for (size_t i = 0; i < ARRAY_LEN(askers); i++)
        ask_begin(&askers[i], "slow-20", -1);
    pid_t pid = pid_of_begun("slow-20");
    wait_for_waiters("slow-20", ARRAY_LEN(askers));
    kill(pid, SIGSEGV);
    for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
        ask_end(&askers[i]);
        assert_false(askers[i].ok);
        assert_int_equal(askers[i].err.code, ERR_ENGINE);
        assert_non_null(strstr(askers[i].err.text, "signal 11"));
    }
}

static void test_no_engine_program(void **state)
{
    (void)state;
    struct backends_options o = options();
    o.engine_path = "/nonexistent/tug-engine";
    start(&o);
    use_fails("ready-10", ERR_ENGINE, "cannot start the engine for ready-10: cannot start /nonexistent/tug-engine");
    assert_int_equal(state_of("ready-10", NULL), -1);
    use_fails("ready-10", ERR_ENGINE, "No such file"); /* not a crash: no back-off */
}

static void test_hanging_load_is_ended(void **state)
{
    (void)state;
    struct backends_options o = options();
    o.load_ns = CLOCK_SECOND;
    o.stop_ns = CLOCK_SECOND / 10;
    start(&o);
    use_fails("hang-10", ERR_ENGINE, "was not ready after 1 s");
    wait_for_state("hang-10", -1);
}

static void test_long_run_dir(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct err err = ERR_INIT;
    o.run_dir = "/tmp/a-folder-with-a-name-so-long-that-no-socket-has-room-in-it/really-none-at-all/run";
    assert_false(backends_new(NULL, &o, &fix.b, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.text, "TUG_HOME"));
}

/* ---- crashes -------------------------------------------------------------------------------- */

static void test_crash_while_serving(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_info info = {0};
    struct err err = ERR_INIT;
    start(&o);
    struct backend_use one = use_ok("ready-10");
    assert_false(backends_explain(fix.b, &one, &err)); /* it lives: the exchange broke for another reason */
    kill(pid_of("ready-10"), SIGSEGV);
    assert_true(backends_explain(fix.b, &one, &err));
    assert_int_equal(err.code, ERR_ENGINE);
    assert_non_null(
        strstr(err.text, "the engine for ready-10 died (signal 11, a bad memory access): fake engine for ready-10"));
    struct backend_use two = use_ok("ready-10"); /* the next one starts it again */
    assert_int_not_equal(two.generation, one.generation);
    backends_release(fix.b, &one); /* of the dead one: must not count for the living */
    assert_int_equal(state_of("ready-10", &info), BACKEND_IS_BUSY);
    assert_int_equal(info.users, 1);
    assert_int_equal(info.crashes, 1);
    backends_release(fix.b, &two);
}

static void crash(const char *name)
{
    struct backend_use u = use_ok(name);
    struct err err = ERR_INIT;
    kill(pid_of(name), SIGSEGV);
    assert_true(backends_explain(fix.b, &u, &err));
    backends_release(fix.b, &u);
}

static void test_back_off(void **state)
{
    (void)state;
    struct backends_options o = options();
    o.backoff_ns = CLOCK_SECOND;
    start(&o);
    for (int i = 0; i < 3; i++)
        crash("ready-10");
    use_fails("ready-10", ERR_ENGINE, "ready-10 crashed 3 times in a row; Tug starts it again in 1 s at the earliest");
    touch("ready-11"); /* others are not concerned */
    pause_ms(1200);
    crash("ready-10");
    use_fails("ready-10", ERR_ENGINE, "crashed 4 times in a row");
    pause_ms(1100);
    use_fails("ready-10", ERR_ENGINE, "crashed 4 times in a row"); /* the delay has grown */
    pause_ms(1100);
    touch("ready-10");
}

/* ---- leaving -------------------------------------------------------------------------------- */

static void test_keep_alive(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_info info = {0};
    const char *name = "ready-12";
    struct model m = model_of(&name);
    o.keep_alive_ns = 2 * CLOCK_SECOND;
    start(&o);
    backends_set_keep_alive(fix.b, m.id, 0);
    struct backend_use used = use_ok("ready-10");
    touch("ready-11");
    touch("ready-12");
    wait_for_state("ready-12", -1); /* 0: at once */
    assert_int_equal(state_of("ready-11", &info), BACKEND_IS_IDLE);
    assert_in_range(info.unload_in_ns, 0, o.keep_alive_ns);
    wait_for_state("ready-11", -1);
    pause_ms(300);
    assert_int_equal(state_of("ready-10", NULL), BACKEND_IS_BUSY); /* in use: however long */
    backends_release(fix.b, &used);
    assert_int_equal(state_of("ready-10", NULL), BACKEND_IS_IDLE);
    wait_for_state("ready-10", -1);
    backends_set_keep_alive(fix.b, m.id, -1);
    touch("ready-12");
    pause_ms(2200);
    assert_int_equal(state_of("ready-12", &info), BACKEND_IS_IDLE); /* negative: never */
    assert_true(info.keep_alive_set);
    backends_set_keep_alive(fix.b, m.id, 0); /* and that counts for a loaded one too */
    wait_for_state("ready-12", -1);
}

static void test_unload(void **state)
{
    (void)state;
    struct backends_options o = options();
    const char *one = "ready-10", *two = "ready-11";
    struct model m1 = model_of(&one), m2 = model_of(&two);
    start(&o);
    assert_int_equal(backends_unload(fix.b, m1.id), 0);
    struct backend_use used = use_ok(one);
    touch(two);
    touch("ready-12");
    assert_int_equal(backends_unload(fix.b, m1.id), 0); /* busy: not running */
    assert_int_equal(backends_unload(fix.b, m2.id), 1);
    assert_int_equal(state_of(two, NULL), -1);
    assert_int_equal(backends_unload(fix.b, NULL), 1);
    assert_int_equal(state_of("ready-12", NULL), -1);
    backends_release(fix.b, &used);
    assert_int_equal(backends_unload(fix.b, NULL), 1);
    touch(one); /* and it can come back */
}

int main(int argc, char **argv)
{
    FAKE_ENGINE_MAIN(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(test_first_request_starts_it),
        TEST(test_loaded_is_taken_at_once),
        TEST(test_two_modes_one_engine),
        TEST(test_readiness_wakes_all),
        TEST(test_leaving_does_not_abort),
        TEST(test_arguments),
        TEST(test_load_fails),
        TEST(test_failure_reaches_all_waiters),
        TEST(test_no_engine_program),
        TEST(test_hanging_load_is_ended),
        TEST(test_long_run_dir),
        TEST(test_crash_while_serving),
        TEST(test_back_off),
        TEST(test_keep_alive),
        TEST(test_unload),
    };
    return cmocka_run_group_tests_name("backends", tests, NULL, NULL);
}
