/* cli/ps.c: `tug ps`: the models in memory. Columns and words: dmr.md 1.4 and 2.6. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/ui/table.h"
#include "oci/reference.h"
#include "platform/clock.h"
#include "json/json_read.h"

#include <string.h>

#define PS_KEEP_ALIVE_DEFAULT_NS (300 * CLOCK_SECOND)

static const char *ps_text(const json_t *entry, const char *key)
{
    const char *s = json_string_value(json_object_get(entry, key));
    return s == NULL ? "" : s;
}

static void ps_until(const json_t *entry, char dst[64])
{
    int64_t keep_ns = PS_KEEP_ALIVE_DEFAULT_NS, used_ns = 0;
    char words[TEXT_SHORT_MAX];
    const char *keep = ps_text(entry, "keep_alive");
    if (keep[0] != '\0')
        text_to_duration_ns(keep, &keep_ns);
    bool used = text_from_rfc3339(ps_text(entry, "last_used"), &used_ns) && used_ns > 0;
    bool busy = json_is_true(json_object_get(entry, "in_use"));
    if (json_is_true(json_object_get(entry, "loading"))) {
        text_format(dst, 64, "Loading...");
    } else if (keep_ns < 0) {
        text_format(dst, 64, "Forever");
    } else {
        int64_t left_ns = busy || !used ? keep_ns : keep_ns - (clock_wall_ns() - used_ns);
        text_human_duration(words, left_ns);
        text_format(dst, 64, left_ns <= 0 ? "%sExpiring" : "%s from now", left_ns <= 0 ? "" : words);
    }
}

static void ps_row(struct table *t, const json_t *entry)
{
    char name[512], until[64];
    const char *model = ps_text(entry, "model_name");
    if (text_starts(model, "sha256:"))
        text_format(name, sizeof name, "%.12s", model + 7);
    else
        reference_display(model, name);
    ps_until(entry, until);
    const char *cells[] = {name, ps_text(entry, "backend_name"), ps_text(entry, "mode"), until};
    table_row(t, cells);
}

static bool ps_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    static const char *const header[] = {"MODEL NAME", "BACKEND", "MODE", "UNTIL"};
    _cleanup_(json_free) json_t *running = NULL;
    if (!cli_json(args->cli, "GET", "/engines/ps", NULL, &running, err))
        return false;
    if (command_flag(args, "json")->b) {
        cli_print_json(running);
        return true;
    }
    struct arena arena = ARENA_INIT;
    struct table t = {.header = header, .n_columns = 4, .arena = &arena};
    size_t i;
    json_t *entry;
    json_array_foreach(running, i, entry) { ps_row(&t, entry); }
    table_print(&t);
    arena_done(&arena);
    return true;
}

static const struct flag ps_flags[] = {
    {.name = "json", .kind = FLAG_BOOL, .help = "Print what the API answers"},
    {0},
};

const struct command command_ps = {
    .name = "ps",
    .args = "",
    .min_args = 0,
    .max_args = 0,
    .summary = "Show the models that are in memory",
    .flags = ps_flags,
    .route = "GET /engines/ps",
    .group = "See what runs",
    .daemon = DAEMON_RUNNING,
    .failure = "Failed to list running models",
    .differs = "--json.",
    .run = ps_run,
};
