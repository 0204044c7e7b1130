/* cli/configure.c: `tug configure`: settings that stay with a model. Facts: dmr.md 1.1, 2.6; Compose calls it for each
 * model of each `up`, so that it must be quick and quiet. */
#include "cli/configure.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "json/json_read.h"

#include <stdio.h>
#include <string.h>

bool cli_configure(struct cli *cli, const json_t *settings, struct err *err)
{
    _cleanup_(buf_done) struct buf body = BUF_INIT(LIMIT_ERROR_BODY_BYTES);
    _cleanup_free_ char *text = json_dumps(settings, JSON_COMPACT);
    _cleanup_(json_free) json_t *answer = NULL;
    if (text == NULL || !buf_add_str(&body, text))
        return err_set(err, ERR_TOO_LARGE, "the settings are above %d bytes", LIMIT_ERROR_BODY_BYTES);
    if (!cli_json(cli, "POST", "/engines/_configure", &body, &answer, err))
        return false;
    size_t i;
    json_t *warning;
    json_array_foreach(json_object_get(answer, "warnings"), i, warning)
    {
        if (json_is_string(warning))
            fprintf(stderr, "Warning: %s\n", json_string_value(warning));
    }
    return true;
}

void cli_speculative(json_t *settings, const struct flag_value *draft, const struct flag_value *tokens,
                     const struct flag_value *acceptance)
{
    if (!draft->set && !tokens->set && !acceptance->set)
        return;
    json_t *speculative = json_object();
    json_object_set_new(settings, "speculative", speculative);
    if (draft->set)
        json_object_set_new(speculative, "draft_model", json_string(draft->s));
    if (tokens->set)
        json_object_set_new(speculative, "num_tokens", json_integer(tokens->i));
    if (acceptance->set)
        json_object_set_new(speculative, "min_acceptance_rate", json_real(acceptance->f));
}

/* Another engine's settings: checked as its own CLI does, kept by the daemon, of no effect here. */
static bool configure_vllm(const struct command_args *args, json_t *settings, struct err *err)
{
    const struct flag_value *overrides = command_flag(args, "hf_overrides");
    const struct flag_value *memory = command_flag(args, "gpu-memory-utilization");
    if (!overrides->set && !memory->set)
        return true;
    json_t *vllm = json_object(), *parsed = NULL;
    json_object_set_new(settings, "vllm", vllm);
    if (overrides->set) {
        if (!json_parse(overrides->s, strlen(overrides->s), &parsed, err))
            return err_while(err, "invalid --hf_overrides");
        json_object_set_new(vllm, "hf-overrides", parsed);
        if (!json_is_object(parsed))
            return err_set(err, ERR_INVALID, "invalid --hf_overrides: it must be a JSON object, not %s",
                           json_kind(parsed));
    }
    if (memory->set)
        json_object_set_new(vllm, "gpu-memory-utilization", json_real(memory->f));
    fprintf(stderr,
            "Warning: --hf_overrides and --gpu-memory-utilization are vLLM's; Tug runs GGUF models with its own "
            "engine, where they have no effect\n");
    return true;
}

static bool configure_settings(const struct command_args *args, json_t *settings, struct err *err)
{
    const struct flag_value *context = command_flag(args, "context-size"), *keep = command_flag(args, "keep-alive");
    const struct flag_value *mode = command_flag(args, "mode"), *think = command_flag(args, "think");
    if (context->set)
        json_object_set_new(settings, "context-size", json_integer(context->i));
    if (keep->set)
        json_object_set_new(settings, "keep_alive", json_string(keep->s));
    if (mode->set)
        json_object_set_new(settings, "mode", json_string(mode->s));
    if (think->set)
        json_object_set_new(settings, "llamacpp", json_pack("{s:i}", "reasoning-budget", think->b ? -1 : 0));
    cli_speculative(settings, command_flag(args, "speculative-draft-model"),
                    command_flag(args, "speculative-num-tokens"),
                    command_flag(args, "speculative-min-acceptance-rate"));
    return configure_vllm(args, settings, err);
}

static bool configure_one_model(const struct command_args *args, struct err *err)
{
    int n = args->argc;
    _cleanup_(buf_done) struct buf given = BUF_INIT(LIMIT_ERROR_BODY_BYTES);
    if (n == 1)
        return true;
    for (int i = 0; i < n; i++)
        buf_printf(&given, "%s%s", i > 0 ? " " : "", args->argv[i]);
    return err_set(err, ERR_INVALID,
                   "Exactly one model must be specified, got %d: [%.300s]\n\nSee '%s --help' for more information", n,
                   buf_str(&given), args->name);
}

