/* cli/plugin.c: `tug plugin install|uninstall|status`: this program as Docker's `model` command.
 *
 * Docker looks for a file `docker-model` in several folders and takes the first. Installing is a link
 * to the running program; a plugin that is not Tug's is told of, never lost: --force moves it aside, to
 * a name that Docker does not look at, and uninstall moves it back. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/ui/table.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/process.h"
#include "json/json_read.h"

#include <stdio.h>
#include <string.h>

enum { PLUGIN_PATH_MAX = 4096, PLUGIN_DIRS_MAX = 32, PLUGIN_METADATA_BYTES = 64 * 1024, PLUGIN_WHAT_MAX = 400 };
#define PLUGIN_FILE        "docker-model"
#define PLUGIN_ASIDE       "replaced-docker-model"
#define PLUGIN_PATIENCE_NS (5 * CLOCK_SECOND)

enum plugin_owner {
    PLUGIN_NOTHING,
    PLUGIN_DANGLING, /* a link that leads nowhere: docker skips it, and nothing is lost with it */
    PLUGIN_OURS,     /* this very program */
    PLUGIN_TUG,      /* another Tug */
    PLUGIN_FOREIGN
};

/* What is at a path; `what` in words: "Docker Model Runner v1.2.6 of Docker Inc.". */
struct plugin_found {
    enum plugin_owner owner;
    char what[PLUGIN_WHAT_MAX];
};

/* The words of its own metadata; false: it is no plugin. */
static bool plugin_metadata_of(const char *path, struct plugin_found *found)
{
    _cleanup_(buf_done) struct buf out = BUF_INIT(PLUGIN_METADATA_BYTES);
    _cleanup_(json_free) json_t *root = NULL;
    const char *argv[] = {path, "docker-cli-plugin-metadata", NULL};
    const char *vendor = NULL, *version = "", *name = "a plugin";
    int status = 0;
    if (!process_run(argv, "", &out, PLUGIN_PATIENCE_NS, &status, NULL) || status != 0 ||
        !json_parse(buf_str(&out), out.len, &root, NULL) || !json_get_string(root, "", "Vendor", &vendor, NULL) ||
        vendor == NULL || !json_get_string(root, "", "Version", &version, NULL) ||
        !json_get_string(root, "", "ShortDescription", &name, NULL))
        return false;
    found->owner = strcmp(vendor, "Tug") == 0 ? PLUGIN_TUG : PLUGIN_FOREIGN;
    text_format(found->what, sizeof found->what, "%.100s %.40s of %.100s", name, version, vendor);
    return true;
}

static struct plugin_found plugin_look(const char *path)
{
    struct plugin_found found = {.owner = PLUGIN_FOREIGN};
    _cleanup_free_ char *target = file_read_link(path);
    _cleanup_free_ char *real = file_real_path(path);
    _cleanup_free_ char *us = file_program_path();
    enum file_kind kind = file_stat(path).kind;
    if (real != NULL && strcmp(real, us) == 0) {
        found.owner = PLUGIN_OURS;
        text_format(found.what, sizeof found.what, "this Tug, v%s", TUG_VERSION);
    } else if (kind == FILE_KIND_NONE && target == NULL) {
        found.owner = PLUGIN_NOTHING;
    } else if (kind == FILE_KIND_NONE) {
        found.owner = PLUGIN_DANGLING;
        text_format(found.what, sizeof found.what, "a link to %.300s, which does not exist", target);
    } else if (kind != FILE_KIND_FILE) {
        text_format(found.what, sizeof found.what, "no file");
    } else if (!plugin_metadata_of(path, &found)) {
        text_format(found.what, sizeof found.what, "a file that is no Docker plugin");
    }
    return found;
}

/* The folder that the words name, or the user's own of Docker. */
static bool plugin_dir(const struct command_args *args, char dst[PLUGIN_PATH_MAX], struct err *err)
{
    bool fits = args->argc > 0 ? text_format(dst, PLUGIN_PATH_MAX, "%s", args->argv[0])
                               : text_format(dst, PLUGIN_PATH_MAX, "%s/cli-plugins", args->cli->docker_config);
    return fits || err_set(err, ERR_INVALID, "the folder's path is too long");
}

