/* cli/interrupt.c: Ctrl-C, and the end of the docker command around us, as one event.
 *
 * One thread waits for SIGINT and for the plugin socket. The Docker CLI gives its plugins a socket
 * on which nothing is ever sent: that it closes means "stop" (docker got SIGTERM or SIGINT and has no
 * terminal that would tell us). Then one end of a socketpair is shut: whoever waits with interrupt_fd
 * as its cancel_fd is released. A command that has not asked for that is ended at once, with 130,
 * as is one that has not ended a while after the plugin socket closed (a prompt that waits for input).
 * SIGINT is blocked in this process from the first call on, so that nothing is ended half-way. */
#include "cli/cli.h"

#include "base/check.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/process.h"
#include "platform/socket.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INTERRUPT_STACK_BYTES = 64 * 1024, INTERRUPT_EXIT = 130 };
#define INTERRUPT_GRACE_NS (2 * CLOCK_SECOND) /* from the end of docker to ours */

static struct {
    pthread_mutex_t lock; /* guards pair and gone: the thread shuts what the program may be replacing */
    int pair[2];          /* [0] is watched, [1] is shut on an interrupt */
    bool gone;            /* docker has ended: each later pair is shut at once */
    int signals, plugin;  /* the thread's own once it runs */
} interrupt = {.lock = PTHREAD_MUTEX_INITIALIZER, .pair = {-1, -1}, .signals = -1, .plugin = -1};

static void interrupt_now(bool docker_gone)
{
    pthread_mutex_lock(&interrupt.lock);
    interrupt.gone = interrupt.gone || docker_gone;
    if (interrupt.pair[1] < 0)
        _exit(INTERRUPT_EXIT);
    shutdown(interrupt.pair[1], SHUT_RDWR);
    pthread_mutex_unlock(&interrupt.lock);
}

/* Nothing is sent on it, so what is read means nothing; an end is the sign, an error none. True: ended. */
static bool interrupt_plugin_ended(void)
{
    char byte;
    ssize_t n = recv(interrupt.plugin, &byte, 1, MSG_DONTWAIT);
    if (n < 0) {
        close(interrupt.plugin);
        interrupt.plugin = -1;
    }
    return n == 0;
}

static void *interrupt_run(void *arg)
{
    (void)arg;
    int64_t deadline = CLOCK_FOREVER;
    for (;;) {
        struct socket_wait w[] = {{.fd = interrupt.signals, .want = SOCKET_READABLE},
                                  {.fd = interrupt.plugin, .want = SOCKET_READABLE}};
        if (socket_wait(w, 2, deadline) == 0)
            _exit(INTERRUPT_EXIT);
        while (process_signals_take(interrupt.signals) != 0)
            interrupt_now(false);
        if (w[1].got != 0 && interrupt_plugin_ended()) {
            interrupt_now(true);
            close(interrupt.plugin);
            interrupt.plugin = -1;
            deadline = clock_now_ns() + INTERRUPT_GRACE_NS;
        }
    }
    return NULL;
}

static bool interrupt_start(struct err *err)
{
    static const int signals[] = {SIGINT, 0};
    if (interrupt.signals >= 0)
        return true;
    const char *path = process_env("DOCKER_CLI_PLUGIN_SOCKET");
    int fd = -1;
    if (path != NULL && socket_connect_unix(path, &fd, NULL)) /* refused: a docker that has gone, or never listened */
        interrupt.plugin = fd;
    return process_signals_open(signals, &interrupt.signals, err) &&
           process_thread("interrupt", interrupt_run, NULL, INTERRUPT_STACK_BYTES, 1, NULL, err);
}

bool cli_watch_docker(struct err *err)
{
    return process_env("DOCKER_CLI_PLUGIN_SOCKET") == NULL || interrupt_start(err);
}

bool cli_catch_interrupt(struct cli *cli, struct err *err)
{
    int pair[2];
    if (!socket_pair(pair, err))
        return false;
    pthread_mutex_lock(&interrupt.lock);
    for (int i = 0; i < 2; i++) {
        if (interrupt.pair[i] >= 0)
            close(interrupt.pair[i]);
        interrupt.pair[i] = pair[i];
    }
    if (interrupt.gone)
        shutdown(pair[1], SHUT_RDWR);
    pthread_mutex_unlock(&interrupt.lock);
    cli->interrupt_fd = pair[0];
    return interrupt_start(err);
}

bool cli_interrupted(struct cli *cli) { return cli->interrupt_fd >= 0 && socket_peer_gone(cli->interrupt_fd); }
