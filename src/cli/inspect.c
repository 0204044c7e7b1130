/* cli/inspect.c: `tug inspect`: everything about one model, as JSON. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "json/json_read.h"

static bool inspect_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    bool openai = command_flag(args, "openai")->b;
    bool remote = command_flag(args, "remote")->b;
    char path[2048];
    _cleanup_(json_free) json_t *model = NULL;
    if (openai && remote)
        return err_set(err, ERR_INVALID, "--remote flag cannot be used with --openai flag");
    if (!cli_path(path, sizeof path, openai ? "/engines/v1/models/" : "/models/", args->argv[0],
                  remote ? "?remote=true" : ""))
        return err_set(err, ERR_INVALID, "the model's name is too long");
    if (!cli_json(args->cli, "GET", path, NULL, &model, err))
        return false;
    cli_print_json(model);
    return true;
}

static const struct flag inspect_flags[] = {
    {.name = "openai", .kind = FLAG_BOOL, .help = "In OpenAI's form"},
    {.name = "remote", .letter = 'r', .kind = FLAG_BOOL, .help = "Ask the registry instead of the local store"},
    {0},
};

const struct command command_inspect = {
    .name = "inspect",
    .args = "MODEL",
    .min_args = 1,
    .max_args = 1,
    .summary = "Show everything about one model",
    .flags = inspect_flags,
    .route = "GET /models/{name...}",
    .group = "Manage models",
    .daemon = DAEMON_START,
    .failure = "Failed to inspect model",
    .differs = "--remote asks the registry with the credentials of Docker.",
    .run = inspect_run,
};
