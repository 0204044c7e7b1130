/* cli/df.c: `tug df`: how much disk the models take. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/ui/table.h"
#include "json/json_read.h"

static void df_row(struct table *t, const json_t *usage, const char *name, const char *key, bool always)
{
    char size[TEXT_SHORT_MAX];
    json_int_t bytes = json_integer_value(json_object_get(usage, key));
    if (bytes == 0 && !always)
        return;
    text_size(size, (uint64_t)bytes);
    const char *cells[] = {name, size};
    table_row(t, cells);
}

static bool df_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    static const char *const header[] = {"TYPE", "SIZE"};
    _cleanup_(json_free) json_t *usage = NULL;
    if (!cli_json(args->cli, "GET", "/engines/df", NULL, &usage, err))
        return false;
    if (command_flag(args, "json")->b) {
        cli_print_json(usage);
        return true;
    }
    struct arena arena = ARENA_INIT;
    struct table t = {.header = header, .n_columns = 2, .arena = &arena};
    df_row(&t, usage, "Models", "models_disk_usage", true);
    df_row(&t, usage, "Unfinished pulls", "partial_disk_usage", false);
    df_row(&t, usage, "Reclaimable", "reclaimable_disk_usage", false);
    df_row(&t, usage, "Inference engine", "default_backend_disk_usage", false);
    table_print(&t);
    arena_done(&arena);
    return true;
}

static const struct flag df_flags[] = {
    {.name = "json", .kind = FLAG_BOOL, .help = "Print what the API answers"},
    {0},
};

const struct command command_df = {
    .name = "df",
    .args = "",
    .min_args = 0,
    .max_args = 0,
    .summary = "Show how much disk the models take",
    .flags = df_flags,
    .route = "GET /engines/df",
    .group = "Manage models",
    .daemon = DAEMON_START,
    .failure = "Failed to list running models",
    .differs = "Rows `Unfinished pulls` and `Reclaimable` where there are such; --json.",
    .run = df_run,
};
