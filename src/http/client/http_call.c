/* http/client/http_call.c: one exchange: opened, read, closed. Who waits for whom is in http_state.h. */
#include "http/client/http_state.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/clock.h"

#include <stdlib.h>
#include <string.h>

/* Kept for a reader who is not there yet; more stays in the socket, so that the sender feels it. */
enum { REST_BYTES_PAUSE = 256 * 1024, REST_BYTES_MAX = REST_BYTES_PAUSE + 2 * CURL_MAX_WRITE_SIZE };

static void headers_forget(struct http_call *call)
{
    arena_done(&call->arena);
    call->first = NULL;
    call->last = NULL;
    call->header_bytes = 0;
}

static void header_add(struct http_call *call, const char *line, size_t n)
{
    const char *colon = memchr(line, ':', n);
    if (colon == NULL)
        return;
    const char *value = colon + 1;
    const char *end = line + n;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (unsigned char)end[-1] <= ' ')
        end--;
    struct http_header *h = arena_alloc(&call->arena, sizeof *h);
    h->name = arena_strndup(&call->arena, line, (size_t)(colon - line));
    h->value = arena_strndup(&call->arena, value, (size_t)(end - value));
    if (call->last == NULL)
        call->first = h;
    else
        call->last->next = h;
    call->last = h;
}

size_t http_call_on_header(char *line, size_t size, size_t n, void *ctx)
{
    struct http_call *call = ctx;
    n *= size;
    if (call->headers_done) /* trailers of a chunked body: nobody asks for them */
        return n;
    call->header_bytes += n;
    if (call->header_bytes > LIMIT_REQUEST_HEADER_BYTES) {
        call->too_many_headers = true;
        return 0; /* libcurl ends the call */
    }
    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) { /* again after each 1xx */
        headers_forget(call);
    } else if (n <= 2 && (line[0] == '\r' || line[0] == '\n')) {
        long status = 0;
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        call->status = (int)status;
        call->headers_done = status >= 200;
    } else {
        header_add(call, line, n);
    }
    return n;
}

size_t http_call_on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct http_call *call = ctx;
    n *= size;
    if (call->rest.len - call->rest_at >= REST_BYTES_PAUSE) {
        call->paused = true;
        return CURL_WRITEFUNC_PAUSE; /* it keeps these bytes and brings them again */
    }
    buf_drop(&call->rest, call->rest_at);
    call->rest_at = 0;
    size_t direct = 0;
    if (call->dst != NULL && call->rest.len == 0) {
        size_t room = call->dst_max - call->dst_len;
        direct = n < room ? n : room;
        memcpy(call->dst + call->dst_len, data, direct);
        call->dst_len += direct;
    }
    CHECK(buf_add(&call->rest, data + direct, n - direct));
    return n;
}

size_t http_call_on_send(char *dst, size_t size, size_t n, void *ctx)
{
    struct http_call *call = ctx;
    ssize_t put = call->body_read(call->body_ctx, dst, size * n);
    if (put >= 0)
        return (size_t)put;
    call->body_failed = true;
    return CURL_READFUNC_ABORT;
}

/* What a program may do about it: try again, or not. */
static enum err_code code_of(struct http_call *call)
{
    long os_error = 0;
    switch (call->result) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_WRITE_ERROR:
        return ERR_PROTOCOL;
    case CURLE_SSL_CONNECT_ERROR: /* a reset in the handshake may pass; a server that speaks no TLS will not */
        curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os_error);
        return os_error != 0 ? ERR_UNREACHABLE : ERR_PROTOCOL;
    case CURLE_URL_MALFORMAT:
        return ERR_INVALID;
    default:
        return ERR_UNREACHABLE;
    }
}

static void failure_set(struct http_call *call)
{
    const char *reason = call->reason[0] != '\0' ? call->reason : curl_easy_strerror(call->result);
    if (call->failure.code != ERR_NONE)
        return;
    if (call->too_many_headers)
        err_set(&call->failure, ERR_PROTOCOL, "%s sent more than %d bytes of headers", call->peer,
                LIMIT_REQUEST_HEADER_BYTES);
    else if (call->body_failed)
        err_set(&call->failure, ERR_INTERNAL, "sending to %s: the body could not be read", call->peer);
    else if (call->headers_done)
        err_set(&call->failure, code_of(call), "the answer of %s was cut: %s", call->peer, reason);
    else
        err_set(&call->failure, code_of(call), "no answer from %s: %s", call->peer, reason);
}

/* libcurl sends again by itself when a kept connection turns out dead: then somebody may have seen the request before
 * the last connection was refused. */
static long bytes_sent(const struct http_call *call)
{
    long n = 0;
    curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &n);
    return n;
}

static bool fail_with(const struct http_call *call, struct err *err)
{
    if (err != NULL)
        *err = call->failure;
    return false;
}

