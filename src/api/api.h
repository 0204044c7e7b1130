/* api: the daemon's HTTP interface. routes.c has every route on one screen; one file per resource.
 *
 *   struct api api = {.store = s, .backends = b, .distribution = d, .logs = ring, …};
 *   struct http_server_config config = {.routes = api_routes, .app = &api, …};
 *   http_server_start(&config, &server, err);
 *
 * Handlers find the context in req->app. It is set before the server starts and outlives it; the
 * api changes nothing in it and owns nothing of it.
 *
 * Inference (openai.c) is a proxy: of the request only `model` is read; the bytes go to the
 * engine's unix socket as they came and its answer comes back as it is. Errors of every route
 * have OpenAI's shape, which differs from DMR on purpose (dmr.md 2.1).
 */
#ifndef TUG_API_H
#define TUG_API_H

#include "http/server/http_server.h"

#include <stdatomic.h>
#include <stdint.h>

struct backends;
struct distribution;
struct http_pools;
struct log_ring;
struct recorder;
struct store;

struct api {
    struct store *store;
    struct backends *backends;
    struct distribution *distribution;
    struct http_pools *upstreams;     /* connections to engines, kept from one request to the next */
    struct recorder *recorder;        /* api/recorder.h: GET /engines/requests; NULL: nothing is recorded */
    struct log_ring *logs;            /* api/log_ring.h: GET /logs; NULL: there are none */
    const char *engine_log_dir;       /* engines' stderr files, as backends_options.log_dir; NULL: none */
    const char *version;              /* "1.1.0" */
    const char *endpoint;             /* "http://127.0.0.1:12434": GET /engines/status and messages */
    _Atomic(const char *) containers; /* the same for containers: "http://172.17.0.1:12434"; NULL: they cannot */
    int64_t start_ns;                 /* clock_now_ns() when the daemon started */
};

extern const struct http_route api_routes[]; /* ends with pattern NULL */

#endif
