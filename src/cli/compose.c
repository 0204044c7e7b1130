/* cli/compose.c: `docker model compose`: what Compose calls for a service with `provider: {type: model}`.
 *
 * Compose reads stdout as JSON lines and throws stderr away, so whatever goes wrong is an "error" line. Facts:
 * compose.md 2b. A row below is an option: the flag, and what Compose is told about it. */
#include "cli/cli.h"
#include "cli/configure.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "json/json_read.h"
#include "json/json_write.h"

#include <stdio.h>
#include <string.h>

/* ---- lines to Compose ---------------------------------------------------------------------------- */

static void compose_say(const char *type, const char *message)
{
    struct buf line = BUF_INIT(LIMIT_ERROR_BODY_BYTES);
    struct json_out j = JSON_OUT(&line);
    json_open(&j, '{');
    json_kv_str(&j, "type", type);
    json_kv_str(&j, "message", message);
    json_close(&j, '}');
    if (json_ok(&j))
        puts(buf_str(&line));
    fflush(stdout);
    buf_done(&line);
}

/* A stream whose lines become "info" lines: what a pull prints is for a person otherwise. */
struct compose_stream {
    struct buf line;
};

static ssize_t compose_stream_write(void *cookie, const char *text, size_t n)
{
    struct compose_stream *s = cookie;
    for (size_t i = 0; i < n; i++) {
        if (text[i] != '\n') {
            buf_add_char(&s->line, text[i]);
            continue;
        }
        if (s->line.len > 0)
            compose_say("info", buf_str(&s->line));
        buf_clear(&s->line);
    }
    return (ssize_t)n;
}

/* ---- up ------------------------------------------------------------------------------------------ */

static bool compose_have_model(struct cli *cli, const char *model, struct err *err)
{
    struct compose_stream stream = {.line = BUF_INIT(LIMIT_ERROR_BODY_BYTES / 2)};
    FILE *out = fopencookie(&stream, "w", (cookie_io_functions_t){.write = compose_stream_write});
    if (out == NULL)
        return err_set(err, ERR_INTERNAL, "no memory for the progress of the pull");
    setvbuf(out, NULL, _IOLBF, BUFSIZ);
    bool ok = cli_have_model(cli, model, out, err);
    fclose(out);
    buf_done(&stream.line);
    return ok || err_while(err, "Failed to pull model %s", model);
}

static bool compose_configure(const struct command_args *args, const char *model, struct err *err)
{
    const struct flag_value *context = command_flag(args, "context-size"), *flags = command_flag(args, "runtime-flags");
    _cleanup_(json_free) json_t *settings = json_pack("{s:s}", "model", model);
    if (settings == NULL)
        return err_set(err, ERR_INVALID, "the model's name is not valid UTF-8 text");
    if (context->set)
        json_object_set_new(settings, "context-size", json_integer(context->i));
    if (flags->set && json_object_set_new(settings, "raw-runtime-flags", json_string(flags->s)) != 0)
        return err_set(err, ERR_INVALID, "--runtime-flags is not valid UTF-8 text");
    cli_speculative(settings, command_flag(args, "speculative-draft-model"),
                    command_flag(args, "speculative-num-tokens"),
                    command_flag(args, "speculative-min-acceptance-rate"));
    if (!cli_configure(args->cli, settings, err))
        return err_while(err, "Failed to configure model %s", model);
    char said[LIMIT_REFERENCE_BYTES + 64];
    text_format(said, sizeof said, "Successfully configured backend for model %s", model);
    compose_say("info", said);
    return true;
}

static bool compose_models_line(const char *const *models, struct err *err)
{
    _cleanup_(buf_done) struct buf line = BUF_INIT(LIMIT_ERROR_BODY_BYTES / 2);
    bool ok = buf_add_str(&line, "MODEL=");
    for (size_t i = 0; models[i] != NULL; i++)
        ok = ok && buf_printf(&line, "%s%s", i > 0 ? "," : "", models[i]);
    if (!ok)
        return err_set(err, ERR_INVALID, "the models' names are too long");
    compose_say("setenv", buf_str(&line));
    return true;
}

static bool compose_bring_up(struct command_args *args, struct err *err)
{
    struct cli *cli = args->cli;
    const char *const *models = (const char *const *)command_flag(args, "model")->list;
    const struct flag_value *backend = command_flag(args, "backend");
    char url[700];
    struct cli_endpoint endpoint;
    if (models[0] == NULL)
        return err_set(err, ERR_INVALID, "option 'model' is required");
    if (backend->set && strcmp(backend->s, "llama.cpp") != 0)
        return err_set(err, ERR_INVALID, "backend '%s' is not part of Tug: leave the option out, or say llama.cpp",
                       backend->s);
    compose_say("info", "Initializing model runner...");
    if (!cli_ready(cli, DAEMON_START, err))
        return false;
    for (size_t i = 0; models[i] != NULL; i++)
        if (!compose_have_model(cli, models[i], err))
            return false;
    if (!compose_models_line(models, err))
        return false;
    for (size_t i = 0; models[i] != NULL; i++)
        if (!compose_configure(args, models[i], err))
            return false;
    if (!cli_endpoint(cli, &endpoint, err))
        return false;
    text_format(url, sizeof url, "URL=%s/engines/v1/", endpoint.containers);
    compose_say("setenv", url);
    return true;
}

