/* engine/main.c: the process tug-engine: one model, one socket, from the options to the exit.
 *
 *   thread       loop                                   owns                             may wait for
 *   main         engine_wait: signals, the daemon's     the process's life               those, a drain
 *                end of the ready fd, the loader
 *   load         loader_run, then it ends               what it loads, until it ends     the disk
 *   batch        batch.c: the queue, llama_decode       context, KV cells, samplers      the queue
 *   compute-N    ggml's pool, inside llama_decode       nothing                          the batch thread
 *   accept       libmicrohttpd                          new connections                  the socket
 *   a connection http/server, front*.c                  its request and its gens         its client, its gens
 *
 * Order: the socket listens first (a client that comes early waits), then the model is loaded, then
 * requests are answered and the line "ready" goes to the daemon (engine_protocol.h).
 */
#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "engine/engine_protocol.h"
#include "engine/loader.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/memory.h"
#include "platform/process.h"
#include "platform/random.h"
#include "platform/socket.h"
#include "json/json_write.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STOP_GRACE_NS (30 * CLOCK_SECOND) /* what runs may finish; the daemon has its own, shorter or not */
#define LINE_WAIT_NS  (1 * CLOCK_SECOND)

enum { LOAD_STACK_BYTES = 8 * 1024 * 1024, KEY_MAX_BYTES = 4096 };

struct engine {
    struct engine_options options;
    int listen_fd, ready_fd, signals_fd;
    int wake_fds[2]; /* the load thread has ended */
    bool beyond;     /* listens on an address that others can reach */
    struct buf key;
    struct loaded loaded; /* the load thread's until it has ended */
    bool load_ok;
    struct err load_err;
    struct front front;
    struct http_server *server;
};

enum engine_event { EVENT_LOADED, EVENT_STOP, EVENT_ORPHANED };

/* ---- listening ---- */

static bool read_key(struct engine *e, struct err *err)
{
    const char *path = e->options.api_key_file;
    if (path == NULL)
        return true;
    if (!file_read_all(path, KEY_MAX_BYTES, &e->key, err))
        return err_while(err, "reading --api-key-file");
    size_t n = strcspn(buf_str(&e->key), "\r\n");
    if (n == 0)
        return err_set(err, ERR_INVALID, "--api-key-file %s: its first line is empty", path);
    e->key.data[n] = '\0';
    e->key.len = n;
    return true;
}

static bool listen_tcp(struct engine *e, const char *where, struct err *err)
{
    char host[256];
    const char *colon = strrchr(where, ':');
    if (colon == NULL || !text_format(host, sizeof host, "%.*s", (int)(colon - where), where))
        return err_set(err, ERR_INVALID, "--listen must be unix:PATH or HOST:PORT (got '%s')", where);
    size_t n = strlen(host);
    bool brackets = n > 2 && host[0] == '[' && host[n - 1] == ']';
    if (brackets)
        host[n - 1] = '\0';
    e->beyond = !socket_is_loopback(host + (brackets ? 1 : 0));
    if (e->beyond && e->options.api_key_file == NULL && !e->options.insecure)
        return err_set(err, ERR_INVALID,
                       "--listen %s can be reached from other machines: add --api-key-file PATH, or --insecure", where);
    if (!socket_listen_tcp(where, &e->listen_fd, err))
        return false;
    if (e->beyond && e->options.api_key_file == NULL)
        log_warn("anyone who reaches this port can use the model", "listen=%s", where);
    log_info("listening", "where=%.*s:%u", (int)(colon - where), where, (unsigned)socket_port(e->listen_fd));
    return true;
}

static bool engine_listen(struct engine *e, struct err *err)
{
    const char *where = e->options.listen;
    if (text_starts(where, "unix:"))
        return socket_listen_unix(where + strlen("unix:"), &e->listen_fd, err);
    return listen_tcp(e, where, err);
}

/* ---- the ready fd ---- */

