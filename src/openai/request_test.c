/* What request bodies become, and which are refused with which field named. */
#include "base/limits.h"
#include "openai/request.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define USER       "{\"role\":\"user\",\"content\":\"hi\"}"
#define CHAT(...)  "{\"messages\":[" USER "]," __VA_ARGS__ "}"
#define TOOLS(...) "\"tools\":[{\"type\":\"function\",\"function\":{" __VA_ARGS__ "}}]"
#define TEXT(...)  "{\"prompt\":\"x\"," __VA_ARGS__ "}"
#define EMBED(...) "{\"input\":\"x\"," __VA_ARGS__ "}"

static bool parse(enum openai_kind kind, const char *body, struct arena *a, struct openai_request *r, struct err *err)
{
    return openai_request_parse(kind, body, strlen(body), a, r, err);
}

static void refused_bodies_name_their_field(void **state)
{
    static const struct {
        enum openai_kind kind;
        const char *body, *param, *says;
    } rows[] = {
        {OPENAI_CHAT, "", "", "the body is empty"},
        {OPENAI_CHAT, "[1]", "", "must be a JSON object"},
        {OPENAI_CHAT, "{\"messages\":[{\"role\":\"user\",}]}", "", "line 1"},
        {OPENAI_CHAT, "{\"messages\":1,\"messages\":2}", "", "duplicate"},
        {OPENAI_CHAT, "{}", "messages", "missing"},
        {OPENAI_CHAT, "{\"messages\":\"hi\"}", "messages", "an array"},
        {OPENAI_CHAT, "{\"messages\":[]}", "messages", "at least one"},
        {OPENAI_CHAT, "{\"messages\":[3]}", "messages[0]", "must be an object (got a number)"},
        {OPENAI_CHAT, "{\"messages\":[{\"content\":\"x\"}]}", "messages[0].role", "missing"},
        {OPENAI_CHAT, "{\"messages\":[" USER ",{\"role\":7,\"content\":\"x\"}]}", "messages[1].role", "a string"},
        {OPENAI_CHAT, "{\"messages\":[" USER "," USER ",{\"role\":\"wizard\",\"content\":\"x\"}]}", "messages[2].role",
         "wizard"},
        {OPENAI_CHAT, "{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}", "messages[0].tool_call_id", "missing"},
        {OPENAI_CHAT, "{\"messages\":[{\"role\":\"function\",\"content\":\"x\"}]}", "messages[0].role", "tool_call_id"},
        {OPENAI_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"tool_calls\":[{}]}]}",
         "messages[0].tool_calls", "only an assistant"},
        {OPENAI_CHAT,
         "{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\","
         "\"arguments\":\"{\"}}]}]}",
         "messages[0].tool_calls[0].function.arguments", "JSON in a string"},
        {OPENAI_CHAT,
         "{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\","
         "\"arguments\":\"[1]\"}}]}]}",
         "messages[0].tool_calls[0].function.arguments", "got an array"},
        {OPENAI_CHAT, "{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content", "missing"},
        {OPENAI_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":null}]}", "messages[0].content", "missing"},
        {OPENAI_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":{}}]}", "messages[0].content", "got an object"},
        {OPENAI_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[\"x\"]}]}", "messages[0].content[0]",
         "an object"},
        {OPENAI_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}",
         "messages[0].content[0].text", "missing"},
        {OPENAI_CHAT,
         "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\","
         "\"image_url\":{\"url\":\"data:\"}}]}]}",
         "messages[0].content[1].type", "image_url"},
        {OPENAI_CHAT, "{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]}]}",
         "messages[0].tool_calls[0].function", "missing"},
        {OPENAI_CHAT, CHAT("\"temperature\":7"), "temperature", "between 0 and 2"},
        {OPENAI_CHAT, CHAT("\"temperature\":-0.1"), "temperature", "between 0 and 2"},
        {OPENAI_CHAT, CHAT("\"temperature\":\"hot\""), "temperature", "a number"},
        {OPENAI_CHAT, CHAT("\"top_p\":1.5"), "top_p", "between 0 and 1"},
        {OPENAI_CHAT, CHAT("\"top_k\":2.5"), "top_k", "whole number"},
        {OPENAI_CHAT, CHAT("\"min_p\":[]"), "min_p", "a number"},
        {OPENAI_CHAT, CHAT("\"presence_penalty\":3"), "presence_penalty", "between -2 and 2"},
        {OPENAI_CHAT, CHAT("\"frequency_penalty\":-3"), "frequency_penalty", "between -2 and 2"},
        {OPENAI_CHAT, CHAT("\"repeat_penalty\":0"), "repeat_penalty", "between"},
        {OPENAI_CHAT, CHAT("\"max_tokens\":0"), "max_tokens", "at least 1"},
        {OPENAI_CHAT, CHAT("\"max_tokens\":-2"), "max_tokens", "between"},
        {OPENAI_CHAT, CHAT("\"max_completion_tokens\":\"9\""), "max_completion_tokens", "whole number"},
        {OPENAI_CHAT, CHAT("\"n\":0"), "n", "between 1 and 16"},
        {OPENAI_CHAT, CHAT("\"n\":17"), "n", "between 1 and 16"},
        {OPENAI_CHAT, CHAT("\"stream\":\"yes\""), "stream", "true or false"},
        {OPENAI_CHAT, CHAT("\"stream_options\":{\"include_usage\":1}"), "stream_options.include_usage",
         "true or false"},
        {OPENAI_CHAT, CHAT("\"stream_options\":[]"), "stream_options", "an object"},
        {OPENAI_CHAT, CHAT("\"logprobs\":3"), "logprobs", "true or false"},
        {OPENAI_CHAT, CHAT("\"top_logprobs\":3"), "top_logprobs", "needs logprobs"},
        {OPENAI_CHAT, CHAT("\"logprobs\":true,\"top_logprobs\":21"), "top_logprobs", "between 0 and 20"},
        {OPENAI_CHAT, CHAT("\"stop\":3"), "stop", "string or an array"},
        {OPENAI_CHAT, CHAT("\"stop\":[\"a\",3]"), "stop[1]", "must be a string"},
        {OPENAI_CHAT, CHAT("\"stop\":[1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7]"), "stop", "17 entries"},
        {OPENAI_CHAT, CHAT("\"logit_bias\":[1]"), "logit_bias", "an object"},
        {OPENAI_CHAT, CHAT("\"logit_bias\":{\"the\":1}"), "logit_bias", "not a token id"},
        {OPENAI_CHAT, CHAT("\"logit_bias\":{\"-4\":1}"), "logit_bias", "not a token id"},
        {OPENAI_CHAT, CHAT("\"logit_bias\":{\"4\":101}"), "logit_bias.4", "between -100 and 100"},
        {OPENAI_CHAT, CHAT("\"model\":5"), "model", "a string"},
        {OPENAI_CHAT, CHAT("\"tools\":{}"), "tools", "an array"},
        {OPENAI_CHAT, CHAT("\"tools\":[3]"), "tools[0]", "an object"},
        {OPENAI_CHAT, CHAT("\"tools\":[{\"type\":\"function\"}]"), "tools[0].function", "missing"},
        {OPENAI_CHAT, CHAT("\"tools\":[{\"type\":\"web_search\"}]"), "tools[0]", "only \"function\""},
        {OPENAI_CHAT, CHAT(TOOLS("\"name\":\"a b\"")), "tools[0].function.name", "letters"},
        {OPENAI_CHAT, CHAT(TOOLS("\"name\":\"f\",\"parameters\":3")), "tools[0].function.parameters", "an object"},
        {OPENAI_CHAT, CHAT(TOOLS("\"name\":\"f\",\"parameters\":{\"type\":\"string\"}")),
         "tools[0].function.parameters", "an object"},
        {OPENAI_CHAT, CHAT(TOOLS("\"name\":\"f\",\"strict\":true,\"parameters\":{\"type\":\"object\",\"not\":{}}")),
         "tools[0].function.parameters", "\"not\" is not supported"},
        {OPENAI_CHAT, CHAT(TOOLS("\"name\":\"f\"}},{\"type\":\"function\",\"function\":{\"name\":\"f\"")), "tools[1]",
         "name of another"},
        {OPENAI_CHAT, CHAT("\"tool_choice\":\"required\""), "tool_choice", "there are no `tools`"},
        {OPENAI_CHAT, CHAT("\"tool_choice\":\"any\""), "tool_choice", "must be \"auto\""},
        {OPENAI_CHAT, CHAT("\"tool_choice\":{\"type\":\"function\"}"), "tool_choice.function.name", "missing"},
        {OPENAI_CHAT, CHAT(TOOLS("\"name\":\"f\"") ",\"tool_choice\":{\"function\":{\"name\":\"g\"}}"), "tool_choice",
         "not among"},
        {OPENAI_CHAT, CHAT("\"parallel_tool_calls\":3"), "parallel_tool_calls", "true or false"},
        {OPENAI_CHAT, CHAT("\"functions\":[{\"name\":\"f\"}]"), "functions", "write tools"},
        {OPENAI_CHAT, CHAT("\"response_format\":{\"type\":\"xml\"}"), "response_format.type", "must be"},
        {OPENAI_CHAT, CHAT("\"response_format\":{}"), "response_format.type", "missing"},
        {OPENAI_CHAT, CHAT("\"response_format\":\"text\""), "response_format", "an object"},
        {OPENAI_CHAT, CHAT("\"response_format\":{\"type\":\"json_schema\"}"), "response_format.json_schema", "missing"},
        {OPENAI_CHAT, CHAT("\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\"}}"),
         "response_format.json_schema.schema", "missing"},
        {OPENAI_CHAT,
         CHAT("\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"strict\":true,\"schema\":{\"type\":"
              "\"object\","
              "\"minProperties\":1}}}"),
         "response_format.json_schema.schema", "\"minProperties\" is not supported"},
        {OPENAI_CHAT, CHAT("\"json_schema\":{\"type\":\"object\"},\"response_format\":{\"type\":\"json_object\"}"),
         "json_schema", "both given"},
        {OPENAI_CHAT, CHAT("\"json_schema\":{\"type\":\"object\"},\"grammar\":\"root ::= \\\"a\\\"\""), "grammar",
         "together with a schema"},
        {OPENAI_CHAT, CHAT(TOOLS("\"name\":\"f\"") ",\"grammar\":\"root ::= \\\"a\\\"\""), "grammar",
         "together with tools"},
        {OPENAI_CHAT, CHAT("\"modalities\":[\"text\",\"audio\"]"), "modalities", "not supported"},
        {OPENAI_CHAT, CHAT("\"audio\":{\"voice\":\"x\"}"), "audio", "not supported"},
        {OPENAI_CHAT, CHAT("\"reasoning_effort\":\"much\""), "reasoning_effort", "one of none"},
        {OPENAI_CHAT, CHAT("\"reasoning_format\":\"xml\""), "reasoning_format", "one of none"},
        {OPENAI_CHAT, CHAT("\"reasoning_budget\":-2"), "reasoning_budget", "between"},
        {OPENAI_CHAT, CHAT("\"grammar\":3"), "grammar", "a string"},
        {OPENAI_CHAT, CHAT("\"chat_template_kwargs\":3"), "chat_template_kwargs", "an object"},
        {OPENAI_COMPLETION, "{}", "prompt", "missing"},
        {OPENAI_COMPLETION, "{\"prompt\":null}", "prompt", "missing"},
        {OPENAI_CHAT, CHAT("\"prompt_cache_key\":5"), "prompt_cache_key", "not a number"},
        {OPENAI_COMPLETION, "{\"prompt\":{}}", "prompt", "got an object"},
        {OPENAI_COMPLETION, "{\"prompt\":[]}", "prompt", "empty array"},
        {OPENAI_COMPLETION, "{\"prompt\":[1,\"x\"]}", "prompt", "must be a token id"},
        {OPENAI_COMPLETION, "{\"prompt\":[1,-1]}", "prompt", "from 0 (got -1)"},
        {OPENAI_COMPLETION, "{\"prompt\":[1,4294967296]}", "prompt", "token id"},
        {OPENAI_COMPLETION, "{\"prompt\":[\"x\",3]}", "prompt[1]", "got a number"},
        {OPENAI_COMPLETION, "{\"prompt\":[[1],[]]}", "prompt[1]", "empty array"},
        {OPENAI_COMPLETION, TEXT("\"suffix\":\"y\",\"echo\":true"), "echo", "together with `suffix`"},
        {OPENAI_CHAT, CHAT("\"mirostat\":3"), "mirostat", "between"},
        {OPENAI_CHAT, CHAT("\"dry_multiplier\":0.8"), "dry_multiplier", "not supported"},
        {OPENAI_CHAT, CHAT("\"verbosity\":\"low\""), "verbosity", "not supported"},
        {OPENAI_CHAT, CHAT("\"samplers\":\"kp\""), "samplers", "an array"},
        {OPENAI_COMPLETION, TEXT("\"best_of\":1,\"n\":2"), "best_of", "at least n"},
        {OPENAI_COMPLETION, TEXT("\"best_of\":3,\"stream\":true"), "best_of", "cannot be streamed"},
        {OPENAI_COMPLETION, TEXT("\"logprobs\":true"), "logprobs", "whole number"},
        {OPENAI_COMPLETION, TEXT("\"logprobs\":1,\"echo\":true"), "echo", "not supported"},
        {OPENAI_EMBEDDING, "{}", "input", "missing"},
        {OPENAI_EMBEDDING, "{\"input\":\"\"}", "input", "empty string"},
        {OPENAI_EMBEDDING, "{\"input\":[\"a\",\"\"]}", "input[1]", "empty string"},
        {OPENAI_EMBEDDING, EMBED("\"encoding_format\":\"hex\""), "encoding_format", "hex"},
        {OPENAI_EMBEDDING, EMBED("\"dimensions\":0"), "dimensions", "between"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = ARENA_INIT;
        struct err err = ERR_INIT;
        struct openai_request r = {.n = -7};
        bool ok = parse(rows[i].kind, rows[i].body, &a, &r, &err);
        if (ok || strcmp(err.param, rows[i].param) != 0 || strstr(err.text, rows[i].says) == NULL)
            fail_msg("%s: ok=%d param='%s' text='%s', wanted param '%s' and '%s'", rows[i].body, ok, err.param,
                     err.text, rows[i].param, rows[i].says);
        assert_int_equal(err_http_status(err.code), 400);
        assert_int_equal(r.n, -7);
        arena_done(&a);
    }
}

static void harmless_fields_are_taken(void **state)
{
    static const struct {
        enum openai_kind kind;
        const char *body;
    } rows[] = {
        {OPENAI_CHAT, CHAT("\"user\":\"u\",\"metadata\":{\"a\":1},\"store\":true,\"service_tier\":\"auto\"")},
        {OPENAI_CHAT, CHAT("\"parallel_tool_calls\":true,\"reasoning_effort\":\"low\",\"made_up\":[1]")},
        {OPENAI_CHAT, CHAT("\"tools\":[],\"tool_choice\":\"auto\"")},
        {OPENAI_CHAT, CHAT("\"tool_choice\":\"none\",\"functions\":[]")},
        {OPENAI_CHAT, CHAT("\"response_format\":{\"type\":\"text\"},\"modalities\":[\"text\"]")},
        {OPENAI_CHAT, CHAT("\"stream_options\":{\"include_obfuscation\":false}")},
        {OPENAI_CHAT,
         CHAT("\"tools\":null,\"stop\":null,\"temperature\":null,\"n\":null,\"logit_bias\":null,\"seed\":null")},
        {OPENAI_CHAT, CHAT("\"logprobs\":false,\"top_logprobs\":0")},
        {OPENAI_COMPLETION, TEXT("\"best_of\":1,\"suffix\":\"\",\"suffix\\u0031\":null")},
        {OPENAI_COMPLETION, "{\"prompt\":\"\"}"},
        {OPENAI_EMBEDDING, EMBED("\"user\":\"u\",\"temperature\":9,\"tools\":[1]")},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = ARENA_INIT;
        struct err err = ERR_INIT;
        struct openai_request r;
        if (!parse(rows[i].kind, rows[i].body, &a, &r, &err))
            fail_msg("%s: %s", rows[i].body, err.text);
        arena_done(&a);
    }
}

static void messages_are_written_plainly(void **state)
{
    static const struct {
        const char *messages, *plain;
        bool prefill;
    } rows[] = {
        {USER, "[{\"role\":\"user\",\"content\":\"hi\"}]", false},
        {"{\"role\":\"developer\",\"name\":\"n\",\"content\":\"be\"}," USER,
         "[{\"role\":\"system\",\"content\":\"be\"},{\"role\":\"user\",\"content\":\"hi\"}]", false},
        {USER ",{\"role\":\"assistant\",\"content\":\"I\"}",
         "[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":\"I\"}]", true},
        {"{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[]}," USER,
         "[{\"role\":\"assistant\",\"content\":\"\"},{\"role\":\"user\",\"content\":\"hi\"}]", false},
        {USER
         ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\","
         "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c1\","
         "\"content\":\"2\"}",
         "[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":"
         "\"c1\","
         "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]},{\"role\":\"tool\","
         "\"content\":\"2\",\"tool_call_id\":\"c1\"}]",
         false},
        {"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}",
         "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}]",
         false},
        {"{\"role\":\"user\",\"content\":[]}", "[{\"role\":\"user\",\"content\":\"\"}]", false},
        {"{\"role\":\"assistant\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"no\"}],\"reasoning_content\":"
         "\"hm\"}",
         "[{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"no\"}],\"reasoning_content\":\"hm\"}]",
         true},
        {"{\"role\":\"user\",\"content\":\"\\u00e9 \\ud83d\\ude00 \\\"q\\\"\"}",
         "[{\"role\":\"user\",\"content\":\"\xc3\xa9 \xf0\x9f\x98\x80 \\\"q\\\"\"}]", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = ARENA_INIT;
        struct err err = ERR_INIT;
        struct openai_request r;
        char body[1024];
        snprintf(body, sizeof body, "{\"messages\":[%s]}", rows[i].messages);
        if (!parse(OPENAI_CHAT, body, &a, &r, &err))
            fail_msg("%s: %s", body, err.text);
        assert_string_equal(r.messages_json, rows[i].plain);
        assert_int_equal(r.prefill, rows[i].prefill);
        arena_done(&a);
    }
}

static void parameters_arrive(void **state)
{
    static const char body[] =
        CHAT("\"model\":\"ai/m:1\",\"temperature\":0.5,\"top_p\":1,\"top_k\":-1,\"min_p\":0.1,\"presence_penalty\":-2,"
             "\"frequency_penalty\":2,\"repetition_penalty\":1.1,\"repeat_last_n\":-1,\"seed\":-9223372036854774784,"
             "\"max_tokens\":5,\"max_completion_tokens\":6,\"n\":3.0,\"stream\":true,\"stream_options\":{\"include_"
             "usage\":true},"
             "\"stop\":[\"a\",\"\",\"b\"],\"logit_bias\":{\"7\":-100,\"8\":1.5},\"logprobs\":true,\"top_logprobs\":2,"
             "\"chat_template_kwargs\":{\"enable_thinking\":false},\"ignore_eos\":true");
    struct arena a = ARENA_INIT;
    struct err err = ERR_INIT;
    struct openai_request r;
    (void)state;
    if (!parse(OPENAI_CHAT, body, &a, &r, &err))
        fail_msg("%s", err.text);
    const struct openai_sampling *s = &r.sampling;
    assert_string_equal(r.model, "ai/m:1");
    assert_true(s->temperature == 0.5 && s->top_p == 1 && s->min_p == 0.1 && s->repeat_penalty == 1.1);
    assert_true(s->presence_penalty == -2 && s->frequency_penalty == 2);
    assert_int_equal(s->top_k, -1);
    assert_int_equal(s->repeat_last_n, -1);
    assert_true(s->seed == INT64_C(-9223372036854774784));
    assert_int_equal(s->max_tokens, 6);
    assert_int_equal(r.n, 3);
    assert_true(r.stream && r.include_usage && s->ignore_eos);
    assert_int_equal(s->n_stops, 2);
    assert_string_equal(s->stops[1], "b");
    assert_int_equal(s->n_bias, 2);
    assert_int_equal(s->bias[0].token, 7);
    assert_true(s->bias[0].bias == -100);
    assert_int_equal(s->top_logprobs, 2);
    assert_string_equal(r.template_kwargs_json, "{\"enable_thinking\":false}");
    arena_done(&a);
}

static void absent_is_unset(void **state)
{
    struct arena a = ARENA_INIT;
    struct openai_request r;
    (void)state;
    assert_true(parse(OPENAI_CHAT, CHAT("\"max_tokens\":-1,\"seed\":-1,\"stop\":\"\""), &a, &r, NULL));
    assert_true(isnan(r.sampling.temperature) && isnan(r.sampling.top_p) && isnan(r.sampling.repeat_penalty));
    assert_true(r.sampling.max_tokens == OPENAI_UNSET && r.sampling.seed == OPENAI_UNSET);
    assert_true(r.sampling.top_logprobs == OPENAI_UNSET && r.sampling.top_k == OPENAI_UNSET);
    assert_null(r.model);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.sampling.n_stops, 0);
    assert_false(r.stream);
    arena_done(&a);
}

static void prompts_have_four_forms(void **state)
{
    static const struct {
        const char *json;
        size_t n, n_tokens; /* of the last; 0: a text */
    } rows[] = {
        {"\"a\"", 1, 0}, {"[\"a\",\"b\",\"c\"]", 3, 0}, {"[1,2,3]", 1, 3}, {"[[1],[2,3]]", 2, 2}, {"[[1],\"x\"]", 2, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = ARENA_INIT;
        struct openai_request r;
        char body[128];
        snprintf(body, sizeof body, "{\"prompt\":%s,\"echo\":true}", rows[i].json);
        assert_true(parse(OPENAI_COMPLETION, body, &a, &r, NULL));
        assert_int_equal(r.n_prompts, rows[i].n);
        assert_int_equal(r.prompts[r.n_prompts - 1].n_tokens, rows[i].n_tokens);
        assert_int_equal(r.prompts[r.n_prompts - 1].text == NULL, rows[i].n_tokens > 0);
        assert_true(r.echo);
        arena_done(&a);
    }
}

/* COUNT values, and one more than is allowed. */
static char *list_body(const char *key, const char *item, size_t count, const char *rest)
{
    char *body = malloc(strlen(key) + count * (strlen(item) + 1) + strlen(rest) + 16);
    size_t at = (size_t)sprintf(body, "{\"%s\":[", key);
    for (size_t i = 0; i < count; i++)
        at += (size_t)sprintf(body + at, "%s%s", i == 0 ? "" : ",", item);
    sprintf(body + at, "]%s}", rest);
    return body;
}

static void limits_are_reached_not_passed(void **state)
{
    static const struct {
        enum openai_kind kind;
        const char *key, *item, *rest;
        size_t max;
    } rows[] = {
        {OPENAI_CHAT, "messages", USER, "", LIMIT_MESSAGES},
        {OPENAI_EMBEDDING, "input", "\"a\"", "", LIMIT_EMBEDDING_INPUTS},
        {OPENAI_COMPLETION, "prompt", "\"a\"", "", LIMIT_SEQUENCES},
        {OPENAI_COMPLETION, "prompt", "\"a\"", ",\"n\":16", LIMIT_SEQUENCES / 16},
        {OPENAI_COMPLETION, "stop", "\"a\"", ",\"prompt\":\"x\"", LIMIT_STOP_STRINGS},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t more = 0; more < 2; more++) {
            struct arena a = ARENA_INIT;
            struct openai_request r;
            char *body = list_body(rows[i].key, rows[i].item, rows[i].max + more, rows[i].rest);
            assert_int_equal(parse(rows[i].kind, body, &a, &r, NULL), more == 0);
            free(body);
            arena_done(&a);
        }
    }
}

static void deep_nesting_is_refused(void **state)
{
    struct arena a = ARENA_INIT;
    struct openai_request r;
    char body[4096];
    (void)state;
    memset(body, '[', sizeof body);
    assert_false(openai_request_parse(OPENAI_CHAT, body, sizeof body, &a, &r, NULL));
    arena_done(&a);
}

static void unknown_fields_are_listed(void **state)
{
    static const struct {
        enum openai_kind kind;
        const char *body, *unknown;
    } rows[] = {
        {OPENAI_CHAT, CHAT("\"temperature\":1,\"user\":\"u\",\"tools\":[],\"mirostat\":0,\"xtc_threshold\":0.1"), NULL},
        {OPENAI_CHAT, CHAT("\"made_up\":1,\"temperature\":1,\"temprature\":2"), "made_up, temprature"},
        {OPENAI_COMPLETION, TEXT("\"messages\":1"), "messages"},
        {OPENAI_EMBEDDING, EMBED("\"stop\":1"), "stop"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = ARENA_INIT;
        struct err err = ERR_INIT;
        struct openai_request r;
        if (!parse(rows[i].kind, rows[i].body, &a, &r, &err))
            fail_msg("%s: %s", rows[i].body, err.text);
        if (rows[i].unknown == NULL)
            assert_null(r.unknown);
        else
            assert_string_equal(r.unknown, rows[i].unknown);
        arena_done(&a);
    }
}

static void tools_are_written_plainly(void **state)
{
    static const struct {
        const char *body, *plain;
        bool required, parallel;
    } rows[] = {
        {CHAT(TOOLS("\"name\":\"f\"")),
         "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"\",\"parameters\":{\"type\":"
         "\"object\","
         "\"properties\":{},\"additionalProperties\":false}}}]",
         false, true},
        {CHAT(TOOLS("\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":{"
                    "\"type\":\"string\",\"not\":{}}}}") ",\"parallel_tool_calls\":false"),
         "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":"
         "\"object\","
         "\"properties\":{\"a\":{\"type\":\"string\"}}}}}]",
         false, false},
        {CHAT(TOOLS("\"name\":\"f\"") ",\"tool_choice\":\"none\""), NULL, false, true},
        {CHAT(
             TOOLS("\"name\":\"g\"}},{\"type\":\"function\",\"function\":{\"name\":\"f\"") ",\"tool_choice\":{\"type\":"
                                                                                           "\"function\",\"function\":{"
                                                                                           "\"name\":\"f\"}}"),
         "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"\",\"parameters\":{\"type\":"
         "\"object\","
         "\"properties\":{},\"additionalProperties\":false}}}]",
         true, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = ARENA_INIT;
        struct err err = ERR_INIT;
        struct openai_request r;
        if (!parse(OPENAI_CHAT, rows[i].body, &a, &r, &err))
            fail_msg("%s: %s", rows[i].body, err.text);
        if (rows[i].plain == NULL)
            assert_null(r.tools_json);
        else
            assert_string_equal(r.tools_json, rows[i].plain);
        assert_int_equal(r.tool_required, rows[i].required);
        assert_int_equal(r.parallel_tool_calls, rows[i].parallel);
        arena_done(&a);
    }
}

static void ten_thousand_tools_are_refused_by_the_limits_name(void **state)
{
    struct arena a = ARENA_INIT;
    struct err err = ERR_INIT;
    struct openai_request r;
    (void)state;
    char *body = malloc(1 << 20);
    assert_non_null(body);
    char *at = stpcpy(body, "{\"messages\":[" USER "],\"tools\":[");
    for (int i = 0; i < 10000; i++)
        at += sprintf(at, "%s{\"type\":\"function\",\"function\":{\"name\":\"f%d\"}}", i > 0 ? "," : "", i);
    strcpy(at, "]}");
    assert_false(parse(OPENAI_CHAT, body, &a, &r, &err));
    assert_string_equal(err.param, "tools");
    assert_non_null(strstr(err.text, "LIMIT_TOOLS"));
    free(body);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_fields_are_listed),
        cmocka_unit_test(tools_are_written_plainly),
        cmocka_unit_test(ten_thousand_tools_are_refused_by_the_limits_name),
        cmocka_unit_test(refused_bodies_name_their_field),
        cmocka_unit_test(harmless_fields_are_taken),
        cmocka_unit_test(messages_are_written_plainly),
        cmocka_unit_test(parameters_arrive),
        cmocka_unit_test(absent_is_unset),
        cmocka_unit_test(prompts_have_four_forms),
        cmocka_unit_test(limits_are_reached_not_passed),
        cmocka_unit_test(deep_nesting_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
