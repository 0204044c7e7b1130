/* cli/purge.c: `tug purge`: remove every model, after a question. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "cli/confirm.h"
#include "json/json_read.h"

static bool purge_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    static const char unload_all[] = "{\"all\":true}";
    _cleanup_(buf_done) struct buf body = BUF_INIT(sizeof unload_all);
    _cleanup_(json_free) json_t *unloaded = NULL, *answer = NULL;
    if (!command_flag(args, "force")->b && !cli_confirm("This will remove the entire models directory."))
        return true;
    buf_add_str(&body, unload_all);
    return cli_json(args->cli, "POST", "/engines/unload", &body, &unloaded, err) &&
           cli_json(args->cli, "DELETE", "/models/purge", NULL, &answer, err);
}

static const struct flag purge_flags[] = {
    {.name = "force", .letter = 'f', .kind = FLAG_BOOL, .help = "Do not ask"},
    {0},
};

const struct command command_purge = {
    .name = "purge",
    .args = "",
    .min_args = 0,
    .max_args = 0,
    .summary = "Remove all models",
    .about = "Models are unloaded, then every one is removed, named or not. 'tug prune' frees only what is not used.",
    .flags = purge_flags,
    .route = "DELETE /models/purge",
    .group = "Manage models",
    .daemon = DAEMON_START,
    .failure = "Failed to purge",
    .run = purge_run,
};
