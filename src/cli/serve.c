/* cli/serve.c: `tug serve`: the flags of the daemon, over what the environment says. */
#include "cli/serve.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "daemon/daemon.h"
#include "daemon/settings.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/process.h"
#include "platform/socket.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool serve_stop(const char *home, struct err *err)
{
    int64_t pid = 0;
    if (!cli_stop_daemon(home, &pid, err))
        return false;
    if (pid == 0)
        printf("No daemon runs for %s.\n", home);
    else
        printf("Stopped.\n");
    return true;
}

/* In the background, as `tug run` does it; says where. */
static bool serve_start(struct cli *cli, struct err *err)
{
    if (!cli_locate(cli, err) || (!cli_reachable(cli) && !cli_start_daemon(cli, err)))
        return false;
    printf("tug serve runs at %s\n", cli->base_url);
    return true;
}

static bool serve_run(struct command_args *args, int *ret_exit, struct err *err)
{
    struct daemon_options options = DAEMON_OPTIONS_DEFAULT;
    struct arena arena = ARENA_INIT;
    bool ok = serve_settings(args, &options, &arena, NULL, err);
    if (ok && command_flag(args, "ready-fd")->set)
        options.ready_fd = (int)command_flag(args, "ready-fd")->i;
    if (ok && command_flag(args, "stop")->b)
        ok = serve_stop(options.home, err);
    else if (ok && command_flag(args, "start")->b)
        ok = serve_start(args->cli, err);
    else if (ok)
        *ret_exit = daemon_run(&options);
    arena_done(&arena);
    return ok;
}

static const struct flag serve_flags[] = {
    SERVE_SETTING_FLAGS,
    {.name = "ready-fd",
     .kind = FLAG_INT,
     .arg = "FD",
     .min = 3,
     .max = 1024,
     .help = "Gets a line when it listens",
     .hidden = true},
    {.name = "start",
     .kind = FLAG_BOOL,
     .help = "Start it in the background, with the settings of the environment, unless it runs"},
    {.name = "stop", .kind = FLAG_BOOL, .help = "Stop the daemon of this home and wait until it has ended"},
    {0},
};

const struct command command_serve = {
    .name = "serve",
    .args = "",
    .min_args = 0,
    .max_args = 0,
    .summary = "Run the daemon",
    .about =
        "It serves the API on http://127.0.0.1:12434 and a unix socket, and starts an engine for each model in use.\n"
        "SIGTERM: running requests finish within --grace, then it ends.",
    .example = "tug serve --port 8080",
    .flags = serve_flags,
    .group = "The daemon",
    .daemon = DAEMON_NONE,
    .failure = "tug serve",
    .own = true,
    .run = serve_run,
};
