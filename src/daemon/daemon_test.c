/* daemon/daemon_test: a whole daemon in a child: how it starts, what it refuses, how it ends. */
#include "daemon/daemon.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/socket.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct fixture {
    char home[64], socket[96], log[96];
    pid_t pid;
    char said[ERR_TEXT_MAX + 16]; /* on ready_fd */
} fix;

static int set_up(void **state)
{
    (void)state;
    memset(&fix, 0, sizeof fix);
    strcpy(fix.home, "/tmp/daemon_test.XXXXXX");
    if (mkdtemp(fix.home) == NULL)
        return 1;
    snprintf(fix.socket, sizeof fix.socket, "%s/run/tug.sock", fix.home);
    snprintf(fix.log, sizeof fix.log, "%s/test.log", fix.home);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (fix.pid > 0) {
        kill(fix.pid, SIGKILL);
        waitpid(fix.pid, NULL, 0);
    }
    return file_remove_tree(fix.home, NULL) ? 0 : 1;
}

static struct daemon_options options(void)
{
    static const char *const listen[] = {"127.0.0.1:0", NULL};
    struct daemon_options o = DAEMON_OPTIONS_DEFAULT;
    o.home = fix.home;
    o.listen = listen;
    return o;
}

/* The daemon in a child, its words in fix.log; true: it says that it is ready. */
static bool start(struct daemon_options o, pid_t *ret_pid)
{
    int pair[2];
    assert_true(socket_pair(pair, NULL));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int fd;
        close(pair[0]);
        if (!file_open(fix.log, FILE_APPEND, &fd, NULL) || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
            _exit(99);
        o.ready_fd = pair[1];
        if (getenv("LISTEN_FDS") != NULL) {
            char text[32];
            snprintf(text, sizeof text, "%ld", (long)getpid());
            setenv("LISTEN_PID", text, 1);
        }
        exit(daemon_run(&o)); /* not _exit: a sanitizer looks for what was leaked */
    }
    close(pair[1]);
    strcpy(fix.said, "nothing");
    socket_read_line(pair[0], fix.said, sizeof fix.said, clock_now_ns() + 20 * CLOCK_SECOND, NULL);
    close(pair[0]);
    *ret_pid = pid;
    return strcmp(fix.said, "ready") == 0;
}

static void start_ok(struct daemon_options o)
{
    if (!start(o, &fix.pid))
        fail_msg("the daemon says: %s", fix.said);
}

/* Its exit code; -N: killed by signal N. */
static int ended(pid_t *pid)
{
    int status;
    alarm(30); /* a daemon that never ends is a failure, not a hanging test */
    assert_int_equal(waitpid(*pid, &status, 0), *pid);
    alarm(0);
    *pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void start_fails(struct daemon_options o, const char *text)
{
    pid_t pid;
    if (start(o, &pid) || !text_starts(fix.said, "failed ") || strstr(fix.said, text) == NULL)
        fail_msg("the daemon says: %s\nexpected: %s", fix.said, text);
    assert_int_equal(ended(&pid), 1);
}

static char *read_file(const char *name)
{
    char path[128];
    struct buf text = BUF_INIT(65536);
    snprintf(path, sizeof path, "%s/%s", fix.home, name);
    file_read_all(path, text.max, &text, NULL);
    return buf_take(&text);
}

/* The whole answer to one request. -1: whoever accepted has closed without a word. */
static int get(int fd, const char *path, const char *host)
{
    char request[256], answer[4096];
    size_t n = 0, got = 1;
    int status = -1;
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host);
    socket_write_all(fd, request, strlen(request), NULL);
    while (got > 0 && n + 1 < sizeof answer &&
           file_read_some(fd, answer + n, sizeof answer - 1 - n, "answer", &got, NULL))
        n += got;
    answer[n] = '\0';
    sscanf(answer, "HTTP/1.1 %d", &status);
    close(fd);
    return status;
}

static int get_unix(const char *path)
{
    int fd;
    return socket_connect_unix(fix.socket, &fd, NULL) ? get(fd, path, "localhost") : -1;
}

static uint16_t tcp_port(void)
{
    _cleanup_free_ char *address = read_file("run/address");
    unsigned port = 0;
    sscanf(address, "http://127.0.0.1:%u", &port);
    return (uint16_t)port;
}

/* GET /logs?follow=true: a request that runs until somebody ends it. Returns when its answer has begun. */
static int begin_long_request(void)
{
    static const char request[] = "GET /logs?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char first[64];
    size_t n;
    int fd;
    assert_true(socket_connect_unix(fix.socket, &fd, NULL));
    assert_true(socket_write_all(fd, request, sizeof request - 1, NULL));
    assert_true(file_read_some(fd, first, sizeof first, "answer", &n, NULL) && n > 12);
    assert_memory_equal(first, "HTTP/1.1 200", 12);
    return fd;
}

