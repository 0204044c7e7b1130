/* backends/backends_test: every way through the table, with engines that do as their model's name says.
 *
 * This program is its own fake engine: started with --model it speaks engine_protocol.h. The name
 * MODE-WEIGHTS[-ACTUAL] (MiB) says how it behaves, what the header predicts and what it reports.
 * The store and the GGUF reader are replaced by a few lines here, so that sizes can be anything.
 */
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

static void engine_say(const char *fmt, ...)
{
    char line[ENGINE_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (write(ENGINE_READY_FD, line, (size_t)n) != n)
        _exit(9);
}

static void engine_ready(const char *name)
{
    long weights = 1, actual = 0;
    if (sscanf(name, "%*[a-z]-%ld-%ld", &weights, &actual) < 2)
        actual = weights;
    engine_say(
        "ready {\"pid\":%d,\"memory_bytes\":%llu,\"context\":512,\"parallel\":1,\"load_ms\":1,\"embedding\":false}\n",
        getpid(), (unsigned long long)actual * MIB);
}

/* Until the daemon says "stop" or has gone. */
static int engine_serve(void)
{
    char data[64];
    ssize_t n = read(ENGINE_READY_FD, data, sizeof data);
    return n >= 4 && memcmp(data, ENGINE_WORD_STOP, 4) == 0 ? 0 : 3;
}

static int engine_list_args(int argc, char **argv)
{
    char all[2048] = "";
    size_t n = 0;
    for (int i = 1; i < argc; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s ", argv[i]);
    const char *key = getenv("TUG_API_KEY");
    engine_say("failed {\"code\":\"args\",\"message\":\"%skey=%s\"}\n", all, key == NULL ? "(unset)" : key);
    return 1;
}

static int engine_main(int argc, char **argv)
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

static int count_fds(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static struct backends_options options(void)
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

static void start(const struct backends_options *o)
{
    struct err err = ERR_INIT;
    if (!backends_new(NULL, o, &fix.b, &err))
        fail_msg("%s", err.text);
}

static int set_up(void **state)
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
static int tear_down(void **state)
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

static struct model model_of(const char *const *name)
{
    struct model m = {.names = (const char **)(uintptr_t)name, .n_names = 1};
    digest_of(*name, strlen(*name), m.id);
    return m;
}

static bool use(const char *name, int cancel_fd, struct backend_use *ret_use, struct err *err)
{
    struct model m = model_of(&name);
    return backends_use(fix.b, &m, name, BACKEND_COMPLETION, cancel_fd, ret_use, err);
}

static struct backend_use use_ok(const char *name)
{
    struct backend_use u = {0};
    struct err err = ERR_INIT;
    if (!use(name, -1, &u, &err))
        fail_msg("%s: %s", name, err.text);
    return u;
}

static void use_fails(const char *name, enum err_code code, const char *text)
{
    struct backend_use u = {0};
    struct err err = ERR_INIT;
    assert_false(use(name, -1, &u, &err));
    if (err.code != code || strstr(err.text, text) == NULL)
        fail_msg("%s: %s '%s', expected %s '%s'", name, err_name(err.code), err.text, err_name(code), text);
    assert_null(u.backend);
}

/* Loads it and lets it go. */
static void touch(const char *name)
{
    struct backend_use u = use_ok(name);
    backends_release(fix.b, &u);
}

/* state -1: not in memory. */
static int state_of(const char *name, struct backend_info *ret_info)
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

static void pause_ms(int64_t ms) { socket_wait(NULL, 0, clock_now_ns() + ms * CLOCK_MS); }

static void wait_for_state(const char *name, int state)
{
    int64_t deadline = clock_now_ns() + 20 * CLOCK_SECOND;
    while (state_of(name, NULL) != state) {
        if (clock_now_ns() > deadline)
            fail_msg("%s is in state %d, not %d", name, state_of(name, NULL), state);
        pause_ms(2);
    }
}

static pid_t pid_of(const char *name)
{
    struct backend_info info = {0};
    int64_t deadline = clock_now_ns() + 20 * CLOCK_SECOND;
    while ((state_of(name, &info) < 0 || info.pid == 0) && clock_now_ns() < deadline)
        pause_ms(2);
    assert_int_not_equal(info.pid, 0);
    return info.pid;
}

/* Signals may come now: its first words are in its log. */
static pid_t pid_of_begun(const char *name)
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

static void *ask(void *arg)
{
    struct asker *a = arg;
    a->ok = use(a->name, a->cancel_fd, &a->use, &a->err);
    return NULL;
}

static void ask_begin(struct asker *a, const char *name, int cancel_fd)
{
    *a = (struct asker){.name = name, .cancel_fd = cancel_fd};
    pthread_create(&a->thread, NULL, ask, a);
}

/* Until so many wait for it. */
static void wait_for_waiters(const char *name, size_t wanted)
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

static void ask_end(struct asker *a) { pthread_join(a->thread, NULL); }

/* ---- loading -------------------------------------------------------------------------------- */

static void test_first_request_starts_it(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_info info;
    start(&o);
    struct backend_use one = use_ok("ready-10"), two = use_ok("ready-10");
    assert_string_equal(one.socket, two.socket);
    assert_true(text_starts(one.socket, fix.run_dir));
    assert_int_equal(state_of("ready-10", &info), BACKEND_IS_BUSY);
    assert_int_equal(info.users, 2);
    assert_int_equal(info.starts, 1);
    assert_int_equal(info.memory_bytes, 10 * MIB);
    assert_string_equal(info.mode, "completion");
    assert_int_equal(pins, 1);
    backends_release(fix.b, &one);
    backends_release(fix.b, &one); /* released already: nothing */
    backends_release(fix.b, &two);
    assert_int_equal(state_of("ready-10", &info), BACKEND_IS_IDLE);
    assert_true(info.unload_in_ns < 0);
}

static void test_two_modes_one_engine(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_info info;
    const char *name = "ready-10";
    struct model m = model_of(&name);
    struct backend_use chat, embed;
    start(&o);
    assert_true(backends_use(fix.b, &m, name, BACKEND_EMBEDDING, -1, &embed, NULL));
    assert_true(backends_use(fix.b, &m, name, BACKEND_COMPLETION, -1, &chat, NULL));
    assert_string_equal(chat.socket, embed.socket);
    state_of(name, &info);
    assert_int_equal(info.starts, 1);
    assert_string_equal(info.mode, "embedding"); /* the first one's */
    backends_release(fix.b, &chat);
    backends_release(fix.b, &embed);
}

static void test_readiness_wakes_all(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_info info;
    struct asker askers[8];
    start(&o);
    for (size_t i = 0; i < ARRAY_LEN(askers); i++)
        ask_begin(&askers[i], "slow-10", -1);
    pid_t pid = pid_of_begun("slow-10");
    wait_for_waiters("slow-10", ARRAY_LEN(askers));
    assert_int_equal(state_of("slow-10", NULL), BACKEND_IS_LOADING);
    kill(pid, SIGUSR1);
    for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
        ask_end(&askers[i]);
        assert_true(askers[i].ok);
    }
    state_of("slow-10", &info);
    assert_int_equal(info.starts, 1);
    assert_int_equal(info.users, 8);
    assert_int_equal(most_bundles, 1); /* one of them made the plan */
    for (size_t i = 0; i < ARRAY_LEN(askers); i++)
        backends_release(fix.b, &askers[i].use);
}

static void test_leaving_does_not_abort(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_info info;
    struct asker asker;
    int client[2];
    start(&o);
    socket_pair(client, NULL);
    ask_begin(&asker, "slow-10", client[0]);
    pid_t pid = pid_of_begun("slow-10");
    close(client[1]);
    ask_end(&asker);
    close(client[0]);
    assert_false(asker.ok);
    assert_int_equal(asker.err.code, ERR_CANCELLED);
    assert_int_equal(state_of("slow-10", NULL), BACKEND_IS_LOADING);
    kill(pid, SIGUSR1);
    wait_for_state("slow-10", BACKEND_IS_IDLE);
    touch("slow-10");
    state_of("slow-10", &info);
    assert_int_equal(info.starts, 1);
}

static void test_arguments(void **state)
{
    (void)state;
    static const char *const wanted[] = {
        "--model args-10 ",
        "--listen unix:/tmp/backends_test.",
        "--ready-fd 3 ",
        "--alias args-10 ",
        "--chat-template-file /t/template.jinja ",
        "--ctx-size 256 ",
        "--parallel 4 ",
        "--threads 2 ",
        "key= ",
    };
    struct backends_options o = options();
    struct backend_use u;
    struct err err = ERR_INIT;
    o.parallel = 4;
    o.threads = 2;
    setenv("TUG_API_KEY", "secret", 1);
    start(&o);
    assert_false(use("args-10", -1, &u, &err));
    unsetenv("TUG_API_KEY");
    text_format(err.text + strlen(err.text), sizeof err.text - strlen(err.text), " ");
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        if (strstr(err.text, wanted[i]) == NULL)
            fail_msg("no '%s' in: %s", wanted[i], err.text);
}

static void test_load_fails(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum err_code code;
        const char *text;
    } rows[] = {
        {"fail-10", ERR_ENGINE, "cannot load fail-10: the file is cut at byte 77"},
        {"crash-10", ERR_ENGINE, "the engine for crash-10 died while loading (signal 11, a bad memory access): "},
        {"crash-11", ERR_ENGINE, "assertion n_layers > 0"},
        {"quit-10", ERR_ENGINE, "died while loading (exit code 5)"},
        {"garbage-10", ERR_ENGINE, "is not a tug-engine, it said: HTTP/1.1 400"},
        {"nobundle-10", ERR_NOT_FOUND, "cannot load nobundle-10: its blob is gone"},
        {"noweights-10", ERR_UNSUPPORTED, "no GGUF weights"},
        {"broken-10", ERR_INVALID, "cannot load broken-10: broken-10 is not GGUF"},
    };
    struct backends_options o = options();
    start(&o);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        use_fails(rows[i].name, rows[i].code, rows[i].text);
        wait_for_state(rows[i].name, -1);
        use_fails(rows[i].name, rows[i].code, rows[i].text); /* and the next request tries again */
    }
}

