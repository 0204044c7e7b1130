/* registry/registry_state: what the files of this folder share. Internal.
 *
 * A registry is one or more endpoints: mirrors first (pulls only), the registry itself last. registry_send() makes one
 * exchange with one endpoint, with everything that is the same for all of them: login, redirects, waiting when told to.
 *   endpoint.c  names to endpoints     auth.c     401 to a header     token.c  a realm to a token
 *   request.c   registry_send          manifest_fetch.c, blob.c, upload.c   the operations of registry.h
 */
#ifndef TUG_REGISTRY_STATE_H
#define TUG_REGISTRY_STATE_H

#include "http/client/http_follow.h"
#include "registry/challenge.h"
#include "registry/credentials.h"
#include "registry/registry.h"

enum {
    REGISTRY_MIRRORS_MAX = 8,
    REGISTRY_TOKENS_MAX = 16,
    REGISTRY_SCOPE_MAX = 1200,
    REGISTRY_TRIES = 4,   /* of one exchange, where trying again can help */
    REGISTRY_WAIT_S = 60, /* longer than this we do not wait, we tell */
    REGISTRY_STALL_S = 60,
};

struct token {
    char *scope, *value;
    int64_t expires_ns;
};

struct endpoint {
    char name[300]; /* as the user knows it: "docker.io", "localhost:5000"; also the key of the credentials */
    char base[600]; /* "https://registry-1.docker.io", with a mirror's path, before "/v2/" */
    struct http_url url;
    bool plain; /* http, since it is a loopback name or the user listed it */
    bool mirror;
    char *ca_file;                /* from certs.d; NULL: none */
    bool credential_known, basic; /* basic: it asked for Basic, so that is sent unasked from then on */
    struct credential credential;
    struct token tokens[REGISTRY_TOKENS_MAX];
    size_t n_tokens;
};

struct registry {
    struct endpoint endpoints[REGISTRY_MIRRORS_MAX + 1];
    size_t n_endpoints;
    char *bearer_token;
    int cancel_fd;
    void (*notice)(void *ctx, const char *text);
    void *notice_ctx;
    struct http_pool *pool;
};

/* One exchange. Either path (under /v2/repo/) or url (whole, from a Location). */
struct registry_request {
    const char *method, *repo, *path, *url;
    const char *what;  /* for messages: "ai/x:latest" */
    const char *scope; /* of the token, several by spaces */
    const char *headers[4];
    const void *body;
    size_t body_len;
    ssize_t (*body_read)(void *ctx, void *dst, size_t max);
    void (*body_rewind)(void *ctx); /* before each try */
    void *body_ctx;
    uint64_t body_size;
    bool follow; /* redirects */
    bool pulls;  /* stored credentials that fail may be left out */
    bool once;   /* the caller has its own way to try again; only a stated wait is kept */
    int64_t stall_ns;
};

/* endpoint.c */
bool endpoint_init(struct endpoint *e, const char *host_or_url, const char *const *insecure, struct err *err);
void endpoint_done(struct endpoint *e);

/* auth.c: the Authorization header for a request to e ("" : none), and what to do after a 401: true = try again. */
bool auth_header(struct registry *r, struct endpoint *e, const struct registry_request *q, struct buf *out,
                 struct err *err);
bool auth_answer(struct registry *r, struct endpoint *e, const struct registry_request *q, const struct challenge *c,
                 int round, struct err *err);

/* token.c */
const char *token_find(struct endpoint *e, const char *scope); /* one that still holds, or NULL */
void token_drop(struct endpoint *e, const char *scope);
void token_keep(struct endpoint *e, const char *scope, const char *value, int64_t seconds);
/* credential NULL: anonymous. ERR_UNAUTHORIZED: the realm refused it. */
bool token_fetch(struct registry *r, struct endpoint *e, const struct registry_request *q, const struct challenge *c,
                 const struct credential *credential, struct err *err);
bool token_realm_check(const struct endpoint *e, const char *realm, char ret_address[HTTP_ADDRESS_MAX],
                       struct err *err);

/* request.c */
/* Any status but 401 and those that ask to come again; these are errors. ret_url (HTTP_URL_MAX) may be NULL. */
bool registry_send(struct registry *r, struct endpoint *e, const struct registry_request *q,
                   struct http_call **ret_call, char *ret_url, struct err *err);
/* The answer as an error, with the registry's own message. False. */
bool registry_refused(const struct endpoint *e, struct http_call *call, const char *what, struct err *err);
/* Whether to try again after `call` (NULL: no answer, err says why) and the wait for it; false: err is set. */
bool registry_again(struct registry *r, const struct endpoint *e, struct http_call *call, const char *what, bool once,
                    int tries, struct err *err);
bool registry_url(const struct endpoint *e, const char *repo, const char *path, char dst[HTTP_URL_MAX],
                  struct err *err);
void registry_notice(struct registry *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool registry_is_html(const struct http_call *call);

/* The endpoint that pushes and the last resort of pulls. */
static inline struct endpoint *registry_own(struct registry *r) { return &r->endpoints[r->n_endpoints - 1]; }

/* Runs a pull step on each endpoint until one has it; a cancel ends it. */
bool registry_each(struct registry *r, bool (*step)(struct registry *r, struct endpoint *e, void *ctx, struct err *err),
                   void *ctx, struct err *err);

#endif
