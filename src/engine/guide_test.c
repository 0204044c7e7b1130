/* Guides over real templates and a hand-made vocabulary: at once, after the reasoning, behind triggers, with a
 * budget. A "model" here is a list of tokens in the order of its liking. */
#include "engine/guide.h"

#include "base/check.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const words[] = {
    "<end>",
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<pad>",
    "\n",
    "\n\n",
    " ",
    "{\"a\":",
    "{",
    "}",
    "1",
    "2",
    "yes",
    "no",
    "Sure",
    "hm",
    "</think>\n\n{",
    "<tool_call>\nno",
    "<tool_call>\n1",
};
enum { N_WORDS = ARRAY_LEN(words), END = 0, THINK = 1, THINK_STOP = 2, CALL = 3, CALL_STOP = 4, PAD = 5 };

#define THINKER                                                                                                        \
    "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' and m.reasoning_content %}<think>\n{{ "        \
    "m.reasoning_content }}\n</think>\n\n{% endif %}{{ m.content }}<end>\n{% endfor %}{% if add_generation_prompt "    \
    "%}<|assistant|>{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% "  \
    "endif %}"

static struct vocab *vocab;

static int make_vocab(void **state)
{
    size_t lengths[N_WORDS];
    uint8_t flags[N_WORDS] = {[END] = VOCAB_END | VOCAB_CONTROL, [PAD] = VOCAB_CONTROL};
    (void)state;
    flags[THINK] = flags[THINK_STOP] = flags[CALL] = flags[CALL_STOP] = VOCAB_CONTROL;
    for (size_t i = 0; i < N_WORDS; i++)
        lengths[i] = strlen(words[i]);
    vocab = vocab_new(words, lengths, flags, N_WORDS);
    return 0;
}

static int drop_vocab(void **state)
{
    (void)state;
    vocab_free(&vocab);
    return 0;
}

