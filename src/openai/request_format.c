/* openai/request_format.c: what the answer's text must be: `response_format`, and llama-server's `json_schema` and
 * `grammar`. One of them at most. */
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "openai/request_parts.h"
#include "openai/schema.h"

#include <string.h>

static bool take_schema(const json_t *given, const char *where, enum schema_mode mode, struct arena *a,
                        struct openai_request *r, struct err *err)
{
    _cleanup_(json_free) json_t *schema = json_deep_copy(given);
    if (!schema_prepare(schema, where, mode, err))
        return false;
    _cleanup_free_ char *text = json_dumps(schema, JSON_COMPACT);
    if (text == NULL)
        return err_param(err, where, "`%s` cannot be written as JSON", where);
    if (strlen(text) > LIMIT_SCHEMA_BYTES)
        return err_param(err, where, "`%s` has %zu bytes, at most %d are taken (LIMIT_SCHEMA_BYTES)", where,
                         strlen(text), (int)LIMIT_SCHEMA_BYTES);
    r->schema_json = arena_strdup(a, text);
    return true;
}

static bool named_schema(const json_t *format, struct arena *a, struct openai_request *r, struct err *err)
{
    static const char where[] = "response_format.json_schema";
    const json_t *named = NULL;
    const json_t *schema = NULL;
    bool strict = false;
    if (!json_need(format, "response_format", "json_schema", err) ||
        !json_get_object(format, "response_format", "json_schema", &named, err))
        return false;
    if (named == NULL)
        return err_param(err, where, "`%s` is null", where);
    if (!json_get_bool(named, where, "strict", &strict, err) || !json_need(named, where, "schema", err) ||
        !json_get_object(named, where, "schema", &schema, err))
        return false;
    if (schema == NULL)
        return err_param(err, "response_format.json_schema.schema", "`%s.schema` is null", where);
    return take_schema(schema, "response_format.json_schema.schema", strict ? SCHEMA_STRICT : SCHEMA_LENIENT, a, r,
                       err);
}

/* json_object may carry a schema, as with llama-server. */
static bool response_format(const json_t *body, struct arena *a, struct openai_request *r, struct err *err)
{
    const json_t *format = NULL;
    const json_t *schema = NULL;
    const char *type = NULL;
    if (!json_get_object(body, "", "response_format", &format, err))
        return false;
    if (format == NULL)
        return true;
    if (!json_need(format, "response_format", "type", err) ||
        !json_get_string(format, "response_format", "type", &type, err))
        return false;
    if (type != NULL && strcmp(type, "text") == 0)
        return true;
    if (type != NULL && strcmp(type, "json_schema") == 0)
        return named_schema(format, a, r, err);
    if (type == NULL || strcmp(type, "json_object") != 0)
        return err_param(err, "response_format.type",
                         "`response_format.type` must be \"text\", \"json_object\" or \"json_schema\" (got \"%.64s\")",
                         type == NULL ? "null" : type);
    if (!json_get_object(format, "response_format", "schema", &schema, err))
        return false;
    if (schema != NULL)
        return take_schema(schema, "response_format.schema", SCHEMA_LENIENT, a, r, err);
    r->schema_json = "{\"type\":\"object\"}";
    return true;
}

bool request_format(const json_t *body, struct arena *a, struct openai_request *r, struct err *err)
{
    const json_t *schema = NULL;
    const char *grammar = NULL;
    if (!response_format(body, a, r, err) || !json_get_object(body, "", "json_schema", &schema, err) ||
        !json_get_string(body, "", "grammar", &grammar, err))
        return false;
    if (schema != NULL && json_object_size(schema) > 0) {
        if (r->schema_json != NULL)
            return err_param(err, "json_schema", "`json_schema` and `response_format` are both given: leave one out");
        if (!take_schema(schema, "json_schema", SCHEMA_LENIENT, a, r, err))
            return false;
    }
    if (grammar == NULL || grammar[0] == '\0')
        return true;
    if (r->schema_json != NULL || r->tools_json != NULL)
        return err_param(err, "grammar", "`grammar` together with %s is not supported: leave one of them out",
                         r->schema_json != NULL ? "a schema" : "tools");
    if (strlen(grammar) > LIMIT_GRAMMAR_BYTES)
        return err_param(err, "grammar", "`grammar` has %zu bytes, at most %d are taken (LIMIT_GRAMMAR_BYTES)",
                         strlen(grammar), (int)LIMIT_GRAMMAR_BYTES);
    r->grammar = arena_strdup(a, grammar);
    return true;
}
