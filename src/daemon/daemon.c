/* daemon/daemon.c: `tug serve`.
 *
 * Threads of the process: name, loop, owns, may wait for
 *   main         waits for signals here; owns the order of start and end
 *   stop         only at the end: ends the parts, one after the other, each with its deadline
 *   one per connection (http/server): its request; its client and its upstream
 *   backends     (backends/loop.c) every engine's state; engines, callers, timers
 *   transfers    (distribution/) a job each; the network and the disk
 *
 * Start: signals, folders and lock, sockets (so that a taken port is told before anything is done),
 * store, distribution, backends, server, address, "ready". The end goes the same way back.
 */
#include "daemon/daemon.h"

#include "api/api.h"
#include "api/log_ring.h"
#include "api/recorder.h"
#include "backends/backends.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "daemon/daemon_parts.h"
#include "distribution/distribution.h"
#include "http/client/http_client.h"
#include "http/server/http_server.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/process.h"
#include "platform/socket.h"
#include "store/store.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Per connection: its socket, its upstream, two for waiting; and the engines, the transfers, the blobs. */
enum { DAEMON_FILES = 8 * LIMIT_CONNECTIONS + 4096 };

#define ENGINES_END_NS (3 * CLOCK_SECOND) /* after the requests: from "stop" to the last SIGKILL */

struct daemon {
    const struct daemon_options *options;
    struct arena arena;
    int64_t start_ns;
    int signal_fd, ready_fd;
    int stopped[2]; /* the stop thread tells main */
    struct log_ring *logs;
    struct daemon_home home;
    struct daemon_sockets sockets;
    struct store *store;
    struct distribution *distribution;
    struct backends *backends;
    struct http_server *server;
    struct http_pools *upstreams;
    struct daemon_bridge bridge;
    struct recorder *recorder;
    struct api api;
};

/* ---- start ---------------------------------------------------------------------------------- */

/* Ours to take one by one: SIGHUP (the terminal went away) and SIGPIPE are taken to be dropped. */
static bool start_signals(struct daemon *d, struct err *err)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, 0};
    return process_signals_open(signals, &d->signal_fd, err) && socket_pipe(d->stopped, err);
}

static bool start_home(struct daemon *d, struct err *err)
{
    const char *root = d->options->home;
    if (root == NULL) {
        char *standard = daemon_home_dir();
        root = arena_strdup(&d->arena, standard);
        free(standard);
    }
    return home_open(&d->home, root, &d->arena, err);
}

static const char *engine_path(struct daemon *d)
{
    if (d->options->engine_path != NULL)
        return d->options->engine_path;
    static const char *const places[] = {"tug-engine", "../lib/tug/tug-engine"}; /* built; installed */
    _cleanup_free_ char *folder = file_program_dir();
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        const char *path = arena_printf(&d->arena, "%s/%s", folder, places[i]);
        if (file_stat(path).kind == FILE_KIND_FILE)
            return path;
    }
    return "tug-engine";
}

/* No reason not to start: models can be pulled and listed without it. */
static void warn_missing_engine(const char *path)
{
    if (strchr(path, '/') != NULL && file_stat(path).kind != FILE_KIND_FILE)
        log_warn("the engine is missing: no model can be loaded; set TUG_ENGINE or --engine", "path=%s", path);
}

static bool start_backends(struct daemon *d, struct err *err)
{
    const struct daemon_options *o = d->options;
    struct backends_options options = {
        .engine_path = engine_path(d),
        .run_dir = d->home.run,
        .log_dir = d->home.logs,
        .keep_alive_ns = o->keep_alive_ns,
        .wait_ns = o->wait_ns,
        .memory_bytes = o->memory_bytes,
        .context_size = o->context_size,
        .parallel = o->parallel,
        .threads = o->threads,
    };
    warn_missing_engine(options.engine_path);
    return backends_new(d->store, &options, &d->backends, err);
}

static bool start_server(struct daemon *d, struct err *err)
{
    const struct daemon_options *o = d->options;
    d->upstreams = http_pools_new();
    d->recorder = recorder_new(o->record_bodies);
    d->api = (struct api){
        .store = d->store,
        .backends = d->backends,
        .distribution = d->distribution,
        .upstreams = d->upstreams,
        .recorder = d->recorder,
        .logs = d->logs,
        .engine_log_dir = d->home.logs,
        .version = TUG_VERSION,
        .endpoint = listen_endpoint(&d->sockets),
        .start_ns = d->start_ns,
    };
    struct http_server_config config = {
        .routes = api_routes,
        .listen_fds = d->sockets.fds,
        .n_listen_fds = d->sockets.n,
        .n_shared_fds = d->sockets.n_shared,
        .api_key = o->api_key,
        .allowed_hosts = o->allowed_hosts,
        .allowed_origins = o->allowed_origins,
        .server_name = "tug/" TUG_VERSION,
        .max_body = LIMIT_REQUEST_BODY_BYTES,
        .app = &d->api,
    };
    bool ok = http_server_start(&config, &d->server, err);
    for (size_t i = 0; i < d->sockets.n; i++) /* the server closes them, in any case */
        d->sockets.fds[i] = -1;
    return ok;
}

/* Before "ready": who starts us may ask at once where containers reach us. */
static bool start_bridge(struct daemon *d)
{
    bridge_open(&d->bridge, d->options, &d->sockets);
    bridge_look(&d->bridge, d->server, &d->api, &d->arena);
    return true;
}

