/* backends/backends_end_test: stopping in order, stopping what does not want to, and being killed. */
#include "backends/backends_fake.h"

/* ---- the end -------------------------------------------------------------------------------- */

static void *release_later(void *arg)
{
    pause_ms(300);
    backends_release(fix.b, arg);
    return NULL;
}

static void *stop_now(void *arg)
{
    struct backends *b = arg;
    backends_stop(&b, clock_now_ns() + 10 * CLOCK_SECOND);
    return NULL;
}

static void test_stop_lets_users_finish(void **state)
{
    (void)state;
    struct backends_options o = options();
    pthread_t thread, stopper;
    start(&o);
    struct backend_use u = use_ok("ready-10"), other = use_ok("ready-11");
    backends_release(fix.b, &other);
    pid_t pid = pid_of("ready-10");
    int64_t begun = clock_now_ns();
    pthread_create(&thread, NULL, release_later, &u);
    pthread_create(&stopper, NULL, stop_now, fix.b);
    wait_for_state("ready-11", -1); /* an idle one goes at once */
    use_fails("ready-11", ERR_UNAVAILABLE, "the daemon is stopping");
    assert_int_equal(kill(pid, 0), 0);
    pthread_join(thread, NULL);
    pthread_join(stopper, NULL);
    fix.b = NULL;
    assert_in_range(clock_now_ns() - begun, 300 * CLOCK_MS, 5 * CLOCK_SECOND);
}

static void test_stop_is_not_held_up(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct asker loading;
    o.stop_ns = CLOCK_SECOND / 2;
    start(&o);
    touch("stubborn-10");
    ask_begin(&loading, "slow-10", -1);
    pid_of("slow-10");
    int64_t begun = clock_now_ns();
    backends_stop(&fix.b, begun + 2 * CLOCK_SECOND);
    assert_in_range(clock_now_ns() - begun, CLOCK_SECOND, 5 * CLOCK_SECOND);
    ask_end(&loading);
    assert_int_equal(loading.err.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(loading.err.text, "the daemon is stopping"));
}

static void test_stop_while_waiting_for_room(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct asker asker;
    o.memory_bytes = 300 * MIB;
    start(&o);
    struct backend_use used = use_ok("ready-200");
    pthread_t thread;
    ask_begin(&asker, "ready-201", -1);
    wait_for_state("ready-201", BACKEND_IS_LOADING);
    pthread_create(&thread, NULL, release_later, &used);
    struct backends *b = fix.b;
    backends_stop(&b, clock_now_ns() + 10 * CLOCK_SECOND);
    fix.b = NULL;
    pthread_join(thread, NULL);
    ask_end(&asker);
    assert_int_equal(asker.err.code, ERR_UNAVAILABLE);
}

/* kill -9 of the daemon: `name` tells which of the two ways ends its engine. */
static void check_no_orphan(const char *name)
{
    int report[2];
    pid_t engine = 0;
    assert_int_equal(pipe(report), 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t daemon = fork();
    if (daemon == 0) {
        struct backends_options o = options();
        if (!backends_new(NULL, &o, &fix.b, NULL))
            _exit(1);
        touch(name);
        engine = pid_of(name);
        if (write(report[1], &engine, sizeof engine) != sizeof engine)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(report[0], &engine, sizeof engine), sizeof engine);
    close(report[0]);
    close(report[1]);
    kill(daemon, SIGKILL);
    waitpid(daemon, NULL, 0);
    alarm(20); /* else the wait below is the failure */
    assert_int_equal(waitpid(engine, NULL, 0), engine);
    alarm(0);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void test_killed_daemon_leaves_no_engine(void **state)
{
    (void)state;
    check_no_orphan("ready-10");  /* by the end of the channel: it has switched the signal off */
    check_no_orphan("orphan-10"); /* by the signal: it does not look at the channel */
    struct backends_options o = options();
    start(&o); /* sockets that were left are gone now */
}

int main(int argc, char **argv)
{
    FAKE_ENGINE_MAIN(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(test_stop_lets_users_finish),
        TEST(test_stop_is_not_held_up),
        TEST(test_stop_while_waiting_for_room),
        TEST(test_killed_daemon_leaves_no_engine),
    };
    return cmocka_run_group_tests_name("backends/end", tests, NULL, NULL);
}