static void test_failure_reaches_all_waiters(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct asker askers[4];
    start(&o);
    for (size_t i = 0; i < ARRAY_LEN(askers); i++)
        ask_begin(&askers[i], "slow-20", -1);
    pid_t pid = pid_of_begun("slow-20");
    wait_for_waiters("slow-20", ARRAY_LEN(askers));
    kill(pid, SIGSEGV);
    for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
        ask_end(&askers[i]);
        assert_false(askers[i].ok);
        assert_int_equal(askers[i].err.code, ERR_ENGINE);
        assert_non_null(strstr(askers[i].err.text, "signal 11"));
    }
}

static void test_no_engine_program(void **state)
{
    (void)state;
    struct backends_options o = options();
    o.engine_path = "/nonexistent/tug-engine";
    start(&o);
    use_fails("ready-10", ERR_ENGINE, "cannot start the engine for ready-10: cannot start /nonexistent/tug-engine");
    assert_int_equal(state_of("ready-10", NULL), -1);
    use_fails("ready-10", ERR_ENGINE, "No such file"); /* not a crash: no back-off */
}

static void test_hanging_load_is_ended(void **state)
{
    (void)state;
    struct backends_options o = options();
    o.load_ns = CLOCK_SECOND;
    o.stop_ns = CLOCK_SECOND / 10;
    start(&o);
    use_fails("hang-10", ERR_ENGINE, "was not ready after 1 s");
    wait_for_state("hang-10", -1);
}

