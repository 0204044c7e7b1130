/* cli/configure: a model's own settings, as the daemon keeps them: what `configure`, `compose up` and the chat's
 * /set num_ctx send. */
#ifndef TUG_CLI_CONFIGURE_H
#define TUG_CLI_CONFIGURE_H

#include "cli/cli.h"

/* The model that `settings` is about has these members besides; only those that were given, since what is absent stays
 * as it is. Warnings of the daemon go to stderr. */
bool cli_configure(struct cli *cli, const json_t *settings, struct err *err);
/* Adds "speculative" when one of the three was given. */
void cli_speculative(json_t *settings, const struct flag_value *draft, const struct flag_value *tokens,
                     const struct flag_value *acceptance);

#endif
