/* openai/request_known.c: fields that we know and cannot honour, fields that may be there without effect, and a list of
 * those that nobody knows, for a warning. */
#include "base/buf.h"
#include "base/text.h"
#include "openai/request_parts.h"

#include <string.h>

#define GEN (OPENAI_CHAT | OPENAI_COMPLETION)
#define ALL (GEN | OPENAI_EMBEDDING)

static bool is_empty(const json_t *v)
{
    return json_is_false(v) || (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0) || (json_is_string(v) && json_string_length(v) == 0);
}

static bool is_word(const json_t *v, const char *word)
{
    return json_is_string(v) && strcmp(json_string_value(v), word) == 0;
}
static bool is_none_or_auto(const json_t *v) { return is_word(v, "none") || is_word(v, "auto"); }
static bool is_medium(const json_t *v) { return is_word(v, "medium"); }
static bool is_true(const json_t *v) { return json_is_true(v); }
static bool is_none_above_0(const json_t *v) { return json_is_number(v) && json_number_value(v) <= 0; }
static bool is_text_only(const json_t *v)
{
    bool all = json_is_array(v);
    for (size_t i = 0; all && i < json_array_size(v); i++)
        all = is_word(json_array_get(v, i), "text");
    return all;
}

static const struct refused_row {
    const char *name;
    unsigned kinds;
    bool (*harmless)(const json_t *value); /* values that ask for nothing */
    const char *way_out;
} refused_rows[] = {
    {"functions", OPENAI_CHAT, is_empty, "write tools"},
    {"function_call", OPENAI_CHAT, is_none_or_auto, "write tool_choice"},
    {"modalities", OPENAI_CHAT, is_text_only, "only [\"text\"] is taken"},
    {"audio", OPENAI_CHAT, is_empty, "leave it out"},
    {"web_search_options", OPENAI_CHAT, is_empty, "leave it out"},
    {"verbosity", OPENAI_CHAT, is_medium, "only \"medium\" is taken"},
    {"lora", GEN, is_empty, "leave it out"},
    {"grammar_lazy", GEN, is_empty, "write tools, whose grammars wait for a call"},
    {"dry_multiplier", GEN, is_none_above_0, "leave it out, or write repeat_penalty"},
    {"adaptive_target", GEN, is_none_above_0, "leave it out"},
    {"cache_prompt", GEN, is_true, "leave it out; `tug-engine --no-prefix-cache` does it for all requests"},
};

/* Read elsewhere (request_*.c), or without an effect that could be missed here. */
static const struct known_row {
    const char *name;
    unsigned kinds;
} known_rows[] = {
    {"model", ALL},
    {"messages", OPENAI_CHAT},
    {"prompt", OPENAI_COMPLETION},
    {"input", OPENAI_EMBEDDING},
    {"encoding_format", OPENAI_EMBEDDING},
    {"stop", GEN},
    {"logit_bias", GEN},
    {"samplers", GEN},
    {"stream_options", GEN},
    {"logprobs", GEN},
    {"best_of", OPENAI_COMPLETION},
    {"suffix", OPENAI_COMPLETION},
    {"tools", OPENAI_CHAT},
    {"tool_choice", OPENAI_CHAT},
    {"parallel_tool_calls", OPENAI_CHAT},
    {"response_format", GEN},
    {"json_schema", GEN},
    {"grammar", GEN},
    {"chat_template_kwargs", OPENAI_CHAT},
    {"reasoning_effort", OPENAI_CHAT},
    {"reasoning_format", OPENAI_CHAT},
    {"service_tier", GEN},
    {"user", ALL},
    {"metadata", GEN},
    {"store", GEN},
    {"safety_identifier", GEN},
    {"prompt_cache_key", GEN},
    {"prompt_cache_retention", GEN},
    {"prediction", OPENAI_CHAT},
    /* the rest of a sampler that is refused when it is on; hints of llama-server's that change no answer */
    {"dry_base", GEN},
    {"dry_allowed_length", GEN},
    {"dry_penalty_last_n", GEN},
    {"dry_sequence_breakers", GEN},
    {"adaptive_decay", GEN},
    {"id_slot", GEN},
    {"n_keep", GEN},
    {"n_discard", GEN},
    {"timings_per_token", GEN},
    {"return_progress", GEN},
    {"parse_tool_calls", OPENAI_CHAT},
    {"keep_alive", ALL},
};

bool request_refused(const json_t *body, enum openai_kind kind, struct err *err)
{
    for (size_t i = 0; i < sizeof refused_rows / sizeof refused_rows[0]; i++) {
        const struct refused_row *row = &refused_rows[i];
        const json_t *value = json_object_get(body, row->name);
        if ((row->kinds & kind) != 0 && value != NULL && !json_is_null(value) && !row->harmless(value))
            return err_param(err, row->name, "`%s` is not supported by this version of Tug: %s", row->name,
                             row->way_out);
    }
    return true;
}

static bool is_known(const char *name, enum openai_kind kind)
{
    for (size_t i = 0; i < sizeof known_rows / sizeof known_rows[0]; i++)
        if ((known_rows[i].kinds & kind) != 0 && strcmp(known_rows[i].name, name) == 0)
            return true;
    for (size_t i = 0; i < sizeof refused_rows / sizeof refused_rows[0]; i++)
        if (strcmp(refused_rows[i].name, name) == 0)
            return true;
    return request_field_is_known(name, kind);
}

enum { UNKNOWN_MAX_BYTES = 200 };

void request_unknown(json_t *body, struct arena *a, struct openai_request *r)
{
    struct buf names = BUF_INIT(UNKNOWN_MAX_BYTES);
    const char *key;
    json_t *value;
    json_object_foreach(body, key, value)
    {
        if (!is_known(key, r->kind))
            (void)buf_printf(&names, "%s%.64s", names.len > 0 ? ", " : "", key);
    }
    if (names.len > 0)
        r->unknown = arena_strdup(a, buf_str(&names));
    buf_done(&names);
}
