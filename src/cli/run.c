/* cli/run.c: `tug run`: make sure that the model is here, then one answer, or a chat. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "cli/chat_stream.h"
#include "cli/ui/chat.h"
#include "json/json_read.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pipe or a file on stdin is part of the prompt; a terminal or /dev/null is not. */
static bool run_stdin_has_text(void)
{
    struct stat st;
    return fstat(STDIN_FILENO, &st) == 0 && !S_ISCHR(st.st_mode);
}

static bool run_prompt(struct command_args *args, struct buf *prompt, struct err *err)
{
    for (int i = 1; i < args->argc; i++)
        if (!buf_printf(prompt, "%s%s", i > 1 ? " " : "", args->argv[i]))
            return err_set(err, ERR_TOO_LARGE, "the prompt is too long");
    if (command_flag(args, "detach")->b || !run_stdin_has_text())
        return true;
    char piece[65536];
    size_t n;
    bool separated = prompt->len == 0;
    while ((n = fread(piece, 1, sizeof piece, stdin)) > 0) {
        if ((!separated && !buf_add_str(prompt, "\n\n")) || !buf_add(prompt, piece, n))
            return err_set(err, ERR_TOO_LARGE, "the prompt on standard input is above %zu bytes", prompt->max);
        separated = true;
    }
    if (prompt->len == 0)
        return err_set(err, ERR_INVALID, "standard input is empty: give a prompt, or a terminal for a chat");
    return true;
}

static bool run_have_model(struct cli *cli, const char *model, struct err *err)
{
    char path[2048];
    _cleanup_(json_free) json_t *answer = NULL;
    if (!cli_path(path, sizeof path, "/models/", model, ""))
        return err_set(err, ERR_INVALID, "the model's name is too long");
    if (cli_json(cli, "GET", path, NULL, &answer, err))
        return true;
    if (err->code != ERR_NOT_FOUND)
        return false;
    fprintf(stderr, "Unable to find model '%s' locally. Pulling from the server.\n", model);
    *err = ERR_INIT;
    return cli_pull(cli, model, stderr, err);
}

static void run_text(void *ctx, enum chat_piece kind, const char *text) { chat_show(ctx, kind, text); }

static bool run_once(struct cli *cli, const char *model, const char *prompt, struct err *err)
{
    _cleanup_(buf_done) struct buf answer = BUF_INIT(LIMIT_REQUEST_BODY_BYTES);
    struct chat_view view = {.thinking = false};
    json_t *messages = json_pack("[{s:s, s:s}]", "role", "user", "content", prompt);
    if (messages == NULL)
        return err_set(err, ERR_INVALID, "the prompt is not valid UTF-8 text");
    struct chat_ask ask = {.model = model, .messages = messages, .on_text = run_text, .ctx = &view};
    bool ok = cli_catch_interrupt(cli, err) && chat_stream(cli, &ask, &answer, err);
    if (answer.len > 0)
        putchar('\n');
    json_decref(messages);
    return ok;
}

static bool run_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    struct cli *cli = args->cli;
    const char *model = args->argv[0];
    _cleanup_(buf_done) struct buf prompt = BUF_INIT(LIMIT_REQUEST_BODY_BYTES / 2);
    if (!run_prompt(args, &prompt, err) || !run_have_model(cli, model, err))
        return false;
    if (command_flag(args, "detach")->b)
        return chat_preload(cli, model, err);
    if (prompt.len > 0)
        return run_once(cli, model, buf_str(&prompt), err);
    return chat_loop(cli, model, err);
}

static const struct flag run_flags[] = {
    {.name = "detach", .letter = 'd', .kind = FLAG_BOOL, .help = "Only load the model"},
    {0},
};

const struct command command_run = {
    .name = "run",
    .args = "MODEL [PROMPT...]",
    .min_args = 1,
    .max_args = -1,
    .summary = "Chat with a model, or ask it one question",
    .about = "With a PROMPT (or text on standard input) it answers once; without one it is a chat: /help lists what\n"
             "can be done there. A model that is not here is pulled first; a daemon is started if none runs.",
    .example = "tug run ai/smollm2 \"Give me a fact about whales.\"",
    .flags = run_flags,
    .route = "POST /v1/chat/completions",
    .group = "Use models",
    .daemon = DAEMON_START,
    .failure = "Failed to generate a response",
    .run = run_run,
};
