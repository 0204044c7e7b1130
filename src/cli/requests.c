/* cli/requests.c: `tug requests`: what the daemon's recorder holds, and what comes. Facts: dmr.md 1.1, 2.10. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "cli/sse.h"

#include <stdio.h>

static bool requests_flush(struct err *err)
{
    return fflush(stdout) == 0 || err_set(err, ERR_CANCELLED, "standard output is closed");
}

/* "connected" is for programs; a record is one line of JSON. */
static bool requests_event(void *ctx, const char *data, size_t n, struct err *err)
{
    (void)ctx;
    if (n > 0 && data[0] == '[')
        printf("%.*s\n", (int)n, data);
    return requests_flush(err);
}

static bool requests_follow(struct http_call *call, struct err *err)
{
    struct sse sse = SSE_INIT;
    char piece[8192];
    ssize_t n = 0;
    bool ok = true;
    fprintf(stderr, "Connected to request stream. Press Ctrl+C to stop.\n");
    while (ok && (n = http_call_read(call, piece, sizeof piece, err)) > 0)
        ok = sse_push(&sse, piece, (size_t)n, requests_event, NULL, err);
    sse_done(&sse);
    if (!ok || n < 0)
        return false;
    fprintf(stderr, "Stream closed by server.\n");
    return true;
}

static bool requests_print(struct http_call *call, struct err *err)
{
    char piece[8192];
    ssize_t n;
    char last = '\n';
    while ((n = http_call_read(call, piece, sizeof piece, err)) > 0) {
        fwrite(piece, 1, (size_t)n, stdout);
        last = piece[n - 1];
    }
    if (last != '\n')
        putchar('\n');
    return n == 0 && requests_flush(err);
}

static bool requests_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    bool follow = command_flag(args, "follow")->b, existing = command_flag(args, "include-existing")->b;
    const char *model = command_flag(args, "model")->s;
    const char *const headers[] = {"Accept: text/event-stream", NULL};
    struct http_call *call = NULL;
    char path[2048];
    if (existing && !follow)
        return err_set(err, ERR_INVALID, "--include-existing can only be used with --follow");
    const char *before = model != NULL ? "/engines/requests?model="
                         : existing    ? "/engines/requests?"
                                       : "/engines/requests";
    const char *after = !existing ? "" : model != NULL ? "&include_existing=true" : "include_existing=true";
    if (!cli_path(path, sizeof path, before, model == NULL ? "" : model, after))
        return err_set(err, ERR_INVALID, "the model's name is too long");
    if (!cli_catch_interrupt(args->cli, err) ||
        !cli_open(args->cli, "GET", path, follow ? headers : NULL, NULL, &call, err))
        return false;
    bool ok = follow ? requests_follow(call, err) : requests_print(call, err);
    http_call_close(&call);
    return ok;
}

static const struct flag requests_flags[] = {
    {.name = "follow", .letter = 'f', .kind = FLAG_BOOL, .help = "Go on as requests are answered, until Ctrl-C"},
    {.name = "include-existing", .kind = FLAG_BOOL, .help = "With --follow: what was recorded before, first"},
    {.name = "model", .kind = FLAG_STRING, .arg = "MODEL", .help = "Only this model's"},
    {0},
};

const struct command command_requests = {
    .name = "requests",
    .args = "",
    .min_args = 0,
    .max_args = 0,
    .summary = "Show the latest requests and answers",
    .about = "One line of JSON, for jq. The daemon keeps the last few of each model in memory.",
    .example = "tug requests --model ai/smollm2",
    .flags = requests_flags,
    .route = "GET /engines/requests",
    .group = "See what runs",
    .daemon = DAEMON_RUNNING,
    .failure = "Failed to get requests",
    .differs = "The words around the stream go to standard error, so that `| jq` reads only JSON.",
    .run = requests_run,
};
