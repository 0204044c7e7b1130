/* cli/complete.c: `__complete WORDS… WORD`: what may stand where the cursor is, from the command rows.
 *
 * The protocol is cobra's, which the Docker CLI and our shell scripts (completion.c) read: candidates
 * one a line, `value<TAB>description`, then `:DIRECTIVE`. Models are asked of a daemon that runs;
 * none is ever started for it, and one that does not answer soon is left alone. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/contexts.h"
#include "oci/reference.h"
#include "platform/clock.h"
#include "json/json_read.h"

#include <stdio.h>
#include <string.h>

enum complete_directive { COMPLETE_DEFAULT = 0, COMPLETE_NO_FILES = 4, COMPLETE_DIRS = 16 };

#define COMPLETE_PATIENCE_NS (2 * CLOCK_SECOND)

struct complete {
    struct cli *cli;
    const char *cur; /* the word at the cursor, so far */
    bool descriptions;
    enum complete_directive directive;
};

/* Where the words before the cursor lead. */
struct complete_place {
    const struct command *command, *parent;
    const struct flag *waiting; /* its value comes next; NULL: none */
    int n_args;
    bool only_args; /* after `--` */
};

static void complete_offer(const struct complete *c, const char *value, const char *description)
{
    if (!text_starts(value, c->cur))
        return;
    if (c->descriptions && description != NULL && description[0] != '\0')
        printf("%s\t%s\n", value, description);
    else
        puts(value);
}

/* An alias only where its name is not on offer. */
static void complete_commands(const struct complete *c, const struct command *const *table)
{
    for (size_t i = 0; table[i] != NULL; i++) {
        const struct command *row = table[i];
        if (row->hidden)
            continue;
        complete_offer(c, row->name, row->summary);
        if (row->alias != NULL && c->cur[0] != '\0' && !text_starts(row->name, c->cur))
            complete_offer(c, row->alias, row->summary);
    }
}

static void complete_choices(const struct complete *c, const char *choices)
{
    for (const char *at = choices; *at != '\0';) {
        char word[64];
        size_t n = strcspn(at, "|");
        if (text_format(word, sizeof word, "%.*s", (int)n, at))
            complete_offer(c, word, NULL);
        at += n + (at[n] == '|');
    }
}

/* The shortest of a tag's spellings that begins as what is typed: smollm2, ai/smollm2, docker.io/ai/smollm2:latest. */
static void complete_model(const struct complete *c, const char *tag)
{
    char display[512], spelled[512];
    struct reference ref;
    if (!reference_parse(tag, &ref, NULL))
        return;
    reference_display(tag, display);
    text_format(spelled, sizeof spelled, "%s:%s", ref.repository, ref.tag);
    bool latest = strcmp(ref.tag, "latest") == 0 && strchr(c->cur, ':') == NULL;
    if (latest)
        text_format(spelled, sizeof spelled, "%s", ref.repository);
    const char *forms[] = {display, strcmp(ref.registry, "docker.io") == 0 ? spelled : display, tag};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (text_starts(forms[i], c->cur)) {
            complete_offer(c, forms[i], NULL);
            return;
        }
    }
}

static void complete_models(const struct complete *c)
{
    _cleanup_(json_free) json_t *models = NULL;
    size_t i, k;
    json_t *model, *tag;
    c->cli->patience_ns = COMPLETE_PATIENCE_NS;
    if (!cli_locate(c->cli, NULL) || !cli_json(c->cli, "GET", "/models", NULL, &models, NULL))
        return;
    json_array_foreach(models, i, model)
    {
        json_array_foreach(json_object_get(model, "tags"), k, tag)
        {
            if (json_is_string(tag))
                complete_model(c, json_string_value(tag));
        }
    }
}

static void complete_contexts(const struct complete *c)
{
    _cleanup_(json_free) json_t *root = NULL;
    const char *name;
    json_t *context;
    if (!contexts_read(c->cli->docker_config, &root, NULL))
        return;
    complete_offer(c, CONTEXT_DEFAULT, "The daemon of this machine");
    json_object_foreach(json_object_get(root, "contexts"), name, context)
    {
        complete_offer(c, name, json_string_value(json_object_get(context, "host")));
    }
}

/* By the word that stands for it in help: "MODEL", "PATH", "[MODEL...]". */
static void complete_kind(struct complete *c, const char *word, size_t len)
{
    static const struct {
        const char *word;
        void (*offer)(const struct complete *c);
        enum complete_directive directive;
    } kinds[] = {
        {"MODEL", complete_models, COMPLETE_NO_FILES},
        {"SOURCE", complete_models, COMPLETE_NO_FILES},
        {"PATH", NULL, COMPLETE_DEFAULT},
        {"FILE", NULL, COMPLETE_DEFAULT},
        {"DIR", NULL, COMPLETE_DIRS},
        {"CONTEXT", complete_contexts, COMPLETE_NO_FILES},
    };
    while (len > 0 && (*word == '[' || *word == '('))
        word++, len--;
    while (len > 0 && strchr("].)", word[len - 1]) != NULL)
        len--;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strlen(kinds[i].word) == len && strncmp(kinds[i].word, word, len) == 0) {
            c->directive = kinds[i].directive;
            if (kinds[i].offer != NULL)
                kinds[i].offer(c);
            return;
        }
    }
}

