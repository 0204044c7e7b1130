/* registry: one OCI registry, spoken to by the distribution spec. Auth, manifests, blobs, uploads.
 *
 *   registry_open(ref.registry, &options, &r, err)
 *   registry_get_manifest(r, repo, tag_or_digest, &m, err)       exact bytes, digest checked
 *   registry_open_blob(r, repo, digest, offset, size, &call, err)   then http_call_read
 *   registry_push_blob(...), registry_put_manifest(...)
 *
 * Knows: bearer and basic challenges (one token per scope, renewed once), Docker's credentials
 * (config.json, helpers, DOCKER_USERNAME for Docker Hub only), mirrors for Docker Hub, plain http
 * only for loopback names and hosts in `insecure`, redirects by our rules (credentials dropped on
 * another host, no https→http, at most LIMIT_REDIRECTS), the SSRF rule for realms, Retry-After.
 * Facts: distribution.md 1 and 2.
 * Threads: a registry object belongs to one thread. Errors name host and repository, never secrets.
 */
#ifndef TUG_REGISTRY_H
#define TUG_REGISTRY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "http/client/http_client.h"
#include "oci/digest.h"

struct registry;

struct registry_options {
    const char *bearer_token;    /* replaces all other credentials; NULL: none */
    const char *const *insecure; /* host[:port], NULL-terminated; NULL: none (loopback is always allowed) */
    const char *const *mirrors;  /* of Docker Hub, pull only */
    int cancel_fd;
    /* Called with a sentence before a wait ("registry asks to wait 2 s"); may be NULL. */
    void (*notice)(void *ctx, const char *text);
    void *notice_ctx;
};

struct registry_manifest {
    struct buf bytes;
    char content_type[128];
    char digest[DIGEST_TEXT];
};

bool registry_open(const char *host, const struct registry_options *options, struct registry **ret_r, struct err *err);
void registry_close(struct registry **r);

/* `which`: tag or digest. Only the digest, by HEAD (free at Docker Hub), GET where HEAD has none. */
bool registry_resolve(struct registry *r, const char *repo, const char *which, char ret_digest[DIGEST_TEXT],
                      struct err *err);
/* ERR_NOT_FOUND, ERR_UNAUTHORIZED; HTML or other nonsense: ERR_PROTOCOL. A digest asked for must match the bytes. */
bool registry_get_manifest(struct registry *r, const char *repo, const char *which, struct registry_manifest *ret_m,
                           struct err *err);
void registry_manifest_done(struct registry_manifest *m);

/* The content from `offset` on. Asks for a range when offset > 0; *ret_from is where the body really starts: offset
 * (206 checked exactly), or 0 when the server ignores ranges. */
bool registry_open_blob(struct registry *r, const char *repo, const char *digest, uint64_t offset, uint64_t size,
                        uint64_t *ret_from, struct http_call **ret_call, struct err *err);

bool registry_has_blob(struct registry *r, const char *repo, const char *digest, bool *ret_has, struct err *err);
/* HEAD, mount from `mount_from` (NULL: no try), else POST + one PUT. read gives bytes from any offset on (it is called
 * again from 0 after a failure). progress: bytes sent so far. */
struct registry_upload {
    const char *repo, *digest, *mount_from;
    uint64_t size;
    bool (*read)(void *ctx, uint64_t offset, void *dst, size_t n, struct err *err);
    void (*progress)(void *ctx, uint64_t sent); /* may be NULL */
    void *ctx;
};
bool registry_push_blob(struct registry *r, const struct registry_upload *up, struct err *err);
bool registry_put_manifest(struct registry *r, const char *repo, const char *which, const char *media_type,
                           const void *bytes, size_t n, struct err *err);

#endif
