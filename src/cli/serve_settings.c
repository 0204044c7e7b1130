/* cli/serve_settings.c: the flags of `tug serve` over the environment and the files. */
#include "cli/serve.h"

#include "daemon/settings.h"

#include <inttypes.h>
#include <stdio.h>

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
}

static void serve_texts(struct command_args *args, struct daemon_options *o)
{
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
    if (command_flag(args, "insecure")->set)
        o->insecure = command_flag(args, "insecure")->b;
    if (command_flag(args, "record-bodies")->set)
        o->record_bodies = command_flag(args, "record-bodies")->b;
    if (command_flag(args, "no-tcp")->set)
        o->no_tcp = command_flag(args, "no-tcp")->b;
    o->listen = serve_list(args, "listen", o->listen);
    o->allowed_hosts = serve_list(args, "allowed-host", o->allowed_hosts);
    o->allowed_origins = serve_list(args, "allowed-origin", o->allowed_origins);
    o->insecure_registries = serve_list(args, "insecure-registry", o->insecure_registries);
    o->mirrors = serve_list(args, "registry-mirror", o->mirrors);
}

/* Where the flags came to say something. */
static void serve_note(struct command_args *args, struct settings_origin *origins, struct arena *arena)
{
    for (const struct setting *s = settings_table; origins != NULL && s->variable != NULL; s++)
        if (s->flag != NULL && command_flag(args, s->flag)->set)
            settings_note(origins, s->flag, SETTING_FROM_FLAG, arena_printf(arena, "--%s", s->flag));
}

bool serve_settings(struct command_args *args, struct daemon_options *o, struct arena *arena,
                    struct settings_origin *origins, struct err *err)
{
    const struct flag_value *home = command_flag(args, "home");
    if (!settings_load(o, home->set ? home->s : args->cli->home, arena, origins, err))
        return false;
    o->home = home->set ? home->s : args->cli->home;
    serve_texts(args, o);
    serve_note(args, origins, arena);
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
