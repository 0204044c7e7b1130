/* cli/push.c: `tug push`: send a model to a registry. */
#include "cli/cli.h"

#include <stdio.h>

bool cli_push(struct cli *cli, const char *model, FILE *said, struct err *err)
{
    char path[2048];
    char message[ERR_TEXT_MAX];
    const char *headers[] = {"Accept: application/json", NULL};
    struct http_call *call = NULL;
    if (!cli_path(path, sizeof path, "/models/", model, "/push"))
        return err_set(err, ERR_INVALID, "the model's name is too long");
    if (!cli_catch_interrupt(cli, err) || !cli_open(cli, "POST", path, headers, NULL, &call, err))
        return false;
    bool ok = cli_transfer(call, "Push complete", stdout, message, sizeof message, err);
    http_call_close(&call);
    if (ok)
        fprintf(said, "%s\n", message);
    return ok;
}

static bool push_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    return cli_push(args->cli, args->argv[0], stdout, err);
}

const struct command command_push = {
    .name = "push",
    .args = "MODEL",
    .min_args = 1,
    .max_args = 1,
    .summary = "Send a model to a registry",
    .about = "Credentials come from Docker's config.json ('docker login REGISTRY').",
    .route = "POST /models/{name...}/push",
    .group = "Manage models",
    .daemon = DAEMON_START,
    .failure = "Failed to push model",
    .run = push_run,
};
