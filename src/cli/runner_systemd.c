/* cli/runner_systemd.c: the runner as systemd's units, of the system for root and of the user for others.
 * The units come with the installation; what the user asked for goes into drop-ins of ours, runner.conf. */
#include "cli/runner.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/process.h"
#include "platform/socket.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, COMMAND_TIMEOUT_S = 90 };

/* All that comes until the other end is closed or the time is up; what does not fit is dropped. */
static void read_said(int fd, int64_t deadline_ns, struct buf *said)
{
    char piece[1024];
    size_t n = 1;
    struct socket_wait wait = {.fd = fd, .want = SOCKET_READABLE};
    while (n > 0 && socket_wait(&wait, 1, deadline_ns) > 0 &&
           file_read_some(fd, piece, sizeof piece, "a program's words", &n, NULL))
        buf_add(said, piece, n);
    while (said->len > 0 && (unsigned char)said->data[said->len - 1] <= ' ')
        said->data[--said->len] = '\0';
}

bool runner_command(const char *const *argv, struct buf *out, struct err *err)
{
    int pair[2], status = 0;
    struct process child;
    if (!socket_pair(pair, err))
        return false;
    struct process_spec spec = {
        .argv = argv, .stdin_fd = -1, .stdout_fd = pair[1], .stderr_fd = pair[1], .kind = PROCESS_CHILD};
    bool ok = process_spawn(&spec, &child, err);
    file_close(&pair[1]);
    if (ok) {
        _cleanup_(buf_done) struct buf said = BUF_INIT(64 * 1024);
        int64_t deadline = clock_after_ns(COMMAND_TIMEOUT_S * CLOCK_SECOND);
        read_said(pair[0], deadline, &said);
        if (!process_wait(&child, deadline, &status)) {
            process_signal(&child, SIGKILL);
            process_wait(&child, CLOCK_FOREVER, &status);
        }
        process_done(&child);
        ok = status == 0 || err_set(err, ERR_UNAVAILABLE, "%s %s: %s", argv[0], argv[1],
                                    said.len == 0 ? "it failed and said nothing" : buf_str(&said));
        ok = ok && (out == NULL || buf_add(out, buf_str(&said), said.len));
    }
    file_close(&pair[0]);
    return ok;
}

static bool systemctl(bool as_user, const char *verb, const char *a, const char *b, struct err *err)
{
    const char *argv[] = {"systemctl", as_user ? "--user" : "--system", verb, a, b, NULL};
    return runner_command(argv, NULL, err);
}

static bool manager_here(bool as_user)
{
    char path[PATH_SIZE] = "/run/systemd/system";
    const char *runtime = process_env("XDG_RUNTIME_DIR");
    if (as_user && (runtime == NULL || !text_format(path, sizeof path, "%s/systemd/private", runtime)))
        return false;
    return file_stat(path).kind != FILE_KIND_NONE && systemctl(as_user, "cat", "tug.socket", "tug.service", NULL);
}

bool runner_systemd_here(bool *ret_user)
{
    *ret_user = geteuid() != 0;
    return manager_here(*ret_user);
}

static bool systemd_running(struct runner *r, bool *ret_running, struct err *err)
{
    (void)err;
    text_format(r->name, sizeof r->name, "%s", "tug.socket");
    *ret_running = systemctl(r->as_user, "is-active", "tug.socket", NULL, NULL);
    return true;
}

/* The folder of a unit's drop-ins. */
static bool drop_in_dir(const struct runner *r, const char *unit, char dst[PATH_SIZE], struct err *err)
{
    const char *config = process_env("XDG_CONFIG_HOME");
    _cleanup_free_ char *home = file_home_dir();
    bool ok = !r->as_user      ? text_format(dst, PATH_SIZE, "/etc/systemd/system/%s.d", unit)
              : config != NULL ? text_format(dst, PATH_SIZE, "%s/systemd/user/%s.d", config, unit)
                               : text_format(dst, PATH_SIZE, "%s/.config/systemd/user/%s.d", home, unit);
    return ok || err_set(err, ERR_INVALID, "the folder of systemd's units has too long a name");
}

static bool drop_in_write(const struct runner *r, const char *unit, const char *text, struct err *err)
{
    char dir[PATH_SIZE], path[PATH_SIZE + 32];
    if (!drop_in_dir(r, unit, dir, err))
        return false;
    text_format(path, sizeof path, "%s/runner.conf", dir);
    if (text[0] == '\0')
        return file_remove(path, err);
    return file_mkdirs(dir, 0755, err) && file_write_atomic(path, text, strlen(text), 0644, err);
}

static bool drop_ins(const struct runner *r, const struct runner_options *o, struct err *err)
{
    char socket[512], service[512];
    text_format(socket, sizeof socket, "# made by install-runner\n[Socket]\nListenStream=\nListenStream=%s\n",
                o->address);
    text_format(service, sizeof service, "# made by install-runner\n[Service]\n%s%s",
                o->debug ? "Environment=TUG_LOG_LEVEL=debug\n" : "", o->insecure ? "Environment=TUG_INSECURE=1\n" : "");
    return drop_in_write(r, "tug.socket", socket, err) &&
           drop_in_write(r, "tug.service", o->debug || o->insecure ? service : "", err) &&
           systemctl(r->as_user, "daemon-reload", NULL, NULL, err);
}

static bool systemd_start(struct runner *r, const struct runner_options *o, struct err *err)
{
    if (o->given && !drop_ins(r, o, err))
        return false;
    if (o->enable && !systemctl(r->as_user, "enable", "tug.socket", NULL, err))
        return false;
    /* The service too, so that what keeps it from running is told now and not to the first request. */
    return systemctl(r->as_user, "start", "tug.socket", "tug.service", err) ||
           err_while(err, "starting it (journalctl%s -u tug has more)", r->as_user ? " --user" : "");
}

static bool systemd_stop(struct runner *r, struct err *err)
{
    return systemctl(r->as_user, "stop", "tug.socket", "tug.service", err);
}

static bool systemd_forget(struct runner *r, const char *image, struct err *err)
{
    (void)image;
    return systemctl(r->as_user, "disable", "tug.socket", NULL, err) && drop_in_write(r, "tug.socket", "", err) &&
           drop_in_write(r, "tug.service", "", err) && systemctl(r->as_user, "daemon-reload", NULL, NULL, err);
}

const struct runner_kind runner_systemd = {systemd_running, systemd_start, systemd_stop, systemd_forget};
