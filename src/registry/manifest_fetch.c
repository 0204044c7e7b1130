/* registry/manifest_fetch.c: manifests: their digest, their exact bytes, and putting them. */
#include "registry/registry_state.h"

#include "base/limits.h"
#include "base/text.h"
#include "oci/manifest.h"

#include <string.h>

static const char accept_all[] =
    "Accept: " OCI_TYPE_MANIFEST ", " OCI_TYPE_INDEX ", " OCI_TYPE_DOCKER_MANIFEST ", " OCI_TYPE_DOCKER_LIST;

/* A tag or a digest as part of a path, and the name for messages. */
static bool name_manifest(const char *repo, const char *which, char path[256], char what[600], struct err *err)
{
    bool digest = strchr(which, ':') != NULL;
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (digest ? !digest_valid(which) : (which[0] == '\0' || strspn(which, allowed) != strlen(which)))
        return err_set(err, ERR_INVALID, "'%.100s' is neither a tag nor a sha256 digest", which);
    text_format(what, 600, "%s%s%s", repo, digest ? "@" : ":", which);
    if (!text_format(path, 256, "manifests/%s", which))
        return err_set(err, ERR_INVALID, "a tag is longer than 128 characters");
    return true;
}

static void scope_of(const char *repo, const char *actions, char scope[REGISTRY_SCOPE_MAX])
{
    text_format(scope, REGISTRY_SCOPE_MAX, "repository:%s:%s", repo, actions);
}

struct wanted {
    const char *repo, *which;
    struct registry_manifest *manifest; /* NULL: only the digest, by HEAD */
    char digest[DIGEST_TEXT];
    bool head_failed; /* this endpoint has no digest in its HEAD */
};

static bool digest_agrees(const struct endpoint *e, const struct http_call *call, const struct wanted *w,
                          const char *digest, const char *what, struct err *err)
{
    const char *said = http_call_header(call, "Docker-Content-Digest");
    if (strchr(w->which, ':') != NULL && strcmp(w->which, digest) != 0)
        return err_set(err, ERR_PROTOCOL, "%s sent a manifest for %s whose digest is %s", e->name, what, digest);
    if (said != NULL && digest_valid(said) && strcmp(said, digest) != 0)
        return err_set(err, ERR_PROTOCOL, "%s sent a manifest for %s that does not match the digest it names", e->name,
                       what);
    return true;
}

static bool body_take(const struct endpoint *e, struct http_call *call, struct wanted *w, const char *what,
                      struct err *err)
{
    struct registry_manifest m = {.bytes = BUF_INIT(LIMIT_MANIFEST_BYTES)};
    const char *type = http_call_header(call, "Content-Type");
    bool ok = http_call_read_all(call, &m.bytes, err);
    if (ok && (m.bytes.len == 0 || m.bytes.data[strspn(m.bytes.data, " \t\r\n")] != '{'))
        ok = err_set(err, ERR_PROTOCOL, "%s sent no manifest for %s", e->name, what);
    if (ok) {
        digest_of(m.bytes.data, m.bytes.len, m.digest);
        ok = digest_agrees(e, call, w, m.digest, what, err);
    }
    if (!ok) {
        buf_done(&m.bytes);
        return false;
    }
    if (type != NULL)
        text_format(m.content_type, sizeof m.content_type, "%.*s", (int)strcspn(type, "; \t"), type);
    *w->manifest = m;
    return true;
}

/* GET on one endpoint. */
static bool fetch_step(struct registry *r, struct endpoint *e, void *ctx, struct err *err)
{
    struct wanted *w = ctx;
    char path[256];
    char what[600];
    char scope[REGISTRY_SCOPE_MAX];
    struct http_call *call = NULL;
    if (!name_manifest(w->repo, w->which, path, what, err))
        return false;
    scope_of(w->repo, "pull", scope);
    struct registry_request q = {.method = "GET",
                                 .repo = w->repo,
                                 .path = path,
                                 .what = what,
                                 .scope = scope,
                                 .headers = {accept_all},
                                 .follow = true,
                                 .pulls = true};
    if (!registry_send(r, e, &q, &call, NULL, err))
        return false;
    bool ok = false;
    if (registry_is_html(call))
        err_set(err, ERR_PROTOCOL, "%s answered with a web page (HTML, status %d): is it a registry?", e->name,
                http_call_status(call));
    else if (http_call_status(call) != 200)
        registry_refused(e, call, what, err);
    else
        ok = body_take(e, call, w, what, err);
    http_call_close(&call);
    return ok;
}

