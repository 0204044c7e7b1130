/* Every template of the pinned llama.cpp: rendered plainly, with a system message, over several turns, with tools and
 * their answers; the grammars that the library makes for them are ones that our engine takes, and which the opening of
 * the assistant's turn fits. */
#include "engine/chat_shim.h"
#include "engine/grammar.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TOOLS                                                                                                          \
    "[{\"type\":\"function\",\"function\":{\"name\":\"look_at\",\"description\":\"Looks\",\"parameters\":{\"type\":"   \
    "\"object\","                                                                                                      \
    "\"properties\":{\"place\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"}},\"required\":[\"place\"]}}},"    \
    "{\"type\":\"function\",\"function\":{\"name\":\"wait\",\"description\":\"\",\"parameters\":{\"type\":\"object\"," \
    "\"properties\":{}}}}]"
#define USER "{\"role\":\"user\",\"content\":\"UNUSUAL words\"}"

static const struct {
    const char *name, *messages, *tools;
    bool required;
    const char *has; /* in the prompt, if the template takes these messages at all */
} talks[] = {
    {"a question", "[" USER "]", NULL, false, "UNUSUAL words"},
    {"a system message", "[{\"role\":\"system\",\"content\":\"RARE rules\"}," USER "]", NULL, false, "UNUSUAL words"},
    {"several turns", "[" USER ",{\"role\":\"assistant\",\"content\":\"SAID before\"}," USER "]", NULL, false,
     "SAID before"},
    {"tools", "[" USER "]", TOOLS, false, "UNUSUAL words"},
    {"a required call", "[" USER "]", TOOLS, true, "UNUSUAL words"},
    {"a call and its answer",
     "[" USER
     ",{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"call_abcdefghi\",\"type\":\"function\","
     "\"function\":{\"name\":\"look_at\",\"arguments\":\"{\\\"place\\\":\\\"x\\\"}\"}}]},{\"role\":\"tool\",\"tool_"
     "call_id\":"
     "\"call_abcdefghi\",\"name\":\"look_at\",\"content\":\"FOUND it\"}]",
     TOOLS, false, NULL},
};

static char *read_all(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

static void grammar_holds(const char *name, const char *talk, const struct chat_prompt_info *info)
{
    struct err err = ERR_INIT;
    struct grammar *g = NULL;
    if (!grammar_parse(info->grammar, strlen(info->grammar), &g, &err))
        fail_msg("%s, %s: %s\n%s", name, talk, err.text, info->grammar);
    struct matcher *m = matcher_new(g);
    if (!info->lazy && !matcher_feed(m, info->generation, strlen(info->generation)))
        fail_msg("%s, %s: the grammar does not begin with the opening '%s'\n%s", name, talk, info->generation,
                 info->grammar);
    matcher_free(&m);
    grammar_unref(&g);
}

/* Returns how many talks the template took. */
static int all_talks(const char *name, const char *path, int *grammars)
{
    struct chat_templates *t = NULL;
    char why[512] = "";
    char *source = read_all(path);
    int taken = 0;
    if (!chat_templates_new(NULL, source, &t, why, sizeof why))
        fail_msg("%s: %s", name, why);
    for (size_t i = 0; i < sizeof talks / sizeof talks[0]; i++) {
        struct chat_prompt *p = NULL;
        struct chat_ask ask = {
            .messages = talks[i].messages, .tools = talks[i].tools, .required = talks[i].required, .parallel = true};
        if (!chat_apply(t, &ask, &p, why, sizeof why)) {
            assert_true(why[0] != '\0');
            continue;
        }
        const struct chat_prompt_info *info = chat_prompt_get(p);
        taken++;
        if (talks[i].has != NULL && strstr(info->prompt, talks[i].has) == NULL)
            fail_msg("%s, %s: '%s' is not in the prompt", name, talks[i].name, talks[i].has);
        size_t n = strlen(info->prompt);
        size_t n_opening = strlen(info->generation);
        assert_true(n_opening <= n);
        if (info->grammar[0] != '\0') {
            grammar_holds(name, talks[i].name, info);
            ++*grammars;
        }
        /* a plain answer comes out whole */
        const struct chat_delta *deltas;
        struct chat_parser *r = chat_parser_new(p);
        assert_non_null(r);
        size_t told = chat_parser_feed(r, "Some words.", 11, CHAT_END, &deltas);
        assert_true(!info->parses || told > 0);
        chat_parser_free(&r);
        chat_prompt_free(&p);
    }
    chat_templates_free(&t);
    free(source);
    return taken;
}

static void every_template(void **state)
{
    (void)state;
    DIR *dir = opendir(TUG_LLAMA_TEMPLATES);
    assert_non_null(dir);
    int files = 0;
    int taken = 0;
    int grammars = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[1024];
        if (strstr(e->d_name, ".jinja") == NULL)
            continue;
        snprintf(path, sizeof path, "%s/%s", TUG_LLAMA_TEMPLATES, e->d_name);
        files++;
        taken += all_talks(e->d_name, path, &grammars);
    }
    closedir(dir);
    print_message("%d templates, %d talks of %zu taken, %d grammars\n", files, taken,
                  (size_t)files * (sizeof talks / sizeof talks[0]), grammars);
    assert_true(files >= 60);
    assert_true(taken >= files * 5); /* a few refuse roles that they do not know, with a reason */
    assert_true(grammars >= files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_template)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
