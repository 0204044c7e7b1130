/* registry/auth.c: what to send as Authorization, and what a 401 means.
 *
 * A request is tried twice at most: first with what is known (a kept token, Basic if it was asked for before, else
 * nothing), then with what its challenge led to. A second 401 is the registry's last word.
 */
#include "registry/registry_state.h"

#include "base/base64.h"
#include "base/cleanup.h"

#include <string.h>

/* Who we are at e, looked up once. NULL: nobody. */
static const struct credential *credential_of(struct endpoint *e, const char *repo)
{
    if (!e->credential_known) {
        e->credential_known = true;
        struct credential found = {0};
        if (credential_find(e->name, repo, &found))
            e->credential = found;
    }
    const struct credential *c = &e->credential;
    return c->user != NULL || c->identity != NULL || c->bearer != NULL ? c : NULL;
}

static bool basic_header(const struct credential *c, struct buf *out)
{
    _cleanup_(buf_done) struct buf pair = BUF_INIT(out->max);
    bool ok = buf_printf(&pair, "%s:%s", c->user, c->password) && buf_add_str(out, "Authorization: Basic ") &&
              base64_encode(out, pair.data, pair.len);
    if (pair.data != NULL)
        explicit_bzero(pair.data, pair.len);
    return ok;
}

bool auth_header(struct registry *r, struct endpoint *e, const struct registry_request *q, struct buf *out,
                 struct err *err)
{
    const char *token = token_find(e, q->scope);
    const struct credential *c = &e->credential;
    bool ok = true;
    buf_clear(out);
    if (r->bearer_token != NULL && !e->mirror)
        ok = buf_printf(out, "Authorization: Bearer %s", r->bearer_token);
    else if (token != NULL)
        ok = buf_printf(out, "Authorization: Bearer %s", token);
    else if (e->basic && c->user != NULL && c->password != NULL)
        ok = basic_header(c, out);
    return ok ? true : err_set(err, ERR_INVALID, "the login for %s is too long", e->name);
}

static bool denied(const struct endpoint *e, const struct registry_request *q, struct err *err)
{
    return err_set(err, ERR_UNAUTHORIZED,
                   "%s gives no access to %s: it does not exist, or it needs a login with rights to it; try 'docker "
                   "login %s'",
                   e->name, q->what, e->name);
}

/* The token with our credentials; a pull of something public works without, when they are out of date. */
static bool answer_bearer(struct registry *r, struct endpoint *e, const struct registry_request *q,
                          const struct challenge *c, struct err *err)
{
    const struct credential *credential = credential_of(e, q->repo);
    struct err own = ERR_INIT;
    if (token_fetch(r, e, q, c, credential, &own))
        return true;
    if (own.code == ERR_UNAUTHORIZED && credential != NULL && q->pulls) {
        registry_notice(r, "%s does not accept the stored login; going on without one", e->name);
        return token_fetch(r, e, q, c, NULL, err);
    }
    if (err != NULL)
        *err = own;
    return false;
}

bool auth_answer(struct registry *r, struct endpoint *e, const struct registry_request *q, const struct challenge *c,
                 int round, struct err *err)
{
    if (r->bearer_token != NULL && !e->mirror)
        return err_set(err, ERR_UNAUTHORIZED, "%s does not accept the given bearer token for %s", e->name, q->what);
    token_drop(e, q->scope);
    if (round > 0)
        return denied(e, q, err);
    const struct credential *credential = credential_of(e, q->repo);
    if (credential != NULL && credential->bearer != NULL) {
        token_keep(e, q->scope, credential->bearer, 3600);
        return true;
    }
    if (c->bearer)
        return answer_bearer(r, e, q, c, err);
    if (!c->basic)
        return err_set(err, ERR_UNAUTHORIZED, "%s wants a login for %s, in a way that Tug does not speak", e->name,
                       q->what);
    if (credential == NULL || credential->user == NULL || credential->password == NULL || e->basic)
        return denied(e, q, err);
    e->basic = true; /* https, or plain http where the user wants it: endpoint_init has seen to that */
    return true;
}
