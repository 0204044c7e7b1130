/* The exact bytes of answers, chunks, logprobs, embeddings and model lists. */
#include "openai/answer.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct openai_head chat_head = {OPENAI_CHAT, "chatcmpl-1", "ai/m", 1700000000, NULL, false};
static const struct openai_head text_head = {OPENAI_COMPLETION, "cmpl-1", "ai/m", 1700000000, NULL, false};
static const struct openai_usage usage = {5, 2, 3, 0};
static const struct openai_timings timings = {3, 2, 3, 10.0, 30.0};

#define HEAD(id, object)                                                                                               \
    "{\"id\":\"" id "\",\"object\":\"" object                                                                          \
    "\",\"created\":1700000000,\"model\":\"ai/m\",\"system_fingerprint\":\"tug-" TUG_VERSION "\","
#define USAGE                                                                                                          \
    "\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8,\"prompt_tokens_details\":{\"cached_"   \
    "tokens\":2}}"
#define TIMINGS                                                                                                        \
    "\"timings\":{\"cache_n\":2,\"prompt_n\":3,\"prompt_ms\":10,\"prompt_per_second\":300,\"predicted_n\":3,"          \
    "\"predicted_ms\":30,\"predicted_per_second\":100}"

/* Equal as JSON: numbers may be written 10 or 10.0. */
static void assert_json(const char *got, size_t n, const char *wanted)
{
    json_error_t why;
    json_t *a = json_loadb(got, n, JSON_REJECT_DUPLICATES, &why);
    json_t *b = json_loads(wanted, 0, &why);
    if (a == NULL || b == NULL)
        fail_msg("not JSON: %s: %.*s", why.text, (int)n, got);
    char *x = json_dumps(a, JSON_COMPACT | JSON_REAL_PRECISION(9));
    char *y = json_dumps(b, JSON_COMPACT | JSON_REAL_PRECISION(9));
    char *z;
    while ((z = strstr(x, ".0,")) != NULL || (z = strstr(x, ".0}")) != NULL)
        memmove(z, z + 2, strlen(z + 2) + 1);
    assert_string_equal(x, y);
    free(x);
    free(y);
    json_decref(a);
    json_decref(b);
}

static void whole_answers(void **state)
{
    struct buf out = BUF_INIT(65536);
    struct openai_choice choices[] = {
        {.text = "Hi \"you\"", .text_len = 8, .finish = OPENAI_FINISH_STOP},
        {.text = "", .text_len = 0, .finish = OPENAI_FINISH_LENGTH},
    };
    (void)state;
    assert_true(openai_write_answer(&out, &chat_head, choices, 2, &usage, &timings));
    assert_json(out.data, out.len,
                HEAD("chatcmpl-1",
                     "chat.completion") "\"choices\":["
                                        "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi "
                                        "\\\"you\\\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"},"
                                        "{\"index\":1,\"message\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":"
                                        "null},\"logprobs\":null,\"finish_reason\":\"length\"}]," USAGE "," TIMINGS
                                        "}");
    buf_clear(&out);
    assert_true(openai_write_answer(&out, &text_head, choices, 1, &usage, NULL));
    assert_json(out.data, out.len,
                HEAD("cmpl-1", "text_completion") "\"choices\":[{\"index\":0,\"text\":\"Hi "
                                                  "\\\"you\\\"\",\"logprobs\":null,\"finish_reason\":\"stop\"}]," USAGE
                                                  "}");
    buf_done(&out);
}

