/* http/server/server.c: the listeners and their threads.
 *
 * Threads: one per listener, which accepts; one per connection (libmicrohttpd's), which reads,
 * runs the handler and writes. libmicrohttpd knows one listening socket per daemon: we have several.
 */
#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "http/server/exchange.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* The connection's memory holds its headers, and after them the piece of the body that is read or written at once. */
#define CONNECTION_MEMORY_BYTES ((size_t)256 * 1024)
/* Handlers keep their data on the heap; a TLS handshake (pull by a handler's thread) is the deepest thing. Only what is
 * touched is used. */
#define CONNECTION_STACK_BYTES ((size_t)512 * 1024)

enum { CONNECTIONS_SPARE = 64 }; /* above the limit, to be told so */

/* Paths and queries are decoded by us, once: libmicrohttpd shall leave them alone. */
static size_t server_keep_escapes(void *ctx, struct MHD_Connection *connection, char *text)
{
    (void)ctx, (void)connection;
    return strlen(text);
}

/* libmicrohttpd counts for each listener, and above its limit closes without a word: ours is below it. */
static void server_count(void *listener, struct MHD_Connection *connection, void **state,
                         enum MHD_ConnectionNotificationCode what)
{
    (void)connection, (void)state;
    struct http_listener *l = listener;
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        atomic_fetch_add(&l->server->connections, 1);
    else
        atomic_fetch_sub(&l->server->connections, 1);
}

static enum MHD_Result server_accept(void *listener, const struct sockaddr *address, socklen_t size)
{
    const struct http_listener *l = listener;
    char peer[INET6_ADDRSTRLEN];
    struct sockaddr_storage copy = {0};
    if (l->peer_ok == NULL)
        return MHD_YES;
    memcpy(&copy, address, size < sizeof copy ? size : sizeof copy);
    const void *bytes = copy.ss_family == AF_INET6 ? (const void *)&((const struct sockaddr_in6 *)&copy)->sin6_addr
                                                   : (const void *)&((const struct sockaddr_in *)&copy)->sin_addr;
    if (inet_ntop(copy.ss_family, bytes, peer, sizeof peer) != NULL && l->peer_ok(l->peer_ctx, peer))
        return MHD_YES;
    return MHD_NO;
}

static struct MHD_Daemon *server_daemon(struct http_listener *l, int fd)
{
    unsigned limit = (unsigned)l->server->config.max_connections + CONNECTIONS_SPARE;
    unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC;
    return MHD_start_daemon(flags, 0, server_accept, l, exchange_on_data, l, MHD_OPTION_LISTEN_SOCKET, fd,
                            MHD_OPTION_NOTIFY_COMPLETED, exchange_on_completed, l, MHD_OPTION_URI_LOG_CALLBACK,
                            exchange_on_uri, l, MHD_OPTION_UNESCAPE_CALLBACK, server_keep_escapes, NULL,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY_BYTES, MHD_OPTION_NOTIFY_CONNECTION,
                            server_count, l, MHD_OPTION_CONNECTION_LIMIT, limit, MHD_OPTION_CONNECTION_TIMEOUT,
                            l->server->config.receive_timeout_s, MHD_OPTION_THREAD_STACK_SIZE, CONNECTION_STACK_BYTES,
                            MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

static void server_free(struct http_server *s)
{
    for (size_t i = 0; i < s->n_listeners; i++)
        if (s->listeners[i].mhd != NULL)
            MHD_stop_daemon(s->listeners[i].mhd); /* closes the socket, cuts the connections, joins the threads */
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->lock);
    free(s->listeners);
    free(s);
}

static struct http_server *server_new(const struct http_server_config *config)
{
    struct http_server *s = check_alloc(calloc(1, sizeof *s));
    pthread_condattr_t monotonic;
    s->config = *config;
    s->config.listen_fds = NULL;
    if (s->config.max_connections == 0)
        s->config.max_connections = LIMIT_CONNECTIONS;
    if (s->config.receive_timeout_s == 0)
        s->config.receive_timeout_s = TIMEOUT_RECEIVE;
    s->n_listeners = config->n_listen_fds;
    s->listeners = check_alloc(calloc(s->n_listeners + HTTP_LISTENERS_LATER, sizeof *s->listeners));
    CHECK(pthread_condattr_init(&monotonic) == 0);
    CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&s->idle, &monotonic) == 0);
    CHECK(pthread_mutex_init(&s->lock, NULL) == 0);
    pthread_condattr_destroy(&monotonic);
    return s;
}

bool http_server_start(const struct http_server_config *config, struct http_server **ret_server, struct err *err)
{
    CHECK(config->n_listen_fds > 0 && config->n_shared_fds <= config->n_listen_fds && config->routes != NULL &&
          config->server_name != NULL);
    struct http_server *s = server_new(config);
    bool ok = true;
    for (size_t i = 0; i < s->n_listeners; i++) {
        struct http_listener *l = &s->listeners[i];
        int fd = config->listen_fds[i];
        l->server = s;
        l->is_unix = !socket_local_address(fd, l->host, sizeof l->host);
        if (ok)
            l->mhd = server_daemon(l, fd);
        if (ok && l->mhd == NULL)
            ok = err_set(err, ERR_INTERNAL, "the HTTP server cannot start its threads");
        else if (!ok)
            file_close(&fd); /* one that failed has been closed by libmicrohttpd */
    }
    if (!ok) {
        server_free(s);
        return false;
    }
    *ret_server = s;
    return true;
}

bool http_server_add(struct http_server *s, int fd, http_peer_ok *peer_ok, void *ctx, struct err *err)
{
    if (s->n_later == HTTP_LISTENERS_LATER) {
        file_close(&fd);
        return err_set(err, ERR_TOO_LARGE, "%d listeners were added already; restart the daemon", HTTP_LISTENERS_LATER);
    }
    struct http_listener *l = &s->listeners[s->n_listeners];
    *l = (struct http_listener){.server = s, .peer_ok = peer_ok, .peer_ctx = ctx};
    l->is_unix = !socket_local_address(fd, l->host, sizeof l->host);
    l->mhd = server_daemon(l, fd);
    if (l->mhd == NULL)
        return err_set(err, ERR_INTERNAL, "the HTTP server cannot start its threads");
    s->n_listeners++;
    s->n_later++;
    return true;
}

void http_server_refuse_new(struct http_server *s)
{
    if (atomic_exchange(&s->draining, true))
        return;
    for (size_t i = 0; i < s->config.n_shared_fds; i++) {
        int fd = MHD_quiesce_daemon(s->listeners[i].mhd);
        file_close(&fd); /* libmicrohttpd gives it up: others hold it open */
    }
}

size_t http_server_active(const struct http_server *s) { return atomic_load(&s->active); }

void http_server_stop(struct http_server *s, int64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / CLOCK_SECOND),
                             .tv_nsec = (long)(deadline_ns % CLOCK_SECOND)};
    http_server_refuse_new(s);
    pthread_mutex_lock(&s->lock);
    while (atomic_load(&s->active) > 0)
        if (pthread_cond_timedwait(&s->idle, &s->lock, &until) != 0)
            break;
    pthread_mutex_unlock(&s->lock);
    size_t cut = atomic_load(&s->active);
    if (cut > 0)
        log_warn("cut requests that did not end in time", "requests=%zu", cut);
    server_free(s);
}
