/* platform/process_test.c: real programs of the system (sh, cat, sleep, env), and ourselves. */
#include "base/check.h"
#include "base/cleanup.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/memory.h"
#include "platform/process.h"
#include "platform/socket.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

static int64_t in_ms(int ms) { return clock_now_ns() + ms * CLOCK_MS; }

static void test_run(void **state)
{
    static const struct {
        const char *name, *script, *in, *out;
        int status;
    } rows[] = {
        {"output", "echo hello", NULL, "hello\n", 0},
        {"input", "cat", "some text", "some text", 0},
        {"input from /dev/stdin", "cat /dev/stdin", "again", "again", 0},
        {"no input", "cat", NULL, "", 0},
        {"failure keeps its text", "echo why; exit 3", NULL, "why\n", 3},
        {"signal", "kill -9 $$", NULL, "", 128 + 9},
        {"stderr is not output", "echo x >&2", NULL, "", 0},
        {"a grandchild holds stdout", "sleep 30 & echo done", NULL, "done\n", 0},
        {"SIGPIPE is not ignored", "yes | head -1", NULL, "y\n", 0},
    };
    (void)state;
    signal(SIGPIPE, SIG_IGN); /* as our programs do */
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_(buf_done) struct buf out = BUF_INIT(1000);
        struct err err = ERR_INIT;
        int status = -1;
        if (!process_run(ARGV("sh", "-c", rows[i].script), rows[i].in, &out, 10 * CLOCK_SECOND, &status, &err))
            fail_msg("%s: %s", rows[i].name, err.text);
        if (status != rows[i].status || strcmp(buf_str(&out), rows[i].out) != 0)
            fail_msg("%s: status %d, output '%s'", rows[i].name, status, buf_str(&out));
    }
    int left; /* the grandchild of above is not our child, and of our own none is left */
    assert_true(waitpid(-1, &left, WNOHANG) == -1 && errno == ECHILD);
}

