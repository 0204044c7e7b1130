/* http/server/exchange: one request and its answer, and the server that it belongs to. Inside of
 * http/server only.
 *
 *   exchange_on_uri        the request line is here: the exchange begins to exist
 *   exchange_on_data       first the headers (guards, route, limits), then the body in pieces, then
 *                          the end of it: the handler runs
 *   exchange_on_completed  the answer is out, or the client has gone: everything is freed
 *
 * All three run on the connection's thread, in this order; the third exactly once for each first.
 */
#ifndef TUG_HTTP_EXCHANGE_H
#define TUG_HTTP_EXCHANGE_H

#include "http/server/http_server.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

/* Seconds, in libmicrohttpd's sense: without any byte read or written. */
enum {
    TIMEOUT_RECEIVE = 15, /* headers and body, unless configured */
    TIMEOUT_NEVER = 0,    /* while a handler or a stream's read runs */
    TIMEOUT_SEND = 120,   /* a client that does not take what is ready for it */
    TIMEOUT_IDLE = 75,    /* between two requests */
};

struct http_listener {
    struct http_server *server;
    struct MHD_Daemon *mhd;
    bool is_unix;
    char host[64]; /* numeric address that it is bound to; "" for unix */
    http_peer_ok *peer_ok;
    void *peer_ctx;
};

struct http_server {
    struct http_server_config config;
    struct http_listener *listeners; /* room for HTTP_LISTENERS_LATER more: they stay where they are */
    size_t n_listeners, n_later;
    atomic_bool draining;
    atomic_size_t active;
    atomic_size_t connections;
    pthread_mutex_t lock; /* for idle only; nothing is called under it */
    pthread_cond_t idle;  /* active has become 0 */
};

struct reply_header {
    struct reply_header *next;
    const char *name, *value;
};

struct http_exchange {
    struct http_request req;
    struct http_listener *listener;
    struct http_server *server;
    struct MHD_Connection *connection;
    enum { EXCHANGE_HEADERS, EXCHANGE_BODY, EXCHANGE_REFUSED, EXCHANGE_ANSWERED } phase;
    const char *uri;    /* as it came */
    const char *query;  /* after the `?`, "" if none */
    const char *origin; /* an allowed one, NULL: not a browser's cross-origin request */
    struct reply_header *headers;
    int refused_status; /* REFUSED: what will be answered at the end of the body */
    struct err refused;
    uint64_t dropped; /* bytes of the body that nobody wanted */
    int status;       /* that was answered */
    bool active;
    bool closes;               /* the connection, after the answer */
    bool queued;               /* libmicrohttpd has taken the answer */
    struct http_stream stream; /* read NULL: none, or closed */
};

void *exchange_on_uri(void *listener, const char *uri, struct MHD_Connection *connection);
enum MHD_Result exchange_on_data(void *listener, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *data, size_t *size, void **state);
void exchange_on_completed(void *listener, struct MHD_Connection *connection, void **state,
                           enum MHD_RequestTerminationCode why);
void exchange_timeout(struct http_exchange *ex, unsigned seconds);

/* reply.c: the answer with a status that err's code does not have (405, 431). */
void reply_error_status(struct http_exchange *ex, int status, const struct err *err);
void reply_empty(struct http_exchange *ex, int status);
/* In the middle of a body libmicrohttpd takes no answer: writes it to the socket itself, and reads on for a moment so
 * that the client gets to see it. The connection must be closed afterwards. */
void reply_and_cut(struct http_exchange *ex, int status, const struct err *err);

/* stream.c */
struct MHD_Response *stream_response(struct http_exchange *ex);
void stream_close(struct http_exchange *ex); /* at most one close for each stream; may be called again */

/* guard.c: who may ask. False: refused with err. */
bool guard_host(const struct http_listener *listener, const char *host, struct err *err);
bool guard_origin(const struct http_server *server, const char *origin, const char *host, struct err *err);
bool guard_key(const struct http_server *server, const struct http_request *req, struct err *err);
/* The answer to OPTIONS of an allowed origin. */
void guard_preflight(struct http_exchange *ex);

/* route.c: the first row that matches path and method, and req->params. NULL: none; *ret_methods then has the methods
 * of the rows that match the path alone, 0 if none does. */
const struct http_route *route_find(const struct http_route *routes, enum http_method method, const char *path,
                                    struct arena *a, const char *params[HTTP_PARAMS_MAX], int *ret_methods);
/* The byte of the `%XX` that text stands on; -1: not two hexadecimal digits. */
int route_escape(const char *text);
bool route_method_parse(const char *name, enum http_method *ret_method);
/* "GET, POST" for the Allow header. */
void route_methods_text(int methods, char *dst, size_t size);

#endif
