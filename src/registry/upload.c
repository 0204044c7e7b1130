/* registry/upload.c: a blob to a registry: there already? mounted from a neighbour? else POST and one PUT.
 *
 * One PUT works everywhere and costs one request; only a registry that finds it too large (413, 416) gets PATCHes of a
 * size. An unclear end (a cut, a 5xx) is cleared by HEAD: it may be there. Nothing is ever appended to a session whose
 * state we do not know: docker-registry 2.8 takes bytes at a wrong offset without a word (distribution.md 1.7).
 */
#include "registry/registry_state.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "platform/clock.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES      (UINT64_C(64) * 1024 * 1024)
#define CHUNK_BYTES_GHCR (UINT64_C(4) * 1024 * 1024) /* it refuses larger PATCHes */

enum { UPLOAD_TRIES = 3, PUT_STALL_S = 300 }; /* after the last byte a registry hashes and copies before it answers */

/* A part of the blob as a request's body. */
struct source {
    const struct registry_upload *up;
    uint64_t from, at, end;
    struct err failure;
};

static ssize_t source_read(void *ctx, void *dst, size_t max)
{
    struct source *s = ctx;
    uint64_t left = s->end - s->at;
    size_t n = left < max ? (size_t)left : max;
    if (n == 0)
        return 0;
    if (!s->up->read(s->up->ctx, s->at, dst, n, &s->failure))
        return -1;
    s->at += n;
    if (s->up->progress != NULL)
        s->up->progress(s->up->ctx, s->at);
    return (ssize_t)n;
}

static void source_rewind(void *ctx)
{
    struct source *s = ctx;
    s->at = s->from;
}

struct upload {
    struct registry *r;
    struct endpoint *e;
    const struct registry_upload *up;
    char what[600], scope[REGISTRY_SCOPE_MAX];
    char location[HTTP_URL_MAX]; /* of the session */
    uint64_t chunk_min;
    bool chunked;
};

static bool location_take(struct upload *u, struct http_call *call, const char *base, struct err *err)
{
    const char *location = http_call_header(call, "Location");
    char next[HTTP_URL_MAX];
    if (location == NULL || !http_url_join(base, location, next, sizeof next, err))
        return err_set(err, ERR_PROTOCOL, "%s began an upload but does not say where", u->e->name);
    memcpy(u->location, next, sizeof next);
    return true;
}

/* POST: *ret_done when it was mounted, else a session is open. */
static bool session_begin(struct upload *u, bool mount, bool *ret_done, struct err *err)
{
    char path[600];
    char base[HTTP_URL_MAX];
    struct http_call *call = NULL;
    if (mount)
        text_format(path, sizeof path, "blobs/uploads/?mount=%s&from=%s", u->up->digest, u->up->mount_from);
    else
        text_format(path, sizeof path, "blobs/uploads/");
    if ((mount && !registry_url(u->e, u->up->mount_from, path, base, err)) ||
        !registry_url(u->e, u->up->repo, path, base, err)) /* both names are checked by it */
        return false;
    struct registry_request q = {
        .method = "POST", .repo = u->up->repo, .path = path, .what = u->what, .scope = u->scope};
    if (!registry_send(u->r, u->e, &q, &call, NULL, err))
        return false;
    int status = http_call_status(call);
    const char *minimum = http_call_header(call, "OCI-Chunk-Min-Length");
    bool ok = status == 202 || status == 201;
    *ret_done = mount && status == 201;
    if (minimum == NULL || !text_to_u64(minimum, &u->chunk_min))
        u->chunk_min = 0;
    if (!ok)
        registry_refused(u->e, call, u->what, err);
    else if (!*ret_done)
        ok = location_take(u, call, base, err);
    http_call_close(&call);
    return ok;
}

/* Where a part goes; the last one says the digest, after what the session's address has in it already. */
static bool part_url(const struct upload *u, bool last, char url[HTTP_URL_MAX], struct err *err)
{
    bool fits = last ? text_format(url, HTTP_URL_MAX, "%s%cdigest=sha256%%3A%s", u->location,
                                   strchr(u->location, '?') == NULL ? '?' : '&', digest_hex(u->up->digest))
                     : text_format(url, HTTP_URL_MAX, "%s", u->location);
    return fits ? true : err_set(err, ERR_PROTOCOL, "%s gave an upload address that is too long", u->e->name);
}

static bool part_judge(struct upload *u, struct http_call *call, bool last, const char *url, struct err *err)
{
    int status = http_call_status(call);
    if (last)
        return status == 201 || status == 200 || status == 204 || registry_refused(u->e, call, u->what, err);
    if (status != 202 && status != 204)
        return registry_refused(u->e, call, u->what, err);
    return location_take(u, call, url, err);
}

