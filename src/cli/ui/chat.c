/* cli/ui/chat.c: see chat.h. Commands are rows of chat_commands. */
#include "cli/ui/chat.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "cli/configure.h"
#include "cli/ui/attach.h"
#include "cli/ui/line.h"
#include "cli/ui/preload.h"
#include "json/json_read.h"

#include <stdio.h>
#include <string.h>

struct chat {
    struct cli *cli;
    const char *model;
    char *system;    /* NULL: none */
    json_t *turns;   /* messages after the system message */
    json_t *options; /* what /set has changed */
    bool colour;
    bool leave;
};

/* ---- /set: one row per parameter ---- */

static const struct chat_setting {
    const char *name, *field; /* OpenAI's */
    bool whole;
    const char *help;
} chat_settings[] = {
    {"temperature", "temperature", false, "0 is always the same answer, 2 is wild"},
    {"top_p", "top_p", false, "only the likeliest tokens that make up this share"},
    {"top_k", "top_k", true, "only the k likeliest tokens"},
    {"seed", "seed", true, "the same seed, the same answer"},
    {"num_predict", "max_tokens", true, "at most so many tokens of answer"},
};

static void chat_set_number(struct chat *c, const struct chat_setting *row, const char *value)
{
    double number = 0;
    int64_t whole = 0;
    if (row->whole ? !text_to_i64(value, &whole) : !text_to_double(value, &number)) {
        fprintf(stderr, "Invalid value for %s: %s (must be a %s)\n", row->name, value,
                row->whole ? "whole number" : "number");
        return;
    }
    json_object_set_new(c->options, row->field, row->whole ? json_integer(whole) : json_real(number));
    fprintf(stderr, "Set %s to %s\n", row->name, value);
}

/* The one setting that is the model's, not the conversation's. */
static void chat_set_context(struct chat *c, const char *value)
{
    int64_t n = 0;
    struct err why = ERR_INIT;
    if (!text_to_i64(value, &n) || n <= 0 || n > INT32_MAX) {
        fprintf(stderr, "Invalid value for num_ctx: %s (must be a positive integer)\n", value);
        return;
    }
    if (c->cli->external) {
        fprintf(stderr, "num_ctx is set where the model is loaded; --openaiurl's API has no way for it\n");
        return;
    }
    json_t *settings = json_pack("{s:s, s:I}", "model", c->model, "context-size", (json_int_t)n);
    if (cli_configure(c->cli, settings, &why))
        fprintf(stderr, "Set num_ctx to %s\n", value);
    else
        fprintf(stderr, "Failed to set num_ctx: %s\n", why.text);
    json_decref(settings);
}

static void chat_command_set(struct chat *c, const char *rest)
{
    if (text_starts(rest, "parameter ")) /* how it was written earlier */
        rest += strlen("parameter ") + strspn(rest + strlen("parameter "), " ");
    char name[32];
    size_t n = strcspn(rest, " ");
    const char *value = rest + n + strspn(rest + n, " ");
    text_format(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), rest);
    if (strcmp(name, "system") == 0) {
        free(c->system);
        c->system = value[0] == '\0' ? NULL : check_alloc(strdup(value));
        fprintf(stderr, value[0] == '\0' ? "Cleared system message.\n" : "Set system message.\n");
        return;
    }
    if (strcmp(name, "num_ctx") == 0) {
        chat_set_context(c, value);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(chat_settings); i++) {
        if (strcmp(name, chat_settings[i].name) == 0) {
            chat_set_number(c, &chat_settings[i], value);
            return;
        }
    }
    fprintf(stderr, "/set knows: system TEXT, num_ctx");
    for (size_t i = 0; i < ARRAY_LEN(chat_settings); i++)
        fprintf(stderr, ", %s", chat_settings[i].name);
    fprintf(stderr, "\n");
}

static void chat_command_show(struct chat *c, const char *rest)
{
    (void)rest;
    _cleanup_free_ char *options = json_dumps(c->options, JSON_COMPACT);
    fprintf(stderr, "model    %s\nsystem   %s\noptions  %s\nturns    %zu messages\n", c->model,
            c->system == NULL ? "(none)" : c->system, options, json_array_size(c->turns));
}

