/* openai/request_fields.c: the parameters that are one number or one word, a row each. */
#include "base/cleanup.h"
#include "base/limits.h"
#include "openai/request_parts.h"

#include <math.h>
#include <string.h>

enum field_type { FIELD_NUMBER, FIELD_INT, FIELD_BOOL };

struct field_row {
    const char *name;
    unsigned kinds; /* enum openai_kind, or'ed; elsewhere the field is ignored */
    enum field_type type;
    double min, max;
    size_t offset; /* in struct openai_request: double, int64_t or bool */
};

#define SEED_MAX    9223372036854774784.0 /* the largest double in an int64_t */
#define GEN         (OPENAI_CHAT | OPENAI_COMPLETION)
#define AT(member)  offsetof(struct openai_request, member)
#define OPT(member) offsetof(struct openai_request, sampling.member)

/* Of two rows for one member the later wins where both are given. -1 is llama.cpp's "no limit" or "random". */
static const struct field_row field_rows[] = {
    {"temperature", GEN, FIELD_NUMBER, 0, 2, OPT(temperature)},
    {"top_p", GEN, FIELD_NUMBER, 0, 1, OPT(top_p)},
    {"min_p", GEN, FIELD_NUMBER, 0, 1, OPT(min_p)},
    {"top_k", GEN, FIELD_INT, -1, INT32_MAX, OPT(top_k)},
    {"presence_penalty", GEN, FIELD_NUMBER, -2, 2, OPT(presence_penalty)},
    {"frequency_penalty", GEN, FIELD_NUMBER, -2, 2, OPT(frequency_penalty)},
    {"repetition_penalty", GEN, FIELD_NUMBER, 0.01, 10, OPT(repeat_penalty)},
    {"repeat_penalty", GEN, FIELD_NUMBER, 0.01, 10, OPT(repeat_penalty)},
    {"repeat_last_n", GEN, FIELD_INT, -1, INT32_MAX, OPT(repeat_last_n)},
    {"seed", GEN, FIELD_INT, -SEED_MAX, SEED_MAX, OPT(seed)},
    {"max_tokens", GEN, FIELD_INT, -1, INT32_MAX, OPT(max_tokens)},
    {"max_completion_tokens", GEN, FIELD_INT, -1, INT32_MAX, OPT(max_tokens)},
    {"reasoning_budget", OPENAI_CHAT, FIELD_INT, -1, INT32_MAX, OPT(reasoning_budget)},
    {"thinking_budget_tokens", OPENAI_CHAT, FIELD_INT, -1, INT32_MAX, OPT(reasoning_budget)},
    {"reasoning_budget_tokens", OPENAI_CHAT, FIELD_INT, -1, INT32_MAX, OPT(reasoning_budget)},
    {"top_n_sigma", GEN, FIELD_NUMBER, -1, 100, OPT(top_n_sigma)},
    {"typical_p", GEN, FIELD_NUMBER, 0, 1, OPT(typical_p)},
    {"xtc_probability", GEN, FIELD_NUMBER, 0, 1, OPT(xtc_probability)},
    {"xtc_threshold", GEN, FIELD_NUMBER, 0, 1, OPT(xtc_threshold)},
    {"dynatemp_range", GEN, FIELD_NUMBER, 0, 10, OPT(dynatemp_range)},
    {"dynatemp_exponent", GEN, FIELD_NUMBER, 0, 100, OPT(dynatemp_exponent)},
    {"mirostat", GEN, FIELD_INT, 0, 2, OPT(mirostat)},
    {"mirostat_tau", GEN, FIELD_NUMBER, 0, 100, OPT(mirostat_tau)},
    {"mirostat_eta", GEN, FIELD_NUMBER, 0, 1, OPT(mirostat_eta)},
    {"min_keep", GEN, FIELD_INT, 0, INT32_MAX, OPT(min_keep)},
    {"ignore_eos", GEN, FIELD_BOOL, 0, 0, OPT(ignore_eos)},
    {"n", GEN, FIELD_INT, 1, LIMIT_CHOICES, AT(n)},
    {"stream", GEN, FIELD_BOOL, 0, 0, AT(stream)},
    {"echo", OPENAI_COMPLETION, FIELD_BOOL, 0, 0, AT(echo)},
    {"logprobs", OPENAI_COMPLETION, FIELD_INT, 0, LIMIT_TOP_LOGPROBS, OPT(top_logprobs)},
    {"top_logprobs", OPENAI_CHAT, FIELD_INT, 0, LIMIT_TOP_LOGPROBS, OPT(top_logprobs)},
    {"dimensions", OPENAI_EMBEDDING, FIELD_INT, 1, INT32_MAX, AT(dimensions)},
};