static void test_run_fails(void **state)
{
    _cleanup_(buf_done) struct buf out = BUF_INIT(10);
    struct err err = ERR_INIT;
    int status = -1;
    (void)state;
    assert_false(process_run(ARGV("no-such-program-here"), NULL, &out, CLOCK_SECOND, &status, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_false(process_run(ARGV("/etc/passwd"), NULL, &out, CLOCK_SECOND, &status, &err));
    assert_int_equal(err.code, ERR_FORBIDDEN);
    int64_t start = clock_now_ns();
    assert_false(process_run(ARGV("sh", "-c", "sleep 30; echo"), NULL, &out, 100 * CLOCK_MS, &status, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    assert_true(clock_now_ns() - start < 5 * CLOCK_SECOND);
    assert_false(process_run(ARGV("sh", "-c", "exec >&-; sleep 30"), NULL, &out, 100 * CLOCK_MS, &status, &err));
    assert_false(process_run(ARGV("yes"), NULL, &out, 10 * CLOCK_SECOND, &status, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    assert_int_equal(status, -1);
    assert_true(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

static void test_environment_and_fds(void **state)
{
    int out[2];
    int pass[2][2];
    char text[256] = "";
    struct err err = ERR_INIT;
    struct process p;
    int status = -1;
    (void)state;
    assert_true(socket_pair(out, NULL) && socket_pair(pass[0], NULL) && socket_pair(pass[1], NULL));
    /* Our ends are 3, 4 … as well, so that they cross with their places in the child. */
    const int fds[] = {pass[1][1], pass[0][1]};
    struct process_spec spec = {
        .argv = ARGV("sh", "-c", "echo one >&3; echo two >&4; echo $TUG_A-$TUG_B; ls /proc/self/fd | tr '\\n' ' '"),
        .env = ARGV("TUG_A=new", "TUG_B=x y"),
        .stdin_fd = -1,
        .stdout_fd = out[1],
        .stderr_fd = -1,
        .pass_fds = fds,
        .n_pass_fds = 2,
    };
    setenv("TUG_A", "old", 1);
    int leak = dup(0); /* a descriptor without CLOEXEC, as a library might leave one */
    if (!process_spawn(&spec, &p, &err))
        fail_msg("%s", err.text);
    close(leak);
    assert_true(process_wait(&p, in_ms(10000), &status));
    assert_int_equal(status, 0);
    process_done(&p);
    assert_int_equal(p.pidfd, -1);
    assert_true(socket_read_line(pass[1][0], text, sizeof text, in_ms(1000), &err));
    assert_string_equal(text, "one");
    assert_true(socket_read_line(pass[0][0], text, sizeof text, in_ms(1000), &err));
    assert_string_equal(text, "two");
    assert_true(socket_read_line(out[0], text, sizeof text, in_ms(1000), &err));
    assert_string_equal(text, "new-x y");
    ssize_t n = read(out[0], text, sizeof text - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_string_equal(text, "0 1 2 3 4 5 "); /* 5 is ls's own */
    for (int i = 0; i < 2; i++) {
        close(out[i]);
        close(pass[0][i]);
        close(pass[1][i]);
    }
}

static void test_wait_and_signal(void **state)
{
    struct process p;
    int status = -1;
    struct process_spec spec = {.argv = ARGV("sleep", "30"), .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
    (void)state;
    assert_true(process_spawn(&spec, &p, NULL));
    assert_true(memory_process_bytes(p.pid) > 0);
    assert_false(process_wait(&p, in_ms(30), &status));
    assert_int_equal(status, -1);
    assert_true(process_signal(&p, SIGTERM));
    assert_true(process_wait(&p, in_ms(5000), &status));
    assert_int_equal(status, 128 + SIGTERM);
    assert_false(process_signal(&p, SIGTERM)); /* gone; and no other process is hit */
    process_done(&p);
    process_done(&p);
}

/* A parent that dies by SIGKILL takes its PROCESS_CHILD along; a DETACHED one lives on, in its own session. */
static void death_of_parent(int kind, bool expect_alive)
{
    int fds[2];
    pid_t pid = 0;
    (void)expect_alive;
    assert_true(socket_pair(fds, NULL));
    pid_t middle = fork();
    if (middle == 0) {
        struct process p = {0};
        struct process_spec spec = {.argv = ARGV("sleep", "30"), .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
        spec.kind = kind == 0 ? PROCESS_CHILD : PROCESS_DETACHED;
        if (process_spawn(&spec, &p, NULL))
            socket_write_all(fds[1], &p.pid, sizeof p.pid, NULL);
        raise(SIGKILL);
    }
    close(fds[1]); /* sleep has CLOEXEC copies only: EOF tells nothing about it */
    assert_int_equal(read(fds[0], &pid, sizeof pid), sizeof pid);
    assert_int_equal(waitpid(middle, NULL, 0), middle);
    bool alive = true;
    for (int i = 0; i < 200 && alive; i++) {
        char path[64];
        char text[256] = "";
        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        FILE *f = fopen(path, "r");
        alive = f != NULL && fgets(text, sizeof text, f) != NULL && strstr(text, ") Z") == NULL;
        if (f != NULL)
            fclose(f);
        if (expect_alive)
            break;
        usleep(10000);
    }
    assert_int_equal(alive, expect_alive);
    if (expect_alive) {
        assert_int_equal(getsid(pid), pid);
        kill(pid, SIGKILL);
    }
    close(fds[0]);
}

static void test_death_of_parent(void **state)
{
    (void)state;
    death_of_parent(0, false);
    death_of_parent(1, true);
}

static void *spawn_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        _cleanup_(buf_done) struct buf out = BUF_INIT(100);
        int status = -1;
        CHECK(process_run(ARGV("echo", "x"), NULL, &out, 20 * CLOCK_SECOND, &status, NULL));
        CHECK(status == 0 && strcmp(buf_str(&out), "x\n") == 0);
    }
    return NULL;
}

static void *allocate_much(void *stop)
{
    while (!__atomic_load_n((int *)stop, __ATOMIC_RELAXED))
        free(malloc(1000));
    return NULL;
}

/* Other threads hold malloc's locks while we fork: a child that allocated would hang now and then. */
static void test_threads(void **state)
{
    pthread_t threads[3];
    int stop = 0;
    (void)state;
    assert_true(process_thread("allocates", allocate_much, &stop, 64 * 1024, 0, &threads[0], NULL));
    for (int i = 1; i < 3; i++)
        assert_true(process_thread("a name far too long", spawn_many, NULL, 128 * 1024, 0, &threads[i], NULL));
    pthread_join(threads[1], NULL);
    pthread_join(threads[2], NULL);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_join(threads[0], NULL);
    struct err err = ERR_INIT;
    assert_false(process_thread("huge", spawn_many, NULL, (size_t)1 << 46, 0, NULL, &err));
}

static void test_signals(void **state)
{
    int fd = -1;
    (void)state;
    assert_true(process_signals_open((const int[]){SIGUSR1, SIGUSR2, 0}, &fd, NULL));
    assert_int_equal(process_signals_take(fd), 0);
    kill(getpid(), SIGUSR2);
    struct socket_wait wait = {.fd = fd, .want = SOCKET_READABLE};
    assert_int_equal(socket_wait(&wait, 1, in_ms(2000)), 1);
    assert_int_equal(process_signals_take(fd), SIGUSR2);
    assert_int_equal(process_signals_take(fd), 0);
    /* A child does not inherit the block. */
    _cleanup_(buf_done) struct buf out = BUF_INIT(100);
    int status = -1;
    assert_true(process_run(ARGV("sh", "-c", "kill -USR1 $$; echo no"), NULL, &out, 5 * CLOCK_SECOND, &status, NULL));
    assert_int_equal(status, 128 + SIGUSR1);
    close(fd);
}

static void test_machine(void **state)
{
    (void)state;
    assert_true(process_cpus() >= 1);
    assert_true(memory_total_bytes() >= memory_available_bytes());
    assert_true(memory_available_bytes() > 1 << 20);
    assert_int_equal(memory_process_bytes(-5), 0);
    setenv("TUG_EMPTY", "", 1);
    assert_null(process_env("TUG_EMPTY"));
    assert_non_null(process_env("PATH"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_run_fails),
        cmocka_unit_test(test_environment_and_fds),
        cmocka_unit_test(test_wait_and_signal),
        cmocka_unit_test(test_death_of_parent),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