static void test_long_run_dir(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct err err = ERR_INIT;
    o.run_dir = "/tmp/a-folder-with-a-name-so-long-that-no-socket-has-room-in-it/really-none-at-all/run";
    assert_false(backends_new(NULL, &o, &fix.b, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.text, "TUG_HOME"));
}

/* ---- crashes -------------------------------------------------------------------------------- */

static void test_crash_while_serving(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_info info;
    struct err err = ERR_INIT;
    start(&o);
    struct backend_use one = use_ok("ready-10");
    assert_false(backends_explain(fix.b, &one, &err)); /* it lives: the exchange broke for another reason */
    kill(pid_of("ready-10"), SIGSEGV);
    assert_true(backends_explain(fix.b, &one, &err));
    assert_int_equal(err.code, ERR_ENGINE);
    assert_non_null(
        strstr(err.text, "the engine for ready-10 died (signal 11, a bad memory access): fake engine for ready-10"));
    struct backend_use two = use_ok("ready-10"); /* the next one starts it again */
    assert_int_not_equal(two.generation, one.generation);
    backends_release(fix.b, &one); /* of the dead one: must not count for the living */
    assert_int_equal(state_of("ready-10", &info), BACKEND_IS_BUSY);
    assert_int_equal(info.users, 1);
    assert_int_equal(info.crashes, 1);
    backends_release(fix.b, &two);
}