static bool compose_up_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    if (compose_bring_up(args, err))
        return true;
    compose_say("error", err->text);
    return false;
}

static const struct flag compose_up_flags[] = {
    {.name = "backend", .kind = FLAG_STRING, .arg = "NAME", .value = "llama.cpp", .help = "The engine: llama.cpp"},
    {.name = "context-size",
     .kind = FLAG_INT,
     .arg = "N",
     .value = "-1",
     .min = -1,
     .max = INT32_MAX,
     .help = "The context size in tokens; -1: the model's own"},
    {.name = "model", .kind = FLAG_LIST, .arg = "MODEL", .help = "A model to have ready, repeatable"},
    {.name = "runtime-flags", .kind = FLAG_STRING, .arg = "FLAGS", .help = "Flags of the engine, as in a shell"},
    {.name = "speculative-draft-model",
     .kind = FLAG_STRING,
     .arg = "MODEL",
     .help = "A small model that guesses ahead for this one"},
    {.name = "speculative-min-acceptance-rate",
     .kind = FLAG_FLOAT,
     .arg = "SHARE",
     .value = "0",
     .min = 0,
     .max = 1,
     .help = "How sure the draft model must be of a token, from 0 to 1"},
    {.name = "speculative-num-tokens",
     .kind = FLAG_INT,
     .arg = "N",
     .value = "0",
     .min = 0,
     .max = 1024,
     .help = "How many tokens it guesses at most"},
    {0},
};

static const struct command compose_up = {
    .name = "up",
    .args = "[SERVICE]",
    .min_args = 0,
    .max_args = -1,
    .summary = "Have models ready for a Compose service",
    .flags = compose_up_flags,
    .route = "POST /engines/_configure",
    .daemon = DAEMON_NONE,
    .run = compose_up_run,
};

/* ---- down: nothing to do, the daemon frees idle models by itself ----------------------------------- */

static bool compose_down_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)args;
    (void)ret_exit;
    (void)err;
    return true;
}

static const struct command compose_down = {
    .name = "down",
    .args = "[SERVICE]",
    .min_args = 0,
    .max_args = -1,
    .summary = "Nothing: idle models leave memory by themselves",
    .flags = compose_up_flags, /* Compose 2.35 and 2.36 pass them here as well */
    .daemon = DAEMON_NONE,
    .run = compose_down_run,
};

/* ---- metadata ------------------------------------------------------------------------------------- */

/* Go's names of the types, which is what Compose expects; parallel to compose_up_flags, which is sorted by name. */
static const struct compose_type {
    const char *type, *value; /* value: the default as Compose is told, NULL: left out */
    bool required;
} compose_types[] = {
    {"string", "llama.cpp", false}, {"int64", "-1", false},  {"stringArray", "[]", true}, {"string", NULL, false},
    {"string", NULL, false},        {"float64", "0", false}, {"int", "0", false},
};

static bool compose_metadata_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)args;
    (void)ret_exit;
    (void)err;
    struct buf text = BUF_INIT(LIMIT_ERROR_BODY_BYTES);
    struct json_out j = JSON_OUT(&text);
    json_open(&j, '{');
    json_kv_str(&j, "description", "Docker Model Runner");
    json_key(&j, "up");
    json_open(&j, '{');
    json_key(&j, "parameters");
    json_open(&j, '[');
    for (size_t i = 0; i < sizeof compose_types / sizeof compose_types[0]; i++) {
        json_open(&j, '{');
        json_kv_str(&j, "name", compose_up_flags[i].name);
        json_kv_str(&j, "description", compose_up_flags[i].help);
        json_kv_bool(&j, "required", compose_types[i].required);
        json_kv_str(&j, "type", compose_types[i].type);
        if (compose_types[i].value != NULL)
            json_kv_str(&j, "default", compose_types[i].value);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_close(&j, '}');
    json_key(&j, "down");
    json_open(&j, '{');
    json_key(&j, "parameters");
    json_write_null(&j);
    json_close(&j, '}');
    json_close(&j, '}');
    fputs(buf_str(&text), stdout);
    buf_done(&text);
    return true;
}

static const struct command compose_metadata = {
    .name = "metadata",
    .args = "",
    .min_args = 0,
    .max_args = 0,
    .summary = "Tell Compose the options of a model service",
    .daemon = DAEMON_NONE,
    .run = compose_metadata_run,
};

static const struct command *const compose_sub[] = {&compose_up, &compose_down, &compose_metadata, NULL};

static const struct flag compose_flags[] = {
    {.name = "project-name", .kind = FLAG_STRING, .arg = "NAME", .help = "The Compose project", .persistent = true},
    {0},
};

const struct command command_compose = {
    .name = "compose",
    .args = "COMMAND",
    .min_args = 0,
    .max_args = -1,
    .summary = "What Compose calls for services of type model",
    .about = "A service with `provider: {type: model, options: {model: NAME}}` makes Compose call this. Its standard\n"
             "output is lines of JSON for Compose.",
    .flags = compose_flags,
    .sub = compose_sub,
    .group = "Use models",
    .differs =
        "Errors go to Compose as an error line, so that `up` shows the reason; a model that is here is not pulled "
        "again, so that `up` works offline.",
    .daemon = DAEMON_NONE,
    .hidden = true,
};
