/* cli/command.c: finding a command, a near name, a flag's value. */
#include "cli/command.h"

#include "base/check.h"

#include <string.h>

size_t command_flag_count(const struct command *c)
{
    size_t n = 0;
    while (c->flags != NULL && c->flags[n].name != NULL)
        n++;
    return n;
}

const struct flag_value *command_flag(const struct command_args *args, const char *name)
{
    const struct command *of[] = {args->command, args->parent};
    size_t at = 0;
    for (size_t i = 0; i < 2 && of[i] != NULL; i++)
        for (const struct flag *f = of[i]->flags; f != NULL && f->name != NULL; f++, at++)
            if (strcmp(f->name, name) == 0)
                return &args->values[at];
    CHECK(false && "a flag that has no row");
    return NULL;
}

const struct command *command_find_in(const struct command *const *table, const char *name)
{
    for (size_t i = 0; table[i] != NULL; i++) {
        const struct command *c = table[i];
        if (strcmp(c->name, name) == 0 || (c->alias != NULL && strcmp(c->alias, name) == 0))
            return c;
    }
    return NULL;
}

const struct command *command_find(const char *name) { return command_find_in(command_table, name); }

/* Edit distance of two short words, for suggestions only. */
static size_t command_distance(const char *a, const char *b)
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

const char *command_suggest(const struct command *const *table, const char *name)
{
    const char *best = NULL;
    size_t best_distance = 3; /* further away is not a slip of the finger */
    for (size_t i = 0; table[i] != NULL; i++) {
        size_t d = command_distance(name, table[i]->name);
        if (!table[i]->hidden && d < best_distance) {
            best_distance = d;
            best = table[i]->name;
        }
    }
    return best;
}
