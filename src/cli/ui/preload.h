/* cli/ui/preload: a model loaded in the background, while its user is still typing. What goes wrong is said on stderr.
 * Owner: one thread, which ends it; ending stops a load that nobody waits for. */
#ifndef TUG_CLI_UI_PRELOAD_H
#define TUG_CLI_UI_PRELOAD_H

#include "cli/cli.h"

struct preload;

void preload_start(const struct cli *cli, const char *model, struct preload **ret_preload);
void preload_end(struct preload **preload); /* accepts NULL */

#endif
