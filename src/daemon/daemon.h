/* daemon: `tug serve`: the order in which the parts start, the signals, and the way to the end.
 *
 *   struct daemon_options o = DAEMON_OPTIONS_DEFAULT;
 *   if (!settings_load(&o, home, &arena, NULL, err)) ...     tug.conf, TUG_LISTEN, … (settings.h)
 *   o.api_key = flag->s;                              flags win over both
 *   return daemon_run(&o);                            exit code, when the daemon has ended
 *
 * All state lies below one folder, `home`:
 *
 *   daemon.lock   held by flock while it runs; its text is "PID ADDRESS": one daemon per home
 *   models/       the store
 *   run/          0700: tug.sock, address ("http://127.0.0.1:12434" and "unix:…", a line each), engines' sockets
 *   logs/         engine-ID12.log, what each engine wrote to stderr
 *
 * Signals: SIGTERM, SIGINT: new requests get 503, running ones have grace_ns, then the engines stop;
 * transfers stop at once and keep what they have; a second one ends at once. SIGHUP and SIGPIPE are ignored. When it is
 * ready, it writes one line to stdout, "READY=1" (later "STOPPING=1", each with a STATUS) to $NOTIFY_SOCKET, and
 * "ready\n" to ready_fd; $LISTEN_FDS sockets (systemd) replace `listen`; when it stops they accept no more here, so
 * that who comes waits for the next process.
 *
 * Off loopback it listens only with an api_key or with `insecure`. But where it listens on loopback, it also listens
 * on the same port of the Docker bridge's address, as soon as that is there, to containers of this machine and to
 * nobody else (daemon/bridge.c).
 *
 * Threads: the caller's (waits for signals), one per connection (http/server), `backends`, and
 * distribution's workers. At most one daemon_run at a time in a process.
 */
#ifndef TUG_DAEMON_H
#define TUG_DAEMON_H

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"

#include <stdint.h>

#define DAEMON_LISTEN_DEFAULT "127.0.0.1:12434"

struct daemon_options {
    const char *home;          /* NULL: daemon_home_dir() */
    const char *const *listen; /* "host:port", NULL-terminated; NULL: DAEMON_LISTEN_DEFAULT */
    const char *socket_path;   /* NULL: HOME/run/tug.sock; at most 107 bytes */
    bool no_tcp;               /* only the unix socket */
    const char *api_key;       /* NULL: none wanted */
    const char *docker_bridge; /* interface whose address containers use: NULL or "auto": docker0; "off": none */
    bool insecure;             /* off loopback without a key, said loudly */
    const char *const *allowed_hosts, *const *allowed_origins; /* NULL-terminated, or NULL: none; as http_server.h */
    const char *const *insecure_registries, *const *mirrors;   /* likewise; as distribution.h */
    int64_t keep_alive_ns;                                     /* negative: forever, 0: at once */
    int64_t context_size;                                      /* 0: the model's own, limited */
    int parallel, threads;                                     /* 0: the engine decides */
    uint64_t memory_bytes;   /* for all engines; 0: what the machine has, less a reserve */
    int64_t grace_ns;        /* what running requests get at the end */
    int64_t wait_ns;         /* how long a request waits for room in memory */
    const char *engine_path; /* NULL: tug-engine beside this program or in ../lib/tug, else in PATH */
    bool record_bodies;      /* GET /engines/requests shows what was asked and answered */
    enum log_level log_level;
    int ready_fd; /* gets "ready\n" or "failed TEXT\n", and is closed; -1: none */
};

#define DAEMON_OPTIONS_DEFAULT                                                                                         \
    ((struct daemon_options){.keep_alive_ns = (int64_t)300 * 1000000000,                                               \
                             .grace_ns = (int64_t)10 * 1000000000,                                                     \
                             .wait_ns = (int64_t)300 * 1000000000,                                                     \
                             .log_level = LOG_INFO,                                                                    \
                             .ready_fd = -1})

/* Blocks until the end. The reason of a failed start is on stderr (and ready_fd). Exit code: 0, or err_exit_code. */
int daemon_run(const struct daemon_options *options);

/* $TUG_HOME, else $XDG_DATA_HOME/tug, else ~/.local/share/tug; malloc'd. */
char *daemon_home_dir(void);

/* The runtime flags of models as rows of Markdown: docs/runtime-flags.md. */
void daemon_write_flags(struct buf *out);

#endif
