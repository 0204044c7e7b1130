/* cli/context.c: `tug context create|use|ls|rm|inspect`: daemons by name. Texts: dmr.md 1.8. */
#include "cli/cli.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/contexts.h"
#include "cli/ui/table.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/process.h"
#include "json/json_read.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CONTEXT_PATH_MAX = 4096 };

static bool context_missing(struct err *err, const char *name)
{
    return err_set(err, ERR_NOT_FOUND, "context \"%s\" not found", name);
}

static const char *context_text(const json_t *context, const char *key)
{
    const char *s = json_string_value(json_object_get(context, key));
    return s == NULL ? "" : s;
}

/* ---- create --------------------------------------------------------------------------------- */

struct context_new {
    const char *name;
    json_t *context;
};

static bool context_host_valid(const char *host, struct err *err)
{
    struct http_url url;
    bool ok = text_starts(host, "unix:/") || (strstr(host, "://") != NULL && http_url_parse(host, &url, NULL));
    return ok || err_set(err, ERR_INVALID,
                         "invalid --host URL: must include scheme and host, e.g. http://192.168.1.100:12434");
}

/* The file must be there now, and be found from any folder later. */
static bool context_ca(const char *path, char dst[CONTEXT_PATH_MAX], struct err *err)
{
    char here[CONTEXT_PATH_MAX];
    struct err why = ERR_INIT;
    _cleanup_(file_close) int fd = -1;
    bool fits = true;
    if (path[0] == '/')
        fits = text_format(dst, CONTEXT_PATH_MAX, "%s", path);
    else
        fits = getcwd(here, sizeof here) != NULL && text_format(dst, CONTEXT_PATH_MAX, "%s/%s", here, path);
    if (!fits)
        return err_set(err, ERR_INVALID, "--tls-ca-cert: the path is too long");
    if (!file_open(dst, FILE_READ, &fd, &why))
        return err_set(err, ERR_INVALID, "--tls-ca-cert: cannot read \"%s\": %s", path, why.text);
    return true;
}

static bool context_add(json_t *root, void *ctx, struct err *err)
{
    const struct context_new *n = ctx;
    if (contexts_find(root, n->name) != NULL)
        return err_set(err, ERR_CONFLICT, "context \"%s\" already exists", n->name);
    json_object_set(json_object_get(root, "contexts"), n->name, n->context);
    return true;
}

static bool context_create(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    const char *host = command_flag(args, "host")->s, *ca = command_flag(args, "tls-ca-cert")->s;
    const char *description = command_flag(args, "description")->s;
    char now[40], ca_path[CONTEXT_PATH_MAX] = "";
    struct context_new n = {.name = args->argv[0]};
    if (strcmp(n.name, CONTEXT_DEFAULT) == 0)
        return err_set(err, ERR_INVALID, "context name \"%s\" is reserved", n.name);
    if (!contexts_name_valid(n.name))
        return err_set(err, ERR_INVALID,
                       "invalid context name \"%s\": it must begin with a letter or digit, and hold only these and _.-",
                       n.name);
    if (host == NULL || host[0] == '\0')
        return err_set(err, ERR_INVALID, "--host is required");
    if (!context_host_valid(host, err) || (ca != NULL && !context_ca(ca, ca_path, err)))
        return false;
    text_rfc3339(now, clock_wall_ns(), 9);
    json_t *tls = json_pack("{s:b}", "enabled", command_flag(args, "tls")->b);
    if (command_flag(args, "tls-skip-verify")->b)
        json_object_set_new(tls, "skipVerify", json_true());
    if (ca != NULL)
        json_object_set_new(tls, "caCert", json_string(ca_path));
    _cleanup_(json_free) json_t *context = json_pack("{s:s, s:o}", "host", host, "tls", tls);
    if (context == NULL)
        return err_set(err, ERR_INVALID, "--host and --tls-ca-cert must be valid UTF-8 text");
    if (description != NULL)
        json_object_set_new(context, "description", json_string(description));
    json_object_set_new(context, "createdAt", json_string(now));
    n.context = context;
    if (!contexts_change(args->cli->docker_config, context_add, &n, err))
        return false;
    printf("Context \"%s\" created.\n", n.name);
    return true;
}