static void chunks(void **state)
{
    const struct {
        bool chat, include_usage;
        struct openai_chunk chunk;
        const char *middle;
    } rows[] = {
        {true,
         false,
         {.opening = true},
         "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_"
         "reason\":null}]"},
        {true,
         true,
         {.index = 1, .part = &(struct openai_part){.kind = OPENAI_PART_CONTENT, .text = "a\n", .n = 2}},
         "\"choices\":[{\"index\":1,\"delta\":{\"content\":\"a\\n\"},\"logprobs\":null,\"finish_reason\":null}],"
         "\"usage\":null"},
        {true,
         false,
         {.part = &(struct openai_part){.kind = OPENAI_PART_REASONING, .text = "hm", .n = 2}},
         "\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"},\"logprobs\":null,\"finish_reason\":null}"
         "]"},
        {true,
         false,
         {.part = &(struct openai_part){.kind = OPENAI_PART_CALL, .call = 1, .id = "call_1", .name = "f"}},
         "\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"call_1\",\"type\":\"function\","
         "\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]},\"logprobs\":null,\"finish_reason\":null}]"},
        {true,
         false,
         {.part = &(struct openai_part){.kind = OPENAI_PART_ARGUMENTS, .call = 1, .text = "{\"a", .n = 3}},
         "\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"{\\\"a\"}}]},"
         "\"logprobs\":null,\"finish_reason\":null}]"},
        {true,
         false,
         {.finish = OPENAI_FINISH_TOOLS},
         "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"tool_calls\"}]"},
        {true,
         false,
         {.finish = OPENAI_FINISH_STOP, .timings = &timings},
         "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]," TIMINGS},
        {false,
         false,
         {.opening = true, .text = "echo", .text_len = 4},
         "\"choices\":[{\"index\":0,\"text\":\"echo\",\"logprobs\":null,\"finish_reason\":null}]"},
        {false,
         false,
         {.finish = OPENAI_FINISH_LENGTH},
         "\"choices\":[{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"length\"}]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out = BUF_INIT(65536);
        struct openai_head head = rows[i].chat ? chat_head : text_head;
        char wanted[1024];
        head.include_usage = rows[i].include_usage;
        assert_true(openai_event_chunk(&out, &head, &rows[i].chunk));
        snprintf(wanted, sizeof wanted, "%s%s}",
                 rows[i].chat ? HEAD("chatcmpl-1", "chat.completion.chunk") : HEAD("cmpl-1", "text_completion"),
                 rows[i].middle);
        assert_memory_equal(out.data, "data: ", 6);
        assert_string_equal(out.data + out.len - 2, "\n\n");
        assert_json(out.data + 6, out.len - 8, wanted);
        assert_null(memchr(out.data, '\n', out.len - 2)); /* an event is one line */
        buf_done(&out);
    }
}

static void the_end_of_a_stream(void **state)
{
    struct buf out = BUF_INIT(65536);
    struct err err = ERR_INIT;
    (void)state;
    assert_true(openai_event_usage(&out, &chat_head, &usage, &timings));
    assert_json(out.data + 6, out.len - 8,
                HEAD("chatcmpl-1", "chat.completion.chunk") "\"choices\":[]," USAGE "," TIMINGS "}");
    buf_clear(&out);
    assert_true(openai_event_done(&out));
    assert_string_equal(out.data, "data: [DONE]\n\n");
    buf_clear(&out);
    err_set(&err, ERR_ENGINE, "broke");
    assert_true(openai_event_error(&out, &err));
    assert_json(out.data + 6, out.len - 8,
                "{\"error\":{\"message\":\"broke\",\"type\":\"engine_error\",\"param\":null,\"code\":null}}");
    buf_done(&out);
}

static void logprobs_of_chat(void **state)
{
    const struct openai_token top[] = {{"\xf0\x9f", 2, -0.5}, {"b", 1, -INFINITY}};
    struct openai_logprobs l;
    struct buf out = BUF_INIT(65536);
    (void)state;
    openai_logprobs_init(&l, OPENAI_CHAT);
    assert_true(openai_logprobs_add(&l, &top[0], top, 2));
    assert_true(openai_logprobs_add(&l, &top[1], NULL, 0));
    struct openai_choice choice = {.text = "x", .text_len = 1, .logprobs = &l, .finish = OPENAI_FINISH_STOP};
    assert_true(openai_write_answer(&out, &chat_head, &choice, 1, &usage, NULL));
    const char *at = strstr(out.data, "\"logprobs\":{");
    assert_non_null(at);
    const char *end = strstr(at, ",\"finish_reason\"");
    assert_json(
        at + 11, (size_t)(end - at) - 11,
        "{\"content\":[{\"token\":\"\xef\xbf\xbd\xef\xbf\xbd\",\"logprob\":-0.5,\"bytes\":[240,159],\"top_logprobs\":["
        "{\"token\":\"\xef\xbf\xbd\xef\xbf\xbd\",\"logprob\":-0.5,\"bytes\":[240,159]},{\"token\":\"b\",\"logprob\":-"
        "9999,"
        "\"bytes\":[98]}]},"
        "{\"token\":\"b\",\"logprob\":-9999,\"bytes\":[98],\"top_logprobs\":[]}],\"refusal\":null}");
    openai_logprobs_done(&l);
    buf_done(&out);
}

static void logprobs_of_completions(void **state)
{
    /* two tokens with one spelling: a JSON key may stand once */
    const struct openai_token top[] = {{"\xc3\xa9t", 3, -0.25}, {"\xc3\xa9t", 3, -0.5}, {"b", 1, -2}};
    struct openai_logprobs l;
    struct buf out = BUF_INIT(65536);
    (void)state;
    openai_logprobs_init(&l, OPENAI_COMPLETION);
    assert_true(openai_logprobs_add(&l, &top[0], top, 3));
    openai_logprobs_clear(&l);
    assert_true(openai_logprobs_add(&l, &top[2], top, 1));
    assert_true(openai_logprobs_add(&l, &top[0], top, 3));
    struct openai_chunk chunk = {.text = "x", .text_len = 1, .logprobs = &l};
    assert_true(openai_event_chunk(&out, &text_head, &chunk));
    assert_json(out.data + 6, out.len - 8,
                HEAD("cmpl-1", "text_completion") "\"choices\":[{\"index\":0,\"text\":\"x\",\"logprobs\":{\"tokens\":["
                                                  "\"b\",\"\xc3\xa9t\"],"
                                                  "\"token_logprobs\":[-2,-0.25],\"top_logprobs\":[{\"\xc3\xa9t\":-0."
                                                  "25},{\"\xc3\xa9t\":-0.25,\"b\":-2}],"
                                                  "\"text_offset\":[2,3]},\"finish_reason\":null}]}");
    openai_logprobs_done(&l);
    buf_done(&out);
}

static void embeddings(void **state)
{
    const float a[] = {1.0F, -0.1F, 0.0F};
    const float b[] = {0.5F, 3.0e-5F, 2.0F};
    const float *const rows[] = {a, b};
    struct buf out = BUF_INIT(65536);
    (void)state;
    assert_true(openai_write_embeddings(&out, "m", rows, 2, 3, false, 7));
    assert_string_equal(
        out.data,
        "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":[1,-0.100000001,0]},"
        "{\"object\":\"embedding\",\"index\":1,\"embedding\":[0.5,2.99999992e-05,2]}],\"model\":\"m\","
        "\"usage\":{\"prompt_tokens\":7,\"total_tokens\":7}}");
    buf_clear(&out);
    assert_true(openai_write_embeddings(&out, "m", rows, 1, 3, true, 7));
    assert_non_null(
        strstr(out.data, "\"embedding\":\"AACAP83MzL0AAAAA\"")); /* struct.pack('<3f', 1, -.1, 0) in base64 */
    buf_done(&out);
}

static void model_lists(void **state)
{
    const struct openai_model m = {"ai/m", 5, "tug"};
    struct buf out = BUF_INIT(65536);
    (void)state;
    assert_true(openai_write_models(&out, &m, 1));
    assert_string_equal(
        out.data,
        "{\"object\":\"list\",\"data\":[{\"id\":\"ai/m\",\"object\":\"model\",\"created\":5,\"owned_by\":\"tug\"}]}");
    buf_done(&out);
}

static void a_full_buffer_is_reported(void **state)
{
    struct buf out = BUF_INIT(40);
    struct openai_chunk chunk = {.text = "x", .text_len = 1};
    (void)state;
    assert_false(openai_event_chunk(&out, &chat_head, &chunk));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_answers),
        cmocka_unit_test(chunks),
        cmocka_unit_test(the_end_of_a_stream),
        cmocka_unit_test(logprobs_of_chat),
        cmocka_unit_test(logprobs_of_completions),
        cmocka_unit_test(embeddings),
        cmocka_unit_test(model_lists),
        cmocka_unit_test(a_full_buffer_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
