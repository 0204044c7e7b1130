/* engine/front_routes.c: what tug-engine answers, on one screen. */
#include "engine/front.h"

/* clang-format off */
const struct http_route front_routes[] = {
    /* methods    pattern                 handler           right            body              sink  in                out                      summary */
    {HTTP_POST, "/v1/chat/completions", front_chat,       HTTP_RIGHT_INFER, HTTP_BODY_BUFFER, NULL, "chat request",   "chat.completion or SSE", "Answer a conversation"},
    {HTTP_POST, "/v1/completions",      front_completion, HTTP_RIGHT_INFER, HTTP_BODY_BUFFER, NULL, "completion request", "text_completion or SSE", "Continue a text"},
    {HTTP_POST, "/v1/embeddings",       front_embeddings, HTTP_RIGHT_INFER, HTTP_BODY_BUFFER, NULL, "embedding request", "list of embeddings",  "Turn texts into vectors"},
    {HTTP_POST, "/chat/completions",    front_chat,       HTTP_RIGHT_INFER, HTTP_BODY_BUFFER, NULL, "chat request",   "chat.completion or SSE", "The same without /v1"},
    {HTTP_POST, "/completions",         front_completion, HTTP_RIGHT_INFER, HTTP_BODY_BUFFER, NULL, "completion request", "text_completion or SSE", "The same without /v1"},
    {HTTP_POST, "/embeddings",          front_embeddings, HTTP_RIGHT_INFER, HTTP_BODY_BUFFER, NULL, "embedding request", "list of embeddings",  "The same without /v1"},
    {HTTP_POST, "/rerank",              front_rerank,     HTTP_RIGHT_INFER, HTTP_BODY_BUFFER, NULL, "query, documents", "scores, best first",     "Order documents by a query"},
    {HTTP_POST, "/v1/rerank",           front_rerank,     HTTP_RIGHT_INFER, HTTP_BODY_BUFFER, NULL, "query, documents", "scores, best first",     "The same under /v1"},
    {HTTP_POST, "/score",               front_score,      HTTP_RIGHT_INFER, HTTP_BODY_BUFFER, NULL, "text_1, text_2",   "scores",                 "How alike pairs of texts are"},
    {HTTP_POST, "/v1/score",            front_score,      HTTP_RIGHT_INFER, HTTP_BODY_BUFFER, NULL, "text_1, text_2",   "scores",                 "The same under /v1"},
    {HTTP_POST, "/tokenize",            front_tokenize_route, HTTP_RIGHT_INFER, HTTP_BODY_BUFFER, NULL, "content or messages", "tokens, count",   "A text as tokens, and how many"},
    {HTTP_POST, "/detokenize",          front_detokenize_route, HTTP_RIGHT_INFER, HTTP_BODY_BUFFER, NULL, "tokens",     "content",                "Tokens as a text"},
    {HTTP_POST, "/apply-template",      front_template_route, HTTP_RIGHT_INFER, HTTP_BODY_BUFFER, NULL, "chat request", "prompt",                 "What a chat request is for the model"},
    {HTTP_GET,  "/v1/models",           front_models,     HTTP_RIGHT_READ,  HTTP_BODY_NONE,   NULL, NULL,             "list of one model",      "The model that is served"},
    {HTTP_GET,  "/v1/models/{model...}", front_model,     HTTP_RIGHT_READ,  HTTP_BODY_NONE,   NULL, NULL,             "model",                  "The model by its name"},
    {HTTP_GET,  "/models",              front_models,     HTTP_RIGHT_READ,  HTTP_BODY_NONE,   NULL, NULL,             "list of one model",      "The same without /v1"},
    {HTTP_GET,  "/health",              front_health,     HTTP_RIGHT_OPEN,  HTTP_BODY_NONE,   NULL, NULL,             "{\"status\":\"ok\"}",    "Whether requests are taken"},
    {HTTP_GET,  "/props",               front_props,      HTTP_RIGHT_READ,  HTTP_BODY_NONE,   NULL, NULL,             "facts of the model",     "Context, slots, template"},
    {HTTP_GET,  "/metrics",             front_metrics,    HTTP_RIGHT_READ,  HTTP_BODY_NONE,   NULL, NULL,             "Prometheus text",        "Counters and gauges"},
    {0},
};
/* clang-format on */
