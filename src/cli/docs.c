/* cli/docs.c: the hidden `tug __docs`: docs/cli.md and completion lists from the command rows. */
#include "cli/cli.h"

#include "base/limits.h"
#include "base/text.h"
#include "daemon/settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Within a table a bar would end the cell, in code too. */
static void docs_cell(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|')
            putchar('\\');
        putchar(*text);
    }
}

static void docs_flags(const struct command *c)
{
    printf("\n| flag | value | default | |\n| --- | --- | --- | --- |\n");
    for (const struct flag *f = c->flags; f->name != NULL; f++) {
        if (f->hidden)
            continue;
        const char *code = f->choices != NULL ? "`" : "";
        printf("| `");
        if (f->letter != 0)
            printf("-%c`, `", f->letter);
        printf("--%s` | %s", f->name, code);
        docs_cell(f->choices != NULL ? f->choices : f->arg != NULL ? f->arg : "");
        printf("%s | %s | ", code, f->value != NULL ? f->value : "");
        docs_cell(f->help);
        printf(" |\n");
    }
}

static void docs_command(const struct command *c, const char *name)
{
    char usage[160];
    help_usage(c, usage, sizeof usage);
    printf("\n## tug %s\n\n%s.\n\n```\ntug %s%s\n```\n", name, c->summary, name, usage);
    if (c->about != NULL)
        printf("\n%s\n", c->about);
    if (c->alias != NULL)
        printf("\nAlias: `%s`.\n", c->alias);
    if (c->flags != NULL)
        docs_flags(c);
    if (c->example != NULL)
        printf("\nExample: `%s`\n", c->example);
}

static int docs_cli(void)
{
    printf("# The command line\n\n<!-- made by `make docs` from the rows in src/cli; do not edit -->\n");
    for (size_t i = 0; command_table[i] != NULL; i++) {
        const struct command *c = command_table[i];
        if (c->hidden)
            continue;
        docs_command(c, c->name);
        for (size_t k = 0; c->sub != NULL && c->sub[k] != NULL; k++) {
            char name[COMMAND_NAME_MAX];
            text_format(name, sizeof name, "%s %s", c->name, c->sub[k]->name);
            if (!c->sub[k]->hidden)
                docs_command(c->sub[k], name);
        }
    }
    return 0;
}

static int docs_order(const void *a, const void *b)
{
    return strcmp((*(const struct command *const *)a)->name, (*(const struct command *const *)b)->name);
}

/* docs/commands.md: each command of Docker Model Runner, and what is not as there. */
static int docs_differences(void)
{
    enum { MAX = 64 };
    const struct command *list[MAX];
    size_t n = 0;
    for (size_t i = 0; command_table[i] != NULL && n < MAX; i++)
        list[n++] = command_table[i];
    qsort(list, n, sizeof list[0], docs_order);
    printf("# Docker Model Runner's commands\n\n<!-- made by `make docs` from the rows in src/cli; do not edit -->\n\n"
           "Each of its commands is here, as `docker model …` and as `tug …`, with its flags, arguments, columns, JSON "
           "and "
           "exit codes. Where something is not as there, it is so on purpose:\n\n| command | what differs, and why |\n"
           "| --- | --- |\n");
    for (size_t i = 0; i < n; i++) {
        if (list[i]->own)
            continue;
        const char *differs = list[i]->differs == NULL ? "" : list[i]->differs;
        size_t first = 0;
        while (first < i &&
               (differs[0] == '\0' || list[first]->differs == NULL || strcmp(list[first]->differs, differs) != 0))
            first++;
        printf("| `%s` | ", list[i]->name);
        if (first < i)
            printf("As `%s`.", list[first]->name);
        else
            docs_cell(differs);
        printf(" |\n");
    }
    printf(
        "\nThe same for all:\n\n"
        "- Answers go to stdout and words around them to stderr, whoever calls. Run directly, as Compose does, Docker "
        "Model Runner prints most text on stderr.\n"
        "- With `--json` nothing is on stderr when the exit code is 0.\n"
        "- Ctrl-C ends with 130, other failures with 1. An error is printed once, without the usage behind it.\n"
        "- There is no runner container to install first: a command starts the daemon when none answers.\n\n"
        "Commands that Docker Model Runner does not have:\n\n| command | |\n| --- | --- |\n");
    for (size_t i = 0; i < n; i++)
        if (list[i]->own && !list[i]->hidden)
            printf("| `%s` | %s |\n", list[i]->name, list[i]->summary);
    return 0;
}

