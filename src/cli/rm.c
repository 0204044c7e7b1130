/* cli/rm.c: `tug rm`: remove names, and with the last name the model. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "json/json_read.h"

#include <stdio.h>

/* [{"Untagged":"…"},{"Deleted":"…"}], a line each. */
static void rm_print(const json_t *steps)
{
    size_t i;
    json_t *step, *what;
    const char *kind;
    json_array_foreach(steps, i, step)
    {
        json_object_foreach(step, kind, what) { printf("%s: %s\n", kind, json_string_value(what)); }
    }
}

static bool rm_one(struct cli *cli, const char *name, bool force, struct err *err)
{
    char path[2048];
    _cleanup_(json_free) json_t *steps = NULL;
    if (!cli_path(path, sizeof path, "/models/", name, force ? "?force=true" : ""))
        return err_set(err, ERR_INVALID, "the model's name is too long");
    if (!cli_json(cli, "DELETE", path, NULL, &steps, err)) {
        if (err->code == ERR_NOT_FOUND)
            return err_set(err, ERR_NOT_FOUND, "no such model: %s", name);
        return err_while(err, "removing %s", name);
    }
    rm_print(steps);
    return true;
}

/* Every name is tried; the first error is the one that is returned, the others are shown as they come. */
static bool rm_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    bool ok = true;
    for (int i = 0; i < args->argc; i++) {
        struct err one = ERR_INIT;
        if (rm_one(args->cli, args->argv[i], command_flag(args, "force")->b, &one))
            continue;
        if (ok)
            *err = one;
        else
            fprintf(stderr, "%s: %s\n", args->command->failure, one.text);
        ok = false;
    }
    return ok;
}

static const struct flag rm_flags[] = {
    {.name = "force", .letter = 'f', .kind = FLAG_BOOL, .help = "Remove a model by id with all of its names"},
    {0},
};

const struct command command_rm = {
    .name = "rm",
    .args = "MODEL [MODEL...]",
    .min_args = 1,
    .max_args = -1,
    .summary = "Remove models",
    .about = "Removing a name keeps the model while it has another one. Only what nothing refers to is freed.",
    .flags = rm_flags,
    .route = "DELETE /models/{name...}",
    .group = "Manage models",
    .daemon = DAEMON_START,
    .failure = "Failed to remove model",
    .differs = "All names are tried, and each failure is said. A model that is answering is not removed.",
    .run = rm_run,
};
