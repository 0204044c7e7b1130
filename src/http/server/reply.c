/* http/server/reply.c: the answer. Every one carries Server and X-Request-Id, whatever made it. */
#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "http/server/exchange.h"
#include "openai/openai.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/socket.h"

#include <string.h>

#define CUT_LINGER_NS (2 * CLOCK_SECOND)

void http_set_header(struct http_request *req, const char *name, const char *value)
{
    if (value[0] == '\0') /* libmicrohttpd knows no empty ones */
        return;
    struct reply_header *h = arena_alloc(&req->arena, sizeof *h);
    char *clean = arena_strdup(&req->arena, value);
    for (char *p = clean; *p != '\0'; p++) /* a value from outside must not begin a header of its own */
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    h->name = name;
    h->value = clean;
    h->next = req->exchange->headers;
    req->exchange->headers = h;
}

/* The headers that every answer has, as headers of this one. */
static void reply_common(struct http_exchange *ex, const char *content_type)
{
    struct http_request *req = &ex->req;
    http_set_header(req, "Server", ex->server->config.server_name);
    http_set_header(req, "X-Request-Id", req->id);
    if (content_type != NULL)
        http_set_header(req, "Content-Type", content_type);
    if (ex->origin != NULL) {
        http_set_header(req, "Access-Control-Allow-Origin", ex->origin);
        http_set_header(req, "Access-Control-Allow-Credentials", "true");
        http_set_header(req, "Access-Control-Expose-Headers", "X-Request-Id");
        http_set_header(req, "Vary", "Origin");
    }
    if (ex->closes || atomic_load(&ex->server->draining))
        http_set_header(req, "Connection", "close");
}

static void reply_queue(struct http_exchange *ex, int status, const char *content_type, struct MHD_Response *response)
{
    CHECK(ex->phase != EXCHANGE_ANSWERED);
    ex->phase = EXCHANGE_ANSWERED;
    ex->status = status;
    if (response == NULL) /* out of memory: the caller's thread closes the connection */
        return;
    reply_common(ex, content_type);
    for (const struct reply_header *h = ex->headers; h != NULL; h = h->next)
        if (MHD_add_response_header(response, h->name, h->value) != MHD_YES)
            log_warn("left a header out of an answer", "id=%s header=%s", ex->req.id, h->name);
    ex->queued = MHD_queue_response(ex->connection, (unsigned)status, response) == MHD_YES;
    MHD_destroy_response(response);
}

void http_reply(struct http_request *req, int status, const char *content_type, const void *data, size_t len)
{
    reply_queue(req->exchange, status, content_type,
                MHD_create_response_from_buffer(len, len > 0 ? (void *)data : "", MHD_RESPMEM_MUST_COPY));
}

void http_reply_json(struct http_request *req, int status, const struct buf *json)
{
    http_reply(req, status, "application/json", json->data, json->len);
}

void reply_empty(struct http_exchange *ex, int status) { http_reply(&ex->req, status, NULL, NULL, 0); }

void http_reply_stream(struct http_request *req, int status, const char *content_type, struct http_stream stream)
{
    req->exchange->stream = stream;
    reply_queue(req->exchange, status, content_type, stream_response(req->exchange));
}

/* The body of an error, and the headers that belong to its status. */
static void reply_error_body(struct http_exchange *ex, int status, const struct err *err, struct buf *out)
{
    openai_write_error(out, err);
    if (status == 429 || status == 503) {
        char seconds[16];
        (void)text_format(seconds, sizeof seconds, "%d", err->retry_after_s > 0 ? err->retry_after_s : 1);
        http_set_header(&ex->req, "Retry-After", seconds);
    }
    if (status == 401)
        http_set_header(&ex->req, "WWW-Authenticate", "Bearer");
    log_debug("refused a request", "id=%s status=%d path=%s why=%s", ex->req.id, status,
              ex->req.path != NULL ? ex->req.path : "-", err->text);
}

void reply_error_status(struct http_exchange *ex, int status, const struct err *err)
{
    _cleanup_(buf_done) struct buf body = BUF_INIT(LIMIT_ERROR_BODY_BYTES);
    reply_error_body(ex, status, err, &body);
    http_reply_json(&ex->req, status, &body);
}

void http_reply_error(struct http_request *req, const struct err *err)
{
    reply_error_status(req->exchange, err_http_status(err->code), err);
}

/* Reads what the client still sends: closing a socket with unread bytes would reset it and lose the answer. */
static void reply_linger(int fd)
{
    char dropped[4096];
    int64_t deadline = clock_now_ns() + CUT_LINGER_NS;
    size_t n = 1;
    while (n > 0 && clock_now_ns() < deadline) {
        struct socket_wait wait = {.fd = fd, .want = SOCKET_READABLE};
        if (socket_wait(&wait, 1, deadline) == 0 ||
            !file_read_some(fd, dropped, sizeof dropped, "the client", &n, NULL))
            return;
    }
}

void reply_and_cut(struct http_exchange *ex, int status, const struct err *err)
{
    _cleanup_(buf_done) struct buf body = BUF_INIT(LIMIT_ERROR_BODY_BYTES);
    _cleanup_(buf_done) struct buf out = BUF_INIT(2 * LIMIT_ERROR_BODY_BYTES);
    ex->phase = EXCHANGE_ANSWERED;
    ex->status = status;
    reply_error_body(ex, status, err, &body);
    reply_common(ex, "application/json");
    buf_printf(&out, "HTTP/1.1 %d Refused\r\nConnection: close\r\nContent-Length: %zu\r\n", status, body.len);
    for (const struct reply_header *h = ex->headers; h != NULL; h = h->next)
        if (!text_equal_nocase(h->name, "Connection"))
            buf_printf(&out, "%s: %s\r\n", h->name, h->value);
    buf_add_str(&out, "\r\n");
    buf_add(&out, body.data, body.len);
    if (socket_write_all(ex->req.client_fd, out.data, out.len, NULL))
        reply_linger(ex->req.client_fd);
}
