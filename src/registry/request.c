/* registry/request.c: one exchange with one endpoint: login, redirects, waits, and what a refusal says. */
#include "registry/registry_state.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/random.h"
#include "platform/socket.h"
#include "json/json_read.h"

#include <stdlib.h>
#include <string.h>

enum { AUTH_BYTES_MAX = 128 * 1024, MESSAGE_MAX = 200 };

void registry_notice(struct registry *r, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list ap;
    if (r->notice == NULL)
        return;
    struct buf b = BUF_INIT(sizeof text);
    va_start(ap, fmt);
    bool fits = buf_vprintf(&b, fmt, ap);
    va_end(ap);
    r->notice(r->notice_ctx, fits ? buf_str(&b) : "the registry asks to wait");
    buf_done(&b);
}

bool registry_is_html(const struct http_call *call)
{
    const char *type = http_call_header(call, "Content-Type");
    char start[10];
    if (type == NULL)
        return false;
    text_format(start, sizeof start, "%s", type);
    return text_equal_nocase(start, "text/html");
}

/* Names were checked by oci/reference; this only makes sure that no other caller can change the path's meaning. */
bool registry_url(const struct endpoint *e, const char *repo, const char *path, char dst[HTTP_URL_MAX], struct err *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
    if (repo[0] == '\0' || repo[0] == '/' || strspn(repo, allowed) != strlen(repo) || strstr(repo, "..") != NULL)
        return err_set(err, ERR_INVALID, "'%.100s' is not the name of a repository", repo);
    if (!text_format(dst, HTTP_URL_MAX, "%s/v2/%s/%s", e->base, repo, path))
        return err_set(err, ERR_INVALID, "the name of a repository is too long");
    return true;
}

/* The first message of {"errors":[{"code","message"}]}, printable and short; "" if there is none. */
static void message_of(struct http_call *call, char dst[MESSAGE_MAX])
{
    _cleanup_(buf_done) struct buf body = BUF_INIT(LIMIT_ERROR_BODY_BYTES);
    _cleanup_(json_free) json_t *root = NULL;
    size_t n = 0;
    dst[0] = '\0';
    if (registry_is_html(call) || !http_call_read_all(call, &body, NULL) ||
        !json_parse(buf_str(&body), body.len, &root, NULL))
        return;
    const json_t *first = json_array_get(json_object_get(root, "errors"), 0);
    const char *text = json_string_value(json_object_get(first, "message"));
    if (text == NULL || text[0] == '\0')
        text = json_string_value(json_object_get(first, "code"));
    for (; text != NULL && text[n] != '\0' && n + 1 < MESSAGE_MAX; n++)
        dst[n] = text[n] >= ' ' && text[n] < 0x7f ? text[n] : '?';
    dst[n] = '\0';
}

static enum err_code code_of(int status)
{
    static const struct {
        int status;
        enum err_code code;
    } rows[] = {
        {401, ERR_UNAUTHORIZED}, {403, ERR_FORBIDDEN},   {404, ERR_NOT_FOUND},   {405, ERR_UNSUPPORTED},
        {408, ERR_UNREACHABLE},  {413, ERR_TOO_LARGE},   {425, ERR_UNREACHABLE}, {429, ERR_BUSY},
        {500, ERR_UNREACHABLE},  {502, ERR_UNREACHABLE}, {503, ERR_UNREACHABLE}, {504, ERR_UNREACHABLE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].status == status)
            return rows[i].code;
    return ERR_PROTOCOL;
}

bool registry_refused(const struct endpoint *e, struct http_call *call, const char *what, struct err *err)
{
    char message[MESSAGE_MAX];
    int status = http_call_status(call);
    enum err_code code = code_of(status);
    message_of(call, message);
    const char *dash = message[0] == '\0' ? "" : ": ";
    if (code == ERR_NOT_FOUND)
        return err_set(err, code, "%s has no %s%s%s", e->name, what, dash, message);
    if (code == ERR_FORBIDDEN)
        return err_set(err, code, "%s forbids access to %s%s%s", e->name, what, dash, message);
    if (code == ERR_BUSY)
        return err_set(err, code,
                       "%s limits how often we may ask%s%s; try again later, or log in with 'docker login %s'", e->name,
                       dash, message, e->name);
    return err_set(err, code, "%s answered with status %d for %s%s%s", e->name, status, what, dash, message);
}

static bool asks_again(int status)
{
    return status == 408 || status == 425 || status == 429 || status == 500 || (status >= 502 && status <= 504);
}

/* Half a second, doubled each time, and up to a quarter more, so that many clients do not come back at once. */
static int64_t backoff_ns(int tries)
{
    int64_t base = (CLOCK_SECOND / 2) << (tries - 1);
    return base + (int64_t)(random_u64() % (uint64_t)(base / 4));
}

/* A cancelled wait is an error. */
static bool wait_for(struct registry *r, int64_t ns, struct err *err)
{
    struct socket_wait wait = {.fd = r->cancel_fd, .want = SOCKET_CLOSED};
    if (socket_wait(&wait, 1, clock_now_ns() + ns) > 0)
        return err_set(err, ERR_CANCELLED, "cancelled: the client went away");
    return true;
}