static void crash(const char *name)
{
    struct backend_use u = use_ok(name);
    struct err err = ERR_INIT;
    kill(pid_of(name), SIGSEGV);
    assert_true(backends_explain(fix.b, &u, &err));
    backends_release(fix.b, &u);
}

static void test_back_off(void **state)
{
    (void)state;
    struct backends_options o = options();
    o.backoff_ns = CLOCK_SECOND / 2;
    start(&o);
    for (int i = 0; i < 3; i++)
        crash("ready-10");
    use_fails("ready-10", ERR_ENGINE, "ready-10 crashed 3 times in a row; Tug starts it again in 1 s at the earliest");
    touch("ready-11"); /* others are not concerned */
    pause_ms(600);
    crash("ready-10");
    use_fails("ready-10", ERR_ENGINE, "crashed 4 times in a row");
    pause_ms(600);
    use_fails("ready-10", ERR_ENGINE, "crashed 4 times in a row"); /* the delay has grown */
    pause_ms(600);
    touch("ready-10");
}

/* ---- leaving -------------------------------------------------------------------------------- */

static void test_keep_alive(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_info info;
    const char *name = "ready-12";
    struct model m = model_of(&name);
    o.keep_alive_ns = CLOCK_SECOND;
    start(&o);
    backends_set_keep_alive(fix.b, m.id, 0);
    struct backend_use used = use_ok("ready-10");
    touch("ready-11");
    touch("ready-12");
    wait_for_state("ready-12", -1); /* 0: at once */
    assert_int_equal(state_of("ready-11", &info), BACKEND_IS_IDLE);
    assert_in_range(info.unload_in_ns, 0, CLOCK_SECOND);
    wait_for_state("ready-11", -1);
    pause_ms(300);
    assert_int_equal(state_of("ready-10", NULL), BACKEND_IS_BUSY); /* in use: however long */
    backends_release(fix.b, &used);
    assert_int_equal(state_of("ready-10", NULL), BACKEND_IS_IDLE);
    wait_for_state("ready-10", -1);
    backends_set_keep_alive(fix.b, m.id, -1);
    touch("ready-12");
    pause_ms(1200);
    assert_int_equal(state_of("ready-12", &info), BACKEND_IS_IDLE); /* negative: never */
    assert_true(info.keep_alive_set);
    backends_set_keep_alive(fix.b, m.id, 0); /* and that counts for a loaded one too */
    wait_for_state("ready-12", -1);
}

static void test_unload(void **state)
{
    (void)state;
    struct backends_options o = options();
    const char *one = "ready-10", *two = "ready-11";
    struct model m1 = model_of(&one), m2 = model_of(&two);
    start(&o);
    assert_int_equal(backends_unload(fix.b, m1.id), 0);
    struct backend_use used = use_ok(one);
    touch(two);
    touch("ready-12");
    assert_int_equal(backends_unload(fix.b, m1.id), 0); /* busy: not running */
    assert_int_equal(backends_unload(fix.b, m2.id), 1);
    assert_int_equal(state_of(two, NULL), -1);
    assert_int_equal(backends_unload(fix.b, NULL), 1);
    assert_int_equal(state_of("ready-12", NULL), -1);
    backends_release(fix.b, &used);
    assert_int_equal(backends_unload(fix.b, NULL), 1);
    touch(one); /* and it can come back */
}

