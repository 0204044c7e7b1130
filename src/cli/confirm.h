/* cli/confirm: a question before something is lost. Only `y` or `Y` at the start of a line goes on. */
#ifndef TUG_CLI_CONFIRM_H
#define TUG_CLI_CONFIRM_H

#include <stdbool.h>

bool cli_confirm(const char *warning);

#endif
