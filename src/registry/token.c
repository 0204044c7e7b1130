/* registry/token.c: from a challenge to a bearer token, kept by scope (distribution.md 1.4, 1.5).
 *
 * The realm's address comes from a stranger. It is judged before it is dialled, exactly the judged address is dialled,
 * its answer is read to a limit and never shown (CVE-2026-33990 was a daemon that did neither).
 */
#include "registry/registry_state.h"

#include "base/base64.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/address.h"
#include "platform/clock.h"
#include "json/json_read.h"

#include <stdlib.h>
#include <string.h>

enum { TOKEN_BYTES_MAX = 64 * 1024, TOKEN_SECONDS = 60, TOKEN_MARGIN_S = 60, TOKEN_HOPS = 3 };

static struct token *token_at(struct endpoint *e, const char *scope)
{
    for (size_t i = 0; i < e->n_tokens; i++)
        if (strcmp(e->tokens[i].scope, scope) == 0)
            return &e->tokens[i];
    return NULL;
}

const char *token_find(struct endpoint *e, const char *scope)
{
    struct token *t = token_at(e, scope);
    return t != NULL && t->expires_ns > clock_now_ns() ? t->value : NULL;
}

void token_drop(struct endpoint *e, const char *scope)
{
    struct token *t = token_at(e, scope);
    if (t == NULL)
        return;
    explicit_bzero(t->value, strlen(t->value));
    free(t->value);
    free(t->scope);
    *t = e->tokens[--e->n_tokens];
}

void token_keep(struct endpoint *e, const char *scope, const char *value, int64_t seconds)
{
    token_drop(e, scope);
    if (e->n_tokens == REGISTRY_TOKENS_MAX)
        token_drop(e, e->tokens[0].scope);
    /* Renewed a while before its end; a very short one would otherwise never be used at all. */
    int64_t margin = seconds / 4 < TOKEN_MARGIN_S ? seconds / 4 : TOKEN_MARGIN_S;
    e->tokens[e->n_tokens++] = (struct token){
        .scope = check_alloc(strdup(scope)),
        .value = check_alloc(strdup(value)),
        .expires_ns = clock_now_ns() + (seconds - margin) * CLOCK_SECOND,
    };
}

/* Of a list as http_peer_check gives it; an empty one may be anything. */
static bool has_public(const char *addresses)
{
    char copy[HTTP_ADDRESS_MAX];
    char *rest = copy;
    text_format(copy, sizeof copy, "%s", addresses);
    bool found = copy[0] == '\0';
    for (const char *one; (one = strtok_r(rest, ",", &rest)) != NULL;)
        found = found || address_class_of(one) == ADDRESS_PUBLIC;
    return found;
}

bool token_realm_check(const struct endpoint *e, const char *realm, char ret_address[HTTP_ADDRESS_MAX], struct err *err)
{
    struct http_url url;
    if (!http_url_parse(realm, &url, NULL))
        return err_set(err, ERR_PROTOCOL, "%s asks us to log in at something that is not a URL", e->name);
    bool http = strcmp(url.scheme, "http") == 0;
    if (http && !e->plain)
        return err_set(err, ERR_FORBIDDEN, "%s asks us to log in over plain http at %s; refused", e->name, url.host);
    if (!http_peer_check(&e->url, &url, ret_address, err))
        return err_while(err, "logging in at %s", e->name);
    if (http && strcmp(url.host, e->url.host) != 0 && has_public(ret_address))
        return err_set(err, ERR_FORBIDDEN, "%s asks us to log in over plain http at %s; refused", e->name, url.host);
    return true;
}

/* NAME=value with what is not unreserved percent-encoded. */
static void form_add(struct buf *b, const char *name, const char *value)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    if (b->len > 0 && b->data[b->len - 1] != '?' && b->data[b->len - 1] != '&')
        buf_add_char(b, '&');
    buf_printf(b, "%s=", name);
    for (const char *p = value; *p != '\0'; p++) {
        if (strchr(plain, *p) != NULL)
            buf_add_char(b, *p);
        else
            buf_printf(b, "%%%02X", (unsigned char)*p);
    }
}