static bool plugin_paths(const char *dir, char path[PLUGIN_PATH_MAX], char aside[PLUGIN_PATH_MAX], struct err *err)
{
    return (text_format(path, PLUGIN_PATH_MAX, "%s/%s", dir, PLUGIN_FILE) &&
            text_format(aside, PLUGIN_PATH_MAX, "%s/%s", dir, PLUGIN_ASIDE)) ||
           err_set(err, ERR_INVALID, "the folder's path is too long");
}

static bool plugin_no_access(struct err *err)
{
    char text[ERR_TEXT_MAX];
    if (err == NULL)
        return false;
    text_format(text, sizeof text, "%s", err->text);
    return err_set(err, err->code,
                   "%s\nAnother folder can be given: 'tug plugin install DIR'; docker looks in those that 'tug plugin "
                   "status' lists.",
                   text);
}

/* ---- install -------------------------------------------------------------------------------- */

static bool plugin_install(struct command_args *args, int *ret_exit, struct err *err)
{
    char dir[PLUGIN_PATH_MAX], path[PLUGIN_PATH_MAX], aside[PLUGIN_PATH_MAX];
    _cleanup_free_ char *us = file_program_path();
    (void)ret_exit;
    if (!plugin_dir(args, dir, err) || !plugin_paths(dir, path, aside, err))
        return false;
    if (!file_mkdirs(dir, 0755, err))
        return plugin_no_access(err);
    struct plugin_found found = plugin_look(path);
    if (found.owner == PLUGIN_OURS) {
        printf("%s is this Tug already.\n", path);
        return true;
    }
    if (found.owner == PLUGIN_FOREIGN && !command_flag(args, "force")->b)
        return err_set(err, ERR_CONFLICT,
                       "%s is there already, and is not Tug's: %s\n'tug plugin install --force' moves it aside, and "
                       "'tug plugin uninstall' moves it back.",
                       path, found.what);
    if (found.owner == PLUGIN_FOREIGN) {
        if (file_stat(aside).kind != FILE_KIND_NONE)
            return err_set(err, ERR_CONFLICT, "%s is there already, from an earlier time: remove one of the two",
                           aside);
        if (!file_rename(path, aside, err))
            return plugin_no_access(err);
        printf("Moved aside, to %s: %s\n", aside, found.what);
    }
    if (!file_symlink(us, path, err))
        return plugin_no_access(err);
    printf("Linked %s to %s\n", path, us);
    return true;
}

/* ---- uninstall ------------------------------------------------------------------------------ */

static bool plugin_uninstall(struct command_args *args, int *ret_exit, struct err *err)
{
    char dir[PLUGIN_PATH_MAX], path[PLUGIN_PATH_MAX], aside[PLUGIN_PATH_MAX];
    (void)ret_exit;
    if (!plugin_dir(args, dir, err) || !plugin_paths(dir, path, aside, err))
        return false;
    struct plugin_found found = plugin_look(path);
    if (found.owner == PLUGIN_FOREIGN)
        return err_set(err, ERR_CONFLICT, "%s is not Tug's: %s\nNothing was removed.", path, found.what);
    if (found.owner == PLUGIN_NOTHING)
        printf("There is no %s\n", path);
    else if (!file_remove(path, err))
        return false;
    else
        printf("Removed %s\n", path);
    if (file_stat(aside).kind == FILE_KIND_NONE)
        return true;
    if (!file_rename(aside, path, err))
        return false;
    printf("Moved back: %s\n", path);
    return true;
}

/* ---- status --------------------------------------------------------------------------------- */

struct plugin_dirs {
    char path[PLUGIN_DIRS_MAX][PLUGIN_PATH_MAX];
    size_t n;
};

static void plugin_dirs_add(struct plugin_dirs *dirs, const char *dir)
{
    if (dirs->n < PLUGIN_DIRS_MAX && text_format(dirs->path[dirs->n], PLUGIN_PATH_MAX, "%s/%s", dir, PLUGIN_FILE))
        dirs->n++;
}

