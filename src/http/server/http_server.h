/* http/server: an HTTP/1.1 server over libmicrohttpd, on TCP and unix sockets, a thread a connection.
 *
 *   http_server_start(&config, &server, err)         threads begin to accept
 *   http_server_refuse_new(server)                   draining: new requests get 503, running ones go on
 *   http_server_stop(server, deadline)               waits for running requests, then cuts them
 *
 * A handler runs on its connection's thread once the whole body is here and may block. It answers
 * with exactly one of http_reply, http_reply_json, http_reply_error, http_reply_stream. While it
 * blocks it watches req->client_fd for SOCKET_CLOSED beside what it waits for, so that a client
 * that has gone stops its work (rule 7: cancellation is a closed connection).
 *
 * A stream is pulled: after the handler returned, http_server calls stream.read on the same thread
 * until it returns 0 (end) or -1 (abort: the connection is cut, which clients see as an error),
 * then stream.close exactly once, also when the client has gone. read may block, and must watch
 * client_fd itself while it does. What one read returns goes out at once as one chunk.
 *
 * Uploads of any size: a route with body HTTP_BODY_STREAM names a sink; its begin/push run as the
 * bytes arrive, the handler after the last one with req->sink_state, and sink.end exactly once.
 *
 * Guards, before any handler: Host must be this machine's name for itself (loopback names, the
 * bound address, the names by which containers know it, allowed_hosts; a unix socket takes any) and Origin, if present,
 * allowed or our own (403, DNS rebinding); the API key if one is set (401); body and header limits (413, 431); 404 and
 * 405 in OpenAI's error shape. HEAD is answered as GET without the body; OPTIONS with an allowed
 * Origin as a CORS preflight. A refused body is read and dropped up to 1 MiB, then the connection is
 * kept; a larger one is answered at once and cut. What is not HTTP (400) and headers above the
 * connection's memory of 256 KiB (431) libmicrohttpd answers itself, without our headers.
 *
 * Above max_connections a request gets 503 and its connection is closed; far above, connections are
 * closed without an answer.
 *
 * Time: 15 s without a byte while a request arrives, 120 s while a client does not take its answer,
 * 75 s between two requests, none while a handler or a stream's read runs.
 *
 * Path: `//` collapses; percent-decoded once; `..` segments are refused (400).
 */
#ifndef TUG_HTTP_SERVER_H
#define TUG_HTTP_SERVER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

enum http_method { HTTP_GET = 1, HTTP_POST = 2, HTTP_DELETE = 4, HTTP_PUT = 8, HTTP_ANY = 15 };
enum http_body { HTTP_BODY_NONE, HTTP_BODY_BUFFER, HTTP_BODY_STREAM };
enum http_right { HTTP_RIGHT_OPEN, HTTP_RIGHT_READ, HTTP_RIGHT_INFER, HTTP_RIGHT_WRITE }; /* OPEN needs no key */

enum { HTTP_PARAMS_MAX = 4, HTTP_ID_MAX = 65 };

struct http_server;

struct http_request {
    enum http_method method;
    const char *path;                    /* decoded, normalised, without the query */
    const char *params[HTTP_PARAMS_MAX]; /* what the pattern's {…} matched, in order; arena */
    struct buf body;                     /* BUFFER routes; empty otherwise */
    void *sink_state;                    /* STREAM routes */
    int client_fd;                       /* to watch for SOCKET_CLOSED only */
    char id[HTTP_ID_MAX]; /* in the answer's X-Request-Id header and every log line: the request's own X-Request-Id, if
                           * it is 1 to 64 of letters, digits and . _ : -, else "req-" + 16 characters */
    int64_t start_ns;
    struct arena arena; /* freed when the answer is complete */
    void *app;          /* config.app */
    const struct http_route *route;
    struct http_exchange *exchange; /* http_server's own */
};

/* Header of the request or query parameter; NULL when absent; `""` for a query key without value. Borrowed. */
const char *http_header(const struct http_request *req, const char *name);
const char *http_query(const struct http_request *req, const char *name);

struct http_stream {
    ssize_t (*read)(void *ctx, char *dst, size_t max);
    void (*close)(void *ctx); /* may be NULL */
    void *ctx;
};

/* Extra headers of the answer; call before http_reply*. The name is borrowed; the value is copied, with control
 * characters as spaces; an empty one leaves the header out. */
void http_set_header(struct http_request *req, const char *name, const char *value);
/* The data is copied. */
void http_reply(struct http_request *req, int status, const char *content_type, const void *data, size_t len);
void http_reply_json(struct http_request *req, int status, const struct buf *json);
/* {"error":{"message","type","param","code"}} with err's HTTP status; Retry-After on 429 and 503:
 * err->retry_after_s, or 1. */
void http_reply_error(struct http_request *req, const struct err *err);
void http_reply_stream(struct http_request *req, int status, const char *content_type, struct http_stream stream);

struct http_sink {
    bool (*begin)(struct http_request *req, void **ret_state, struct err *err);
    bool (*push)(void *state, const void *data, size_t n, struct err *err); /* false: the upload is refused with err */
    void (*end)(void *state); /* frees it; also when the client has gone */
};

typedef void http_handler(struct http_request *req);

/* Patterns: literal text; `{x}` = one segment; `{x...}` = one or more segments, slashes included, as many as let the
 * rest of the pattern match. First row that matches wins. A path that matches some row but no method is 405. */
struct http_route {
    int methods; /* enum http_method, or'ed */
    const char *pattern;
    http_handler *handler;
    enum http_right right;
    enum http_body body;
    const struct http_sink *sink;
    const char *in, *out, *summary; /* for docs/api.md: body, answer, one line */
};

struct http_server_config {
    const struct http_route *routes; /* ends with pattern NULL */
    const int *listen_fds;           /* already listening; the server closes them, also when it fails to start */
    size_t n_listen_fds;
    size_t n_shared_fds; /* the first of them listen on when we end (systemd's): draining, they accept no more here, and
                          * who comes waits for the next process instead of getting 503 */
    const char *api_key; /* NULL: none wanted */
    const char *const *allowed_hosts;   /* beside loopback names, NULL-terminated; "*" = any; NULL: none */
    const char *const *allowed_origins; /* beside http(s)://localhost, 127.0.0.1, [::1] with any port */
    const char *server_name;            /* Server header */
    size_t max_body;
    size_t max_connections;     /* of all listeners together; 0: LIMIT_CONNECTIONS */
    unsigned receive_timeout_s; /* without a byte of a request that has begun; 0: 15 */
    void *app;
};

bool http_server_start(const struct http_server_config *config, struct http_server **ret_server, struct err *err);

/* One more listening socket, once the server runs; it is closed in any case. `peer_ok` decides about each connection by
 * the numeric address of its peer, before a byte is read; NULL: all may. It and ctx outlive the server. At most
 * HTTP_LISTENERS_LATER. Not at the same time as itself or http_server_stop. */
enum { HTTP_LISTENERS_LATER = 8 };
typedef bool http_peer_ok(void *ctx, const char *peer);
bool http_server_add(struct http_server *s, int fd, http_peer_ok *peer_ok, void *ctx, struct err *err);

void http_server_refuse_new(struct http_server *s);
void http_server_stop(struct http_server *s, int64_t deadline_ns);
size_t http_server_active(const struct http_server *s); /* requests being answered now */

/* Exposed for its test and fuzz target. */
bool http_route_match(const char *pattern, const char *path, struct arena *a, const char *params[HTTP_PARAMS_MAX]);
bool http_path_normalise(const char *raw, struct arena *a, const char **ret_path, struct err *err);

#endif
