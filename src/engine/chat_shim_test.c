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
        char *stops = NULL;
        char why[512] = "";
        if (!chat_templates_new(NULL, rows[i].source, &t, why, sizeof why) ||
            !chat_render(t, rows[i].messages, rows[i].kwargs, &prompt, &stops, why, sizeof why))
            fail_msg("%s: %s", rows[i].name, why);
        assert_string_equal(prompt, rows[i].prompt);
        assert_string_equal(chat_templates_source(t), rows[i].source);
        free(prompt);
        free(stops);
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
        char *stops = NULL;
        char why[512] = "";
        if (!chat_templates_new(NULL, rows[i].source, &t, why, sizeof why))
            fail_msg("%s: %s", rows[i].source, why);
        assert_false(chat_render(t, rows[i].messages, rows[i].kwargs, &prompt, &stops, why, sizeof why));
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
        char *stops = NULL;
        char why[256];
        snprintf(messages, sizeof messages, "[{\"role\":\"user\",\"content\":\"%d\"}]", i);
        snprintf(wanted, sizeof wanted, "[user]%d\n[assistant]", i);
        if (!chat_render(arg, messages, NULL, &prompt, &stops, why, sizeof why) || strcmp(prompt, wanted) != 0)
            abort();
        free(prompt);
        free(stops);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts),
        cmocka_unit_test(what_does_not_compile_says_why),
        cmocka_unit_test(what_a_template_refuses_says_why),
        cmocka_unit_test(threads_share_a_handle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