static void chat_command_clear(struct chat *c, const char *rest)
{
    (void)rest;
    json_array_clear(c->turns);
    fprintf(stderr, "Cleared the conversation.\n");
}

static void chat_command_bye(struct chat *c, const char *rest)
{
    (void)rest;
    c->leave = true;
}

static void chat_command_help(struct chat *c, const char *rest);

static const struct chat_command {
    const char *name, *alias, *args, *help;
    void (*run)(struct chat *c, const char *rest);
} chat_commands[] = {
    {"/bye", "/exit", "", "leave (or Ctrl-D)", chat_command_bye},
    {"/help", "/?", "[TOPIC]", "this list; topics: set, shortcuts, files", chat_command_help},
    {"/set", NULL, "NAME VALUE", "system, num_ctx, temperature, top_p, … (/help set)", chat_command_set},
    {"/show", NULL, "", "what is set", chat_command_show},
    {"/clear", NULL, "", "forget the conversation, keep the settings", chat_command_clear},
};

static void chat_help_set(void)
{
    fprintf(stderr, "  /set system TEXT         what the model is told before all; empty: nothing\n"
                    "  /set num_ctx N           the model's context size, kept with the model\n");
    for (size_t i = 0; i < ARRAY_LEN(chat_settings); i++)
        fprintf(stderr, "  /set %-19s %s\n", chat_settings[i].name, chat_settings[i].help);
}

static void chat_help_shortcuts(void)
{
    fprintf(stderr, "  Ctrl-A, Ctrl-E           begin, end of the line\n"
                    "  Alt-B, Alt-F             a word back, forward\n"
                    "  Ctrl-K, Ctrl-U, Ctrl-W   cut to the end, to the beginning, the word before\n"
                    "  Ctrl-P, Ctrl-N, Ctrl-R   the line before, after, search\n"
                    "  Ctrl-L                   clear the screen\n"
                    "  Ctrl-X                   write the message in $EDITOR\n"
                    "  Ctrl-Z                   suspend\n"
                    "  Ctrl-C                   stop the answer, or clear the line\n"
                    "  Ctrl-D                   leave\n");
}

static void chat_help_files(void)
{
    fprintf(stderr, "  @notes.txt, @\"a b.txt\"   the text of the file, in its place\n"
                    "  ./cat.png, /tmp/a.jpg    a picture (.jpg .jpeg .png .webp), for models that see\n");
}

