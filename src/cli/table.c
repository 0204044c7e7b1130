/* cli/table.c: all commands, in the order of --help. Each is described in its own file. */
#include "cli/command.h"

#include <stddef.h>

/* clang-format off */
/* One a line: neighbours in the table are added by different hands. */
#define COMMANDS(X) \
    X(run) \
    X(pull) \
    X(push) \
    X(package) \
    X(tag) \
    X(search) \
    X(list) \
    X(inspect) \
    X(show) \
    X(configure) \
    X(rm) \
    X(prune) \
    X(purge) \
    X(df) \
    X(ps) \
    X(unload) \
    X(logs) \
    X(requests) \
    X(bench) \
    X(launch) \
    X(skills) \
    X(gateway) \
    X(serve) \
    X(config) \
    X(install_runner) \
    X(start_runner) \
    X(stop_runner) \
    X(restart_runner) \
    X(reinstall_runner) \
    X(uninstall_runner) \
    X(status) \
    X(version) \
    X(context) \
    X(plugin) \
    X(completion) \
    X(compose)
/* clang-format on */

#define COMMAND_DECLARE(name) extern const struct command command_##name;
COMMANDS(COMMAND_DECLARE)

#define COMMAND_ROW(name) &command_##name,
const struct command *const command_table[] = {COMMANDS(COMMAND_ROW) NULL};
