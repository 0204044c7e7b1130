/* backends/backends_fake: a fake engine, a fake store and what the tests of this folder share. For tests alone.
 *
 * The test program is its own fake engine: started with --model it speaks engine_protocol.h. The name
 * MODE-WEIGHTS[-ACTUAL] (MiB) says how it behaves, what the header predicts and what it reports.
 * The store and the GGUF reader are replaced by a few lines here, so that sizes can be anything.
 *
 *   int main(int argc, char **argv) { FAKE_ENGINE_MAIN(argc, argv); … TEST(test_x) … }
 */
#ifndef TUG_BACKENDS_FAKE_H
#define TUG_BACKENDS_FAKE_H

#include "backends/backend.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/engine_protocol.h"
#include "gguf/gguf.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/socket.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB ((uint64_t)1024 * 1024)

/* ---- the fake engine ------------------------------------------------------------------------ */

static inline void engine_say(const char *fmt, ...)
{
    char line[ENGINE_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (write(ENGINE_READY_FD, line, (size_t)n) != n)
        _exit(9);
}

static inline void engine_ready(const char *name)
{
    long weights = 1, actual = 0;
    if (sscanf(name, "%*[a-z]-%ld-%ld", &weights, &actual) < 2)
        actual = weights;
    engine_say(
        "ready {\"pid\":%d,\"memory_bytes\":%llu,\"context\":512,\"parallel\":1,\"load_ms\":1,\"embedding\":false}\n",
        getpid(), (unsigned long long)actual * MIB);
}

/* Until the daemon says "stop" or has gone. */
static inline int engine_serve(void)
{
    char data[64];
    ssize_t n = read(ENGINE_READY_FD, data, sizeof data);
    return n >= 4 && memcmp(data, ENGINE_WORD_STOP, 4) == 0 ? 0 : 3;
}

static inline int engine_list_args(int argc, char **argv)
{
    char all[2048] = "";
    size_t n = 0;
    for (int i = 1; i < argc; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s ", argv[i]);
    const char *key = getenv("TUG_API_KEY");
    engine_say("failed {\"code\":\"args\",\"message\":\"%skey=%s\"}\n", all, key == NULL ? "(unset)" : key);
    return 1;
}

static inline int engine_main(int argc, char **argv)
{
    const char *name = argv[2];
    sigset_t go;
    int got;
    sigemptyset(&go);
    sigaddset(&go, SIGUSR1);
    sigprocmask(SIG_BLOCK, &go, NULL);
    signal(SIGSEGV, SIG_DFL); /* a sanitizer has its own handler */
    fprintf(stderr, "fake engine for %s\n", name);
    if (text_starts(name, "args"))
        return engine_list_args(argc, argv);
    if (text_starts(name, "fail")) {
        engine_say("failed {\"code\":\"x\",\"message\":\"the file is cut at byte 77\"}\n");
        return 1;
    }
    if (text_starts(name, "garbage")) {
        engine_say("HTTP/1.1 400\n");
        return 1;
    }
    if (text_starts(name, "crash")) {
        fprintf(stderr, "assertion n_layers > 0\n");
        raise(SIGSEGV);
    }
    if (text_starts(name, "quit"))
        return 5;
    if (text_starts(name, "slow"))
        sigwait(&go, &got);
    if (text_starts(name, "hang"))
        for (;;)
            pause();
    if (text_starts(name, "stubborn"))
        signal(SIGTERM, SIG_IGN);
    if (!text_starts(name, "orphan"))
        prctl(PR_SET_PDEATHSIG, 0); /* the end of the channel alone has to be enough */
    engine_ready(name);
    while (text_starts(name, "stubborn") || text_starts(name, "orphan"))
        pause();
    return engine_serve();
}

/* ---- the fake store and GGUF reader --------------------------------------------------------- */

static pthread_mutex_t pins_lock = PTHREAD_MUTEX_INITIALIZER;
static int pins, most_bundles, bundles;

void store_pin(struct store *s, const char *id)
{
    (void)s, (void)id;
    pthread_mutex_lock(&pins_lock);
    pins++;
    pthread_mutex_unlock(&pins_lock);
}

void store_unpin(struct store *s, const char *id)
{
    (void)s, (void)id;
    pthread_mutex_lock(&pins_lock);
    pins--;
    pthread_mutex_unlock(&pins_lock);
}

bool store_bundle(struct store *s, const struct model *m, struct store_bundle *ret, struct err *err)
{
    (void)s;
    if (text_starts(m->names[0], "nobundle"))
        return err_set(err, ERR_NOT_FOUND, "its blob is gone");
    pthread_mutex_lock(&pins_lock);
    bundles++;
    if (bundles > most_bundles)
        most_bundles = bundles;
    pthread_mutex_unlock(&pins_lock);
    *ret =
        (struct store_bundle){.model = text_starts(m->names[0], "noweights") ? NULL : strdup(m->names[0]),
                              .chat_template = text_starts(m->names[0], "args") ? strdup("/t/template.jinja") : NULL};
    return true;
}

void store_bundle_done(struct store_bundle *b)
{
    free(b->model);
    free(b->mmproj);
    free(b->chat_template);
    pthread_mutex_lock(&pins_lock);
    bundles--;
    pthread_mutex_unlock(&pins_lock);
}

static char fake_settings[512]; /* of every model */

bool store_settings_read(struct store *s, const char *id, struct buf *out, struct err *err)
{
    (void)s, (void)id;
    if (fake_settings[0] == '\0')
        return err_set(err, ERR_NOT_FOUND, "no settings");
    return buf_add_str(out, fake_settings);
}

static pthread_mutex_t finds_lock = PTHREAD_MUTEX_INITIALIZER;
static const char *fake_found; /* the name of the model that store_find finds; NULL: none */

bool store_find(struct store *s, const char *text, struct arena *a, struct model *ret_model, struct err *err)
{
    (void)s;
    pthread_mutex_lock(&finds_lock);
    const char *name = fake_found;
    pthread_mutex_unlock(&finds_lock);
    if (name == NULL)
        return err_set(err, ERR_NOT_FOUND, "no such model");
    struct model m = {.names = arena_array(a, 2, sizeof *m.names), .n_names = 1};
    m.names[0] = name;
    text_format(m.id, sizeof m.id, "%s", text);
    *ret_model = m;
    return true;
}

struct gguf {
    uint64_t weights;
};

bool gguf_shards(const char *path, struct arena *a, const char ***ret_paths, size_t *ret_n, struct err *err)
{
    (void)err;
    *ret_paths = arena_array(a, 1, sizeof **ret_paths);
    (*ret_paths)[0] = arena_strdup(a, path);
    *ret_n = 1;
    return true;
}

bool gguf_open(const char *path, struct gguf **ret_g, struct err *err)
{
    long weights = 1;
    sscanf(path, "%*[a-z]-%ld", &weights);
    if (text_starts(path, "broken"))
        return err_set(err, ERR_INVALID, "%s is not GGUF: bad magic at 0", path);
    *ret_g = malloc(sizeof **ret_g);
    (*ret_g)->weights = (uint64_t)weights * MIB;
    return true;
}

void gguf_close(struct gguf **g)
{
    free(*g);
    *g = NULL;
}

void gguf_needs(const struct gguf *g, uint64_t context, struct gguf_needs *ret)
{
    *ret = (struct gguf_needs){.weights_bytes = g->weights, .kv_bytes = context * 4096, .context_train = 131072};
}

/* ---- a set of backends for one test --------------------------------------------------------- */

static struct fixture {
    struct backends *b;
    char folder[64], run_dir[80], log_dir[80], self[4096];
    int fds;
} fix;

static inline int count_fds(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static inline struct backends_options options(void)
{
    return (struct backends_options){.engine_path = fix.self,
                                     .run_dir = fix.run_dir,
                                     .log_dir = fix.log_dir,
                                     .keep_alive_ns = -1,
                                     .wait_ns = 30 * CLOCK_SECOND,
                                     .memory_bytes = 1000 * MIB,
                                     .context_size = 256,
                                     .stop_ns = CLOCK_SECOND,
                                     .backoff_ns = 30 * CLOCK_SECOND};
}

static inline void start(const struct backends_options *o)
{
    struct err err = ERR_INIT;
    if (!backends_new(NULL, o, &fix.b, &err))
        fail_msg("%s", err.text);
}

static inline int set_up(void **state)
{
    (void)state;
    ssize_t n = readlink("/proc/self/exe", fix.self, sizeof fix.self - 1);
    fix.self[n] = '\0';
    strcpy(fix.folder, "/tmp/backends_test.XXXXXX");
    if (mkdtemp(fix.folder) == NULL)
        return 1;
    snprintf(fix.run_dir, sizeof fix.run_dir, "%s/run", fix.folder);
    snprintf(fix.log_dir, sizeof fix.log_dir, "%s/logs", fix.folder);
    pins = most_bundles = 0;
    fix.fds = count_fds();
    return 0;
}

/* Nothing stays: no process, no pin, no descriptor, no socket file. */
static inline int tear_down(void **state)
{
    (void)state;
    char sockets[128];
    backends_stop(&fix.b, clock_now_ns() + 5 * CLOCK_SECOND);
    snprintf(sockets, sizeof sockets, "%s", fix.run_dir);
    rmdir(sockets); /* only if it is empty */
    bool left = file_stat(sockets).kind != FILE_KIND_NONE;
    int fds = count_fds();
    bool child = waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD;
    if (left || fds != fix.fds || pins != 0 || bundles != 0 || child)
        fprintf(stderr, "left behind: sockets %d, descriptors %d, pins %d, bundles %d, children %d\n", left,
                fds - fix.fds, pins, bundles, child);
    file_remove_tree(fix.folder, NULL);
    return left || fds != fix.fds || pins != 0 || bundles != 0 || child;
}

static inline struct model model_of(const char *const *name)
{
    struct model m = {.names = (const char **)(uintptr_t)name, .n_names = 1};
    digest_of(*name, strlen(*name), m.id);
    return m;
}

static inline bool use(const char *name, int cancel_fd, struct backend_use *ret_use, struct err *err)
{
    struct model m = model_of(&name);
    return backends_use(fix.b, &m, name, BACKEND_COMPLETION, cancel_fd, ret_use, err);
}

static inline struct backend_use use_ok(const char *name)
{
    struct backend_use u = {0};
    struct err err = ERR_INIT;
    if (!use(name, -1, &u, &err))
        fail_msg("%s: %s", name, err.text);
    return u;
}

static inline void use_fails(const char *name, enum err_code code, const char *text)
{
    struct backend_use u = {0};
    struct err err = ERR_INIT;
    assert_false(use(name, -1, &u, &err));
    if (err.code != code || strstr(err.text, text) == NULL)
        fail_msg("%s: %s '%s', expected %s '%s'", name, err_name(err.code), err.text, err_name(code), text);
    assert_null(u.backend);
}

/* Loads it and lets it go. */
static inline void touch(const char *name)
{
    struct backend_use u = use_ok(name);
    backends_release(fix.b, &u);
}

/* state -1: not in memory. */
static inline int state_of(const char *name, struct backend_info *ret_info)
{
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    struct backend_info *list;
    struct model m = model_of(&name);
    size_t n = backends_list(fix.b, &a, &list);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].id, m.id) != 0)
            continue;
        if (ret_info != NULL)
            *ret_info = list[i];
        return (int)list[i].state;
    }
    return -1;
}

