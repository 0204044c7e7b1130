/* backends/backends_room_test: who gets memory, who leaves for it, who is told that there is none. */
#include "backends/backends_fake.h"

static void test_oldest_idle_leaves(void **state)
{
    (void)state;
    struct backends_options o = options();
    o.memory_bytes = 400 * MIB;
    start(&o);
    struct backend_use used = use_ok("ready-101"); /* oldest, but in use */
    touch("ready-102");
    touch("ready-103");
    touch("ready-102"); /* now 103 is the one unused for longest */
    touch("ready-104");
    assert_int_equal(state_of("ready-101", NULL), BACKEND_IS_BUSY);
    assert_int_equal(state_of("ready-102", NULL), BACKEND_IS_IDLE);
    assert_int_equal(state_of("ready-103", NULL), -1);
    assert_int_equal(state_of("ready-104", NULL), BACKEND_IS_IDLE);
    touch("ready-150"); /* needs two to leave */
    assert_int_equal(state_of("ready-101", NULL), BACKEND_IS_BUSY);
    assert_int_equal(state_of("ready-102", NULL) == BACKEND_IS_IDLE, 0);
    backends_release(fix.b, &used);
}

static void test_kept_ones_leave_last(void **state)
{
    (void)state;
    struct backends_options o = options();
    const char *kept = "ready-101";
    struct model m = model_of(&kept);
    o.memory_bytes = 400 * MIB;
    o.keep_alive_ns = 60 * CLOCK_SECOND;
    start(&o);
    backends_set_keep_alive(fix.b, m.id, -1);
    touch("ready-101");
    touch("ready-102");
    touch("ready-103");
    touch("ready-104");
    assert_int_equal(state_of("ready-101", NULL), BACKEND_IS_IDLE);
    assert_int_equal(state_of("ready-102", NULL), -1);
    touch("ready-340");
    assert_int_equal(state_of("ready-101", NULL), -1);
}

/* What the engine says counts, not what was predicted. */
static void test_measured_memory_counts(void **state)
{
    (void)state;
    struct backends_options o = options();
    o.memory_bytes = 400 * MIB;
    start(&o);
    touch("ready-10-350");
    touch("ready-20");
    assert_int_equal(state_of("ready-10-350", NULL), -1);
    assert_int_equal(state_of("ready-20", NULL), BACKEND_IS_IDLE);
}

static void test_all_in_use(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct asker asker;
    o.memory_bytes = 300 * MIB;
    o.wait_ns = CLOCK_SECOND / 2;
    start(&o);
    struct backend_use used = use_ok("ready-200");
    int64_t begun = clock_now_ns();
    use_fails("ready-201", ERR_UNAVAILABLE, "in use are ready-200 (209.72MB)");
    assert_in_range(clock_now_ns() - begun, CLOCK_SECOND / 2, 5 * CLOCK_SECOND);
    struct backend_use small = use_ok("ready-20"); /* what fits beside it goes on */
    ask_begin(&asker, "ready-202", -1);
    wait_for_state("ready-202", BACKEND_IS_LOADING);
    backends_release(fix.b, &used); /* its turn */
    ask_end(&asker);
    assert_true(asker.ok);
    assert_int_equal(state_of("ready-200", NULL), -1);
    backends_release(fix.b, &asker.use);
    backends_release(fix.b, &small);
}

/* No time to wait: what fits is loaded, what does not is refused at once. */
static void test_no_time_to_wait(void **state)
{
    (void)state;
    struct backends_options o = options();
    o.memory_bytes = 300 * MIB;
    o.wait_ns = 0;
    start(&o);
    struct backend_use used = use_ok("ready-200");
    use_fails("ready-201", ERR_UNAVAILABLE, "no room for ready-201");
    backends_release(fix.b, &used);
}

static void test_waiter_for_room_leaves(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct asker asker;
    int client[2];
    o.memory_bytes = 300 * MIB;
    start(&o);
    struct backend_use used = use_ok("ready-200");
    socket_pair(client, NULL);
    ask_begin(&asker, "ready-201", client[0]);
    wait_for_state("ready-201", BACKEND_IS_LOADING);
    close(client[1]);
    ask_end(&asker);
    close(client[0]);
    assert_int_equal(asker.err.code, ERR_CANCELLED);
    wait_for_state("ready-201", -1); /* nobody waits: its place is given up */
    backends_release(fix.b, &used);
    pause_ms(50);
    assert_int_equal(state_of("ready-200", NULL), BACKEND_IS_IDLE); /* and nothing was evicted for it */
}

