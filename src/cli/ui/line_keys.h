/* cli/ui/line_keys: keys of the line editor that need the system: Ctrl-X writes the message in $EDITOR (vi), Ctrl-Z
 * suspends, Tab is eight spaces. Inside of cli/ui/ only. */
#ifndef TUG_CLI_UI_LINE_KEYS_H
#define TUG_CLI_UI_LINE_KEYS_H

#include <histedit.h>

void line_keys_bind(EditLine *edit);

#endif
