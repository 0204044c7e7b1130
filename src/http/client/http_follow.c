/* http/client/http_follow.c: see http_follow.h. */
#include "http/client/http_follow.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/address.h"
#include "platform/clock.h"
#include "platform/process.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEADERS_MAX = 16 };

bool http_url_same_origin(const struct http_url *a, const struct http_url *b)
{
    return a->port == b->port && strcmp(a->scheme, b->scheme) == 0 && strcmp(a->host, b->host) == 0;
}

static bool proxy_in_use(void)
{
    static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (process_env(names[i]) != NULL)
            return true;
    return false;
}

static bool kind_among(enum address_class kind, const struct address *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].kind == kind)
            return true;
    return false;
}

bool http_peer_check(const struct http_url *from, const struct http_url *to, char ret_address[HTTP_ADDRESS_MAX],
                     struct err *err)
{
    struct address ours[ADDRESSES_MAX];
    struct address theirs[ADDRESSES_MAX];
    size_t n_ours = 0;
    size_t n_theirs = 0;
    if (strcmp(from->host, to->host) == 0) {
        ret_address[0] = '\0';
        return true;
    }
    bool known = address_resolve(to->host, theirs, &n_theirs, err);
    if (proxy_in_use() && (!known || kind_among(ADDRESS_PUBLIC, theirs, n_theirs))) {
        ret_address[0] = '\0';
        return true;
    }
    if (!known)
        return false;
    if (!address_resolve(from->host, ours, &n_ours, NULL))
        n_ours = 0; /* then only public ones will do */
    for (size_t i = 0; i < n_theirs; i++) {
        bool like_ours = theirs[i].kind != ADDRESS_SPECIAL && kind_among(theirs[i].kind, ours, n_ours);
        if (theirs[i].kind == ADDRESS_PUBLIC || like_ours) {
            text_format(ret_address, HTTP_ADDRESS_MAX, "%s", theirs[i].text);
            return true;
        }
    }
    return err_set(err, ERR_FORBIDDEN, "%s sends us to %s, which is in a private network; refused", from->host,
                   to->host);
}

bool http_call_retry_after(const struct http_call *call, int64_t *ret_ns)
{
    const char *text = http_call_header(call, "Retry-After");
    int64_t seconds = 0;
    if (text == NULL)
        return false;
    if (!text_to_i64(text, &seconds)) {
        time_t when = curl_getdate(text, NULL);
        if (when == (time_t)-1)
            return false;
        seconds = (int64_t)when - clock_wall_ns() / CLOCK_SECOND;
    }
    seconds = seconds < 0 ? 0 : seconds;
    *ret_ns = seconds > INT64_MAX / CLOCK_SECOND ? INT64_MAX : seconds * CLOCK_SECOND;
    return true;
}

static bool is_secret(const char *header)
{
    static const char *const names[] = {"Authorization:", "Cookie:", "Proxy-Authorization:"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strncasecmp(header, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* The caller's headers without those that are for the first host only. */
static void headers_public(const char *const *headers, const char *kept[HEADERS_MAX + 1])
{
    size_t n = 0;
    for (; headers != NULL && *headers != NULL; headers++) {
        CHECK(n < HEADERS_MAX);
        if (!is_secret(*headers))
            kept[n++] = *headers;
    }
    kept[n] = NULL;
}

/* Where this answer sends us, checked by the rules; into next. */
static bool next_of(const struct http_call *call, const char *url, char *next, char address[HTTP_ADDRESS_MAX],
                    bool *ret_same, struct err *err)
{
    struct http_url from;
    struct http_url to;
    const char *location = http_call_header(call, "Location");
    if (!http_url_parse(url, &from, err))
        return false;
    if (location == NULL || location[0] == '\0')
        return err_set(err, ERR_PROTOCOL, "%s answered with a redirect to nowhere", from.host);
    if (!http_url_join(url, location, next, HTTP_URL_MAX, err) || !http_url_parse(next, &to, err)) {
        if (err != NULL)
            err->code = ERR_PROTOCOL;
        return err_while(err, "following a redirect of %s", from.host);
    }
    if (strcmp(from.scheme, "https") == 0 && strcmp(to.scheme, "https") != 0)
        return err_set(err, ERR_PROTOCOL, "%s redirects from https to plain http on %s; refused", from.host, to.host);
    *ret_same = http_url_same_origin(&from, &to);
    return http_peer_check(&from, &to, address, err);
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool http_call_follow(const struct http_call_spec *spec, struct http_call **ret_call, char *ret_url, struct err *err)
{
    _cleanup_free_ char *url = check_alloc(calloc(1, HTTP_URL_MAX));
    _cleanup_free_ char *next = check_alloc(calloc(1, HTTP_URL_MAX));
    const char *kept[HEADERS_MAX + 1];
    char address[HTTP_ADDRESS_MAX] = "";
    struct http_call_spec step = *spec;
    if (!text_format(url, HTTP_URL_MAX, "%s", spec->url))
        return err_set(err, ERR_INVALID, "a URL is longer than %d bytes", HTTP_URL_MAX - 1);
    for (int hops = 0;; hops++) {
        struct http_call *call = NULL;
        bool same = false;
        step.url = url;
        if (!http_call_open(&step, &call, err))
            return false;
        if (!is_redirect(http_call_status(call))) {
            if (ret_url != NULL)
                memcpy(ret_url, url, strlen(url) + 1);
            *ret_call = call;
            return true;
        }
        bool ok = hops < LIMIT_REDIRECTS ? next_of(call, url, next, address, &same, err)
                                         : err_set(err, ERR_PROTOCOL, "%.*s redirects more than %d times",
                                                   (int)strcspn(spec->url, "?"), spec->url, LIMIT_REDIRECTS);
        http_call_close(&call);
        if (!ok)
            return false;
        if (!same) { /* kept may be filtered again in place: it only gets shorter */
            headers_public(step.headers, kept);
            step.headers = kept;
            step.resolve_to = address[0] != '\0' ? address : NULL;
        }
        char *swap = url;
        url = next;
        next = swap;
    }
}
