/* cli/config.c: `tug config`: every setting of the daemon, and where it comes from. */
#include "cli/serve.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "cli/ui/table.h"
#include "json/json_read.h"

#include <string.h>

static const char *const from_words[] = {"default", "file", "environment", "flag"};

static const char *config_value(const struct setting *s, const struct daemon_options *o, bool is_default,
                                struct arena *arena)
{
    _cleanup_(buf_done) struct buf text = BUF_INIT(LIMIT_ERROR_BODY_BYTES);
    setting_show(s, o, &text);
    if (text.len == 0 || (is_default && s->kind != SETTING_TEXT))
        return s->value;
    return arena_strdup(arena, buf_str(&text));
}

static bool config_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    static const char *const header[] = {"SETTING", "VALUE", "FROM"};
    struct daemon_options o = DAEMON_OPTIONS_DEFAULT;
    struct settings_origin origins[SETTINGS_MAX] = {{0}};
    _cleanup_(arena_done) struct arena arena = ARENA_INIT;
    _cleanup_(json_free) json_t *all = json_object();
    struct table t = {.header = header, .n_columns = 3, .arena = &arena};
    if (!serve_settings(args, &o, &arena, origins, err))
        return false;
    for (const struct setting *s = settings_table; s->variable != NULL; s++) {
        char key[SETTING_KEY_MAX];
        const struct settings_origin *origin = &origins[s - settings_table];
        if (!setting_is_main(s))
            continue;
        setting_key(s, key);
        const char *value = config_value(s, &o, origin->from == SETTING_FROM_DEFAULT, &arena);
        const char *where = origin->where != NULL ? origin->where : "default";
        json_object_set_new(
            all, key,
            json_pack("{s:s, s:s, s:s*}", "value", value, "from", from_words[origin->from], "where", origin->where));
        table_row(&t, (const char *const[]){arena_strdup(&arena, key), value, where});
    }
    if (command_flag(args, "json")->b)
        cli_print_json(all);
    else
        table_print(&t);
    return true;
}

static const struct flag config_flags[] = {
    {.name = "json", .kind = FLAG_BOOL, .help = "Print it as JSON"},
    SERVE_SETTING_FLAGS,
    {0},
};

const struct command command_config = {
    .name = "config",
    .args = "",
    .min_args = 0,
    .max_args = 0,
    .summary = "Show the settings of the daemon and where each comes from",
    .about =
        "What `tug serve` with the same flags would take: flags win over the environment, that over the file\n"
        "tug.conf in TUG_HOME, that over " SETTINGS_SYSTEM_FILE ", and that over the defaults. The files have lines\n"
        "\"key = value\" and are read when the daemon starts.",
    .example = "tug config --json",
    .flags = config_flags,
    .group = "The daemon",
    .daemon = DAEMON_NONE,
    .failure = "Failed to read the settings",
    .run = config_run,
};