static void test_start_and_end(void **state)
{
    (void)state;
    char lock[64];
    int fd;
    start_ok(options());
    _cleanup_free_ char *address = read_file("run/address"), *lock_text = read_file("daemon.lock");
    _cleanup_free_ char *log = read_file("test.log");
    uint16_t port = tcp_port();
    assert_int_not_equal(port, 0);
    assert_non_null(strstr(address, fix.socket));
    snprintf(lock, sizeof lock, "%ld http://127.0.0.1:%u\n", (long)fix.pid, port);
    assert_string_equal(lock_text, lock);
    assert_true(text_starts(log, "tug " TUG_VERSION " listens on http://127.0.0.1:") ||
                strstr(log, "listens on") != NULL);
    assert_int_equal(get_unix("/version"), 200);
    assert_true(socket_connect_tcp("127.0.0.1", port, CLOCK_SECOND, &fd, NULL));
    assert_int_equal(get(fd, "/version", "localhost"), 200);
    kill(fix.pid, SIGHUP); /* the terminal went away: nothing */
    assert_int_equal(get_unix("/version"), 200);
    kill(fix.pid, SIGTERM);
    assert_int_equal(ended(&fix.pid), 0);
    assert_int_equal(file_stat(fix.socket).kind, FILE_KIND_NONE);
    _cleanup_free_ char *after = read_file("run/address"), *lock_after = read_file("daemon.lock");
    assert_string_equal(after, "");
    assert_string_equal(lock_after, "");
}

static void test_one_daemon_a_home(void **state)
{
    (void)state;
    char text[96];
    start_ok(options());
    snprintf(text, sizeof text, "process %ld, at http://127.0.0.1:%u; end it with", (long)fix.pid, tcp_port());
    start_fails(options(), text);
    assert_int_equal(get_unix("/version"), 200); /* and the first is not disturbed */
}

static void test_restart_after_kill(void **state)
{
    (void)state;
    start_ok(options());
    kill(fix.pid, SIGKILL);
    assert_int_equal(ended(&fix.pid), -SIGKILL);
    assert_int_not_equal(file_stat(fix.socket).kind, FILE_KIND_NONE);
    start_ok(options());
    assert_int_equal(get_unix("/version"), 200);
}

static void test_port_taken(void **state)
{
    (void)state;
    char where[32];
    const char *list[] = {where, NULL};
    struct daemon_options o = options();
    int fd;
    assert_true(socket_listen_tcp("127.0.0.1:0", &fd, NULL));
    snprintf(where, sizeof where, "127.0.0.1:%u", socket_port(fd));
    o.listen = list;
    start_fails(o, "the port is taken by ");
    close(fd);
    start_ok(o); /* nothing of the failed one is in the way */
}

static void test_off_loopback(void **state)
{
    (void)state;
    static const char *const any[] = {"0.0.0.0:0", NULL}, *const empty[] = {":0", NULL};
    struct daemon_options o = options();
    o.listen = any;
    start_fails(o, "listening on 0.0.0.0:0 lets everybody who reaches this machine use it");
    o.listen = empty;
    start_fails(o, "TUG_API_KEY");
    o.api_key = "secret";
    start_ok(o);
    assert_int_equal(get_unix("/models"), 401);
    kill(fix.pid, SIGTERM);
    assert_int_equal(ended(&fix.pid), 0);
    o.api_key = NULL;
    o.insecure = true;
    start_ok(o);
    _cleanup_free_ char *log = read_file("test.log");
    assert_non_null(strstr(log, "INSECURE"));
}

static void test_bad_places(void **state)
{
    (void)state;
    static const char *const bad[] = {"12434", NULL};
    struct daemon_options o = options();
    o.listen = bad;
    start_fails(o, "'12434' is not an address to listen on");
    o = options();
    o.socket_path = "/tmp/a-path-that-is-longer-than-the-107-bytes-which-a-unix-socket-can-have/"
                    "and-this-is-the-rest-of-its-long-long-name.sock";
    start_fails(o, "longer than 107 bytes");
    o = options();
    o.home = "/dev/null/tug";
    start_fails(o, "/dev/null/tug");
}

static void test_no_tcp(void **state)
{
    (void)state;
    struct daemon_options o = options();
    o.no_tcp = true;
    start_ok(o);
    assert_int_equal(tcp_port(), 0);
    assert_int_equal(get_unix("/version"), 200);
}

