/* cli/run.c: `tug run`: make sure that the model is here, then one answer, or a chat. Facts: dmr.md 1.5. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "cli/chat_stream.h"
#include "cli/ui/attach.h"
#include "cli/ui/chat.h"
#include "platform/terminal.h"
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

static bool run_typed(const struct command_args *args, struct buf *prompt, struct err *err)
{
    for (int i = 1; i < args->argc; i++)
        if (!buf_printf(prompt, "%s%s", i > 1 ? " " : "", args->argv[i]))
            return err_set(err, ERR_TOO_LARGE, "the prompt is too long");
    return true;
}

static bool run_piped(struct buf *piped, struct err *err)
{
    char piece[65536];
    size_t n;
    while ((n = fread(piece, 1, sizeof piece, stdin)) > 0)
        if (!buf_add(piped, piece, n))
            return err_set(err, ERR_TOO_LARGE, "the prompt on standard input is above %zu bytes", piped->max);
    return true;
}

/* What was typed may name files; what came through a pipe is text and nothing else. */
static bool run_content(const char *typed, const char *piped, json_t **ret_content, struct err *err)
{
    json_t *content = NULL;
    if (!attach_content(typed, &content, err))
        return false;
    json_t *words = json_is_array(content)
                        ? json_object_get(json_array_get(content, json_array_size(content) - 1), "text")
                        : content;
    _cleanup_free_ char *all = NULL;
    if (asprintf(&all, "%s%s%s", json_string_value(words), typed[0] != '\0' && piped[0] != '\0' ? "\n\n" : "", piped) <
        0) {
        json_decref(content);
        return err_set(err, ERR_INTERNAL, "no memory for the prompt");
    }
    if (json_string_set(words, all) != 0) {
        json_decref(content);
        return err_set(err, ERR_INVALID, "the prompt is not valid UTF-8 text");
    }
    *ret_content = content;
    return true;
}

static bool run_once(struct cli *cli, const char *model, json_t *content, bool colour, struct err *err)
{
    _cleanup_(buf_done) struct buf answer = BUF_INIT(LIMIT_REQUEST_BODY_BYTES);
    struct chat_view view = {.colour = colour};
    json_t *messages = json_pack("[{s:s, s:O}]", "role", "user", "content", content);
    struct chat_ask ask = {.model = model, .messages = messages, .on_text = chat_show, .ctx = &view};
    bool ok = cli_catch_interrupt(cli, err) && chat_stream(cli, &ask, &answer, err);
    chat_show_end(&view);
    if (answer.len > 0)
        putchar('\n');
    json_decref(messages);
    return ok;
}

/* ---- flags ------------------------------------------------------------------------------------------ */

static bool run_colour(const struct command_args *args, bool *ret_colour, struct err *err)
{
    const char *word = command_flag(args, "color")->s;
    if (strcmp(word, "auto") != 0 && strcmp(word, "yes") != 0 && strcmp(word, "no") != 0)
        return err_set(err, ERR_INVALID, "--color must be one of: auto, yes, no (got \"%s\")", word);
    *ret_colour = strcmp(word, "yes") == 0 || (strcmp(word, "auto") == 0 && terminal_is(STDOUT_FILENO));
    return true;
}

static bool run_refuse(const struct command_args *args, struct err *err)
{
    if (command_flag(args, "detach")->b && command_flag(args, "openaiurl")->set)
        return err_set(err, ERR_INVALID, "--detach flag cannot be used with --openaiurl flag");
    if (command_flag(args, "websearch")->b)
        return err_set(err, ERR_INVALID,
                       "--websearch is not part of Tug: it would send what you ask to a search company; give the model "
                       "what it should know with @FILE or on standard input");
    if (text_starts(args->argv[0], "nvcr.io/nim/"))
        return err_set(err, ERR_INVALID,
                       "NVIDIA NIM containers are not part of Tug: start %s with 'docker run', then ask it with "
                       "--openaiurl",
                       args->argv[0]);
    return true;
}

