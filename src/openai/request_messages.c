/* openai/request_messages.c: `messages`, checked and written again in the plain form that the chat
 * templates take: {"role","content"} with roles system, user, assistant and tool. Content arrays stay arrays,
 * since some templates treat their parts apart. */
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "openai/request_parts.h"

#include <string.h>

/* In the order of likelihood. `becomes` NULL: refused with `why`. */
static const struct role_row {
    const char *name;
    const char *becomes;
    const char *why;
} role_rows[] = {
    {"user", "user", NULL},
    {"assistant", "assistant", NULL},
    {"system", "system", NULL},
    {"developer", "system", NULL},
    {"tool", "tool", NULL},
    {"function", NULL, "function messages are OpenAI's old form: write role \"tool\" with a tool_call_id"},
};

struct message {
    const json_t *object;
    char where[48]; /* "messages[2]" */
    const char *role;
    bool calls; /* it has tool_calls */
};

static bool message_role(struct message *m, struct err *err)
{
    const char *role = NULL;
    char path[64];
    (void)text_format(path, sizeof path, "%s.role", m->where);
    if (!json_need(m->object, m->where, "role", err) || !json_get_string(m->object, m->where, "role", &role, err))
        return false;
    if (role == NULL)
        return err_param(err, path, "`%s` is null; it must be system, user, assistant or tool", path);
    for (size_t i = 0; i < sizeof role_rows / sizeof role_rows[0]; i++) {
        if (strcmp(role, role_rows[i].name) != 0)
            continue;
        if (role_rows[i].becomes == NULL) {
            err_param(err, path, "`%s`: %s", path, role_rows[i].why);
            return false;
        }
        m->role = role_rows[i].becomes;
        return true;
    }
    return err_param(err, path, "`%s` must be system, developer, user, assistant or tool (got \"%.64s\")", path, role);
}

/* One part of a content array; assistants may quote their refusals. Appends to `parts`. */
static bool part_add(const struct message *m, const json_t *part, size_t index, json_t *parts, struct err *err)
{
    char where[80];
    const char *type = NULL;
    const char *text = NULL;
    (void)text_format(where, sizeof where, "%s.content[%zu]", m->where, index);
    if (!json_is_object(part))
        return err_param(err, where, "`%s` must be an object (got %s)", where, json_kind(part));
    if (!json_need(part, where, "type", err) || !json_get_string(part, where, "type", &type, err))
        return false;
    bool refusal = type != NULL && strcmp(type, "refusal") == 0 && strcmp(m->role, "assistant") == 0;
    if (type == NULL || (!refusal && strcmp(type, "text") != 0)) {
        char path[96];
        (void)text_format(path, sizeof path, "%s.type", where);
        return err_param(err, path, "`%s`: only \"text\" is supported by this version of Tug (got \"%.64s\")", path,
                         type == NULL ? "null" : type);
    }
    const char *key = refusal ? "refusal" : "text";
    if (!json_need(part, where, key, err) || !json_get_string(part, where, key, &text, err))
        return false;
    json_array_append_new(parts, json_pack("{s:s,s:s}", "type", "text", "text", text == NULL ? "" : text));
    return true;
}

/* A new reference: a string or an array of parts. NULL: err. */
static json_t *content_take(const struct message *m, struct err *err)
{
    json_t *content = json_object_get(m->object, "content");
    char path[64];
    (void)text_format(path, sizeof path, "%s.content", m->where);
    if (json_is_string(content))
        return json_incref(content);
    if (content == NULL || json_is_null(content)) {
        if (strcmp(m->role, "assistant") == 0)
            return json_string("");
        err_param(err, path, "`%s` is missing; it must be a string or an array of text parts", path);
        return NULL;
    }
    if (!json_is_array(content)) {
        err_param(err, path, "`%s` must be a string or an array of text parts (got %s)", path, json_kind(content));
        return NULL;
    }
    if (json_array_size(content) == 0)
        return json_string("");
    _cleanup_(json_free) json_t *parts = json_array();
    for (size_t i = 0; i < json_array_size(content); i++)
        if (!part_add(m, json_array_get(content, i), i, parts, err))
            return NULL;
    return TAKE(parts);
}

/* Arguments must be JSON, since templates want them as an object; none at all are {}. */
static bool call_arguments(const char *where, const json_t *function, const char **ret, struct err *err)
{
    char path[96];
    const char *text = "{}";
    struct err reason = ERR_INIT;
    _cleanup_(json_free) json_t *parsed = NULL;
    (void)text_format(path, sizeof path, "%s.arguments", where);
    if (!json_get_string(function, where, "arguments", &text, err))
        return false;
    if (text[0] == '\0')
        text = "{}";
    if (!json_parse(text, strlen(text), &parsed, &reason))
        return err_param(err, path, "`%s` must be JSON in a string: %s", path, reason.text);
    if (!json_is_object(parsed))
        return err_param(err, path, "`%s` must be an object in a string (got %s)", path, json_kind(parsed));
    *ret = text;
    return true;
}

