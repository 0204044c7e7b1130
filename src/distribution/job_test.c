/* job_test: tasks, watchers and their events, with work that this file makes up instead of a registry. */
#include "distribution/job.h"

#include "platform/clock.h"
#include "store/testing.h"

static int works_running, works_done;
static int64_t ended_ns;

/* What to do is the tag. These take the place of pull.c and push.c. */
bool pull_work(struct task *t, char message[ERR_TEXT_MAX], struct err *err)
{
    const char *what = t->ref.tag;
    bool ok = true;
    __atomic_add_fetch(&works_running, 1, __ATOMIC_SEQ_CST);
    if (strcmp(what, "fail") == 0) {
        ok = err_set(err, ERR_NOT_FOUND, "no such model");
    } else if (strncmp(what, "hang", 4) == 0) {
        size_t layer = task_layer(t, "sha256:one", 100);
        task_progress(t, layer, 42);
        while ((ok = task_wait(t, CLOCK_SECOND / 50, err)))
            ;
    } else if (strcmp(what, "many") == 0) {
        task_set_total(t, 2000000);
        for (int l = 0; l < 2; l++) {
            size_t layer = task_layer(t, l == 0 ? "sha256:one" : "sha256:two", 1000000);
            for (uint64_t i = 0; i <= 1000000; i += 10)
                task_progress(t, layer, i);
        }
    } else if (strcmp(what, "notes") == 0) {
        for (int i = 0; i < TASK_NOTES + 10; i++)
            task_note(t, JOB_WARNING, "note %d", i);
    }
    snprintf(message, ERR_TEXT_MAX, "done %s", what);
    __atomic_store_n(&ended_ns, clock_now_ns(), __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&works_done, 1, __ATOMIC_SEQ_CST);
    __atomic_sub_fetch(&works_running, 1, __ATOMIC_SEQ_CST);
    return ok;
}

bool push_work(struct task *t, char message[ERR_TEXT_MAX], struct err *err)
{
    (void)err;
    task_progress(t, task_layer(t, "sha256:one", 3 * 1024 * 1024), 3 * 1024 * 1024);
    snprintf(message, ERR_TEXT_MAX, "pushed");
    return true;
}

static struct distribution *start(int64_t linger_ns)
{
    struct distribution_options options = {.linger_ns = linger_ns};
    struct distribution *d = NULL;
    works_done = 0;
    must(distribution_new(NULL, &options, &d, &testing_err));
    return d;
}

static struct job *pull(struct distribution *d, const char *name, const char *token)
{
    struct job *j = NULL;
    struct reference ref = testing_ref(name);
    must(task_join(d, TASK_PULL, &ref, token, &j, &testing_err));
    return j;
}

static void wait_for_works(int n)
{
    for (int i = 0; i < 500 && __atomic_load_n(&works_running, __ATOMIC_SEQ_CST) != n; i++)
        usleep(10000);
    assert_int_equal(__atomic_load_n(&works_running, __ATOMIC_SEQ_CST), n);
}

/* Reads to the end; how many events there were before the last. */
static int drain(struct job *j, struct job_event *last)
{
    struct job_event e;
    int n = -1;
    for (; job_next(j, &e, -1); n++)
        *last = e;
    assert_false(job_next(j, &e, -1)); /* and it stays the end */
    return n;
}

static void a_failure_at_once_is_the_first_event(void **state)
{
    struct distribution *d = start(0);
    struct job *j = pull(d, "ai/x:fail", NULL);
    struct job_event e;
    (void)state;
    assert_true(job_next(j, &e, -1));
    assert_int_equal(e.kind, JOB_ERROR);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_string_equal(e.message, "no such model");
    assert_false(job_next(j, &e, -1));
    job_leave(&j);
    distribution_stop(&d);
}

static void watchers_join_and_each_sees_the_end(void **state)
{
    struct distribution *d = start(0);
    struct job *one = pull(d, "ai/x:hang", NULL), *two, *other;
    struct job_event e;
    (void)state;
    assert_true(job_next(one, &e, -1));
    assert_int_equal(e.kind, JOB_PROGRESS);
    assert_string_equal(e.layer_id, "sha256:one");
    assert_true(e.layer_size == 100 && e.layer_current == 42);
    two = pull(d, "ai/X:hang", NULL); /* the same name, and it sees where we are */
    assert_true(job_next(two, &e, -1));
    assert_int_equal(e.layer_current, 42);
    wait_for_works(1);
    other = pull(d, "ai/x:hang", "secret"); /* another right, another transfer */
    wait_for_works(2);
    job_leave(&one);
    usleep(100000);
    assert_int_equal(__atomic_load_n(&works_running, __ATOMIC_SEQ_CST), 2); /* two still watches */
    job_leave(&other);
    distribution_stop(&d);
    assert_int_equal(drain(two, &e), 0); /* after the end of d too */
    assert_int_equal(e.kind, JOB_ERROR);
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    job_leave(&two);
}

static void the_last_to_leave_stops_it_within_a_second(void **state)
{
    struct distribution *d = start(0);
    struct job *j = pull(d, "ai/x:hang", NULL);
    (void)state;
    wait_for_works(1);
    int64_t left = clock_now_ns();
    job_leave(&j);
    wait_for_works(0);
    assert_true(ended_ns - left < CLOCK_SECOND);
    j = pull(d, "ai/x:hang", NULL); /* begins anew */
    wait_for_works(1);
    job_leave(&j);
    distribution_stop(&d);
}

