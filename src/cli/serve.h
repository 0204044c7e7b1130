/* cli/serve: what `serve` and `config` share: the flags that are settings of the daemon, and what they make of it. */
#ifndef TUG_CLI_SERVE_H
#define TUG_CLI_SERVE_H

#include "cli/cli.h"
#include "daemon/settings.h"

/* Flags over the environment over the files over the defaults. `origins`: SETTINGS_MAX, or NULL. */
bool serve_settings(struct command_args *args, struct daemon_options *options, struct arena *arena,
                    struct settings_origin *origins, struct err *err);

#define SERVE_SETTING_FLAGS                                                                                            \
    {.name = "listen",                                                                                                 \
     .kind = FLAG_LIST,                                                                                                \
     .arg = "HOST:PORT",                                                                                               \
     .help =                                                                                                           \
         "Where to listen, repeatable; 127.0.0.1:12434 if not given. Off loopback it needs --api-key or --insecure"},  \
        {.name = "port",                                                                                               \
         .kind = FLAG_INT,                                                                                             \
         .arg = "N",                                                                                                   \
         .min = 0,                                                                                                     \
         .max = 65535,                                                                                                 \
         .help = "127.0.0.1 and this port; 0: a free one"},                                                            \
        {.name = "socket", .kind = FLAG_STRING, .arg = "PATH", .help = "The unix socket, else HOME/run/tug.sock"},     \
        {.name = "no-tcp", .kind = FLAG_BOOL, .help = "Only the unix socket"},                                         \
        {.name = "home", .kind = FLAG_STRING, .arg = "DIR", .help = "The folder of all state, else $TUG_HOME"},        \
        {.name = "api-key",                                                                                            \
         .kind = FLAG_STRING,                                                                                          \
         .arg = "KEY",                                                                                                 \
         .help = "Clients must send it as a bearer token ($TUG_API_KEY keeps it out of the process list)"},            \
        {.name = "insecure", .kind = FLAG_BOOL, .help = "Listen off loopback without a key"},                          \
        {.name = "allowed-host",                                                                                       \
         .kind = FLAG_LIST,                                                                                            \
         .arg = "NAME",                                                                                                \
         .help = "A further Host header to accept, repeatable; * is any"},                                             \
        {.name = "allowed-origin",                                                                                     \
         .kind = FLAG_LIST,                                                                                            \
         .arg = "URL",                                                                                                 \
         .help = "A further web origin to accept, repeatable"},                                                        \
        {.name = "docker-bridge",                                                                                      \
         .kind = FLAG_STRING,                                                                                          \
         .arg = "NAME",                                                                                                \
         .value = "auto",                                                                                              \
         .help = "The interface whose address containers reach: auto is docker0, off is none"},                        \
        {.name = "insecure-registry",                                                                                  \
         .kind = FLAG_LIST,                                                                                            \
         .arg = "HOST",                                                                                                \
         .help = "A registry to reach by plain http, repeatable"},                                                     \
        {.name = "registry-mirror", .kind = FLAG_LIST, .arg = "URL", .help = "A mirror of Docker Hub, repeatable"},    \
        {.name = "keep-alive",                                                                                         \
         .kind = FLAG_DURATION,                                                                                        \
         .arg = "TIME",                                                                                                \
         .help = "How long an idle model stays in memory; 0: not at all, -1: for ever (default 5m)"},                  \
        {.name = "context-size",                                                                                       \
         .kind = FLAG_INT,                                                                                             \
         .arg = "N",                                                                                                   \
         .min = 0,                                                                                                     \
         .max = 1 << 24,                                                                                               \
         .help = "Tokens of context; 0: the model's own, limited"},                                                    \
        {.name = "parallel",                                                                                           \
         .kind = FLAG_INT,                                                                                             \
         .arg = "N",                                                                                                   \
         .min = 0,                                                                                                     \
         .max = 256,                                                                                                   \
         .help = "Requests that one model answers at once"},                                                           \
        {.name = "threads", .kind = FLAG_INT, .arg = "N", .min = 0, .max = 1024, .help = "Threads of an engine"},      \
        {.name = "memory",                                                                                             \
         .kind = FLAG_INT,                                                                                             \
         .arg = "MIB",                                                                                                 \
         .min = 0,                                                                                                     \
         .max = 1 << 24,                                                                                               \
         .help = "Memory for all engines together; 0: what the machine has, less a reserve"},                          \
        {.name = "grace",                                                                                              \
         .kind = FLAG_DURATION,                                                                                        \
         .arg = "TIME",                                                                                                \
         .help = "What running requests get when the daemon is stopped (default 10s)"},                                \
        {.name = "engine",                                                                                             \
         .kind = FLAG_STRING,                                                                                          \
         .arg = "PATH",                                                                                                \
         .help = "tug-engine, else the one beside this program"},                                                      \
        {.name = "record-bodies",                                                                                      \
         .kind = FLAG_BOOL,                                                                                            \
         .help =                                                                                                       \
             "Keep what was asked and answered in memory, for `tug requests`; without it, only when, what and how"},   \
    {                                                                                                                  \
        .name = "log-level", .kind = FLAG_STRING, .arg = "LEVEL", .choices = "error|warn|info|debug",                  \
        .help = "How much to log"                                                                                      \
    }

#endif
