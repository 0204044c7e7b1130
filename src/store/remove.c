/* store/remove.c: see store.h: untagging, deleting, pruning. The index changes first: what it no longer names is
 * garbage, which a crash leaves to the next prune. */
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "platform/file.h"
#include "store/gc.h"

#include <stdlib.h>
#include <string.h>

struct removals {
    struct arena *arena;
    struct store_removal *list;
    size_t n;
};

struct change {
    struct store *store;
    const char *text; /* remove: what */
    bool force, all;
    struct removals done;
    struct digest_set deleted; /* the models that are gone */
};

static void removals_begin(struct change *c, const struct index *x)
{
    /* A foreign writer can make us begin anew: what was noted before did not happen. */
    c->done.list = arena_array(c->done.arena, 2 * index_count(x) + 1, sizeof *c->done.list);
    c->done.n = 0;
    digest_set_done(&c->deleted);
}

static void removals_note(struct change *c, const char *kind, const char *what)
{
    struct store_removal *r = &c->done.list[c->done.n++];
    text_format(r->kind, sizeof r->kind, "%s", kind);
    text_format(r->what, sizeof r->what, "%s", what);
}

/* Takes a model with all its entries out of the index. */
static void change_delete(struct change *c, struct index *x, const char *id)
{
    struct index_entry e;
    for (size_t i = 0; i < index_count(x);) {
        if (!index_get(x, i, &e) || strcmp(e.digest, id) != 0) {
            i++;
            continue;
        }
        if (e.name[0] != '\0')
            removals_note(c, "Untagged", e.name);
        index_drop(x, i);
    }
    removals_note(c, "Deleted", id);
    digest_set_add(&c->deleted, id);
}

static size_t count_names(const struct index *x, const char *id, const char **ret_first, char first[512])
{
    struct index_entry e;
    size_t n = 0;
    for (size_t i = 0; i < index_count(x); i++) {
        if (!index_get(x, i, &e) || strcmp(e.digest, id) != 0 || e.name[0] == '\0')
            continue;
        if (n++ == 0)
            text_format(first, 512, "%s", e.name);
    }
    *ret_first = first;
    return n;
}

static void change_untag(struct change *c, struct index *x, const struct index_match *match)
{
    struct index_entry e;
    for (size_t i = index_count(x); i-- > 0;)
        if (index_get(x, i, &e) && strcmp(e.name, match->name) == 0)
            index_untag(x, i);
    removals_note(c, "Untagged", match->name);
}

static bool remove_apply(void *ctx, struct index *x, struct err *err)
{
    struct change *c = ctx;
    struct index_match match;
    char first_name[512];
    const char *first = NULL;
    removals_begin(c, x);
    if (!index_resolve(x, c->text, &match, err))
        return false;
    size_t names = count_names(x, match.id, &first, first_name);
    if (match.name[0] != '\0' && names > 1) {
        change_untag(c, x, &match);
        return true;
    }
    if (names > 1 && !c->force)
        return err_set(
            err, ERR_CONFLICT,
            "unable to delete %s (must be forced): the model has %zu names, %s among them; remove one by its "
            "name, or all with --force",
            c->text, names, first);
    if (store_is_pinned(c->store, match.id))
        return err_set(err, ERR_CONFLICT, "%s is in use; `tug unload %s` first", c->text, c->text);
    change_delete(c, x, match.id);
    return true;
}

/* Frees what the deleted models named and nothing else does. */
static bool free_deleted(struct store *s, const struct change *c, uint64_t *freed, struct err *err)
{
    _cleanup_(index_done) struct index x = INDEX_INIT;
    _cleanup_(digest_set_done) struct digest_set keep = DIGEST_SET_INIT;
    _cleanup_(digest_set_done) struct digest_set refs = DIGEST_SET_INIT;
    if (c->deleted.n == 0)
        return true;
    for (size_t i = 0; i < c->deleted.n; i++)
        if (!gc_refs(s, c->deleted.items[i], &refs, err))
            log_warn("a removed model was damaged", "reason=%s", err->text); /* its other blobs are for prune */
    if (!index_read(s, &x, err) || !gc_mark(s, &x, &keep, err))
        return false;
    for (size_t i = 0; i < refs.n; i++)
        if (!digest_set_has(&keep, refs.items[i]) && !gc_free_blob(s, refs.items[i], freed, err))
            return false;
    return true;
}

bool store_remove(struct store *s, const char *text, bool force, struct arena *a, struct store_removal **ret,
                  size_t *ret_n, struct err *err)
{
    struct change c = {.store = s, .text = text, .force = force, .done = {.arena = a}};
    struct err garbage = ERR_INIT;
    uint64_t freed = 0;
    _cleanup_(file_close) int lock = -1;
    if (!store_lock(s, &lock, err))
        return false;
    bool ok = index_update(s, remove_apply, &c, err);
    /* The model is gone for everybody once the index is written: blobs that stay are no reason to say otherwise. */
    if (ok && !free_deleted(s, &c, &freed, &garbage))
        log_warn("removed a model, but not all its blobs", "model=%s reason=%s", text, garbage.text);
    digest_set_done(&c.deleted);
    if (!ok)
        return false;
    *ret = c.done.list;
    *ret_n = c.done.n;
    return true;
}

static bool prune_apply(void *ctx, struct index *x, struct err *err)
{
    struct change *c = ctx;
    struct index_entry e;
    (void)err;
    removals_begin(c, x);
    for (size_t i = 0; i < index_count(x);) {
        char id[DIGEST_TEXT];
        if (!index_get(x, i, &e) || (!c->all && e.name[0] != '\0') || store_is_pinned(c->store, e.digest)) {
            i++;
            continue;
        }
        text_format(id, sizeof id, "%s", e.digest);
        size_t before = index_count(x);
        change_delete(c, x, id);
        CHECK(index_count(x) < before);
        i = 0;
    }
    return true;
}

bool store_prune(struct store *s, bool all, struct arena *a, struct store_removal **ret, size_t *ret_n,
                 uint64_t *ret_freed_bytes, struct err *err)
{
    struct change c = {.store = s, .all = all, .done = {.arena = a}};
    uint64_t freed = 0;
    _cleanup_(index_done) struct index x = INDEX_INIT;
    _cleanup_(digest_set_done) struct digest_set keep = DIGEST_SET_INIT;
    _cleanup_(file_close) int lock = -1;
    bool ok = store_lock(s, &lock, err) && index_update(s, prune_apply, &c, err) && index_read(s, &x, err) &&
              gc_mark(s, &x, &keep, err) && gc_sweep(s, &keep, &freed, err);
    digest_set_done(&c.deleted);
    if (!ok)
        return false;
    *ret = c.done.list;
    *ret_n = c.done.n;
    *ret_freed_bytes = freed;
    return true;
}

bool store_purge(struct store *s, struct err *err)
{
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    struct store_removal *list = NULL;
    size_t n = 0;
    uint64_t freed = 0;
    pthread_mutex_lock(&s->pins_lock);
    size_t pins = s->n_pins;
    char in_use[DIGEST_TEXT] = "";
    if (pins > 0)
        text_format(in_use, sizeof in_use, "%s", s->pins[0].id);
    pthread_mutex_unlock(&s->pins_lock);
    if (pins > 0)
        return err_set(err, ERR_CONFLICT, "%zu models are in use, %s among them; `tug unload --all` first", pins,
                       in_use);
    return store_prune(s, true, &a, &list, &n, &freed, err);
}
