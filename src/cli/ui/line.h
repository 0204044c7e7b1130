/* cli/ui/line: one line from a person: editing, history and pasting by libedit on a terminal, plain
 * reading elsewhere. Ctrl-C at the prompt clears the line and prints a hint; Ctrl-D ends. One thread. */
#ifndef TUG_CLI_UI_LINE_H
#define TUG_CLI_UI_LINE_H

#include <stdbool.h>

struct line_editor;

/* history: a file, made when missing; DOCKER_MODEL_NOHISTORY keeps it off. */
void line_open(const char *history, struct line_editor **ret_editor);
void line_close(struct line_editor **editor); /* saves the history */
bool line_is_terminal(const struct line_editor *editor);
/* malloc'd, without the newline at its end; may hold newlines when text was pasted. NULL: the end. */
char *line_read(struct line_editor *editor, const char *prompt);

#endif
