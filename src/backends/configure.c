/* backends/configure.c: settings that change while the daemon runs, and loading without a request. */
#include "backends/backend.h"
#include "backends/model_settings.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "platform/process.h"
#include "platform/socket.h"

#include <stdlib.h>
#include <string.h>

enum { PRELOAD_STACK_BYTES = 256 * 1024 };

int backends_users(struct backends *b, const char *id)
{
    pthread_mutex_lock(&b->lock);
    const struct backend *be = backend_find(b, id);
    int users = be != NULL && be->state == BACKEND_SERVING ? be->users : 0;
    pthread_mutex_unlock(&b->lock);
    return users;
}

void backends_configured(struct backends *b, const char *id, const struct model_settings *settings, bool reload)
{
    pthread_mutex_lock(&b->lock);
    struct backend *be = backend_find_or_add(b, id);
    if (be != NULL) {
        be->keep_alive_set = settings->keep_alive_set;
        be->keep_alive_ns = settings->keep_alive_ns;
        be->settings += reload;
    }
    socket_wake(b->wake[1]);
    pthread_mutex_unlock(&b->lock);
}

/* ---- preload -------------------------------------------------------------------------------------- */

struct preload {
    struct backends *b;
    char id[DIGEST_TEXT], as[LIMIT_REFERENCE_BYTES];
    enum backend_mode mode;
};

static void preload_end(struct preload *p)
{
    struct backends *b = p->b;
    free(p);
    pthread_mutex_lock(&b->lock);
    b->preloads--;
    caller_leave(b);
    pthread_mutex_unlock(&b->lock);
}

static void *preload_run(void *arg)
{
    struct preload *p = arg;
    struct arena a = ARENA_INIT;
    struct model m;
    struct backend_use use = {0};
    struct err err = ERR_INIT;
    if (!store_find(p->b->store, p->id, &a, &m, &err) || !backends_use(p->b, &m, p->as, p->mode, -1, &use, &err))
        log_warn("a configured model was not loaded; the next request tries again", "model=%s reason=%s", p->as,
                 err.text);
    backends_release(p->b, &use);
    arena_done(&a);
    preload_end(p);
    return NULL;
}

/* Lock held. Nothing to do where it is loaded or somebody loads it; one that leaves is loaded again. */
static bool preload_wanted(struct backends *b, const char *id)
{
    const struct backend *be = backend_find(b, id);
    if (b->ending || b->preloads >= LIMIT_PRELOADS)
        return false;
    if (be == NULL || be->state == BACKEND_ABSENT || be->state == BACKEND_STOPPING)
        return be == NULL || be->waiters == NULL;
    return be->state == BACKEND_SERVING && be->engine_settings != be->settings;
}

void backends_preload(struct backends *b, const char *id, const char *as, enum backend_mode mode)
{
    struct err err = ERR_INIT;
    pthread_mutex_lock(&b->lock);
    bool wanted = preload_wanted(b, id);
    if (wanted) {
        b->preloads++;
        b->callers++;
    }
    pthread_mutex_unlock(&b->lock);
    if (!wanted)
        return;
    struct preload *p = check_alloc(malloc(sizeof *p));
    *p = (struct preload){.b = b, .mode = mode};
    text_format(p->id, sizeof p->id, "%s", id);
    text_format(p->as, sizeof p->as, "%s", as);
    if (process_thread("preload", preload_run, p, PRELOAD_STACK_BYTES, 1, NULL, &err))
        return;
    log_warn("no thread to load a configured model; the next request does it", "model=%s reason=%s", p->as, err.text);
    preload_end(p);
}
