/* daemon/daemon_parts: what the files of this folder share. Private: others include daemon.h.
 *
 *   bridge.c   the address that containers reach
 *   daemon.c   the order of start and end, the signals      home.c     the folder, its lock, the address file
 *   listen.c   sockets: ours, or systemd's                  notify.c   telling those who wait that it runs
 *   docs.c     tables for docs/
 */
#ifndef TUG_DAEMON_PARTS_H
#define TUG_DAEMON_PARTS_H

#include "api/api.h"
#include "base/arena.h"
#include "daemon/daemon.h"
#include "platform/address.h"

#include <stddef.h>

enum { DAEMON_LISTEN_MAX = 32 };

struct daemon_home {
    const char *root, *models, *run, *logs;
    const char *lock_path, *address_path;
    int lock_fd;
};

struct daemon_sockets {
    int fds[DAEMON_LISTEN_MAX];
    const char *addresses[DAEMON_LISTEN_MAX]; /* "http://127.0.0.1:12434", "unix:/…/tug.sock" */
    bool remove[DAEMON_LISTEN_MAX];           /* a socket file of ours */
    size_t n;
    uint16_t port;                                   /* of the first TCP socket; 0: none */
    bool loopback;                                   /* that one is on loopback */
    bool any;                                        /* one is on every address */
    char bound[DAEMON_LISTEN_MAX][ADDRESS_TEXT + 8]; /* "127.0.0.1:12434"; "": not a TCP socket */
    size_t n_shared; /* the first ones are systemd's, which goes on listening when we end */
};

/* ---- home.c */
/* Makes the folders and takes the lock. Another daemon has it: ERR_CONFLICT, with its pid and address. */
bool home_open(struct daemon_home *h, const char *root, struct arena *a, struct err *err);
/* Into the lock file and run/address. */
bool home_tell_address(struct daemon_home *h, const struct daemon_sockets *s, struct err *err);
void home_close(struct daemon_home *h);

/* ---- listen.c */
/* All or none. Off loopback without a key: ERR_INVALID, unless insecure. */
bool listen_open(struct daemon_sockets *s, const struct daemon_options *o, const struct daemon_home *h, struct arena *a,
                 struct err *err);
/* Removes socket files; closes what the server has not taken over (fds that are not -1). */
void listen_close(struct daemon_sockets *s);
/* The first http:// address, or the unix one. */
const char *listen_endpoint(const struct daemon_sockets *s);

/* ---- bridge.c */
struct daemon_bridge {
    const char *name; /* the interface; NULL: nothing to do */
    int watch_fd;     /* readable when an address has come; -1: look from time to time */
    char bound[ADDRESS_TEXT];
    const struct daemon_sockets *sockets;
    bool told;  /* that it does not work, once */
    bool ended; /* nothing is added any more; what listens goes on until the server ends */
};
void bridge_open(struct daemon_bridge *b, const struct daemon_options *o, const struct daemon_sockets *s);
/* Listens on the bridge's address if it is there and new; api->containers says so then. Main thread. */
void bridge_look(struct daemon_bridge *b, struct http_server *server, struct api *api, struct arena *a);
/* When to look again although nothing was readable. */
int64_t bridge_next_ns(const struct daemon_bridge *b);
void bridge_end(struct daemon_bridge *b);

/* ---- notify.c */
/* "READY=1", "STOPPING=1" to systemd, if it is there. */
void notify_system(const char *text);
/* One line to a descriptor, which is closed then; -1 is fine. */
void notify_fd(int *fd, const char *word, const char *text);

#endif
