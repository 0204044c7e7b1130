/* cli/daemon_start.c: start `tug serve` quietly when no daemon answers; race-free.
 *
 * Whoever holds TUG_HOME/start.lock may start one; the others wait for the lock and then find it
 * running. The child is told a descriptor on which it writes a line when it listens; its end
 * without that line is the failure, and the last lines of its log are the reason. No polling.
 */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/process.h"
#include "platform/socket.h"

#include <signal.h>
#include <string.h>

enum { START_TIMEOUT_S = 20, START_LOG_TAIL = 600, START_FLAGS_MAX = 16 };

static bool start_failed(const char *log, struct err *err)
{
    _cleanup_(buf_done) struct buf text = BUF_INIT(4 * 1024 * 1024);
    if (!file_read_all(log, text.max, &text, NULL) || text.len == 0)
        return err_set(err, ERR_UNAVAILABLE, "the daemon did not start and left no word in %s", log);
    const char *tail = text.len > START_LOG_TAIL ? text.data + text.len - START_LOG_TAIL : text.data;
    return err_set(err, ERR_UNAVAILABLE, "the daemon did not start; the end of %s:\n%s", log, tail);
}

static bool start_spawn(struct cli *cli, const char *const *flags, struct err *err)
{
    _cleanup_free_ char *dir = file_program_dir();
    char program[4096], log[4096], logs[4096];
    text_format(program, sizeof program, "%s/tug", dir);
    text_format(logs, sizeof logs, "%s/logs", cli->home);
    text_format(log, sizeof log, "%s/serve.log", logs);
    _cleanup_(file_close) int log_fd = -1;
    int pair[2];
    if (!file_mkdirs(logs, 0700, err) || !file_remove(log, err) || !file_open(log, FILE_APPEND, &log_fd, err) ||
        !socket_pair(pair, err))
        return false;
    const char *argv[START_FLAGS_MAX + 7] = {program, "serve", "--home", cli->home, "--ready-fd", "3"};
    for (size_t i = 0; flags != NULL && flags[i] != NULL && i < START_FLAGS_MAX; i++)
        argv[6 + i] = flags[i];
    struct process_spec spec = {.argv = argv,
                                .stdin_fd = -1,
                                .stdout_fd = log_fd,
                                .stderr_fd = log_fd,
                                .pass_fds = &pair[1],
                                .n_pass_fds = 1,
                                .kind = PROCESS_DETACHED};
    struct process child;
    bool ok = process_spawn(&spec, &child, err);
    close(pair[1]);
    if (ok) {
        char line[ERR_TEXT_MAX] = "";
        int64_t deadline = clock_now_ns() + START_TIMEOUT_S * CLOCK_SECOND;
        if (!socket_read_line(pair[0], line, sizeof line, deadline, NULL))
            ok = start_failed(log, err);
        else if (text_starts(line, "failed "))
            ok = err_set(err, ERR_UNAVAILABLE, "the daemon did not start: %s", line + 7);
        process_done(&child);
    }
    close(pair[0]);
    return ok;
}

bool cli_start_daemon_with(struct cli *cli, const char *const *flags, struct err *err)
{
    char lock_path[4096];
    _cleanup_(file_close) int lock = -1;
    int64_t pid = 0;
    text_format(lock_path, sizeof lock_path, "%s/start.lock", cli->home);
    if (!file_mkdirs(cli->home, 0700, err) || !file_open(lock_path, FILE_READ_WRITE, &lock, err) ||
        !file_lock(lock, lock_path, err))
        return err_while(err, "starting the daemon");
    if (!cli_locate(cli, err) || !cli_daemon_pid(cli->home, &pid, err))
        return false;
    if (flags == NULL ? cli_reachable(cli) : pid != 0) /* another one was quicker */
        return true;
    if (!start_spawn(cli, flags, err))
        return false;
    return cli_locate(cli, err);
}

bool cli_start_daemon(struct cli *cli, struct err *err) { return cli_start_daemon_with(cli, NULL, err); }

bool cli_daemon_pid(const char *home, int64_t *ret_pid, struct err *err)
{
    char path[4096], word[32] = "";
    _cleanup_(buf_done) struct buf text = BUF_INIT(4096);
    _cleanup_(file_close) int fd = -1;
    int64_t pid = 0;
    text_format(path, sizeof path, "%s/daemon.lock", home);
    if (file_open(path, FILE_READ, &fd, NULL) && !file_try_lock(fd, path, NULL)) {
        if (!file_read_all(path, text.max, &text, err))
            return false;
        text_format(word, sizeof word, "%.*s", (int)strcspn(buf_str(&text), " \n"), buf_str(&text));
        if (!text_to_i64(word, &pid) || pid <= 1)
            return err_set(err, ERR_INTERNAL, "%s is held but names no process", path);
    }
    *ret_pid = pid;
    return true;
}

bool cli_stop_daemon(const char *home, int64_t *ret_pid, struct err *err)
{
    struct process daemon = {.pidfd = -1};
    int64_t pid = 0;
    if (!cli_daemon_pid(home, &pid, err))
        return false;
    if (pid != 0 && !process_open((pid_t)pid, &daemon, err))
        return err_while(err, "stopping the daemon of %s", home);
    if (pid != 0) {
        int status = 0;
        bool ok = process_signal(&daemon, SIGTERM);
        if (ok)
            process_wait(&daemon, CLOCK_FOREVER, &status); /* not our child: only that it ended is told */
        process_done(&daemon);
        if (!ok)
            return err_set(err, ERR_FORBIDDEN, "process %lld, the daemon of %s, is not yours to stop", (long long)pid,
                           home);
    }
    *ret_pid = pid;
    return true;
}
