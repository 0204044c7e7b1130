/* registry/blob.c: blobs: are they there, and their bytes from an offset on (distribution.md 1.3). */
#include "registry/registry_state.h"

#include "base/text.h"
#include "platform/clock.h"

#include <string.h>

enum { BLOB_STALL_S = 30 };

static bool name_blob(const char *repo, const char *digest, char path[96], char what[600], struct err *err)
{
    if (!digest_valid(digest))
        return err_set(err, ERR_INVALID, "'%.100s' is not a sha256 digest", digest);
    text_format(path, 96, "blobs/%s", digest);
    text_format(what, 600, "%s@%s", repo, digest);
    return true;
}

struct range_wanted {
    const char *repo, *digest;
    uint64_t offset, size;
    uint64_t from;
    struct http_call *call;
};

/* "bytes 5-9/10", exactly what was asked; the total may be "*". */
static bool content_range_is(const char *text, uint64_t first, uint64_t size)
{
    char part[96];
    char total[32];
    text_format(part, sizeof part, "bytes %llu-%llu/", (unsigned long long)first, (unsigned long long)size - 1);
    text_format(total, sizeof total, "%llu", (unsigned long long)size);
    if (text == NULL || !text_starts(text, part))
        return false;
    text += strlen(part);
    return strcmp(text, total) == 0 || strcmp(text, "*") == 0;
}

/* A 200: the whole blob, if nothing speaks against it. */
static bool whole_ok(const struct endpoint *e, const struct http_call *call, const struct range_wanted *w,
                     const char *what, struct err *err)
{
    const char *length = http_call_header(call, "Content-Length");
    uint64_t n = 0;
    if (registry_is_html(call))
        return err_set(err, ERR_PROTOCOL,
                       "%s answered with a web page (HTML) in place of %s; is a proxy or a login page between?",
                       e->name, what);
    if (length != NULL && text_to_u64(length, &n) && n != w->size)
        return err_set(err, ERR_PROTOCOL, "%s has %llu bytes for %s; the manifest says that its size is %llu", e->name,
                       (unsigned long long)n, what, (unsigned long long)w->size);
    return true;
}

static bool plain_encoding(const struct http_call *call)
{
    const char *encoding = http_call_header(call, "Content-Encoding");
    return encoding == NULL || encoding[0] == '\0' || text_equal_nocase(encoding, "identity");
}

/* What the answer to a GET from `offset` means. *ret_whole: this server cannot do ranges, ask for all. */
static bool range_judge(struct endpoint *e, struct http_call *call, struct range_wanted *w, uint64_t offset,
                        bool is_own, const char *what, bool *ret_whole, struct err *err)
{
    int status = http_call_status(call);
    if ((status == 200 || status == 206) && !plain_encoding(call))
        return err_set(err, ERR_PROTOCOL, "%s sent %s compressed, though asked for it plain", e->name, what);
    if (status == 200) {
        w->from = 0;
        return whole_ok(e, call, w, what, err);
    }
    if (status == 206 && content_range_is(http_call_header(call, "Content-Range"), offset, w->size)) {
        w->from = offset;
        return true;
    }
    if (status == 206)
        return err_set(err, ERR_PROTOCOL, "%s sent another part of %s than was asked for", e->name, what);
    if (status == 416 && offset > 0) { /* its body's length lies (docker-registry 2.8): nothing of it is read */
        *ret_whole = true;
        return false;
    }
    if (!is_own && status >= 400 && status < 500) /* a signed address that has expired: the next try gets a new one */
        return err_set(err, ERR_UNREACHABLE, "the storage behind %s answered with status %d for %s", e->name, status,
                       what);
    return registry_refused(e, call, what, err);
}

static bool open_step(struct registry *r, struct endpoint *e, void *ctx, struct err *err)
{
    struct range_wanted *w = ctx;
    char path[96];
    char what[600];
    char scope[REGISTRY_SCOPE_MAX];
    char range[80];
    char url[HTTP_URL_MAX];
    uint64_t offset = w->offset;
    if (!name_blob(w->repo, w->digest, path, what, err))
        return false;
    text_format(scope, sizeof scope, "repository:%s:pull", w->repo);
    for (;;) {
        struct http_call *call = NULL;
        struct http_url at;
        bool whole = false;
        text_format(range, sizeof range, "Range: bytes=%llu-%llu", (unsigned long long)offset,
                    (unsigned long long)w->size - 1);
        struct registry_request q = {.method = "GET",
                                     .repo = w->repo,
                                     .path = path,
                                     .what = what,
                                     .scope = scope,
                                     .headers = {offset > 0 ? range : NULL},
                                     .follow = true,
                                     .pulls = true,
                                     .once = true,
                                     .stall_ns = BLOB_STALL_S * CLOCK_SECOND};
        if (!registry_send(r, e, &q, &call, url, err))
            return false;
        bool is_own = http_url_parse(url, &at, NULL) && http_url_same_origin(&e->url, &at);
        if (range_judge(e, call, w, offset, is_own, what, &whole, err)) {
            w->call = call;
            return true;
        }
        http_call_close(&call);
        if (!whole)
            return false;
        offset = 0;
    }
}

bool registry_open_blob(struct registry *r, const char *repo, const char *digest, uint64_t offset, uint64_t size,
                        uint64_t *ret_from, struct http_call **ret_call, struct err *err)
{
    struct range_wanted w = {.repo = repo, .digest = digest, .offset = offset, .size = size};
    if (offset > 0 && offset >= size)
        return err_set(err, ERR_INVALID, "%s has %llu bytes, none from %llu on", digest, (unsigned long long)size,
                       (unsigned long long)offset);
    if (!registry_each(r, open_step, &w, err))
        return false;
    *ret_from = w.from;
    *ret_call = w.call;
    return true;
}

bool registry_has_blob(struct registry *r, const char *repo, const char *digest, bool *ret_has, struct err *err)
{
    char path[96];
    char what[600];
    char scope[REGISTRY_SCOPE_MAX];
    struct http_call *call = NULL;
    struct endpoint *e = registry_own(r);
    if (!name_blob(repo, digest, path, what, err))
        return false;
    text_format(scope, sizeof scope, "repository:%s:pull,push", repo);
    struct registry_request q = {.method = "HEAD", .repo = repo, .path = path, .what = what, .scope = scope};
    if (!registry_send(r, e, &q, &call, NULL, err))
        return false;
    /* A redirect to storage says yes; storage itself often refuses HEAD, so it is not asked. Any other answer is a no:
     * the worst that follows is an upload that was not needed. */
    int status = http_call_status(call);
    *ret_has = status == 200 || status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    bool ok = status != 403 || registry_refused(e, call, what, err);
    http_call_close(&call);
    return ok;
}