static void write_line(const struct engine *e, const char *word, const struct buf *json)
{
    _cleanup_(buf_done) struct buf line = BUF_INIT(ENGINE_LINE_MAX);
    struct err err = ERR_INIT;
    if (e->ready_fd < 0)
        return;
    CHECK(buf_printf(&line, "%s%s\n", word, buf_str(json)));
    if (!socket_write_all(e->ready_fd, line.data, line.len, &err))
        log_warn("cannot tell the daemon", "why=\"%s\"", err.text);
}

static int engine_failed(const struct engine *e, const struct err *err)
{
    _cleanup_(buf_done) struct buf json = BUF_INIT(ENGINE_LINE_MAX / 2);
    struct json_out j = JSON_OUT(&json);
    json_open(&j, '{');
    json_kv_str(&j, "code", err_name(err->code));
    json_kv_str(&j, "message", err->text);
    json_close(&j, '}');
    write_line(e, ENGINE_WORD_FAILED, &json);
    log_error(err->text, NULL);
    return 1;
}

static void engine_ready(const struct engine *e)
{
    _cleanup_(buf_done) struct buf json = BUF_INIT(ENGINE_LINE_MAX / 2);
    struct json_out j = JSON_OUT(&json);
    struct batch_stats stats;
    uint64_t memory = memory_process_bytes(getpid());
    const struct model_info *model = model_get_info(e->loaded.model);
    batch_get_stats(e->loaded.batch, &stats);
    json_open(&j, '{');
    json_kv_int(&j, "pid", getpid());
    json_kv_uint(&j, "memory_bytes", memory);
    json_kv_int(&j, "context", stats.context);
    json_kv_int(&j, "parallel", stats.parallel);
    json_kv_int(&j, "load_ms", e->loaded.load_ns / CLOCK_MS);
    json_kv_bool(&j, "embedding", model->embedding);
    json_close(&j, '}');
    write_line(e, ENGINE_WORD_READY, &json);
    log_info("ready", "model=%s context=%d parallel=%d threads=%d memory_bytes=%" PRIu64 " load_ms=%" PRId64,
             model->alias, (int)stats.context, (int)stats.parallel, (int)stats.threads, memory,
             e->loaded.load_ns / CLOCK_MS);
}

/* ---- the life ---- */

static void *engine_load(void *arg)
{
    struct engine *e = arg;
    e->load_ok = loader_run(&e->options, &e->loaded, &e->load_err);
    socket_wake(e->wake_fds[1]);
    return NULL;
}

/* A line from the daemon. Words of a later version are no reason to stop. */
static bool read_order(struct engine *e, enum engine_event *ret_event)
{
    char line[ENGINE_LINE_MAX];
    if (!socket_read_line(e->ready_fd, line, sizeof line, clock_now_ns() + LINE_WAIT_NS, NULL)) {
        *ret_event = EVENT_ORPHANED;
        return true;
    }
    *ret_event = EVENT_STOP;
    if (strcmp(line, ENGINE_WORD_STOP) == 0)
        return true;
    log_warn("the daemon said what this version does not know", "line=\"%.64s\"", line);
    return false;
}

static enum engine_event engine_wait(struct engine *e)
{
    for (;;) {
        struct socket_wait waits[] = {
            {.fd = e->wake_fds[0], .want = SOCKET_READABLE},
            {.fd = e->signals_fd, .want = SOCKET_READABLE},
            {.fd = e->ready_fd, .want = SOCKET_READABLE},
        };
        enum engine_event event;
        (void)socket_wait(waits, ARRAY_LEN(waits), CLOCK_FOREVER);
        if (waits[1].got != 0) {
            int signal = process_signals_take(e->signals_fd);
            if (signal == SIGTERM || signal == SIGINT)
                return EVENT_STOP;
        }
        if (waits[2].got != 0 && read_order(e, &event))
            return event;
        if (waits[0].got != 0) {
            socket_drain(e->wake_fds[0]);
            return EVENT_LOADED;
        }
    }
}

