/* http/server/guard.c: who may ask: the Host, the Origin and the key of a request.
 *
 * A page of any site can make its visitor's browser send requests to this machine. Two things
 * betray it: with DNS rebinding the Host is the site's own name; otherwise the Origin is.
 */
#include "base/text.h"
#include "http/server/exchange.h"
#include "platform/socket.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>

enum { HOST_MAX = 256 };

/* The name of "name", "name:80", "[::1]:80", without brackets and port. False: not such a thing. */
static bool host_split(const char *text, char name[HOST_MAX])
{
    const char *begin = text;
    size_t len = strcspn(text, ":");
    const char *rest = text + len;
    if (text[0] == '[') {
        begin = text + 1;
        len = strcspn(begin, "]");
        if (begin[len] != ']')
            return false;
        rest = begin + len + 1;
    }
    if (len == 0 || len >= HOST_MAX || (*rest != '\0' && *rest != ':'))
        return false;
    if (*rest == ':' && rest[1 + strspn(rest + 1, "0123456789")] != '\0')
        return false;
    memcpy(name, begin, len);
    name[len] = '\0';
    return true;
}

/* 4 or 16, the length of the address; 0: a name. */
static size_t host_address(const char *name, unsigned char bytes[16])
{
    if (inet_pton(AF_INET, name, bytes) == 1)
        return 4;
    return inet_pton(AF_INET6, name, bytes) == 1 ? 16 : 0;
}

/* The address that the listener is bound to. Bound to all: each literal address is ours, since a rebinding site has a
 * name. */
static bool host_is_bound(const struct http_listener *listener, const char *name)
{
    static const unsigned char any[16];
    unsigned char ours[16], asked[16];
    size_t n_ours = host_address(listener->host, ours);
    size_t n_asked = host_address(name, asked);
    if (n_ours == 0 || n_asked == 0)
        return false;
    return memcmp(ours, any, n_ours) == 0 || (n_ours == n_asked && memcmp(ours, asked, n_ours) == 0);
}

static bool list_has(const char *const *list, const char *text)
{
    for (; list != NULL && *list != NULL; list++)
        if (strcmp(*list, "*") == 0 || text_equal_nocase(*list, text))
            return true;
    return false;
}

/* What containers call this machine: by Docker's convention, and by the extra_hosts line of our examples. No site of
 * the internet can have one of these names: a single label, and the reserved top-level domain `internal`. */
static bool host_is_for_containers(const char *name)
{
    static const char *const names[] = {"model-runner", "model-runner.docker.internal", "host.docker.internal",
                                        "gateway.docker.internal"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (text_equal_nocase(name, names[i]))
            return true;
    return false;
}

bool guard_host(const struct http_listener *listener, const char *host, struct err *err)
{
    char name[HOST_MAX];
    const char *const *allowed = listener->server->config.allowed_hosts;
    if (listener->is_unix || host == NULL) /* no browser reaches a unix socket, none speaks HTTP/1.0 */
        return true;
    if (host_split(host, name) && (socket_is_loopback(name) || host_is_bound(listener, name) ||
                                   host_is_for_containers(name) || list_has(allowed, name)))
        return true;
    if (list_has(allowed, host))
        return true;
    return err_set(err, ERR_FORBIDDEN, "the Host '%.200s' is not a name of this server; allow it with --allowed-host",
                   host);
}

static bool origin_is_local(const char *origin)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "::1"};
    char name[HOST_MAX];
    const char *host = strstr(origin, "://");
    if (host == NULL || !host_split(host + 3, name))
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (text_equal_nocase(name, names[i]))
            return true;
    return false;
}

bool guard_origin(const struct http_server *server, const char *origin, const char *host, struct err *err)
{
    bool web = text_starts(origin, "http://") || text_starts(origin, "https://");
    if (web && origin_is_local(origin))
        return true;
    if (web && host != NULL && strcmp(strstr(origin, "://") + 3, host) == 0) /* our own page: Host was checked before */
        return true;
    if (list_has(server->config.allowed_origins, origin))
        return true;
    return err_set(err, ERR_FORBIDDEN,
                   "pages of the origin '%.200s' may not use this server; allow it with --allowed-origin", origin);
}

static bool key_equal(const char *key, const char *given)
{
    size_t n = strlen(key);
    return strlen(given) == n && CRYPTO_memcmp(key, given, n) == 0;
}

bool guard_key(const struct http_server *server, const struct http_request *req, struct err *err)
{
    const char *key = server->config.api_key;
    if (key == NULL)
        return true;
    const char *bearer = http_header(req, "Authorization");
    const char *bare = http_header(req, "X-Api-Key");
    if (bearer != NULL && strncasecmp(bearer, "Bearer ", 7) == 0 && key_equal(key, bearer + 7))
        return true;
    if (bare != NULL && key_equal(key, bare))
        return true;
    bool given = bearer != NULL || bare != NULL;
    return err_set(err, ERR_UNAUTHORIZED,
                   given ? "the API key is wrong" : "an API key is needed: send 'Authorization: Bearer KEY'");
}

void guard_preflight(struct http_exchange *ex)
{
    const char *headers = http_header(&ex->req, "Access-Control-Request-Headers");
    http_set_header(&ex->req, "Access-Control-Allow-Methods", "GET, POST, PUT, DELETE");
    http_set_header(&ex->req, "Access-Control-Allow-Headers", headers != NULL ? headers : "*");
    http_set_header(&ex->req, "Access-Control-Max-Age", "600");
    reply_empty(ex, MHD_HTTP_NO_CONTENT);
}