/* ---- use ------------------------------------------------------------------------------------ */

static bool context_make_current(json_t *root, void *ctx, struct err *err)
{
    const char *name = ctx;
    if (strcmp(name, CONTEXT_DEFAULT) == 0) {
        json_object_del(root, "current");
        return true;
    }
    if (contexts_find(root, name) == NULL)
        return context_missing(err, name);
    json_object_set_new(root, "current", json_string(name));
    return true;
}

/* The environment wins; whoever asks for a context should hear that it will not count. */
static void context_warn(void)
{
    const char *host = process_env("MODEL_RUNNER_HOST");
    if (host != NULL)
        fprintf(stderr, "Warning: MODEL_RUNNER_HOST=\"%s\" overrides the active context.\n", host);
}

static bool context_use(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    char name[256];
    if (!text_format(name, sizeof name, "%s", args->argv[0]))
        return context_missing(err, args->argv[0]);
    if (!contexts_change(args->cli->docker_config, context_make_current, name, err))
        return false;
    printf("Current context is now \"%s\".\n", name);
    context_warn();
    return true;
}

/* ---- ls ------------------------------------------------------------------------------------- */

static int context_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool context_list(struct command_args *args, int *ret_exit, struct err *err)
{
    static const char *const header[] = {"NAME", "HOST", "DESCRIPTION", "CURRENT"};
    (void)ret_exit;
    _cleanup_(json_free) json_t *root = NULL;
    if (!contexts_read(args->cli->docker_config, &root, err))
        return false;
    struct arena arena = ARENA_INIT;
    struct table t = {.header = header, .n_columns = 4, .arena = &arena};
    json_t *contexts = json_object_get(root, "contexts"), *context;
    const char *current = contexts_current(root), *name;
    const char **names = arena_array(&arena, json_object_size(contexts) + 1, sizeof *names);
    size_t n = 0;
    json_object_foreach(contexts, name, context) { names[n++] = name; }
    qsort(names, n, sizeof *names, context_order);
    const char *first[] = {CONTEXT_DEFAULT, "(auto-detect)", "Auto-detected Docker context",
                           strcmp(current, CONTEXT_DEFAULT) == 0 ? "*" : ""};
    table_row(&t, first);
    for (size_t i = 0; i < n; i++) {
        const json_t *row = contexts_find(root, names[i]);
        const char *cells[] = {names[i], context_text(row, "host"), context_text(row, "description"),
                               strcmp(current, names[i]) == 0 ? "*" : ""};
        table_row(&t, cells);
    }
    table_print(&t);
    arena_done(&arena);
    context_warn();
    return true;
}

/* ---- rm ------------------------------------------------------------------------------------- */

static bool context_drop(json_t *root, void *ctx, struct err *err)
{
    const char *name = ctx;
    if (strcmp(name, CONTEXT_DEFAULT) == 0)
        return err_set(err, ERR_INVALID, "context \"%s\" cannot be removed", name);
    if (contexts_find(root, name) == NULL)
        return context_missing(err, name);
    if (strcmp(contexts_current(root), name) == 0)
        return err_set(err, ERR_CONFLICT, "context \"%s\" is currently active; switch to another context first", name);
    json_object_del(json_object_get(root, "contexts"), name);
    return true;
}

