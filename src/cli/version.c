/* cli/version.c: `tug version`: ours, and the daemon's if one answers. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "json/json_read.h"

#include <stdio.h>
#include <sys/utsname.h>

static const char *version_arch(const struct utsname *u)
{
    static const struct {
        const char *machine, *docker;
    } names[] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(u->machine, names[i].machine) == 0)
            return names[i].docker;
    return u->machine;
}

static bool version_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    (void)err;
    struct utsname u;
    uname(&u);
    printf("Client:\n Version:    v%s\n OS/Arch:    linux/%s\n\nServer:\n", TUG_VERSION, version_arch(&u));
    _cleanup_(json_free) json_t *answer = NULL;
    if (!cli_json(args->cli, "GET", "/version", NULL, &answer, NULL)) {
        printf(" Version:    (not reachable)\n");
        return true;
    }
    const char *version = json_string_value(json_object_get(answer, "version"));
    printf(" Version:    %s\n Engine:     Tug (%s)\n", version == NULL ? "unknown" : version,
           args->cli->socket[0] != '\0' ? args->cli->socket : args->cli->base_url);
    return true;
}

const struct command command_version = {
    .name = "version",
    .args = "",
    .min_args = 0,
    .max_args = 0,
    .summary = "Show the version of tug and of the daemon",
    .route = "GET /version",
    .group = "The daemon",
    .daemon = DAEMON_RUNNING,
    .differs = "Engine names Tug and the address at which its daemon answers.",
    .run = version_run,
};