/* Each scope of a list on its own, as the GET form wants them. */
static void form_add_scopes(struct buf *b, const char *scopes)
{
    while (*scopes != '\0') {
        char one[REGISTRY_SCOPE_MAX];
        size_t n = strcspn(scopes, " ");
        if (n > 0 && text_format(one, sizeof one, "%.*s", (int)n, scopes))
            form_add(b, "scope", one);
        scopes += n + strspn(scopes + n, " ");
    }
}

/* The challenge's own scope, but ours where a push needs more than it names: it was made for the HEAD before. */
static const char *scope_to_ask(const struct challenge *c, const struct registry_request *q)
{
    return c->scope[0] == '\0' || (!q->pulls && strstr(c->scope, "push") == NULL) || strchr(q->scope, ' ') != NULL
               ? q->scope
               : c->scope;
}

struct token_ask {
    struct buf url, form, basic;
    bool post;
};

static void token_ask_done(struct token_ask *a)
{
    if (a->form.data != NULL)
        explicit_bzero(a->form.data, a->form.len);
    if (a->basic.data != NULL)
        explicit_bzero(a->basic.data, a->basic.len);
    buf_done(&a->url);
    buf_done(&a->form);
    buf_done(&a->basic);
}

/* GET with Basic for names and passwords, POST for identity tokens: that works with all registries (1.4). */
static void token_ask_build(struct token_ask *a, const struct challenge *c, const char *scope,
                            const struct credential *credential)
{
    a->url = BUF_INIT(HTTP_URL_MAX);
    a->form = BUF_INIT(TOKEN_BYTES_MAX + HTTP_URL_MAX);
    a->basic = BUF_INIT(TOKEN_BYTES_MAX);
    buf_add_str(&a->url, c->realm);
    if (credential != NULL && credential->identity != NULL) {
        a->post = true;
        form_add(&a->form, "grant_type", "refresh_token");
        form_add(&a->form, "refresh_token", credential->identity);
        form_add(&a->form, "service", c->service);
        form_add(&a->form, "client_id", "tug");
        form_add(&a->form, "scope", scope);
        return;
    }
    buf_add_char(&a->url, strchr(c->realm, '?') == NULL ? '?' : '&');
    if (c->service[0] != '\0')
        form_add(&a->url, "service", c->service);
    form_add_scopes(&a->url, scope);
    form_add(&a->url, "client_id", "tug");
    if (credential != NULL && credential->user != NULL && credential->password != NULL) {
        _cleanup_(buf_done) struct buf pair = BUF_INIT(TOKEN_BYTES_MAX);
        buf_printf(&pair, "%s:%s", credential->user, credential->password);
        buf_add_str(&a->basic, "Authorization: Basic ");
        base64_encode(&a->basic, buf_str(&pair), pair.len);
        explicit_bzero(pair.data, pair.len);
    }
}

static bool is_redirect(int status) { return status >= 300 && status < 400 && status != 304; }

/* One token request; a redirect only within the realm's own origin. */
static bool token_send(struct registry *r, const struct endpoint *e, struct token_ask *a, const char *address,
                       struct http_call **ret_call, struct err *err)
{
    char next[HTTP_URL_MAX];
    const char *const headers[] = {"Accept: application/json", a->basic.len > 0 ? a->basic.data : "X-Tug: token",
                                   a->post ? "Content-Type: application/x-www-form-urlencoded" : NULL, NULL};
    for (int hop = 0; hop < TOKEN_HOPS; hop++) {
        struct http_url from;
        struct http_url to;
        struct http_call *call = NULL;
        struct http_call_spec spec = {
            .method = a->post ? "POST" : "GET",
            .url = buf_str(&a->url),
            .headers = headers,
            .body = a->post ? a->form.data : NULL,
            .body_len = a->form.len,
            .cancel_fd = r->cancel_fd,
            .stall_timeout_ns = REGISTRY_STALL_S * CLOCK_SECOND,
            .resolve_to = address[0] != '\0' ? address : NULL,
            .ca_file = e->ca_file,
            .pool = r->pool,
        };
        if (!http_call_open(&spec, &call, err))
            return false;
        const char *location = http_call_header(call, "Location");
        if (!is_redirect(http_call_status(call)) || location == NULL) {
            *ret_call = call;
            return true;
        }
        bool same = http_url_join(spec.url, location, next, sizeof next, NULL) && http_url_parse(next, &to, NULL) &&
                    http_url_parse(spec.url, &from, NULL) && http_url_same_origin(&from, &to);
        http_call_close(&call);
        if (!same)
            break;
        buf_clear(&a->url);
        buf_add_str(&a->url, next);
    }
    return err_set(err, ERR_PROTOCOL, "the token server of %s redirects elsewhere; refused", e->name);
}