static bool context_remove(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    bool all = true;
    for (int i = 0; i < args->argc; i++) {
        char name[256];
        struct err why = ERR_INIT;
        bool ok = text_format(name, sizeof name, "%s", args->argv[i])
                      ? contexts_change(args->cli->docker_config, context_drop, name, &why)
                      : context_missing(&why, args->argv[i]);
        if (ok) {
            printf("Context \"%s\" removed.\n", name);
        } else if (args->argc == 1) {
            *err = why;
            return false;
        } else {
            fprintf(stderr, "Error: %s: %s\n", args->argv[i], why.text);
            all = false;
        }
    }
    return all || err_set(err, ERR_CONFLICT, "one or more contexts could not be removed");
}

/* ---- inspect -------------------------------------------------------------------------------- */

static bool context_inspect(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    _cleanup_(json_free) json_t *root = NULL, *list = json_array();
    if (!contexts_read(args->cli->docker_config, &root, err))
        return false;
    for (int i = 0; i < args->argc; i++) {
        const char *name = args->argv[i];
        const json_t *context = contexts_find(root, name);
        json_t *row = NULL;
        if (strcmp(name, CONTEXT_DEFAULT) == 0) {
            row = json_pack("{s:s, s:s, s:{s:b}, s:s}", "name", name, "host", CLI_DEFAULT_HOST, "tls", "enabled", 0,
                            "description", "Auto-detected Docker context");
        } else if (context != NULL) {
            row = json_pack("{s:s}", "name", name);
            json_object_update(row, (json_t *)context);
        } else {
            return context_missing(err, name);
        }
        CHECK(row != NULL);
        json_array_append_new(list, row);
    }
    cli_print_json(list);
    return true;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static const struct flag create_flags[] = {
    {.name = "host",
     .kind = FLAG_STRING,
     .arg = "URL",
     .help = "Where the daemon is: http://HOST:PORT, https://…, unix:///PATH"},
    {.name = "tls", .kind = FLAG_BOOL, .help = "Use TLS where the address does not say"},
    {.name = "tls-skip-verify", .kind = FLAG_BOOL, .help = "Accept any certificate"},
    {.name = "tls-ca-cert", .kind = FLAG_STRING, .arg = "PATH", .help = "Certificates to trust beside the system's"},
    {.name = "description", .kind = FLAG_STRING, .arg = "TEXT", .help = "What it is, for the list"},
    {0},
};

static const struct command sub_create = {
    .name = "create",
    .args = "NAME",
    .min_args = 1,
    .max_args = 1,
    .summary = "Give a daemon a name",
    .example = "tug context create office --host http://192.168.1.100:12434",
    .flags = create_flags,
    .run = context_create,
};
static const struct command sub_use = {
    .name = "use",
    .args = "CONTEXT",
    .min_args = 1,
    .max_args = 1,
    .summary = "Talk to that daemon from now on",
    .run = context_use,
};
static const struct command sub_list = {
    .name = "ls",
    .alias = "list",
    .args = "",
    .summary = "Show the contexts",
    .run = context_list,
};
static const struct command sub_remove = {
    .name = "rm",
    .alias = "remove",
    .args = "CONTEXT...",
    .min_args = 1,
    .max_args = -1,
    .summary = "Forget contexts",
    .run = context_remove,
};
static const struct command sub_inspect = {
    .name = "inspect",
    .args = "CONTEXT...",
    .min_args = 1,
    .max_args = -1,
    .summary = "Show contexts as JSON",
    .run = context_inspect,
};
static const struct command *const context_subs[] = {&sub_create, &sub_use, &sub_list, &sub_remove, &sub_inspect, NULL};

const struct command command_context = {
    .name = "context",
    .args = "",
    .summary = "Choose among several daemons",
    .about = "The daemon is the one that MODEL_RUNNER_HOST names, else the current context's, else this machine's.\n"
             "Contexts are kept in $DOCKER_CONFIG/model/contexts.json, as Docker Model Runner's are.",
    .group = "The daemon",
    .sub = context_subs,
    .differs =
        "A host may be `unix:///PATH`, since the daemon listens on a socket too. `default` is the `tug serve` of "
        "this machine: Docker Desktop and Docker Cloud are not looked for.",
};