static void test_grace(void **state)
{
    (void)state;
    struct daemon_options o = options();
    o.grace_ns = CLOCK_SECOND;
    start_ok(o);
    int running = begin_long_request();
    int64_t begun = clock_now_ns();
    kill(fix.pid, SIGTERM);
    int status;
    while ((status = get_unix("/version")) == 200)
        assert_true(clock_now_ns() - begun < 5 * CLOCK_SECOND);
    assert_true(status == 503 || status == -1); /* -1: it has ended already */
    assert_int_equal(ended(&fix.pid), 0);
    assert_in_range(clock_now_ns() - begun, 9 * CLOCK_SECOND / 10, 6 * CLOCK_SECOND);
    close(running);
}

static void test_second_signal(void **state)
{
    (void)state;
    struct daemon_options o = options();
    o.grace_ns = 60 * CLOCK_SECOND;
    start_ok(o);
    int running = begin_long_request();
    kill(fix.pid, SIGTERM);
    int64_t begun = clock_now_ns();
    while (get_unix("/version") == 200)
        assert_true(clock_now_ns() - begun < 5 * CLOCK_SECOND);
    kill(fix.pid, SIGINT);
    assert_int_equal(ended(&fix.pid), 1);
    assert_true(clock_now_ns() - begun < 10 * CLOCK_SECOND);
    assert_int_equal(file_stat(fix.socket).kind, FILE_KIND_NONE);
    close(running);
}

static void test_sd_notify(void **state)
{
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = 10};
    char text[256] = "";
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", fix.home);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    start_ok(options());
    unsetenv("NOTIFY_SOCKET");
    assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
    assert_ptr_equal(strstr(text, "READY=1\nSTATUS=Listening on http://127.0.0.1:"), text);
    memset(text, 0, sizeof text);
    kill(fix.pid, SIGTERM);
    assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
    assert_string_equal(text, "STOPPING=1\nSTATUS=Finishing 0 requests");
    close(fd);
}

/* systemd's sockets begin at descriptor 3. */
static void test_systemd_sockets(void **state)
{
    (void)state;
    int tcp, saved = dup(3);
    assert_true(socket_listen_tcp("127.0.0.1:0", &tcp, NULL));
    uint16_t port = socket_port(tcp);
    if (tcp != 3) {
        assert_int_equal(dup2(tcp, 3), 3);
        close(tcp);
    }
    setenv("LISTEN_FDS", "1", 1);
    start_ok(options());
    unsetenv("LISTEN_FDS");
    close(3);
    if (saved >= 0) {
        dup2(saved, 3);
        close(saved);
    }
    assert_true(socket_connect_tcp("127.0.0.1", port, CLOCK_SECOND, &tcp, NULL));
    assert_int_equal(get(tcp, "/version", "localhost"), 200);
    assert_int_equal(get_unix("/version"), 200); /* our own unix socket is there beside it */
}

static void test_home_dir(void **state)
{
    (void)state;
    static const struct {
        const char *tug, *data, *home, *expected;
    } rows[] = {
        {"/a", "/b", "/c", "/a"},
        {NULL, "/b", "/c", "/b/tug"},
        {NULL, "relative", "/c", "/c/.local/share/tug"},
        {NULL, NULL, "/c", "/c/.local/share/tug"},
        {"", NULL, "/c", "/c/.local/share/tug"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        pid_t pid = fork(); /* the environment is changed in a child */
        if (pid == 0) {
            rows[i].tug == NULL ? unsetenv("TUG_HOME") : setenv("TUG_HOME", rows[i].tug, 1);
            rows[i].data == NULL ? unsetenv("XDG_DATA_HOME") : setenv("XDG_DATA_HOME", rows[i].data, 1);
            setenv("HOME", rows[i].home, 1);
            _exit(strcmp(daemon_home_dir(), rows[i].expected) == 0 ? 0 : 1);
        }
        if (ended(&pid) != 0)
            fail_msg("row %zu: not %s", i, rows[i].expected);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_start_and_end),
        TEST(test_one_daemon_a_home),
        TEST(test_restart_after_kill),
        TEST(test_port_taken),
        TEST(test_off_loopback),
        TEST(test_bad_places),
        TEST(test_no_tcp),
        TEST(test_grace),
        TEST(test_second_signal),
        TEST(test_sd_notify),
        TEST(test_systemd_sockets),
        TEST(test_home_dir),
    };
    unsetenv("TUG_HOME");
    return cmocka_run_group_tests_name("daemon", tests, NULL, NULL);
}