static int32_t word(const char *text)
{
    for (int32_t i = 0; i < (int32_t)N_WORDS; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    fail_msg("no word %s", text);
    return -1;
}

static struct guide *guide_of(const char *grammar, const char *template, const char *kwargs)
{
    static const int32_t special[] = {THINK, THINK_STOP, CALL, CALL_STOP};
    struct guide *g = guide_new(vocab);
    struct err err = ERR_INIT;
    char why[256] = "";
    if (grammar != NULL && !grammar_parse(grammar, strlen(grammar), &g->grammar, &err))
        fail_msg("%s", err.text);
    g->special = malloc(sizeof special);
    memcpy(g->special, special, sizeof special);
    g->n_special = 4;
    if (template == NULL)
        return g;
    struct chat_templates *t = NULL;
    struct chat_ask ask = {.messages = "[{\"role\":\"user\",\"content\":\"Hi\"}]", .kwargs = kwargs};
    if (!chat_templates_new(NULL, template, &t, why, sizeof why) || !chat_apply(t, &ask, &g->prompt, why, sizeof why))
        fail_msg("%s", why);
    chat_templates_free(&t);
    return g;
}

/* What comes out when the model likes these words, one a step, and else what the rows leave: the lowest token. */
static void write_answer(struct guide *g, const char *const *likes, char *out)
{
    struct guided *run = guided_new(g);
    *out = '\0';
    for (size_t step = 0; step < 64; step++) {
        int32_t token = *likes == NULL ? END : word(*likes);
        if (!guided_forced(run, &token)) {
            float row[N_WORDS] = {0};
            likes += *likes != NULL;
            for (int tries = 0; !guided_allows(run, token) && tries < (int)N_WORDS; tries++) {
                if (guided_restrict(run, token, row) == 0)
                    break;
                for (token = 0; row[token] < 0; token++)
                    ;
            }
        }
        if (token == END)
            break;
        strcat(out, words[token]);
        if (guided_accept(run, token))
            break;
    }
    guided_free(&run);
}

static const char object[] = "root ::= \"{\" \"\\\"a\\\":\" [0-9]+ \"}\"";

static void answers(void **state)
{
    (void)state;
    static const struct {
        const char *name, *grammar, *template, *kwargs;
        bool after_reasoning;
        int32_t budget;
        const char *likes[16];
        const char *answer;
    } rows[] = {
        {"nothing is bound", NULL, NULL, NULL, false, -1, {"Sure", "1"}, "Sure1"},
        {"at once", object, NULL, NULL, false, -1, {"Sure", "1"}, "{\"a\":1}"},
        {"what fits is taken", object, NULL, NULL, false, -1, {"{\"a\":", "2", "1", "}", "no"}, "{\"a\":21}"},
        {"after the reasoning",
         object,
         THINKER,
         NULL,
         true,
         -1,
         {"<think>", "hm", "no", "</think>", "{\"a\":", "1", "}"},
         "<think>hmno</think>{\"a\":1}"},
        {"space after the reasoning",
         object,
         THINKER,
         NULL,
         true,
         -1,
         {"<think>", "hm", "</think>", "\n\n", "{\"a\":", "1", "}"},
         "<think>hm</think>\n\n{\"a\":1}"},
        {"no end inside the reasoning",
         object,
         THINKER,
         NULL,
         true,
         -1,
         {"<think>", "hm", "<end>", "</think>", "{\"a\":", "1", "}"},
         "<think>hm<think></think>{\"a\":1}"},
        {"no reasoning though it might", object, THINKER, NULL, true, -1, {"Sure", "2", "}"}, "{\"a\":2}"},
        {"space and no reasoning", object, THINKER, NULL, true, -1, {"\n", "{\"a\":", "2", "}"}, "\n{\"a\":2}"},
        {"thinking switched off",
         object,
         THINKER,
         "{\"enable_thinking\":false}",
         true,
         -1,
         {"Sure", "2", "}"},
         "{\"a\":2}"},
        {"a token with the end and more that does not fit",
         "root ::= \"yes\"",
         THINKER,
         NULL,
         true,
         -1,
         {"<think>", "</think>\n\n{", "</think>", "yes"},
         "<think><think></think>yes"},
        {"a budget",
         NULL,
         THINKER,
         NULL,
         false,
         3,
         {"<think>", "hm", "hm", "hm", "hm", "hm"},
         "<think>hmhmhm</think>hmhm"},
        {"a budget and a grammar",
         "root ::= \"yes\"",
         THINKER,
         NULL,
         true,
         2,
         {"<think>", "hm", "hm", "hm", "hm"},
         "<think>hmhm</think>yes"},
        {"a budget that is not used up",
         NULL,
         THINKER,
         NULL,
         false,
         9,
         {"<think>", "hm", "</think>", "yes"},
         "<think>hm</think>yes"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[1024];
        struct guide *g = guide_of(rows[i].grammar, rows[i].template, rows[i].kwargs);
        g->after_reasoning = rows[i].after_reasoning;
        g->budget = rows[i].budget;
        if (g->budget >= 0) {
            g->think_stop = malloc(sizeof *g->think_stop);
            g->think_stop[0] = THINK_STOP;
            g->n_think_stop = 1;
        }
        write_answer(g, rows[i].likes, out);
        if (strcmp(out, rows[i].answer) != 0)
            fail_msg("%s: '%s'", rows[i].name, out);
        guide_unref(&g);
    }
}

#define HERMES                                                                                                         \
    "{% if tools %}<tools>{% for t in tools %}{{ t | tojson }}{% endfor %}</tools>{% endif %}{% for m in messages %}"  \
    "<|{{ m.role }}|>{% if m.role == 'assistant' and m.tool_calls %}{% for c in m.tool_calls "                         \
    "%}<tool_call>\n{\"name\": "                                                                                       \
    "\"{{ c.function.name }}\", \"arguments\": {{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}{% else " \
    "%}"                                                                                                               \
    "{{ m.content }}{% endif %}<end>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"

/* The trigger is the template's; what follows it is a grammar of ours. */
static void triggers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *likes[12];
        const char *answer;
    } rows[] = {
        {"never", {"Sure", "no", "{"}, "Sureno{"},
        {"after some text", {"Sure", "<tool_call>", "\n", "no", "no"}, "Sure<tool_call>\n1</tool_call>"},
        {"what the trigger's own token adds fits", {"<tool_call>\n1", "no"}, "<tool_call>\n1</tool_call>"},
        {"what the trigger's own token adds does not fit", {"<tool_call>\nno", "<tool_call>", "\n", "no"}, ""},
    };
    struct chat_templates *t = NULL;
    char why[256] = "";
    if (!chat_templates_new(NULL, HERMES, &t, why, sizeof why))
        fail_msg("%s", why);
    assert_true(chat_templates_has_tools(t));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[1024];
        struct chat_ask ask = {.messages = "[{\"role\":\"user\",\"content\":\"Hi\"}]",
                               .tools = "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":"
                                        "\"object\",\"properties\":{}}}}]"};
        struct guide *g = guide_of("root ::= \"<tool_call>\\n1</tool_call>\"", NULL, NULL);
        g->waits = true;
        if (!chat_apply(t, &ask, &g->prompt, why, sizeof why))
            fail_msg("%s", why);
        const struct chat_prompt_info *info = chat_prompt_get(g->prompt);
        assert_true(info->lazy);
        assert_string_equal(info->triggers[0], "<tool_call>\n");
        write_answer(g, rows[i].likes, out);
        if (strcmp(out, rows[i].answer) != 0)
            fail_msg("%s: '%s'", rows[i].name, out);
        guide_unref(&g);
    }
    chat_templates_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers, make_vocab, drop_vocab),
        cmocka_unit_test_setup_teardown(triggers, make_vocab, drop_vocab),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
