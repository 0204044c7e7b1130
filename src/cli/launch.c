/* cli/launch.c: `tug launch`: a known program or container with the environment that leads it to the daemon. Facts:
 * dmr.md 1.9, compose.md 5. One row for each app; {base} is the daemon's address, {model} that of --model. */
#include "cli/cli.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "platform/process.h"
#include "platform/socket.h"
#include "json/json_read.h"

#include <stdio.h>
#include <string.h>

enum { LAUNCH_ENV_MAX = 8, LAUNCH_WORDS_MAX = 256 };

#define LAUNCH_KEY "sk-docker-model-runner" /* no key is needed, but the apps want one */
#define LAUNCH_OPENAI(path)                                                                                            \
    "OPENAI_API_BASE={base}" path, "OPENAI_BASE_URL={base}" path, "OPENAI_API_BASE_URL={base}" path,                   \
        "OPENAI_API_KEY=" LAUNCH_KEY, "OPEN_AI_KEY=" LAUNCH_KEY

static const struct launch_app {
    const char *name, *about, *found_at; /* found_at: where a program comes from */
    const char *image;                   /* a container's; NULL: a program of this name */
    int64_t port, inner_port;            /* a container's */
    const char *volume;                  /* where a container keeps what must last */
    const char *model_flag;              /* of a program: takes --model's value; NULL: none */
    const char *needs;                   /* a POST route of the daemon without which it is useless; NULL: none */
    const char *env[LAUNCH_ENV_MAX];     /* those with {model} only when there is one */
} launch_apps[] = {
    {.name = "anythingllm",
     .about = "AnythingLLM, chat with documents (container)",
     .image = "mintplexlabs/anythingllm:latest",
     .port = 3001,
     .inner_port = 3001,
     .volume = "/app/server/storage",
     .env = {"STORAGE_DIR=/app/server/storage", "LLM_PROVIDER=docker-model-runner",
             "DOCKER_MODEL_RUNNER_BASE_PATH={base}", "DOCKER_MODEL_RUNNER_LLM_MODEL_PREF={model}"}},
    {.name = "claude",
     .about = "Claude Code",
     .found_at = "https://docs.claude.com/claude-code",
     .needs = "/anthropic/v1/messages",
     .env = {"ANTHROPIC_BASE_URL={base}/anthropic", "ANTHROPIC_AUTH_TOKEN=" LAUNCH_KEY, "ANTHROPIC_MODEL={model}"}},
    {.name = "codex",
     .about = "OpenAI's Codex CLI",
     .found_at = "https://github.com/openai/codex",
     .model_flag = "--model",
     .env = {LAUNCH_OPENAI("/v1")}},
    {.name = "openclaw",
     .about = "OpenClaw",
     .found_at = "https://github.com/openclaw/openclaw",
     .env = {LAUNCH_OPENAI("/engines/v1"), "OPENAI_MODEL={model}"}},
    {.name = "opencode",
     .about = "OpenCode",
     .found_at = "https://opencode.ai",
     .env = {LAUNCH_OPENAI("/engines/v1"), "OPENAI_MODEL={model}"}},
    {.name = "openwebui",
     .about = "Open WebUI, chat in the browser (container)",
     .image = "ghcr.io/open-webui/open-webui:main",
     .port = 3000,
     .inner_port = 8080,
     .volume = "/app/backend/data",
     .env = {LAUNCH_OPENAI("/engines/v1"), "WEBUI_AUTH=False", "DEFAULT_MODELS={model}"}},
};

/* What will be run: words and environment, in the arena. */
struct launch {
    const struct command_args *args;
    const struct launch_app *app;
    const char *base, *model;
    struct arena arena;
    const char *words[LAUNCH_WORDS_MAX + 1], *env[LAUNCH_ENV_MAX + 1];
    size_t n_words, n_env;
};

static const struct launch_app *launch_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(launch_apps); i++)
        if (strcmp(launch_apps[i].name, name) == 0)
            return &launch_apps[i];
    return NULL;
}

static void launch_list(void)
{
    printf("Supported apps:\n");
    for (size_t i = 0; i < ARRAY_LEN(launch_apps); i++)
        printf("  %-12s %s\n", launch_apps[i].name, launch_apps[i].about);
}

static const char *launch_value(struct launch *l, const char *row)
{
    static const char base_mark[] = "{base}", model_mark[] = "{model}";
    const char *base = strstr(row, base_mark), *model = strstr(row, model_mark);
    if (base != NULL)
        return arena_printf(&l->arena, "%.*s%s%s", (int)(base - row), row, l->base, base + sizeof base_mark - 1);
    if (model == NULL)
        return row;
    return l->model == NULL ? NULL : arena_printf(&l->arena, "%.*s%s", (int)(model - row), row, l->model);
}

