/* Chat templates through the C++ shim: what renders, what does not compile, what a template refuses. No model. */
#include "engine/chat_shim.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PLAIN                                                                                                          \
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% "   \
    "endif %}"

/* The prompt alone, malloc'd. */
static bool render(const struct chat_templates *t, const char *messages, const char *kwargs, char **ret_prompt,
                   char *why, size_t why_size)
{
    struct chat_prompt *p = NULL;
    if (!chat_apply(t, &(struct chat_ask){.messages = messages, .kwargs = kwargs}, &p, why, why_size))
        return false;
    *ret_prompt = strdup(chat_prompt_get(p)->prompt);
    chat_prompt_free(&p);
    return true;
}

static void prompts(void **state)
{
    static const struct {
        const char *name, *source, *messages, *kwargs, *prompt;
    } rows[] = {
        {"a question", PLAIN, "[{\"role\":\"user\",\"content\":\"Hi\"}]", NULL, "[user]Hi\n[assistant]"},
        {"system first", PLAIN, "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"Hi\"}]",
         NULL, "[system]S\n[user]Hi\n[assistant]"},
        {"prefill", PLAIN, "[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"I am\"}]",
         NULL, "[user]Hi\n[assistant]I am"},
        {"parts", PLAIN,
         "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}]",
         NULL, "[user]a\nb\n[assistant]"},
        {"UTF-8", PLAIN, "[{\"role\":\"user\",\"content\":\"\xf0\x9f\x98\x80 \\u00e9\"}]", NULL,
         "[user]\xf0\x9f\x98\x80 \xc3\xa9\n[assistant]"},
        {"kwargs", "{{ messages[0].content }} {{ tone }} {{ enable_thinking }}",
         "[{\"role\":\"user\",\"content\":\"Hi\"}]", "{\"tone\":\"loud\",\"enable_thinking\":false}", "Hi loud False"},
        {"text that looks like a template", PLAIN, "[{\"role\":\"user\",\"content\":\"{{ 1 + 1 }} {% raw\"}]", NULL,
         "[user]{{ 1 + 1 }} {% raw\n[assistant]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct chat_templates *t = NULL;
        char *prompt = NULL;
        char why[512] = "";
        if (!chat_templates_new(NULL, rows[i].source, &t, why, sizeof why) ||
            !render(t, rows[i].messages, rows[i].kwargs, &prompt, why, sizeof why))
            fail_msg("%s: %s", rows[i].name, why);
        assert_string_equal(prompt, rows[i].prompt);
        assert_string_equal(chat_templates_source(t), rows[i].source);
        free(prompt);
        chat_templates_free(&t);
        assert_null(t);
    }
}

static void what_does_not_compile_says_why(void **state)
{
    static const struct {
        const char *source, *says;
    } rows[] = {
        {"{% if messages %}{{ messages[0].content }", "Expected }}"},
        {"{% for m in messages %}{{ m.content }}", "Unexpected"},
        {"{% frobnicate %}", "frobnicate"},
        {"{{ 'open", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct chat_templates *t = NULL;
        char why[512] = "";
        assert_false(chat_templates_new(NULL, rows[i].source, &t, why, sizeof why));
        assert_null(t);
        if (why[0] == '\0' || strstr(why, rows[i].says) == NULL || strchr(why, '\n') != NULL)
            fail_msg("%s: '%s'", rows[i].source, why);
    }
}

static void what_a_template_refuses_says_why(void **state)
{
    static const struct {
        const char *source, *messages, *kwargs, *says;
    } rows[] = {
        {"{{ raise_exception('roles must alternate') }}", "[{\"role\":\"user\",\"content\":\"x\"}]", NULL,
         "roles must alternate"},
        {"{{ messages[0].content | nosuch }}", "[{\"role\":\"user\",\"content\":\"x\"}]", NULL, "nosuch"},
        {PLAIN, "[{\"role\":\"user\"}]", NULL, "content"},
        {PLAIN, "[{", NULL, "parse"},
        {PLAIN, "{}", NULL, "array"},
        {PLAIN, "[{\"role\":\"user\",\"content\":\"x\"}]", "{\"enable_thinking\":\"no\"}", "enable_thinking"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct chat_templates *t = NULL;
        char *prompt = NULL;
        char why[512] = "";
        if (!chat_templates_new(NULL, rows[i].source, &t, why, sizeof why))
            fail_msg("%s: %s", rows[i].source, why);
        assert_false(render(t, rows[i].messages, rows[i].kwargs, &prompt, why, sizeof why));
        assert_null(prompt);
        if (strstr(why, rows[i].says) == NULL || strchr(why, '\n') != NULL)
            fail_msg("%s: '%s'", rows[i].source, why);
        chat_templates_free(&t);
    }
}

static void *render_many(void *arg)
{
    char messages[128];
    char wanted[128];
    for (int i = 0; i < 50; i++) {
        char *prompt = NULL;
        char why[256];
        snprintf(messages, sizeof messages, "[{\"role\":\"user\",\"content\":\"%d\"}]", i);
        snprintf(wanted, sizeof wanted, "[user]%d\n[assistant]", i);
        if (!render(arg, messages, NULL, &prompt, why, sizeof why) || strcmp(prompt, wanted) != 0)
            abort();
        free(prompt);
    }
    return NULL;
}

static void threads_share_a_handle(void **state)
{
    struct chat_templates *t = NULL;
    char why[256];
    pthread_t threads[4];
    (void)state;
    assert_true(chat_templates_new(NULL, PLAIN, &t, why, sizeof why));
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, render_many, t), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    chat_templates_free(&t);
}

#define QUESTION "[{\"role\":\"user\",\"content\":\"Weather?\"}]"
#define TOOLS                                                                                                          \
    "[{\"type\":\"function\",\"function\":{\"name\":\"look\",\"description\":\"Looks\",\"parameters\":{\"type\":"      \
    "\"object\",\"properties\":{\"at\":{\"type\":\"string\"}},\"required\":[\"at\"]}}}]"

static char *template_file(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, TUG_LLAMA_TEMPLATES "/%s.jinja", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

static struct chat_templates *templates_of(const char *name)
{
    struct chat_templates *t = NULL;
    char why[512] = "";
    char *source = template_file(name);
    if (!chat_templates_new(NULL, source, &t, why, sizeof why))
        fail_msg("%s: %s", name, why);
    free(source);
    return t;
}

/* All that a parser tells of an answer fed in pieces of `step` bytes: r(…) c(…) and calls as name:arguments; */
static void told(const struct chat_prompt *p, const char *answer, size_t step, enum chat_more end, char *out)
{
    struct chat_parser *r = chat_parser_new(p);
    char last = 0;
    size_t calls = 0;
    assert_non_null(r);
    *out = '\0';
    for (size_t at = 0, n = strlen(answer); at <= n; at += step) {
        const struct chat_delta *d;
        bool is_end = at + step > n;
        size_t deltas = chat_parser_feed(r, answer + at, is_end ? n - at : step, is_end ? end : CHAT_MORE, &d);
        for (size_t i = 0; i < deltas; i++) {
            char kind = d[i].reasoning != NULL ? 'r' : d[i].content != NULL ? 'c' : 'a';
            if (kind == 'a' && d[i].call >= calls && d[i].name != NULL) { /* again with the id, when that comes late */
                calls = d[i].call + 1;
                sprintf(out + strlen(out), "|%s:", d[i].name);
            } else if (kind != last && kind != 'a')
                sprintf(out + strlen(out), "|%c:", kind);
            last = kind;
            const char *text = kind == 'r' ? d[i].reasoning : kind == 'c' ? d[i].content : d[i].arguments;
            strcat(out, text == NULL ? "" : text);
        }
    }
    chat_parser_free(&r);
}

static void answers_are_told_in_parts(void **state)
{
    static const struct {
        const char *template, *tools, *answer, *told;
        enum chat_more end;
    } rows[] = {
        {"Qwen-Qwen3-0.6B", NULL, "<think>\nHm.\n</think>\n\nHello", "|r:Hm.|c:Hello", CHAT_END},
        {"Qwen-Qwen3-0.6B", NULL, "Hello", "|c:Hello", CHAT_END},
        {"Qwen-Qwen3-0.6B", TOOLS,
         "<think>\nHm.\n</think>\n\n<tool_call>\n{\"name\": \"look\", \"arguments\": {\"at\": \"a "
         "\\\"b\\\"\"}}\n</tool_call>",
         "|r:Hm.|look:{\"at\": \"a \\\"b\\\"\"}", CHAT_END},
        {"Qwen-Qwen3-0.6B", TOOLS, "I <b>cannot</b> tell", "|c:I <b>cannot</b> tell", CHAT_END},
        {"Qwen-Qwen3-0.6B", TOOLS, "<tool_call>\n{\"name\": \"look\", \"arguments\": {\"at\": \"a",
         "|look:{\"at\": \"a", CHAT_CUT},
        {"meta-llama-Llama-3.1-8B-Instruct", TOOLS, "{\"name\": \"look\", \"parameters\": {\"at\": \"x\"}}",
         "|look:{\"at\": \"x\"}", CHAT_END},
        {"meta-llama-Llama-3.1-8B-Instruct", TOOLS, "int main() { return 0; }", "|c:int main() { return 0; }",
         CHAT_END},
        {"mistralai-Mistral-Nemo-Instruct-2407", TOOLS,
         "[TOOL_CALLS][{\"name\": \"look\", \"arguments\": {\"at\": \"x\"}, \"id\": \"123456789\"}]",
         "|look:{\"at\": \"x\"}", CHAT_END},
        {"openai-gpt-oss-120b", TOOLS,
         "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.look "
         "<|constrain|>json<|message|>{\"at\":\"x\"}",
         "|r:Hm.|look:{\"at\":\"x\"}", CHAT_END},
        {"Qwen3-Coder", TOOLS,
         "<tool_call>\n<function=look>\n<parameter=at>\nx y\n</parameter>\n</function>\n</tool_call>",
         "|look:{\"at\":\"x y\"}", CHAT_END},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct chat_templates *t = templates_of(rows[i].template);
        struct chat_prompt *p = NULL;
        char why[512] = "";
        char out[1024];
        if (!chat_apply(t, &(struct chat_ask){.messages = QUESTION, .tools = rows[i].tools}, &p, why, sizeof why))
            fail_msg("%s: %s", rows[i].template, why);
        static const size_t steps[] = {1, 3, 1000};
        for (size_t k = 0; k < 3; k++) {
            told(p, rows[i].answer, steps[k], rows[i].end, out);
            if (strcmp(out, rows[i].told) != 0)
                fail_msg("%s by %zu: '%s', wanted '%s'", rows[i].template, steps[k], out, rows[i].told);
        }
        chat_prompt_free(&p);
        chat_templates_free(&t);
    }
}

static void grammars_and_triggers(void **state)
{
    static const struct {
        const char *template;
        bool has_tools, required, lazy, grammar;
        enum chat_trigger_kind kind;
        const char *trigger;
    } rows[] = {
        {"Qwen-Qwen3-0.6B", true, false, true, true, CHAT_TRIGGER_WORD, "<tool_call>\n"},
        {"Qwen-Qwen3-0.6B", true, true, false, true, 0, NULL},
        {"meta-llama-Llama-3.1-8B-Instruct", true, false, true, true, CHAT_TRIGGER_START, "{"},
        {"meta-llama-Llama-3.1-8B-Instruct", true, true, false, true, 0, NULL},
        {"openai-gpt-oss-120b", true, false, true, true, CHAT_TRIGGER_PATTERN, "^\\s+to$"},
        {"google-gemma-2-2b-it", false, true, false, false, 0, NULL},
        {"microsoft-Phi-3.5-mini-instruct", false, false, false, false, 0, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct chat_templates *t = templates_of(rows[i].template);
        struct chat_prompt *p = NULL;
        char why[512] = "";
        assert_int_equal(chat_templates_has_tools(t), rows[i].has_tools);
        struct chat_ask ask = {.messages = QUESTION, .tools = TOOLS, .required = rows[i].required};
        if (!chat_apply(t, &ask, &p, why, sizeof why))
            fail_msg("%s: %s", rows[i].template, why);
        const struct chat_prompt_info *info = chat_prompt_get(p);
        if (info->lazy != rows[i].lazy || (info->grammar[0] != '\0') != rows[i].grammar)
            fail_msg("%s: lazy %d, grammar '%s'", rows[i].template, info->lazy, info->grammar);
        if (rows[i].trigger != NULL) {
            assert_int_equal(info->trigger_kinds[0], rows[i].kind);
            assert_string_equal(info->triggers[0], rows[i].trigger);
        }
        chat_prompt_free(&p);
        chat_templates_free(&t);
    }
}

static void patterns_are_found(void **state)
{
    (void)state;
    struct chat_templates *t = templates_of("openai-gpt-oss-120b");
    struct chat_prompt *p = NULL;
    char why[512] = "";
    assert_true(chat_apply(t, &(struct chat_ask){.messages = QUESTION, .tools = TOOLS}, &p, why, sizeof why));
    static const char later[] = "thoughts<|end|><|start|>assistant to";
    assert_int_equal(chat_prompt_find(p, " to", 3, true), 0);
    assert_true(chat_prompt_find(p, " to", 3, false) == SIZE_MAX); /* "^" is not the beginning of a cut text */
    assert_int_equal(chat_prompt_find(p, later, sizeof later - 1, false), strlen(later) - 3);
    chat_prompt_free(&p);
    chat_templates_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_told_in_parts),
        cmocka_unit_test(grammars_and_triggers),
        cmocka_unit_test(patterns_are_found),
        cmocka_unit_test(prompts),
        cmocka_unit_test(what_does_not_compile_says_why),
        cmocka_unit_test(what_a_template_refuses_says_why),
        cmocka_unit_test(threads_share_a_handle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
