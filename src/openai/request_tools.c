/* openai/request_tools.c: `tools`, `tool_choice` and `parallel_tool_calls`, checked and written again in the plain form
 * that the chat templates take. A named choice leaves that one tool, and a call is required. */
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "openai/request_parts.h"
#include "openai/schema.h"

#include <string.h>

struct choice {
    enum { CHOICE_AUTO, CHOICE_NONE, CHOICE_REQUIRED, CHOICE_NAMED } kind;
    const char *name;
};

static bool choice_word(const char *word, struct choice *ret, struct err *err)
{
    static const char *const words[] = {"auto", "none", "required"};
    static const int kinds[] = {CHOICE_AUTO, CHOICE_NONE, CHOICE_REQUIRED};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(word, words[i]) == 0) {
            ret->kind = (unsigned)kinds[i];
            return true;
        }
    }
    return err_param(err, "tool_choice",
                     "`tool_choice` must be \"auto\", \"none\", \"required\" or {\"type\":\"function\",\"function\":"
                     "{\"name\":…}} (got \"%.64s\")",
                     word);
}

static bool choice_read(const json_t *body, struct choice *ret, struct err *err)
{
    const json_t *value = json_object_get(body, "tool_choice");
    const json_t *function = NULL;
    if (value == NULL || json_is_null(value))
        return true;
    if (json_is_string(value))
        return choice_word(json_string_value(value), ret, err);
    if (!json_is_object(value))
        return err_param(err, "tool_choice", "`tool_choice` must be a string or an object (got %s)", json_kind(value));
    if (!json_get_object(value, "tool_choice", "function", &function, err))
        return false;
    ret->kind = CHOICE_NAMED;
    ret->name = json_string_value(json_object_get(function == NULL ? value : function, "name"));
    return ret->name != NULL || err_param(err, "tool_choice.function.name", "`tool_choice.function.name` is missing");
}

