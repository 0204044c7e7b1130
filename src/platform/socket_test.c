/* platform/socket_test.c: real sockets on the loopback and in a folder of their own. */
#include "base/check.h"
#include "base/cleanup.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/socket.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int64_t in_ms(int ms) { return clock_now_ns() + ms * CLOCK_MS; }

static void test_tcp(void **state)
{
    _cleanup_(file_close) int listener = -1;
    _cleanup_(file_close) int client = -1;
    _cleanup_(file_close) int served = -1;
    char line[64];
    struct err err = ERR_INIT;
    (void)state;
    assert_true(socket_listen_tcp("127.0.0.1:0", &listener, &err));
    uint16_t port = socket_port(listener);
    assert_int_not_equal(port, 0);
    assert_true(socket_connect_tcp("localhost", port, CLOCK_SECOND, &client, &err));
    served = accept(listener, NULL, NULL);
    assert_true(socket_write_all(served, "hello\nmore", 10, &err));
    assert_true(socket_read_line(client, line, sizeof line, in_ms(2000), &err));
    assert_string_equal(line, "hello");
    assert_false(socket_read_line(client, line, sizeof line, in_ms(20), &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    assert_false(socket_peer_gone(client));
    file_close(&served);
    struct socket_wait wait = {.fd = client, .want = SOCKET_CLOSED};
    assert_int_equal(socket_wait(&wait, 1, in_ms(2000)), 1);
    assert_true(socket_peer_gone(client));
}

static void test_tcp_addresses(void **state)
{
    static const char *const good[] = {"127.0.0.1:0", "localhost:0", "LOCALHOST:0", "[::1]:0", ":0", "0.0.0.0:0"};
    static const char *const bad[] = {"",     "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:80", "1.2.3.4.5:80",
                                      "[::1", "host:x",    "192.0.2.7:0"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        int fd = -1;
        struct err err = ERR_INIT;
        if (!socket_listen_tcp(good[i], &fd, &err) && strchr(good[i], '[') == NULL)
            fail_msg("%s: %s", good[i], err.text);
        file_close(&fd);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int fd = -1;
        struct err err = ERR_INIT;
        assert_false(socket_listen_tcp(bad[i], &fd, &err));
        assert_int_equal(fd, -1);
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void test_port_taken(void **state)
{
    _cleanup_(file_close) int listener = -1;
    int second = -1;
    char text[64];
    struct err err = ERR_INIT;
    (void)state;
    assert_true(socket_listen_tcp("127.0.0.1:0", &listener, &err));
    snprintf(text, sizeof text, "127.0.0.1:%u", socket_port(listener));
    assert_false(socket_listen_tcp(text, &second, &err));
    assert_int_equal(err.code, ERR_CONFLICT);
    assert_int_equal(second, -1);
    char who[64]; /* ourselves, since our own /proc/self/fd can be read without privilege */
    snprintf(who, sizeof who, "'socket_test' (process %d)", (int)getpid());
    if (strstr(err.text, who) == NULL)
        fail_msg("no '%s' in: %s", who, err.text);
}

static void test_tcp_refused(void **state)
{
    int listener = -1;
    int client = -1;
    struct err err = ERR_INIT;
    (void)state;
    assert_true(socket_listen_tcp("127.0.0.1:0", &listener, &err));
    uint16_t port = socket_port(listener);
    file_close(&listener);
    assert_false(socket_connect_tcp("127.0.0.1", port, CLOCK_SECOND, &client, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    assert_false(socket_connect_tcp("no-such-name.invalid", 1, CLOCK_SECOND, &client, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
}

static void test_unix(void **state)
{
    char folder[] = "/tmp/tug-socket-XXXXXX";
    char path[128];
    int listener = -1;
    int second = -1;
    struct stat st;
    struct err err = ERR_INIT;
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    assert_false(socket_connect_unix(path, &second, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    mode_t old = umask(0);
    assert_true(socket_listen_unix(path, &listener, &err));
    umask(old);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(socket_connect_unix(path, &second, &err));
    file_close(&second);
    assert_false(socket_listen_unix(path, &second, &err)); /* alive */
    assert_int_equal(err.code, ERR_CONFLICT);
    file_close(&listener);
    assert_true(socket_listen_unix(path, &listener, &err)); /* dead: replaced */
    assert_true(socket_connect_unix(path, &second, &err));
    file_close(&second);
    file_close(&listener);
    unlink(path);
    assert_true(file_write_atomic(path, "data", 4, 0600, &err));
    assert_false(socket_listen_unix(path, &listener, &err)); /* a file of somebody: never removed */
    assert_int_equal(err.code, ERR_CONFLICT);
    assert_int_equal(file_stat(path).size, 4);
    snprintf(path, sizeof path, "%s/none/s", folder);
    assert_false(socket_listen_unix(path, &listener, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    char longer[200];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_false(socket_listen_unix(longer, &listener, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_true(file_remove_tree(folder, NULL));
}

/* Many starters at one dead socket: exactly one of them gets it. */
static void test_unix_race(void **state)
{
    enum { STARTERS = 8 };
    char folder[] = "/tmp/tug-socket-XXXXXX";
    char path[128];
    int listener = -1;
    int won = 0;
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    assert_true(socket_listen_unix(path, &listener, NULL));
    file_close(&listener);
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < STARTERS; i++) {
        if (fork() == 0) {
            char byte;
            close(gate[1]);
            ssize_t n = read(gate[0], &byte, 1); /* until all are there */
            int fd = -1;
            bool ok = n == 0 && socket_listen_unix(path, &fd, NULL);
            usleep(300000); /* the winner holds it while the others try */
            _exit(ok ? 0 : 1);
        }
    }
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < STARTERS; i++) {
        int status;
        wait(&status);
        won += WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    assert_int_equal(won, 1);
    assert_true(file_remove_tree(folder, NULL));
}

static void test_loopback(void **state)
{
    static const struct {
        const char *host;
        bool loopback;
    } rows[] = {
        {"localhost", true},
        {"LocalHost", true},
        {"a.localhost", true},
        {"localhost.", true},
        {"127.0.0.1", true},
        {"127.9.9.9", true},
        {"::1", true},
        {"[::1]", true},
        {"::ffff:127.0.0.1", true},
        {"128.0.0.1", false},
        {"127.0.0.1.nip", false},
        {"localhost.evil.example", false},
        {"notlocalhost", false},
        {"0.0.0.0", false},
        {"", false},
        {".localhost", false},
        {"::", false},
        {"10.0.0.1", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (socket_is_loopback(rows[i].host) != rows[i].loopback)
            fail_msg("socket_is_loopback(\"%s\")", rows[i].host);
}

static void test_peer_gone(void **state)
{
    int fds[2];
    (void)state;
    assert_true(socket_pair(fds, NULL));
    assert_false(socket_peer_gone(fds[0]));
    assert_int_equal(send(fds[1], "x", 1, 0), 1);
    assert_false(socket_peer_gone(fds[0]));
    shutdown(fds[1], SHUT_WR);
    assert_true(socket_peer_gone(fds[0])); /* with a byte still unread */
    file_close(&fds[1]);
    assert_true(socket_peer_gone(fds[0]));
    struct err err = ERR_INIT;
    assert_false(socket_write_all(fds[0], "x", 1, &err)); /* and no SIGPIPE */
    assert_int_equal(err.code, ERR_UNREACHABLE);
    file_close(&fds[0]);
}

static void test_wait_and_wake(void **state)
{
    int fds[2];
    struct socket_wait waits[40];
    (void)state;
    assert_true(socket_pipe(fds, NULL));
    for (size_t i = 0; i < ARRAY_LEN(waits); i++)
        waits[i] = (struct socket_wait){.fd = -1, .want = SOCKET_READABLE};
    waits[37] = (struct socket_wait){.fd = fds[0], .want = SOCKET_READABLE};
    int64_t start = clock_now_ns();
    assert_int_equal(socket_wait(waits, ARRAY_LEN(waits), in_ms(30)), 0);
    assert_true(clock_now_ns() - start >= 30 * CLOCK_MS);
    for (int i = 0; i < 100000; i++)
        socket_wake(fds[1]); /* far more than a pipe holds: never blocks */
    assert_int_equal(socket_wait(waits, ARRAY_LEN(waits), CLOCK_FOREVER), 1);
    assert_int_equal(waits[37].got, SOCKET_READABLE);
    socket_drain(fds[0]);
    assert_int_equal(socket_wait(waits, ARRAY_LEN(waits), 0), 0);
    file_close(&fds[1]);
    /* A hang-up on a descriptor that wants nothing does not make the wait spin: it lasts until the deadline. */
    waits[37].want = 0;
    assert_int_equal(socket_wait(waits, ARRAY_LEN(waits), in_ms(20)), 0);
    file_close(&fds[0]);
}

static void test_read_line(void **state)
{
    int fds[2];
    char line[8];
    struct err err = ERR_INIT;
    (void)state;
    assert_true(socket_pair(fds, NULL));
    assert_true(socket_write_all(fds[1], "1234567\n12345678\n", 17, NULL));
    assert_true(socket_read_line(fds[0], line, sizeof line, in_ms(1000), &err));
    assert_string_equal(line, "1234567");
    assert_false(socket_read_line(fds[0], line, sizeof line, in_ms(1000), &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
    socket_drain(fds[0]);
    assert_true(socket_write_all(fds[1], "cut", 3, NULL));
    file_close(&fds[1]);
    assert_false(socket_read_line(fds[0], line, sizeof line, in_ms(1000), &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    file_close(&fds[0]);
    assert_true(socket_pipe(fds, NULL)); /* and through a pipe */
    assert_true(socket_write_all(fds[1], "ready\nrest", 10, NULL));
    assert_true(socket_read_line(fds[0], line, sizeof line, in_ms(1000), &err));
    assert_string_equal(line, "ready");
    file_close(&fds[0]);
    file_close(&fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),         cmocka_unit_test(test_tcp_addresses), cmocka_unit_test(test_port_taken),
        cmocka_unit_test(test_tcp_refused), cmocka_unit_test(test_unix),          cmocka_unit_test(test_unix_race),
        cmocka_unit_test(test_loopback),    cmocka_unit_test(test_peer_gone),     cmocka_unit_test(test_wait_and_wake),
        cmocka_unit_test(test_read_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
