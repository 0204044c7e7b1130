/* http/client/http_pool.c: the multi handle, its sockets and timer, and the one place that waits. */
#include "http/client/http_state.h"

#include "base/check.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/socket.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void curl_begin(void) { CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); }

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct http_pool *pool = ctx;
    size_t i = 0;
    (void)easy;
    (void)socket_ctx;
    while (i < pool->n_watches && pool->watches[i].fd != fd)
        i++;
    if (what == CURL_POLL_REMOVE) {
        if (i < pool->n_watches)
            pool->watches[i] = pool->watches[--pool->n_watches];
        return 0;
    }
    CHECK(i < HTTP_WATCHES_MAX); /* two for each open call: a pool has one thread and few calls */
    if (i == pool->n_watches)
        pool->n_watches++;
    int want = 0;
    want |= what == CURL_POLL_IN || what == CURL_POLL_INOUT ? SOCKET_READABLE : 0;
    want |= what == CURL_POLL_OUT || what == CURL_POLL_INOUT ? SOCKET_WRITABLE : 0;
    pool->watches[i] = (struct http_watch){.fd = fd, .want = want};
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    struct http_pool *pool = ctx;
    (void)multi;
    pool->timer_ns = timeout_ms < 0 ? CLOCK_FOREVER : clock_now_ns() + timeout_ms * CLOCK_MS;
    return 0;
}

struct http_pool *http_pool_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, curl_begin);
    struct http_pool *pool = check_alloc(calloc(1, sizeof *pool));
    pool->multi = check_alloc(curl_multi_init());
    pool->timer_ns = CLOCK_FOREVER;
    curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool);
    curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool);
    curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, 8L);
    return pool;
}

void http_pool_free(struct http_pool **pool)
{
    if (*pool == NULL)
        return;
    curl_easy_cleanup((*pool)->spare);
    curl_multi_cleanup((*pool)->multi);
    free(*pool);
    *pool = NULL;
}

static void take_messages(struct http_pool *pool)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(pool->multi, &left)) != NULL;) {
        struct http_call *ended = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&ended);
        ended->done = true;
        ended->result = m->data.result;
    }
}

/* Gives libcurl the sockets that are ready, from a copy: each action may change the pool's list. */
static void act(struct http_pool *pool, const struct socket_wait *waits, size_t n)
{
    int running;
    for (size_t i = 0; i < n; i++) {
        int mask = 0;
        mask |= waits[i].got & SOCKET_READABLE ? CURL_CSELECT_IN : 0;
        mask |= waits[i].got & SOCKET_WRITABLE ? CURL_CSELECT_OUT : 0;
        if (mask != 0)
            curl_multi_socket_action(pool->multi, waits[i].fd, mask, &running);
    }
    if (pool->timer_ns != CLOCK_FOREVER && pool->timer_ns <= clock_now_ns()) {
        pool->timer_ns = CLOCK_FOREVER; /* the action sets the next one */
        curl_multi_socket_action(pool->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    take_messages(pool);
}

bool http_call_pump(struct http_call *call)
{
    struct http_pool *pool = call->pool;
    struct socket_wait waits[HTTP_WATCHES_MAX + 1];
    size_t n = pool->n_watches;
    int64_t stall = call->stall_ns > 0 ? call->active_ns + call->stall_ns : CLOCK_FOREVER;
    for (size_t i = 0; i < n; i++)
        waits[i] = (struct socket_wait){.fd = pool->watches[i].fd, .want = pool->watches[i].want};
    waits[n] = (struct socket_wait){.fd = call->cancel_fd, .want = SOCKET_CLOSED};
    int ready = socket_wait(waits, n + 1, pool->timer_ns < stall ? pool->timer_ns : stall);
    if (waits[n].got != 0)
        return err_set(&call->failure, ERR_CANCELLED, "cancelled: the client went away");
    if (ready > 0)
        call->active_ns = clock_now_ns();
    act(pool, waits, n);
    if (ready == 0 && !call->done && stall <= clock_now_ns()) {
        char text[TEXT_SHORT_MAX];
        text_human_duration(text, call->stall_ns);
        return err_set(&call->failure, ERR_UNREACHABLE, "%s sent nothing for %s", call->peer, text);
    }
    return true;
}
