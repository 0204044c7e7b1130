/* cli/parse.c: arguments against a command's rows. Everything a command could get wrong from its
 * arguments is found here: unknown flags, missing values, ranges, choices, the number of arguments. */
#include "cli/cli.h"

#include "base/check.h"
#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parse {
    struct command_args *args;
    struct err *err;
    bool help;
};

static bool parse_usage(const struct parse *p, const char *why, const char *flag)
{
    char usage[160];
    help_usage(p->args->command, usage, sizeof usage);
    return err_set(p->err, ERR_INVALID, "%s: %s\n\nUsage:  %s%s\n\nSee '%s --help' for more information", why, flag,
                   p->args->name, usage, p->args->name);
}

static bool parse_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);
    for (const char *at = choices; *at != '\0';) {
        size_t n = strcspn(at, "|");
        if (n == len && strncmp(at, text, n) == 0)
            return true;
        at += n + (at[n] == '|');
    }
    return false;
}

static bool parse_bad_value(const struct parse *p, const struct flag *f, const char *text, const char *want)
{
    return err_set(p->err, ERR_INVALID, "invalid value \"%s\" for --%s: %s\nSee '%s --help'", text, f->name, want,
                   p->args->name);
}

static bool parse_int(const struct parse *p, const struct flag *f, const char *text, struct flag_value *v)
{
    char want[96];
    if (!text_to_i64(text, &v->i))
        return parse_bad_value(p, f, text, "it must be a whole number");
    if (f->max > f->min && (v->i < f->min || v->i > f->max)) {
        text_format(want, sizeof want, "it must be from %" PRId64 " to %" PRId64, f->min, f->max);
        return parse_bad_value(p, f, text, want);
    }
    return true;
}

static bool parse_value(const struct parse *p, const struct flag *f, const char *text, struct flag_value *v)
{
    switch (f->kind) {
    case FLAG_BOOL:
        if (!text_to_bool(text, &v->b))
            return parse_bad_value(p, f, text, "it must be true or false");
        break;
    case FLAG_INT:
        if (!parse_int(p, f, text, v))
            return false;
        break;
    case FLAG_FLOAT:
        if (!text_to_double(text, &v->f) || !isfinite(v->f))
            return parse_bad_value(p, f, text, "it must be a number");
        if (f->max > f->min && (v->f < (double)f->min || v->f > (double)f->max)) {
            char range[96];
            text_format(range, sizeof range, "it must be from %" PRId64 " to %" PRId64, f->min, f->max);
            return parse_bad_value(p, f, text, range);
        }
        break;
    case FLAG_DURATION:
        if (!text_to_duration_ns(text, &v->i))
            return parse_bad_value(p, f, text, "it must be a duration such as 30s, 5m, 1h30m, 0 or -1");
        break;
    case FLAG_LIST: {
        size_t n = 0;
        while (v->list[n] != NULL)
            n++;
        if (n == FLAG_LIST_MAX)
            return parse_bad_value(p, f, text, "it is given too many times");
        v->list[n] = text;
        break;
    }
    default:
        if (f->choices != NULL && !parse_choice(f->choices, text)) {
            char want[128];
            text_format(want, sizeof want, "it must be one of %s", f->choices);
            return parse_bad_value(p, f, text, want);
        }
        break;
    }
    v->s = text;
    v->set = true;
    return true;
}

/* A flag by its long name or its letter, of the command or a persistent one of its parent; *ret_value is its place. */
static const struct flag *parse_find(const struct parse *p, const char *name, size_t len, char letter,
                                     struct flag_value **ret_value)
{
    const struct command *of[] = {p->args->command, p->args->parent};
    size_t at = 0;
    for (size_t i = 0; i < 2 && of[i] != NULL; i++) {
        for (const struct flag *f = of[i]->flags; f != NULL && f->name != NULL; f++, at++) {
            bool named = letter != 0 ? f->letter == letter : strlen(f->name) == len && strncmp(f->name, name, len) == 0;
            if (named && (i == 0 || f->persistent)) {
                *ret_value = &p->args->values[at];
                return f;
            }
        }
    }
    return NULL;
}

/* `--name`, `--name=value`, `--name value`. Returns how many words were used, 0: error. */
static int parse_long_word(const struct parse *p, const char *word, const char *next)
{
    const char *name = word + 2;
    size_t len = strcspn(name, "=");
    struct flag_value *v = NULL;
    const struct flag *f = parse_find(p, name, len, 0, &v);
    if (f == NULL)
        return parse_usage(p, "unknown flag", word);
    if (name[len] == '=')
        return parse_value(p, f, name + len + 1, v) ? 1 : 0;
    if (f->kind == FLAG_BOOL)
        return parse_value(p, f, "true", v) ? 1 : 0;
    if (next == NULL)
        return parse_usage(p, "flag needs an argument", word);
    return parse_value(p, f, next, v) ? 2 : 0;
}

static bool parse_letter_wrong(const struct parse *p, const char *why, char letter, const char *word)
{
    char which[160];
    text_format(which, sizeof which, "'%c' in %s", letter, word);
    return parse_usage(p, why, which);
}

/* `-f`, `-abc` (booleans together), `-n 5`, `-n5`, `-n=5`. */
static int parse_short_word(const struct parse *p, const char *word, const char *next)
{
    for (const char *at = word + 1; *at != '\0'; at++) {
        struct flag_value *v = NULL;
        const struct flag *f = parse_find(p, NULL, 0, *at, &v);
        if (f == NULL)
            return parse_letter_wrong(p, "unknown shorthand flag", *at, word);
        if (f->kind == FLAG_BOOL && at[1] != '=') {
            if (!parse_value(p, f, "true", v))
                return 0;
            continue;
        }
        if (at[1] != '\0')
            return parse_value(p, f, at + 1 + (at[1] == '='), v) ? 1 : 0;
        if (next == NULL)
            return parse_letter_wrong(p, "flag needs an argument", *at, word);
        return parse_value(p, f, next, v) ? 2 : 0;
    }
    return 1;
}