/* Docker's order: those of config.json, the user's, the system's. */
static void plugin_dirs_find(const char *docker_config, struct plugin_dirs *dirs)
{
    static const char *const system_dirs[] = {"/usr/local/lib/docker/cli-plugins",
                                              "/usr/local/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins",
                                              "/usr/libexec/docker/cli-plugins"};
    char path[PLUGIN_PATH_MAX];
    _cleanup_(buf_done) struct buf text = BUF_INIT(1024 * 1024);
    _cleanup_(json_free) json_t *root = NULL;
    size_t i;
    json_t *dir;
    if (text_format(path, sizeof path, "%s/config.json", docker_config) && file_read_all(path, text.max, &text, NULL) &&
        json_parse(buf_str(&text), text.len, &root, NULL)) {
        json_array_foreach(json_object_get(root, "cliPluginsExtraDirs"), i, dir)
        {
            if (json_is_string(dir))
                plugin_dirs_add(dirs, json_string_value(dir));
        }
    }
    if (text_format(path, sizeof path, "%s/cli-plugins", docker_config))
        plugin_dirs_add(dirs, path);
    for (i = 0; i < sizeof system_dirs / sizeof system_dirs[0]; i++)
        plugin_dirs_add(dirs, system_dirs[i]);
}

static bool plugin_status(struct command_args *args, int *ret_exit, struct err *err)
{
    static const char *const header[] = {"FILE", "WHAT IT IS", "USED"};
    (void)err;
    struct arena arena = ARENA_INIT;
    struct plugin_dirs *dirs = arena_array(&arena, 1, sizeof *dirs);
    struct table t = {.header = header, .n_columns = 3, .arena = &arena};
    enum plugin_owner used = PLUGIN_NOTHING;
    dirs->n = 0;
    plugin_dirs_find(args->cli->docker_config, dirs);
    for (size_t i = 0; i < dirs->n; i++) {
        struct plugin_found found = plugin_look(dirs->path[i]);
        const char *cells[] = {dirs->path[i], found.owner == PLUGIN_NOTHING ? "-" : found.what,
                               used == PLUGIN_NOTHING && found.owner > PLUGIN_DANGLING ? "*" : ""};
        table_row(&t, cells);
        if (used == PLUGIN_NOTHING && found.owner > PLUGIN_DANGLING)
            used = found.owner;
    }
    table_print(&t);
    arena_done(&arena);
    if (used == PLUGIN_OURS || used == PLUGIN_TUG)
        return true;
    printf("\n'docker model' is %s; 'tug plugin install' makes it Tug.\n",
           used == PLUGIN_NOTHING ? "not known to docker" : "not Tug");
    *ret_exit = 1;
    return true;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static const struct flag install_flags[] = {
    {.name = "force", .letter = 'f', .kind = FLAG_BOOL, .help = "Move a plugin that is not Tug's aside"},
    {0},
};

static const struct command sub_install = {
    .name = "install",
    .args = "[DIR]",
    .max_args = 1,
    .summary = "Make this program Docker's `model` command",
    .about =
        "Links docker-model to it in DIR, which is made if it is missing. Without DIR: $DOCKER_CONFIG/cli-plugins,\n"
        "or ~/.docker/cli-plugins, for this user alone. A plugin that is not Tug's is left unless --force is given.",
    .flags = install_flags,
    .run = plugin_install,
};
static const struct command sub_uninstall = {
    .name = "uninstall",
    .args = "[DIR]",
    .max_args = 1,
    .summary = "Take it away again; a plugin that was moved aside comes back",
    .run = plugin_uninstall,
};
static const struct command sub_status = {
    .name = "status",
    .args = "",
    .summary = "Show where docker looks for `model`, and what it finds",
    .about = "Exits with 1 when docker does not find Tug.",
    .run = plugin_status,
};
static const struct command *const plugin_subs[] = {&sub_install, &sub_uninstall, &sub_status, NULL};

const struct command command_plugin = {
    .name = "plugin",
    .args = "",
    .summary = "Use Tug as `docker model`",
    .group = "The daemon",
    .sub = plugin_subs,
    .own = true,
};
