/* platform/process_spawn.c: starting, watching and ending other programs.
 *
 * Everything that allocates or looks something up happens before fork(); between fork() and execve() the child calls
 * only what is async-signal-safe, since another thread may have held any lock. posix_spawn would be safe too, but it
 * cannot ask for PR_SET_PDEATHSIG. That signal is sent when the *thread* that forked ends, not the process: a
 * PROCESS_CHILD must be started by a thread that lives as long as the child should (the backends' thread, main).
 */
#include "platform/process.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/socket.h"
#include "platform/socket_address.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PASS_FDS_MAX = 16, FDS_MAX = 3 + PASS_FDS_MAX };
enum spawn_group { GROUP_OURS, GROUP_OWN }; /* OWN: kill(-pid) reaches what it starts as well */

/* All that the child needs, ready before fork(). */
struct spawn_plan {
    const char *path;
    const char *const *argv;
    char **envp;
    int fds[FDS_MAX]; /* the child's 0, 1, 2, 3 …; -1: /dev/null */
    size_t n_fds;
    int report_fd; /* errno of a failed step, then it ends */
    pid_t parent;
    bool child, detached;
    enum spawn_group group;
};

/* Path of a program, malloc'd: as it is when it has a slash, else the first executable in PATH. */
static char *program_find(const char *name)
{
    if (strchr(name, '/') != NULL)
        return check_alloc(strdup(name));
    const char *dirs = process_env("PATH");
    for (const char *p = dirs == NULL ? "/usr/local/bin:/usr/bin:/bin" : dirs; *p != '\0';) {
        size_t n = strcspn(p, ":");
        char *path = NULL;
        CHECK(asprintf(&path, "%.*s/%s", n == 0 ? 1 : (int)n, n == 0 ? "." : p, name) > 0);
        if (file_stat(path).kind == FILE_KIND_FILE && access(path, X_OK) == 0)
            return path;
        free(path);
        p += n + (p[n] == ':' ? 1 : 0);
    }
    return NULL;
}

static bool env_same_name(const char *a, const char *b)
{
    size_t n = strcspn(a, "=");
    return n == strcspn(b, "=") && memcmp(a, b, n) == 0;
}

static bool env_replaced(const char *entry, const char *const *added)
{
    for (; added != NULL && *added != NULL; added++)
        if (env_same_name(entry, *added))
            return true;
    return false;
}

/* Ours with `added` on top: the array is malloc'd, the strings are borrowed. */
static char **env_merge(const char *const *added)
{
    size_t n = 0;
    size_t m = 0;
    size_t k = 0;
    while (environ != NULL && environ[n] != NULL)
        n++;
    while (added != NULL && added[m] != NULL)
        m++;
    char **merged = check_alloc(calloc(n + m + 1, sizeof *merged));
    for (size_t i = 0; i < n; i++)
        if (!env_replaced(environ[i], added))
            merged[k++] = environ[i];
    for (size_t i = 0; i < m; i++)
        merged[k++] = (char *)added[i];
    return merged;
}

__attribute__((noreturn)) static void child_fail(const struct spawn_plan *plan)
{
    int reason = errno;
    ssize_t n = write(plan->report_fd, &reason, sizeof reason);
    (void)n;
    _exit(127);
}

/* Puts each descriptor in its place. All are first copied above the places, so that none is overwritten early. */
static void child_fds(struct spawn_plan *plan)
{
    int moved[FDS_MAX];
    int limit = (int)plan->n_fds;
    int report = fcntl(plan->report_fd, F_DUPFD_CLOEXEC, limit);
    if (report < 0)
        child_fail(plan);
    plan->report_fd = report;
    for (int i = 0; i < limit; i++) {
        int from = plan->fds[i];
        if (from < 0)
            from = open("/dev/null", O_RDWR | O_CLOEXEC);
        moved[i] = from < 0 ? -1 : fcntl(from, F_DUPFD_CLOEXEC, limit);
        if (moved[i] < 0)
            child_fail(plan);
    }
    for (int i = 0; i < limit; i++)
        if (dup2(moved[i], i) < 0)
            child_fail(plan);
    /* What a library opened without CLOEXEC does not leak into the program either; an old kernel only skips this. */
    syscall(SYS_close_range, (unsigned)limit, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */);
}

