/* Any bytes as a request's path: what is accepted has none of what is refused, and matching ends. */
#include "base/check.h"
#include "base/limits.h"
#include "http/server/http_server.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const patterns[] = {
        "/",
        "/models",
        "/models/{x}",
        "/models/{x...}",
        "/models/{x...}/tag",
        "/engines/{m...}/v1/models/{n...}",
        "/{a...}/{b...}/{c}",
    };
    struct arena a = ARENA_INIT;
    const char *path = NULL;
    const char *params[HTTP_PARAMS_MAX];
    char *raw = arena_strndup(&a, (const char *)data, size);
    if (http_path_normalise(raw, &a, &path, NULL)) {
        CHECK(path[0] == '/' && strstr(path, "//") == NULL && strstr(path, "/../") == NULL);
        CHECK(strlen(path) <= LIMIT_PATH_BYTES);
        for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
            if (http_route_match(patterns[i], path, &a, params))
                for (size_t p = 0; p < HTTP_PARAMS_MAX; p++)
                    CHECK(params[p] == NULL || (params[p][0] != '\0' && params[p][0] != '/'));
    }
    arena_done(&a);
    return 0;
}
