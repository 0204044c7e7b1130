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
    {"unknown short", "list", {"-z"}, 0, "unknown shorthand flag: 'z' in -z"},
    {"unknown among shorts", "list", {"-qz"}, 0, "unknown shorthand flag: 'z' in -qz"},
    {"short without its value", "search", {"-n"}, 0, "flag needs an argument: 'n' in -n"},
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
        struct command_args args = {0};
        char *argv[9] = {0};
        int argc = 0;
        bool help = false;
        struct err err = ERR_INIT;
        assert_non_null(c);
        while (argc < 8 && row->words[argc] != NULL) {
            argv[argc] = (char *)(uintptr_t)row->words[argc];
            argc++;
        }
        bool ok = cli_parse(c, "tug", argc, argv, &args, &help, &err);
        int n = args.argc;
        if (ok != (row->error == NULL) || (ok && n != row->positional) || (!ok && strstr(err.text, row->error) == NULL))
            fail_msg("%s: ok=%d n=%d err=%s", row->name, ok, n, err.text);
        command_args_done(&args);
    }
}

static void test_values(void **state)
{
    (void)state;
    const struct command *c = command_find("package");
    char *argv[] = {"--license", "a", "-l", "b", "--context-size=4096", "name", NULL};
    bool help = false;
    struct command_args args = {0};
    assert_true(cli_parse(c, "tug", 6, argv, &args, &help, NULL));
    assert_string_equal(command_flag(&args, "license")->list[0], "a");
    assert_string_equal(command_flag(&args, "license")->list[1], "b");
    assert_null(command_flag(&args, "license")->list[2]);
    assert_int_equal(command_flag(&args, "context-size")->i, 4096);
    assert_string_equal(command_flag(&args, "format")->s, "docker");
    assert_false(command_flag(&args, "format")->set);
    command_args_done(&args);
}

static void test_help_wins(void **state)
{
    (void)state;
    struct command_args args = {0};
    char *argv[] = {"--help", NULL};
    bool help = false;
    assert_true(cli_parse(command_find("pull"), "tug", 1, argv, &args, &help, NULL));
    assert_true(help);
    command_args_done(&args);
}

static void test_names(void **state)
{
    (void)state;
    assert_ptr_equal(command_find("ls"), command_find("list"));
    assert_ptr_equal(command_find("stop"), command_find("unload"));
    assert_null(command_find("lst"));
    assert_string_equal(command_suggest(command_table, "lst"), "list");
    assert_string_equal(command_suggest(command_table, "pul"), "pull");
    assert_null(command_suggest(command_table, "frobnicate"));
}

static bool sub_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)args;
    (void)ret_exit;
    (void)err;
    return true;
}

static const struct flag up_flags[] = {
    {.name = "model", .kind = FLAG_LIST, .arg = "MODEL", .help = "m"},
    {.name = "rate", .kind = FLAG_FLOAT, .arg = "F", .value = "0.5", .min = 0, .max = 1, .help = "r"},
    {0},
};
static const struct flag parent_flags[] = {
    {.name = "project-name", .kind = FLAG_STRING, .arg = "P", .help = "p", .persistent = true},
    {.name = "own", .kind = FLAG_BOOL, .help = "o"},
    {0},
};
static const struct command sub_up = {.name = "up",
                                      .alias = "start",
                                      .args = "[SERVICE] [-- FLAGS...]",
                                      .max_args = 1,
                                      .rest = true,
                                      .summary = "u",
                                      .flags = up_flags,
                                      .run = sub_run};
static const struct command sub_shell = {
    .name = "shell", .args = "SHELL", .min_args = 1, .max_args = 1, .choices = "bash|fish", .run = sub_run};
static const struct command *const subs[] = {&sub_up, &sub_shell, NULL};
static const struct command parent = {
    .name = "compose", .args = "", .summary = "c", .flags = parent_flags, .sub = subs};
/* One that is a command itself, as `configure MODEL` and `configure show`. */
static const struct command both = {
    .name = "configure", .args = "MODEL", .min_args = 1, .max_args = 1, .rest = true, .sub = subs, .run = sub_run};

