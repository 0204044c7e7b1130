/* cli/help.c: what --help prints, from the rows alone. */
#include "cli/cli.h"

#include "base/buf.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const help_groups[] = {"Use models", "Manage models", "See what runs", "The daemon", NULL};

static int help_name_order(const void *a, const void *b)
{
    const struct command *x = *(const struct command *const *)a, *y = *(const struct command *const *)b;
    return strcmp(x->name, y->name);
}

/* Commands with a name and a line each; group NULL: all, by name. */
static void help_commands(const struct command *const *table, const char *group)
{
    enum { MAX = 64 };
    const struct command *list[MAX];
    size_t n = 0;
    int width = 10;
    for (size_t i = 0; table[i] != NULL && n < MAX; i++) {
        if (table[i]->hidden)
            continue;
        int len = (int)strlen(table[i]->name);
        width = len > width ? len : width;
        if (group == NULL || strcmp(table[i]->group, group) == 0)
            list[n++] = table[i];
    }
    if (group == NULL)
        qsort(list, n, sizeof list[0], help_name_order);
    for (size_t i = 0; i < n; i++)
        printf("  %-*s  %s\n", width, list[i]->name, list[i]->summary);
}

void help_all(const char *program)
{
    if (strcmp(program, "tug") != 0) { /* as Docker's commands list theirs */
        printf("Usage:  %s COMMAND\n\nDocker Model Runner (Tug)\n\nCommands:\n", program);
        help_commands(command_table, NULL);
        printf("\nRun '%s COMMAND --help' for more information on a command.\n", program);
        return;
    }
    printf("Usage:  %s COMMAND\n\nPull an AI model, run it, talk to it through an OpenAI-compatible API.\n", program);
    for (size_t g = 0; help_groups[g] != NULL; g++) {
        printf("\n%s:\n", help_groups[g]);
        help_commands(command_table, help_groups[g]);
    }
    printf("\nRun '%s COMMAND --help' for more on a command.\n", program);
    printf("MODEL_RUNNER_HOST names another daemon; TUG_HOME the folder of all state.\n");
}

void help_usage(const struct command *c, char *dst, size_t size)
{
    const char *args = c->run == NULL ? "COMMAND" : c->args;
    text_format(dst, size, "%s%s%s", c->flags != NULL ? " [OPTIONS]" : "", args[0] != '\0' ? " " : "", args);
}

static void help_flag(const struct flag *f)
{
    char left[64];
    char letter[8] = "    ";
    if (f->letter != 0)
        text_format(letter, sizeof letter, "-%c, ", f->letter);
    text_format(left, sizeof left, "%s--%s%s%s", letter, f->name, f->arg != NULL ? " " : "",
                f->arg != NULL ? f->arg : "");
    printf("  %-30s %s", left, f->help);
    if (f->choices != NULL)
        printf(" (%s)", f->choices);
    if (f->value != NULL)
        printf(" (default %s)", f->value);
    printf("\n");
}

void help_command(const struct command *c, const char *name)
{
    char usage[160];
    help_usage(c, usage, sizeof usage);
    printf("Usage:  %s%s\n\n%s\n", name, usage, c->summary);
    if (c->about != NULL)
        printf("\n%s\n", c->about);
    if (c->alias != NULL)
        printf("\nAliases:\n  %s, %.*s%s\n", name, (int)(strrchr(name, ' ') + 1 - name), name, c->alias);
    if (c->flags != NULL) {
        printf("\nOptions:\n");
        for (const struct flag *f = c->flags; f->name != NULL; f++)
            if (!f->hidden)
                help_flag(f);
    }
    if (c->sub != NULL) {
        printf("\nCommands:\n");
        help_commands(c->sub, NULL);
        printf("\nRun '%s COMMAND --help' for more information on a command.\n", name);
    }
    if (c->example != NULL)
        printf("\nExample:\n  %s\n", c->example);
}
