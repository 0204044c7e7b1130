/* cli/docs_man.c: `tug __docs man DIR`: tug.1 and tug-COMMAND.1 from the command rows, in the man(7) macros. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "platform/file.h"

#include <stdio.h>
#include <string.h>

/* The pages say nothing that changes by the day: the day of the version they belong to. */
#define MAN_DATE "2026-11-24"

enum { MAN_BYTES_MAX = 256 * 1024 };

/* Text as it is: no macros at the start of a line, no hyphens where a dash was typed. */
static void man_text(struct buf *b, const char *text)
{
    bool start = true;
    for (const char *c = text; *c != '\0'; c++) {
        if (start && (*c == '.' || *c == '\''))
            buf_add_str(b, "\\&");
        if (*c == '\\')
            buf_add_str(b, "\\e");
        else if (*c == '-')
            buf_add_str(b, "\\-");
        else
            buf_add_char(b, *c);
        start = *c == '\n';
    }
}

/* A line that has been laid out by hand (indented, or with a gap) begins a new one; the others are filled. */
static void man_about(struct buf *b, const char *about)
{
    for (const char *at = about; *at != '\0';) {
        char line[1024];
        size_t n = strcspn(at, "\n");
        text_format(line, sizeof line, "%.*s", (int)n, at);
        if (n == 0) {
            buf_add_str(b, ".PP\n");
        } else {
            bool laid_out = line[0] == ' ' || strstr(line, "  ") != NULL;
            if (laid_out && at != about)
                buf_add_str(b, ".br\n");
            man_text(b, line + strspn(line, " "));
            buf_add_char(b, '\n');
        }
        at += n + (at[n] == '\n');
    }
}

static void man_flags(struct buf *b, const struct command *c)
{
    for (const struct flag *f = c->flags; f->name != NULL; f++) {
        if (f->hidden)
            continue;
        buf_add_str(b, ".TP\n");
        if (f->letter != 0)
            buf_printf(b, "\\fB\\-%c\\fR, ", f->letter);
        buf_add_str(b, "\\fB\\-\\-");
        man_text(b, f->name);
        buf_add_str(b, "\\fR");
        if (f->arg != NULL || f->choices != NULL) {
            buf_add_str(b, " \\fI");
            man_text(b, f->arg != NULL ? f->arg : "VALUE");
            buf_add_str(b, "\\fR");
        }
        buf_add_char(b, '\n');
        man_text(b, f->help);
        if (f->choices != NULL) {
            buf_add_str(b, " (");
            man_text(b, f->choices);
            buf_add_char(b, ')');
        }
        if (f->value != NULL) {
            buf_add_str(b, " (default ");
            man_text(b, f->value);
            buf_add_char(b, ')');
        }
        buf_add_str(b, ".\n");
    }
}

static void man_synopsis(struct buf *b, const struct command *c, const char *name)
{
    char usage[160];
    help_usage(c, usage, sizeof usage);
    buf_add_str(b, "\\fBtug ");
    man_text(b, name);
    buf_add_str(b, "\\fR");
    man_text(b, usage);
    buf_add_char(b, '\n');
}

static void man_sub(struct buf *b, const struct command *c, const struct command *sub)
{
    char name[COMMAND_NAME_MAX];
    text_format(name, sizeof name, "%s %s", c->name, sub->name);
    buf_add_str(b, ".SS ");
    man_text(b, sub->name);
    buf_add_char(b, '\n');
    man_synopsis(b, sub, name);
    buf_add_str(b, ".PP\n");
    man_text(b, sub->summary);
    buf_add_str(b, ".\n");
    if (sub->about != NULL) {
        buf_add_str(b, ".PP\n");
        man_about(b, sub->about);
    }
    if (sub->flags != NULL)
        man_flags(b, sub);
}

static void man_head(struct buf *b, const char *title, const char *name, const char *summary)
{
    buf_add_str(b, ".\\\" made by `tug __docs man` from the rows in src/cli\n.TH ");
    man_text(b, title);
    buf_printf(b, " 1 \"%s\" \"Tug %s\" \"Tug\"\n.SH NAME\n", MAN_DATE, TUG_VERSION);
    man_text(b, name);
    buf_add_str(b, " \\- ");
    man_text(b, summary);
    buf_add_char(b, '\n');
}

static void man_title(const char *name, char *dst, size_t size)
{
    text_format(dst, size, "TUG-%s", name);
    for (char *c = dst; *c != '\0'; c++)
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
}