/* HEAD on one endpoint; where that gives no digest, GET (it counts as a pull, but it always works). */
static bool resolve_step(struct registry *r, struct endpoint *e, void *ctx, struct err *err)
{
    struct wanted *w = ctx;
    char path[256];
    char what[600];
    char scope[REGISTRY_SCOPE_MAX];
    struct http_call *call = NULL;
    struct registry_manifest m = {0};
    if (!name_manifest(w->repo, w->which, path, what, err))
        return false;
    scope_of(w->repo, "pull", scope);
    struct registry_request q = {.method = "HEAD",
                                 .repo = w->repo,
                                 .path = path,
                                 .what = what,
                                 .scope = scope,
                                 .headers = {accept_all},
                                 .follow = true,
                                 .pulls = true};
    if (!registry_send(r, e, &q, &call, NULL, err))
        return false;
    int status = http_call_status(call);
    const char *said = http_call_header(call, "Docker-Content-Digest");
    bool ok = status == 200 && said != NULL && digest_valid(said) && !registry_is_html(call);
    if (ok)
        memcpy(w->digest, said, DIGEST_TEXT);
    bool missing = status == 404;
    if (missing)
        registry_refused(e, call, what, err);
    http_call_close(&call);
    if (missing || ok)
        return ok && (strchr(w->which, ':') == NULL || strcmp(w->which, w->digest) == 0 ||
                      err_set(err, ERR_PROTOCOL, "%s names another digest for %s", e->name, what));
    w->manifest = &m;
    ok = fetch_step(r, e, w, err);
    w->manifest = NULL;
    if (ok)
        memcpy(w->digest, m.digest, DIGEST_TEXT);
    buf_done(&m.bytes);
    return ok;
}

bool registry_resolve(struct registry *r, const char *repo, const char *which, char ret_digest[DIGEST_TEXT],
                      struct err *err)
{
    struct wanted w = {.repo = repo, .which = which};
    if (!registry_each(r, resolve_step, &w, err))
        return false;
    memcpy(ret_digest, w.digest, DIGEST_TEXT);
    return true;
}

bool registry_get_manifest(struct registry *r, const char *repo, const char *which, struct registry_manifest *ret_m,
                           struct err *err)
{
    struct wanted w = {.repo = repo, .which = which, .manifest = ret_m};
    return registry_each(r, fetch_step, &w, err);
}

void registry_manifest_done(struct registry_manifest *m) { buf_done(&m->bytes); }

bool registry_put_manifest(struct registry *r, const char *repo, const char *which, const char *media_type,
                           const void *bytes, size_t n, struct err *err)
{
    struct endpoint *e = registry_own(r);
    char path[256];
    char what[600];
    char scope[REGISTRY_SCOPE_MAX];
    char type[160];
    char digest[DIGEST_TEXT];
    struct http_call *call = NULL;
    if (!name_manifest(repo, which, path, what, err))
        return false;
    if (!text_format(type, sizeof type, "Content-Type: %s", media_type))
        return err_set(err, ERR_INVALID, "the media type of %s is too long", what);
    scope_of(repo, "pull,push", scope);
    digest_of(bytes, n, digest);
    struct registry_request q = {.method = "PUT",
                                 .repo = repo,
                                 .path = path,
                                 .what = what,
                                 .scope = scope,
                                 .headers = {type},
                                 .body = bytes,
                                 .body_len = n};
    if (!registry_send(r, e, &q, &call, NULL, err))
        return err_while(err, "pushing %s", what);
    int status = http_call_status(call);
    const char *said = http_call_header(call, "Docker-Content-Digest");
    bool ok = status == 201 || status == 200 || status == 202 || status == 204;
    if (!ok)
        registry_refused(e, call, what, err);
    else if (said != NULL && digest_valid(said) && strcmp(said, digest) != 0)
        ok = err_set(err, ERR_PROTOCOL, "%s stored another manifest than we sent", e->name);
    http_call_close(&call);
    return ok ? true : err_while(err, "pushing %s", what);
}
