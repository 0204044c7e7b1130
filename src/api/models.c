/* api/models.c: the models on disk: what there is, and how they come, go and are named. */
#include "api/handlers.h"
#include "api/progress.h"
#include "backends/backends.h"
#include "backends/model_settings.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "distribution/distribution.h"
#include "json/json_read.h"

#include <string.h>

/* ---- what there is ------------------------------------------------------------------------------- */

struct model_array {
    const struct model *models;
    size_t n;
};

static void array_write(struct json_out *j, const void *data)
{
    const struct model_array *array = data;
    json_open(j, '[');
    for (size_t i = 0; i < array->n; i++)
        model_write(j, &array->models[i], NULL);
    json_close(j, ']');
}

void models_list(struct http_request *req)
{
    const struct api *api = req->app;
    struct err err = ERR_INIT;
    struct model *models = NULL;
    size_t n = 0;
    if (store_list(api->store, &req->arena, &models, &n, &err))
        request_reply_json(req, array_write, &(struct model_array){models, n});
    else
        http_reply_error(req, &err);
}

struct inspected {
    struct model model;
    const json_t *settings;
};

static void one_write(struct json_out *j, const void *data)
{
    const struct inspected *one = data;
    model_write(j, &one->model, one->settings);
}

void models_inspect(struct http_request *req)
{
    const struct api *api = req->app;
    struct err err = ERR_INIT;
    struct inspected one = {.settings = NULL};
    struct model_settings settings;
    _cleanup_(json_free) json_t *json = NULL;
    bool remote = false;
    bool ok = request_flag(req, "remote", &remote, &err) &&
              (remote ? distribution_remote(api->distribution, req->params[0], &req->arena, &one.model, &err)
                      : request_model(req, req->params[0], &one.model, &err));
    if (ok && !remote && model_settings_load(api->store, one.model.id, &req->arena, &json, &settings))
        one.settings = json;
    if (ok)
        request_reply_json(req, one_write, &one);
    else
        http_reply_error(req, &err);
}

/* ---- pull, push ---------------------------------------------------------------------------------- */

void models_create(struct http_request *req)
{
    const struct api *api = req->app;
    _cleanup_(json_free) json_t *body = NULL;
    const char *from = NULL, *token = NULL;
    struct err err = ERR_INIT;
    struct job *job = NULL;
    bool ok = request_object(req, &body, &err) && json_need(body, "", "from", &err) &&
              json_get_string(body, "", "from", &from, &err) && json_get_string(body, "", "bearer-token", &token, &err);
    if (ok && from == NULL)
        ok = err_param(&err, "from", "from must be the name of a model");
    if (ok && distribution_pull(api->distribution, from, token, &job, &err))
        progress_reply(req, job, "pull");
    else
        http_reply_error(req, &err);
}

void models_push(struct http_request *req)
{
    const struct api *api = req->app;
    _cleanup_(json_free) json_t *body = NULL;
    const char *token = NULL;
    struct err err = ERR_INIT;
    struct model model;
    struct job *job = NULL;
    if (request_object(req, &body, &err) && json_get_string(body, "", "bearer-token", &token, &err) &&
        request_model(req, req->params[0], &model, &err) &&
        distribution_push(api->distribution, req->params[0], token, &job, &err))
        progress_reply(req, job, "push");
    else
        http_reply_error(req, &err);
}

/* ---- tar in, tar out ------------------------------------------------------------------------------- */

static bool load_sink_begin(struct http_request *req, void **ret_state, struct err *err)
{
    const struct api *api = req->app;
    struct load *load = NULL;
    if (!load_begin(api->store, &load, err))
        return false;
    *ret_state = load;
    return true;
}

static bool load_sink_push(void *state, const void *data, size_t n, struct err *err)
{
    return load_push(state, data, n, err);
}

static void load_sink_end(void *state)
{
    struct load *load = state;
    load_end(&load);
}

const struct http_sink models_load_sink = {load_sink_begin, load_sink_push, load_sink_end};

void models_load(struct http_request *req)
{
    char id[DIGEST_TEXT];
    _cleanup_(buf_done) struct buf line = BUF_INIT(LIMIT_ERROR_BODY_BYTES);
    struct job_event done = {.kind = JOB_SUCCESS, .message = "Model loaded successfully"};
    struct err err = ERR_INIT;
    if (!load_finish(req->sink_state, id, &err)) {
        http_reply_error(req, &err);
        return;
    }
    progress_write(&line, &done, "pull", PROGRESS_JSON); /* unescaped in both forms, as DMR does here */
    http_reply(req, 200, progress_form(req) == PROGRESS_JSON ? "application/json" : "text/plain", line.data, line.len);
}

struct export { struct export_tar *tar; };

static ssize_t export_stream_read(void *ctx, char *dst, size_t max)
{
    struct export *x = ctx;
    return export_read(x->tar, dst, max, NULL);
}

static void export_stream_close(void *ctx)
{
    struct export *x = ctx;
    export_end(&x->tar);
}

void models_export(struct http_request *req)
{
    const struct api *api = req->app;
    struct export *x = arena_alloc(&req->arena, sizeof *x);
    struct err err = ERR_INIT;
    struct model model;
    if (!request_model(req, req->params[0], &model, &err) || !export_begin(api->store, &model, &x->tar, &err)) {
        http_reply_error(req, &err);
        return;
    }
    char *name = arena_strdup(&req->arena, req->params[0]);
    for (char *p = name; *p != '\0'; p++) /* a file's name on the client's disk */
        if (strchr("/:\\\"", *p) != NULL)
            *p = '_';
    http_set_header(req, "Content-Disposition", arena_printf(&req->arena, "attachment; filename=\"%s.tar\"", name));
    http_reply_stream(req, 200, "application/x-tar", (struct http_stream){export_stream_read, export_stream_close, x});
}

