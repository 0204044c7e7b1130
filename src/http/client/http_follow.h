/* http/client/http_follow: redirects by our rules, and who may send us where.
 *
 *   http_call_follow(&spec, &call, url, err)      as http_call_open; url: where the answer came from
 *
 * For GET and HEAD; 301, 302, 303, 307 and 308, at most LIMIT_REDIRECTS. Authorization, Cookie and Proxy-Authorization
 * are dropped once scheme, host or port changes, and stay dropped. https never becomes http. A redirect to another host
 * must pass http_peer_check, and only the addresses that passed are dialled.
 */
#ifndef TUG_HTTP_FOLLOW_H
#define TUG_HTTP_FOLLOW_H

#include "http/client/http_client.h"

enum { HTTP_URL_MAX = 8192, HTTP_ADDRESS_MAX = 256 };

/* ret_url: HTTP_URL_MAX bytes, or NULL. Other statuses than the redirects above are the caller's. ERR_PROTOCOL: a rule
 * was broken. */
bool http_call_follow(const struct http_call_spec *spec, struct http_call **ret_call, char *ret_url, struct err *err);

/* Whether an answer of `from` may send us to `to`: the same host always; another one only if it has a public address,
 * or one in the kind of network (loopback, private …) where `from` itself is. *ret_address: what to dial (resolve_to,
 * the first few that passed), "" when it need not be fixed. ERR_FORBIDDEN names the host. Behind a proxy the proxy
 * resolves, and nothing is checked. */
bool http_peer_check(const struct http_url *from, const struct http_url *to, char ret_address[HTTP_ADDRESS_MAX],
                     struct err *err);
bool http_url_same_origin(const struct http_url *a, const struct http_url *b); /* scheme, host and port */

/* Retry-After in seconds or as a date, from now on. False: none, or nonsense. Never negative. */
bool http_call_retry_after(const struct http_call *call, int64_t *ret_ns);

#endif