static void test_oldest_idle_leaves(void **state)
{
    (void)state;
    struct backends_options o = options();
    o.memory_bytes = 400 * MIB;
    start(&o);
    struct backend_use used = use_ok("ready-101"); /* oldest, but in use */
    touch("ready-102");
    touch("ready-103");
    touch("ready-102"); /* now 103 is the one unused for longest */
    touch("ready-104");
    assert_int_equal(state_of("ready-101", NULL), BACKEND_IS_BUSY);
    assert_int_equal(state_of("ready-102", NULL), BACKEND_IS_IDLE);
    assert_int_equal(state_of("ready-103", NULL), -1);
    assert_int_equal(state_of("ready-104", NULL), BACKEND_IS_IDLE);
    touch("ready-150"); /* needs two to leave */
    assert_int_equal(state_of("ready-101", NULL), BACKEND_IS_BUSY);
    assert_int_equal(state_of("ready-102", NULL) == BACKEND_IS_IDLE, 0);
    backends_release(fix.b, &used);
}

static void test_kept_ones_leave_last(void **state)
{
    (void)state;
    struct backends_options o = options();
    const char *kept = "ready-101";
    struct model m = model_of(&kept);
    o.memory_bytes = 400 * MIB;
    o.keep_alive_ns = 60 * CLOCK_SECOND;
    start(&o);
    backends_set_keep_alive(fix.b, m.id, -1);
    touch("ready-101");
    touch("ready-102");
    touch("ready-103");
    touch("ready-104");
    assert_int_equal(state_of("ready-101", NULL), BACKEND_IS_IDLE);
    assert_int_equal(state_of("ready-102", NULL), -1);
    touch("ready-340");
    assert_int_equal(state_of("ready-101", NULL), -1);
}

/* What the engine says counts, not what was predicted. */
static void test_measured_memory_counts(void **state)
{
    (void)state;
    struct backends_options o = options();
    o.memory_bytes = 400 * MIB;
    start(&o);
    touch("ready-10-350");
    touch("ready-20");
    assert_int_equal(state_of("ready-10-350", NULL), -1);
    assert_int_equal(state_of("ready-20", NULL), BACKEND_IS_IDLE);
}

static void test_all_in_use(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct asker asker;
    o.memory_bytes = 300 * MIB;
    o.wait_ns = CLOCK_SECOND / 2;
    start(&o);
    struct backend_use used = use_ok("ready-200");
    int64_t begun = clock_now_ns();
    use_fails("ready-201", ERR_UNAVAILABLE, "in use are ready-200 (209.72MB)");
    assert_in_range(clock_now_ns() - begun, CLOCK_SECOND / 2, 5 * CLOCK_SECOND);
    struct backend_use small = use_ok("ready-20"); /* what fits beside it goes on */
    ask_begin(&asker, "ready-202", -1);
    wait_for_state("ready-202", BACKEND_IS_LOADING);
    backends_release(fix.b, &used); /* its turn */
    ask_end(&asker);
    assert_true(asker.ok);
    assert_int_equal(state_of("ready-200", NULL), -1);
    backends_release(fix.b, &asker.use);
    backends_release(fix.b, &small);
}

static void test_waiter_for_room_leaves(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct asker asker;
    int client[2];
    o.memory_bytes = 300 * MIB;
    start(&o);
    struct backend_use used = use_ok("ready-200");
    socket_pair(client, NULL);
    ask_begin(&asker, "ready-201", client[0]);
    wait_for_state("ready-201", BACKEND_IS_LOADING);
    close(client[1]);
    ask_end(&asker);
    close(client[0]);
    assert_int_equal(asker.err.code, ERR_CANCELLED);
    wait_for_state("ready-201", -1); /* nobody waits: its place is given up */
    backends_release(fix.b, &used);
    pause_ms(50);
    assert_int_equal(state_of("ready-200", NULL), BACKEND_IS_IDLE); /* and nothing was evicted for it */
}

static void test_larger_than_everything(void **state)
{
    (void)state;
    struct backends_options o = options();
    o.memory_bytes = 300 * MIB;
    start(&o);
    touch("ready-100");
    use_fails("ready-5000", ERR_ENGINE, "cannot load ready-5000: it needs 5.29GB (weights 5.24GB");
    use_fails("ready-5000", ERR_ENGINE, "the memory limit of this daemon is 314.57MB");
    assert_int_equal(state_of("ready-100", NULL), BACKEND_IS_IDLE); /* nobody had to leave in vain */
}