static void test_larger_than_everything(void **state)
{
    (void)state;
    struct backends_options o = options();
    o.memory_bytes = 300 * MIB;
    start(&o);
    touch("ready-100");
    use_fails("ready-5000", ERR_ENGINE, "cannot load ready-5000: it needs 5.29GB (weights 5.24GB");
    use_fails("ready-5000", ERR_ENGINE, "the memory limit of this daemon is 314.57MB");
    assert_int_equal(state_of("ready-100", NULL), BACKEND_IS_IDLE); /* nobody had to leave in vain */
}

/* A default context gives way to memory; one that was asked for does not. */
static void test_context_gives_way(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_use u;
    struct err err = ERR_INIT;
    o.context_size = 0;
    o.memory_bytes = 100 * MIB; /* 16384 tokens alone are 64 MiB here */
    start(&o);
    assert_false(use("args-30", -1, &u, &err));
    assert_non_null(strstr(err.text, "--ctx-size 4096 "));
}

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
static void test_limit_backends(void **state)
{
    (void)state;
    struct backends_options o = options();
    char name[32];
    struct backend_use first;
    o.memory_bytes = 100000 * MIB;
    start(&o);
    first = use_ok("ready-1");
    for (int i = 2; i <= LIMIT_BACKENDS + 1; i++) {
        snprintf(name, sizeof name, "ready-%d", i);
        touch(name);
    }
    assert_int_equal(state_of("ready-1", NULL), BACKEND_IS_BUSY);
    assert_int_equal(state_of("ready-2", NULL), -1);
    assert_int_equal(state_of("ready-3", NULL), BACKEND_IS_IDLE);
    backends_release(fix.b, &first);
}
#endif

/* ---- traffic -------------------------------------------------------------------------------- */

enum { TRAFFIC_THREADS = 6, TRAFFIC_USES = 40 };

static void *traffic(void *arg)
{
    static const char *const names[] = {"ready-101", "ready-102", "ready-103", "ready-104", "fail-50"};
    unsigned seed = (unsigned)(uintptr_t)arg;
    for (int i = 0; i < TRAFFIC_USES; i++) {
        const char *name = names[(size_t)rand_r(&seed) % ARRAY_LEN(names)];
        struct backend_use u = {0};
        struct err err = ERR_INIT;
        if (use(name, -1, &u, &err)) {
            if (rand_r(&seed) % 4 == 0)
                pause_ms(1);
            if (rand_r(&seed) % 16 == 0)
                backends_set_keep_alive(fix.b, u.id, rand_r(&seed) % 2 == 0 ? 0 : -1);
            backends_release(fix.b, &u);
        } else if (err.code != ERR_ENGINE) {
            return strdup(err.text);
        }
        if (rand_r(&seed) % 16 == 0)
            backends_unload(fix.b, NULL);
    }
    return NULL;
}

/* Many models, room for two: all get their turn, and the budget holds at every moment. */
static void test_traffic(void **state)
{
    (void)state;
    struct backends_options o = options();
    pthread_t threads[TRAFFIC_THREADS];
    o.memory_bytes = 320 * MIB;
    o.wait_ns = 60 * CLOCK_SECOND;
    start(&o);
    for (size_t i = 0; i < TRAFFIC_THREADS; i++)
        pthread_create(&threads[i], NULL, traffic, (void *)(uintptr_t)(i + 1));
    for (int i = 0; i < 100; i++) {
        _cleanup_(arena_done) struct arena a = ARENA_INIT;
        struct backend_info *list;
        uint64_t used = 0;
        size_t n = backends_list(fix.b, &a, &list);
        for (size_t k = 0; k < n; k++)
            used += list[k].pid != 0 ? list[k].memory_bytes : 0;
        assert_true(used <= o.memory_bytes);
        pause_ms(5);
    }
    for (size_t i = 0; i < TRAFFIC_THREADS; i++) {
        void *why;
        pthread_join(threads[i], &why);
        if (why != NULL)
            fail_msg("%s", (char *)why);
    }
}

int main(int argc, char **argv)
{
    FAKE_ENGINE_MAIN(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(test_oldest_idle_leaves),
        TEST(test_kept_ones_leave_last),
        TEST(test_measured_memory_counts),
        TEST(test_all_in_use),
        TEST(test_no_time_to_wait),
        TEST(test_waiter_for_room_leaves),
        TEST(test_larger_than_everything),
        TEST(test_context_gives_way),
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
        TEST(test_limit_backends),
#endif
        TEST(test_traffic),
    };
    return cmocka_run_group_tests_name("backends/room", tests, NULL, NULL);
}