/* Sends [from, end) with PATCH or, as the last, with PUT. *ret_status: see session_fill. */
static bool part_send(struct upload *u, uint64_t from, uint64_t end, bool last, int *ret_status, struct err *err)
{
    _cleanup_free_ char *url = check_alloc(calloc(1, HTTP_URL_MAX));
    char range[64];
    struct source source = {.up = u->up, .from = from, .at = from, .end = end};
    struct http_call *call = NULL;
    if (!part_url(u, last, url, err))
        return false;
    text_format(range, sizeof range, "Content-Range: %llu-%llu", (unsigned long long)from, (unsigned long long)end - 1);
    struct registry_request q = {
        .method = last ? "PUT" : "PATCH",
        .repo = u->up->repo,
        .url = url,
        .what = u->what,
        .scope = u->scope,
        .headers = {"Content-Type: application/octet-stream", u->chunked && end > from ? range : NULL},
        .body_read = end > from ? source_read : NULL,
        .body_rewind = source_rewind,
        .body_ctx = &source,
        .body_size = end - from,
        .once = true,
        .stall_ns = PUT_STALL_S * CLOCK_SECOND,
    };
    if (!registry_send(u->r, u->e, &q, &call, NULL, err)) {
        if (source.failure.code != ERR_NONE)
            *err = source.failure;
        return false;
    }
    *ret_status = http_call_status(call);
    bool ok = part_judge(u, call, last, url, err);
    http_call_close(&call);
    return ok;
}

static uint64_t chunk_of(const struct upload *u)
{
    uint64_t chunk = strcmp(u->e->name, "ghcr.io") == 0 ? CHUNK_BYTES_GHCR : CHUNK_BYTES;
    return u->chunk_min > chunk && u->chunk_min < u->up->size ? u->chunk_min : chunk;
}

/* All of the blob into the open session. *ret_status: of the answer that failed, 0 if there was none. */
static bool session_fill(struct upload *u, int *ret_status, struct err *err)
{
    uint64_t from = 0;
    while (u->chunked && u->up->size - from > chunk_of(u)) {
        if (!part_send(u, from, from + chunk_of(u), false, ret_status, err))
            return false;
        from += chunk_of(u);
    }
    return part_send(u, from, u->up->size, true, ret_status, err);
}

/* After a failed try: is it of use to try again? */
static bool worth_again(struct upload *u, int status, int tries, struct err *err)
{
    if (tries >= UPLOAD_TRIES)
        return false;
    if ((status == 413 || status == 416) && !u->chunked) {
        u->chunked = true;
        return true;
    }
    if (err->code == ERR_UNREACHABLE)
        return registry_again(u->r, u->e, NULL, u->what, false, tries, err);
    return status == 404 || status == 416; /* the session is gone */
}

/* Sessions until one has taken the blob. */
static bool upload_send(struct upload *u, bool mount, struct err *err)
{
    for (int tries = 1;; tries++) {
        int status = 0;
        bool has = false;
        if (!session_begin(u, mount && tries == 1, &has, err))
            return false;
        if (has || session_fill(u, &status, err))
            return true;
        struct err unclear = ERR_INIT;
        if (err->code == ERR_UNREACHABLE && registry_has_blob(u->r, u->up->repo, u->up->digest, &has, &unclear) && has)
            return true;
        if (!worth_again(u, status, tries, err))
            return false;
    }
}

bool registry_push_blob(struct registry *r, const struct registry_upload *up, struct err *err)
{
    _cleanup_free_ struct upload *u = check_alloc(calloc(1, sizeof *u));
    struct err own = ERR_INIT;
    bool has = false;
    bool mount = up->mount_from != NULL && strcmp(up->mount_from, up->repo) != 0;
    u->r = r;
    u->e = registry_own(r);
    u->up = up;
    text_format(u->what, sizeof u->what, "%s@%s", up->repo, up->digest);
    text_format(u->scope, sizeof u->scope, "repository:%s:pull,push", up->repo);
    bool ok = registry_has_blob(r, up->repo, up->digest, &has, &own);
    if (mount)
        text_format(u->scope, sizeof u->scope, "repository:%s:pull,push repository:%s:pull", up->repo, up->mount_from);
    if (ok && !has)
        ok = upload_send(u, mount, &own);
    if (!ok) {
        if (err != NULL)
            *err = own;
        return err_while(err, "pushing to %s", u->e->name);
    }
    if (up->progress != NULL)
        up->progress(up->ctx, up->size);
    return true;
}