void request_defaults(enum openai_kind kind, struct openai_request *r)
{
    *r = (struct openai_request){
        .kind = kind, .n = 1, .best_of = 1, .dimensions = OPENAI_UNSET, .parallel_tool_calls = true};
    struct openai_sampling *s = &r->sampling;
    s->temperature = s->top_p = s->min_p = NAN;
    s->repeat_penalty = s->presence_penalty = s->frequency_penalty = NAN;
    s->top_n_sigma = s->typical_p = s->xtc_probability = s->xtc_threshold = s->dynatemp_range = NAN;
    s->dynatemp_exponent = s->mirostat_tau = s->mirostat_eta = NAN;
    s->mirostat = s->min_keep = OPENAI_UNSET;
    s->top_k = s->repeat_last_n = s->seed = s->max_tokens = s->top_logprobs = s->reasoning_budget = OPENAI_UNSET;
}

static bool field_read(const json_t *body, const struct field_row *row, struct openai_request *r, struct err *err)
{
    void *at = (char *)r + row->offset;
    switch (row->type) {
    case FIELD_NUMBER:
        return json_get_number(body, "", row->name, row->min, row->max, at, err);
    case FIELD_INT:
        return json_get_int(body, "", row->name, (int64_t)row->min, (int64_t)row->max, at, err);
    case FIELD_BOOL:
        return json_get_bool(body, "", row->name, at, err);
    }
    return true;
}

static bool best_of(const json_t *body, struct arena *a, struct openai_request *r, struct err *err)
{
    const char *suffix = NULL;
    r->best_of = r->n;
    if (!json_get_int(body, "", "best_of", 1, LIMIT_CHOICES, &r->best_of, err) ||
        !json_get_string(body, "", "suffix", &suffix, err))
        return false;
    if (r->best_of < r->n)
        return err_param(err, "best_of", "`best_of` must be at least n (%d)", (int)r->n);
    if (r->best_of > r->n && r->stream)
        return err_param(err, "best_of", "`best_of` above n cannot be streamed: the best is known at the end");
    if (suffix != NULL && suffix[0] != '\0')
        r->suffix = arena_strdup(a, suffix);
    if (r->suffix != NULL && r->echo)
        return err_param(err, "echo", "`echo` together with `suffix` is not supported: leave one of them out");
    return true;
}

static bool chat_logprobs(const json_t *body, struct openai_request *r, struct err *err)
{
    bool wanted = false;
    if (!json_get_bool(body, "", "logprobs", &wanted, err))
        return false;
    if (!wanted && r->sampling.top_logprobs > 0)
        return err_param(err, "top_logprobs", "`top_logprobs` needs logprobs to be true");
    if (!wanted)
        r->sampling.top_logprobs = OPENAI_UNSET;
    else if (r->sampling.top_logprobs == OPENAI_UNSET)
        r->sampling.top_logprobs = 0;
    return true;
}

static bool stream_options(const json_t *body, struct openai_request *r, struct err *err)
{
    const json_t *options = NULL;
    if (!json_get_object(body, "", "stream_options", &options, err))
        return false;
    return options == NULL || json_get_bool(options, "stream_options", "include_usage", &r->include_usage, err);
}

/* What depends on more than one field. */
static bool fields_agree(struct openai_request *r, struct err *err)
{
    struct openai_sampling *s = &r->sampling;
    if (s->max_tokens == 0)
        return err_param(err, "max_tokens", "`max_tokens` must be at least 1 (got 0); leave it out for no limit");
    if (s->max_tokens == -1)
        s->max_tokens = OPENAI_UNSET;
    if (s->seed == -1)
        s->seed = OPENAI_UNSET;
    if (r->echo && s->top_logprobs != OPENAI_UNSET)
        return err_param(err, "echo", "`echo` together with logprobs is not supported: leave one of them out");
    return true;
}