static void child_signals(void)
{
    sigset_t none;
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int i = 1; i < NSIG; i++) /* an ignored SIGPIPE would stay ignored across exec */
        sigaction(i, &standard, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

__attribute__((noreturn)) static void child_run(struct spawn_plan *plan)
{
    child_signals();
    if (plan->detached && setsid() < 0)
        child_fail(plan);
    if (plan->group == GROUP_OWN)
        setpgid(0, 0);
    if (plan->child) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
            child_fail(plan);
        if (getppid() != plan->parent) /* it ended before prctl */
            _exit(127);
    }
    child_fds(plan);
    execve(plan->path, (char *const *)plan->argv, plan->envp);
    child_fail(plan);
}

/* Waits for exec (the report pipe closes) or the reason why not. */
static int report_read(int fd)
{
    int reason = 0;
    ssize_t n;
    do
        n = read(fd, &reason, sizeof reason);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof reason ? reason : 0;
}

static bool spawn_failed(const struct spawn_plan *plan, int reason, struct err *err)
{
    err_errno(err, reason, "cannot start %s", plan->path);
    if (err != NULL && (reason == ENOENT || reason == ENOTDIR))
        err->code = ERR_NOT_FOUND;
    else if (err != NULL && reason == EACCES)
        err->code = ERR_FORBIDDEN;
    return false;
}

/* fork with all signals blocked: no handler of ours runs in the child. */
static pid_t fork_quietly(void)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    int reason = errno;
    if (pid != 0)
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = reason;
    return pid;
}

static bool plan_start(struct spawn_plan *plan, struct process *ret_process, struct err *err)
{
    int report[2];
    plan->parent = getpid();
    if (pipe2(report, O_CLOEXEC) < 0)
        return err_errno(err, errno, "making a pipe");
    plan->report_fd = report[1];
    pid_t pid = fork_quietly();
    if (pid == 0)
        child_run(plan);
    int reason = errno;
    close(report[1]);
    if (pid < 0) {
        close(report[0]);
        return spawn_failed(plan, reason, err);
    }
    reason = report_read(report[0]);
    close(report[0]);
    int pidfd = reason != 0 ? -1 : pidfd_open(pid, 0);
    if (pidfd < 0) {
        reason = reason != 0 ? reason : errno;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return spawn_failed(plan, reason, err);
    }
    *ret_process = (struct process){.pid = pid, .pidfd = pidfd};
    return true;
}

static bool spawn(const struct process_spec *spec, enum spawn_group group, struct process *ret_process, struct err *err)
{
    CHECK(spec->n_pass_fds <= PASS_FDS_MAX);
    _cleanup_free_ char *path = program_find(spec->argv[0]);
    if (path == NULL)
        return err_set(err, ERR_NOT_FOUND, "cannot find the program '%s' in PATH", spec->argv[0]);
    _cleanup_free_ char **envp = env_merge(spec->env);
    struct spawn_plan plan = {
        .path = path,
        .argv = spec->argv,
        .envp = envp,
        .fds = {spec->stdin_fd, spec->stdout_fd < 0 ? 1 : spec->stdout_fd, spec->stderr_fd < 0 ? 2 : spec->stderr_fd},
        .n_fds = 3 + spec->n_pass_fds,
        .child = spec->kind == PROCESS_CHILD,
        .detached = spec->kind == PROCESS_DETACHED,
        .group = group,
    };
    for (size_t i = 0; i < spec->n_pass_fds; i++)
        plan.fds[3 + i] = spec->pass_fds[i];
    for (int i = 1; i <= 2; i++) /* ours may be closed: then /dev/null */
        if (fcntl(plan.fds[i], F_GETFD) < 0)
            plan.fds[i] = -1;
    return plan_start(&plan, ret_process, err);
}

bool process_spawn(const struct process_spec *spec, struct process *ret_process, struct err *err)
{
    return spawn(spec, GROUP_OURS, ret_process, err);
}

bool process_replace(const char *const *argv, const char *const *env, struct err *err)
{
    _cleanup_free_ char *path = program_find(argv[0]);
    if (path == NULL)
        return err_set(err, ERR_NOT_FOUND, "%s is not in PATH", argv[0]);
    _cleanup_free_ char **envp = env_merge(env);
    sigset_t before;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    child_signals();
    execve(path, (char *const *)argv, envp);
    int reason = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return spawn_failed(&(struct spawn_plan){.path = path}, reason, err);
}