/* name, route: one command a line, tab-separated; scripts/map joins it with the routes and files. */
static int docs_map(void)
{
    for (size_t i = 0; command_table[i] != NULL; i++)
        printf("%s\t%s\n", command_table[i]->name, command_table[i]->route == NULL ? "" : command_table[i]->route);
    return 0;
}

static int docs_limits(void)
{
    printf("# Limits\n\n<!-- made by `make docs` from src/base/limits.h; do not edit -->\n\nEvery maximum, in bytes "
           "unless the name says otherwise.\n\n| name | value | of |\n| --- | --- | --- |\n");
#define LIMIT_ROW(name, value, what) printf("| %s | %lld | %s |\n", #name, (long long)(value), what);
    LIMITS(LIMIT_ROW)
#undef LIMIT_ROW
    return 0;
}

static int docs_errors(void)
{
    printf("# Errors\n\n<!-- made by `make docs` from src/base/err.h; do not edit -->\n\nEvery error answer is "
           "`{\"error\":{\"message\",\"type\",\"param\",\"code\"}}`.\n\n| name | HTTP status | exit code | type | when "
           "|\n| --- | --- | --- | --- | --- |\n");
#define ERR_DOC(code, http, exit, type, when) printf("| %s | %d | %d | `%s` | %s |\n", #code, http, exit, type, when);
    ERR_CODES(ERR_DOC)
#undef ERR_DOC
    return 0;
}

static int docs_settings(void)
{
    printf(
        "# Settings of the daemon\n\n<!-- made by `make docs` from src/daemon/settings.c; do not edit -->\n\n"
        "A flag of `tug serve` wins over its variable, that over its key in `TUG_HOME/tug.conf`, that over the key in\n"
        "`" SETTINGS_SYSTEM_FILE
        "`. Of two variables of one flag the lower one wins. `tug config` shows what is set and where.\n\n"
        "| variable | flag | key in a file | default | |\n| --- | --- | --- | --- | --- |\n");
    for (const struct setting *s = settings_table; s->variable != NULL; s++) {
        char key[SETTING_KEY_MAX];
        setting_key(s, key);
        bool in_file = strcmp(key, "home") != 0;
        printf("| `%s` | %s%s%s | %s%s%s | %s | %s |\n", s->variable, s->flag != NULL ? "`--" : "",
               s->flag != NULL ? s->flag : "", s->flag != NULL ? "`" : "", in_file ? "`" : "", in_file ? key : "",
               in_file ? "`" : "", s->value, s->help);
    }
    return 0;
}

static int docs_runtime_flags(void)
{
    struct buf out = BUF_INIT(LIMIT_ERROR_BODY_BYTES);
    daemon_write_flags(&out);
    printf("# Runtime flags of models\n\n<!-- made by `make docs` from src/backends/flags.c; do not edit -->\n\n"
           "Behind `--` of `tug configure`, as `runtime_flags` of a compose.yaml, as `runtime-flags` of\n"
           "`POST /engines/_configure`: the flags of llama-server that Docker Model Runner allows. They are translated "
           "to\n"
           "settings of Tug's engine; one that has no meaning here is taken, kept and named in a warning. Any other "
           "flag is\n"
           "refused by name. No word may hold `/` or `\\`: settings cannot name files of the machine.\n\n"
           "| flag | values | |\n| --- | --- | --- |\n%s",
           buf_str(&out));
    buf_done(&out);
    return 0;
}

int cli_docs(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*print)(void);
    } pages[] = {{"cli", docs_cli},
                 {"commands", docs_differences},
                 {"map", docs_map},
                 {"limits", docs_limits},
                 {"errors", docs_errors},
                 {"settings", docs_settings},
                 {"runtime-flags", docs_runtime_flags}};
    if (argc == 2 && strcmp(argv[0], "man") == 0)
        return cli_docs_man(argv[1]);
    for (size_t i = 0; argc == 1 && i < sizeof pages / sizeof pages[0]; i++)
        if (strcmp(argv[0], pages[i].name) == 0)
            return pages[i].print();
    fprintf(stderr,
            "usage: tug __docs cli|commands|map|limits|errors|settings|runtime-flags, or: tug __docs man DIR\n");
    return 1;
}