static void man_command(struct buf *b, const struct command *c)
{
    char title[COMMAND_NAME_MAX], name[COMMAND_NAME_MAX];
    man_title(c->name, title, sizeof title);
    text_format(name, sizeof name, "tug-%s", c->name);
    man_head(b, title, name, c->summary);
    buf_add_str(b, ".SH SYNOPSIS\n");
    man_synopsis(b, c, c->name);
    if (c->alias != NULL) {
        buf_add_str(b, ".br\n");
        man_synopsis(b, c, c->alias);
    }
    buf_add_str(b, ".SH DESCRIPTION\n");
    man_text(b, c->summary);
    buf_add_str(b, ".\n");
    if (c->about != NULL) {
        buf_add_str(b, ".PP\n");
        man_about(b, c->about);
    }
    if (c->flags != NULL) {
        buf_add_str(b, ".SH OPTIONS\n");
        man_flags(b, c);
    }
    if (c->sub != NULL)
        buf_add_str(b, ".SH COMMANDS\n");
    for (size_t i = 0; c->sub != NULL && c->sub[i] != NULL; i++)
        if (!c->sub[i]->hidden)
            man_sub(b, c, c->sub[i]);
    if (c->example != NULL) {
        buf_add_str(b, ".SH EXAMPLE\n.EX\n");
        man_text(b, c->example);
        buf_add_str(b, "\n.EE\n");
    }
    buf_add_str(b, ".SH EXIT STATUS\n0 on success, 1 on an error, 130 after Ctrl\\-C.\n");
    buf_add_str(b, ".SH SEE ALSO\n.BR tug (1)\n");
}

static void man_overview(struct buf *b)
{
    man_head(b, "TUG", "tug", "run AI models");
    buf_add_str(b, ".SH SYNOPSIS\n\\fBtug\\fR COMMAND\n.br\n\\fBdocker model\\fR COMMAND\n.SH DESCRIPTION\n"
                   "Pull an AI model, run it, talk to it through an OpenAI\\-compatible API.\n"
                   "A daemon is started when none runs.\n.SH COMMANDS\n");
    for (size_t i = 0; command_table[i] != NULL; i++) {
        const struct command *c = command_table[i];
        if (c->hidden)
            continue;
        buf_add_str(b, ".TP\n.BR tug\\-");
        man_text(b, c->name);
        buf_add_str(b, " (1)\n");
        man_text(b, c->summary);
        buf_add_str(b, ".\n");
    }
    buf_add_str(b, ".SH ENVIRONMENT\n"
                   ".TP\n\\fBMODEL_RUNNER_HOST\\fR\nThe daemon's address: http://HOST:PORT or unix:///PATH. It wins "
                   "over the context.\n"
                   ".TP\n\\fBTUG_HOME\\fR\nThe folder of all state.\n"
                   ".TP\n\\fBTUG_API_KEY\\fR\nThe key that a daemon on a network wants.\n"
                   ".TP\n\\fBDOCKER_CONFIG\\fR\nThe folder of Docker's config.json: logins, contexts, plugins.\n"
                   ".SH FILES\n"
                   ".TP\n\\fB~/.local/share/tug\\fR\nModels, sockets, logs, if TUG_HOME names no other folder.\n"
                   ".TP\n\\fB~/.docker/model/contexts.json\\fR\nThe contexts.\n");
}

static bool man_save(const char *dir, const char *name, struct buf *b, struct err *err)
{
    char path[4096];
    bool ok = text_format(path, sizeof path, "%s/%s.1", dir, name) || err_set(err, ERR_INVALID, "the path is too long");
    ok = ok && file_write_atomic(path, buf_str(b), b->len, 0644, err);
    buf_clear(b);
    return ok;
}

int cli_docs_man(const char *dir)
{
    struct err err = ERR_INIT;
    _cleanup_(buf_done) struct buf b = BUF_INIT(MAN_BYTES_MAX);
    bool ok = file_mkdirs(dir, 0755, &err);
    man_overview(&b);
    ok = ok && man_save(dir, "tug", &b, &err);
    for (size_t i = 0; ok && command_table[i] != NULL; i++) {
        char name[COMMAND_NAME_MAX];
        if (command_table[i]->hidden)
            continue;
        text_format(name, sizeof name, "tug-%s", command_table[i]->name);
        man_command(&b, command_table[i]);
        ok = man_save(dir, name, &b, &err);
    }
    if (!ok)
        fprintf(stderr, "%s\n", err.text);
    return ok ? 0 : 1;
}
