/* cli/interrupt.c: Ctrl-C as an event. A thread takes SIGINT from its descriptor and shuts one end
 * of a socketpair: whoever waits with interrupt_fd as its cancel_fd is released. SIGINT is blocked
 * in this process from the first call on, so that nothing is ended half-way. */
#include "cli/cli.h"

#include "base/check.h"
#include "platform/clock.h"
#include "platform/process.h"
#include "platform/socket.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INTERRUPT_STACK_BYTES = 64 * 1024 };

static struct {
    pthread_mutex_t lock; /* guards pair: the thread shuts what the program may be replacing */
    int pair[2];          /* [0] is watched, [1] is shut on Ctrl-C */
    int signals;
} interrupt = {.lock = PTHREAD_MUTEX_INITIALIZER, .pair = {-1, -1}, .signals = -1};

static void *interrupt_run(void *arg)
{
    (void)arg;
    for (;;) {
        struct socket_wait w = {.fd = interrupt.signals, .want = SOCKET_READABLE};
        socket_wait(&w, 1, CLOCK_FOREVER);
        while (process_signals_take(interrupt.signals) != 0) {
            pthread_mutex_lock(&interrupt.lock);
            shutdown(interrupt.pair[1], SHUT_RDWR);
            pthread_mutex_unlock(&interrupt.lock);
        }
    }
    return NULL;
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
    pthread_mutex_unlock(&interrupt.lock);
    cli->interrupt_fd = pair[0];
    if (interrupt.signals >= 0)
        return true;
    const int signals[] = {SIGINT, 0};
    if (!process_signals_open(signals, &interrupt.signals, err))
        return false;
    return process_thread("interrupt", interrupt_run, NULL, INTERRUPT_STACK_BYTES, 1, NULL, err);
}

bool cli_interrupted(struct cli *cli) { return cli->interrupt_fd >= 0 && socket_peer_gone(cli->interrupt_fd); }