static bool run_reach(const struct command_args *args, struct err *err)
{
    struct cli *cli = args->cli;
    const struct flag_value *url = command_flag(args, "openaiurl");
    if (url->set)
        return cli_external(cli, url->s, err);
    return cli_ready(cli, DAEMON_START, err) && cli_have_model(cli, args->argv[0], stderr, err);
}

struct run_prompt {
    struct buf typed, piped;
    json_t *content; /* NULL: none was given, it is a chat */
};

static void run_prompt_done(struct run_prompt *p)
{
    buf_done(&p->typed);
    buf_done(&p->piped);
    json_free(&p->content);
}

static bool run_prompt_read(const struct command_args *args, struct run_prompt *p, struct err *err)
{
    bool pipe = !command_flag(args, "detach")->b && run_stdin_has_text();
    if (!run_typed(args, &p->typed, err) || (pipe && !run_piped(&p->piped, err)))
        return false;
    if (p->typed.len == 0 && p->piped.len == 0)
        return !pipe || err_set(err, ERR_INVALID, "standard input is empty: give a prompt, or a terminal for a chat");
    return run_content(buf_str(&p->typed), buf_str(&p->piped), &p->content, err);
}

static void run_debug(const struct command_args *args, const struct run_prompt *p)
{
    if (!command_flag(args, "debug")->b)
        return;
    fprintf(stderr, "Running model %s%s%s\n", args->argv[0], p->content != NULL ? " with prompt " : "",
            buf_str(&p->typed));
}

static bool run_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    struct cli *cli = args->cli;
    const char *model = args->argv[0];
    bool colour = false;
    _cleanup_(run_prompt_done) struct run_prompt prompt = {.typed = BUF_INIT(LIMIT_REQUEST_BODY_BYTES / 2),
                                                           .piped = BUF_INIT(LIMIT_REQUEST_BODY_BYTES / 2)};
    if (!run_colour(args, &colour, err) || !run_refuse(args, err) || !run_prompt_read(args, &prompt, err))
        return false;
    run_debug(args, &prompt);
    if (!run_reach(args, err))
        return false;
    if (command_flag(args, "detach")->b)
        return chat_preload(cli, model, err);
    if (prompt.content == NULL)
        return chat_loop(cli, model, colour, err);
    return run_once(cli, model, prompt.content, colour, err);
}

static const struct flag run_flags[] = {
    {.name = "color",
     .kind = FLAG_STRING,
     .arg = "WHEN",
     .value = "no",
     .help = "Code and reasoning in colour: auto, yes or no"},
    {.name = "debug", .kind = FLAG_BOOL, .help = "Say first what is run"},
    {.name = "detach", .letter = 'd', .kind = FLAG_BOOL, .help = "Only load the model"},
    {.name = "openaiurl",
     .kind = FLAG_STRING,
     .arg = "URL",
     .help = "Ask this OpenAI-compatible API instead; its key is OPENAI_API_KEY"},
    {.name = "websearch", .kind = FLAG_BOOL, .help = "Not part of Tug", .hidden = true},
    {0},
};

const struct command command_run = {
    .name = "run",
    .args = "MODEL [PROMPT...]",
    .min_args = 1,
    .max_args = -1,
    .summary = "Chat with a model, or ask it one question",
    .about = "With a PROMPT (or text on standard input) it answers once; without one it is a chat: /help lists what\n"
             "can be done there. In what is typed, @FILE is replaced by the file's text, and the path of a picture by\n"
             "the picture. A model that is not here is pulled first; a daemon is started if none runs.",
    .example = "tug run ai/smollm2 \"Give me a fact about whales.\"",
    .flags = run_flags,
    .route = "POST /v1/chat/completions",
    .group = "Use models",
    .daemon = DAEMON_NONE, /* as --openaiurl says */
    .failure = "Failed to generate a response",
    .differs =
        "No --websearch, which sends questions to a search company, and no NVIDIA NIM containers. @FILE works in "
        "what is typed only, not in piped text. Warnings, progress and --debug go to standard error.",
    .run = run_run,
};
