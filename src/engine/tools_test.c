/* Tools in our own form: the messages, the grammar of a call, and reading the answer in pieces of any size. */
#include "engine/tools.h"

#include "base/limits.h"
#include "engine/grammar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LOOK                                                                                                           \
    "{\"type\":\"function\",\"function\":{\"name\":\"look\",\"description\":\"\",\"parameters\":{\"type\":\"object\"," \
    "\"properties\":{\"at\":{\"$ref\":\"#/$defs/"                                                                      \
    "place\"}},\"required\":[\"at\"],\"$defs\":{\"place\":{\"type\":\"string\"}}}}}"
#define STOP                                                                                                           \
    "{\"type\":\"function\",\"function\":{\"name\":\"stop\",\"description\":\"\",\"parameters\":{\"type\":\"object\"," \
    "\"properties\":{},\"additionalProperties\":false}}}"
#define TOOLS "[" LOOK "," STOP "]"

static void messages(void **state)
{
    static const struct {
        const char *messages;
        const char *has[5], *lacks;
    } rows[] = {
        {"[{\"role\":\"user\",\"content\":\"hi\"}]",
         {"[{\"role\":\"system\",\"content\":\"# Tools", "\\\"name\\\":\\\"look\\\"",
          "{\"role\":\"user\",\"content\":\"hi\"}]"},
         "answers"},
        {"[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"hi\"}]",
         {"[{\"role\":\"system\",\"content\":\"Be brief.\\n\\n# Tools"},
         "\"system\",\"content\":\"# Tools"},
        {"[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]},{\"role\":\"user\",\"content\":"
         "\"hi\"}]",
         {"[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"# Tools"},
         NULL},
        {"[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":"
         "\"1\",\"type\":"
         "\"function\",\"function\":{\"name\":\"look\",\"arguments\":\"{\\\"at\\\":\\\"x\\\"}\"}}]},{\"role\":\"tool\","
         "\"tool_call_id\":"
         "\"1\",\"content\":\"one\"},{\"role\":\"tool\",\"tool_call_id\":\"2\",\"content\":\"two\"}]",
         {"<tool_call>\\n{\\\"name\\\": \\\"look\\\", \\\"arguments\\\": {\\\"at\\\":\\\"x\\\"}}\\n</tool_call>",
          "{\"role\":\"user\",\"content\":\"<tool_response>\\none\\n</tool_response>\\n\\n<tool_response>\\ntwo"},
         "\"tool\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = ERR_INIT;
        char *text = tools_messages(rows[i].messages, TOOLS, &err);
        if (text == NULL)
            fail_msg("%s", err.text);
        for (size_t k = 0; rows[i].has[k] != NULL; k++)
            if (strstr(text, rows[i].has[k]) == NULL)
                fail_msg("%s lacks %s", text, rows[i].has[k]);
        if (rows[i].lacks != NULL && strstr(text, rows[i].lacks) != NULL)
            fail_msg("%s has %s", text, rows[i].lacks);
        free(text);
    }
}

#define CALL(name, arguments) "<tool_call>\n{\"name\": \"" name "\", \"arguments\": " arguments "}\n</tool_call>"

static void grammar(void **state)
{
    static const struct {
        bool parallel;
        const char *text;
        bool fits;
    } rows[] = {
        {false, CALL("look", "{\"at\": \"x\"}"), true},
        {false, CALL("stop", "{}"), true},
        {false, CALL("look", "{}"), false},
        {false, CALL("look", "{\"at\": 3}"), false},
        {false, CALL("other", "{}"), false},
        {false, CALL("stop", "{}") "\n" CALL("stop", "{}"), false},
        {true, CALL("stop", "{}") "\n" CALL("look", "{\"at\":\"\"}"), true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = ERR_INIT;
        struct grammar *g = NULL;
        char *text = tools_grammar(TOOLS, rows[i].parallel, &err);
        if (text == NULL || !grammar_parse(text, strlen(text), &g, &err))
            fail_msg("%s", err.text);
        struct matcher *m = matcher_new(g);
        bool fits = matcher_feed(m, rows[i].text, strlen(rows[i].text)) && matcher_may_end(m);
        if (fits != rows[i].fits)
            fail_msg("%s: %d", rows[i].text, fits);
        matcher_free(&m);
        grammar_unref(&g);
        free(text);
    }
}

static bool note(void *ctx, const struct tools_part *part)
{
    char *out = ctx;
    if (part->name != NULL)
        sprintf(out + strlen(out), "|%zu %s:", part->call, part->name);
    else
        sprintf(out + strlen(out), "%.*s", (int)part->n, part->text);
    return true;
}

static void reading(void **state)
{
    static const struct {
        const char *answer, *told;
    } rows[] = {
        {"Hello <b>there</b>", "Hello <b>there</b>"},
        {"Hello <tool_cal", "Hello <tool_cal"},
        {CALL("look", "{\"at\": \"a } \\\" {b\"}"), "|0 look:{\"at\": \"a } \\\" {b\"}"},
        {"I look.\n" CALL("look", "{\"at\": [1, {\"x\": 2}]}"), "I look.\n|0 look:{\"at\": [1, {\"x\": 2}]}"},
        {CALL("stop", "{}") "\n" CALL("look", "{\"at\":\"x\"}"), "|0 stop:{}|1 look:{\"at\":\"x\"}"},
        {CALL("stop", "{}") "\nDone.", "|0 stop:{}Done."},
        {"<tool_call>\nsomething else", "<tool_call>\nsomething else"},
        {"<tool_call>{\"name\":\"stop\",\"arguments\":{\"a\"", "|0 stop:{\"a\""},
        {"<tool_call>{\"name\":\"st", "<tool_call>{\"name\":\"st"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t step = 1; step < 40; step += 6) {
            char out[512] = "";
            size_t n = strlen(rows[i].answer);
            struct tools_reader r;
            tools_reader_init(&r);
            for (size_t at = 0; at < n; at += step)
                assert_true(
                    tools_reader_feed(&r, rows[i].answer + at, at + step < n ? step : n - at, false, note, out));
            assert_true(tools_reader_feed(&r, "", 0, true, note, out));
            if (strcmp(out, rows[i].told) != 0)
                fail_msg("%s by %zu: '%s'", rows[i].answer, step, out);
            tools_reader_done(&r);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages),
        cmocka_unit_test(grammar),
        cmocka_unit_test(reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
