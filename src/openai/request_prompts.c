/* openai/request_prompts.c: `prompt` and `input`: a text, texts, a row of token ids, or rows of them. */
#include "base/limits.h"
#include "base/text.h"
#include "openai/request_parts.h"

#include <inttypes.h>

struct prompt_reader {
    const char *key;
    struct arena *arena;
    bool empty_text; /* "" is allowed */
};

static bool prompt_tokens(const struct prompt_reader *p, const json_t *row, const char *path, struct openai_prompt *ret,
                          struct err *err)
{
    size_t n = json_array_size(row);
    if (n == 0)
        return err_param(err, path, "`%s` is an empty array; it must hold a text or token ids", path);
    int32_t *tokens = arena_array(p->arena, n, sizeof *tokens);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(row, i);
        if (!json_is_integer(v))
            return err_param(err, path, "`%s[%zu]` must be a token id, as all of `%s` (got %s)", path, i, path,
                             json_kind(v));
        json_int_t id = json_integer_value(v);
        if (id < 0 || id > INT32_MAX)
            return err_param(err, path, "`%s[%zu]` must be a token id, from 0 (got %" JSON_INTEGER_FORMAT ")", path, i,
                             id);
        tokens[i] = (int32_t)id;
    }
    ret->tokens = tokens;
    ret->n_tokens = n;
    return true;
}

static bool prompt_one(const struct prompt_reader *p, const json_t *value, const char *path, struct openai_prompt *ret,
                       struct err *err)
{
    if (json_is_array(value))
        return prompt_tokens(p, value, path, ret, err);
    if (!json_is_string(value))
        return err_param(err, path, "`%s` must be a string or an array of token ids (got %s)", path, json_kind(value));
    if (json_string_length(value) == 0 && !p->empty_text)
        return err_param(err, path, "`%s` is an empty string; it must hold text", path);
    ret->text = arena_strndup(p->arena, json_string_value(value), json_string_length(value));
    return true;
}

bool request_prompts(const json_t *body, const char *key, struct arena *a, struct openai_request *r, struct err *err)
{
    const struct prompt_reader p = {key, a, r->kind == OPENAI_COMPLETION};
    const json_t *value = json_object_get(body, key);
    if (value == NULL || json_is_null(value))
        return err_param(err, key, "`%s` is missing: a string, strings, token ids, or arrays of token ids", key);
    bool many = json_is_array(value) && json_array_size(value) > 0 && !json_is_number(json_array_get(value, 0));
    size_t n = many ? json_array_size(value) : 1;
    if (n > LIMIT_EMBEDDING_INPUTS)
        return err_param(err, key, "`%s` has %zu entries, at most %d are taken", key, n, (int)LIMIT_EMBEDDING_INPUTS);
    struct openai_prompt *prompts = arena_array(a, n, sizeof *prompts);
    for (size_t i = 0; i < n; i++) {
        char path[48];
        if (many)
            (void)text_format(path, sizeof path, "%s[%zu]", key, i);
        else
            (void)text_format(path, sizeof path, "%s", key);
        if (!prompt_one(&p, many ? json_array_get(value, i) : value, path, &prompts[i], err))
            return false;
    }
    r->prompts = prompts;
    r->n_prompts = n;
    return true;
}