bool process_open(pid_t pid, struct process *ret_process, struct err *err)
{
    int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0)
        return err_errno(err, errno, "finding process %d", (int)pid);
    *ret_process = (struct process){.pid = pid, .pidfd = pidfd};
    return true;
}

/* By pidfd: a number that was given to another process meanwhile is never hit. */
bool process_signal(const struct process *p, int signal)
{
    return p->pidfd >= 0 && pidfd_send_signal(p->pidfd, signal, NULL, 0) == 0;
}

bool process_wait(struct process *p, int64_t deadline_ns, int *ret_status)
{
    struct socket_wait wait = {.fd = p->pidfd, .want = SOCKET_READABLE};
    int status = 0;
    pid_t rc;
    if (p->pidfd < 0 || socket_wait(&wait, 1, deadline_ns) == 0)
        return false;
    do
        rc = waitpid(p->pid, &status, 0);
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        *ret_status = 255; /* reaped before: its status is gone */
    else
        *ret_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return true;
}

void process_done(struct process *p)
{
    if (p->pidfd < 0)
        return;
    waitpid(p->pid, NULL, WNOHANG);
    file_close(&p->pidfd);
}

/* The text as a file in memory that can be read from its start: no pipe to fill, so no SIGPIPE and no deadlock. */
static bool stdin_file(const char *text, int *ret_fd, struct err *err)
{
    if (text == NULL)
        return true;
    _cleanup_(file_close) int fd = memfd_create("stdin", MFD_CLOEXEC);
    if (fd < 0)
        return err_errno(err, errno, "making a file in memory");
    if (!file_pwrite(fd, text, strlen(text), 0, "stdin", err))
        return false;
    *ret_fd = TAKE_FD(fd);
    return true;
}

/* Reads what is there. False when the end was reached; *too_long when out is full. */
static bool output_take(int fd, struct buf *out, bool *too_long)
{
    char bytes[4096];
    ssize_t n = read(fd, bytes, sizeof bytes);
    if (n > 0 && !buf_add(out, bytes, (size_t)n))
        *too_long = true;
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Collects stdout until it ends, or the program ends (what it left running may hold stdout open), or a limit. */
static bool output_collect(struct process *p, int fd, struct buf *out, int64_t deadline, const char *name,
                           struct err *err)
{
    bool too_long = false;
    bool open = true;
    while (open && !too_long) {
        struct socket_wait waits[] = {
            {.fd = fd, .want = SOCKET_READABLE},
            {.fd = p->pidfd, .want = SOCKET_READABLE},
        };
        if (socket_wait(waits, 2, deadline) == 0)
            return err_set(err, ERR_UNREACHABLE, "%s did not end in time", name);
        if (waits[0].got != 0)
            open = output_take(fd, out, &too_long);
        else if (waits[1].got != 0)
            open = false;
    }
    if (too_long)
        return err_set(err, ERR_TOO_LARGE, "%s wrote more than %zu bytes", name, out->max);
    return true;
}

bool process_run(const char *const *argv, const char *stdin_text, struct buf *out, int64_t timeout_ns, int *ret_status,
                 struct err *err)
{
    _cleanup_(file_close) int in = -1;
    _cleanup_(file_close) int from = -1;
    _cleanup_(file_close) int to = -1;
    _cleanup_(file_close) int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    _cleanup_(process_done) struct process p = {.pidfd = -1};
    int ends[2];
    int64_t now = clock_now_ns();
    int64_t deadline = timeout_ns > CLOCK_FOREVER - now ? CLOCK_FOREVER : now + timeout_ns;
    if (!stdin_file(stdin_text, &in, err))
        return false;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, errno, "making a pipe");
    from = ends[0];
    to = ends[1];
    if (!socket_set_nonblocking(from, err)) /* our end alone: the flag belongs to each end */
        return false;
    struct process_spec spec = {.argv = argv, .stdin_fd = in, .stdout_fd = to, .stderr_fd = nothing};
    if (!spawn(&spec, GROUP_OWN, &p, err))
        return false;
    file_close(&to);
    bool ok = output_collect(&p, from, out, deadline, argv[0], err);
    int status = 0;
    if (ok && process_wait(&p, deadline, &status)) {
        *ret_status = status;
        return true;
    }
    kill(-p.pid, SIGKILL); /* not reaped yet, so the number is still its own */
    process_wait(&p, CLOCK_FOREVER, &status);
    return ok ? err_set(err, ERR_UNREACHABLE, "%s did not end in time", argv[0]) : false;
}
