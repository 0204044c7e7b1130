/* cli/help.c: what --help prints, from the rows alone. */
#include "cli/cli.h"

#include "base/buf.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

void help_all(const char *program)
{
    printf("Usage:  %s COMMAND\n\nPull an AI model, run it, talk to it through an OpenAI-compatible API.\n", program);
    static const char *const groups[] = {"Use models", "Manage models", "See what runs", "The daemon"};
    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++) {
        printf("\n%s:\n", groups[g]);
        for (size_t i = 0; command_table[i] != NULL; i++) {
            const struct command *c = command_table[i];
            if (!c->hidden && strcmp(c->group, groups[g]) == 0)
                printf("  %-10s  %s\n", c->name, c->summary);
        }
    }
    printf("\nRun '%s COMMAND --help' for more on a command.\n", program);
    printf("MODEL_RUNNER_HOST names another daemon; TUG_HOME the folder of all state.\n");
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

void help_command(const struct command *c, const char *program)
{
    printf("Usage:  %s %s%s%s%s\n\n%s\n", program, c->name, c->flags != NULL ? " [OPTIONS]" : "",
           c->args[0] != '\0' ? " " : "", c->args, c->summary);
    if (c->about != NULL)
        printf("\n%s\n", c->about);
    if (c->alias != NULL)
        printf("\nAliases:\n  %s %s, %s %s\n", program, c->name, program, c->alias);
    if (c->flags != NULL) {
        printf("\nOptions:\n");
        for (const struct flag *f = c->flags; f->name != NULL; f++)
            if (!f->hidden)
                help_flag(f);
    }
    if (c->example != NULL)
        printf("\nExample:\n  %s\n", c->example);
}