static bool template_kwargs(const json_t *body, struct arena *a, struct openai_request *r, struct err *err)
{
    const json_t *kwargs = NULL;
    if (!json_get_object(body, "", "chat_template_kwargs", &kwargs, err))
        return false;
    if (kwargs == NULL || json_object_size(kwargs) == 0)
        return true;
    _cleanup_free_ char *text = json_dumps(kwargs, JSON_COMPACT);
    if (text == NULL)
        return err_param(err, "chat_template_kwargs", "`chat_template_kwargs` cannot be written as JSON");
    r->template_kwargs_json = arena_strdup(a, text);
    return true;
}

/* One of a few words; *ret: which, SIZE_MAX when it was not given. */
static bool word_of(const json_t *body, const char *name, const char *const *words, size_t n, size_t *ret,
                    struct err *err)
{
    const char *given = NULL;
    *ret = SIZE_MAX;
    if (!json_get_string(body, "", name, &given, err))
        return false;
    if (given == NULL)
        return true;
    for (size_t i = 0; i < n; i++)
        if (strcmp(given, words[i]) == 0)
            *ret = i;
    return *ret != SIZE_MAX ||
           err_param(err, name, "`%s` must be one of %s … %s (got \"%.64s\")", name, words[0], words[n - 1], given);
}

static bool reasoning(const json_t *body, struct openai_request *r, struct err *err)
{
    static const char *const efforts[] = {"none", "minimal", "low", "medium", "high", "xhigh"};
    static const char *const forms[] = {"none", "auto", "deepseek"};
    size_t effort;
    size_t form;
    if (!word_of(body, "reasoning_effort", efforts, 6, &effort, err) ||
        !word_of(body, "reasoning_format", forms, 3, &form, err))
        return false;
    r->reasoning_effort = effort == SIZE_MAX ? NULL : efforts[effort];
    r->reasoning_in_content = form == 0;
    return true;
}

static bool cache_key(const json_t *body, struct arena *a, struct openai_request *r, struct err *err)
{
    const char *key = NULL;
    if (!json_get_string(body, "", "prompt_cache_key", &key, err))
        return false;
    if (key != NULL && strlen(key) > LIMIT_CACHE_KEY_BYTES)
        return err_param(err, "prompt_cache_key", "`prompt_cache_key` has %zu bytes, at most %d are taken", strlen(key),
                         LIMIT_CACHE_KEY_BYTES);
    r->cache_key = key == NULL || key[0] == '\0' ? NULL : arena_strdup(a, key);
    return true;
}

bool request_field_is_known(const char *name, enum openai_kind kind)
{
    for (size_t i = 0; i < sizeof field_rows / sizeof field_rows[0]; i++)
        if ((field_rows[i].kinds & kind) != 0 && strcmp(field_rows[i].name, name) == 0)
            return true;
    return false;
}

/* OpenAI's word for how soon; here all are the same, and it is said back. */
static bool service_tier(const json_t *body, struct arena *a, struct openai_request *r, struct err *err)
{
    const char *tier = NULL;
    if (!json_get_string(body, "", "service_tier", &tier, err))
        return false;
    if (tier != NULL && strlen(tier) > 32)
        return err_param(err, "service_tier", "`service_tier` is longer than 32 bytes");
    r->service_tier = tier == NULL ? NULL : arena_strdup(a, tier);
    return true;
}

static bool chat_fields(const json_t *body, struct arena *a, struct openai_request *r, struct err *err)
{
    return reasoning(body, r, err) && chat_logprobs(body, r, err) && template_kwargs(body, a, r, err);
}

static bool text_fields(const json_t *body, struct arena *a, struct openai_request *r, struct err *err)
{
    return service_tier(body, a, r, err) && stream_options(body, r, err) && request_stops(body, a, &r->sampling, err) &&
           request_samplers(body, a, &r->sampling, err) && request_bias(body, a, &r->sampling, err);
}

bool request_fields(const json_t *body, struct arena *a, struct openai_request *r, struct err *err)
{
    for (size_t i = 0; i < sizeof field_rows / sizeof field_rows[0]; i++) {
        const struct field_row *row = &field_rows[i];
        if ((row->kinds & r->kind) != 0 && !field_read(body, row, r, err))
            return false;
    }
    if (!request_refused(body, r->kind, err))
        return false;
    if (r->kind == OPENAI_EMBEDDING)
        return true;
    if (!cache_key(body, a, r, err))
        return false;
    if (r->kind == OPENAI_COMPLETION && !best_of(body, a, r, err))
        return false;
    if (r->kind == OPENAI_CHAT && !chat_fields(body, a, r, err))
        return false;
    return text_fields(body, a, r, err) && fields_agree(r, err);
}
