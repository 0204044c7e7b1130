/* cli/serve.c: `tug serve`: the flags of the daemon, over what the environment says. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "daemon/daemon.h"
#include "daemon/settings.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/process.h"
#include "platform/socket.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The daemon of this home, by the pid in its lock file. Waits until it has ended. */
static bool serve_stop(const char *home, struct err *err)
{
    char path[4096];
    struct buf text = BUF_INIT(4096);
    _cleanup_(file_close) int fd = -1;
    int64_t pid = 0;
    text_format(path, sizeof path, "%s/daemon.lock", home);
    if (!file_open(path, FILE_READ, &fd, NULL) || file_try_lock(fd, path, NULL)) {
        printf("No daemon runs for %s.\n", home);
        return true;
    }
    bool ok = file_read_all(path, text.max, &text, err);
    char word[32] = "";
    if (ok)
        text_format(word, sizeof word, "%.*s", (int)strcspn(buf_str(&text), " \n"), buf_str(&text));
    buf_done(&text);
    if (!ok)
        return false;
    struct process daemon = {.pidfd = -1};
    if (!text_to_i64(word, &pid) || pid <= 1)
        return err_set(err, ERR_INTERNAL, "%s is held but names no process", path);
    if (!process_open((pid_t)pid, &daemon, err))
        return err_while(err, "stopping the daemon of %s", home);
    ok = process_signal(&daemon, SIGTERM);
    int status = 0;
    if (ok)
        process_wait(&daemon, CLOCK_FOREVER, &status); /* not our child: only that it ended is told */
    process_done(&daemon);
    if (!ok)
        return err_set(err, ERR_FORBIDDEN, "process %" PRId64 ", the daemon of %s, is not yours to stop", pid, home);
    printf("Stopped.\n");
    return true;
}

/* In the background, as `tug run` does it; says where. */
static bool serve_start(struct cli *cli, struct err *err)
{
    if (!cli_locate(cli, err) || (!cli_reachable(cli) && !cli_start_daemon(cli, err)))
        return false;
    printf("tug serve runs at %s\n", cli->base_url);
    return true;
}

static const char *const *serve_list(struct command_args *args, const char *name, const char *const *otherwise)
{
    const struct flag_value *v = command_flag(args, name);
    return v->set ? (const char *const *)v->list : otherwise;
}

static void serve_numbers(struct command_args *args, struct daemon_options *o)
{
    if (command_flag(args, "keep-alive")->set)
        o->keep_alive_ns = command_flag(args, "keep-alive")->i;
    if (command_flag(args, "grace")->set)
        o->grace_ns = command_flag(args, "grace")->i;
    if (command_flag(args, "context-size")->set)
        o->context_size = command_flag(args, "context-size")->i;
    if (command_flag(args, "parallel")->set)
        o->parallel = (int)command_flag(args, "parallel")->i;
    if (command_flag(args, "threads")->set)
        o->threads = (int)command_flag(args, "threads")->i;
    if (command_flag(args, "memory")->set)
        o->memory_bytes = (uint64_t)command_flag(args, "memory")->i << 20;
    if (command_flag(args, "ready-fd")->set)
        o->ready_fd = (int)command_flag(args, "ready-fd")->i;
}

static bool serve_options(struct command_args *args, struct daemon_options *o, struct arena *arena, struct err *err)
{
    if (!settings_from_env(o, arena, err))
        return false;
    o->home = args->cli->home;
    if (command_flag(args, "home")->set)
        o->home = command_flag(args, "home")->s;
    if (command_flag(args, "socket")->set)
        o->socket_path = command_flag(args, "socket")->s;
    if (command_flag(args, "api-key")->set)
        o->api_key = command_flag(args, "api-key")->s;
    if (command_flag(args, "engine")->set)
        o->engine_path = command_flag(args, "engine")->s;
    if (command_flag(args, "log-level")->set)
        log_level_parse(command_flag(args, "log-level")->s, &o->log_level);
    if (command_flag(args, "docker-bridge")->set)
        o->docker_bridge = command_flag(args, "docker-bridge")->s;
    o->insecure = o->insecure || command_flag(args, "insecure")->b;
    o->no_tcp = o->no_tcp || command_flag(args, "no-tcp")->b;
    o->listen = serve_list(args, "listen", o->listen);
    o->allowed_hosts = serve_list(args, "allowed-host", o->allowed_hosts);
    o->allowed_origins = serve_list(args, "allowed-origin", o->allowed_origins);
    o->insecure_registries = serve_list(args, "insecure-registry", o->insecure_registries);
    o->mirrors = serve_list(args, "registry-mirror", o->mirrors);
    if (command_flag(args, "port")->set) {
        if (command_flag(args, "listen")->set)
            return err_set(err, ERR_INVALID, "--port and --listen say the same thing: use one of them");
        const char **listen = arena_array(arena, 2, sizeof *listen);
        listen[0] = arena_printf(arena, "127.0.0.1:%" PRId64, command_flag(args, "port")->i);
        o->listen = listen;
    }
    serve_numbers(args, o);
    return true;
}