/* The n-th argument; the last word of `args` stands for all that follow when it ends with dots. */
static void complete_argument(struct complete *c, const struct command *command, int n)
{
    const char *at = command->args, *last = at;
    const char *words = command->choices != NULL ? command->choices : command->offers;
    if (words != NULL && n == 0) {
        complete_choices(c, words);
        return;
    }
    if (command->max_args >= 0 && n >= command->max_args)
        return;
    for (int i = 0; i <= n && *at != '\0'; i++) {
        last = at;
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    complete_kind(c, last, strcspn(last, " "));
}

static void complete_value(struct complete *c, const struct flag *f)
{
    if (f->choices != NULL)
        complete_choices(c, f->choices);
    else if (f->arg != NULL)
        complete_kind(c, f->arg, strlen(f->arg));
}

static void complete_flags(const struct complete *c, const struct complete_place *p)
{
    const struct command *of[] = {p->command, p->parent};
    for (size_t i = 0; i < 2; i++) {
        for (const struct flag *f = of[i] == NULL ? NULL : of[i]->flags; f != NULL && f->name != NULL; f++) {
            char name[80];
            if (f->hidden || (i == 1 && !f->persistent))
                continue;
            text_format(name, sizeof name, "--%s", f->name);
            complete_offer(c, name, f->help);
            text_format(name, sizeof name, "-%c", f->letter);
            if (f->letter != 0)
                complete_offer(c, name, f->help);
        }
    }
    complete_offer(c, "--help", "Show what the command does, and its options");
}

/* A row by `--name`, `--name=…` or `-x`; *ret_inline: the value is in the word, or none is wanted. */
static const struct flag *complete_find(const struct complete_place *p, const char *word, bool *ret_inline)
{
    const struct command *of[] = {p->command, p->parent};
    bool full = word[1] == '-';
    size_t len = strcspn(word, "=");
    for (size_t i = 0; i < 2; i++) {
        for (const struct flag *f = of[i] == NULL ? NULL : of[i]->flags; f != NULL && f->name != NULL; f++) {
            bool named = full ? strlen(f->name) == len - 2 && strncmp(f->name, word + 2, len - 2) == 0
                              : f->letter != 0 && f->letter == word[1];
            if (named) {
                *ret_inline = f->kind == FLAG_BOOL || word[len] == '=' || (!full && word[2] != '\0');
                return f;
            }
        }
    }
    return NULL;
}

static void complete_word(struct complete_place *p, const char *word)
{
    const struct command *sub = NULL;
    bool whole = true;
    if (p->waiting != NULL) {
        p->waiting = NULL;
        return;
    }
    if (!p->only_args && strcmp(word, "--") == 0) {
        p->only_args = true;
        return;
    }
    if (!p->only_args && word[0] == '-' && word[1] != '\0') {
        const struct flag *f = complete_find(p, word, &whole);
        p->waiting = f != NULL && !whole ? f : NULL;
        return;
    }
    if (!p->only_args && p->command->sub != NULL && p->n_args == 0)
        sub = command_find_in(p->command->sub, word);
    if (sub != NULL)
        *p = (struct complete_place){.command = sub, .parent = p->command};
    else
        p->n_args++;
}

/* Within a command: the words between its name and the cursor, then what fits there. */
static void complete_within(struct complete *c, const struct command *command, int n, char **words)
{
    struct complete_place p = {.command = command};
    bool whole = false;
    for (int i = 0; i < n; i++)
        complete_word(&p, words[i]);
    const char *equals = strchr(c->cur, '=');
    if (p.waiting != NULL) {
        complete_value(c, p.waiting);
    } else if (!p.only_args && c->cur[0] == '-' && equals != NULL) {
        const struct flag *f = complete_find(&p, c->cur, &whole);
        c->cur = equals + 1; /* the shell keeps what is before it */
        if (f != NULL)
            complete_value(c, f);
    } else if (!p.only_args && c->cur[0] == '-') {
        complete_flags(c, &p);
    } else {
        if (p.command->sub != NULL && p.n_args == 0)
            complete_commands(c, p.command->sub);
        if (p.command->run != NULL && !(p.only_args && p.command->rest))
            complete_argument(c, p.command, p.n_args);
    }
}

static const char *complete_directive_name(enum complete_directive directive)
{
    switch (directive) {
    case COMPLETE_DEFAULT:
        return "ShellCompDirectiveDefault";
    case COMPLETE_DIRS:
        return "ShellCompDirectiveFilterDirs";
    default:
        return "ShellCompDirectiveNoFileComp";
    }
}

int cli_complete(struct cli *cli, bool descriptions, int argc, char **argv)
{
    struct complete c = {.cli = cli,
                         .cur = argc > 0 ? argv[argc - 1] : "",
                         .descriptions = descriptions,
                         .directive = COMPLETE_NO_FILES};
    bool help = argc > 1 && strcmp(argv[0], "help") == 0;
    int first = help ? 1 : 0;
    const struct command *command = argc > first + 1 ? command_find(argv[first]) : NULL;
    if (argc <= first + 1 && c.cur[0] == '-') {
        complete_offer(&c, "--help", "Show all commands");
        complete_offer(&c, "--version", "Show the version");
    } else if (argc <= first + 1) {
        complete_commands(&c, command_table);
        complete_offer(&c, "help", "Show what a command does, and its options");
    } else if (command != NULL && help && command->sub != NULL && argc == 3) {
        complete_commands(&c, command->sub);
    } else if (command != NULL && !help) {
        complete_within(&c, command, argc - 2, argv + 1);
    }
    printf(":%d\n", c.directive);
    fprintf(stderr, "Completion ended with directive: %s\n", complete_directive_name(c.directive));
    return fflush(stdout) == 0 ? 0 : 1;
}