static bool configure_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    if (!configure_one_model(args, err))
        return false;
    _cleanup_(json_free) json_t *settings = json_pack("{s:s}", "model", args->argv[0]);
    if (settings == NULL)
        return err_set(err, ERR_INVALID, "the model's name is not valid UTF-8 text");
    if (!configure_settings(args, settings, err))
        return false;
    if (args->dashed) {
        json_t *words = json_array();
        for (int i = 0; i < args->n_rest; i++)
            if (json_array_append_new(words, json_string(args->rest[i])) != 0) {
                json_decref(words);
                return err_set(err, ERR_INVALID, "a flag after -- is not valid UTF-8 text");
            }
        json_object_set_new(settings, "runtime-flags", words);
    }
    return cli_configure(args->cli, settings, err);
}

static bool configure_show_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    char path[2048];
    _cleanup_(json_free) json_t *all = NULL;
    bool one = args->argc > 0;
    if (!cli_path(path, sizeof path, one ? "/engines/_configure?model=" : "/engines/_configure",
                  one ? args->argv[0] : "", ""))
        return err_set(err, ERR_INVALID, "the model's name is too long");
    if (!cli_json(args->cli, "GET", path, NULL, &all, err))
        return false;
    _cleanup_free_ char *text = json_dumps(all, JSON_INDENT(2) | JSON_ENCODE_ANY);
    puts(text);
    return true;
}

static const struct command configure_show = {
    .name = "show",
    .args = "[MODEL]",
    .min_args = 0,
    .max_args = 1,
    .summary = "Show the settings of a model, or of all that have some",
    .route = "GET /engines/_configure",
    .daemon = DAEMON_START,
    .failure = "Failed to show the settings",
    .run = configure_show_run,
};

static const struct command *const configure_sub[] = {&configure_show, NULL};

static const struct flag configure_flags[] = {
    {.name = "context-size",
     .kind = FLAG_INT,
     .arg = "N",
     .min = -1,
     .max = INT32_MAX,
     .help = "The context size in tokens; -1: the model's own again"},
    {.name = "keep-alive",
     .kind = FLAG_DURATION,
     .arg = "DURATION",
     .help = "How long it stays in memory after its last request: 5m, 1h30m; 0: not at all; -1: for ever"},
    {.name = "mode",
     .kind = FLAG_STRING,
     .arg = "MODE",
     .choices = "completion|embedding|reranking|image-generation",
     .help = "What it is loaded for"},
    {.name = "think", .kind = FLAG_BOOL, .help = "Let a reasoning model reason; --think=false: answer at once"},
    {.name = "speculative-draft-model",
     .kind = FLAG_STRING,
     .arg = "MODEL",
     .help = "A small model that guesses ahead for this one"},
    {.name = "speculative-num-tokens",
     .kind = FLAG_INT,
     .arg = "N",
     .min = 0,
     .max = 1024,
     .help = "How many tokens it guesses at most; 0: the engine's own number"},
    {.name = "speculative-min-acceptance-rate",
     .kind = FLAG_FLOAT,
     .arg = "SHARE",
     .min = 0,
     .max = 1,
     .help = "How sure it must be of a token, from 0 to 1"},
    {.name = "hf_overrides", .kind = FLAG_STRING, .arg = "JSON", .help = "Of vLLM: kept, without effect here"},
    {.name = "gpu-memory-utilization",
     .kind = FLAG_FLOAT,
     .arg = "SHARE",
     .min = 0,
     .max = 1,
     .help = "Of vLLM: kept, without effect here"},
    {0},
};

const struct command command_configure = {
    .name = "configure",
    .args = "MODEL [-- RUNTIME-FLAG...]",
    .min_args = 0,
    .max_args = -1,
    .summary = "Change the settings that a model is loaded with",
    .about = "The daemon keeps them on disk with the model. Only what is given changes; everything after -- replaces\n"
             "the model's runtime flags (llama-server's, those that are safe), and a lone -- removes them. A loaded\n"
             "model takes them when it is loaded again: at once if it is idle.",
    .example = "tug configure --context-size 8192 ai/smollm2 -- --temp 0.7",
    .flags = configure_flags,
    .sub = configure_sub,
    .rest = true,
    .route = "POST /engines/_configure",
    .group = "Manage models",
    .daemon = DAEMON_START,
    .failure = "Failed to configure model",
    .differs = "Changes only what is given, and keeps it on disk with the model; Docker Model Runner replaces all of a "
               "model's settings at once and forgets them when it ends. vLLM's settings are kept without effect.",
    .run = configure_run,
};
