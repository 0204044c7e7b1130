/* http/server/exchange.c: one request, from its first line to the end of its answer.
 *
 * A request that is refused before its body was read is answered when the body has been read and
 * dropped, so that the connection can be kept; above DROP_MAX_BYTES it is answered at once and cut.
 */
#include "http/server/exchange.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/random.h"

#include <string.h>

enum { DROP_MAX_BYTES = 1024 * 1024, REQUEST_ID_RANDOM = 16 };

void exchange_timeout(struct http_exchange *ex, unsigned seconds)
{
    /* A timeout that goes from none to some begins to count anew (libmicrohttpd 0.9.75). */
    MHD_set_connection_option(ex->connection, MHD_CONNECTION_OPTION_TIMEOUT, TIMEOUT_NEVER);
    if (seconds != TIMEOUT_NEVER)
        MHD_set_connection_option(ex->connection, MHD_CONNECTION_OPTION_TIMEOUT, seconds);
}

/* ---- what the client sent ------------------------------------------------------------------------ */

const char *http_header(const struct http_request *req, const char *name)
{
    return MHD_lookup_connection_value(req->exchange->connection, MHD_HEADER_KIND, name);
}

/* `+` is a space; a broken escape stands for itself; a %00 ends the value. */
static char *query_decode(struct arena *a, const char *text, size_t n)
{
    char *out = arena_alloc(a, n + 1);
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        int byte = text[i] == '%' ? route_escape(text + i) : -1; /* `&` and `=` end it: it cannot reach beyond n */
        if (byte >= 0)
            i += 2;
        else
            byte = text[i] == '+' ? ' ' : (unsigned char)text[i];
        out[used++] = (char)byte;
    }
    return out;
}

const char *http_query(const struct http_request *req, const char *name)
{
    struct http_exchange *ex = req->exchange;
    for (const char *p = ex->query; *p != '\0';) {
        size_t len = strcspn(p, "&");
        const char *equals = memchr(p, '=', len);
        size_t name_len = equals != NULL ? (size_t)(equals - p) : len;
        if (strcmp(query_decode(&ex->req.arena, p, name_len), name) == 0)
            return equals != NULL ? query_decode(&ex->req.arena, equals + 1, len - name_len - 1) : "";
        p += len + (p[len] == '&');
    }
    return NULL;
}

/* UINT64_MAX: not known, it comes in chunks. */
static uint64_t exchange_body_size(const struct http_exchange *ex)
{
    uint64_t n = 0;
    const char *length = http_header(&ex->req, "Content-Length");
    if (http_header(&ex->req, "Transfer-Encoding") != NULL || (length != NULL && !text_to_u64(length, &n)))
        return UINT64_MAX;
    return n;
}

/* ---- refusing ---------------------------------------------------------------------------------- */

/* Not yet answered: at the end of the body, or at once when that is too far away. */
static enum MHD_Result exchange_refuse_status(struct http_exchange *ex, int status, const struct err *err)
{
    bool before_body = ex->phase == EXCHANGE_HEADERS;
    uint64_t size = exchange_body_size(ex);
    if (before_body && http_header(&ex->req, "Expect") != NULL) { /* the client waits for this before it sends */
        reply_error_status(ex, status, err);
        return ex->queued ? MHD_YES : MHD_NO;
    }
    if (size > DROP_MAX_BYTES && size != UINT64_MAX) {
        reply_and_cut(ex, status, err);
        return MHD_NO;
    }
    ex->phase = EXCHANGE_REFUSED;
    ex->refused_status = status;
    ex->refused = *err;
    return MHD_YES;
}

static enum MHD_Result exchange_refuse(struct http_exchange *ex, const struct err *err)
{
    return exchange_refuse_status(ex, err_http_status(err->code), err);
}

/* ---- the headers ------------------------------------------------------------------------------- */

/* A caller's own id is kept, so that its logs and ours can be laid side by side; never what could tear a log line. */
static void exchange_take_id(struct http_request *req)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-";
    const char *given = http_header(req, "X-Request-Id");
    size_t n = given == NULL ? 0 : strlen(given);
    if (n > 0 && n < sizeof req->id && strspn(given, allowed) == n)
        memcpy(req->id, given, n + 1);
}