static bool start_parts(struct daemon *d, struct err *err)
{
    struct distribution_options transfers = {.insecure = d->options->insecure_registries,
                                             .mirrors = d->options->mirrors};
    return start_signals(d, err) && start_home(d, err) &&
           listen_open(&d->sockets, d->options, &d->home, &d->arena, err) &&
           store_open(d->home.models, &d->store, err) &&
           distribution_new(d->store, &transfers, &d->distribution, err) && start_backends(d, err) &&
           start_server(d, err) && start_bridge(d) && home_tell_address(&d->home, &d->sockets, err);
}

static void start_tell(struct daemon *d)
{
    printf("tug %s listens on ", TUG_VERSION);
    for (size_t i = 0; i < d->sockets.n; i++)
        printf("%s%s", i == 0 ? "" : i + 1 == d->sockets.n ? " and " : ", ", d->sockets.addresses[i]);
    printf("\n");
    fflush(stdout);
    log_info("the daemon is ready", "home=%s ms=%lld pid=%ld", d->home.root,
             (long long)((clock_now_ns() - d->start_ns) / CLOCK_MS), (long)getpid());
    notify_system(arena_printf(&d->arena, "READY=1\nSTATUS=Listening on %s", listen_endpoint(&d->sockets)));
    notify_fd(&d->ready_fd, "ready", "");
}

/* ---- the end -------------------------------------------------------------------------------- */

/* In the order of who uses whom: no request runs when the parts that it uses go. */
static void stop_parts(struct daemon *d, int64_t grace_ns)
{
    if (d->server != NULL) {
        http_server_refuse_new(d->server);
        distribution_pause(d->distribution); /* who watches a transfer shall not hold up the end */
        http_server_stop(d->server, clock_after_ns(grace_ns));
        d->server = NULL;
    }
    http_pools_free(&d->upstreams);
    recorder_free(&d->recorder);
    distribution_stop(&d->distribution);
    backends_stop(&d->backends, clock_now_ns() + ENGINES_END_NS);
    store_close(&d->store);
    listen_close(&d->sockets);
}

static void *stop_main(void *daemon)
{
    struct daemon *d = daemon;
    stop_parts(d, d->options->grace_ns);
    socket_wake(d->stopped[1]);
    return NULL;
}

/* The next SIGTERM or SIGINT, or 0 when the stop thread is done. */
static int wait_signal(struct daemon *d)
{
    for (;;) {
        struct socket_wait waits[] = {{.fd = d->signal_fd, .want = SOCKET_READABLE},
                                      {.fd = d->stopped[0], .want = SOCKET_READABLE},
                                      {.fd = d->bridge.watch_fd, .want = SOCKET_READABLE}};
        socket_wait(waits, ARRAY_LEN(waits), bridge_next_ns(&d->bridge));
        if (waits[1].got != 0)
            return 0;
        bridge_look(&d->bridge, d->server, &d->api, &d->arena);
        for (int signal; (signal = process_signals_take(d->signal_fd)) != 0;)
            if (signal == SIGTERM || signal == SIGINT)
                return signal;
    }
}

/* Engines end with us: their channel closes, and the kernel signals them. */
static void end_at_once(struct daemon *d)
{
    log_warn("ended by a second signal: running requests are cut", NULL);
    listen_close(&d->sockets);
    home_close(&d->home);
    _exit(1);
}

static void run_to_the_end(struct daemon *d)
{
    pthread_t thread;
    struct err err = ERR_INIT;
    int signal = wait_signal(d);
    log_info("stopping", "signal=%d requests=%zu grace_ms=%lld", signal, http_server_active(d->server),
             (long long)(d->options->grace_ns / CLOCK_MS));
    bridge_end(&d->bridge); /* no listener is added from now on */
    notify_system(arena_printf(&d->arena, "STOPPING=1\nSTATUS=Finishing %zu requests", http_server_active(d->server)));
    if (!process_thread("stop", stop_main, d, 0, 0, &thread, &err)) {
        log_warn("no thread for an orderly end", "reason=%s", err.text);
        stop_parts(d, 0);
        return;
    }
    if (wait_signal(d) != 0)
        end_at_once(d);
    pthread_join(thread, NULL);
}

static void daemon_done(struct daemon *d)
{
    home_close(&d->home);
    log_set_sink(NULL, NULL);
    log_ring_free(&d->logs);
    bridge_end(&d->bridge);
    file_close(&d->signal_fd);
    file_close(&d->stopped[0]);
    file_close(&d->stopped[1]);
    file_close(&d->ready_fd);
    arena_done(&d->arena);
}

int daemon_run(const struct daemon_options *options)
{
    struct daemon d = {.options = options,
                       .start_ns = clock_now_ns(),
                       .signal_fd = -1,
                       .ready_fd = options->ready_fd,
                       .stopped = {-1, -1},
                       .home = {.lock_fd = -1},
                       .bridge = {.watch_fd = -1},
                       .logs = log_ring_new(LIMIT_LOG_RING_BYTES)};
    struct err err = ERR_INIT;
    log_init("tug", options->log_level);
    log_set_sink(log_ring_sink, d.logs);
    process_raise_files(DAEMON_FILES);
    bool ok = start_parts(&d, &err);
    if (ok) {
        start_tell(&d);
        run_to_the_end(&d);
        log_info("stopped", NULL);
    } else {
        stop_parts(&d, 0);
        fprintf(stderr, "tug serve: %s\n", err.text);
        notify_fd(&d.ready_fd, "failed", err.text);
    }
    daemon_done(&d);
    return ok ? 0 : err_exit_code(err.code);
}
