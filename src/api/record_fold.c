/* api/record_fold.c: see record_fold.h. */
#include "api/record_fold.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "json/json_read.h"

#include <string.h>

/* Texts are joined, the rest of a later chunk wins. */
static void fold_delta(json_t *message, const json_t *delta)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)delta, key, value)
    {
        const char *old = json_string_value(json_object_get(message, key));
        if (json_is_null(value))
            continue;
        if (old == NULL || !json_is_string(value) || strcmp(key, "role") == 0) {
            json_t *list = json_object_get(message, key);
            if (json_is_array(list) && json_is_array(value))
                json_array_extend(list, value); /* tool calls: their pieces in order */
            else
                json_object_set(message, key, value);
            continue;
        }
        struct buf joined = BUF_INIT(2 * (size_t)LIMIT_RECORD_BODY_BYTES);
        buf_add_str(&joined, old);
        buf_add_str(&joined, json_string_value(value));
        json_object_set_new(message, key, json_string(buf_str(&joined)));
        buf_done(&joined);
    }
}

static json_t *fold_choice_of(json_t *choices, json_int_t index)
{
    size_t i;
    json_t *choice;
    json_array_foreach(choices, i, choice)
    {
        if (json_integer_value(json_object_get(choice, "index")) == index)
            return choice;
    }
    choice = json_pack("{s:I, s:{}, s:n}", "index", index, "message", "finish_reason");
    json_array_append_new(choices, choice);
    return choice;
}

static void fold_chunk(json_t *whole, const json_t *chunk)
{
    static const char *const kept[] = {"id", "created", "model", "usage", "timings", "system_fingerprint"};
    size_t i;
    json_t *part;
    for (size_t k = 0; k < sizeof kept / sizeof kept[0]; k++) {
        json_t *value = json_object_get(chunk, kept[k]);
        if (value != NULL && !json_is_null(value))
            json_object_set(whole, kept[k], value);
    }
    json_array_foreach(json_object_get(chunk, "choices"), i, part)
    {
        json_t *choice =
            fold_choice_of(json_object_get(whole, "choices"), json_integer_value(json_object_get(part, "index")));
        json_t *finish = json_object_get(part, "finish_reason");
        fold_delta(json_object_get(choice, "message"), json_object_get(part, "delta"));
        if (finish != NULL && !json_is_null(finish))
            json_object_set(choice, "finish_reason", finish);
    }
}

/* One line of the events. False: not a chunk. */
static bool fold_line(json_t *whole, const char *line, size_t n, bool *ret_done)
{
    static const char data[] = "data: ", done[] = "[DONE]";
    _cleanup_(json_free) json_t *chunk = NULL;
    if (n < sizeof data - 1 || memcmp(line, data, sizeof data - 1) != 0)
        return n == 0 || line[0] == ':';
    line += sizeof data - 1;
    n -= sizeof data - 1;
    *ret_done = n == sizeof done - 1 && memcmp(line, done, n) == 0;
    if (*ret_done)
        return true;
    const char *object = NULL;
    if (!json_parse(line, n, &chunk, NULL) || !json_is_object(chunk) ||
        !json_get_string(chunk, "", "object", &object, NULL) || object == NULL ||
        strcmp(object, "chat.completion.chunk") != 0)
        return false;
    fold_chunk(whole, chunk);
    return true;
}

bool record_fold(const char *text, struct buf *out)
{
    _cleanup_(json_free) json_t *whole = json_pack("{s:s, s:[]}", "object", "chat.completion", "choices");
    bool done = false;
    if (!text_starts(text, "data: "))
        return false;
    while (!done && *text != '\0') {
        size_t n = strcspn(text, "\r\n");
        if (!fold_line(whole, text, n, &done))
            return false;
        text += n;
        text += strspn(text, "\r\n");
    }
    if (!done)
        return false;
    _cleanup_free_ char *json = json_dumps(whole, JSON_COMPACT);
    return json != NULL && buf_add_str(out, json);
}