/* One entry of an assistant's tool_calls. Appends to `calls`. */
static bool call_add(const struct message *m, const json_t *call, size_t index, json_t *calls, struct err *err)
{
    char where[72];
    char inside[88];
    const char *id = "";
    const char *name = NULL;
    const char *arguments = NULL;
    const json_t *function = NULL;
    (void)text_format(where, sizeof where, "%s.tool_calls[%zu]", m->where, index);
    (void)text_format(inside, sizeof inside, "%s.function", where);
    if (!json_is_object(call))
        return err_param(err, where, "`%s` must be an object (got %s)", where, json_kind(call));
    if (!json_get_string(call, where, "id", &id, err) || !json_need(call, where, "function", err) ||
        !json_get_object(call, where, "function", &function, err) || !json_need(function, inside, "name", err) ||
        !json_get_string(function, inside, "name", &name, err) || !call_arguments(inside, function, &arguments, err))
        return false;
    if (name == NULL)
        return err_param(err, inside, "`%s.name` is null", inside);
    json_array_append_new(calls, json_pack("{s:s,s:s,s:{s:s,s:s}}", "id", id, "type", "function", "function", "name",
                                           name, "arguments", arguments));
    return true;
}

static bool calls_take(const struct message *m, json_t *plain, struct err *err)
{
    const json_t *calls = NULL;
    if (!json_get_array(m->object, m->where, "tool_calls", LIMIT_TOOLS, &calls, err))
        return false;
    if (json_array_size(calls) == 0)
        return true;
    if (strcmp(m->role, "assistant") != 0) {
        char path[64];
        (void)text_format(path, sizeof path, "%s.tool_calls", m->where);
        return err_param(err, path, "`%s`: only an assistant calls tools", path);
    }
    json_t *list = json_array();
    json_object_set_new(plain, "tool_calls", list);
    for (size_t i = 0; i < json_array_size(calls); i++)
        if (!call_add(m, json_array_get(calls, i), i, list, err))
            return false;
    return true;
}

/* The members of a tool's answer beside its content. */
static bool tool_take(const struct message *m, json_t *plain, struct err *err)
{
    const char *id = NULL;
    const char *name = NULL;
    if (strcmp(m->role, "tool") != 0)
        return true;
    if (!json_need(m->object, m->where, "tool_call_id", err) ||
        !json_get_string(m->object, m->where, "tool_call_id", &id, err) ||
        !json_get_string(m->object, m->where, "name", &name, err))
        return false;
    json_object_set_new(plain, "tool_call_id", json_string(id == NULL ? "" : id));
    if (name != NULL)
        json_object_set_new(plain, "name", json_string(name));
    return true;
}

static bool message_add(struct message *m, json_t *list, struct err *err)
{
    const char *reasoning = NULL;
    if (!json_is_object(m->object))
        return err_param(err, m->where, "`%s` must be an object (got %s)", m->where, json_kind(m->object));
    if (!message_role(m, err) || !json_get_string(m->object, m->where, "reasoning_content", &reasoning, err))
        return false;
    json_t *content = content_take(m, err);
    if (content == NULL)
        return false;
    json_t *plain = json_pack("{s:s,s:o}", "role", m->role, "content", content);
    json_array_append_new(list, plain);
    if (reasoning != NULL && strcmp(m->role, "assistant") == 0)
        json_object_set_new(plain, "reasoning_content", json_string(reasoning));
    m->calls = json_object_get(m->object, "tool_calls") != NULL;
    return calls_take(m, plain, err) && tool_take(m, plain, err);
}

bool request_messages(const json_t *body, struct arena *a, struct openai_request *r, struct err *err)
{
    const json_t *list = NULL;
    if (!json_need(body, "", "messages", err) || !json_get_array(body, "", "messages", LIMIT_MESSAGES, &list, err))
        return false;
    size_t n = json_array_size(list);
    if (n == 0)
        return err_param(err, "messages", "`messages` must have at least one message");
    _cleanup_(json_free) json_t *plain = json_array();
    struct message m = {.role = ""};
    for (size_t i = 0; i < n; i++) {
        m.object = json_array_get(list, i);
        (void)text_format(m.where, sizeof m.where, "messages[%zu]", i);
        if (!message_add(&m, plain, err))
            return false;
    }
    _cleanup_free_ char *text = json_dumps(plain, JSON_COMPACT);
    if (text == NULL)
        return err_param(err, "messages", "`messages` cannot be written as JSON");
    r->messages_json = arena_strdup(a, text);
    r->prefill = strcmp(m.role, "assistant") == 0 && !m.calls;
    return true;
}