/* A default context gives way to memory; one that was asked for does not. */
static void test_context_gives_way(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct backend_use u;
    struct err err = ERR_INIT;
    o.context_size = 0;
    o.memory_bytes = 100 * MIB; /* 16384 tokens alone are 64 MiB here */
    start(&o);
    assert_false(use("args-30", -1, &u, &err));
    assert_non_null(strstr(err.text, "--ctx-size 4096 "));
}

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
static void test_limit_backends(void **state)
{
    (void)state;
    struct backends_options o = options();
    char name[32];
    struct backend_use first;
    o.memory_bytes = 100000 * MIB;
    start(&o);
    first = use_ok("ready-1");
    for (int i = 2; i <= LIMIT_BACKENDS + 1; i++) {
        snprintf(name, sizeof name, "ready-%d", i);
        touch(name);
    }
    assert_int_equal(state_of("ready-1", NULL), BACKEND_IS_BUSY);
    assert_int_equal(state_of("ready-2", NULL), -1);
    assert_int_equal(state_of("ready-3", NULL), BACKEND_IS_IDLE);
    backends_release(fix.b, &first);
}
#endif

/* ---- the end -------------------------------------------------------------------------------- */

static void *release_later(void *arg)
{
    pause_ms(300);
    backends_release(fix.b, arg);
    return NULL;
}

static void *stop_now(void *arg)
{
    struct backends *b = arg;
    backends_stop(&b, clock_now_ns() + 10 * CLOCK_SECOND);
    return NULL;
}

static void test_stop_lets_users_finish(void **state)
{
    (void)state;
    struct backends_options o = options();
    pthread_t thread, stopper;
    start(&o);
    struct backend_use u = use_ok("ready-10"), other = use_ok("ready-11");
    backends_release(fix.b, &other);
    pid_t pid = pid_of("ready-10");
    int64_t begun = clock_now_ns();
    pthread_create(&thread, NULL, release_later, &u);
    pthread_create(&stopper, NULL, stop_now, fix.b);
    wait_for_state("ready-11", -1); /* an idle one goes at once */
    use_fails("ready-11", ERR_UNAVAILABLE, "the daemon is stopping");
    assert_int_equal(kill(pid, 0), 0);
    pthread_join(thread, NULL);
    pthread_join(stopper, NULL);
    fix.b = NULL;
    assert_in_range(clock_now_ns() - begun, 300 * CLOCK_MS, 5 * CLOCK_SECOND);
}

static void test_stop_is_not_held_up(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct asker loading;
    o.stop_ns = CLOCK_SECOND / 2;
    start(&o);
    touch("stubborn-10");
    ask_begin(&loading, "slow-10", -1);
    pid_of("slow-10");
    int64_t begun = clock_now_ns();
    backends_stop(&fix.b, begun + 2 * CLOCK_SECOND);
    assert_in_range(clock_now_ns() - begun, CLOCK_SECOND, 5 * CLOCK_SECOND);
    ask_end(&loading);
    assert_int_equal(loading.err.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(loading.err.text, "the daemon is stopping"));
}

static void test_stop_while_waiting_for_room(void **state)
{
    (void)state;
    struct backends_options o = options();
    struct asker asker;
    o.memory_bytes = 300 * MIB;
    start(&o);
    struct backend_use used = use_ok("ready-200");
    pthread_t thread;
    ask_begin(&asker, "ready-201", -1);
    wait_for_state("ready-201", BACKEND_IS_LOADING);
    pthread_create(&thread, NULL, release_later, &used);
    struct backends *b = fix.b;
    backends_stop(&b, clock_now_ns() + 10 * CLOCK_SECOND);
    fix.b = NULL;
    pthread_join(thread, NULL);
    ask_end(&asker);
    assert_int_equal(asker.err.code, ERR_UNAVAILABLE);
}

