/* From a checked request to the batch loop's parameters. */
#include "engine/params.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct model_info model = {.n_vocab = 100};

static bool make(const char *fields, const char *const *more_stops, struct arena *a, struct gen_params *p,
                 struct err *err)
{
    struct openai_request r;
    const char *body = arena_printf(a, "{\"prompt\":\"x\"%s}", fields);
    if (!openai_request_parse(OPENAI_COMPLETION, body, strlen(body), a, &r, err))
        fail_msg("%s: %s", body, err->text);
    static const struct gen_params defaults = GEN_PARAMS_DEFAULT;
    return params_make(&r, &defaults, &model, more_stops, a, p, err);
}

static void absent_fields_have_the_defaults(void **state)
{
    const struct gen_params d = GEN_PARAMS_DEFAULT;
    struct arena a = ARENA_INIT;
    struct gen_params p;
    struct err err = ERR_INIT;
    (void)state;
    assert_true(make("", NULL, &a, &p, &err));
    assert_true(p.temperature == d.temperature && p.top_p == d.top_p && p.min_p == d.min_p);
    assert_int_equal(p.top_k, d.top_k);
    assert_int_equal(p.max_tokens, -1);
    assert_int_equal(p.top_logprobs, -1);
    assert_false(p.seed_set);
    assert_int_equal(p.n_stops, 0);
    assert_int_equal(p.n_bias, 0);
    arena_done(&a);
}

static void given_fields_arrive(void **state)
{
    struct arena a = ARENA_INIT;
    struct gen_params p;
    struct err err = ERR_INIT;
    (void)state;
    assert_true(make(",\"temperature\":0,\"top_p\":0.5,\"top_k\":-1,\"seed\":9,\"max_tokens\":3,\"logprobs\":0,"
                     "\"repeat_penalty\":1.25,\"ignore_eos\":true,\"logit_bias\":{\"99\":-100}",
                     NULL, &a, &p, &err));
    assert_true(p.temperature == 0 && p.top_p == 0.5 && p.repeat_penalty == 1.25 && p.ignore_eos);
    assert_int_equal(p.top_k, -1);
    assert_true(p.seed_set && p.seed == 9);
    assert_int_equal(p.max_tokens, 3);
    assert_int_equal(p.top_logprobs, 0);
    assert_int_equal(p.n_bias, 1);
    assert_int_equal(p.bias[0].token, 99);
    arena_done(&a);
}

static void samplers_have_their_order(void **state)
{
    static const struct {
        const char *fields;
        bool ok, used, no_penalties;
        size_t n;
        uint8_t order[4];
    } rows[] = {
        {"", true, false, false, CHAIN_STEPS, {0, 1, 2, 3}},
        {",\"xtc_probability\":0.5", true, true, false, CHAIN_STEPS, {0, 1, 2, 3}},
        {",\"mirostat\":0,\"typical_p\":1", true, false, false, CHAIN_STEPS, {0, 1, 2, 3}},
        {",\"samplers\":[\"temperature\",\"top_k\"]", true, true, true, 2, {CHAIN_TEMPERATURE, CHAIN_TOP_K}},
        {",\"samplers\":[\"penalties\",\"dry\",\"typ_p\"]", true, true, false, 1, {CHAIN_TYPICAL}},
        {",\"samplers\":[\"magic\"]", false, false, false, 0, {0}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = ARENA_INIT;
        struct gen_params p = {0};
        struct err err = ERR_INIT;
        assert_int_equal(make(rows[i].fields, NULL, &a, &p, &err), rows[i].ok);
        if (rows[i].ok) {
            assert_int_equal(p.chain.used, rows[i].used);
            assert_int_equal(p.chain.no_penalties, rows[i].no_penalties);
            assert_int_equal(p.chain.n_order, rows[i].n);
            assert_memory_equal(p.chain.order, rows[i].order, rows[i].n < 4 ? rows[i].n : 4);
        } else {
            assert_string_equal(err.param, "samplers");
        }
        arena_done(&a);
    }
}

static void stops_of_the_request_and_of_the_format_join(void **state)
{
    static const struct {
        const char *fields;
        const char *more[4];
        const char *stops[5];
    } rows[] = {
        {"", {"<|end|>"}, {"<|end|>"}},
        {",\"stop\":\"a\"", {"x", "y"}, {"a", "x", "y"}},
        {",\"stop\":[\"a\",\"b\"]", {NULL}, {"a", "b"}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = ARENA_INIT;
        struct gen_params p;
        struct err err = ERR_INIT;
        size_t n = 0;
        assert_true(make(rows[i].fields, rows[i].more, &a, &p, &err));
        for (; rows[i].stops[n] != NULL; n++)
            assert_string_equal(p.stops[n], rows[i].stops[n]);
        assert_int_equal(p.n_stops, n);
        arena_done(&a);
    }
}

static void tokens_outside_the_vocabulary_are_refused(void **state)
{
    static const int32_t tokens[] = {0, 99, 100};
    const struct openai_prompt good = {.tokens = tokens, .n_tokens = 2};
    const struct openai_prompt bad = {.tokens = tokens, .n_tokens = 3};
    struct arena a = ARENA_INIT;
    struct gen_params p;
    struct err err = ERR_INIT;
    (void)state;
    assert_true(params_check_tokens(&good, &model, "prompt", &err));
    assert_false(params_check_tokens(&bad, &model, "prompt", &err));
    assert_string_equal(err.param, "prompt");
    assert_non_null(strstr(err.text, "no token 100"));
    assert_false(make(",\"logit_bias\":{\"100\":1}", NULL, &a, &p, &err));
    assert_string_equal(err.param, "logit_bias");
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_fields_have_the_defaults),
        cmocka_unit_test(given_fields_arrive),
        cmocka_unit_test(samplers_have_their_order),
        cmocka_unit_test(stops_of_the_request_and_of_the_format_join),
        cmocka_unit_test(tokens_outside_the_vocabulary_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
