/* http/client/http_options.c: a call's spec as libcurl's options. */
#include "http/client/http_state.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/process.h"
#include "platform/socket.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CA_BYTES_MAX = 8 * 1024 * 1024, CONNECT_TIMEOUT_MS = 15000 };

#define SET(call, option, value) CHECK(curl_easy_setopt((call)->easy, option, value) == CURLE_OK)

static void list_add(struct curl_slist **list, const char *text)
{
    *list = check_alloc(curl_slist_append(*list, text));
}

static bool has_header(const char *const *headers, const char *name)
{
    size_t n = strlen(name);
    for (; headers != NULL && *headers != NULL; headers++)
        if (strncasecmp(*headers, name, n) == 0 && (*headers)[n] == ':')
            return true;
    return false;
}

static bool set_headers(struct http_call *call, const struct http_call_spec *spec, struct err *err)
{
    for (const char *const *h = spec->headers; h != NULL && *h != NULL; h++) {
        if (strpbrk(*h, "\r\n") != NULL || strchr(*h, ':') == NULL)
            return err_set(err, ERR_INVALID, "a header of the request to %s is not one line 'Name: value'", call->peer);
        list_add(&call->headers_out, *h);
    }
    list_add(&call->headers_out, "Expect:"); /* it would cost a round trip, or a second where it is not known */
    if (!has_header(spec->headers, "Accept-Encoding"))
        list_add(&call->headers_out, "Accept-Encoding: identity");
    if (!has_header(spec->headers, "Content-Type"))
        list_add(&call->headers_out, "Content-Type:"); /* else libcurl calls each body a form */
    SET(call, CURLOPT_HTTPHEADER, call->headers_out);
    SET(call, CURLOPT_USERAGENT, spec->user_agent != NULL ? spec->user_agent : "tug/" TUG_VERSION);
    return true;
}

static void set_body(struct http_call *call, const struct http_call_spec *spec)
{
    const char *method = spec->method;
    bool sends = strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
    if (spec->body_read != NULL) {
        call->body_read = spec->body_read;
        call->body_ctx = spec->body_ctx;
        SET(call, CURLOPT_UPLOAD, 1L);
        SET(call, CURLOPT_READFUNCTION, http_call_on_send);
        SET(call, CURLOPT_READDATA, call);
        SET(call, CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
        if (spec->body_size != UINT64_MAX)
            SET(call, CURLOPT_INFILESIZE_LARGE, (curl_off_t)spec->body_size);
        /* On a kept connection that turns out dead libcurl would have to rewind a body that cannot be. */
        SET(call, CURLOPT_FRESH_CONNECT, 1L);
    } else if (spec->body != NULL || sends) {
        SET(call, CURLOPT_POST, 1L);
        SET(call, CURLOPT_POSTFIELDS, spec->body != NULL ? (const char *)spec->body : "");
        SET(call, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(spec->body != NULL ? spec->body_len : 0));
    } else if (strcmp(method, "HEAD") == 0) {
        SET(call, CURLOPT_NOBODY, 1L);
    }
    SET(call, CURLOPT_CUSTOMREQUEST, method);
}

/* The system's certificates and one more file: CURLOPT_CAINFO alone would replace them. */
static bool set_extra_ca(struct http_call *call, const char *path, struct err *err)
{
    const char *system_path = process_env("SSL_CERT_FILE");
    _cleanup_(buf_done) struct buf both = BUF_INIT(CA_BYTES_MAX);
    if (system_path == NULL)
        curl_easy_getinfo(call->easy, CURLINFO_CAINFO, &system_path);
    if (system_path != NULL && !file_read_all(system_path, CA_BYTES_MAX, &both, NULL))
        buf_clear(&both); /* a system without a bundle: the extra one is all there is */
    buf_add_char(&both, '\n');
    if (!file_read_all(path, CA_BYTES_MAX, &both, err))
        return err_while(err, "reading the certificates for %s", call->peer);
    struct curl_blob blob = {.data = both.data, .len = both.len, .flags = CURL_BLOB_COPY};
    SET(call, CURLOPT_CAINFO_BLOB, &blob);
    return true;
}

static bool set_tls(struct http_call *call, const struct http_call_spec *spec, struct err *err)
{
    /* OpenSSL's and Go's variables, which people set for every program; libcurl itself does not read them. */
    const char *file = process_env("SSL_CERT_FILE");
    const char *dir = process_env("SSL_CERT_DIR");
    if (spec->tls_any) {
        SET(call, CURLOPT_SSL_VERIFYPEER, 0L);
        SET(call, CURLOPT_SSL_VERIFYHOST, 0L);
        return true;
    }
    if (dir != NULL)
        SET(call, CURLOPT_CAPATH, dir);
    if (spec->ca_file != NULL)
        return set_extra_ca(call, spec->ca_file, err);
    if (file != NULL)
        SET(call, CURLOPT_CAINFO, file);
    return true;
}

static void set_target(struct http_call *call, const struct http_call_spec *spec, const struct http_url *url)
{
    SET(call, CURLOPT_URL, spec->url);
    SET(call, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(call, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(call, CURLOPT_PATH_AS_IS, 1L);
    SET(call, CURLOPT_FOLLOWLOCATION, 0L);
    SET(call, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (spec->unix_socket != NULL)
        SET(call, CURLOPT_UNIX_SOCKET_PATH, spec->unix_socket);
    if (spec->unix_socket != NULL || socket_is_loopback(url->host))
        SET(call, CURLOPT_PROXY, "");                      /* what is on this machine is not behind a proxy */
    if (spec->resolve_to != NULL && url->host[0] != '[') { /* an IPv6 literal is its own address */
        char entry[1024];
        text_format(entry, sizeof entry, "+%s:%u:%s", url->host, url->port, spec->resolve_to);
        list_add(&call->resolve, entry);
        SET(call, CURLOPT_RESOLVE, call->resolve);
    }
}

bool http_call_options(struct http_call *call, const struct http_call_spec *spec, struct err *err)
{
    struct http_url url;
    if (!http_url_parse(spec->url, &url, err))
        return false;
    if (spec->unix_socket != NULL)
        text_format(call->peer, sizeof call->peer, "%s", spec->unix_socket);
    else if (url.port == (strcmp(url.scheme, "https") == 0 ? 443 : 80))
        text_format(call->peer, sizeof call->peer, "%s", url.host);
    else
        text_format(call->peer, sizeof call->peer, "%s:%u", url.host, url.port);
    int64_t connect_ms =
        spec->connect_timeout_ns > 0 ? (spec->connect_timeout_ns + CLOCK_MS - 1) / CLOCK_MS : CONNECT_TIMEOUT_MS;
    SET(call, CURLOPT_PRIVATE, call);
    SET(call, CURLOPT_ERRORBUFFER, call->reason);
    SET(call, CURLOPT_NOSIGNAL, 1L);
    SET(call, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    SET(call, CURLOPT_TCP_KEEPALIVE, 1L);
    SET(call, CURLOPT_BUFFERSIZE, spec->unix_socket != NULL ? 16L * 1024 : 64L * 1024);
    SET(call, CURLOPT_HEADERFUNCTION, http_call_on_header);
    SET(call, CURLOPT_HEADERDATA, call);
    SET(call, CURLOPT_WRITEFUNCTION, http_call_on_body);
    SET(call, CURLOPT_WRITEDATA, call);
    set_target(call, spec, &url);
    set_body(call, spec);
    if (strcmp(url.scheme, "https") == 0 && !set_tls(call, spec, err))
        return false;
    return set_headers(call, spec, err);
}