static bool tool_name(const json_t *function, const char *where, const char **ret, struct err *err)
{
    char path[64];
    const char *name = NULL;
    (void)text_format(path, sizeof path, "%s.name", where);
    if (!json_need(function, where, "name", err) || !json_get_string(function, where, "name", &name, err))
        return false;
    size_t n = name == NULL ? 0 : strlen(name);
    for (size_t i = 0; i < n; i++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/", name[i]) == NULL)
            n = 0;
    if (n == 0 || n > LIMIT_TOOL_NAME_BYTES)
        return err_param(err, path, "`%s` must have 1 to %d letters, digits, or any of _ - . : / (got \"%.64s\")", path,
                         (int)LIMIT_TOOL_NAME_BYTES, name == NULL ? "" : name);
    *ret = name;
    return true;
}

/* A tool without parameters takes none. */
static json_t *tool_parameters(const json_t *function, const char *where, struct err *err)
{
    char path[64];
    bool strict = false;
    const json_t *given = NULL;
    (void)text_format(path, sizeof path, "%s.parameters", where);
    if (!json_get_bool(function, where, "strict", &strict, err) ||
        !json_get_object(function, where, "parameters", &given, err))
        return NULL;
    if (given == NULL || json_object_size(given) == 0)
        return json_pack("{s:s,s:{},s:b}", "type", "object", "properties", "additionalProperties", 0);
    _cleanup_(json_free) json_t *schema = json_deep_copy(given);
    if (!schema_prepare(schema, path, strict ? SCHEMA_STRICT : SCHEMA_LENIENT, err))
        return NULL;
    const char *type = json_string_value(json_object_get(schema, "type"));
    if (type != NULL && strcmp(type, "object") != 0) {
        err_param(err, path, "`%s` must describe an object, since arguments are one (got type \"%.32s\")", path, type);
        return NULL;
    }
    if (type == NULL && json_object_get(schema, "properties") != NULL)
        json_object_set_new(schema, "type", json_string("object"));
    return TAKE(schema);
}

static bool tool_is_there(const json_t *plain, const char *name)
{
    for (size_t i = 0; i < json_array_size(plain); i++) {
        const json_t *other = json_object_get(json_array_get(plain, i), "function");
        const char *taken = json_string_value(json_object_get(other, "name"));
        if (taken != NULL && name != NULL && strcmp(taken, name) == 0)
            return true;
    }
    return false;
}

/* The tool's `function`, an object; *ret is borrowed. */
static bool tool_function(const json_t *tool, const char *where, const json_t **ret, struct err *err)
{
    const char *type = "function";
    if (!json_is_object(tool))
        return err_param(err, where, "`%s` must be an object (got %s)", where, json_kind(tool));
    if (!json_get_string(tool, where, "type", &type, err))
        return false;
    if (type == NULL || strcmp(type, "function") != 0)
        return err_param(err, where, "`%s.type`: only \"function\" is supported", where);
    return json_need(tool, where, "function", err) && json_get_object(tool, where, "function", ret, err);
}

/* Appends the plain form of tools[index], unless it is not the one that was named. */
static bool tool_add(const json_t *tool, size_t index, const struct choice *choice, json_t *plain, struct err *err)
{
    char where[48];
    char inside[48];
    const char *name = NULL;
    const char *description = "";
    const json_t *function = NULL;
    (void)text_format(where, sizeof where, "tools[%zu]", index);
    (void)text_format(inside, sizeof inside, "%s.function", where);
    if (!tool_function(tool, where, &function, err) || !tool_name(function, inside, &name, err) ||
        !json_get_string(function, inside, "description", &description, err))
        return false;
    if (choice->kind == CHOICE_NAMED && choice->name != NULL && name != NULL && strcmp(choice->name, name) != 0)
        return true;
    if (tool_is_there(plain, name))
        return err_param(err, where, "`%s` has the name of another tool, \"%.64s\"", where, name);
    json_t *parameters = tool_parameters(function, inside, err);
    if (parameters == NULL)
        return false;
    json_array_append_new(plain, json_pack("{s:s,s:{s:s,s:s,s:o}}", "type", "function", "function", "name", name,
                                           "description", description, "parameters", parameters));
    return true;
}

static bool tools_write(const json_t *plain, struct arena *a, struct openai_request *r, struct err *err)
{
    _cleanup_free_ char *text = json_dumps(plain, JSON_COMPACT);
    if (text == NULL)
        return err_param(err, "tools", "`tools` cannot be written as JSON");
    if (strlen(text) > LIMIT_TOOLS_BYTES)
        return err_param(err, "tools", "`tools` have %zu bytes, at most %d are taken (LIMIT_TOOLS_BYTES)", strlen(text),
                         (int)LIMIT_TOOLS_BYTES);
    r->tools_json = arena_strdup(a, text);
    return true;
}

static bool tools_count(const json_t *tools, size_t *ret_n, struct err *err)
{
    if (tools != NULL && !json_is_null(tools) && !json_is_array(tools))
        return err_param(err, "tools", "`tools` must be an array (got %s)", json_kind(tools));
    *ret_n = json_array_size(tools);
    return *ret_n <= LIMIT_TOOLS ||
           err_param(err, "tools", "`tools` has %zu entries, at most %d are taken (LIMIT_TOOLS)", *ret_n,
                     (int)LIMIT_TOOLS);
}

bool request_tools(const json_t *body, struct arena *a, struct openai_request *r, struct err *err)
{
    const json_t *tools = json_object_get(body, "tools");
    struct choice choice = {.kind = CHOICE_AUTO};
    size_t n = 0;
    if (!choice_read(body, &choice, err) ||
        !json_get_bool(body, "", "parallel_tool_calls", &r->parallel_tool_calls, err) || !tools_count(tools, &n, err))
        return false;
    _cleanup_(json_free) json_t *plain = json_array();
    for (size_t i = 0; i < n; i++)
        if (!tool_add(json_array_get(tools, i), i, &choice, plain, err))
            return false;
    if (choice.kind == CHOICE_NAMED && json_array_size(plain) == 0)
        return err_param(err, "tool_choice", "`tool_choice` names \"%.64s\", which is not among `tools`", choice.name);
    if (choice.kind == CHOICE_REQUIRED && n == 0)
        return err_param(err, "tool_choice", "`tool_choice` is \"required\", but there are no `tools`");
    r->tool_required = choice.kind == CHOICE_REQUIRED || choice.kind == CHOICE_NAMED;
    return n == 0 || choice.kind == CHOICE_NONE || tools_write(plain, a, r, err);
}
