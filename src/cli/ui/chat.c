/* cli/ui/chat.c: see chat.h. Commands are rows of chat_commands. */
#include "cli/ui/chat.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "cli/ui/line.h"
#include "json/json_read.h"

#include <stdio.h>
#include <string.h>

struct chat {
    struct cli *cli;
    const char *model;
    char *system;    /* NULL: none */
    json_t *turns;   /* messages after the system message */
    json_t *options; /* what /set has changed */
    bool leave;
};

void chat_show(void *ctx, enum chat_piece kind, const char *text)
{
    struct chat_view *view = ctx;
    if (kind == CHAT_PIECE_REASONING && !view->thinking)
        fputs("Thinking:\n", stdout);
    if (kind == CHAT_PIECE_ANSWER && view->thinking)
        fputs("\n\n--\n\n", stdout);
    view->thinking = kind == CHAT_PIECE_REASONING;
    fputs(text, stdout);
    fflush(stdout);
}

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

static void chat_command_set(struct chat *c, const char *rest)
{
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
        fprintf(stderr,
                "num_ctx is fixed when the model is loaded: 'tug serve --context-size N', then 'tug unload %s'\n",
                c->model);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(chat_settings); i++) {
        if (strcmp(name, chat_settings[i].name) == 0) {
            chat_set_number(c, &chat_settings[i], value);
            return;
        }
    }
    fprintf(stderr, "/set knows: system TEXT");
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
    {"/help", "/?", "", "this list", chat_command_help},
    {"/set", NULL, "NAME VALUE", "system TEXT, temperature, top_p, top_k, seed, num_predict", chat_command_set},
    {"/show", NULL, "", "what is set", chat_command_show},
    {"/clear", NULL, "", "forget the conversation, keep the settings", chat_command_clear},
};

static void chat_command_help(struct chat *c, const char *rest)
{
    (void)c;
    (void)rest;
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
    struct chat_view view = {.thinking = false};
    _cleanup_(buf_done) struct buf answer = BUF_INIT(LIMIT_REQUEST_BODY_BYTES);
    json_t *question = json_pack("{s:s, s:s}", "role", "user", "content", text);
    if (question == NULL) {
        fprintf(stderr, "That is not valid UTF-8 text.\n");
        return true;
    }
    json_array_append_new(c->turns, question);
    json_t *messages = chat_messages(c);
    struct chat_ask ask = {
        .model = c->model, .messages = messages, .options = c->options, .on_text = chat_show, .ctx = &view};
    struct err why = ERR_INIT;
    if (!cli_catch_interrupt(c->cli, err)) {
        json_decref(messages);
        return false;
    }
    bool ok = chat_stream(c->cli, &ask, &answer, &why);
    json_decref(messages);
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
        if (line[skip] == '/' && strchr(line, '\n') == NULL)
            chat_command(c, line + skip);
        else if (!chat_turn(c, line, err))
            return false;
    }
    return true;
}

bool chat_loop(struct cli *cli, const char *model, struct err *err)
{
    struct line_editor *editor = NULL;
    char history[4096];
    text_format(history, sizeof history, "%s/history", cli->home);
    if (!chat_preload(cli, model, err))
        return false;
    struct chat c = {.cli = cli, .model = model, .turns = json_array(), .options = json_object()};
    line_open(history, &editor);
    if (line_is_terminal(editor))
        fprintf(stderr, "Send a message (/? for help)\n");
    bool ok = chat_read_turns(&c, editor, err);
    line_close(&editor);
    json_decref(c.turns);
    json_decref(c.options);
    free(c.system);
    return ok;
}