/* Guards that need no route. */
static bool exchange_guard(struct http_exchange *ex, struct err *err)
{
    const char *host = http_header(&ex->req, "Host");
    const char *origin = http_header(&ex->req, "Origin");
    if (atomic_load(&ex->server->draining))
        return err_set(err, ERR_UNAVAILABLE, "this server is stopping");
    if (atomic_load(&ex->server->connections) > ex->server->config.max_connections) {
        ex->closes = true;
        return err_set(err, ERR_UNAVAILABLE, "more than %zu connections are open; close some, or try again",
                       ex->server->config.max_connections);
    }
    if (!guard_host(ex->listener, host, err))
        return false;
    if (origin != NULL && !guard_origin(ex->server, origin, host, err))
        return false;
    ex->origin = origin;
    return http_path_normalise(ex->uri, &ex->req.arena, &ex->req.path, err);
}

/* Finds the route; *ret_status is 404, 405 or the status of err. */
static bool exchange_route(struct http_exchange *ex, const char *method, int *ret_status, struct err *err)
{
    struct http_request *req = &ex->req;
    int others = 0;
    if (route_method_parse(method, &req->method))
        req->route = route_find(ex->server->config.routes, req->method, req->path, &req->arena, req->params, &others);
    else
        route_find(ex->server->config.routes, 0, req->path, &req->arena, req->params, &others);
    if (req->route == NULL && others == 0) {
        *ret_status = 404;
        return err_set(err, ERR_INVALID, "there is no route '%s'; docs/api.md lists them", req->path);
    }
    if (req->route == NULL) {
        char allowed[64];
        route_methods_text(others, allowed, sizeof allowed);
        http_set_header(req, "Allow", allowed);
        *ret_status = 405;
        return err_set(err, ERR_INVALID, "'%s' answers %s, not %.16s", req->path, allowed, method);
    }
    if (req->route->right == HTTP_RIGHT_OPEN || guard_key(ex->server, req, err))
        return true;
    *ret_status = err_http_status(err->code);
    return false;
}

/* What the route does with a body; the sink begins. */
static bool exchange_expect_body(struct http_exchange *ex, struct err *err)
{
    struct http_request *req = &ex->req;
    uint64_t size = exchange_body_size(ex);
    size_t max = ex->server->config.max_body;
    if (req->route->body == HTTP_BODY_STREAM)
        return req->route->sink->begin(req, &req->sink_state, err);
    if (size != UINT64_MAX && size > max)
        return err_set(err, ERR_TOO_LARGE, "the request's body has %llu bytes, the limit is %zu",
                       (unsigned long long)size, max);
    return true;
}

static bool exchange_headers_fit(struct http_exchange *ex, struct err *err)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(ex->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (info == NULL || info->header_size <= LIMIT_REQUEST_HEADER_BYTES)
        return true;
    return err_set(err, ERR_TOO_LARGE, "the request's headers have %zu bytes, the limit is %d", info->header_size,
                   LIMIT_REQUEST_HEADER_BYTES);
}

