/* engine/tools.c: the prompt's and the grammar's side of tools.h; the reader is in tools_reader.c. */
#include "engine/tools.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "engine/chat_shim.h"
#include "json/json_read.h"

#include <string.h>

static const char before[] = "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
                             "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n";
static const char after[] = "</tools>\n\nFor each function call, return a json object with function name and arguments "
                            "within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, "
                            "\"arguments\": <args-json-object>}\n</tool_call>";

static bool add_json(struct buf *b, const json_t *value)
{
    _cleanup_free_ char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    return text != NULL && buf_add_str(b, text);
}

static char *system_text(const json_t *tools)
{
    struct buf b = BUF_INIT(2 * LIMIT_TOOLS_BYTES + 4096);
    (void)buf_add_str(&b, before);
    for (size_t i = 0; i < json_array_size(tools); i++) {
        (void)add_json(&b, json_array_get(tools, i));
        (void)buf_add_char(&b, '\n');
    }
    (void)buf_add_str(&b, after);
    return buf_take(&b);
}

static void append_text(json_t *message, const char *text)
{
    json_t *content = json_object_get(message, "content");
    if (json_is_array(content)) {
        json_array_append_new(content, json_pack("{s:s,s:s}", "type", "text", "text", text));
        return;
    }
    const char *old = json_string_value(content);
    json_object_set_new(message, "content",
                        old == NULL || old[0] == '\0' ? json_string(text) : json_sprintf("%s\n\n%s", old, text));
}

/* Calls of an earlier turn, as the model would have written them. */
static void calls_as_text(json_t *message)
{
    struct buf b = BUF_INIT(LIMIT_REQUEST_BODY_BYTES);
    const json_t *calls = json_object_get(message, "tool_calls");
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *function = json_object_get(json_array_get(calls, i), "function");
        (void)buf_printf(&b, "%s" TOOLS_CALL "\n{\"name\": ", i > 0 ? "\n" : "");
        (void)add_json(&b, json_object_get(function, "name"));
        (void)buf_printf(&b, ", \"arguments\": %s}\n" TOOLS_DONE,
                         json_string_value(json_object_get(function, "arguments")));
    }
    if (b.len > 0)
        append_text(message, buf_str(&b));
    json_object_del(message, "tool_calls");
    buf_done(&b);
}

static const char *role_of(const json_t *message) { return json_string_value(json_object_get(message, "role")); }

static char *content_text(const json_t *message)
{
    struct buf b = BUF_INIT(LIMIT_REQUEST_BODY_BYTES);
    const json_t *content = json_object_get(message, "content");
    if (json_is_string(content))
        (void)buf_add(&b, json_string_value(content), json_string_length(content));
    for (size_t i = 0; i < json_array_size(content); i++) {
        const char *part = json_string_value(json_object_get(json_array_get(content, i), "text"));
        (void)buf_printf(&b, "%s%s", i > 0 ? "\n" : "", part == NULL ? "" : part);
    }
    return buf_take(&b);
}

/* Answers of tools become the user's words, those in a row one message: many templates want turns to alternate. */
static void answer_as_text(json_t *plain, const json_t *message)
{
    _cleanup_free_ char *content = content_text(message);
    _cleanup_(buf_done) struct buf b = BUF_INIT(LIMIT_REQUEST_BODY_BYTES);
    size_t n = json_array_size(plain);
    json_t *last = n == 0 ? NULL : json_array_get(plain, n - 1);
    (void)buf_printf(&b, "<tool_response>\n%s\n</tool_response>", content);
    if (last != NULL && json_object_get(last, "answers") != NULL)
        append_text(last, buf_str(&b));
    else
        json_array_append_new(plain, json_pack("{s:s,s:s,s:b}", "role", "user", "content", buf_str(&b), "answers", 1));
}

static json_t *plain_messages(const json_t *messages, const char *system)
{
    json_t *plain = json_array();
    bool has_system = strcmp(role_of(json_array_get(messages, 0)), "system") == 0;
    if (!has_system)
        json_array_append_new(plain, json_pack("{s:s,s:s}", "role", "system", "content", system));
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        if (strcmp(role_of(message), "tool") == 0) {
            answer_as_text(plain, message);
            continue;
        }
        json_t *copy = json_deep_copy(message);
        calls_as_text(copy);
        if (i == 0 && has_system)
            append_text(copy, system);
        json_array_append_new(plain, copy);
    }
    for (size_t i = 0; i < json_array_size(plain); i++)
        json_object_del(json_array_get(plain, i), "answers");
    return plain;
}

