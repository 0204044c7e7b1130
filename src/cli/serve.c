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

/* The daemon of this home, by the pid in its lock file. Waits until it has ended. */
static bool serve_stop(const char *home, struct err *err)
{
    char path[4096];
    struct buf text = BUF_INIT(4096);
    _cleanup_(file_close) int fd = -1;
    int64_t pid = 0;
    text_format(path, sizeof path, "%s/daemon.lock", home);
    if (!file_open(path, FILE_READ, &fd, NULL) || file_try_lock(fd, path, NULL)) {
        printf("No daemon runs for %s.\n", home);
        return true;
    }
    bool ok = file_read_all(path, text.max, &text, err);
    char word[32] = "";
    if (ok)
        text_format(word, sizeof word, "%.*s", (int)strcspn(buf_str(&text), " \n"), buf_str(&text));
    buf_done(&text);
    if (!ok)
        return false;
    struct process daemon = {.pidfd = -1};
    if (!text_to_i64(word, &pid) || pid <= 1)
        return err_set(err, ERR_INTERNAL, "%s is held but names no process", path);
    if (!process_open((pid_t)pid, &daemon, err))
        return err_while(err, "stopping the daemon of %s", home);
    ok = process_signal(&daemon, SIGTERM);
    int status = 0;
    if (ok)
        process_wait(&daemon, CLOCK_FOREVER, &status); /* not our child: only that it ended is told */
    process_done(&daemon);
    if (!ok)
        return err_set(err, ERR_FORBIDDEN, "process %" PRId64 ", the daemon of %s, is not yours to stop", pid, home);
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
    SERVE_SETTING_FLAGS{.name = "ready-fd",
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
    .run = serve_run,
};
