/* cli/bench_level.c: see bench_level.h. A thread for each client; the calling thread watches the clock and Ctrl-C. */
#include "cli/bench_level.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "cli/chat_stream.h"
#include "platform/clock.h"
#include "platform/process.h"
#include "platform/socket.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BENCH_ANSWERS_MAX = 1 << 20 };

struct bench {
    const struct bench_ask *ask;
    struct bench_result *result;
    struct cli cli; /* a copy: its interrupt_fd is stop[0] */
    int stop[2];    /* [1] is shut to end all clients at once */
    int ended[2];   /* a byte for each client that has ended */
    int64_t stop_asking_ns;
    pthread_mutex_t lock; /* guards the three below */
    bool failed;
    struct err err;
    size_t cap;
};

struct bench_client {
    struct bench *bench;
    int64_t asked_ns, first_ns;
    pthread_t thread;
};

static void bench_text(void *ctx, enum chat_piece kind, const char *text)
{
    (void)text;
    struct bench_client *c = ctx;
    if (c->first_ns == 0 && kind != CHAT_PIECE_USAGE)
        c->first_ns = clock_now_ns() - c->asked_ns;
}

static bool bench_keep(struct bench *b, const struct bench_answer *a)
{
    struct bench_result *r = b->result;
    pthread_mutex_lock(&b->lock);
    if (r->n_answers == b->cap && b->cap < BENCH_ANSWERS_MAX) {
        b->cap = b->cap == 0 ? 64 : b->cap * 2;
        r->answers = check_alloc(realloc(r->answers, b->cap * sizeof *r->answers));
    }
    bool room = r->n_answers < b->cap && !b->failed;
    if (room)
        r->answers[r->n_answers++] = *a;
    pthread_mutex_unlock(&b->lock);
    return room;
}

static void bench_fail(struct bench *b, const struct err *err)
{
    pthread_mutex_lock(&b->lock);
    if (!b->failed)
        b->err = *err;
    b->failed = true;
    pthread_mutex_unlock(&b->lock);
    shutdown(b->stop[1], SHUT_RDWR);
}

static bool bench_once(struct bench_client *c, struct err *err)
{
    struct bench *b = c->bench;
    _cleanup_(buf_done) struct buf answer = BUF_INIT(LIMIT_REQUEST_BODY_BYTES);
    struct chat_usage usage = {0};
    struct chat_ask ask = {.model = b->ask->model,
                           .messages = json_pack("[{s:s, s:s}]", "role", "user", "content", b->ask->prompt),
                           .options = json_pack("{s:{s:b}}", "stream_options", "include_usage", 1),
                           .on_text = bench_text,
                           .ctx = c,
                           .usage = &usage};
    c->asked_ns = clock_now_ns();
    c->first_ns = 0;
    bool ok = chat_stream(&b->cli, &ask, &answer, err);
    json_decref(ask.messages);
    json_decref(ask.options);
    return ok && bench_keep(b, &(struct bench_answer){usage.completion_tokens, c->first_ns});
}

static void *bench_client_run(void *arg)
{
    struct bench_client *c = arg;
    struct err err = ERR_INIT;
    bool ok = true;
    while (ok && clock_now_ns() < c->bench->stop_asking_ns)
        ok = bench_once(c, &err);
    if (!ok && err.code != ERR_NONE)
        bench_fail(c->bench, &err);
    socket_wake(c->bench->ended[1]);
    return NULL;
}

/* Until all clients have ended; Ctrl-C and the end of the time end them. */
static void bench_watch(struct bench *b, size_t n)
{
    int64_t deadline = b->stop_asking_ns + b->ask->timeout_ns;
    struct err why = ERR_INIT;
    for (size_t ended = 0; ended < n;) {
        struct socket_wait waits[] = {{.fd = b->ended[0], .want = SOCKET_READABLE},
                                      {.fd = b->ask->cli->interrupt_fd, .want = SOCKET_CLOSED}};
        int got = socket_wait(waits, 2, deadline);
        char bytes[BENCH_CLIENTS_MAX];
        ssize_t k = waits[0].got != 0 ? read(b->ended[0], bytes, sizeof bytes) : 0;
        ended += k > 0 ? (size_t)k : 0;
        if (got > 0 && waits[1].got == 0)
            continue;
        if (got == 0)
            err_set(&why, ERR_UNREACHABLE, "answers took longer than --timeout after the end of --duration");
        else
            err_set(&why, ERR_CANCELLED, "stopped");
        bench_fail(b, &why);
        break;
    }
}

static int bench_compare(const void *a, const void *b)
{
    int64_t x = ((const struct bench_answer *)a)->first_token_ns, y = ((const struct bench_answer *)b)->first_token_ns;
    return x < y ? -1 : x > y;
}

static void bench_clients(struct bench *b, size_t n)
{
    struct bench_client *clients = check_alloc(calloc(n, sizeof *clients));
    size_t started = 0;
    for (; started < n; started++) {
        struct bench_client *c = &clients[started];
        struct err err = ERR_INIT;
        c->bench = b;
        if (process_thread("bench", bench_client_run, c, 0, 0, &c->thread, &err))
            continue;
        bench_fail(b, &err);
        break;
    }
    bench_watch(b, started);
    for (size_t i = 0; i < started; i++)
        pthread_join(clients[i].thread, NULL);
    free(clients);
}

bool bench_level(const struct bench_ask *ask, int64_t clients, struct bench_result *ret, struct err *err)
{
    struct bench b = {.ask = ask, .result = ret, .cli = *ask->cli, .lock = PTHREAD_MUTEX_INITIALIZER};
    *ret = (struct bench_result){.clients = clients};
    if (!socket_pair(b.stop, err))
        return false;
    if (!socket_pipe(b.ended, err)) {
        close(b.stop[0]);
        close(b.stop[1]);
        return false;
    }
    b.cli.interrupt_fd = b.stop[0];
    int64_t start = clock_now_ns();
    b.stop_asking_ns = start + ask->duration_ns;
    bench_clients(&b, (size_t)clients);
    ret->total_ns = clock_now_ns() - start;
    for (int i = 0; i < 2; i++) {
        close(b.stop[i]);
        close(b.ended[i]);
    }
    if (b.failed) {
        *err = b.err;
        return false;
    }
    for (size_t i = 0; i < ret->n_answers; i++)
        ret->tokens += ret->answers[i].tokens;
    if (ret->n_answers > 0)
        qsort(ret->answers, ret->n_answers, sizeof *ret->answers, bench_compare);
    return true;
}

void bench_result_done(struct bench_result *r)
{
    free(r->answers);
    *r = (struct bench_result){0};
}