static void it_lingers_if_asked(void **state)
{
    struct distribution *d = start(CLOCK_SECOND / 2);
    struct job *j = pull(d, "ai/x:hang", NULL);
    (void)state;
    wait_for_works(1);
    job_leave(&j);
    usleep(200000);
    assert_int_equal(__atomic_load_n(&works_running, __ATOMIC_SEQ_CST), 1);
    wait_for_works(0);
    distribution_stop(&d);
}

static void two_run_and_the_third_waits_and_says_so(void **state)
{
    struct distribution *d = start(0);
    struct job *one = pull(d, "ai/x:hang1", NULL), *two = pull(d, "ai/x:hang2", NULL);
    struct job_event e;
    (void)state;
    wait_for_works(2);
    struct job *three = pull(d, "ai/x:many", NULL), *four = pull(d, "ai/x:hang4", NULL);
    assert_true(job_next(three, &e, -1));
    assert_int_equal(e.kind, JOB_PROGRESS);
    assert_non_null(strstr(e.message, "Waiting"));
    assert_int_equal(works_done, 0);
    job_leave(&four); /* one that waits can leave too */
    job_leave(&one);
    drain(three, &e);
    assert_int_equal(e.kind, JOB_SUCCESS);
    assert_string_equal(e.message, "done many");
    job_leave(&two);
    job_leave(&three);
    distribution_stop(&d);
}

static void a_slow_watcher_sees_the_newest_numbers(void **state)
{
    struct distribution *d = start(0);
    struct job *j = pull(d, "ai/x:many", NULL);
    struct job_event e;
    (void)state;
    while (__atomic_load_n(&works_done, __ATOMIC_SEQ_CST) == 0)
        usleep(1000);
    usleep(50000);
    for (int l = 0; l < 2; l++) { /* 200,000 steps later: one event a layer, whole */
        assert_true(job_next(j, &e, -1));
        assert_string_equal(e.layer_id, l == 0 ? "sha256:one" : "sha256:two");
        assert_true(e.layer_current == 1000000 && e.total == 2000000);
        assert_string_equal(e.message, "Downloaded: 0.95 MB");
    }
    assert_int_equal(drain(j, &e), 0);
    assert_int_equal(e.kind, JOB_SUCCESS);
    job_leave(&j);
    j = pull(d, "ai/x:notes", NULL);
    while (__atomic_load_n(&works_done, __ATOMIC_SEQ_CST) == 1)
        usleep(1000);
    usleep(50000);
    assert_true(job_next(j, &e, -1));
    assert_string_equal(e.message, "note 10"); /* the oldest went */
    assert_int_equal(e.kind, JOB_WARNING);
    assert_int_equal(drain(j, &e), TASK_NOTES - 1);
    job_leave(&j);
    distribution_stop(&d);
}

static void a_client_that_goes_away_ends_the_wait(void **state)
{
    struct distribution *d = start(0);
    struct job *j = pull(d, "ai/x:hang", NULL);
    struct job_event e;
    int pipes[2];
    (void)state;
    assert_int_equal(pipe(pipes), 0);
    assert_true(job_next(j, &e, pipes[0]));
    close(pipes[1]);
    assert_false(job_next(j, &e, pipes[0]));
    close(pipes[0]);
    job_leave(&j);
    job_leave(&j); /* NULL is fine */
    distribution_stop(&d);
    distribution_stop(&d);
}

static void a_push_tells_each_layers_size(void **state)
{
    struct distribution *d = start(0);
    struct job *j = NULL;
    struct job_event e;
    (void)state;
    must_fail(distribution_push(d, "a//b", NULL, &j, &testing_err), ERR_INVALID);
    must_fail(distribution_push(d, "ai/x@sha256:0000000000000000000000000000000000000000000000000000000000000000", NULL,
                                &j, &testing_err),
              ERR_INVALID);
    must_fail(distribution_pull(d, "", NULL, &j, &testing_err), ERR_INVALID);
    must_fail(distribution_pull(d, "hf.co/org/model:Q4_K_M", NULL, &j, &testing_err), ERR_UNSUPPORTED);
    must(distribution_push(d, "ai/x", NULL, &j, &testing_err));
    assert_true(job_next(j, &e, -1));
    assert_string_equal(e.message, "Uploaded: 3.00 MB");
    assert_int_equal(e.total, 3 * 1024 * 1024);
    drain(j, &e);
    assert_string_equal(e.message, "pushed");
    job_leave(&j);
    distribution_stop(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_at_once_is_the_first_event),
        cmocka_unit_test(watchers_join_and_each_sees_the_end),
        cmocka_unit_test(the_last_to_leave_stops_it_within_a_second),
        cmocka_unit_test(it_lingers_if_asked),
        cmocka_unit_test(two_run_and_the_third_waits_and_says_so),
        cmocka_unit_test(a_slow_watcher_sees_the_newest_numbers),
        cmocka_unit_test(a_client_that_goes_away_ends_the_wait),
        cmocka_unit_test(a_push_tells_each_layers_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
