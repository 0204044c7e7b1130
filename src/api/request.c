/* api/request.c: what several handlers read of a request, and how they answer. */
#include "api/handlers.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "json/json_read.h"

#include <string.h>

bool request_flag(const struct http_request *req, const char *name, bool *ret, struct err *err)
{
    const char *text = http_query(req, name);
    if (text == NULL)
        return true;
    if (text[0] == '\0') {
        *ret = true;
        return true;
    }
    return text_to_bool(text, ret) ||
           err_param(err, name, "%s is '%.64s', which is neither true nor false", name, text);
}

bool request_object(const struct http_request *req, json_t **ret_object, struct err *err)
{
    _cleanup_(json_free) json_t *root = NULL;
    if (req->body.len == 0)
        root = json_object();
    else if (!json_parse(req->body.data, req->body.len, &root, err))
        return false;
    if (!json_is_object(root))
        return err_set(err, ERR_INVALID, "the request's body must be a JSON object");
    *ret_object = TAKE(root);
    return true;
}

static bool model_missing(const char *name, struct err *err)
{
    if (err->code == ERR_NOT_FOUND)
        err_set(err, ERR_NOT_FOUND, "model '%s' is not here; pull it with: tug pull %s", name, name);
    return false;
}

bool request_model(struct http_request *req, const char *name, struct model *ret_model, struct err *err)
{
    const struct api *api = req->app;
    return store_find(api->store, name, &req->arena, ret_model, err) || model_missing(name, err);
}

bool request_model_id(struct http_request *req, const char *name, char ret_id[DIGEST_TEXT], struct err *err)
{
    const struct api *api = req->app;
    return store_find_id(api->store, name, ret_id, err) || model_missing(name, err);
}

bool request_backend(const char *name, struct err *err)
{
    return name == NULL || strcmp(name, "llama.cpp") == 0 ||
           err_set(err, ERR_NOT_FOUND, "backend not found: \"%.64s\"; there is one, llama.cpp", name);
}

void request_reply_json_status(struct http_request *req, int status,
                               void (*write)(struct json_out *j, const void *data), const void *data)
{
    _cleanup_(buf_done) struct buf body = BUF_INIT(LIMIT_ANSWER_BYTES);
    struct json_out j = JSON_OUT(&body);
    struct err err = ERR_INIT;
    write(&j, data);
    if (json_ok(&j)) {
        http_reply_json(req, status, &body);
        return;
    }
    err_set(&err, ERR_INTERNAL, "the answer would be larger than %d bytes", LIMIT_ANSWER_BYTES);
    http_reply_error(req, &err);
}

void request_reply_json(struct http_request *req, void (*write)(struct json_out *j, const void *data), const void *data)
{
    request_reply_json_status(req, 200, write, data);
}