static enum MHD_Result exchange_begin(struct http_exchange *ex, const char *method)
{
    struct err err = ERR_INIT;
    int status = 0;
    ex->active = true;
    atomic_fetch_add(&ex->server->active, 1);
    exchange_take_id(&ex->req);
    ex->req.client_fd = MHD_get_connection_info(ex->connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    if (!exchange_headers_fit(ex, &err))
        return exchange_refuse_status(ex, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE, &err);
    if (!exchange_guard(ex, &err))
        return exchange_refuse(ex, &err);
    if (strcmp(method, "OPTIONS") == 0 && ex->origin != NULL) {
        ex->phase = EXCHANGE_BODY; /* route NULL: the preflight is its handler */
        return MHD_YES;
    }
    if (!exchange_route(ex, method, &status, &err))
        return exchange_refuse_status(ex, status, &err);
    if (!exchange_expect_body(ex, &err))
        return exchange_refuse(ex, &err);
    ex->phase = EXCHANGE_BODY;
    return MHD_YES;
}

/* ---- the body ------------------------------------------------------------------------------------ */

static bool exchange_take(struct http_exchange *ex, const char *data, size_t n, struct err *err)
{
    struct http_request *req = &ex->req;
    size_t max = ex->server->config.max_body;
    enum http_body kind = req->route != NULL ? req->route->body : HTTP_BODY_NONE;
    if (kind == HTTP_BODY_STREAM)
        return req->route->sink->push(req->sink_state, data, n, err);
    if (kind == HTTP_BODY_BUFFER && buf_add(&req->body, data, n))
        return true;
    ex->dropped += n;
    if (kind == HTTP_BODY_NONE && ex->dropped <= max)
        return true;
    return err_set(err, ERR_TOO_LARGE, "the request's body has more than %zu bytes, which is the limit", max);
}

static enum MHD_Result exchange_body(struct http_exchange *ex, const char *data, size_t n)
{
    struct err err = ERR_INIT;
    if (ex->phase == EXCHANGE_BODY && !exchange_take(ex, data, n, &err)) {
        ex->dropped = 0;
        return exchange_refuse(ex, &err);
    }
    if (ex->phase != EXCHANGE_REFUSED)
        return MHD_YES;
    ex->dropped += n;
    if (ex->dropped <= DROP_MAX_BYTES)
        return MHD_YES;
    reply_and_cut(ex, ex->refused_status, &ex->refused);
    return MHD_NO;
}

static enum MHD_Result exchange_finish(struct http_exchange *ex)
{
    exchange_timeout(ex, TIMEOUT_NEVER);
    if (ex->phase == EXCHANGE_REFUSED)
        reply_error_status(ex, ex->refused_status, &ex->refused);
    else if (ex->req.route == NULL)
        guard_preflight(ex);
    else
        ex->req.route->handler(&ex->req);
    CHECK(ex->phase == EXCHANGE_ANSWERED); /* a handler answers exactly once */
    exchange_timeout(ex, TIMEOUT_SEND);
    return ex->queued ? MHD_YES : MHD_NO;
}

/* ---- libmicrohttpd's three calls ------------------------------------------------------------------- */

void *exchange_on_uri(void *listener, const char *uri, struct MHD_Connection *connection)
{
    struct http_exchange *ex = check_alloc(calloc(1, sizeof *ex));
    struct http_request *req = &ex->req;
    ex->listener = listener;
    ex->server = ex->listener->server;
    ex->connection = connection;
    ex->uri = arena_strdup(&req->arena, uri);
    const char *query = strchr(ex->uri, '?');
    ex->query = query != NULL ? query + 1 : "";
    req->app = ex->server->config.app;
    req->exchange = ex;
    req->client_fd = -1;
    req->start_ns = clock_now_ns();
    req->body = BUF_INIT(ex->server->config.max_body);
    memcpy(req->id, "req-", 4);
    random_id(req->id + 4, REQUEST_ID_RANDOM);
    exchange_timeout(ex, ex->server->config.receive_timeout_s);
    return ex;
}

enum MHD_Result exchange_on_data(void *listener, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *data, size_t *size, void **state)
{
    (void)listener, (void)connection, (void)url, (void)version;
    struct http_exchange *ex = *state;
    if (ex->phase == EXCHANGE_HEADERS)
        return exchange_begin(ex, method);
    if (*size == 0)
        return exchange_finish(ex);
    size_t n = *size;
    *size = 0;
    return exchange_body(ex, data, n);
}

static void exchange_leave(struct http_server *server)
{
    if (atomic_fetch_sub(&server->active, 1) != 1)
        return;
    pthread_mutex_lock(&server->lock);
    pthread_cond_broadcast(&server->idle);
    pthread_mutex_unlock(&server->lock);
}

void exchange_on_completed(void *listener, struct MHD_Connection *connection, void **state,
                           enum MHD_RequestTerminationCode why)
{
    (void)listener, (void)connection;
    struct http_exchange *ex = *state;
    *state = NULL;
    if (ex == NULL)
        return;
    struct http_request *req = &ex->req;
    exchange_timeout(ex, TIMEOUT_IDLE);
    stream_close(ex);
    if (req->sink_state != NULL)
        req->route->sink->end(req->sink_state);
    int64_t took = clock_now_ns() - req->start_ns;
    log_debug("answered", "id=%s method=%d path=%s status=%d ms=%lld%s", req->id, (int)req->method,
              req->path != NULL ? req->path : "-", ex->status, (long long)(took / CLOCK_MS),
              why == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "" : " cut=1");
    buf_done(&req->body);
    arena_done(&req->arena);
    bool active = ex->active;
    struct http_server *server = ex->server;
    free(ex);
    if (active)
        exchange_leave(server);
}
