/* cli/unload.c: `tug unload`: take idle models out of memory. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "json/json_read.h"
#include "json/json_write.h"

#include <inttypes.h>
#include <stdio.h>

static bool unload_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    bool all = command_flag(args, "all")->b;
    _cleanup_(buf_done) struct buf body = BUF_INIT(64 * 1024);
    _cleanup_(json_free) json_t *answer = NULL;
    struct json_out j = JSON_OUT(&body);
    if (!all && args->argc == 0)
        return err_set(err, ERR_INVALID, "'%s unload' requires MODEL unless --all is specified.", args->cli->program);
    json_open(&j, '{');
    json_kv_bool(&j, "all", all);
    json_kv_str(&j, "backend", command_flag(args, "backend")->s == NULL ? "" : command_flag(args, "backend")->s);
    json_key(&j, "models");
    json_open(&j, '[');
    for (int i = 0; i < args->argc; i++)
        json_str(&j, args->argv[i]);
    json_close(&j, ']');
    json_close(&j, '}');
    if (!cli_json(args->cli, "POST", "/engines/unload", &body, &answer, err))
        return false;
    int64_t n = json_integer_value(json_object_get(answer, "unloaded_runners"));
    if (n > 0)
        printf("Unloaded %" PRId64 " model(s).\n", n);
    else
        printf("%s\n", all ? "No models are running." : "No such model(s) running.");
    return true;
}

static const struct flag unload_flags[] = {
    {.name = "all", .kind = FLAG_BOOL, .help = "All models that are idle"},
    {.name = "backend", .kind = FLAG_STRING, .arg = "NAME", .help = "Only this backend's"},
    {0},
};

const struct command command_unload = {
    .name = "unload",
    .alias = "stop",
    .args = "(MODEL [MODEL...] | --all)",
    .min_args = 0,
    .max_args = -1,
    .summary = "Take models out of memory",
    .flags = unload_flags,
    .route = "POST /engines/unload",
    .group = "See what runs",
    .daemon = DAEMON_RUNNING,
    .failure = "Failed to unload models",
    .run = unload_run,
};
