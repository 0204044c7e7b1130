/* http/client/http_url.c: URLs, by libcurl's own parser: what is judged here is what is dialled later. */
#include "http/client/http_client.h"

#include "base/check.h"
#include "base/text.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

static void url_done(CURLU **u)
{
    curl_url_cleanup(*u);
    *u = NULL;
}

static void part_done(char **part)
{
    curl_free(*part);
    *part = NULL;
}

#define _url_  __attribute__((cleanup(url_done)))
#define _part_ __attribute__((cleanup(part_done)))

/* Names the URL in an error without its query, which may hold a signature, and without a user in it. */
static bool url_wrong(const char *url, const char *why, struct err *err)
{
    if (strchr(url, '@') != NULL)
        return err_set(err, ERR_INVALID, "the URL is wrong: %s", why);
    return err_set(err, ERR_INVALID, "the URL '%.*s' is wrong: %s", (int)strcspn(url, "?#"), url, why);
}

static bool url_set(CURLU *u, const char *url, unsigned flags, struct err *err)
{
    CURLUcode rc = curl_url_set(u, CURLUPART_URL, url, flags | CURLU_DISALLOW_USER | CURLU_NON_SUPPORT_SCHEME);
    return rc == CURLUE_OK ? true : url_wrong(url, curl_url_strerror(rc), err);
}

/* Copies one part; missing is "". */
static bool url_part(CURLU *u, CURLUPart which, unsigned flags, char *dst, size_t size)
{
    _part_ char *part = NULL;
    dst[0] = '\0';
    if (curl_url_get(u, which, &part, flags) != CURLUE_OK)
        return true;
    return text_format(dst, size, "%s", part);
}

static void lower(char *s)
{
    for (; *s != '\0'; s++)
        if (*s >= 'A' && *s <= 'Z')
            *s = (char)(*s + 32);
}

bool http_url_parse(const char *url, struct http_url *ret_url, struct err *err)
{
    _url_ CURLU *u = check_alloc(curl_url());
    struct http_url parsed = {0};
    char port[8];
    char query[sizeof parsed.path];
    uint64_t number = 0;
    if (!url_set(u, url, 0, err))
        return false;
    if (!url_part(u, CURLUPART_SCHEME, 0, parsed.scheme, sizeof parsed.scheme) ||
        (strcmp(parsed.scheme, "http") != 0 && strcmp(parsed.scheme, "https") != 0))
        return url_wrong(url, "only http:// and https:// are spoken", err);
    if (!url_part(u, CURLUPART_HOST, 0, parsed.host, sizeof parsed.host) || parsed.host[0] == '\0')
        return url_wrong(url, "its host is missing or too long", err);
    if (!url_part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof port) || !text_to_u64(port, &number) ||
        number == 0 || number > 65535)
        return url_wrong(url, "its port is no port", err);
    bool fits = url_part(u, CURLUPART_PATH, 0, parsed.path, sizeof parsed.path) &&
                url_part(u, CURLUPART_QUERY, 0, query, sizeof query);
    size_t len = strlen(parsed.path);
    if (fits && query[0] != '\0')
        fits = text_format(parsed.path + len, sizeof parsed.path - len, "?%s", query);
    if (!fits)
        return url_wrong(url, "its path is too long", err);
    lower(parsed.host);
    parsed.port = (uint16_t)number;
    *ret_url = parsed;
    return true;
}

bool http_url_join(const char *base, const char *location, char *dst, size_t size, struct err *err)
{
    _url_ CURLU *u = check_alloc(curl_url());
    _part_ char *joined = NULL;
    char scheme[8];
    if (!url_set(u, base, 0, err) || !url_set(u, location, CURLU_URLENCODE, err))
        return false;
    if (!url_part(u, CURLUPART_SCHEME, 0, scheme, sizeof scheme) ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
        return url_wrong(location, "only http:// and https:// are spoken", err);
    curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
    CURLUcode rc = curl_url_get(u, CURLUPART_URL, &joined, 0);
    if (rc != CURLUE_OK)
        return url_wrong(location, curl_url_strerror(rc), err);
    if (strlen(joined) >= size)
        return url_wrong(location, "it is too long", err);
    memcpy(dst, joined, strlen(joined) + 1);
    return true;
}
