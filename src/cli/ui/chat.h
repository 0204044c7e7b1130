/* cli/ui/chat: the chat on the terminal: prompt, /commands, the conversation.
 *
 * The whole conversation is sent each time. Ctrl-C while an answer is written stops that answer and
 * drops the turn; at the prompt it clears the line. History: TUG_HOME/history.
 */
#ifndef TUG_CLI_UI_CHAT_H
#define TUG_CLI_UI_CHAT_H

#include "cli/cli.h"
#include "cli/ui/view.h"

bool chat_loop(struct cli *cli, const char *model, bool colour, struct err *err);

#endif
