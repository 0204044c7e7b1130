/* cli/parse_test: arguments against the real rows of the command table. */
#include "cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct parse_row {
    const char *name;
    const char *command;
    const char *words[8];
    int positional;    /* expected number */
    const char *error; /* part of the message; NULL: it parses */
};

static const struct parse_row parse_rows[] = {
    {"nothing needed", "list", {NULL}, 0, NULL},
    {"flag before", "list", {"--json", "x"}, 1, NULL},
    {"flag after", "list", {"x", "--json"}, 1, NULL},
    {"short", "list", {"-q"}, 0, NULL},
    {"bool with value", "list", {"--json=false"}, 0, NULL},
    {"bool with bad value", "list", {"--json=maybe"}, 0, "invalid value \"maybe\" for --json"},
    {"unknown long", "list", {"--jsn"}, 0, "unknown flag: --jsn"},
    {"unknown short", "list", {"-z"}, 0, "unknown shorthand flag: -z"},
    {"too many", "list", {"a", "b"}, 0, "'tug list' requires at most 1 argument."},
    {"too few", "pull", {NULL}, 0, "'tug pull' requires 1 argument."},
    {"too few of several", "tag", {"a"}, 0, "'tug tag' requires 2 arguments."},
    {"at least", "rm", {NULL}, 0, "'tug rm' requires at least 1 argument."},
    {"number", "serve", {"--port", "8080"}, 0, NULL},
    {"number with =", "serve", {"--port=8080"}, 0, NULL},
    {"number out of range", "serve", {"--port", "70000"}, 0, "it must be from 0 to 65535"},
    {"not a number", "serve", {"--port", "http"}, 0, "it must be a whole number"},
    {"value missing", "serve", {"--port"}, 0, "flag needs an argument: --port"},
    {"duration", "serve", {"--keep-alive", "1h30m"}, 0, NULL},
    {"negative duration", "serve", {"--keep-alive", "-1"}, 0, NULL},
    {"bad duration", "serve", {"--keep-alive", "soon"}, 0, "it must be a duration"},
    {"choice", "package", {"--format", "cncf", "--gguf", "f", "m"}, 1, NULL},
    {"bad choice", "package", {"--format", "tar", "m"}, 0, "it must be one of docker|cncf"},
    {"list twice", "package", {"-l", "a", "--license=b", "m"}, 1, NULL},
    {"end of flags", "run", {"m", "--", "--json"}, 2, NULL},
    {"a dash is a word", "run", {"m", "-"}, 2, NULL},
    {"prompt words", "run", {"m", "why", "so"}, 3, NULL},
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof parse_rows / sizeof parse_rows[0]; i++) {
        const struct parse_row *row = &parse_rows[i];
        const struct command *c = command_find(row->command);
        struct flag_value values[32] = {0};
        const char *positional[16] = {0};
        char *argv[9] = {0};
        int argc = 0, n = 0;
        bool help = false;
        struct err err = ERR_INIT;
        assert_non_null(c);
        while (argc < 8 && row->words[argc] != NULL) {
            argv[argc] = (char *)(uintptr_t)row->words[argc];
            argc++;
        }
        bool ok = cli_parse(c, "tug", argc, argv, values, positional, &n, &help, &err);
        if (ok != (row->error == NULL) || (ok && n != row->positional) || (!ok && strstr(err.text, row->error) == NULL))
            fail_msg("%s: ok=%d n=%d err=%s", row->name, ok, n, err.text);
    }
}

static void test_values(void **state)
{
    (void)state;
    const struct command *c = command_find("package");
    struct flag_value values[32] = {0};
    const char *positional[8] = {0};
    char *argv[] = {"--license", "a", "-l", "b", "--context-size=4096", "name", NULL};
    int n = 0;
    bool help = false;
    struct command_args args = {.command = c, .values = values};
    assert_true(cli_parse(c, "tug", 6, argv, values, positional, &n, &help, NULL));
    assert_string_equal(command_flag(&args, "license")->list[0], "a");
    assert_string_equal(command_flag(&args, "license")->list[1], "b");
    assert_null(command_flag(&args, "license")->list[2]);
    assert_int_equal(command_flag(&args, "context-size")->i, 4096);
    assert_string_equal(command_flag(&args, "format")->s, "docker");
    assert_false(command_flag(&args, "format")->set);
}

static void test_help_wins(void **state)
{
    (void)state;
    struct flag_value values[32] = {0};
    const char *positional[8] = {0};
    char *argv[] = {"--help", NULL};
    int n = 0;
    bool help = false;
    assert_true(cli_parse(command_find("pull"), "tug", 1, argv, values, positional, &n, &help, NULL));
    assert_true(help);
}

static void test_names(void **state)
{
    (void)state;
    assert_ptr_equal(command_find("ls"), command_find("list"));
    assert_ptr_equal(command_find("stop"), command_find("unload"));
    assert_null(command_find("lst"));
    assert_string_equal(command_suggest("lst"), "list");
    assert_string_equal(command_suggest("pul"), "pull");
    assert_null(command_suggest("frobnicate"));
}

/* Every row is complete enough to be shown, and its defaults parse. */
static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; command_table[i] != NULL; i++) {
        const struct command *c = command_table[i];
        assert_non_null(c->summary);
        assert_non_null(c->group);
        assert_non_null(c->run);
        assert_non_null(c->args);
        for (const struct flag *f = c->flags; f != NULL && f->name != NULL; f++) {
            assert_non_null(f->help);
            assert_true(f->kind != FLAG_NONE);
            if (f->kind != FLAG_BOOL)
                assert_non_null(f->arg != NULL ? f->arg : f->choices);
        }
    }
}

static void test_plugin_strip(void **state)
{
    (void)state;
    char *direct[] = {"docker-model", "ls", "--json", NULL};
    char *plugin[] = {"docker-model", "-D", "--context", "default", "--log-level=debug", "model", "ls", NULL};
    unsetenv("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND");
    assert_int_equal(plugin_strip(3, direct), 3);
    assert_string_equal(direct[1], "ls");
    setenv("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", "docker", 1);
    assert_int_equal(plugin_strip(7, plugin), 2);
    assert_string_equal(plugin[1], "ls");
    assert_null(plugin[2]);
    char *help[] = {"docker-model", "help", "model", "pull", NULL};
    assert_int_equal(plugin_strip(4, help), 3);
    assert_string_equal(help[1], "help");
    assert_string_equal(help[2], "pull");
    unsetenv("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse), cmocka_unit_test(test_values), cmocka_unit_test(test_help_wins),
        cmocka_unit_test(test_names), cmocka_unit_test(test_rows),   cmocka_unit_test(test_plugin_strip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
