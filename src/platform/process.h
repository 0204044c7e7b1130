/* platform/process: other programs and ourselves as one. No shell is ever involved. */
#ifndef TUG_PLATFORM_PROCESS_H
#define TUG_PLATFORM_PROCESS_H

#include "base/buf.h"
#include "base/err.h"

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

struct process {
    pid_t pid;
    int pidfd; /* readable when it has ended; -1 after process_done */
};

struct process_spec {
    const char *const *argv;            /* argv[0] is the path, or a name to be found in PATH; NULL-terminated */
    const char *const *env;             /* "NAME=value" added to ours, NULL-terminated; NULL: none */
    int stdin_fd, stdout_fd, stderr_fd; /* -1: /dev/null for stdin, ours for the others */
    const int *pass_fds;                /* each arrives as fd 3, 4, … in this order */
    size_t n_pass_fds;
    enum { PROCESS_CHILD, PROCESS_DETACHED } kind; /* CHILD dies with us (PR_SET_PDEATHSIG); DETACHED: own session */
};

/* Safe in a process with threads. A CHILD is killed when the calling *thread* ends (Linux ties PR_SET_PDEATHSIG to it),
 * so call this from one that lives as long. Not in PATH: ERR_NOT_FOUND. */
bool process_spawn(const struct process_spec *spec, struct process *ret_process, struct err *err);
/* This process becomes that program, with our standard descriptors; returns (false) only when it could not. */
bool process_replace(const char *const *argv, const char *const *env, struct err *err);
/* Another's process, by its number: to signal it and to wait for its end (its status is not ours to know). */
bool process_open(pid_t pid, struct process *ret_process, struct err *err);
bool process_signal(const struct process *p, int signal);
/* Waits until it ended or deadline (clock_now_ns). *ret_status: exit code, or 128 + signal. False: still running. */
bool process_wait(struct process *p, int64_t deadline_ns, int *ret_status);
void process_done(struct process *p); /* closes the pidfd; reaps if it ended */

/* Runs to the end: stdin text in, at most out->max bytes of stdout (more: ERR_TOO_LARGE); its stderr is dropped. It and
 * what it started are killed after timeout_ns: ERR_UNREACHABLE. *ret_status as above; a failed program is not an error.
 */
bool process_run(const char *const *argv, const char *stdin_text, struct buf *out, int64_t timeout_ns, int *ret_status,
                 struct err *err);

/* A descriptor that is readable when one of `signals` (0-terminated) arrives; blocks them in all threads made after it.
 */
bool process_signals_open(const int *signals, int *ret_fd, struct err *err);
int process_signals_take(int fd); /* the next one, 0 if none */

const char *process_env(const char *name); /* NULL or non-empty */
/* Threads with a small stack (0: the system's default); name of at most 15 characters. ret_thread: pthread_t *, or
 * NULL. Detached threads are counted by their owner. */
bool process_thread(const char *name, void *(*run)(void *), void *arg, size_t stack_bytes, int detached,
                    void *ret_thread, struct err *err);
/* Lets us have as many descriptors as the system allows, at most `most`; how many that is. */
uint64_t process_raise_files(uint64_t most);
unsigned process_cpus(void); /* that we may use, cgroup quota included */

#endif
