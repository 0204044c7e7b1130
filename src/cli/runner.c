/* cli/runner.c: the six commands that keep this machine's daemon, and Docker Model Runner's flags for them.
 *
 * Each flag of the original is taken: it has its meaning here, or it is named as having none, or, where going on
 * would be less safe than what was asked for, refused with the reason. */
#include "cli/runner.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/confirm.h"
#include "platform/process.h"
#include "platform/socket.h"
#include "json/json_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- which one ----------------------------------------------------------------------------------- */

static bool runner_choose(struct command_args *args, struct runner *r, struct err *err)
{
    const char *host = process_env("MODEL_RUNNER_HOST");
    *r = (struct runner){.cli = args->cli, .kind = &runner_background};
    if (host != NULL)
        return err_set(err, ERR_INVALID,
                       "MODEL_RUNNER_HOST=%s names another runner, which is not ours to manage; unset it to manage the "
                       "one of this machine",
                       host);
    if (command_flag(args, "container")->b)
        r->kind = &runner_container;
    else if (!command_flag(args, "background")->b && runner_systemd_here(&r->as_user))
        r->kind = &runner_systemd;
    return true;
}

/* ---- the original's flags ------------------------------------------------------------------------ */

static bool flag_set(struct command_args *args, const char *name)
{
    for (const struct flag *f = args->command->flags; f->name != NULL; f++)
        if (strcmp(f->name, name) == 0)
            return command_flag(args, name)->set;
    return false;
}

static const char *flag_text(struct command_args *args, const char *name)
{
    return flag_set(args, name) ? command_flag(args, name)->s : NULL;
}

