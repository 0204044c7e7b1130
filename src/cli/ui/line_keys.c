/* cli/ui/line_keys.c: see line_keys.h. libedit calls these with the terminal in its own mode: whoever else gets the
 * terminal gets it as it was, and libedit takes it back afterwards. */
#include "cli/ui/line_keys.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/process.h"
#include "platform/random.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { KEYS_MESSAGE_MAX = 1 << 20, KEYS_EDITOR_WORDS = 8, KEYS_ID = 10 };

static unsigned char line_on_tab(EditLine *edit, int ch)
{
    (void)ch;
    el_insertstr(edit, "        ");
    return CC_REFRESH;
}

static unsigned char line_on_suspend(EditLine *edit, int ch)
{
    (void)ch;
    struct process self;
    if (!process_open(getpid(), &self, NULL))
        return CC_ERROR;
    el_set(edit, EL_PREP_TERM, 0);
    process_signal(&self, SIGTSTP);
    process_done(&self);
    el_set(edit, EL_PREP_TERM, 1);
    return CC_REDISPLAY;
}

/* "code --wait" are two words; no shell sees them. */
static bool keys_edit(const char *path, struct err *err)
{
    char words[512];
    const char *argv[KEYS_EDITOR_WORDS + 2];
    const char *editor = process_env("EDITOR");
    char *rest = NULL;
    size_t n = 0;
    int status = 0;
    struct process p;
    text_format(words, sizeof words, "%s", editor == NULL ? "vi" : editor);
    for (char *word = strtok_r(words, " ", &rest); word != NULL && n < KEYS_EDITOR_WORDS;
         word = strtok_r(NULL, " ", &rest))
        argv[n++] = word;
    argv[n] = path;
    argv[n + 1] = NULL;
    struct process_spec spec = {.argv = argv, .stdin_fd = STDIN_FILENO, .stdout_fd = -1, .stderr_fd = -1};
    if (n == 0 || !process_spawn(&spec, &p, err))
        return err_while(err, "EDITOR");
    process_wait(&p, CLOCK_FOREVER, &status);
    process_done(&p);
    return status == 0 || err_set(err, ERR_CANCELLED, "%s ended with %d: the message is as it was", argv[0], status);
}

/* Writes the text, lets the person edit it, reads it back. */
static bool keys_edit_text(const char *text, size_t n, struct buf *out, struct err *err)
{
    char path[512], id[KEYS_ID + 1];
    const char *folder = process_env("TMPDIR");
    _cleanup_(file_close) int fd = -1;
    random_id(id, KEYS_ID);
    if (!text_format(path, sizeof path, "%s/tug-message-%s.txt", folder == NULL ? "/tmp" : folder, id))
        return err_set(err, ERR_INVALID, "TMPDIR is too long");
    if (!file_open(path, FILE_CREATE, &fd, err))
        return false;
    bool ok =
        file_write(fd, text, n, path, err) && keys_edit(path, err) && file_read_all(path, KEYS_MESSAGE_MAX, out, err);
    file_remove(path, NULL);
    return ok;
}

static unsigned char line_on_editor(EditLine *edit, int ch)
{
    (void)ch;
    _cleanup_(buf_done) struct buf text = BUF_INIT(KEYS_MESSAGE_MAX);
    const LineInfo *line = el_line(edit);
    size_t n = (size_t)(line->lastchar - line->buffer);
    struct err err = ERR_INIT;
    el_set(edit, EL_PREP_TERM, 0);
    bool ok = keys_edit_text(line->buffer, n, &text, &err);
    el_set(edit, EL_PREP_TERM, 1);
    if (!ok) {
        fprintf(stderr, "\n%s\n", err.text);
        return CC_REDISPLAY;
    }
    while (text.len > 0 && text.data[text.len - 1] == '\n')
        text.data[--text.len] = '\0';
    line = el_line(edit);
    el_cursor(edit, (int)(line->lastchar - line->cursor));
    el_deletestr(edit, (int)n);
    if (text.len > 0)
        el_insertstr(edit, buf_str(&text));
    return CC_REDISPLAY;
}

void line_keys_bind(EditLine *edit)
{
    static const struct {
        const char *key, *name, *help;
        unsigned char (*press)(EditLine *edit, int ch);
    } keys[] = {{"\t", "tug-tab", "eight spaces", line_on_tab},
                {"^Z", "tug-suspend", "suspend", line_on_suspend},
                {"^X", "tug-editor", "write the message in $EDITOR", line_on_editor}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        el_set(edit, EL_ADDFN, keys[i].name, keys[i].help, keys[i].press);
        el_set(edit, EL_BIND, keys[i].key, keys[i].name, NULL);
    }
}
