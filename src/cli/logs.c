/* cli/logs.c: `tug logs`: what the daemon and its engines wrote. */
#include "cli/cli.h"

#include <stdio.h>

static bool logs_line(void *ctx, const char *line, struct err *err)
{
    (void)ctx;
    printf("%s\n", line);
    if (fflush(stdout) != 0)
        return err_set(err, ERR_CANCELLED, "standard output is closed");
    return true;
}

static bool logs_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    struct http_call *call = NULL;
    bool follow = command_flag(args, "follow")->b, engines = !command_flag(args, "no-engines")->b;
    const char *path = follow ? (engines ? "/logs?follow=true" : "/logs?follow=true&no-engines=true")
                              : (engines ? "/logs" : "/logs?no-engines=true");
    if (!cli_catch_interrupt(args->cli, err) || !cli_open(args->cli, "GET", path, NULL, NULL, &call, err))
        return false;
    bool ok = cli_each_line(call, logs_line, NULL, err);
    http_call_close(&call);
    return ok;
}

static const struct flag logs_flags[] = {
    {.name = "follow", .letter = 'f', .kind = FLAG_BOOL, .help = "Go on as lines are written"},
    {.name = "no-engines", .kind = FLAG_BOOL, .help = "Without the engines' lines"},
    {0},
};

const struct command command_logs = {
    .name = "logs",
    .args = "",
    .min_args = 0,
    .max_args = 0,
    .summary = "Show the daemon's log",
    .flags = logs_flags,
    .route = "GET /logs",
    .group = "See what runs",
    .daemon = DAEMON_RUNNING,
    .failure = "Failed to read the logs",
    .differs = "They are the daemon's own, asked over its API; Docker Model Runner reads those of its container, or "
               "files of Docker Desktop.",
    .run = logs_run,
};
