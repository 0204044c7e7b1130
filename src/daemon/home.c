/* daemon/home.c: TUG_HOME: where it is, that there is one daemon in it, and how clients find that. */
#include "daemon/daemon_parts.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "platform/file.h"
#include "platform/process.h"

#include <string.h>
#include <unistd.h>

char *daemon_home_dir(void)
{
    struct buf path = BUF_INIT(4096);
    _cleanup_free_ char *home = NULL;
    const char *tug = process_env("TUG_HOME"), *data = process_env("XDG_DATA_HOME");
    bool ok;
    if (tug != NULL) {
        ok = buf_add_str(&path, tug);
    } else if (data != NULL && data[0] == '/') { /* the XDG specification: a relative one is to be ignored */
        ok = buf_printf(&path, "%s/tug", data);
    } else {
        home = file_home_dir();
        ok = buf_printf(&path, "%s/.local/share/tug", home);
    }
    if (!ok)
        buf_clear(&path); /* a path that long exists nowhere: "" gives a clear error later */
    return buf_take(&path);
}

/* The lock is held: by whom, says its text. */
static bool home_taken(const struct daemon_home *h, struct err *err)
{
    _cleanup_(buf_done) struct buf text = BUF_INIT(1024);
    file_read_all(h->lock_path, text.max, &text, NULL);
    char *line = text.data == NULL ? NULL : strchr(text.data, '\n');
    if (line != NULL)
        *line = '\0';
    char *address = text.data == NULL ? NULL : strchr(text.data, ' ');
    if (address == NULL)
        return err_set(err, ERR_CONFLICT,
                       "another daemon is starting or ending in %s; try again, or set another TUG_HOME", h->root);
    *address++ = '\0';
    return err_set(
        err, ERR_CONFLICT,
        "a daemon already runs for %s: process %s, at %s; end it with 'tug serve --stop', or set another TUG_HOME",
        h->root, text.data, address);
}

static bool home_write_lock(struct daemon_home *h, const char *address, struct err *err)
{
    _cleanup_(buf_done) struct buf text = BUF_INIT(1024);
    CHECK(buf_printf(&text, "%ld %.900s\n", (long)getpid(), address));
    return file_truncate(h->lock_fd, 0, h->lock_path, err) &&
           file_pwrite(h->lock_fd, text.data, text.len, 0, h->lock_path, err);
}

bool home_open(struct daemon_home *h, const char *root, struct arena *a, struct err *err)
{
    *h = (struct daemon_home){
        .root = root,
        .models = arena_printf(a, "%s/models", root),
        .run = arena_printf(a, "%s/run", root),
        .logs = arena_printf(a, "%s/logs", root),
        .lock_path = arena_printf(a, "%s/daemon.lock", root),
        .address_path = arena_printf(a, "%s/run/address", root),
        .lock_fd = -1,
    };
    if (root[0] == '\0')
        return err_set(err, ERR_INVALID, "there is no home folder: set TUG_HOME");
    if (!file_mkdirs(root, 0700, err) || !file_open(h->lock_path, FILE_READ_WRITE, &h->lock_fd, err))
        return err_while(err, "the folder %s for all state", root);
    if (!file_try_lock(h->lock_fd, h->lock_path, err)) {
        file_close(&h->lock_fd);
        return err != NULL && err->code != ERR_BUSY ? false : home_taken(h, err);
    }
    return file_mkdirs(h->run, 0700, err) && file_mkdirs(h->logs, 0700, err) && file_mkdirs(h->models, 0700, err) &&
           home_write_lock(h, "(starting)", err);
}

bool home_tell_address(struct daemon_home *h, const struct daemon_sockets *s, struct err *err)
{
    _cleanup_(buf_done) struct buf text = BUF_INIT(DAEMON_LISTEN_MAX * 512);
    for (size_t i = 0; i < s->n; i++)
        buf_printf(&text, "%s\n", s->addresses[i]);
    return home_write_lock(h, listen_endpoint(s), err) &&
           file_write_atomic(h->address_path, buf_str(&text), text.len, 0600, err);
}

/* The lock file stays: removing it would let two daemons lock two files of one name. */
void home_close(struct daemon_home *h)
{
    if (h->lock_fd < 0)
        return;
    file_remove(h->address_path, NULL);
    file_truncate(h->lock_fd, 0, h->lock_path, NULL);
    file_close(&h->lock_fd);
}
