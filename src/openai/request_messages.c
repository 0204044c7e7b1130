/* openai/request_messages.c: `messages`, checked and written again in the plain form that the chat
 * templates take: {"role","content"} with roles system, user and assistant. Content arrays stay arrays,
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
    {"tool", NULL, "tool messages are not supported by this version of Tug"},
    {"function", NULL, "function messages are not supported by this version of Tug"},
};

struct message {
    const json_t *object;
    char where[48]; /* "messages[2]" */
    const char *role;
};

static bool message_role(struct message *m, struct err *err)
{
    const char *role = NULL;
    char path[64];
    (void)text_format(path, sizeof path, "%s.role", m->where);
    if (!json_need(m->object, m->where, "role", err) || !json_get_string(m->object, m->where, "role", &role, err))
        return false;
    if (role == NULL)
        return err_param(err, path, "`%s` is null; it must be system, user or assistant", path);
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
    return err_param(err, path, "`%s` must be system, developer, user or assistant (got \"%.64s\")", path, role);
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

static bool message_add(struct message *m, json_t *list, struct err *err)
{
    const json_t *calls = NULL;
    const char *reasoning = NULL;
    if (!json_is_object(m->object))
        return err_param(err, m->where, "`%s` must be an object (got %s)", m->where, json_kind(m->object));
    if (!message_role(m, err) || !json_get_array(m->object, m->where, "tool_calls", SIZE_MAX, &calls, err) ||
        !json_get_string(m->object, m->where, "reasoning_content", &reasoning, err))
        return false;
    if (json_array_size(calls) > 0) {
        char path[64];
        (void)text_format(path, sizeof path, "%s.tool_calls", m->where);
        return err_param(err, path, "`%s`: tool calls are not supported by this version of Tug", path);
    }
    json_t *content = content_take(m, err);
    if (content == NULL)
        return false;
    json_t *plain = json_pack("{s:s,s:o}", "role", m->role, "content", content);
    if (reasoning != NULL && strcmp(m->role, "assistant") == 0)
        json_object_set_new(plain, "reasoning_content", json_string(reasoning));
    json_array_append_new(list, plain);
    return true;
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
    r->prefill = strcmp(m.role, "assistant") == 0;
    return true;
}
