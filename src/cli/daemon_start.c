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

#include <string.h>

enum { START_TIMEOUT_S = 20, START_LOG_TAIL = 600 };

static bool start_failed(const char *log, struct err *err)
{
    _cleanup_(buf_done) struct buf text = BUF_INIT(4 * 1024 * 1024);
    if (!file_read_all(log, text.max, &text, NULL) || text.len == 0)
        return err_set(err, ERR_UNAVAILABLE, "the daemon did not start and left no word in %s", log);
    const char *tail = text.len > START_LOG_TAIL ? text.data + text.len - START_LOG_TAIL : text.data;
    return err_set(err, ERR_UNAVAILABLE, "the daemon did not start; the end of %s:\n%s", log, tail);
}

static bool start_spawn(struct cli *cli, struct err *err)
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
    const char *argv[] = {program, "serve", "--home", cli->home, "--ready-fd", "3", NULL};
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

bool cli_start_daemon(struct cli *cli, struct err *err)
{
    char lock_path[4096];
    _cleanup_(file_close) int lock = -1;
    text_format(lock_path, sizeof lock_path, "%s/start.lock", cli->home);
    if (!file_mkdirs(cli->home, 0700, err) || !file_open(lock_path, FILE_READ_WRITE, &lock, err) ||
        !file_lock(lock, lock_path, err))
        return err_while(err, "starting the daemon");
    if (!cli_locate(cli, err))
        return false;
    if (cli_reachable(cli)) /* another one was quicker */
        return true;
    if (!start_spawn(cli, err))
        return false;
    return cli_locate(cli, err);
}
