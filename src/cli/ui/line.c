/* cli/ui/line.c: see line.h. */
#include "cli/ui/line.h"

#include "cli/ui/line_keys.h"

#include "base/buf.h"
#include "base/check.h"
#include "platform/file.h"
#include "platform/process.h"
#include "platform/terminal.h"

#include <histedit.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_HISTORY = 100, LINE_MAX_BYTES = 1 << 20 };
#define PASTE_ON  "\x1b[?2004h"
#define PASTE_OFF "\x1b[?2004l"
#define PASTE_END "\x1b[201~"

struct line_editor {
    EditLine *edit; /* NULL: not a terminal */
    History *history;
    char *history_path; /* NULL: none is kept */
    const char *prompt;
    bool interrupted;
};

static char *line_prompt(EditLine *edit)
{
    struct line_editor *e = NULL;
    el_get(edit, EL_CLIENTDATA, &e);
    return (char *)(uintptr_t)e->prompt;
}

static unsigned char line_on_interrupt(EditLine *edit, int ch)
{
    (void)ch;
    struct line_editor *e = NULL;
    el_get(edit, EL_CLIENTDATA, &e);
    e->interrupted = true;
    return CC_NEWLINE;
}

/* Between the terminal's paste marks everything is text, newlines too: nothing is sent half-way. */
static unsigned char line_on_paste(EditLine *edit, int ch)
{
    (void)ch;
    struct buf text = BUF_INIT(LINE_MAX_BYTES);
    char c;
    while (el_getc(edit, &c) == 1) {
        if (!buf_add_char(&text, c == '\r' ? '\n' : c))
            break;
        size_t end = sizeof PASTE_END - 1;
        if (text.len >= end && memcmp(text.data + text.len - end, PASTE_END, end) == 0) {
            text.len -= end;
            text.data[text.len] = '\0';
            break;
        }
    }
    el_insertstr(edit, buf_str(&text));
    buf_done(&text);
    return CC_REFRESH;
}

static void line_open_edit(struct line_editor *e)
{
    e->edit = el_init("tug", stdin, stdout, stderr);
    if (e->edit == NULL)
        return;
    el_set(e->edit, EL_CLIENTDATA, e);
    el_set(e->edit, EL_PROMPT, line_prompt);
    el_set(e->edit, EL_EDITOR, "emacs");
    el_set(e->edit, EL_ADDFN, "tug-interrupt", "clear the line", line_on_interrupt);
    el_set(e->edit, EL_ADDFN, "tug-paste", "insert pasted text", line_on_paste);
    el_set(e->edit, EL_BIND, "^C", "tug-interrupt", NULL);
    el_set(e->edit, EL_BIND, "\x1b[200~", "tug-paste", NULL);
    line_keys_bind(e->edit);
    el_set(e->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(e->edit, EL_SETTY, "-d", "-isig", NULL); /* Ctrl-C is a key while a line is edited */
    e->history = history_init();
    CHECK(e->history != NULL);
    HistEvent ev;
    history(e->history, &ev, H_SETSIZE, LINE_HISTORY);
    history(e->history, &ev, H_SETUNIQUE, 1);
    el_set(e->edit, EL_HIST, history, e->history);
    if (e->history_path != NULL)
        history(e->history, &ev, H_LOAD, e->history_path);
}

void line_open(const char *history_path, struct line_editor **ret_editor)
{
    struct line_editor *e = check_alloc(calloc(1, sizeof *e));
    if (process_env("DOCKER_MODEL_NOHISTORY") == NULL)
        e->history_path = check_alloc(strdup(history_path));
    if (terminal_is(STDIN_FILENO) && terminal_is(STDOUT_FILENO))
        line_open_edit(e);
    *ret_editor = e;
}

void line_close(struct line_editor **editor)
{
    struct line_editor *e = *editor;
    if (e == NULL)
        return;
    HistEvent ev;
    if (e->history != NULL) {
        if (e->history_path != NULL)
            history(e->history, &ev, H_SAVE, e->history_path);
        history_end(e->history);
    }
    if (e->edit != NULL)
        el_end(e->edit);
    free(e->history_path);
    free(e);
    *editor = NULL;
}

bool line_is_terminal(const struct line_editor *editor) { return editor->edit != NULL; }

static char *line_plain(const char *prompt)
{
    char *line = NULL;
    size_t cap = 0;
    if (terminal_is(STDIN_FILENO)) {
        fputs(prompt, stdout);
        fflush(stdout);
    }
    ssize_t n = getline(&line, &cap, stdin);
    if (n < 0) {
        free(line);
        return NULL;
    }
    if (n > 0 && line[n - 1] == '\n')
        line[n - 1] = '\0';
    return line;
}

char *line_read(struct line_editor *e, const char *prompt)
{
    if (e->edit == NULL)
        return line_plain(prompt);
    HistEvent ev;
    int n = 0;
    e->prompt = prompt;
    e->interrupted = false;
    fputs(PASTE_ON, stdout);
    fflush(stdout);
    const char *got = el_gets(e->edit, &n);
    fputs(PASTE_OFF, stdout);
    if (e->interrupted) {
        fputs("\nUse Ctrl + d or /bye to exit.\n", stdout);
        fflush(stdout);
        return check_alloc(calloc(1, 1));
    }
    fflush(stdout);
    if (got == NULL || n <= 0) {
        fputc('\n', stdout);
        return NULL;
    }
    size_t len = (size_t)n;
    if (got[len - 1] == '\n')
        len--;
    char *line = check_alloc(strndup(got, len));
    if (line[0] != '\0')
        history(e->history, &ev, H_ENTER, line);
    return line;
}
