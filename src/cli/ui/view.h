/* cli/ui/view: an answer on the terminal as it arrives: reasoning set apart, code in colour where wanted.
 *
 *   struct chat_view view = {.colour = true};
 *   chat_show(&view, CHAT_PIECE_ANSWER, text) for each piece, then chat_show_end(&view)
 *
 * In colour, reasoning is grey italics and what stands between two lines of ``` is cyan; the text itself is not
 * changed: without the colours it reads the same.
 */
#ifndef TUG_CLI_UI_VIEW_H
#define TUG_CLI_UI_VIEW_H

#include "cli/chat_stream.h"

struct chat_view {
    bool colour;
    bool thinking;      /* reasoning is being shown */
    bool in_code;       /* between two fences */
    bool within;        /* past the first characters of a line */
    bool fence;         /* in a fence's own line */
    unsigned backticks; /* at the start of this line, not shown yet */
};

/* Writes one piece to stdout. ctx is a struct chat_view. */
void chat_show(void *ctx, enum chat_piece kind, const char *text);
void chat_show_end(struct chat_view *view);

#endif