static inline void pause_ms(int64_t ms) { socket_wait(NULL, 0, clock_now_ns() + ms * CLOCK_MS); }

static inline void wait_for_state(const char *name, int state)
{
    int64_t deadline = clock_now_ns() + 20 * CLOCK_SECOND;
    while (state_of(name, NULL) != state) {
        if (clock_now_ns() > deadline)
            fail_msg("%s is in state %d, not %d", name, state_of(name, NULL), state);
        pause_ms(2);
    }
}

static inline pid_t pid_of(const char *name)
{
    struct backend_info info = {0};
    int64_t deadline = clock_now_ns() + 20 * CLOCK_SECOND;
    while ((state_of(name, &info) < 0 || info.pid == 0) && clock_now_ns() < deadline)
        pause_ms(2);
    assert_int_not_equal(info.pid, 0);
    return info.pid;
}

/* Signals may come now: its first words are in its log. */
static inline pid_t pid_of_begun(const char *name)
{
    char path[256];
    struct model m = model_of(&name);
    pid_t pid = pid_of(name);
    snprintf(path, sizeof path, "%s/engine-%.12s.log", fix.log_dir, digest_hex(m.id));
    for (int64_t deadline = clock_now_ns() + 20 * CLOCK_SECOND; clock_now_ns() < deadline; pause_ms(1)) {
        struct buf text = BUF_INIT(65536);
        bool begun = file_read_all(path, text.max, &text, NULL) && strstr(buf_str(&text), "fake engine for") != NULL;
        buf_done(&text);
        if (begun)
            return pid;
    }
    fail_msg("the engine for %s says nothing", name);
    return 0;
}