static void warn_meaningless(struct command_args *args)
{
    static const struct {
        const char *flag, *why;
    } rows[] = {
        {"do-not-track", "nothing is ever tracked"},
        {"llama-server-version", "the engine is part of Tug"},
        {"proxy-cert", "the system's certificates are used; add it to them (update-ca-certificates)"},
        {"tls-port", "it serves plain http"},
        {"tls-cert", "it serves plain http"},
        {"tls-key", "it serves plain http"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (flag_set(args, rows[i].flag))
            fprintf(stderr, "Warning: --%s has no meaning here: %s\n", rows[i].flag, rows[i].why);
    const char *gpu = flag_text(args, "gpu");
    if (gpu != NULL && strcmp(gpu, "auto") != 0 && strcmp(gpu, "none") != 0)
        fprintf(stderr, "Warning: --gpu %s has no meaning here: this engine takes what it finds\n", gpu);
}

static bool refuse_unsafe(struct command_args *args, struct err *err)
{
    const char *backend = flag_text(args, "backend");
    if (backend != NULL && strcmp(backend, "llama.cpp") != 0)
        return err_set(err, ERR_INVALID,
                       strcmp(backend, "vllm") == 0 || strcmp(backend, "diffusers") == 0
                           ? "--backend %s: Tug runs models on llama.cpp alone"
                           : "unknown backend: \"%s\" (supported: llama.cpp)",
                       backend);
    if (flag_set(args, "tls") && command_flag(args, "tls")->b)
        return err_set(err, ERR_INVALID,
                       "--tls: Tug serves plain http; let a reverse proxy with your certificate stand "
                       "in front of it, and listen on loopback");
    return true;
}

static bool address_read(struct command_args *args, struct runner_options *o, struct err *err)
{
    int64_t port = flag_set(args, "port") ? command_flag(args, "port")->i : 0;
    const char *given = flag_text(args, "host"), *host = given == NULL ? "127.0.0.1" : given;
    if (strpbrk(host, " \t\r\n%\"'\\") != NULL || strlen(host) > 255)
        return err_set(err, ERR_INVALID, "--host %s is neither a name nor an address", host);
    bool bare = strchr(host, ':') != NULL && host[0] != '['; /* IPv6 */
    text_format(o->address, sizeof o->address, "%s%s%s:%" PRId64, bare ? "[" : "", host, bare ? "]" : "",
                port == 0 ? 12434 : port);
    o->given = o->given || port != 0 || given != NULL;
    if (!socket_is_loopback(host) && !o->insecure && process_env("TUG_API_KEY") == NULL)
        return err_set(err, ERR_INVALID,
                       "--host %s lets everybody who reaches this machine use it: set TUG_API_KEY (for systemd in "
                       "/etc/default/tug too), or say --insecure if you trust the network",
                       host);
    return true;
}

static bool runner_options_read(struct command_args *args, struct runner_options *o, struct err *err)
{
    *o = (struct runner_options){.debug = flag_set(args, "debug") && command_flag(args, "debug")->b,
                                 .insecure = command_flag(args, "insecure")->b,
                                 .image = command_flag(args, "image")->s};
    o->given = o->debug || o->insecure;
    if (!refuse_unsafe(args, err) || !address_read(args, o, err))
        return false;
    warn_meaningless(args);
    return true;
}

/* ---- what the commands are made of --------------------------------------------------------------- */

static bool runner_start(struct command_args *args, bool enable, bool again, struct err *err)
{
    struct runner r;
    struct runner_options o;
    bool running = false;
    if (!runner_choose(args, &r, err) || !runner_options_read(args, &o, err))
        return false;
    o.enable = enable;
    if (again && !r.kind->stop(&r, err))
        return false;
    if (again && enable && !r.kind->forget(&r, NULL, err)) /* anew: with the options of now alone */
        return false;
    if (!r.kind->running(&r, &running, err))
        return false;
    if (running) {
        printf("Model Runner %s is already running\n", r.name);
        if (o.given)
            printf("\nThe requested runner options were not applied because it is already running.\n"
                   "To apply them, run '%s reinstall-runner' with them.\n",
                   args->cli->program);
        return true;
    }
    if (!r.kind->start(&r, &o, err) || !r.kind->running(&r, &running, err))
        return false;
    if (o.given)
        printf("Model Runner %s runs at http://%s\n", r.name, o.address);
    else
        printf("Model Runner %s is running\n", r.name);
    return true;
}

/* All models go; only a running daemon can do that, so it is asked before it is stopped. */
static bool runner_purge(struct command_args *args, const struct runner *r, struct err *err)
{
    _cleanup_(json_free) json_t *answer = NULL;
    if (isatty(STDIN_FILENO) && !command_flag(args, "force")->b &&
        !cli_confirm("This will remove the entire models directory."))
        return err_set(err, ERR_CANCELLED, "cancelled");
    if (!cli_locate(args->cli, err))
        return false;
    if (!cli_reachable(args->cli) && r->kind != &runner_background)
        return err_set(
            err, ERR_UNREACHABLE,
            "the models cannot be removed: nobody answers at %s; set MODEL_RUNNER_HOST to its address and run "
            "'%s purge' first",
            args->cli->base_url, args->cli->program);
    if (!cli_reachable(args->cli) && !cli_start_daemon(args->cli, err))
        return false;
    return cli_json(args->cli, "DELETE", "/models/purge", NULL, &answer, err) || err_while(err, "removing the models");
}

static bool runner_end(struct command_args *args, bool forget, struct err *err)
{
    struct runner r;
    const char *backend = flag_text(args, "backend");
    bool running = false, images = flag_set(args, "images") && command_flag(args, "images")->b;
    if (backend != NULL)
        return err_set(err, ERR_INVALID, "--backend %s: %s", backend,
                       strcmp(backend, "llama.cpp") == 0 ? "it is part of Tug and cannot be removed alone"
                                                         : "no such backend is installed");
    if (!runner_choose(args, &r, err) || (command_flag(args, "models")->b && !runner_purge(args, &r, err)) ||
        !r.kind->running(&r, &running, err) || !r.kind->stop(&r, err) ||
        (forget && !r.kind->forget(&r, images ? command_flag(args, "image")->s : NULL, err)))
        return false;
    if (running)
        printf("Stopped Model Runner %s\n", r.name);
    else
        printf("Model Runner is not running\n");
    return true;
}

static bool install_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    return runner_start(args, true, false, err);
}

static bool start_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    return runner_start(args, false, false, err);
}

static bool restart_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    return runner_start(args, false, true, err);
}

static bool reinstall_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    return runner_start(args, true, true, err);
}

static bool stop_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    return runner_end(args, false, err);
}

static bool uninstall_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    return runner_end(args, true, err);
}

/* ---- rows ----------------------------------------------------------------------------------------- */

/* clang-format off */
#define FLAGS_WHERE                                                                                                    \
    {.name = "container", .kind = FLAG_BOOL, .help = "A container of docker's, from --image"},                         \
    {.name = "background", .kind = FLAG_BOOL, .help = "A daemon of its own, also where there is systemd"},             \
    {.name = "image", .kind = FLAG_STRING, .arg = "IMAGE", .value = "tug", .help = "The container's image"}
