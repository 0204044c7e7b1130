/* Which handler answers which path: every form of every route, and the order of the rows. */
#include "api/handlers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void paths_find_their_handlers(void **state)
{
    (void)state;
    static const struct {
        enum http_method method;
        const char *path;
        http_handler *handler; /* NULL: no row */
        const char *param;     /* the first one, NULL: none */
    } rows[] = {
        {HTTP_GET, "/", service_root, NULL},
        {HTTP_GET, "/models", models_list, NULL},
        {HTTP_POST, "/models/create", models_create, NULL},
        {HTTP_POST, "/models/load", models_load, NULL},
        {HTTP_POST, "/models/prune", models_prune, NULL},
        {HTTP_DELETE, "/models/purge", models_purge, NULL},
        {HTTP_GET, "/models/purge", models_inspect, "purge"},
        {HTTP_GET, "/models/smollm2", models_inspect, "smollm2"},
        {HTTP_GET, "/models/ai/llama3.2:1B-Q8_0", models_inspect, "ai/llama3.2:1B-Q8_0"},
        {HTTP_GET, "/models/localhost:5000/a/b/c:latest", models_inspect, "localhost:5000/a/b/c:latest"},
        {HTTP_GET, "/models/ai/x@sha256:0123", models_inspect, "ai/x@sha256:0123"},
        {HTTP_DELETE, "/models/ai/smollm2", models_remove, "ai/smollm2"},
        {HTTP_GET, "/models/ai/smollm2/export", models_export, "ai/smollm2"},
        {HTTP_POST, "/models/ai/smollm2/tag", models_tag, "ai/smollm2"},
        {HTTP_POST, "/models/ai/smollm2/repackage", models_repackage, "ai/smollm2"},
        {HTTP_POST, "/models/ai/smollm2/push", models_push, "ai/smollm2"},
        {HTTP_POST, "/models/push/push", models_push, "push"},
        {HTTP_POST, "/models/ai/smollm2/other", NULL, NULL},
        {HTTP_GET, "/engines/ps", engines_ps, NULL},
        {HTTP_GET, "/engines/df", engines_df, NULL},
        {HTTP_GET, "/engines/status", engines_status, NULL},
        {HTTP_POST, "/engines/unload", engines_unload, NULL},
        {HTTP_POST, "/v1/chat/completions", openai_chat, NULL},
        {HTTP_POST, "/engines/v1/chat/completions", openai_chat, NULL},
        {HTTP_POST, "/engines/llama.cpp/v1/chat/completions", openai_chat, NULL},
        {HTTP_POST, "/engines/ai/llama3.2:1B-Q8_0/v1/chat/completions", openai_chat, "ai/llama3.2:1B-Q8_0"},
        {HTTP_POST, "/engines/smollm2/v1/chat/completions", openai_chat, "smollm2"},
        {HTTP_POST, "/engines/hf.co/a/b:Q4_K_M/v1/completions", openai_completions, "hf.co/a/b:Q4_K_M"},
        {HTTP_POST, "/v1/completions", openai_completions, NULL},
        {HTTP_POST, "/engines/v1/completions", openai_completions, NULL},
        {HTTP_POST, "/engines/llama.cpp/v1/completions", openai_completions, NULL},
        {HTTP_POST, "/v1/embeddings", openai_embeddings, NULL},
        {HTTP_POST, "/engines/v1/embeddings", openai_embeddings, NULL},
        {HTTP_POST, "/engines/llama.cpp/v1/embeddings", openai_embeddings, NULL},
        {HTTP_POST, "/engines/ai/minilm/v1/embeddings", openai_embeddings, "ai/minilm"},
        {HTTP_GET, "/v1/models", openai_models_list, NULL},
        {HTTP_GET, "/engines/v1/models", openai_models_list, NULL},
        {HTTP_GET, "/engines/llama.cpp/v1/models", openai_models_list, NULL},
        {HTTP_GET, "/engines/ai/smollm2/v1/models", openai_models_of, "ai/smollm2"},
        {HTTP_GET, "/v1/models/ai/smollm2:latest", openai_models_one, "ai/smollm2:latest"},
        {HTTP_GET, "/engines/v1/models/smollm2", openai_models_one, "smollm2"},
        {HTTP_GET, "/engines/llama.cpp/v1/models/smollm2", openai_models_one, "smollm2"},
        {HTTP_GET, "/v1/chat/completions", NULL, NULL},
        {HTTP_POST, "/engines/chat/completions", NULL, NULL},
        {HTTP_GET, "/version", service_version, NULL},
        {HTTP_GET, "/metrics", service_metrics, NULL},
        {HTTP_GET, "/logs", logs_get, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = ARENA_INIT;
        const char *params[HTTP_PARAMS_MAX] = {0};
        const struct http_route *r = api_routes;
        while (r->pattern != NULL &&
               !((r->methods & (int)rows[i].method) != 0 && http_route_match(r->pattern, rows[i].path, &a, params)))
            r++;
        const char *param = params[0] != NULL ? params[0] : "none";
        if (r->handler != rows[i].handler || strcmp(param, rows[i].param != NULL ? rows[i].param : "none") != 0)
            fail_msg("%s: %s, %s", rows[i].path, r->pattern != NULL ? r->pattern : "no row", param);
        arena_done(&a);
    }
}

/* What changes or computes something needs a right that says so, and every row its words for docs/api.md. */
static void rows_are_whole(void **state)
{
    (void)state;
    for (const struct http_route *r = api_routes; r->pattern != NULL; r++) {
        bool reads = r->methods == HTTP_GET;
        if (r->handler == NULL || r->summary == NULL || r->out == NULL ||
            reads != (r->right == HTTP_RIGHT_READ || r->right == HTTP_RIGHT_OPEN) ||
            (r->body == HTTP_BODY_STREAM) != (r->sink != NULL))
            fail_msg("%s", r->pattern);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(paths_find_their_handlers), cmocka_unit_test(rows_are_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
