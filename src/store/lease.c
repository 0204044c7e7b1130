/* store/lease.c: see store.h: `.tug/leases/ID`, one digest a line, alive while its flock is held. */
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "platform/file.h"
#include "platform/random.h"
#include "store/layout.h"

#include <stdlib.h>
#include <string.h>

struct store_lease {
    struct store *store;
    char *path;
    int fd;
};

bool store_lease_begin(struct store *s, struct store_lease **ret_lease, struct err *err)
{
    char id[17];
    random_id(id, sizeof id - 1);
    struct store_lease *l = check_alloc(calloc(1, sizeof *l));
    *l = (struct store_lease){.store = s, .path = store_path(s, ".tug/leases/%s", id), .fd = -1};
    _cleanup_(file_close) int lock = -1; /* those who sweep must not meet it between its making and its lock */
    if (!store_lock_shared(s, &lock, err) || !file_open(l->path, FILE_CREATE, &l->fd, err) ||
        !file_lock(l->fd, l->path, err)) {
        store_lease_end(&l);
        return false;
    }
    *ret_lease = l;
    return true;
}

bool store_lease_add_locked(struct store_lease *l, const char *digest, struct err *err)
{
    char line[DIGEST_TEXT];
    CHECK(digest_valid(digest));
    memcpy(line, digest, DIGEST_TEXT - 1);
    line[DIGEST_TEXT - 1] = '\n';
    return file_write(l->fd, line, sizeof line, l->path, err);
}

bool store_lease_add(struct store_lease *l, const char *digest, struct err *err)
{
    _cleanup_(file_close) int lock = -1;
    return store_lock_shared(l->store, &lock, err) && store_lease_add_locked(l, digest, err);
}

void store_lease_end(struct store_lease **lease)
{
    struct store_lease *l = *lease;
    struct err err = ERR_INIT;
    if (l == NULL)
        return;
    if (l->fd >= 0 && !file_remove(l->path, &err)) /* without its lock it is nobody's, and swept later */
        log_warn("cannot remove a lease", "path=%s reason=%s", l->path, err.text);
    file_close(&l->fd);
    free(l->path);
    free(l);
    *lease = NULL;
}
