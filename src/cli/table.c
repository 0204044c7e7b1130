/* cli/table.c: all commands, in the order of --help. Each is described in its own file. */
#include "cli/command.h"

#include <stddef.h>

extern const struct command command_run, command_pull, command_push, command_package, command_tag, command_list,
    command_inspect, command_rm, command_prune, command_df, command_ps, command_unload, command_status, command_version,
    command_logs, command_serve, command_completion, command_context;

const struct command *const command_table[] = {
    &command_run,
    &command_pull,
    &command_push,
    &command_package,
    &command_tag,
    &command_list,
    &command_inspect,
    &command_rm,
    &command_prune,
    &command_df,
    &command_ps,
    &command_unload,
    &command_logs,
    &command_serve,
    &command_status,
    &command_version,
    &command_context,
    &command_completion,
    NULL,
};
