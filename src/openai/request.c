/* openai/request.c: from a body to a checked request; the parts are in request_*.c. */
#include "openai/request.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "openai/request_parts.h"

#include <inttypes.h>

static bool request_model(const json_t *body, struct arena *a, struct openai_request *r, struct err *err)
{
    const char *model = NULL;
    if (!json_get_string(body, "", "model", &model, err))
        return false;
    if (model != NULL && strlen(model) > LIMIT_REFERENCE_BYTES)
        return err_param(err, "model", "`model` is longer than %d bytes", (int)LIMIT_REFERENCE_BYTES);
    if (model != NULL && model[0] != '\0')
        r->model = arena_strdup(a, model);
    return true;
}

static bool request_embedding(const json_t *body, struct arena *a, struct openai_request *r, struct err *err)
{
    const char *encoding = "float";
    if (!json_get_string(body, "", "encoding_format", &encoding, err))
        return false;
    r->base64 = strcmp(encoding, "base64") == 0;
    if (!r->base64 && strcmp(encoding, "float") != 0)
        return err_param(err, "encoding_format", "`encoding_format` must be \"float\" or \"base64\" (got \"%.64s\")",
                         encoding);
    return request_prompts(body, "input", a, r, err);
}

static bool request_body(json_t *body, struct arena *a, struct openai_request *r, struct err *err)
{
    if (!json_is_object(body))
        return err_set(err, ERR_INVALID, "the body must be a JSON object, it is %s", json_kind(body));
    if (!request_model(body, a, r, err) || !request_fields(body, a, r, err))
        return false;
    request_unknown(body, a, r);
    switch (r->kind) {
    case OPENAI_CHAT:
        return request_tools(body, a, r, err) && request_format(body, a, r, err) && request_messages(body, a, r, err);
    case OPENAI_COMPLETION:
        return request_format(body, a, r, err) && request_prompts(body, "prompt", a, r, err);
    case OPENAI_EMBEDDING:
        return request_embedding(body, a, r, err);
    }
    return err_set(err, ERR_INTERNAL, "no such kind of request");
}

bool openai_request_parse(enum openai_kind kind, const char *body, size_t len, struct arena *a,
                          struct openai_request *ret_request, struct err *err)
{
    _cleanup_(json_free) json_t *root = NULL;
    struct openai_request r;
    if (len == 0)
        return err_set(err, ERR_INVALID, "the body is empty; send a JSON object");
    if (!json_parse(body, len, &root, err))
        return false;
    request_defaults(kind, &r);
    if (!request_body(root, a, &r, err))
        return false;
    if (r.kind == OPENAI_COMPLETION && r.n_prompts > (size_t)LIMIT_SEQUENCES / (size_t)r.best_of)
        return err_param(err, "prompt",
                         "%zu prompts with n or best_of = %" PRId64 " are more than %d choices in one request",
                         r.n_prompts, r.best_of, (int)LIMIT_SEQUENCES);
    *ret_request = r;
    return true;
}
