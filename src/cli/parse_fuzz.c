/* cli/parse_fuzz.c: any words, as docker or a shell may pass them, are refused or keep what the rows promise. */
#include "cli/cli.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 64 };

static void check(const struct command_args *args)
{
    const struct command *c = args->command;
    if (args->argc < c->min_args || (c->max_args >= 0 && args->argc > c->max_args) || (args->n_rest > 0 && !c->rest))
        abort();
    for (const struct flag *f = c->flags; f != NULL && f->name != NULL; f++) {
        const struct flag_value *v = command_flag(args, f->name);
        if (f->kind == FLAG_INT && v->set && f->max > f->min && (v->i < f->min || v->i > f->max))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char program[] = "docker-model";
    char *argv[WORDS_MAX + 2] = {program};
    char *text = calloc(n + 1, 1), *rest = text;
    const char *config = NULL;
    int argc = 1;
    memcpy(text, data, n);
    for (char *word; argc <= WORDS_MAX && (word = strsep(&rest, "\n")) != NULL;)
        argv[argc++] = word;
    argc = plugin_strip(argc, argv, &config);
    const struct command *c = argc > 1 ? command_find(argv[1]) : NULL;
    if (c != NULL) {
        struct command_args args = {0};
        struct err err = ERR_INIT;
        bool help = false;
        if (cli_parse(c, "docker model", argc - 2, argv + 2, &args, &help, &err) && !help)
            check(&args);
        else if (!help && err.text[0] == '\0')
            abort();
        command_args_done(&args);
    }
    free(text);
    return 0;
}
