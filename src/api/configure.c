/* api/configure.c: GET and POST /engines/_configure: a model's own settings (dmr.md 2.6).
 *
 * Compose posts for every model on every `up`: the answer does not wait for the model, which is loaded in the
 * background.
 */
#include "api/handlers.h"
#include "backends/backends.h"
#include "backends/model_settings.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "json/json_read.h"

#include <string.h>

/* ---- POST ---------------------------------------------------------------------------------------- */

struct configure {
    struct http_request *req;
    const json_t *request;
    const char *as; /* how the request named the model */
    char id[DIGEST_TEXT];
    struct model_settings now;
    json_t *json; /* of `now` */
    bool reload;  /* an engine with the settings of before cannot go on */
};

/* A damaged file is no reason never to be able to configure the model again; a later version's is. */
static bool configure_old(const struct configure *c, const char *text, json_t **ret_json, struct model_settings *ret,
                          struct err *err)
{
    struct err damaged = ERR_INIT;
    *ret = (struct model_settings){0};
    if (model_settings_parse(text, ret_json, &damaged) && model_settings_read(*ret_json, &c->req->arena, ret, &damaged))
        return true;
    if (damaged.code == ERR_UNSUPPORTED) {
        *err = damaged;
        return err_while(err, "the settings of %s", c->as);
    }
    log_warn("the settings of a model were damaged, and are begun anew", "model=%s reason=%s", c->as, damaged.text);
    json_free(ret_json);
    *ret = (struct model_settings){0};
    return true;
}

static bool configure_busy(const struct configure *c, struct err *err)
{
    const struct api *api = c->req->app;
    int users = backends_users(api->backends, c->id);
    if (!c->reload || users == 0)
        return true;
    return err_set(
        err, ERR_CONFLICT,
        "runner already active: %s is answering %d request%s, and these settings need it to be loaded again; "
        "nothing was changed; try again when it is idle",
        c->as, users, users == 1 ? "" : "s");
}

/* Under the store's lock: two daemons, or Compose's calls for one model, do not lose each other's settings. */
static bool configure_change(void *ctx, const char *old_text, struct buf *ret_text, struct err *err)
{
    struct configure *c = ctx;
    _cleanup_(json_free) json_t *old = NULL;
    struct model_settings before;
    if (!configure_old(c, old_text, &old, &before, err) ||
        !model_settings_merge(old, c->request, &c->req->arena, &c->json, err) ||
        !model_settings_read(c->json, &c->req->arena, &c->now, err))
        return false;
    c->reload = !model_settings_same_engine(&before, &c->now);
    return configure_busy(c, err) && model_settings_write(c->json, ret_text, err);
}

/* It is never pulled: whoever configures says which of the models that are here. */
static bool configure_draft(struct configure *c, struct err *err)
{
    const json_t *speculative = json_object_get(c->request, "speculative");
    const char *draft = json_string_value(json_object_get(speculative, "draft_model"));
    char id[DIGEST_TEXT];
    if (draft == NULL || draft[0] == '\0' || request_model_id(c->req, draft, id, err))
        return true;
    return err_while(err, "speculative.draft_model");
}

static void configured_write(struct json_out *j, const void *data)
{
    const struct runtime_flags *flags = data;
    json_open(j, '{');
    json_key(j, "warnings");
    json_open(j, '[');
    for (size_t i = 0; i < flags->n_warnings; i++)
        json_str(j, flags->warnings[i]);
    json_close(j, ']');
    json_close(j, '}');
}

/* DMR's answer is empty; ours is too unless there is something to say. */
static void configure_answer(struct configure *c)
{
    const struct runtime_flags *flags = &c->now.flags;
    for (size_t i = 0; i < flags->n_warnings; i++) {
        http_set_header(c->req, "Warning", arena_printf(&c->req->arena, "299 tug \"%s\"", flags->warnings[i]));
        log_warn("a setting has no effect", "id=%s model=%s why=%s", c->req->id, c->as, flags->warnings[i]);
    }
    if (flags->n_warnings > 0)
        request_reply_json_status(c->req, 202, configured_write, flags);
    else
        http_reply(c->req, 202, NULL, NULL, 0);
}

static bool configure_run(struct configure *c, struct err *err)
{
    const struct api *api = c->req->app;
    const char *model = "";
    if (!json_get_string(c->request, "", "model", &model, err))
        return false;
    if (model[0] == '\0')
        return err_param(err, "model", "model is required: a name that GET /models lists");
    c->as = model;
    if (!request_model_id(c->req, model, c->id, err) || !configure_draft(c, err) ||
        !store_settings_update(api->store, c->id, configure_change, c, err))
        return false;
    backends_configured(api->backends, c->id, &c->now, c->reload);
    backends_preload(api->backends, c->id, c->as, c->now.load_as);
    return true;
}

void engines_configure(struct http_request *req)
{
    _cleanup_(json_free) json_t *body = NULL;
    struct configure c = {.req = req};
    struct err err = ERR_INIT;
    const char *backend = req->params[0];
    bool ok = request_backend(backend, &err) && request_object(req, &body, &err);
    c.request = body;
    if (ok && configure_run(&c, &err))
        configure_answer(&c);
    else
        http_reply_error(req, &err);
    json_free(&c.json);
}

/* ---- GET ----------------------------------------------------------------------------------------- */

struct configured {
    struct http_request *req;
    struct json_out *j;
};

static bool configured_one(void *ctx, const char *id)
{
    const struct configured *c = ctx;
    const struct api *api = c->req->app;
    _cleanup_(json_free) json_t *json = NULL;
    struct model_settings s;
    struct model m;
    if (!store_find(api->store, id, &c->req->arena, &m, NULL) ||
        !model_settings_load(api->store, id, &c->req->arena, &json, &s))
        return true;
    json_open(c->j, '{');
    json_kv_str(c->j, "Backend", "llama.cpp");
    json_kv_str(c->j, "Model", m.n_names > 0 ? m.names[0] : m.id);
    json_kv_str(c->j, "ModelID", m.id);
    json_kv_str(c->j, "Mode", s.mode);
    json_key(c->j, "Config");
    model_settings_out(c->j, json);
    if (s.flags.n_warnings > 0) {
        json_key(c->j, "Warnings");
        json_open(c->j, '[');
        for (size_t i = 0; i < s.flags.n_warnings; i++)
            json_str(c->j, s.flags.warnings[i]);
        json_close(c->j, ']');
    }
    json_close(c->j, '}');
    return true;
}

void engines_configured(struct http_request *req)
{
    const struct api *api = req->app;
    _cleanup_(buf_done) struct buf body = BUF_INIT(LIMIT_ANSWER_BYTES);
    struct json_out j = JSON_OUT(&body);
    struct configured c = {.req = req, .j = &j};
    const char *model = http_query(req, "model");
    char id[DIGEST_TEXT];
    struct err err = ERR_INIT;
    bool one = model != NULL && model[0] != '\0';
    bool ok = request_backend(req->params[0], &err) && (!one || request_model_id(req, model, id, &err));
    json_open(&j, '[');
    if (ok && one)
        configured_one(&c, id);
    else if (ok)
        ok = store_settings_list(api->store, configured_one, &c, &err);
    json_close(&j, ']');
    if (ok && json_ok(&j))
        http_reply_json(req, 200, &body);
    else
        http_reply_error(req, &err);
}