#define FLAGS_START                                                                                                    \
    {.name = "debug", .kind = FLAG_BOOL, .help = "Log more"},                                                          \
    {.name = "do-not-track", .kind = FLAG_BOOL, .help = "No meaning here: nothing is ever tracked"},                   \
    {.name = "gpu", .kind = FLAG_STRING, .arg = "KIND", .value = "auto", .choices = "none|auto|cuda|rocm|musa|cann",   \
     .help = "No meaning here: the engine takes what it finds"},                                                       \
    {.name = "host", .kind = FLAG_STRING, .arg = "HOST", .value = "127.0.0.1",                                         \
     .help = "Where it listens; off loopback with TUG_API_KEY or --insecure"},                                         \
    {.name = "insecure", .kind = FLAG_BOOL, .help = "Listen off loopback without a key"},                              \
    {.name = "port", .kind = FLAG_INT, .arg = "N", .min = 0, .max = 65535, .help = "The port; 0: 12434"},              \
    {.name = "proxy-cert", .kind = FLAG_STRING, .arg = "PATH", .help = "No meaning here: the system's certificates are used"}, \
    FLAGS_WHERE
#define FLAGS_BACKEND                                                                                                  \
    {.name = "backend", .kind = FLAG_STRING, .arg = "NAME", .help = "llama.cpp: there is no other"}
#define FLAGS_TLS                                                                                                      \
    {.name = "tls", .kind = FLAG_BOOL, .help = "Refused: Tug serves plain http"},                                      \
    {.name = "tls-port", .kind = FLAG_INT, .arg = "N", .min = 0, .max = 65535, .help = "No meaning here"},             \
    {.name = "tls-cert", .kind = FLAG_STRING, .arg = "PATH", .help = "No meaning here"},                               \
    {.name = "tls-key", .kind = FLAG_STRING, .arg = "PATH", .help = "No meaning here"}
#define FLAGS_END                                                                                                      \
    {.name = "models", .kind = FLAG_BOOL, .help = "Remove all models too; asks on a terminal"},                        \
    {.name = "force", .letter = 'f', .kind = FLAG_BOOL, .help = "Do not ask"},                                         \
    FLAGS_WHERE
/* clang-format on */

static const struct flag install_flags[] = {
    FLAGS_START,
    FLAGS_BACKEND,
    FLAGS_TLS,
    {.name = "llama-server-version", .kind = FLAG_STRING, .arg = "V", .help = "No meaning here: the engine is ours"},
    {0},
};
static const struct flag start_flags[] = {FLAGS_START, FLAGS_BACKEND, FLAGS_TLS, {0}};
static const struct flag restart_flags[] = {FLAGS_START, {0}};
static const struct flag stop_flags[] = {FLAGS_END, {0}};
static const struct flag uninstall_flags[] = {
    FLAGS_END,
    FLAGS_BACKEND,
    {.name = "images", .kind = FLAG_BOOL, .help = "With --container: remove its image too"},
    {0},
};

static const char differs[] =
    "Keeps Tug's own daemon: systemd's tug.socket where that is installed, else a daemon in the background, or a "
    "container with --container. --gpu, --do-not-track and --proxy-cert are taken and named as having no meaning; "
    "--tls and other backends are refused; a host off loopback needs a key or --insecure.";

#define RUNNER(id, word, text, flag_rows, function)                                                                    \
    const struct command command_##id = {                                                                              \
        .name = (word),                                                                                                \
        .args = "",                                                                                                    \
        .summary = (text),                                                                                             \
        .about =                                                                                                       \
            "systemd's units are used where they are installed (of the system for root, of the user for others), "     \
            "else a daemon in\nthe background.",                                                                       \
        .flags = (flag_rows),                                                                                          \
        .group = "The daemon",                                                                                         \
        .daemon = DAEMON_NONE,                                                                                         \
        .failure = (word),                                                                                             \
        .differs = differs,                                                                                            \
        .run = (function),                                                                                             \
    }

RUNNER(install_runner, "install-runner", "Start the daemon, from now on with the machine", install_flags, install_run);
RUNNER(start_runner, "start-runner", "Start the daemon", start_flags, start_run);
RUNNER(stop_runner, "stop-runner", "Stop the daemon", stop_flags, stop_run);
RUNNER(restart_runner, "restart-runner", "Stop the daemon and start it again", restart_flags, restart_run);
RUNNER(reinstall_runner, "reinstall-runner", "Stop the daemon and install it anew", install_flags, reinstall_run);
RUNNER(uninstall_runner, "uninstall-runner", "Stop the daemon, and start it no more with the machine", uninstall_flags,
       uninstall_run);
