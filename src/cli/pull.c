/* cli/pull.c: `tug pull`: ask the daemon for a model, draw its progress. */
#include "cli/cli.h"

#include "platform/process.h"

#include <stdio.h>

static bool pull_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    if (cli_pull(args->cli, args->argv[0], stdout, err))
        return true;
    if (process_env("COMPOSE_PROJECT_NAME") != NULL) /* Compose shows our stdout and throws stderr away */
        printf("Failed to pull model: %s\n", err->text);
    return false;
}

const struct command command_pull = {
    .name = "pull",
    .args = "MODEL",
    .min_args = 1,
    .max_args = 1,
    .summary = "Fetch a model from a registry",
    .about = "MODEL is NAME[:TAG], ORG/NAME[:TAG] or REGISTRY/ORG/NAME[:TAG]; without an organisation it is ai/,\n"
             "without a registry it is Docker Hub. A transfer that was cut goes on where it stopped.",
    .example = "tug pull ai/smollm2",
    .route = "POST /models/create",
    .group = "Manage models",
    .daemon = DAEMON_START,
    .failure = "Failed to pull model",
    .differs = "A failure always says why and exits with 1: Docker Model Runner prints an empty line and exits with 0 "
               "when Hugging Face refuses. A pull that was cut goes on where it stopped, also after Ctrl-C or a crash. "
               "When the registry cannot be reached, a model that is here counts as pulled, with a warning.",
    .run = pull_run,
};