/* A request on a thread of its own. */
struct asker {
    const char *name;
    int cancel_fd;
    pthread_t thread;
    bool ok;
    struct err err;
    struct backend_use use;
};

static inline void *ask(void *arg)
{
    struct asker *a = arg;
    a->ok = use(a->name, a->cancel_fd, &a->use, &a->err);
    return NULL;
}

static inline void ask_begin(struct asker *a, const char *name, int cancel_fd)
{
    *a = (struct asker){.name = name, .cancel_fd = cancel_fd};
    pthread_create(&a->thread, NULL, ask, a);
}

/* Until so many wait for it. */
static inline void wait_for_waiters(const char *name, size_t wanted)
{
    struct model m = model_of(&name);
    int64_t deadline = clock_now_ns() + 20 * CLOCK_SECOND;
    for (size_t n = 0; n != wanted; pause_ms(1)) {
        n = 0;
        pthread_mutex_lock(&fix.b->lock);
        for (size_t i = 0; i < fix.b->n_known; i++)
            if (strcmp(fix.b->known[i]->id, m.id) == 0)
                for (const struct waiter *w = fix.b->known[i]->waiters; w != NULL; w = w->next)
                    n++;
        pthread_mutex_unlock(&fix.b->lock);
        if (clock_now_ns() > deadline)
            fail_msg("%zu wait for %s, not %zu", n, name, wanted);
    }
}

static inline void ask_end(struct asker *a) { pthread_join(a->thread, NULL); }

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* `-v` as the first argument shows the log. */
#define FAKE_ENGINE_MAIN(argc, argv)                                                                                   \
    do {                                                                                                               \
        if ((argc) > 2 && strcmp((argv)[1], "--model") == 0)                                                           \
            return engine_main(argc, argv);                                                                            \
        log_init("test", (argc) > 1 ? LOG_DEBUG : LOG_ERROR);                                                          \
    } while (0)

#endif