static bool engine_serve(struct engine *e, struct err *err)
{
    static const char *const any_host[] = {"*", NULL};
    e->front = (struct front){
        .model = e->loaded.model,
        .batch = e->loaded.batch,
        .templates = e->loaded.templates,
        .model_path = e->options.model,
        .salt_key = {{random_u64(), random_u64()}},
        .defaults = e->options.defaults,
        .template_kwargs = e->loaded.template_kwargs,
        .created_s = clock_wall_ns() / CLOCK_SECOND,
    };
    const struct http_server_config config = {
        .routes = front_routes,
        .listen_fds = &e->listen_fd,
        .n_listen_fds = 1,
        .api_key = e->key.len > 0 ? e->key.data : NULL,
        .allowed_hosts = e->beyond ? any_host : NULL,
        .server_name = "tug-engine/" TUG_VERSION,
        .max_body = LIMIT_REQUEST_BODY_BYTES,
        .app = &e->front,
    };
    if (!http_server_start(&config, &e->server, err))
        return false;
    e->listen_fd = -1; /* the server closes it */
    return true;
}

/* Connections end first, and with them every gen; then nobody uses what was loaded. */
static void engine_stop(struct engine *e, int64_t grace_ns)
{
    log_info("stopping", "running=%zu", http_server_active(e->server));
    http_server_refuse_new(e->server);
    http_server_stop(e->server, clock_now_ns() + grace_ns);
    loaded_free(&e->loaded);
    if (text_starts(e->options.listen, "unix:"))
        (void)file_remove(e->options.listen + strlen("unix:"), NULL);
}

static bool engine_open(struct engine *e, struct err *err)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGPIPE, 0}; /* SIGPIPE only so that it is blocked */
    return process_signals_open(signals, &e->signals_fd, err) && read_key(e, err) && engine_listen(e, err) &&
           socket_pipe(e->wake_fds, err);
}

static int engine_run(struct engine *e)
{
    struct err err = ERR_INIT;
    pthread_t loader;
    if (!engine_open(e, &err) || !process_thread("load", engine_load, e, LOAD_STACK_BYTES, 0, &loader, &err))
        return engine_failed(e, &err);
    if (engine_wait(e) != EVENT_LOADED) {
        log_info("stopped while loading", NULL);
        _exit(0); /* the load thread cannot be interrupted, and holds nothing that outlives the process */
    }
    pthread_join(loader, NULL);
    if (!e->load_ok)
        return engine_failed(e, &e->load_err);
    if (!engine_serve(e, &err)) {
        loaded_free(&e->loaded);
        return engine_failed(e, &err);
    }
    engine_ready(e);
    engine_stop(e, engine_wait(e) == EVENT_ORPHANED ? 0 : STOP_GRACE_NS);
    return 0;
}

static void engine_close(struct engine *e)
{
    file_close(&e->listen_fd);
    file_close(&e->signals_fd);
    file_close(&e->wake_fds[0]);
    file_close(&e->wake_fds[1]);
    buf_done(&e->key);
}

int main(int argc, char **argv)
{
    struct engine e = {
        .listen_fd = -1, .ready_fd = -1, .signals_fd = -1, .wake_fds = {-1, -1}, .key = BUF_INIT(KEY_MAX_BYTES)};
    struct err err = ERR_INIT;
    if (!options_parse(argc, argv, &e.options, &err)) {
        fprintf(stderr, "tug-engine: %s\n", err.text);
        return err_exit_code(err.code);
    }
    if (e.options.help || e.options.version) {
        _cleanup_(buf_done) struct buf text = BUF_INIT(LIMIT_ERROR_BODY_BYTES);
        if (e.options.help)
            options_help(&text);
        else
            buf_add_str(&text, "tug-engine " TUG_VERSION ", llama.cpp " TUG_LLAMA_BUILD "\n");
        fputs(buf_str(&text), stdout);
        return 0;
    }
    log_init("engine", e.options.log_level);
    e.ready_fd = (int)e.options.ready_fd;
    int code = engine_run(&e);
    engine_close(&e);
    return code;
}