static const struct sub_row {
    const char *name;
    const struct command *command;
    const char *words[8];
    const char *path, *project; /* expected */
    int positional, rest;
    const char *error;
} sub_rows[] = {
    {"plain", &parent, {"up"}, "tug compose up", NULL, 0, 0, NULL},
    {"alias", &parent, {"start", "db"}, "tug compose up", NULL, 1, 0, NULL},
    {"parent's flag before", &parent, {"--project-name=p2", "up"}, "tug compose up", "p2", 0, 0, NULL},
    {"in two words", &parent, {"--project-name", "p2", "up", "db"}, "tug compose up", "p2", 1, 0, NULL},
    {"parent's flag after", &parent, {"up", "--project-name=p3"}, "tug compose up", "p3", 0, 0, NULL},
    {"not a persistent one", &parent, {"up", "--own"}, NULL, NULL, 0, 0, "unknown flag: --own"},
    {"unknown", &parent, {"upp"}, NULL, NULL, 0, 0, "'upp' is not a command. Did you mean 'tug compose up'?"},
    {"rest", &parent, {"up", "db", "--", "--temp", "1"}, "tug compose up", NULL, 1, 2, NULL},
    {"rest alone", &parent, {"up", "--", "-x"}, "tug compose up", NULL, 0, 1, NULL},
    {"float range", &parent, {"up", "--rate", "1.5"}, NULL, NULL, 0, 0, "it must be from 0 to 1"},
    {"not a float", &parent, {"up", "--rate", "nan"}, NULL, NULL, 0, 0, "it must be a number"},
    {"choice", &parent, {"shell", "fish"}, "tug compose shell", NULL, 1, 0, NULL},
    {"bad choice", &parent, {"shell", "csh"}, NULL, NULL, 0, 0, "it must be one of bash|fish"},
    {"arity", &parent, {"up", "a", "b"}, NULL, NULL, 0, 0, "'tug compose up' requires at most 1 argument."},
    {"both: itself", &both, {"m", "--", "--temp"}, "tug configure", NULL, 1, 1, NULL},
    {"both: sub", &both, {"up", "m"}, "tug configure up", NULL, 1, 0, NULL},
    {"both: a second word is none", &both, {"m", "up"}, NULL, NULL, 0, 0, "requires 1 argument"},
};

static void test_sub_commands(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sub_rows / sizeof sub_rows[0]; i++) {
        const struct sub_row *row = &sub_rows[i];
        struct command_args args = {0};
        struct err err = ERR_INIT;
        bool help = false;
        char *argv[9] = {0};
        int argc = 0;
        for (; argc < 8 && row->words[argc] != NULL; argc++)
            argv[argc] = (char *)(uintptr_t)row->words[argc];
        bool ok = cli_parse(row->command, "tug", argc, argv, &args, &help, &err);
        if (!ok) {
            if (row->error == NULL || strstr(err.text, row->error) == NULL)
                fail_msg("%s: %s", row->name, err.text);
        } else {
            const char *project = row->command == &parent ? command_flag(&args, "project-name")->s : NULL;
            if (row->error != NULL || strcmp(args.name, row->path) != 0 || args.argc != row->positional ||
                args.n_rest != row->rest ||
                strcmp(project != NULL ? project : "", row->project ? row->project : "") != 0)
                fail_msg("%s: %s, %d and %d", row->name, args.name, args.argc, args.n_rest);
        }
        command_args_done(&args);
    }
}

static void test_parent_alone_is_help(void **state)
{
    (void)state;
    struct command_args args = {0};
    bool help = false;
    assert_true(cli_parse(&parent, "tug", 0, NULL, &args, &help, NULL));
    assert_true(help);
    assert_string_equal(args.name, "tug compose");
    command_args_done(&args);
}

static void rows_complete(const struct command *const *table, bool top)
{
    for (size_t i = 0; table[i] != NULL; i++) {
        const struct command *c = table[i];
        assert_non_null(c->summary);
        size_t group = 0;
        while (top && help_groups[group] != NULL && (c->group == NULL || strcmp(help_groups[group], c->group) != 0))
            group++;
        if (top && !c->hidden && help_groups[group] == NULL)
            fail_msg("%s has no group of `tug --help`", c->name);
        assert_true(c->run != NULL || c->sub != NULL);
        assert_non_null(c->args);
        if (c->sub != NULL)
            rows_complete(c->sub, false);
        for (const struct flag *f = c->flags; f != NULL && f->name != NULL; f++) {
            assert_non_null(f->help);
            assert_true(f->kind != FLAG_NONE);
            if (f->kind != FLAG_BOOL)
                assert_non_null(f->arg != NULL ? f->arg : f->choices);
        }
    }
}

/* Every row is complete enough to be shown, and its defaults parse. */
static void test_rows(void **state)
{
    (void)state;
    rows_complete(command_table, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_help_wins),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_sub_commands),
        cmocka_unit_test(test_parent_alone_is_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
