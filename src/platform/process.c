/* platform/process.c: ourselves: environment, signals, threads, processors. Other programs: process_spawn.c. */
#include "platform/process.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "platform/cgroup.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

const char *process_env(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

bool process_signals_open(const int *signals, int *ret_fd, struct err *err)
{
    sigset_t set;
    sigemptyset(&set);
    for (; *signals != 0; signals++)
        sigaddset(&set, *signals);
    int reason = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (reason != 0)
        return err_errno(err, reason, "blocking signals");
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return err_errno(err, errno, "making a descriptor for signals");
    *ret_fd = fd;
    return true;
}

int process_signals_take(int fd)
{
    struct signalfd_siginfo info;
    ssize_t n;
    do
        n = read(fd, &info, sizeof info);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

struct thread_start {
    void *(*run)(void *);
    void *arg;
    char name[16];
};

static void *thread_begin(void *arg)
{
    struct thread_start start = *(struct thread_start *)arg;
    free(arg);
    prctl(PR_SET_NAME, start.name);
    return start.run(start.arg);
}

/* Sanitizers make frames several times larger. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_FACTOR 8
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STACK_FACTOR 8
#endif
#endif
#ifndef STACK_FACTOR
#define STACK_FACTOR 1
#endif

bool process_thread(const char *name, void *(*run)(void *), void *arg, size_t stack_bytes, int detached,
                    void *ret_thread, struct err *err)
{
    pthread_t thread;
    pthread_attr_t attr;
    size_t stack = stack_bytes * STACK_FACTOR;
    if (stack < (size_t)PTHREAD_STACK_MIN)
        stack = (size_t)PTHREAD_STACK_MIN;
    struct thread_start *start = check_alloc(calloc(1, sizeof *start));
    start->run = run;
    start->arg = arg;
    snprintf(start->name, sizeof start->name, "%s", name);
    CHECK(pthread_attr_init(&attr) == 0);
    pthread_attr_setdetachstate(&attr, detached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
    int reason = stack_bytes == 0 ? 0 : pthread_attr_setstacksize(&attr, (stack + 4095) / 4096 * 4096);
    if (reason == 0)
        reason = pthread_create(&thread, &attr, thread_begin, start);
    pthread_attr_destroy(&attr);
    if (reason != 0) {
        free(start);
        return err_errno(err, reason, "starting the thread '%s'", name);
    }
    if (ret_thread != NULL)
        memcpy(ret_thread, &thread, sizeof thread);
    return true;
}

uint64_t process_raise_files(uint64_t most)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max < most ? limit.rlim_max : (rlim_t)most;
    if (limit.rlim_cur <= before || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        limit.rlim_cur = before;
    return limit.rlim_cur;
}

static void cpus_take_group(void *ctx, const char *folder)
{
    unsigned *cpus = ctx;
    char text[64];
    char *end;
    if (!cgroup_read(folder, "cpu.max", text, sizeof text))
        return;
    unsigned long long quota = strtoull(text, &end, 10); /* "max 100000": no limit */
    unsigned long long period = end == text ? 0 : strtoull(end, NULL, 10);
    if (period == 0)
        return;
    unsigned long long allowed = (quota + period - 1) / period;
    if (allowed < *cpus)
        *cpus = allowed == 0 ? 1 : (unsigned)allowed;
}

unsigned process_cpus(void)
{
    cpu_set_t set;
    unsigned cpus = 1;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cpus = (unsigned)CPU_COUNT(&set);
    else if (sysconf(_SC_NPROCESSORS_ONLN) > 0)
        cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    cgroup_each(cpus_take_group, &cpus);
    return cpus == 0 ? 1 : cpus;
}
