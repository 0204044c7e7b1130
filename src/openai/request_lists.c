/* openai/request_lists.c: `stop` (a string or several) and `logit_bias` (token id to number). */
#include "base/limits.h"
#include "base/text.h"
#include "openai/request_parts.h"

#include <string.h>

/* Empty strings stop nothing and many clients send them: left out, not refused. */
static bool stop_add(const json_t *value, const char *path, struct arena *a, const char **stops, size_t *n,
                     struct err *err)
{
    if (!json_is_string(value))
        return err_param(err, path, "`%s` must be a string (got %s)", path, json_kind(value));
    size_t len = json_string_length(value);
    if (len > LIMIT_STOP_BYTES)
        return err_param(err, path, "`%s` has %zu bytes, at most %d are taken", path, len, (int)LIMIT_STOP_BYTES);
    if (len > 0)
        stops[(*n)++] = arena_strndup(a, json_string_value(value), len);
    return true;
}

bool request_stops(const json_t *body, struct arena *a, struct openai_sampling *s, struct err *err)
{
    const json_t *value = json_object_get(body, "stop");
    if (value == NULL || json_is_null(value))
        return true;
    bool list = json_is_array(value);
    if (!list && !json_is_string(value))
        return err_param(err, "stop", "`stop` must be a string or an array of strings (got %s)", json_kind(value));
    size_t count = list ? json_array_size(value) : 1;
    if (count > LIMIT_STOP_STRINGS)
        return err_param(err, "stop", "`stop` has %zu entries, at most %d are taken", count, (int)LIMIT_STOP_STRINGS);
    const char **stops = arena_array(a, count, sizeof *stops);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        char path[32] = "stop";
        if (list)
            (void)text_format(path, sizeof path, "stop[%zu]", i);
        if (!stop_add(list ? json_array_get(value, i) : value, path, a, stops, &n, err))
            return false;
    }
    s->stops = stops;
    s->n_stops = n;
    return true;
}

enum { SAMPLERS_MAX = 16 };

bool request_samplers(const json_t *body, struct arena *a, struct openai_sampling *s, struct err *err)
{
    const json_t *list = NULL;
    if (!json_get_array(body, "", "samplers", SAMPLERS_MAX, &list, err))
        return false;
    size_t n = json_array_size(list);
    if (n == 0)
        return true;
    const char **names = arena_array(a, n, sizeof *names);
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name == NULL)
            return err_param(err, "samplers", "`samplers[%zu]` must be a string", i);
        names[i] = arena_strdup(a, name);
    }
    s->samplers = names;
    s->n_samplers = n;
    return true;
}

bool request_bias(const json_t *body, struct arena *a, struct openai_sampling *s, struct err *err)
{
    const json_t *checked = NULL;
    if (!json_get_object(body, "", "logit_bias", &checked, err))
        return false;
    json_t *map = json_object_get(body, "logit_bias");
    size_t count = json_object_size(map);
    if (count == 0)
        return true;
    if (count > LIMIT_LOGIT_BIAS)
        return err_param(err, "logit_bias", "`logit_bias` has %zu entries, at most %d are taken", count,
                         (int)LIMIT_LOGIT_BIAS);
    struct openai_bias *rows = arena_array(a, count, sizeof *rows);
    size_t n = 0;
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value)
    {
        struct openai_bias *row = &rows[n++];
        if (!text_to_i64(key, &row->token) || row->token < 0 || row->token > INT32_MAX)
            return err_param(err, "logit_bias", "`logit_bias`: \"%.64s\" is not a token id (a whole number in quotes)",
                             key);
        if (!json_get_number(map, "logit_bias", key, -100, 100, &row->bias, err))
            return false;
        if (json_is_null(value))
            n--;
    }
    s->bias = rows;
    s->n_bias = n;
    return true;
}