/* Room for the flags of c, filled with their defaults, before those of its parent, which keep their values. */
static void parse_enter(struct parse *p, const struct command *c)
{
    struct command_args *args = p->args;
    size_t own = command_flag_count(c);
    size_t others = args->command == NULL ? 0 : command_flag_count(args->command);
    struct flag_value *values = check_alloc(calloc(own + others + 1, sizeof *values));
    for (size_t i = 0; i < others; i++)
        values[own + i] = args->values[i];
    free(args->values);
    args->values = values;
    args->parent = args->command;
    args->command = c;
    size_t n = strlen(args->name);
    text_format(args->name + n, sizeof args->name - n, " %s", c->name);
    for (size_t i = 0; i < own; i++) {
        if (c->flags[i].value == NULL)
            continue;
        bool ok = parse_value(p, &c->flags[i], c->flags[i].value, &values[i]);
        CHECK(ok && "a default that its own row refuses");
        values[i].set = false;
    }
}

static bool parse_arity(const struct parse *p)
{
    const struct command *c = p->args->command;
    int n = p->args->argc;
    char usage[160];
    bool exact = c->min_args == c->max_args;
    if (n >= c->min_args && (c->max_args < 0 || n <= c->max_args))
        return true;
    bool few = n < c->min_args;
    int count = few ? c->min_args : c->max_args;
    const char *bound = exact ? "" : few ? "at least " : "at most ";
    help_usage(c, usage, sizeof usage);
    if (count == 0)
        return err_set(p->err, ERR_INVALID,
                       "'%s' accepts no arguments.\n\nUsage:  %s%s\n\nSee '%s --help' for more information",
                       p->args->name, p->args->name, usage, p->args->name);
    return err_set(p->err, ERR_INVALID,
                   "'%s' requires %s%d argument%s.\n\nUsage:  %s%s\n\nSee '%s --help' for more information",
                   p->args->name, bound, count, count == 1 ? "" : "s", p->args->name, usage, p->args->name);
}

static bool parse_first_word(const struct parse *p)
{
    const struct command *c = p->args->command;
    const char *word = p->args->argv[0];
    if (c->choices == NULL || p->args->argc == 0 || parse_choice(c->choices, word))
        return true;
    return err_set(p->err, ERR_INVALID, "'%s' does not know \"%s\": it must be one of %s\nSee '%s --help'",
                   p->args->name, word, c->choices, p->args->name);
}

/* A word that is no flag: the name of a sub command, or an argument. */
static bool parse_word(struct parse *p, const char *word)
{
    struct command_args *args = p->args;
    const struct command *c = args->command;
    const struct command *sub = c->sub == NULL || args->argc > 0 ? NULL : command_find_in(c->sub, word);
    if (sub != NULL) {
        parse_enter(p, sub);
        return true;
    }
    if (c->run == NULL) {
        const char *near = command_suggest(c->sub, word);
        return err_set(p->err, ERR_INVALID, "%s: '%s' is not a command.%s%s%s%s%s\nSee '%s --help'", args->name, word,
                       near != NULL ? " Did you mean '" : "", near != NULL ? args->name : "", near != NULL ? " " : "",
                       near != NULL ? near : "", near != NULL ? "'?" : "", args->name);
    }
    args->argv[args->argc++] = word;
    return true;
}

static bool parse_is_help(const struct parse *p, const char *word)
{
    struct flag_value *v;
    if (strcmp(word, "--help") == 0)
        return true;
    return strcmp(word, "-h") == 0 && parse_find(p, NULL, 0, 'h', &v) == NULL;
}

static bool parse_words(struct parse *p, int argc, char **argv)
{
    struct command_args *args = p->args;
    for (int i = 0; i < argc;) {
        const char *word = argv[i];
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        int used = 1;
        if (strcmp(word, "--") == 0) {
            bool rest = args->command->rest;
            args->dashed = true;
            while (++i < argc)
                (rest ? args->rest : args->argv)[rest ? args->n_rest++ : args->argc++] = argv[i];
            break;
        }
        if (parse_is_help(p, word)) {
            p->help = true;
            return true;
        }
        if (word[0] == '-' && word[1] == '-')
            used = parse_long_word(p, word, next);
        else if (word[0] == '-' && word[1] != '\0')
            used = parse_short_word(p, word, next);
        else
            used = parse_word(p, word) ? 1 : 0;
        if (used == 0)
            return false;
        i += used;
    }
    return true;
}

bool cli_parse(const struct command *c, const char *program, int argc, char **argv, struct command_args *args,
               bool *ret_help, struct err *err)
{
    struct parse p = {.args = args, .err = err};
    args->argv = check_alloc(calloc((size_t)argc + 1, sizeof *args->argv));
    args->rest = check_alloc(calloc((size_t)argc + 1, sizeof *args->rest));
    text_format(args->name, sizeof args->name, "%s", program);
    parse_enter(&p, c);
    if (!parse_words(&p, argc, argv))
        return false;
    p.help = p.help || args->command->run == NULL;
    if (!p.help && (!parse_arity(&p) || !parse_first_word(&p)))
        return false;
    *ret_help = p.help;
    return true;
}

void command_args_done(struct command_args *args)
{
    free(args->argv);
    free(args->rest);
    free(args->values);
    *args = (struct command_args){0};
}