/* Printable and of a size that fits a header; NULL is not. */
static bool token_usable(const char *value)
{
    if (value == NULL || value[0] == '\0' || strlen(value) > TOKEN_BYTES_MAX)
        return false;
    for (const char *p = value; *p != '\0'; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
            return false;
    return true;
}

/* Reads {"token": …, "expires_in": …}. */
static bool token_read(struct endpoint *e, struct http_call *call, const char *scope, struct err *err)
{
    _cleanup_(buf_done) struct buf body = BUF_INIT(LIMIT_TOKEN_ANSWER_BYTES);
    _cleanup_(json_free) json_t *root = NULL;
    int64_t seconds = TOKEN_SECONDS;
    if (!http_call_read_all(call, &body, err)) {
        if (err->code == ERR_TOO_LARGE)
            err->code = ERR_PROTOCOL;
        return false;
    }
    if (!json_parse(buf_str(&body), body.len, &root, NULL) || !json_is_object(root))
        return err_set(err, ERR_PROTOCOL, "the token server of %s sent no token", e->name);
    const char *value = json_string_value(json_object_get(root, "token"));
    if (value == NULL)
        value = json_string_value(json_object_get(root, "access_token"));
    if (!token_usable(value))
        return err_set(err, ERR_PROTOCOL, "the token server of %s sent no usable token", e->name);
    if (!json_get_int(root, "", "expires_in", 1, INT64_C(365) * 86400, &seconds, NULL) || seconds < TOKEN_SECONDS)
        seconds = TOKEN_SECONDS; /* what the specification says of less */
    token_keep(e, scope, value, seconds);
    return true;
}

/* What an answer that is final means. */
static bool token_judge(struct endpoint *e, struct http_call *call, const char *scope, bool anonymous, struct err *err)
{
    int status = http_call_status(call);
    if (status == 200)
        return token_read(e, call, scope, err);
    if (status >= 400 && status <= 403)
        return err_set(err, ERR_UNAUTHORIZED, "%s refuses the login%s; try 'docker login %s'", e->name,
                       anonymous ? " without a name" : "", e->name);
    return err_set(err, ERR_PROTOCOL, "the token server of %s answered with status %d", e->name, status);
}

bool token_fetch(struct registry *r, struct endpoint *e, const struct registry_request *q, const struct challenge *c,
                 const struct credential *credential, struct err *err)
{
    char address[HTTP_ADDRESS_MAX] = "";
    _cleanup_(token_ask_done) struct token_ask ask = {0};
    struct err own = ERR_INIT;
    bool ok = false;
    bool again = true;
    if (!token_realm_check(e, c->realm, address, err))
        return false;
    token_ask_build(&ask, c, scope_to_ask(c, q), credential);
    for (int tries = 1; again; tries++) {
        struct http_call *call = NULL;
        bool sent = token_send(r, e, &ask, address, &call, &own);
        bool final = sent && http_call_status(call) != 429 && http_call_status(call) < 500;
        if (final)
            ok = token_judge(e, call, q->scope, credential == NULL, &own);
        again = !final && registry_again(r, e, call, "its token server", false, tries, &own);
        http_call_close(&call);
    }
    if (!ok && err != NULL)
        *err = own;
    return ok;
}