/* ---- names --------------------------------------------------------------------------------------- */

static void tagged_write(struct json_out *j, const void *data)
{
    const char *target = data;
    char message[LIMIT_REFERENCE_BYTES + 64];
    text_format(message, sizeof message, "Model tagged successfully with \"%s\"", target);
    json_open(j, '{');
    json_kv_str(j, "message", message);
    json_kv_str(j, "target", target);
    json_close(j, '}');
}

void models_tag(struct http_request *req)
{
    const struct api *api = req->app;
    const char *repo = http_query(req, "repo"), *tag = http_query(req, "tag");
    struct err err = ERR_INIT;
    struct reference target;
    struct model model;
    if (repo == NULL || tag == NULL || repo[0] == '\0' || tag[0] == '\0') {
        err_set(&err, ERR_INVALID, "missing repo or tag query parameter");
        http_reply_error(req, &err);
        return;
    }
    const char *name = arena_printf(&req->arena, "%s:%s", repo, tag);
    if (!reference_parse(name, &target, &err) || !request_model(req, req->params[0], &model, &err) ||
        !store_tag(api->store, model.id, &target, &err)) {
        http_reply_error(req, &err);
        return;
    }
    request_reply_json_status(req, 201, tagged_write, name);
}

struct repackaged {
    const char *source, *target;
};

static void repackaged_write(struct json_out *j, const void *data)
{
    const struct repackaged *r = data;
    char message[LIMIT_REFERENCE_BYTES + 64];
    text_format(message, sizeof message, "Model repackaged successfully as \"%s\"", r->target);
    json_open(j, '{');
    json_kv_str(j, "message", message);
    json_kv_str(j, "source", r->source);
    json_kv_str(j, "target", r->target);
    json_close(j, '}');
}

static bool repackage_read(struct http_request *req, struct reference *ret_target, int64_t *ret_context_size,
                           struct err *err)
{
    const char *name = "";
    _cleanup_(json_free) json_t *body = NULL;
    if (!request_object(req, &body, err) || !json_get_string(body, "", "target", &name, err) ||
        !json_get_int(body, "", "context_size", 0, INT32_MAX, ret_context_size, err))
        return false;
    if (name[0] == '\0')
        return err_param(err, "target", "target is required");
    if (!reference_parse(name, ret_target, err))
        return false;
    return ret_target->tag[0] != '\0' || err_param(err, "target", "%s must have a tag, not a digest", name);
}

void models_repackage(struct http_request *req)
{
    const struct api *api = req->app;
    struct err err = ERR_INIT;
    struct reference target;
    struct model model;
    int64_t context_size = 0;
    char id[DIGEST_TEXT];
    if (repackage_read(req, &target, &context_size, &err) && request_model(req, req->params[0], &model, &err) &&
        distribution_repackage(api->store, &model, context_size, &target, id, &err))
        request_reply_json_status(req, 201, repackaged_write, &(struct repackaged){req->params[0], target.text});
    else
        http_reply_error(req, &err);
}

/* ---- going --------------------------------------------------------------------------------------- */

struct removal_array {
    const struct store_removal *steps;
    size_t n;
    uint64_t freed_bytes;
};

static void removal_write(struct json_out *j, const void *data)
{
    const struct removal_array *array = data;
    json_open(j, '[');
    for (size_t i = 0; i < array->n; i++) {
        json_open(j, '{');
        json_kv_str(j, array->steps[i].kind, array->steps[i].what);
        json_close(j, '}');
    }
    json_close(j, ']');
}

void models_remove(struct http_request *req)
{
    const struct api *api = req->app;
    const char *name = req->params[0];
    struct err err = ERR_INIT;
    struct store_removal *steps = NULL;
    struct model model;
    bool force = false;
    size_t n = 0;
    bool ok = request_flag(req, "force", &force, &err);
    /* One that is only kept in memory in case it is asked again is no reason to refuse; one that is in use is. */
    if (ok && store_find(api->store, name, &req->arena, &model, NULL) && (force || model.n_names <= 1))
        backends_unload(api->backends, model.id);
    if (ok && store_remove(api->store, name, force, &req->arena, &steps, &n, &err))
        request_reply_json(req, removal_write, &(struct removal_array){steps, n, 0});
    else
        http_reply_error(req, &err);
}

static void pruned_write(struct json_out *j, const void *data)
{
    const struct removal_array *array = data;
    json_open(j, '{');
    json_key(j, "removed");
    removal_write(j, array);
    json_kv_uint(j, "freed_bytes", array->freed_bytes);
    json_close(j, '}');
}

void models_prune(struct http_request *req)
{
    const struct api *api = req->app;
    struct err err = ERR_INIT;
    struct store_removal *steps = NULL;
    struct removal_array pruned = {0};
    bool all = false;
    bool ok = request_flag(req, "all", &all, &err) &&
              store_prune(api->store, all, &req->arena, &steps, &pruned.n, &pruned.freed_bytes, &err);
    pruned.steps = steps;
    if (ok)
        request_reply_json(req, pruned_write, &pruned);
    else
        http_reply_error(req, &err);
}

void models_purge(struct http_request *req)
{
    const struct api *api = req->app;
    struct err err = ERR_INIT;
    backends_unload(api->backends, NULL);
    if (store_purge(api->store, &err))
        http_reply(req, 200, NULL, NULL, 0);
    else
        http_reply_error(req, &err);
}