bool http_call_open(const struct http_call_spec *spec, struct http_call **ret_call, struct err *err)
{
    struct http_call *call = check_alloc(calloc(1, sizeof *call));
    call->own_pool = spec->pool == NULL;
    call->pool = spec->pool != NULL ? spec->pool : http_pool_new();
    call->easy = call->pool->spare != NULL ? call->pool->spare : check_alloc(curl_easy_init());
    call->pool->spare = NULL;
    call->rest = BUF_INIT(REST_BYTES_MAX);
    call->cancel_fd = spec->cancel_fd;
    call->stall_ns = spec->stall_timeout_ns;
    call->active_ns = clock_now_ns();
    bool ok = http_call_options(call, spec, err);
    if (ok) {
        CHECK(curl_multi_add_handle(call->pool->multi, call->easy) == CURLM_OK);
        while (!call->headers_done && !call->done && ok)
            ok = http_call_pump(call);
        if (ok && !call->headers_done) { /* once they are here, the rest of the story is http_call_read's */
            failure_set(call);
            ok = false;
        }
        if (!ok)
            fail_with(call, err);
        if (!ok && spec->ret_unsent != NULL)
            *spec->ret_unsent = call->result == CURLE_COULDNT_CONNECT && bytes_sent(call) == 0;
    }
    if (!ok)
        http_call_close(&call);
    else
        *ret_call = call;
    return ok;
}

int http_call_status(const struct http_call *call) { return call->status; }

const char *http_call_header(const struct http_call *call, const char *name)
{
    const char *found = NULL;
    for (const struct http_header *h = call->first; h != NULL; h = h->next)
        if (text_equal_nocase(h->name, name))
            found = h->value;
    return found;
}

const char *http_call_header_at(const struct http_call *call, const char *name, size_t i)
{
    for (const struct http_header *h = call->first; h != NULL; h = h->next)
        if (text_equal_nocase(h->name, name) && i-- == 0)
            return h->value;
    return NULL;
}

static size_t rest_take(struct http_call *call, void *dst, size_t max)
{
    size_t n = call->rest.len - call->rest_at;
    n = n < max ? n : max;
    if (n > 0)
        memcpy(dst, call->rest.data + call->rest_at, n);
    call->rest_at += n;
    if (call->rest_at == call->rest.len) {
        buf_clear(&call->rest);
        call->rest_at = 0;
    }
    return n;
}

ssize_t http_call_read(struct http_call *call, void *dst, size_t max, struct err *err)
{
    CHECK(max > 0);
    size_t n = rest_take(call, dst, max);
    if (n > 0)
        return (ssize_t)n;
    call->dst = dst;
    call->dst_max = max;
    call->dst_len = 0;
    call->active_ns = clock_now_ns(); /* time that the reader was away is not the server's */
    if (call->paused) {
        call->paused = false;
        curl_easy_pause(call->easy, CURLPAUSE_CONT); /* calls http_call_on_body at once */
    }
    while (call->dst_len == 0 && !call->done && call->failure.code == ERR_NONE)
        http_call_pump(call);
    call->dst = NULL;
    if (call->dst_len > 0)
        return (ssize_t)call->dst_len;
    if (call->failure.code == ERR_NONE && call->result == CURLE_OK)
        return 0;
    failure_set(call);
    fail_with(call, err);
    return -1;
}

bool http_call_read_all(struct http_call *call, struct buf *out, struct err *err)
{
    enum { PART = 16 * 1024 };
    for (;;) {
        char probe; /* at the maximum one byte more tells "full" from "too long" */
        size_t room = out->max - out->len < PART ? out->max - out->len : PART;
        char *at = room > 0 ? buf_reserve(out, room) : &probe;
        ssize_t n = http_call_read(call, at, room > 0 ? room : 1, err);
        if (n <= 0)
            return n == 0;
        if (room == 0)
            return err_set(err, ERR_TOO_LARGE, "the answer of %s is larger than %zu bytes", call->peer, out->max);
        out->len += (size_t)n;
        out->data[out->len] = '\0';
    }
}

void http_call_close(struct http_call **ref)
{
    struct http_call *call = *ref;
    *ref = NULL;
    if (call == NULL)
        return;
    curl_multi_remove_handle(call->pool->multi, call->easy);
    /* One whose transfer did not end well keeps its buffers, and then refuses to have them resized. */
    bool clean = call->done && call->result == CURLE_OK;
    if (call->own_pool || call->pool->spare != NULL || !clean) {
        curl_easy_cleanup(call->easy);
    } else {
        curl_easy_reset(call->easy);
        call->pool->spare = call->easy;
    }
    if (call->own_pool)
        http_pool_free(&call->pool);
    curl_slist_free_all(call->headers_out);
    curl_slist_free_all(call->resolve);
    arena_done(&call->arena);
    buf_done(&call->rest);
    free(call);
}

bool http_call_simple(const struct http_call_spec *spec, struct buf *out, int *ret_status, struct err *err)
{
    struct http_call *call = NULL;
    if (!http_call_open(spec, &call, err))
        return false;
    bool ok = http_call_read_all(call, out, err);
    if (ok)
        *ret_status = http_call_status(call);
    http_call_close(&call);
    return ok;
}
