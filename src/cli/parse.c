/* cli/parse.c: arguments against a command's rows. Everything a command could get wrong from its
 * arguments is found here: unknown flags, missing values, ranges, choices, the number of arguments. */
#include "cli/cli.h"

#include "base/check.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct parse {
    const struct command *command;
    const char *program;
    struct flag_value *values;
    struct err *err;
};

size_t command_flag_count(const struct command *c)
{
    size_t n = 0;
    while (c->flags != NULL && c->flags[n].name != NULL)
        n++;
    return n;
}

const struct command *command_find(const char *name)
{
    for (size_t i = 0; command_table[i] != NULL; i++) {
        const struct command *c = command_table[i];
        if (strcmp(c->name, name) == 0 || (c->alias != NULL && strcmp(c->alias, name) == 0))
            return c;
    }
    return NULL;
}

/* Edit distance of two short words, for suggestions only. */
static size_t parse_distance(const char *a, const char *b)
{
    enum { MAX = 32 };
    size_t la = strlen(a), lb = strlen(b);
    if (la >= MAX || lb >= MAX)
        return MAX;
    size_t row[MAX + 1];
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t change = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            size_t best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = best < change ? best : change;
        }
    }
    return row[lb];
}

const char *command_suggest(const char *name)
{
    const char *best = NULL;
    size_t best_distance = 3; /* further away is not a slip of the finger */
    for (size_t i = 0; command_table[i] != NULL; i++) {
        const struct command *c = command_table[i];
        size_t d = parse_distance(name, c->name);
        if (!c->hidden && d < best_distance) {
            best_distance = d;
            best = c->name;
        }
    }
    return best;
}

static bool parse_usage(const struct parse *p, const char *why, const char *flag)
{
    return err_set(p->err, ERR_INVALID, "%s: %s\n\nUsage:  %s %s%s%s%s\n\nSee '%s %s --help' for more information", why,
                   flag, p->program, p->command->name, p->command->flags != NULL ? " [OPTIONS]" : "",
                   p->command->args[0] != '\0' ? " " : "", p->command->args, p->program, p->command->name);
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
    return err_set(p->err, ERR_INVALID, "invalid value \"%s\" for --%s: %s\nSee '%s %s --help'", text, f->name, want,
                   p->program, p->command->name);
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

static const struct flag *parse_long(const struct command *c, const char *name, size_t len)
{
    for (const struct flag *f = c->flags; f != NULL && f->name != NULL; f++)
        if (strlen(f->name) == len && strncmp(f->name, name, len) == 0)
            return f;
    return NULL;
}

static const struct flag *parse_letter(const struct command *c, char letter)
{
    for (const struct flag *f = c->flags; f != NULL && f->name != NULL; f++)
        if (f->letter == letter)
            return f;
    return NULL;
}

/* `--name`, `--name=value`, `--name value`. Returns how many words were used, 0: error. */
static int parse_long_word(const struct parse *p, const char *word, const char *next)
{
    const char *name = word + 2;
    size_t len = strcspn(name, "=");
    const struct flag *f = parse_long(p->command, name, len);
    if (f == NULL)
        return parse_usage(p, "unknown flag", word);
    struct flag_value *v = &p->values[f - p->command->flags];
    if (name[len] == '=')
        return parse_value(p, f, name + len + 1, v) ? 1 : 0;
    if (f->kind == FLAG_BOOL)
        return parse_value(p, f, "true", v) ? 1 : 0;
    if (next == NULL)
        return parse_usage(p, "flag needs an argument", word);
    return parse_value(p, f, next, v) ? 2 : 0;
}

/* `-f`, `-abc` (booleans together), `-n 5`, `-n5`, `-n=5`. */
static int parse_short_word(const struct parse *p, const char *word, const char *next)
{
    for (const char *at = word + 1; *at != '\0'; at++) {
        const struct flag *f = parse_letter(p->command, *at);
        if (f == NULL)
            return parse_usage(p, "unknown shorthand flag", word);
        struct flag_value *v = &p->values[f - p->command->flags];
        if (f->kind == FLAG_BOOL && at[1] != '=') {
            if (!parse_value(p, f, "true", v))
                return 0;
            continue;
        }
        if (at[1] != '\0')
            return parse_value(p, f, at + 1 + (at[1] == '='), v) ? 1 : 0;
        if (next == NULL)
            return parse_usage(p, "flag needs an argument", word);
        return parse_value(p, f, next, v) ? 2 : 0;
    }
    return 1;
}

static bool parse_defaults(const struct parse *p)
{
    for (const struct flag *f = p->command->flags; f != NULL && f->name != NULL; f++) {
        struct flag_value *v = &p->values[f - p->command->flags];
        if (f->value != NULL) {
            bool ok = parse_value(p, f, f->value, v);
            CHECK(ok && "a default that its own row refuses");
            v->set = false;
        }
    }
    return true;
}

static bool parse_arity(const struct parse *p, int n)
{
    const struct command *c = p->command;
    bool exact = c->min_args == c->max_args;
    if (n >= c->min_args && (c->max_args < 0 || n <= c->max_args))
        return true;
    bool few = n < c->min_args;
    int count = few ? c->min_args : c->max_args;
    const char *bound = exact ? "" : few ? "at least " : "at most ";
    return err_set(
        p->err, ERR_INVALID,
        "'%s %s' requires %s%d argument%s.\n\nUsage:  %s %s%s%s%s\n\nSee '%s %s --help' for more information",
        p->program, c->name, bound, count, count == 1 ? "" : "s", p->program, c->name,
        c->flags != NULL ? " [OPTIONS]" : "", c->args[0] != '\0' ? " " : "", c->args, p->program, c->name);
}

bool cli_parse(const struct command *c, const char *program, int argc, char **argv, struct flag_value *values,
               const char **positional, int *ret_n, bool *ret_help, struct err *err)
{
    struct parse p = {.command = c, .program = program, .values = values, .err = err};
    int n = 0;
    parse_defaults(&p);
    for (int i = 0; i < argc;) {
        const char *word = argv[i];
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        int used = 1;
        if (strcmp(word, "--") == 0) {
            while (++i < argc)
                positional[n++] = argv[i];
            break;
        }
        if (strcmp(word, "--help") == 0 || (strcmp(word, "-h") == 0 && parse_letter(c, 'h') == NULL)) {
            *ret_help = true;
            return true;
        }
        if (word[0] == '-' && word[1] == '-')
            used = parse_long_word(&p, word, next);
        else if (word[0] == '-' && word[1] != '\0')
            used = parse_short_word(&p, word, next);
        else
            positional[n++] = word;
        if (used == 0)
            return false;
        i += used;
    }
    if (!parse_arity(&p, n))
        return false;
    *ret_n = n;
    return true;
}
