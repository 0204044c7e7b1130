/* backends/spawn.c: starting a tug-engine, and ending it: asked first, then told, then made to.
 *
 * Engines are started by the backends thread and no other: the kernel ends a child with the thread
 * that made it (PR_SET_PDEATHSIG), and connection threads come and go.
 */
#include "backends/backend.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/socket.h"

#include <signal.h>
#include <string.h>

/* What the daemon may know and an engine must not: it serves one model and needs no network. */
static const char *const engine_env[] = {
    "TUG_API_KEY=", "HF_TOKEN=", "HUGGING_FACE_HUB_TOKEN=", "NOTIFY_SOCKET=", "LISTEN_FDS=", "LISTEN_PID=", NULL,
};

enum { ENGINE_ARGS_MAX = 32 + LIMIT_RUNTIME_FLAGS };

struct engine_args {
    const char *argv[ENGINE_ARGS_MAX];
    size_t n;
    struct arena arena;
};

static void args_done(struct engine_args *args) { arena_done(&args->arena); }

static void args_add(struct engine_args *args, const char *name, const char *value)
{
    CHECK(args->n + 2 < ENGINE_ARGS_MAX);
    args->argv[args->n++] = name;
    args->argv[args->n++] = value;
    args->argv[args->n] = NULL;
}

static void args_add_text(struct engine_args *args, const char *name, const char *value)
{
    if (value != NULL)
        args_add(args, name, value);
}

static void args_add_number(struct engine_args *args, const char *name, int64_t value)
{
    if (value > 0)
        args_add(args, name, arena_printf(&args->arena, "%lld", (long long)value));
}

static void args_fill(struct engine_args *args, const struct backends *b, const struct backend *be)
{
    args->argv[args->n++] = b->options.engine_path;
    args_add(args, "--model", be->plan.model);
    args_add(args, "--listen", arena_printf(&args->arena, "unix:%s", be->socket));
    args_add_number(args, "--ready-fd", ENGINE_READY_FD);
    args_add(args, "--alias", arena_strdup(&args->arena, be->name));
    args_add_text(args, "--mmproj", be->plan.mmproj);
    args_add_text(args, "--chat-template-file", be->plan.chat_template);
    args_add_number(args, "--ctx-size", be->plan.context);
    args_add_number(args, "--parallel", b->options.parallel);
    args_add_number(args, "--threads", b->options.threads);
    for (size_t i = 0; i < be->plan.n_args && args->n + 1 < ENGINE_ARGS_MAX; i++)
        args->argv[args->n++] = be->plan.args[i]; /* behind the daemon's own: the last one counts */
    args->argv[args->n] = NULL;
}

/* A channel for "ready" and "stop", and one for stderr. Both are sockets, whose ends can block differently: the engine
 * may wait when it writes, we never do when we read. */
static bool engine_wires(int channel[2], int errors[2], struct err *err)
{
    if (!socket_pair(channel, err))
        return false;
    if (!socket_pair(errors, err)) {
        file_close(&channel[0]);
        file_close(&channel[1]);
        return false;
    }
    return socket_set_nonblocking(channel[0], err) && socket_set_nonblocking(errors[0], err);
}

bool engine_spawn(struct backends *b, struct backend *be, struct err *err)
{
    int channel[2] = {-1, -1}, errors[2] = {-1, -1};
    _cleanup_(args_done) struct engine_args args = {0};
    struct process process;
    if (!text_format(be->socket, sizeof be->socket, "%s/m-%.12s-%llu.sock", b->options.run_dir, digest_hex(be->id),
                     (unsigned long long)be->generation))
        return err_set(err, ERR_INTERNAL, "the socket path of %s is too long", be->name);
    args_fill(&args, b, be);
    file_remove(be->socket, NULL);
    bool ok = engine_wires(channel, errors, err);
    if (ok) {
        struct process_spec spec = {.argv = args.argv,
                                    .env = engine_env,
                                    .stdin_fd = -1,
                                    .stdout_fd = errors[1],
                                    .stderr_fd = errors[1],
                                    .pass_fds = &channel[1],
                                    .n_pass_fds = 1,
                                    .kind = PROCESS_CHILD};
        ok = process_spawn(&spec, &process, err);
        if (!ok && err != NULL)
            err->code = ERR_ENGINE;
    }
    file_close(&channel[1]);
    file_close(&errors[1]);
    if (!ok) {
        file_close(&channel[0]);
        file_close(&errors[0]);
        return err_while(err, "cannot start the engine for %s", be->name);
    }
    be->pid = process.pid;
    be->engine = check_alloc(malloc(sizeof *be->engine));
    *be->engine = (struct engine){.process = process,
                                  .channel_fd = channel[0],
                                  .stderr_fd = errors[0],
                                  .term_ns = CLOCK_FOREVER,
                                  .kill_ns = CLOCK_FOREVER};
    words_begin(&be->engine->words, b->options.log_dir, be->id, be->name);
    return true;
}

void engine_stop_begin(struct backends *b, struct backend *be)
{
    int64_t now = clock_now_ns(), gap = b->options.stop_ns;
    if (b->ending && now + 2 * gap > b->end_ns)
        gap = b->end_ns > now ? (b->end_ns - now) / 2 : 0;
    be->engine->term_ns = now + gap;
    be->engine->kill_ns = now + 2 * gap;
    socket_write_all(be->engine->channel_fd, ENGINE_WORD_STOP "\n", sizeof ENGINE_WORD_STOP, NULL);
}

void engine_signal_due(struct backend *be, int64_t now)
{
    if (be->engine->kill_ns <= now) {
        log_warn("an engine does not stop: killed", "model=%s pid=%d", be->name, (int)be->engine->process.pid);
        process_signal(&be->engine->process, SIGKILL);
        be->engine->term_ns = be->engine->kill_ns = CLOCK_FOREVER;
    } else if (be->engine->term_ns <= now) {
        process_signal(&be->engine->process, SIGTERM);
        be->engine->term_ns = CLOCK_FOREVER;
    }
}

void engine_close(struct backend *be)
{
    words_end(&be->engine->words);
    process_done(&be->engine->process);
    file_close(&be->engine->channel_fd);
    file_close(&be->engine->stderr_fd);
    file_remove(be->socket, NULL);
    free(be->engine);
    be->engine = NULL;
    be->pid = 0;
}

void engine_status_text(int status, char *dst, size_t size)
{
    static const struct {
        int number;
        const char *what;
    } signals[] = {
        {SIGSEGV, "a bad memory access"},
        {SIGBUS, "a file or memory that went away"},
        {SIGABRT, "it gave up"},
        {SIGILL, "an instruction that this CPU lacks"},
        {SIGFPE, "a bad calculation"},
        {SIGKILL, "killed from outside: often the kernel, for want of memory"},
        {SIGTERM, "told to end from outside"},
    };
    const char *what = NULL;
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        if (signals[i].number == status - 128)
            what = signals[i].what;
    if (status <= 128)
        text_format(dst, size, "exit code %d", status);
    else if (what == NULL)
        text_format(dst, size, "signal %d", status - 128);
    else
        text_format(dst, size, "signal %d, %s", status - 128, what);
}