static void chat_command_help(struct chat *c, const char *rest)
{
    (void)c;
    static const struct {
        const char *name;
        void (*print)(void);
    } topics[] = {{"set", chat_help_set}, {"shortcuts", chat_help_shortcuts}, {"files", chat_help_files}};
    for (size_t i = 0; i < ARRAY_LEN(topics); i++) {
        if (strcmp(rest, topics[i].name) == 0) {
            topics[i].print();
            return;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(chat_commands); i++) {
        const struct chat_command *row = &chat_commands[i];
        fprintf(stderr, "  %-6s %-6s %-11s %s\n", row->name, row->alias == NULL ? "" : row->alias, row->args,
                row->help);
    }
    fprintf(stderr, "  \"\"\"                       begin and end a message of several lines\n"
                    "  Ctrl-C                    stop the answer, or clear the line\n");
}

static void chat_command(struct chat *c, const char *line)
{
    size_t n = strcspn(line, " ");
    for (size_t i = 0; i < ARRAY_LEN(chat_commands); i++) {
        const struct chat_command *row = &chat_commands[i];
        bool named = strlen(row->name) == n && strncmp(line, row->name, n) == 0;
        bool aliased = row->alias != NULL && strlen(row->alias) == n && strncmp(line, row->alias, n) == 0;
        if (named || aliased) {
            row->run(c, line + n + strspn(line + n, " "));
            return;
        }
    }
    fprintf(stderr, "Unknown command '%.*s'. Type /? for help\n", (int)n, line);
}

/* ---- a turn ---- */

static json_t *chat_messages(const struct chat *c)
{
    json_t *all = json_array();
    if (c->system != NULL)
        json_array_append_new(all, json_pack("{s:s, s:s}", "role", "system", "content", c->system));
    json_array_extend(all, c->turns);
    return all;
}

/* A turn that fails or is stopped leaves the conversation as it was; the error has been shown. */
static bool chat_turn(struct chat *c, const char *text, struct err *err)
{
    struct chat_view view = {.colour = c->colour};
    _cleanup_(buf_done) struct buf answer = BUF_INIT(LIMIT_REQUEST_BODY_BYTES);
    struct err why = ERR_INIT;
    json_t *content = NULL;
    if (!attach_content(text, &content, &why)) {
        fprintf(stderr, "%s\n", why.text);
        return true;
    }
    json_array_append_new(c->turns, json_pack("{s:s, s:o}", "role", "user", "content", content));
    json_t *messages = chat_messages(c);
    struct chat_ask ask = {
        .model = c->model, .messages = messages, .options = c->options, .on_text = chat_show, .ctx = &view};
    if (!cli_catch_interrupt(c->cli, err)) {
        json_decref(messages);
        return false;
    }
    bool ok = chat_stream(c->cli, &ask, &answer, &why);
    json_decref(messages);
    chat_show_end(&view);
    printf(answer.len > 0 ? "\n\n" : "\n");
    if (ok) {
        json_array_append_new(c->turns, json_pack("{s:s, s:s}", "role", "assistant", "content", buf_str(&answer)));
        return true;
    }
    json_array_remove(c->turns, json_array_size(c->turns) - 1);
    if (why.code != ERR_CANCELLED)
        fprintf(stderr, "%s\n", why.text);
    return true;
}

/* A message between two """ may have any number of lines; NULL: the input ended. */
static char *chat_multiline(struct line_editor *editor, const char *first)
{
    struct buf text = BUF_INIT(LIMIT_REQUEST_BODY_BYTES / 2);
    _cleanup_free_ char *line = check_alloc(strdup(first + 3));
    for (;;) {
        size_t n = strlen(line);
        bool end = n >= 3 && strcmp(line + n - 3, "\"\"\"") == 0;
        if (!buf_add(&text, line, end ? n - 3 : n))
            end = true;
        if (end)
            return buf_take(&text);
        buf_add_char(&text, '\n');
        free(line);
        line = line_read(editor, ". ");
        if (line == NULL) {
            buf_done(&text);
            return NULL;
        }
    }
}

/* "/help", not "/home/me/cat.png what is this?" */
static bool chat_is_command(const char *line)
{
    return line[0] == '/' && memchr(line + 1, '/', strcspn(line + 1, " \n")) == NULL && strchr(line, '\n') == NULL;
}

static bool chat_read_turns(struct chat *c, struct line_editor *editor, struct err *err)
{
    while (!c->leave) {
        _cleanup_free_ char *line = line_read(editor, "> ");
        if (line == NULL)
            break;
        if (text_starts(line, "\"\"\"")) {
            char *whole = chat_multiline(editor, line);
            free(line);
            line = whole;
        }
        if (line == NULL)
            break;
        size_t skip = strspn(line, " \t\n");
        if (line[skip] == '\0')
            continue;
        if (chat_is_command(line + skip))
            chat_command(c, line + skip);
        else if (!chat_turn(c, line, err))
            return false;
    }
    return true;
}

bool chat_loop(struct cli *cli, const char *model, bool colour, struct err *err)
{
    struct line_editor *editor = NULL;
    struct preload *preload = NULL;
    char history[4096];
    text_format(history, sizeof history, "%s/history", cli->home);
    if (!cli_catch_interrupt(cli, err))
        return false;
    struct chat c = {.cli = cli, .model = model, .turns = json_array(), .options = json_object(), .colour = colour};
    if (!cli->external)
        preload_start(cli, model, &preload);
    line_open(history, &editor);
    if (line_is_terminal(editor))
        fprintf(stderr, "Send a message (/? for help)\n");
    bool ok = chat_read_turns(&c, editor, err);
    line_close(&editor);
    preload_end(&preload);
    json_decref(c.turns);
    json_decref(c.options);
    free(c.system);
    return ok;
}
