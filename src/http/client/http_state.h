/* http/client/http_state: what the files of this folder share: a pool, a call, and who drives them. Internal.
 *
 * libcurl's event interface (curl_multi_socket_action) is used instead of curl_multi_poll: the sockets that it wants
 * watched are put beside the caller's cancel_fd into one socket_wait, which can ask for "the peer has gone" where
 * curl_multi_poll can only ask for "readable" and would spin on a client that has sent its next request already.
 */
#ifndef TUG_HTTP_STATE_H
#define TUG_HTTP_STATE_H

#include "base/arena.h"
#include "http/client/http_client.h"

#include <curl/curl.h>

enum { HTTP_WATCHES_MAX = 64 };

struct http_watch {
    curl_socket_t fd;
    int want; /* SOCKET_READABLE | SOCKET_WRITABLE */
};

struct http_pool {
    CURLM *multi;
    CURL *spare; /* a handle of an ended call, for the next one: its set-up costs more than a request */
    struct http_watch watches[HTTP_WATCHES_MAX];
    size_t n_watches;
    int64_t timer_ns; /* when libcurl wants to be called next; CLOCK_FOREVER: not */
};

struct http_header {
    struct http_header *next;
    const char *name, *value;
};

struct http_call {
    struct http_pool *pool;
    bool own_pool;
    CURL *easy;
    struct curl_slist *headers_out, *resolve;
    struct arena arena; /* the answer's headers */
    struct http_header *first, *last;
    size_t header_bytes;
    int status;
    bool headers_done, too_many_headers, body_failed;
    /* Where the body goes: to the reader's memory while it waits in http_call_read, else into `rest`. */
    char *dst;
    size_t dst_max, dst_len;
    struct buf rest;
    size_t rest_at; /* bytes of rest that were read already */
    bool paused;    /* libcurl holds more back until the reader comes */
    bool done;
    CURLcode result;
    struct err failure; /* code NONE: none; an error stays, each later read repeats it */
    int cancel_fd;
    int64_t stall_ns, active_ns; /* active_ns: when a byte last moved */
    ssize_t (*body_read)(void *ctx, void *dst, size_t max);
    void *body_ctx;
    char peer[320]; /* for messages: host:port, or the socket's path */
    char reason[CURL_ERROR_SIZE];
};

/* http_pool.c */
/* Waits for something to happen to any call of the pool and lets libcurl act on it. False: failure is set. */
bool http_call_pump(struct http_call *call);

/* http_options.c */
bool http_call_options(struct http_call *call, const struct http_call_spec *spec, struct err *err);

/* http_call.c: libcurl's callbacks, ctx is the call */
size_t http_call_on_header(char *line, size_t size, size_t n, void *ctx);
size_t http_call_on_body(char *data, size_t size, size_t n, void *ctx);
size_t http_call_on_send(char *dst, size_t size, size_t n, void *ctx);

#endif
