/* engine/front: OpenAI's HTTP in front of the batch loop. Routes in front_routes.c, one file per kind of answer.
 *
 *   struct front f = {.model = m, .batch = b, .templates = t, …};
 *   http_server_start(&(struct http_server_config){.routes = front_routes, .app = &f, …})
 *
 * A handler runs on its connection's thread: it parses (openai/request.h), renders the template,
 * tokenizes, submits one gen for each choice and waits for their events, watching its client's socket.
 * A client that has gone frees its gens at once, whatever they were doing. Nothing here is shared
 * between requests but the read-only members of struct front, so there is no lock.
 */
#ifndef TUG_ENGINE_FRONT_H
#define TUG_ENGINE_FRONT_H

#include "engine/batch.h"
#include "engine/chat_shim.h"
#include "engine/model.h"
#include "engine/salt.h"
#include "http/server/http_server.h"

#include <stdint.h>

/* Borrowed, all of it; outlives the HTTP server. */
struct front {
    struct engine_model *model;
    struct batch *batch;
    const struct chat_templates *templates; /* NULL: an embedding model */
    const char *model_path;
    struct salt_key salt_key;
    struct gen_params defaults;  /* of requests that do not say */
    const char *template_kwargs; /* likewise: an object as JSON text; NULL: none */
    int64_t created_s;           /* when the model was loaded, Unix seconds */
};

extern const struct http_route front_routes[]; /* ends with pattern NULL */

/* front_tokens.c: malloc'd tokens; control tokens in the text count as such, BOS and the like are added as the
 * vocabulary says. Too long for the context by far: ERR_CONTEXT at once. */
bool front_tokenize(const struct front *front, const char *text, int32_t **ret_tokens, size_t *ret_n, struct err *err);
/* False (ERR_CONTEXT) when messages are so large that rendering them would be in vain. */
bool front_messages_fit(const struct front *front, const char *messages_json, struct err *err);

/* Likewise of a text; see front_tokens.c. */
bool front_text_fits(const struct front *front, const char *text, struct err *err);

/* front_text.c */
void front_chat(struct http_request *req);
void front_completion(struct http_request *req);
/* front_embed.c */
void front_embeddings(struct http_request *req);
/* A vector for each text, in the request's arena, n rows of *ret_n_embd floats of length 1. */
struct openai_prompt;
bool front_vectors(struct http_request *req, const struct openai_prompt *prompts, size_t n, const float **ret_vectors,
                   size_t *ret_n_embd, int64_t *ret_tokens, struct err *err);
/* front_rank.c */
void front_rerank(struct http_request *req);
void front_score(struct http_request *req);
/* front_words.c */
void front_tokenize_route(struct http_request *req);
void front_detokenize_route(struct http_request *req);
void front_template_route(struct http_request *req);
/* front_info.c */
void front_models(struct http_request *req);
void front_model(struct http_request *req);
void front_health(struct http_request *req);
void front_props(struct http_request *req);
/* front_metrics.c */
void front_metrics(struct http_request *req);

#endif