char *tools_messages(const char *messages_json, const char *tools_json, struct err *err)
{
    _cleanup_(json_free) json_t *messages = NULL;
    _cleanup_(json_free) json_t *tools = NULL;
    if (!json_parse(messages_json, strlen(messages_json), &messages, err) ||
        !json_parse(tools_json, strlen(tools_json), &tools, err))
        return NULL;
    _cleanup_free_ char *system = system_text(tools);
    _cleanup_(json_free) json_t *plain = plain_messages(messages, system);
    char *text = json_dumps(plain, JSON_COMPACT);
    if (text == NULL)
        err_param(err, "messages", "`messages` cannot be written as JSON");
    return text;
}

/* ---- the grammar ---- */

/* References within a tool's parameters count from there; in the one schema of all tools they must begin at `base`. */
static void refs_move(json_t *node, const char *base)
{
    const char *key;
    json_t *value;
    size_t i;
    json_array_foreach((json_is_array(node) ? node : NULL), i, value) { refs_move(value, base); }
    json_object_foreach((json_is_object(node) ? node : NULL), key, value)
    {
        if (strcmp(key, "$ref") == 0 && json_is_string(value) && text_starts(json_string_value(value), "#/"))
            json_object_set_new(node, key, json_sprintf("%s%s", base, json_string_value(value) + 1));
        else
            refs_move(value, base);
    }
}

/* {"name": one of them, "arguments": as its parameters say}. */
static json_t *calls_schema(const json_t *tools)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *function = json_object_get(json_array_get(tools, i), "function");
        json_t *parameters = json_deep_copy(json_object_get(function, "parameters"));
        char base[64];
        (void)text_format(base, sizeof base, "#/anyOf/%zu/properties/arguments", i);
        refs_move(parameters, base);
        json_array_append_new(list, json_pack("{s:s,s:{s:{s:O},s:o},s:[s,s],s:b}", "type", "object", "properties",
                                              "name", "const", json_object_get(function, "name"), "arguments",
                                              parameters, "required", "name", "arguments", "additionalProperties", 0));
    }
    return json_pack("{s:o}", "anyOf", list);
}

/* The schema's grammar with its root as the rule tug-call, and a root that wraps it. */
static char *calls_wrap(const char *grammar, bool parallel)
{
    static const char one[] = "\"" TOOLS_CALL "\\n\" tug-call \"\\n" TOOLS_DONE "\"";
    struct buf b = BUF_INIT(2 * LIMIT_GRAMMAR_BYTES);
    const char *root = text_starts(grammar, "root ::= ") ? grammar : strstr(grammar, "\nroot ::= ");
    if (root == NULL)
        return buf_take(&b);
    root += *root == '\n';
    (void)buf_printf(&b, parallel ? "root ::= %s (\"\\n\" %s)*\n" : "root ::= %s\n", one, one);
    (void)buf_add(&b, grammar, (size_t)(root - grammar));
    (void)buf_printf(&b, "tug-call%s", root + 4);
    return buf_take(&b);
}

char *tools_grammar(const char *tools_json, bool parallel, struct err *err)
{
    _cleanup_(json_free) json_t *tools = NULL;
    _cleanup_free_ char *grammar = NULL;
    char why[ERR_TEXT_MAX / 2];
    if (!json_parse(tools_json, strlen(tools_json), &tools, err))
        return NULL;
    _cleanup_(json_free) json_t *schema = calls_schema(tools);
    _cleanup_free_ char *text = json_dumps(schema, JSON_COMPACT);
    if (text == NULL || !chat_schema_grammar(text, &grammar, why, sizeof why)) {
        err_param(err, "tools", "`tools`: their parameters do not become a grammar: %s", text == NULL ? "" : why);
        return NULL;
    }
    return calls_wrap(grammar, parallel);
}
