/* daemon/bridge.c: the address by which containers of this machine reach us.
 *
 * Loopback is not theirs; the address of Docker's bridge is, from each of Docker's networks. So the port that we have
 * on loopback is opened there too, now or when the bridge appears: Docker may start after us. Neighbours of this
 * machine could send to that address as well, by a route through us: each peer is looked at before it is heard.
 *
 * Docker's socket is not asked for the bridge: to connect to it starts Docker where systemd listens for it, and whoever
 * may use it is root. A bridge of another name is named by --docker-bridge. */
#include "daemon/daemon_parts.h"

#include "base/log.h"
#include "base/text.h"
#include "http/server/http_server.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/interface.h"
#include "platform/socket.h"

#include <string.h>

#define BRIDGE_LOOK_NS (10 * CLOCK_SECOND) /* where netlink is forbidden */

void bridge_open(struct daemon_bridge *b, const struct daemon_options *o, const struct daemon_sockets *s)
{
    const char *name = o->docker_bridge == NULL || strcmp(o->docker_bridge, "auto") == 0 ? "docker0" : o->docker_bridge;
    struct err err = ERR_INIT;
    *b = (struct daemon_bridge){.watch_fd = -1, .sockets = s};
    if (strcmp(name, "off") == 0 || s->port == 0)
        return;
    b->name = name;
    if (!interface_watch(&b->watch_fd, &err))
        log_debug("looking for the Docker bridge from time to time", "reason=%s", err.text);
}

static bool bridge_peer_ok(void *bridge, const char *peer)
{
    const struct daemon_bridge *b = bridge;
    if (interface_peer_is_local(b->name, peer))
        return true;
    log_warn("refused a connection to the Docker bridge: its peer is no container of this machine", "peer=%s", peer);
    return false;
}

/* The user has it listen there already. */
static bool bridge_is_bound(const struct daemon_sockets *s, const char *host_port)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->bound[i], host_port) == 0)
            return true;
    return s->any;
}

static bool bridge_listen(struct daemon_bridge *b, const char *host_port, struct http_server *server, struct err *err)
{
    int fd;
    if (bridge_is_bound(b->sockets, host_port))
        return true;
    if (!b->sockets->loopback)
        return err_set(err, ERR_INVALID, "it listens on neither loopback nor the bridge's address");
    return socket_listen_tcp(host_port, &fd, err) && http_server_add(server, fd, bridge_peer_ok, b, err);
}

void bridge_look(struct daemon_bridge *b, struct http_server *server, struct api *api, struct arena *a)
{
    char address[ADDRESS_TEXT], host_port[ADDRESS_TEXT + 8];
    struct err err = ERR_INIT;
    if (b->watch_fd >= 0)
        socket_drain(b->watch_fd);
    if (b->ended || b->name == NULL || !interface_address(b->name, address) || strcmp(address, b->bound) == 0)
        return;
    text_format(host_port, sizeof host_port, "%s:%u", address, b->sockets->port);
    if (!bridge_listen(b, host_port, server, &err)) {
        if (!b->told)
            log_warn("containers cannot reach this daemon", "bridge=%s reason=%s", b->name, err.text);
        b->told = true;
        return;
    }
    text_format(b->bound, sizeof b->bound, "%s", address);
    atomic_store(&api->containers, arena_printf(a, "http://%s", host_port));
    log_info("containers reach this daemon", "bridge=%s address=http://%s", b->name, host_port);
}

int64_t bridge_next_ns(const struct daemon_bridge *b)
{
    return !b->ended && b->name != NULL && (b->watch_fd < 0 || b->told) ? clock_after_ns(BRIDGE_LOOK_NS)
                                                                        : CLOCK_FOREVER;
}

void bridge_end(struct daemon_bridge *b)
{
    b->ended = true;
    file_close(&b->watch_fd);
}
