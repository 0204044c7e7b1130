/* cli/prune.c: `tug prune`: free what nothing refers to. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/confirm.h"
#include "json/json_read.h"

#include <stdio.h>

static bool prune_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    bool all = command_flag(args, "all")->b;
    const char *warning = all ? "This will remove all models that are not loaded."
                              : "This will remove all models without a name, and the rests of unfinished pulls.";
    if (!command_flag(args, "force")->b && !cli_confirm(warning))
        return true;
    _cleanup_(json_free) json_t *answer = NULL;
    if (!cli_json(args->cli, "POST", all ? "/models/prune?all=true" : "/models/prune", NULL, &answer, err))
        return false;
    size_t i;
    json_t *step, *what;
    const char *kind;
    json_array_foreach(json_object_get(answer, "removed"), i, step)
    {
        json_object_foreach(step, kind, what) { printf("%s: %s\n", kind, json_string_value(what)); }
    }
    char freed[TEXT_SHORT_MAX];
    text_size(freed, (uint64_t)json_integer_value(json_object_get(answer, "freed_bytes")));
    printf("Total reclaimed space: %s\n", freed);
    return true;
}

static const struct flag prune_flags[] = {
    {.name = "all", .letter = 'a', .kind = FLAG_BOOL, .help = "Every model that is not loaded, named or not"},
    {.name = "force", .letter = 'f', .kind = FLAG_BOOL, .help = "Do not ask"},
    {0},
};

const struct command command_prune = {
    .name = "prune",
    .args = "",
    .min_args = 0,
    .max_args = 0,
    .summary = "Free the space of what nothing refers to",
    .flags = prune_flags,
    .route = "POST /models/prune",
    .group = "Manage models",
    .daemon = DAEMON_START,
    .failure = "Failed to prune",
    .own = true,
    .run = prune_run,
};
