/* http/client: one HTTP exchange at a time over libcurl, read by pulling.
 *
 *   struct http_call_spec spec = {.method = "GET", .url = url, .headers = headers, .cancel_fd = req->client_fd};
 *   if (!http_call_open(&spec, &call, err)) ...      connected, the status line and headers are here
 *   status = http_call_status(call); type = http_call_header(call, "content-type");
 *   while ((n = http_call_read(call, dst, max, err)) > 0) ...        0: complete; -1: cut, stalled, cancelled
 *   http_call_close(&call);
 *
 * Redirects are never followed here: http_follow.h does that, by our rules.
 * HTTP/1.1 only (libcurl would put parallel ranges on one HTTP/2 connection). No Content-Encoding.
 * A body shorter than its Content-Length is -1 with ERR_UNREACHABLE, never 0. Connections are
 * kept and reused within one http_pool. Proxies come from the environment (HTTPS_PROXY, NO_PROXY), never for loopback
 * or unix sockets; SSL_CERT_FILE and SSL_CERT_DIR are honoured. A reader that does not read is felt by the sender: at
 * most 256 KiB wait here.
 * TLS is verified unless the spec says tls_any, which only the user can ask for; a certificate error is ERR_PROTOCOL
 * and is not to be retried. Errors: ERR_UNREACHABLE (refused, reset, no name, timed out: may be retried), ERR_CANCELLED
 * (cancel_fd closed), ERR_PROTOCOL. The text names the host, never credentials.
 * Threads: a call belongs to one thread; a pool to one thread too.
 */
#ifndef TUG_HTTP_CLIENT_H
#define TUG_HTTP_CLIENT_H

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

struct http_pool; /* kept connections; NULL pool: a connection for one call */
struct http_call;

struct http_call_spec {
    const char *method;         /* "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" */
    const char *url;            /* http or https; with unix_socket the host part is only a name */
    const char *unix_socket;    /* path, or NULL for TCP */
    const char *const *headers; /* "Name: value", NULL-terminated, or NULL */
    const void *body;           /* borrowed until the call is closed; NULL: none */
    size_t body_len;
    /* A body produced as it is sent: bytes into dst, 0 = end, -1 = abort. body_size: its exact length, or UINT64_MAX.
     */
    ssize_t (*body_read)(void *ctx, void *dst, size_t max);
    void *body_ctx;
    uint64_t body_size;
    int cancel_fd;              /* watched for SOCKET_CLOSED; -1: none. NOTE: set it, 0 is a descriptor */
    int64_t connect_timeout_ns; /* 0: 15 s */
    int64_t stall_timeout_ns;   /* no byte for so long is ERR_UNREACHABLE; 0: never */
    const char *user_agent;     /* NULL: "tug/VERSION" */
    const char *ca_file;        /* extra CA bundle, or NULL */
    bool tls_any;               /* accept any certificate and name */
    const char *resolve_to;     /* numeric addresses (a,b,c) to dial in place of the host's own, or NULL */
    struct http_pool *pool;
    bool *ret_unsent; /* NULL, or set when http_call_open fails: not a byte was sent, so nobody saw the request */
};

struct http_pool *http_pool_new(void);
void http_pool_free(struct http_pool **pool);

/* Pools for threads that come and go: a thread takes one for the time of a call and puts it back after http_call_close,
 * so that the next one finds its connections open. Any thread; a few dozen are kept, the rest is closed. */
struct http_pools *http_pools_new(void);
void http_pools_free(struct http_pools **pools); /* all are back */
struct http_pool *http_pools_take(struct http_pools *pools);
void http_pools_put(struct http_pools *pools, struct http_pool **pool); /* NULL inside: nothing; NULL after */

bool http_call_open(const struct http_call_spec *spec, struct http_call **ret_call, struct err *err);
int http_call_status(const struct http_call *call);
const char *http_call_header(const struct http_call *call, const char *name); /* last of that name, borrowed, or NULL */
/* The i-th header of that name, NULL after the last (WWW-Authenticate may come several times). */
const char *http_call_header_at(const struct http_call *call, const char *name, size_t i);
/* Returns as soon as anything is there; never waits to fill dst. An end or a failure is repeated by each later call. */
ssize_t http_call_read(struct http_call *call, void *dst, size_t max, struct err *err);
/* All of the rest, at most out->max bytes: ERR_TOO_LARGE above. */
bool http_call_read_all(struct http_call *call, struct buf *out, struct err *err);
void http_call_close(struct http_call **call); /* an incomplete exchange closes its connection */

/* The whole of a small exchange. *ret_status is set on true. */
bool http_call_simple(const struct http_call_spec *spec, struct buf *out, int *ret_status, struct err *err);

/* Parts of a URL, scheme and host in lower case: an IPv6 host keeps its brackets, port is 80 or 443 when none is given,
 * path has the query, percent-encoding is kept. False (ERR_INVALID): not an http(s) URL, or one with a user in it. */
struct http_url {
    char scheme[8], host[256], path[2048];
    uint16_t port;
};
bool http_url_parse(const char *url, struct http_url *ret_url, struct err *err);
/* `location` relative to `base`, as RFC 3986 says, without a fragment; into dst. http(s) only, as above. */
bool http_url_join(const char *base, const char *location, char *dst, size_t size, struct err *err);

#endif
