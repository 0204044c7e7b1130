/* daemon/listen.c: the sockets of the daemon: our own, or those that systemd hands over. */
#include "daemon/daemon_parts.h"

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "platform/file.h"
#include "platform/process.h"
#include "platform/socket.h"

#include <string.h>
#include <unistd.h>

enum { SYSTEMD_FIRST_FD = 3 }; /* sd_listen_fds(3) */

static void sockets_add(struct daemon_sockets *s, int fd, const char *address, bool remove)
{
    CHECK(s->n < DAEMON_LISTEN_MAX);
    s->fds[s->n] = fd;
    s->addresses[s->n] = address;
    s->remove[s->n] = remove;
    s->bound[s->n][0] = '\0';
    char host[ADDRESS_TEXT];
    if (socket_local_address(fd, host, sizeof host)) {
        if (s->port == 0) {
            s->port = socket_port(fd);
            s->loopback = socket_is_loopback(host);
        }
        s->any = s->any || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
        text_format(s->bound[s->n], sizeof s->bound[0], "%s:%u", host, socket_port(fd));
    }
    s->n++;
}

/* Everybody who reaches the port can use the models, fill the disk and read what others asked. */
static bool check_exposure(const char *where, const struct daemon_options *o, struct err *err)
{
    if (o->api_key != NULL)
        return true;
    if (!o->insecure)
        return err_set(err, ERR_INVALID,
                       "listening on %s lets everybody who reaches this machine use it: set a key with --api-key or "
                       "TUG_API_KEY, or "
                       "say --insecure if you trust the network",
                       where);
    log_warn("INSECURE: everybody who reaches this machine can use its models and change them: no API key is set",
             "address=%s", where);
    return true;
}

/* "http://HOST:PORT" as a client here would write it, with the port that the system chose. */
static const char *http_address(const char *host_port, int fd, struct arena *a)
{
    const char *colon = strrchr(host_port, ':');
    size_t n = (size_t)(colon - host_port);
    return arena_printf(a, "http://%.*s:%u", n == 0 ? 7 : (int)n, n == 0 ? "0.0.0.0" : host_port, socket_port(fd));
}

static bool open_tcp(struct daemon_sockets *s, const char *host_port, const struct daemon_options *o, struct arena *a,
                     struct err *err)
{
    const char *colon = strrchr(host_port, ':');
    char host[256] = "";
    int fd;
    if (colon != NULL)
        text_format(host, sizeof host, "%.*s", (int)(colon - host_port), host_port);
    if (colon != NULL && !socket_is_loopback(host) && !check_exposure(host_port, o, err))
        return false;
    if (!socket_listen_tcp(host_port, &fd, err))
        return false;
    sockets_add(s, fd, http_address(host_port, fd, a), false);
    return true;
}

static bool open_unix(struct daemon_sockets *s, const char *path, struct arena *a, struct err *err)
{
    int fd;
    if (!socket_listen_unix(path, &fd, err))
        return err_while(err, "the unix socket (see --socket, TUG_HOME)");
    sockets_add(s, fd, arena_printf(a, "unix:%s", path), true);
    return true;
}

/* How many sockets systemd gave us; 0: none, or they are another process's. */
static size_t systemd_count(void)
{
    const char *pid = process_env("LISTEN_PID"), *fds = process_env("LISTEN_FDS");
    uint64_t number, n;
    if (pid == NULL || fds == NULL || !text_to_u64(pid, &number) || number != (uint64_t)getpid() ||
        !text_to_u64(fds, &n))
        return 0;
    return n < DAEMON_LISTEN_MAX - 1 ? (size_t)n : DAEMON_LISTEN_MAX - 1;
}

static bool take_systemd(struct daemon_sockets *s, size_t n, const struct daemon_options *o, struct arena *a,
                         struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        int fd = SYSTEMD_FIRST_FD + (int)i;
        uint16_t port = socket_port(fd);
        const char *address = port == 0 ? arena_printf(a, "unix:(systemd's, descriptor %d)", fd)
                                        : arena_printf(a, "http://localhost:%u", port);
        if (!socket_is_local(fd) && !check_exposure(address, o, err))
            return false;
        sockets_add(s, fd, address, false);
        s->n_shared++;
    }
    return true;
}

bool listen_open(struct daemon_sockets *s, const struct daemon_options *o, const struct daemon_home *h, struct arena *a,
                 struct err *err)
{
    static const char *const standard[] = {DAEMON_LISTEN_DEFAULT, NULL};
    const char *const *list = o->listen != NULL ? o->listen : standard;
    const char *path = o->socket_path != NULL ? o->socket_path : arena_printf(a, "%s/tug.sock", h->run);
    size_t n = systemd_count();
    bool ok = true;
    if (n > 0)
        ok = take_systemd(s, n, o, a, err);
    for (; ok && n == 0 && !o->no_tcp && *list != NULL; list++)
        ok = s->n < DAEMON_LISTEN_MAX - 1
                 ? open_tcp(s, *list, o, a, err)
                 : err_set(err, ERR_INVALID, "more than %d addresses to listen on", DAEMON_LISTEN_MAX - 1);
    ok = ok && open_unix(s, path, a, err);
    if (!ok)
        listen_close(s);
    return ok;
}

void listen_close(struct daemon_sockets *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->remove[i])
            file_remove(s->addresses[i] + strlen("unix:"), NULL);
        file_close(&s->fds[i]);
    }
    s->n = 0;
}

const char *listen_endpoint(const struct daemon_sockets *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (text_starts(s->addresses[i], "http://"))
            return s->addresses[i];
    return s->n == 0 ? "" : s->addresses[0];
}