bool registry_again(struct registry *r, const struct endpoint *e, struct http_call *call, const char *what, bool once,
                    int tries, struct err *err)
{
    int64_t wait = 0;
    char text[TEXT_SHORT_MAX];
    if (call == NULL) {
        if (once || tries >= REGISTRY_TRIES - 1 || (err != NULL && err->code != ERR_UNREACHABLE))
            return false;
        wait = backoff_ns(tries);
        registry_notice(r, "%s does not answer; trying again", e->name);
        return wait_for(r, wait, err);
    }
    bool told = http_call_retry_after(call, &wait);
    if (told)
        text_human_duration(text, wait);
    if (told && wait > REGISTRY_WAIT_S * CLOCK_SECOND)
        return err_set(err, ERR_BUSY, "%s asks us to come back in %s; try again then", e->name, text);
    if (tries >= REGISTRY_TRIES || (once && !told))
        return registry_refused(e, call, what, err);
    if (!told)
        wait = backoff_ns(tries);
    else
        registry_notice(r, "%s asks to wait %s", e->name, text);
    return wait_for(r, wait, err);
}

/* Where a request goes. Another origin than the registry's (an upload's Location) is checked and gets no login. */
static bool target_of(const struct endpoint *e, const struct registry_request *q, char url[HTTP_URL_MAX],
                      char address[HTTP_ADDRESS_MAX], bool *ret_own, struct err *err)
{
    struct http_url to;
    address[0] = '\0';
    *ret_own = true;
    if (q->url == NULL)
        return registry_url(e, q->repo, q->path, url, err);
    if (!text_format(url, HTTP_URL_MAX, "%s", q->url) || !http_url_parse(q->url, &to, err))
        return err_set(err, ERR_PROTOCOL, "%s sends us to something that is not a URL", e->name);
    if (!e->plain && strcmp(to.scheme, "https") != 0)
        return err_set(err, ERR_PROTOCOL, "%s sends us from https to plain http on %s; refused", e->name, to.host);
    *ret_own = http_url_same_origin(&e->url, &to);
    return http_peer_check(&e->url, &to, address, err);
}

/* One try, without judging the status. *ret_own: the answer is the registry's own, not some storage's. */
static bool try_once(struct registry *r, struct endpoint *e, const struct registry_request *q,
                     struct http_call **ret_call, char final[HTTP_URL_MAX], bool *ret_own, struct err *err)
{
    _cleanup_free_ char *url = check_alloc(malloc(HTTP_URL_MAX));
    _cleanup_(buf_done) struct buf auth = BUF_INIT(AUTH_BYTES_MAX);
    char address[HTTP_ADDRESS_MAX];
    const char *headers[ARRAY_LEN(q->headers) + 2] = {NULL};
    size_t n = 0;
    if (!target_of(e, q, url, address, ret_own, err) || !auth_header(r, e, q, &auth, err))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(q->headers) && q->headers[i] != NULL; i++)
        headers[n++] = q->headers[i];
    if (*ret_own && auth.len > 0)
        headers[n++] = auth.data;
    if (q->body_rewind != NULL)
        q->body_rewind(q->body_ctx);
    struct http_call_spec spec = {
        .method = q->method,
        .url = url,
        .headers = headers,
        .body = q->body,
        .body_len = q->body_len,
        .body_read = q->body_read,
        .body_ctx = q->body_ctx,
        .body_size = q->body_size,
        .cancel_fd = r->cancel_fd,
        .stall_timeout_ns = q->stall_ns > 0 ? q->stall_ns : REGISTRY_STALL_S * CLOCK_SECOND,
        .resolve_to = address[0] != '\0' ? address : NULL,
        .ca_file = e->ca_file,
        .pool = r->pool,
    };
    text_format(final, HTTP_URL_MAX, "%s", url);
    bool ok = q->follow ? http_call_follow(&spec, ret_call, final, err) : http_call_open(&spec, ret_call, err);
    if (auth.data != NULL)
        explicit_bzero(auth.data, auth.len);
    struct http_url at;
    if (ok)
        *ret_own = http_url_parse(final, &at, NULL) && http_url_same_origin(&e->url, &at);
    return ok;
}

static void challenges_of(const struct http_call *call, struct challenge *c)
{
    const char *header;
    memset(c, 0, sizeof *c);
    for (size_t i = 0; (header = http_call_header_at(call, "WWW-Authenticate", i)) != NULL; i++)
        challenge_read(header, c);
}

bool registry_send(struct registry *r, struct endpoint *e, const struct registry_request *q,
                   struct http_call **ret_call, char *ret_url, struct err *err)
{
    _cleanup_free_ char *final = check_alloc(malloc(HTTP_URL_MAX));
    _cleanup_free_ struct challenge *c = check_alloc(malloc(sizeof *c));
    int rounds = 0;
    for (int tries = 1;;) {
        struct http_call *call = NULL;
        struct err own = ERR_INIT;
        bool is_own = true;
        bool sent = try_once(r, e, q, &call, final, &is_own, &own);
        int status = sent ? http_call_status(call) : 0;
        bool again = false;
        if (sent && status == 401 && is_own) {
            challenges_of(call, c);
            http_call_close(&call);
            again = auth_answer(r, e, q, c, rounds++, &own);
        } else if (!sent || asks_again(status)) {
            again = registry_again(r, e, call, q->what, q->once, tries++, &own);
            http_call_close(&call);
        } else {
            *ret_call = call;
            if (ret_url != NULL)
                memcpy(ret_url, final, strlen(final) + 1);
            return true;
        }
        if (!again) {
            if (err != NULL)
                *err = own;
            return false;
        }
    }
}
