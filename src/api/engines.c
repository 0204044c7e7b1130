/* api/engines.c: the models in memory. */
#include "api/handlers.h"
#include "backends/backends.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/clock.h"
#include "json/json_read.h"

#include <string.h>

static const char backend_name[] = "llama.cpp";

/* ---- ps ------------------------------------------------------------------------------------------ */

struct ps_list {
    const struct backend_info *infos;
    size_t n;
};

static void ps_one(struct json_out *j, const struct backend_info *b)
{
    char when[40] = "0001-01-01T00:00:00Z", keep[TEXT_SHORT_MAX];
    bool in_use = b->state == BACKEND_IS_BUSY;
    bool loading = b->state == BACKEND_IS_LOADING;
    if (!in_use && !loading && b->last_used_wall_ns > 0)
        text_rfc3339(when, b->last_used_wall_ns, 9);
    json_open(j, '{');
    json_kv_str(j, "backend_name", backend_name);
    json_kv_str(j, "model_name", b->name[0] != '\0' ? b->name : b->id);
    json_kv_str(j, "mode", b->mode);
    json_kv_str(j, "last_used", when);
    if (in_use)
        json_kv_bool(j, "in_use", true);
    if (loading)
        json_kv_bool(j, "loading", true);
    if (b->keep_alive_set) {
        text_go_duration(keep, b->keep_alive_ns);
        json_kv_str(j, "keep_alive", keep);
    }
    json_close(j, '}');
}

static void ps_write(struct json_out *j, const void *data)
{
    const struct ps_list *list = data;
    json_open(j, '[');
    for (size_t i = 0; i < list->n; i++)
        ps_one(j, &list->infos[i]);
    json_close(j, ']');
}

void engines_ps(struct http_request *req)
{
    const struct api *api = req->app;
    struct backend_info *infos = NULL;
    size_t n = backends_list(api->backends, &req->arena, &infos);
    request_reply_json(req, ps_write, &(struct ps_list){infos, n});
}

/* ---- df, status ---------------------------------------------------------------------------------- */

static void df_write(struct json_out *j, const void *data)
{
    const struct store_usage *u = data;
    json_open(j, '{');
    json_kv_uint(j, "models_disk_usage", u->blobs_bytes);
    json_kv_uint(j, "default_backend_disk_usage", 0);
    json_kv_uint(j, "partial_disk_usage", u->partial_bytes);
    json_kv_uint(j, "reclaimable_disk_usage", u->reclaimable_bytes);
    json_close(j, '}');
}

void engines_df(struct http_request *req)
{
    const struct api *api = req->app;
    struct err err = ERR_INIT;
    struct store_usage usage = {0};
    if (store_usage(api->store, &usage, &err))
        request_reply_json(req, df_write, &usage);
    else
        http_reply_error(req, &err);
}

static void status_write(struct json_out *j, const void *data)
{
    const struct api *api = data;
    char text[64];
    text_format(text, sizeof text, "Running: tug-engine %s", api->version);
    json_open(j, '{');
    json_kv_str(j, backend_name, text);
    json_close(j, '}');
}

void engines_status(struct http_request *req) { request_reply_json(req, status_write, req->app); }

/* ---- unload -------------------------------------------------------------------------------------- */

static void unloaded_write(struct json_out *j, const void *data)
{
    json_open(j, '{');
    json_kv_uint(j, "unloaded_runners", *(const size_t *)data);
    json_close(j, '}');
}

/* A name that no model here has counts as one that does not run, as in DMR. */
static size_t unload_named(struct http_request *req, const char *name)
{
    const struct api *api = req->app;
    struct model model;
    if (!store_find(api->store, name, &req->arena, &model, NULL))
        return 0;
    return backends_unload(api->backends, model.id);
}

static bool unload_each(struct http_request *req, const json_t *models, size_t *ret_n, struct err *err)
{
    size_t i;
    json_t *name;
    size_t n = 0;
    json_array_foreach(models, i, name)
    {
        if (!json_is_string(name))
            return err_param(err, "models", "models[%zu] must be a string", i);
    }
    json_array_foreach(models, i, name) { n += unload_named(req, json_string_value(name)); }
    *ret_n = n;
    return true;
}

void engines_unload(struct http_request *req)
{
    const struct api *api = req->app;
    _cleanup_(json_free) json_t *body = NULL;
    const json_t *models = NULL;
    const char *backend = "";
    struct err err = ERR_INIT;
    bool all = false;
    size_t n = 0;
    bool ok = request_object(req, &body, &err) && json_get_bool(body, "", "all", &all, &err) &&
              json_get_string(body, "", "backend", &backend, &err) &&
              json_get_array(body, "", "models", LIMIT_BACKENDS_KNOWN, &models, &err);
    bool ours = backend[0] == '\0' || strcmp(backend, backend_name) == 0;
    if (ok && ours && all)
        n = backends_unload(api->backends, NULL);
    else if (ok && ours && models != NULL)
        ok = unload_each(req, models, &n, &err);
    if (ok)
        request_reply_json(req, unloaded_write, &n);
    else
        http_reply_error(req, &err);
}