static bool serve_run(struct command_args *args, int *ret_exit, struct err *err)
{
    struct daemon_options options = DAEMON_OPTIONS_DEFAULT;
    struct arena arena = ARENA_INIT;
    bool ok = serve_options(args, &options, &arena, err);
    if (ok && command_flag(args, "stop")->b)
        ok = serve_stop(options.home, err);
    else if (ok && command_flag(args, "start")->b)
        ok = serve_start(args->cli, err);
    else if (ok)
        *ret_exit = daemon_run(&options);
    arena_done(&arena);
    return ok;
}

static const struct flag serve_flags[] = {
    {.name = "listen",
     .kind = FLAG_LIST,
     .arg = "HOST:PORT",
     .help =
         "Where to listen, repeatable; 127.0.0.1:12434 if not given. Off loopback it needs --api-key or --insecure"},
    {.name = "port",
     .kind = FLAG_INT,
     .arg = "N",
     .min = 0,
     .max = 65535,
     .help = "127.0.0.1 and this port; 0: a free one"},
    {.name = "socket", .kind = FLAG_STRING, .arg = "PATH", .help = "The unix socket, else HOME/run/tug.sock"},
    {.name = "no-tcp", .kind = FLAG_BOOL, .help = "Only the unix socket"},
    {.name = "home", .kind = FLAG_STRING, .arg = "DIR", .help = "The folder of all state, else $TUG_HOME"},
    {.name = "api-key",
     .kind = FLAG_STRING,
     .arg = "KEY",
     .help = "Clients must send it as a bearer token ($TUG_API_KEY keeps it out of the process list)"},
    {.name = "insecure", .kind = FLAG_BOOL, .help = "Listen off loopback without a key"},
    {.name = "allowed-host",
     .kind = FLAG_LIST,
     .arg = "NAME",
     .help = "A further Host header to accept, repeatable; * is any"},
    {.name = "allowed-origin", .kind = FLAG_LIST, .arg = "URL", .help = "A further web origin to accept, repeatable"},
    {.name = "docker-bridge",
     .kind = FLAG_STRING,
     .arg = "NAME",
     .value = "auto",
     .help = "The interface whose address containers reach: auto is docker0, off is none"},
    {.name = "insecure-registry",
     .kind = FLAG_LIST,
     .arg = "HOST",
     .help = "A registry to reach by plain http, repeatable"},
    {.name = "registry-mirror", .kind = FLAG_LIST, .arg = "URL", .help = "A mirror of Docker Hub, repeatable"},
    {.name = "keep-alive",
     .kind = FLAG_DURATION,
     .arg = "TIME",
     .help = "How long an idle model stays in memory; 0: not at all, -1: for ever (default 5m)"},
    {.name = "context-size",
     .kind = FLAG_INT,
     .arg = "N",
     .min = 0,
     .max = 1 << 24,
     .help = "Tokens of context; 0: the model's own, limited"},
    {.name = "parallel",
     .kind = FLAG_INT,
     .arg = "N",
     .min = 0,
     .max = 256,
     .help = "Requests that one model answers at once"},
    {.name = "threads", .kind = FLAG_INT, .arg = "N", .min = 0, .max = 1024, .help = "Threads of an engine"},
    {.name = "memory",
     .kind = FLAG_INT,
     .arg = "MIB",
     .min = 0,
     .max = 1 << 24,
     .help = "Memory for all engines together; 0: what the machine has, less a reserve"},
    {.name = "grace",
     .kind = FLAG_DURATION,
     .arg = "TIME",
     .help = "What running requests get when the daemon is stopped (default 10s)"},
    {.name = "engine", .kind = FLAG_STRING, .arg = "PATH", .help = "tug-engine, else the one beside this program"},
    {.name = "log-level",
     .kind = FLAG_STRING,
     .arg = "LEVEL",
     .choices = "error|warn|info|debug",
     .help = "How much to log"},
    {.name = "ready-fd",
     .kind = FLAG_INT,
     .arg = "FD",
     .min = 3,
     .max = 1024,
     .help = "Gets a line when it listens",
     .hidden = true},
    {.name = "start",
     .kind = FLAG_BOOL,
     .help = "Start it in the background, with the settings of the environment, unless it runs"},
    {.name = "stop", .kind = FLAG_BOOL, .help = "Stop the daemon of this home and wait until it has ended"},
    {0},
};

const struct command command_serve = {
    .name = "serve",
    .args = "",
    .min_args = 0,
    .max_args = 0,
    .summary = "Run the daemon",
    .about =
        "It serves the API on http://127.0.0.1:12434 and a unix socket, and starts an engine for each model in use.\n"
        "SIGTERM: running requests finish within --grace, then it ends.",
    .example = "tug serve --port 8080",
    .flags = serve_flags,
    .group = "The daemon",
    .daemon = DAEMON_NONE,
    .failure = "tug serve",
    .own = true,
    .run = serve_run,
};