static void launch_env(struct launch *l)
{
    for (size_t i = 0; i < LAUNCH_ENV_MAX && l->app->env[i] != NULL; i++) {
        const char *value = launch_value(l, l->app->env[i]);
        if (value != NULL)
            l->env[l->n_env++] = value;
    }
}

static void launch_word(struct launch *l, const char *word)
{
    if (l->n_words < LAUNCH_WORDS_MAX)
        l->words[l->n_words++] = word;
}

/* A container's localhost is its own: it reaches this machine by a name that docker is told. */
static void launch_container_base(struct launch *l, const char *containers)
{
    struct http_url url;
    l->base = containers;
    if (http_url_parse(containers, &url, NULL) && socket_is_loopback(url.host))
        l->base = arena_printf(&l->arena, "%s://host.docker.internal:%u", url.scheme, url.port);
}

static void launch_container(struct launch *l)
{
    const struct flag_value *port = command_flag(l->args, "port"), *image = command_flag(l->args, "image");
    const char *mapping = arena_printf(&l->arena, "127.0.0.1:%lld:%lld",
                                       (long long)(port->set ? port->i : l->app->port), (long long)l->app->inner_port);
    const char *const head[] = {"docker",     "run",
                                "--rm",       command_flag(l->args, "detach")->b ? "--detach" : "--interactive",
                                "--name",     arena_printf(&l->arena, "tug-%s", l->app->name),
                                "--add-host", "host.docker.internal:host-gateway",
                                "--publish",  mapping};
    for (size_t i = 0; i < ARRAY_LEN(head); i++)
        launch_word(l, head[i]);
    for (size_t i = 0; i < l->n_env; i++) {
        launch_word(l, "--env");
        launch_word(l, l->env[i]);
    }
    launch_word(l, "--volume");
    launch_word(l, arena_printf(&l->arena, "tug-%s:%s", l->app->name, l->app->volume));
    launch_word(l, image->set ? image->s : l->app->image);
    l->n_env = 0; /* they are docker's words now */
    l->env[0] = NULL;
}

static void launch_program(struct launch *l)
{
    launch_word(l, l->app->name);
    if (l->app->model_flag != NULL && l->model != NULL) {
        launch_word(l, l->app->model_flag);
        launch_word(l, l->model);
    }
}

static bool launch_plan(struct launch *l, const struct cli_endpoint *endpoint, struct err *err)
{
    if (l->app->image == NULL && (command_flag(l->args, "port")->set || command_flag(l->args, "image")->set))
        return err_set(err, ERR_INVALID, "--port and --image are for apps that run in a container, which %s does not",
                       l->app->name);
    if (l->args->n_rest > LAUNCH_WORDS_MAX / 2)
        return err_set(err, ERR_INVALID, "more than %d words after --", LAUNCH_WORDS_MAX / 2);
    if (l->app->image != NULL)
        launch_container_base(l, endpoint->containers);
    launch_env(l);
    return true;
}

static void launch_command(struct launch *l)
{
    if (l->app->image != NULL)
        launch_container(l);
    else
        launch_program(l);
    for (int i = 0; i < l->args->n_rest; i++)
        launch_word(l, l->args->rest[i]);
}

static void launch_print(const struct launch *l)
{
    printf("Would run:");
    for (size_t i = 0; i < l->n_env; i++)
        printf(" %s", l->env[i]);
    for (size_t i = 0; i < l->n_words; i++)
        printf(strpbrk(l->words[i], " \t\"'") != NULL ? " \"%s\"" : " %s", l->words[i]);
    printf("\n");
}

static bool launch_not_there(const struct launch *l, struct err *err)
{
    if (err->code != ERR_NOT_FOUND)
        return false;
    if (l->app->image != NULL)
        return err_set(err, ERR_NOT_FOUND, "%s runs in a container, and docker is not in PATH", l->app->name);
    return err_set(err, ERR_NOT_FOUND, "%s is not in PATH; it comes from %s", l->app->name, l->app->found_at);
}

