/* api/handlers: every handler of routes.c; the prefix of its name is its file. Inside of api/ only. */
#ifndef TUG_API_HANDLERS_H
#define TUG_API_HANDLERS_H

#include "api/api.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "store/store.h"
#include "json/json_write.h"

#include <jansson.h>

http_handler openai_chat, openai_completions, openai_embeddings, openai_rerank, openai_score, openai_tokenize,
    openai_detokenize, openai_template;
http_handler openai_models_list, openai_models_of, openai_models_one;
http_handler models_list, models_create, models_load, models_inspect, models_remove, models_purge, models_prune;
http_handler models_tag, models_push, models_export, models_repackage;
http_handler engines_ps, engines_df, engines_status, engines_unload, engines_configure, engines_configured,
    engines_requests;
http_handler service_root, service_version, service_metrics, logs_get;

extern const struct http_sink models_load_sink;

/* request.c: what several handlers read of a request, and how they answer. */

/* "true" for `?name`, `?name=` and the words of text_to_bool; absent: *ret is untouched. */
bool request_flag(const struct http_request *req, const char *name, bool *ret, struct err *err);
/* The body as a JSON object; an empty body is an empty object. To be freed with json_free. */
bool request_object(const struct http_request *req, json_t **ret_object, struct err *err);
/* store_find, whose error for a model that is not here says how to pull it. */
bool request_model(struct http_request *req, const char *name, struct model *ret_model, struct err *err);
/* Likewise, store_find_id. */
bool request_model_id(struct http_request *req, const char *name, char ret_id[DIGEST_TEXT], struct err *err);
/* The {backend} of a path: NULL, or the one that there is. */
bool request_backend(const char *name, struct err *err);
/* The answer is what `write` makes; status 200 unless given. */
void request_reply_json_status(struct http_request *req, int status,
                               void (*write)(struct json_out *j, const void *data), const void *data);
void request_reply_json(struct http_request *req, void (*write)(struct json_out *j, const void *data),
                        const void *data);

/* model_json.c: the two forms of a model (dmr.md 2.4), and its settings as they are kept. */
void model_settings_out(struct json_out *j, const json_t *json);
/* `settings`: its own, NULL: none, or not wanted. */
void model_write(struct json_out *j, const struct model *m, const json_t *settings);
void model_write_openai(struct json_out *j, const struct model *m);

#endif
