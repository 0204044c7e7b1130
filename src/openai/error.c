/* openai/error.c: the error object that every OpenAI client knows. */
#include "openai/openai.h"
#include "json/json_write.h"

/* `code`: what programs decide on beside the status. */
static const char *error_code(enum err_code code)
{
    switch (code) {
    case ERR_NOT_FOUND:
        return "model_not_found";
    case ERR_CONTEXT:
        return "context_length_exceeded";
    case ERR_UNAUTHORIZED:
        return "invalid_api_key";
    default:
        return NULL;
    }
}

void openai_write_error(struct buf *out, const struct err *err)
{
    struct json_out j = JSON_OUT(out);
    json_open(&j, '{');
    json_key(&j, "error");
    json_open(&j, '{');
    json_kv_str(&j, "message", err->text);
    json_kv_str(&j, "type", err_type(err->code));
    json_kv_str(&j, "param", err->param[0] != '\0' ? err->param : NULL);
    json_kv_str(&j, "code", error_code(err->code));
    json_close(&j, '}');
    json_close(&j, '}');
}
