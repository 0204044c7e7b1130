/* api/routes.c: every route of the daemon, in matching order. docs/api.md and docs/MAP.md are made from these rows.
 *
 * OpenAI's API has four roots: /v1, /engines/v1, /engines/llama.cpp/v1, and /engines/MODEL/v1, where MODEL may have
 * slashes and a tag.
 */
#include "api/handlers.h"

#define READ   HTTP_RIGHT_READ
#define INFER  HTTP_RIGHT_INFER
#define WRITE  HTTP_RIGHT_WRITE
#define OPEN   HTTP_RIGHT_OPEN
#define NONE   HTTP_BODY_NONE, NULL
#define JSON   HTTP_BODY_BUFFER, NULL
#define UPLOAD HTTP_BODY_STREAM, &models_load_sink

/* clang-format off */
const struct http_route api_routes[] = {
    /* method      path                                        handler             right  body    in                out                 summary */
    {HTTP_GET,    "/",                                         service_root,       OPEN,  NONE,   NULL,             "text",             "That it runs"},
    {HTTP_GET,    "/version",                                  service_version,    OPEN,  NONE,   NULL,             "version",          "The daemon's version"},
    {HTTP_GET,    "/metrics",                                  service_metrics,    READ,  NONE,   NULL,             "Prometheus text",  "Metrics of the daemon and its engines"},
    {HTTP_GET,    "/logs",                                     logs_get,           READ,  NONE,   "?follow&no-engines", "text",         "What the daemon and its engines wrote"},

    {HTTP_GET,    "/models",                                   models_list,        READ,  NONE,   NULL,             "[model]",          "All models in the store, newest first"},
    {HTTP_POST,   "/models/create",                            models_create,      WRITE, JSON,   "from, bearer-token", "progress lines", "Pull a model"},
    {HTTP_POST,   "/models/load",                              models_load,        WRITE, UPLOAD, "tar",            "progress lines",   "Take a model from a tar"},
    {HTTP_POST,   "/models/prune",                             models_prune,       WRITE, NONE,   "?all",           "removed, freed_bytes", "Free what nothing refers to"},
    {HTTP_DELETE, "/models/purge",                             models_purge,       WRITE, NONE,   NULL,             "empty",            "Remove all models"},
    {HTTP_GET,    "/models/{name...}/export",                  models_export,      READ,  NONE,   NULL,             "tar",              "A model as a tar"},
    {HTTP_POST,   "/models/{name...}/tag",                     models_tag,         WRITE, NONE,   "?repo&tag",      "message, target",  "Give a model another name"},
    {HTTP_POST,   "/models/{name...}/repackage",               models_repackage,   WRITE, JSON,   "target, context_size", "message, source, target", "A model under another name, with another context size"},
    {HTTP_POST,   "/models/{name...}/push",                    models_push,        WRITE, JSON,   "bearer-token",   "progress lines",   "Push a model to its registry"},
    {HTTP_GET,    "/models/{name...}",                         models_inspect,     READ,  NONE,   "?remote",        "model",            "One model, here or in its registry"},
    {HTTP_DELETE, "/models/{name...}",                         models_remove,      WRITE, NONE,   "?force",         "[Untagged|Deleted]", "Take a name away, and the model with its last one"},

    {HTTP_GET,    "/engines/ps",                               engines_ps,         READ,  NONE,   NULL,             "[engine]",         "Models in memory"},
    {HTTP_GET,    "/engines/df",                               engines_df,         READ,  NONE,   NULL,             "sizes",            "Disk that the models take"},
    {HTTP_GET,    "/engines/status",                           engines_status,     READ,  NONE,   NULL,             "{backend: status}", "What can run models here"},
    {HTTP_POST,   "/engines/unload",                           engines_unload,     WRITE, JSON,   "all, models",    "unloaded_runners", "Take idle models out of memory"},
    {HTTP_POST,   "/engines/_configure",                       engines_configure,  WRITE, JSON,   "model, mode, context-size, runtime-flags, keep_alive, …", "202", "Change a model's own settings, and load it"},
    {HTTP_GET,    "/engines/_configure",                       engines_configured, READ,  NONE,   "?model",         "[settings]",       "The settings of a model, or of all that have some"},
    {HTTP_GET,    "/engines/requests",                         engines_requests,   READ,  NONE,   "?model&include_existing", "[requests] or events", "The latest requests, and those that come"},
    {HTTP_POST,   "/engines/{backend}/_configure",             engines_configure,  WRITE, JSON,   "as above",       "202",              "Likewise"},
    {HTTP_GET,    "/engines/{backend}/_configure",             engines_configured, READ,  NONE,   "?model",         "[settings]",       "Likewise"},

    {HTTP_POST,   "/v1/chat/completions",                      openai_chat,        INFER, JSON,   "chat",           "JSON or events",   "Answer a conversation"},
    {HTTP_POST,   "/engines/v1/chat/completions",              openai_chat,        INFER, JSON,   "chat",           "JSON or events",   "Answer a conversation"},
    {HTTP_POST,   "/engines/llama.cpp/v1/chat/completions",    openai_chat,        INFER, JSON,   "chat",           "JSON or events",   "Answer a conversation"},
    {HTTP_POST,   "/engines/{model...}/v1/chat/completions",   openai_chat,        INFER, JSON,   "chat",           "JSON or events",   "Answer a conversation, with this model"},
    {HTTP_POST,   "/v1/completions",                           openai_completions, INFER, JSON,   "completion",     "JSON or events",   "Continue a text"},
    {HTTP_POST,   "/engines/v1/completions",                   openai_completions, INFER, JSON,   "completion",     "JSON or events",   "Continue a text"},
    {HTTP_POST,   "/engines/llama.cpp/v1/completions",         openai_completions, INFER, JSON,   "completion",     "JSON or events",   "Continue a text"},
    {HTTP_POST,   "/engines/{model...}/v1/completions",        openai_completions, INFER, JSON,   "completion",     "JSON or events",   "Continue a text, with this model"},
    {HTTP_POST,   "/v1/embeddings",                            openai_embeddings,  INFER, JSON,   "embeddings",     "JSON",             "Vectors of texts"},
    {HTTP_POST,   "/engines/v1/embeddings",                    openai_embeddings,  INFER, JSON,   "embeddings",     "JSON",             "Vectors of texts"},
    {HTTP_POST,   "/engines/llama.cpp/v1/embeddings",          openai_embeddings,  INFER, JSON,   "embeddings",     "JSON",             "Vectors of texts"},
    {HTTP_POST,   "/engines/{model...}/v1/embeddings",         openai_embeddings,  INFER, JSON,   "embeddings",     "JSON",             "Vectors of texts, with this model"},
    {HTTP_POST,   "/rerank",                                   openai_rerank,      INFER, JSON,   "query, documents", "JSON",             "Documents by a query"},
    {HTTP_POST,   "/v1/rerank",                                openai_rerank,      INFER, JSON,   "query, documents", "JSON",             "Documents by a query"},
    {HTTP_POST,   "/engines/v1/rerank",                        openai_rerank,      INFER, JSON,   "query, documents", "JSON",             "Documents by a query"},
    {HTTP_POST,   "/engines/llama.cpp/v1/rerank",              openai_rerank,      INFER, JSON,   "query, documents", "JSON",             "Documents by a query"},
    {HTTP_POST,   "/engines/{model...}/v1/rerank",             openai_rerank,      INFER, JSON,   "query, documents", "JSON",             "Documents by a query"},
    {HTTP_POST,   "/score",                                    openai_score,       INFER, JSON,   "text_1, text_2", "JSON",             "How alike texts are"},
    {HTTP_POST,   "/v1/score",                                 openai_score,       INFER, JSON,   "text_1, text_2", "JSON",             "How alike texts are"},
    {HTTP_POST,   "/engines/v1/score",                         openai_score,       INFER, JSON,   "text_1, text_2", "JSON",             "How alike texts are"},
    {HTTP_POST,   "/engines/llama.cpp/v1/score",               openai_score,       INFER, JSON,   "text_1, text_2", "JSON",             "How alike texts are"},
    {HTTP_POST,   "/engines/{model...}/v1/score",              openai_score,       INFER, JSON,   "text_1, text_2", "JSON",             "How alike texts are"},
    {HTTP_POST,   "/tokenize",                                 openai_tokenize,    INFER, JSON,   "content",        "JSON",             "A text as tokens"},
    {HTTP_POST,   "/engines/{model...}/tokenize",              openai_tokenize,    INFER, JSON,   "content",        "JSON",             "A text as tokens"},
    {HTTP_POST,   "/detokenize",                               openai_detokenize,  INFER, JSON,   "tokens",         "JSON",             "Tokens as a text"},
    {HTTP_POST,   "/engines/{model...}/detokenize",            openai_detokenize,  INFER, JSON,   "tokens",         "JSON",             "Tokens as a text"},
    {HTTP_POST,   "/apply-template",                           openai_template,    INFER, JSON,   "chat",           "JSON",             "A chat request as a prompt"},
    {HTTP_POST,   "/engines/{model...}/apply-template",        openai_template,    INFER, JSON,   "chat",           "JSON",             "A chat request as a prompt"},
    {HTTP_GET,    "/v1/models",                                openai_models_list, READ,  NONE,   NULL,             "list",             "All models, in OpenAI's form"},
    {HTTP_GET,    "/engines/v1/models",                        openai_models_list, READ,  NONE,   NULL,             "list",             "All models, in OpenAI's form"},
    {HTTP_GET,    "/engines/llama.cpp/v1/models",              openai_models_list, READ,  NONE,   NULL,             "list",             "All models, in OpenAI's form"},
    {HTTP_GET,    "/v1/models/{name...}",                      openai_models_one,  READ,  NONE,   NULL,             "model",            "One model, in OpenAI's form"},
    {HTTP_GET,    "/engines/v1/models/{name...}",              openai_models_one,  READ,  NONE,   NULL,             "model",            "One model, in OpenAI's form"},
    {HTTP_GET,    "/engines/llama.cpp/v1/models/{name...}",    openai_models_one,  READ,  NONE,   NULL,             "model",            "One model, in OpenAI's form"},
    {HTTP_GET,    "/engines/{model...}/v1/models",             openai_models_of,   READ,  NONE,   NULL,             "list",             "This model alone, as a list"},
    {.pattern = NULL},
};
/* clang-format on */