/* kill -9 of the daemon: `name` tells which of the two ways ends its engine. */
static void check_no_orphan(const char *name)
{
    int report[2];
    pid_t engine = 0;
    assert_int_equal(pipe(report), 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t daemon = fork();
    if (daemon == 0) {
        struct backends_options o = options();
        if (!backends_new(NULL, &o, &fix.b, NULL))
            _exit(1);
        touch(name);
        engine = pid_of(name);
        if (write(report[1], &engine, sizeof engine) != sizeof engine)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(report[0], &engine, sizeof engine), sizeof engine);
    close(report[0]);
    close(report[1]);
    kill(daemon, SIGKILL);
    waitpid(daemon, NULL, 0);
    alarm(20); /* else the wait below is the failure */
    assert_int_equal(waitpid(engine, NULL, 0), engine);
    alarm(0);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void test_killed_daemon_leaves_no_engine(void **state)
{
    (void)state;
    check_no_orphan("ready-10");  /* by the end of the channel: it has switched the signal off */
    check_no_orphan("orphan-10"); /* by the signal: it does not look at the channel */
    struct backends_options o = options();
    start(&o); /* sockets that were left are gone now */
}

/* ---- traffic -------------------------------------------------------------------------------- */

enum { TRAFFIC_THREADS = 6, TRAFFIC_USES = 40 };

static void *traffic(void *arg)
{
    static const char *const names[] = {"ready-101", "ready-102", "ready-103", "ready-104", "fail-50"};
    unsigned seed = (unsigned)(uintptr_t)arg;
    for (int i = 0; i < TRAFFIC_USES; i++) {
        const char *name = names[(size_t)rand_r(&seed) % ARRAY_LEN(names)];
        struct backend_use u = {0};
        struct err err = ERR_INIT;
        if (use(name, -1, &u, &err)) {
            if (rand_r(&seed) % 4 == 0)
                pause_ms(1);
            if (rand_r(&seed) % 16 == 0)
                backends_set_keep_alive(fix.b, u.id, rand_r(&seed) % 2 == 0 ? 0 : -1);
            backends_release(fix.b, &u);
        } else if (err.code != ERR_ENGINE) {
            return strdup(err.text);
        }
        if (rand_r(&seed) % 16 == 0)
            backends_unload(fix.b, NULL);
    }
    return NULL;
}

/* Many models, room for two: all get their turn, and the budget holds at every moment. */
static void test_traffic(void **state)
{
    (void)state;
    struct backends_options o = options();
    pthread_t threads[TRAFFIC_THREADS];
    o.memory_bytes = 320 * MIB;
    o.wait_ns = 60 * CLOCK_SECOND;
    start(&o);
    for (size_t i = 0; i < TRAFFIC_THREADS; i++)
        pthread_create(&threads[i], NULL, traffic, (void *)(uintptr_t)(i + 1));
    for (int i = 0; i < 100; i++) {
        _cleanup_(arena_done) struct arena a = ARENA_INIT;
        struct backend_info *list;
        uint64_t used = 0;
        size_t n = backends_list(fix.b, &a, &list);
        for (size_t k = 0; k < n; k++)
            used += list[k].pid != 0 ? list[k].memory_bytes : 0;
        assert_true(used <= o.memory_bytes);
        pause_ms(5);
    }
    for (size_t i = 0; i < TRAFFIC_THREADS; i++) {
        void *why;
        pthread_join(threads[i], &why);
        if (why != NULL)
            fail_msg("%s", (char *)why);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--model") == 0)
        return engine_main(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(test_first_request_starts_it),
        TEST(test_two_modes_one_engine),
        TEST(test_readiness_wakes_all),
        TEST(test_leaving_does_not_abort),
        TEST(test_arguments),
        TEST(test_load_fails),
        TEST(test_failure_reaches_all_waiters),
        TEST(test_no_engine_program),
        TEST(test_hanging_load_is_ended),
        TEST(test_long_run_dir),
        TEST(test_crash_while_serving),
        TEST(test_back_off),
        TEST(test_keep_alive),
        TEST(test_unload),
        TEST(test_oldest_idle_leaves),
        TEST(test_kept_ones_leave_last),
        TEST(test_measured_memory_counts),
        TEST(test_all_in_use),
        TEST(test_waiter_for_room_leaves),
        TEST(test_larger_than_everything),
        TEST(test_context_gives_way),
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
        TEST(test_limit_backends),
#endif
        TEST(test_stop_lets_users_finish),
        TEST(test_stop_is_not_held_up),
        TEST(test_stop_while_waiting_for_room),
        TEST(test_killed_daemon_leaves_no_engine),
        TEST(test_traffic),
    };
    log_init("backends_test", argc > 1 ? LOG_DEBUG : LOG_ERROR);
    return cmocka_run_group_tests_name("backends", tests, NULL, NULL);
}
