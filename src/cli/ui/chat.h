/* cli/ui/chat: the chat on the terminal: prompt, /commands, the conversation.
 *
 * The whole conversation is sent each time. Ctrl-C while an answer is written stops that answer and
 * drops the turn; at the prompt it clears the line. History: TUG_HOME/history.
 */
#ifndef TUG_CLI_UI_CHAT_H
#define TUG_CLI_UI_CHAT_H

#include "cli/chat_stream.h"
#include "cli/cli.h"

struct chat_view {
    bool thinking; /* reasoning is being shown */
};

/* Writes one piece to stdout, reasoning set apart. ctx is a struct chat_view. */
void chat_show(void *ctx, enum chat_piece kind, const char *text);
bool chat_loop(struct cli *cli, const char *model, struct err *err);

#endif
