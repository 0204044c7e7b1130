/* openai/request: what a client asked for, checked. Bodies of chat/completions, completions, embeddings.
 *
 *   struct openai_request r;
 *   if (!openai_request_parse(OPENAI_CHAT, body, len, &arena, &r, err)) ...   400 that names the field
 *
 * Types, ranges, roles and combinations are checked here once; the engine adds only what depends on
 * its model (token ids, dimensions, context). Fields that nobody knows are ignored and listed, since
 * clients send many; fields that we know and cannot honour are refused, since silence would be a wrong
 * answer (request_fields.c has the table). `null` counts as absent.
 *
 * Everything in the result lives in the arena; nothing points into `body`. Any thread.
 * Limits: LIMIT_JSON_DEPTH, LIMIT_MESSAGES, LIMIT_CHOICES, LIMIT_STOP_*, LIMIT_LOGIT_BIAS,
 * LIMIT_TOP_LOGPROBS, LIMIT_EMBEDDING_INPUTS; prompts x n at most LIMIT_SEQUENCES.
 */
#ifndef TUG_OPENAI_REQUEST_H
#define TUG_OPENAI_REQUEST_H

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum openai_kind { OPENAI_CHAT = 1, OPENAI_COMPLETION = 2, OPENAI_EMBEDDING = 4 }; /* bits: tables or them */

/* A number that was not given: the engine's default holds. Doubles use NAN. */
#define OPENAI_UNSET INT64_MIN

struct openai_bias {
    int64_t token; /* 0..INT32_MAX; whether the vocabulary has it is the engine's to say */
    double bias;   /* -100..100 */
};

struct openai_sampling {
    double temperature, top_p, min_p, repeat_penalty, presence_penalty, frequency_penalty;
    int64_t top_k, repeat_last_n;
    int64_t seed;             /* UNSET: a random one; so is -1, llama.cpp's word for it */
    int64_t max_tokens;       /* UNSET: until the context is full; so is -1 */
    int64_t reasoning_budget; /* tokens of reasoning; -1: no end */
    int64_t top_logprobs;     /* UNSET: no logprobs; 0..LIMIT_TOP_LOGPROBS alternatives */
    bool ignore_eos;
    /* llama.cpp's further samplers, by its names */
    double top_n_sigma, typical_p, xtc_probability, xtc_threshold, dynatemp_range, dynatemp_exponent, mirostat_tau,
        mirostat_eta;
    int64_t mirostat, min_keep;
    const char *const *samplers; /* their order, by name; NULL: the usual one */
    size_t n_samplers;
    const struct openai_bias *bias;
    size_t n_bias;
    const char *const *stops; /* no empty ones */
    size_t n_stops;
};

/* One text or one row of token ids (text NULL). */
struct openai_prompt {
    const char *text;
    const int32_t *tokens;
    size_t n_tokens;
};

struct openai_request {
    enum openai_kind kind;
    const char *model; /* NULL: not given */

    /* chat: the messages as JSON text in a plain form: roles system, user, assistant, tool; content a string or an
     * array of text parts; `reasoning_content` and `tool_calls` of assistants kept. */
    const char *messages_json;
    const char *tools_json;           /* the tools that may be called, in OpenAI's form; NULL: none */
    bool tool_required;               /* at least one must be */
    bool parallel_tool_calls;         /* more than one may be */
    bool prefill;                     /* the last message is the assistant's: go on with it */
    const char *reasoning_effort;     /* as OpenAI's; NULL: not said */
    bool reasoning_in_content;        /* reasoning_format none: as it was written */
    const char *template_kwargs_json; /* chat_template_kwargs, an object; NULL: none */

    /* What the answer must be; one of them at most, NULL: any text. */
    const char *schema_json; /* response_format, json_schema: schema_prepare has seen it */
    const char *grammar;     /* GBNF */

    /* completions: `prompt`; embeddings: `input` */
    const struct openai_prompt *prompts;
    size_t n_prompts;
    bool echo;
    const char *suffix; /* completions: what comes behind the answer (fill in the middle); NULL: nothing is said */
    int64_t best_of;    /* completions: choices made for each prompt, of which the n likeliest are answered */

    bool base64;        /* encoding_format */
    int64_t dimensions; /* UNSET: the model's */

    int64_t n; /* choices for each prompt, from 1 */
    bool stream, include_usage;
    const char *cache_key;    /* prompt_cache_key: computed prefixes are shared with the same one only; NULL: none */
    const char *service_tier; /* said back; NULL: not given */
    const char *unknown;      /* names of fields that nobody knows, for a warning; NULL: none */
    struct openai_sampling sampling;
};

bool openai_request_parse(enum openai_kind kind, const char *body, size_t len, struct arena *a,
                          struct openai_request *ret_request, struct err *err);

#endif
