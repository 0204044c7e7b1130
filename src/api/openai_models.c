/* api/openai_models.c: the models of the store in OpenAI's form, with DMR's additions. */
#include "api/handlers.h"

struct openai_list {
    const struct model *models;
    size_t n;
};

static void list_write(struct json_out *j, const void *data)
{
    const struct openai_list *list = data;
    json_open(j, '{');
    json_kv_str(j, "object", "list");
    json_key(j, "data");
    json_open(j, '[');
    for (size_t i = 0; i < list->n; i++)
        model_write_openai(j, &list->models[i]);
    json_close(j, ']');
    json_close(j, '}');
}

static void one_write(struct json_out *j, const void *data) { model_write_openai(j, data); }

void openai_models_list(struct http_request *req)
{
    const struct api *api = req->app;
    struct err err = ERR_INIT;
    struct model *models = NULL;
    struct openai_list list = {0};
    if (!store_list(api->store, &req->arena, &models, &list.n, &err)) {
        http_reply_error(req, &err);
        return;
    }
    list.models = models;
    request_reply_json(req, list_write, &list);
}

void openai_models_one(struct http_request *req)
{
    struct err err = ERR_INIT;
    struct model model;
    if (request_model(req, req->params[0], &model, &err))
        request_reply_json(req, one_write, &model);
    else
        http_reply_error(req, &err);
}

/* A client whose base URL names a model sees that one: no other can be used there. */
void openai_models_of(struct http_request *req)
{
    struct err err = ERR_INIT;
    struct model model;
    if (request_model(req, req->params[0], &model, &err))
        request_reply_json(req, list_write, &(struct openai_list){&model, 1});
    else
        http_reply_error(req, &err);
}