/* An empty request: a daemon that has the route finds fault with it, another does not know the route. */
static bool launch_has_route(const struct launch *l, struct err *err)
{
    struct err answer = ERR_INIT;
    _cleanup_(json_free) json_t *ignored = NULL;
    if (l->app->needs == NULL || cli_json(l->args->cli, "POST", l->app->needs, NULL, &ignored, &answer) ||
        answer.code != ERR_NOT_FOUND)
        return true;
    return err_set(err, ERR_UNSUPPORTED,
                   "%s speaks Anthropic's API, and this daemon has no %s; a gateway that translates can stand between "
                   "(LiteLLM, for example)",
                   l->app->name, l->app->needs);
}

static bool launch_start(const struct launch *l, struct err *err)
{
    if (command_flag(l->args, "detach")->b && l->app->image == NULL) {
        struct process p;
        struct process_spec spec = {.argv = l->words,
                                    .env = l->env,
                                    .stdin_fd = -1,
                                    .stdout_fd = -1,
                                    .stderr_fd = -1,
                                    .kind = PROCESS_DETACHED};
        if (!process_spawn(&spec, &p, err))
            return launch_not_there(l, err);
        printf("%s runs with process id %ld\n", l->app->name, (long)p.pid);
        process_done(&p);
        return true;
    }
    fflush(stdout);
    return process_replace(l->words, l->env, err) || launch_not_there(l, err);
}

static bool launch_endpoint(struct cli *cli, struct cli_endpoint *ret, struct err *err)
{
    if (cli->named && cli->socket[0] != '\0')
        return err_set(err, ERR_INVALID,
                       "MODEL_RUNNER_HOST names the socket %s, and other programs need http://HOST:PORT", cli->socket);
    return cli_endpoint(cli, ret, err);
}

static bool launch_go(struct launch *l, struct err *err)
{
    launch_command(l);
    if (!command_flag(l->args, "dry-run")->b)
        return launch_has_route(l, err) && launch_start(l, err);
    launch_print(l);
    return true;
}

static bool launch_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    struct cli_endpoint endpoint;
    if (args->argc == 0) {
        launch_list();
        return true;
    }
    struct launch l = {.args = args, .app = launch_find(args->argv[0]), .model = command_flag(args, "model")->s};
    if (l.app == NULL)
        return err_set(err, ERR_INVALID, "unsupported app \"%s\"; '%s' without an app lists those that are supported",
                       args->argv[0], args->name);
    bool look = command_flag(args, "config")->b || command_flag(args, "dry-run")->b;
    if (!cli_ready(args->cli, look ? DAEMON_RUNNING : DAEMON_START, err) || !launch_endpoint(args->cli, &endpoint, err))
        return false;
    l.base = endpoint.host;
    l.arena = ARENA_INIT;
    bool ok = launch_plan(&l, &endpoint, err);
    if (ok && command_flag(args, "config")->b)
        for (size_t i = 0; i < l.n_env; i++)
            puts(l.env[i]);
    else if (ok)
        ok = launch_go(&l, err);
    arena_done(&l.arena);
    return ok;
}

static const struct flag launch_flags[] = {
    {.name = "config", .kind = FLAG_BOOL, .help = "Only print the app's environment"},
    {.name = "detach", .kind = FLAG_BOOL, .help = "Leave it running in the background"},
    {.name = "dry-run", .kind = FLAG_BOOL, .help = "Only print what would be run"},
    {.name = "image", .kind = FLAG_STRING, .arg = "IMAGE", .help = "Another image for an app in a container"},
    {.name = "model", .kind = FLAG_STRING, .arg = "MODEL", .help = "The model that the app begins with"},
    {.name = "port",
     .kind = FLAG_INT,
     .arg = "N",
     .min = 1,
     .max = 65535,
     .help = "The port of this machine for an app in a container"},
    {0},
};

const struct command command_launch = {
    .name = "launch",
    .args = "[APP] [-- ARG...]",
    .min_args = 0,
    .max_args = 1,
    .offers = "anythingllm|claude|codex|openclaw|opencode|openwebui",
    .summary = "Start an app that uses the models here",
    .about =
        "Without APP: the apps that are known. The app gets the daemon's address and a key in its environment; what\n"
        "follows -- is its own. A container reaches the daemon as host.docker.internal, so that the daemon has to\n"
        "listen there ('tug serve --listen').",
    .example = "tug launch --dry-run opencode",
    .flags = launch_flags,
    .rest = true,
    .group = "Use models",
    .daemon = DAEMON_NONE,
    .failure = "Failed to launch",
    .differs = "The apps are the same; their containers are named tug-APP and listen on 127.0.0.1 only. One that needs "
               "a route which the daemon lacks is not started.",
    .run = launch_run,
};
