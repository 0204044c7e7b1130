/* cli/status.c: `tug status`: is a daemon there, and what can it run. With --json nothing goes to stderr, since
 * Compose parses both streams as one. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/ui/table.h"
#include "platform/process.h"
#include "json/json_read.h"

#include <stdio.h>
#include <string.h>

static bool status_json(struct cli *cli, const json_t *backends, struct err *err)
{
    struct cli_endpoint e;
    char containers[700], host[700];
    if (!cli_endpoint(cli, &e, err))
        return false;
    text_format(containers, sizeof containers, "%s/v1/", e.containers);
    text_format(host, sizeof host, "%s/v1/", e.host);
    _cleanup_(json_free) json_t *root = json_pack(
        "{s:b, s:O?, s:s, s:s, s:s}", "running", backends != NULL, "backends", backends, "kind",
        e.named ? "Docker Engine (Manual Install)" : "Docker Engine", "endpoint", containers, "endpointHost", host);
    if (root == NULL)
        return err_set(err, ERR_INVALID, "the daemon's address is not valid UTF-8 text");
    _cleanup_free_ char *text = json_dumps(root, JSON_COMPACT);
    puts(text);
    return true;
}

static void status_row(struct table *t, const char *backend, const char *text)
{
    static const char *const known[] = {"Running", "Error", "Not Installed", "Installing"};
    const char *colon = strstr(text, ": ");
    char status[32] = "Error";
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t n = strlen(known[i]);
        if (strncmp(text, known[i], n) == 0 && (text[n] == '\0' || text[n] == ':'))
            text_format(status, sizeof status, "%s", known[i]);
    }
    const char *cells[] = {backend, status, colon == NULL ? "" : colon + 2};
    table_row(t, cells);
}

static void status_table(const json_t *backends)
{
    static const char *const header[] = {"BACKEND", "STATUS", "DETAILS"};
    struct arena arena = ARENA_INIT;
    struct table t = {.header = header, .n_columns = 3, .arena = &arena};
    const char *name;
    json_t *text;
    json_object_foreach((json_t *)backends, name, text)
    {
        if (json_is_string(text))
            status_row(&t, name, json_string_value(text));
    }
    printf("Docker Model Runner is running\n\n");
    table_print(&t);
    arena_done(&arena);
}

static bool status_run(struct command_args *args, int *ret_exit, struct err *err)
{
    bool json = command_flag(args, "json")->b;
    _cleanup_(json_free) json_t *backends = NULL;
    /* Compose asks once before it starts containers, which need a daemon. */
    if (json && process_env("COMPOSE_PROJECT_NAME") != NULL && !cli_ready(args->cli, DAEMON_START, err))
        return false;
    bool running = cli_json(args->cli, "GET", "/engines/status", NULL, &backends, err);
    if (json)
        return status_json(args->cli, running ? backends : NULL, err);
    if (running) {
        status_table(backends);
        return true;
    }
    printf("Docker Model Runner is not running\n%s\n", err->text);
    *ret_exit = 1;
    return true;
}

static const struct flag status_flags[] = {
    {.name = "json", .kind = FLAG_BOOL, .help = "One line of JSON"},
    {0},
};

const struct command command_status = {
    .name = "status",
    .args = "",
    .min_args = 0,
    .max_args = 0,
    .summary = "Show whether the daemon runs",
    .about = "Exits with 1 when it does not (text form only, as Docker Model Runner does).\n"
             "With --json, endpoint is the address for containers and endpointHost the one for this machine.",
    .flags = status_flags,
    .route = "GET /engines/status",
    .group = "The daemon",
    .daemon = DAEMON_RUNNING,
    .differs = "Asks the daemon, and says why it got no answer; Docker Model Runner calls only HTTP 503 not running. "
               "Only the engines that are there are listed.",
    .run = status_run,
};
