/* configure_test: settings that change while engines run, and loading without a request. */
#include "backends/backends_fake.h"
#include "backends/model_settings.h"

static int begin(void **state)
{
    fake_settings[0] = '\0';
    fake_found = NULL;
    return set_up(state);
}

static void configured(const char *name, const struct model_settings *s, bool reload)
{
    struct model m = model_of(&name);
    backends_configured(fix.b, m.id, s, reload);
}

static void preload(const char *name)
{
    struct model m = model_of(&name);
    backends_preload(fix.b, m.id, name, BACKEND_COMPLETION);
}

/* Until a preload has come and gone. */
static void wait_for_no_preload(void)
{
    for (int running = 1; running != 0; pause_ms(1)) {
        pthread_mutex_lock(&fix.b->lock);
        running = fix.b->preloads;
        pthread_mutex_unlock(&fix.b->lock);
    }
}

static void the_engine_gets_them(void **state)
{
    (void)state;
    struct backends_options o = options();
    o.threads = 2;
    start(&o);
    strcpy(fake_settings, "{\"version\":1,\"settings\":{\"context-size\":1234,\"runtime-flags\":[\"--temp\",\"0.50\","
                          "\"--threads\",\"3\",\"--log-colors\"],\"llamacpp\":{\"reasoning-budget\":0}}}");
    use_fails("args-10", ERR_ENGINE,
              "--ctx-size 1234 --threads 2 --thinking=0 --reasoning-budget=0 --temp=0.5 --threads=3 key=");
    strcpy(fake_settings, "{\"version\":1,\"settings\":{\"context-size\":1234,\"runtime-flags\":[\"-c\",\"99\"]}}");
    use_fails("args-10", ERR_ENGINE, "--ctx-size 99 ");
}

static void damaged_ones_are_ignored(void **state)
{
    (void)state;
    static const char *const texts[] = {"{", "{\"version\":7}",
                                        "{\"version\":1,\"settings\":{\"runtime-flags\":[\"--x\"]}}"};
    struct backends_options o = options();
    start(&o);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        strcpy(fake_settings, texts[i]);
        use_fails("args-10", ERR_ENGINE, "--ctx-size 256 key=");
    }
}

static void keep_alive_comes_with_the_load(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_info info = {0};
    start(&o);
    strcpy(fake_settings, "{\"version\":1,\"settings\":{\"keep_alive\":\"90s\"}}");
    touch("ok-10");
    state_of("ok-10", &info);
    assert_true(info.keep_alive_set);
    assert_int_equal(info.keep_alive_ns, 90 * CLOCK_SECOND);
    configured("ok-10", &(struct model_settings){0}, false); /* taken back: the daemon's own again */
    state_of("ok-10", &info);
    assert_false(info.keep_alive_set);
    assert_int_equal(info.keep_alive_ns, -1);
    configured("ok-10", &(struct model_settings){.keep_alive_set = true}, false);
    wait_for_state("ok-10", -1); /* 0: not at all */
}

static void an_idle_engine_with_old_settings_leaves(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_info info = {0};
    struct backend_use u = {0};
    const char *name = "ok-10";
    struct model m = model_of(&name);
    start(&o);
    touch("ok-10");
    pid_t first = pid_of("ok-10");
    configured("ok-10", &(struct model_settings){0}, false);
    touch("ok-10");
    assert_int_equal(pid_of("ok-10"), first);
    configured("ok-10", &(struct model_settings){0}, true);
    assert_false(backends_use_loaded(fix.b, m.id, &u)); /* nobody gets the old one any more */
    touch("ok-10");
    assert_int_not_equal(pid_of("ok-10"), first);
    state_of("ok-10", &info);
    assert_int_equal(info.starts, 2);
    assert_true(backends_use_loaded(fix.b, m.id, &u));
    backends_release(fix.b, &u);
}

static void a_busy_engine_goes_on(void **state)
{
    (void)state;
    struct backends_options o = options();
    const char *name = "ok-10";
    struct model m = model_of(&name);
    start(&o);
    assert_int_equal(backends_users(fix.b, m.id), 0);
    struct backend_use u = use_ok("ok-10");
    pid_t first = pid_of("ok-10");
    assert_int_equal(backends_users(fix.b, m.id), 1);
    configured("ok-10", &(struct model_settings){0}, true);
    assert_int_equal(pid_of("ok-10"), first);
    assert_int_equal(state_of("ok-10", NULL), BACKEND_IS_BUSY);
    backends_release(fix.b, &u);
    wait_for_state("ok-10", -1);
}

/* While it loads: who waits gets that engine, which leaves then. */
static void settings_that_come_during_a_load(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct asker asker;
    start(&o);
    ask_begin(&asker, "slow-10", -1);
    pid_t pid = pid_of_begun("slow-10");
    configured("slow-10", &(struct model_settings){0}, true);
    kill(pid, SIGUSR1);
    ask_end(&asker);
    assert_true(asker.ok);
    backends_release(fix.b, &asker.use);
    wait_for_state("slow-10", -1);
}

static void a_preload_loads_once(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_info info = {0};
    start(&o);
    fake_found = "slow-10";
    for (int i = 0; i < 20; i++)
        preload("slow-10");
    pid_t pid = pid_of_begun("slow-10");
    kill(pid, SIGUSR1);
    wait_for_state("slow-10", BACKEND_IS_IDLE);
    wait_for_no_preload();
    for (int i = 0; i < 3; i++)
        preload("slow-10");
    state_of("slow-10", &info);
    assert_int_equal(info.starts, 1);
    assert_string_equal(info.name, "slow-10");
}

static void a_preload_takes_the_new_settings(void **state)
{
    (void)state;
    struct backends_options o = options();
    start(&o);
    fake_found = "ok-10";
    touch("ok-10");
    pid_t first = pid_of("ok-10");
    configured("ok-10", &(struct model_settings){0}, true);
    preload("ok-10");
    wait_for_no_preload();
    wait_for_state("ok-10", BACKEND_IS_IDLE);
    assert_int_not_equal(pid_of("ok-10"), first);
}

static void a_preload_that_fails_harms_nobody(void **state)
{
    (void)state;
    struct backends_options o = options();
    start(&o);
    preload("ok-10"); /* the model is gone */
    wait_for_no_preload();
    fake_found = "fail-10";
    preload("fail-10");
    wait_for_no_preload();
    wait_for_state("fail-10", -1);
    touch("ok-10");
}

/* The daemon ends while one is on its way: tear_down looks at what is left. */
static void a_preload_ends_with_the_daemon(void **state)
{
    (void)state;
    struct backends_options o = options();
    start(&o);
    fake_found = "hang-10";
    preload("hang-10");
    pid_of_begun("hang-10");
}

int main(int argc, char **argv)
{
    FAKE_ENGINE_MAIN(argc, argv);
#define T(f) cmocka_unit_test_setup_teardown(f, begin, tear_down)
    const struct CMUnitTest tests[] = {
        T(the_engine_gets_them),
        T(damaged_ones_are_ignored),
        T(keep_alive_comes_with_the_load),
        T(an_idle_engine_with_old_settings_leaves),
        T(a_busy_engine_goes_on),
        T(settings_that_come_during_a_load),
        T(a_preload_loads_once),
        T(a_preload_takes_the_new_settings),
        T(a_preload_that_fails_harms_nobody),
        T(a_preload_ends_with_the_daemon),
    };
    return cmocka_run_group_tests_name("backends/configure", tests, NULL, NULL);
}
