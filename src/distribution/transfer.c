/* distribution/transfer.c: see transfer.h. One connection, in order, from wherever the partial stopped. Several
 * connections can fill the same partial later: its state is kept by the grain (store/partial.h). */
#include "distribution/transfer.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "http/client/http_client.h"
#include "platform/clock.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_NS (250 * CLOCK_MS)
enum {
    READ_BYTES = 256 * 1024,
    PROGRESS_BYTES = 64 * 1024, /* less is no progress: a server that gives a byte a try does not get tries for ever */
};

static void transfer_notice(void *ctx, const char *text)
{
    struct task *t = ctx;
    task_note(t, JOB_WARNING, "%s", text);
}

struct registry_options transfer_registry_options(struct task *t)
{
    return (struct registry_options){.bearer_token = t->token,
                                     .insecure = t->d->options.insecure,
                                     .mirrors = t->kind == TASK_PULL ? t->d->options.mirrors : NULL,
                                     .cancel_fd = t->cancel_fd,
                                     .notice = transfer_notice,
                                     .notice_ctx = t};
}

/* What one blob's functions share. */
struct fetch {
    struct transfer *x;
    const struct descriptor *blob;
    size_t layer;
    const char *host, *repo;
    struct blob_writer *writer;
};

static bool fetch_size_lies(const struct fetch *f, uint64_t actual, struct err *err)
{
    return err_set(err, ERR_PROTOCOL,
                   "the manifest says that the size of %s is %llu bytes, but %s sends %llu; the model is broken there: "
                   "tell who publishes %s",
                   f->blob->digest, (unsigned long long)f->blob->size, f->host, (unsigned long long)actual, f->repo);
}

static bool fetch_read(struct fetch *f, struct http_call *call, struct err *err)
{
    _cleanup_(buf_done) struct buf room = BUF_INIT(READ_BYTES);
    char *bytes = buf_reserve(&room, READ_BYTES);
    struct blob_writer *w = f->writer;
    for (;;) {
        ssize_t n = http_call_read(call, bytes, READ_BYTES, err);
        if (n < 0)
            return false;
        if (n == 0)
            break;
        if ((uint64_t)n > w->size - w->have)
            return fetch_size_lies(f, w->have + (uint64_t)n, err);
        if (!blob_write(w, bytes, (size_t)n, err))
            return false;
        task_progress(f->x->task, f->layer, w->have);
        if (!task_wanted(f->x->task, err))
            return false;
    }
    if (w->have < w->size)
        return err_set(err, ERR_UNREACHABLE, "%s ended the blob %s after %llu of %llu bytes", f->host, f->blob->digest,
                       (unsigned long long)w->have, (unsigned long long)w->size);
    return true;
}

/* One request, from where the partial ends. */
static bool fetch_once(struct fetch *f, struct err *err)
{
    struct blob_writer *w = f->writer;
    _cleanup_(http_call_close) struct http_call *call = NULL;
    uint64_t from = 0;
    if (w->have == w->size)
        return true;
    if (!registry_open_blob(f->x->registry, f->repo, f->blob->digest, w->have, w->size, &from, &call, err))
        return false; /* a page or another length in its place is refused there, before a byte of ours is given up */
    if (from != w->have) {
        CHECK(from == 0);
        if (!blob_restart(w, err))
            return false;
    }
    return fetch_read(f, call, err);
}

static bool fetch_all(struct fetch *f, struct err *err)
{
    struct retry retry = {.task = f->x->task, .most = RETRY_BLOB};
    uint64_t best = f->writer->have;
    while (!fetch_once(f, err)) {
        if (f->writer->have >= best + PROGRESS_BYTES)
            retry_progress(&retry);
        if (f->writer->have > best)
            best = f->writer->have;
        if (!retry_again(&retry, err))
            return false;
    }
    return true;
}

/* *ret_done: it is in the store. Otherwise f->writer is ours, when nobody else writes it any more. */
static bool fetch_claim(struct fetch *f, bool *ret_done, struct err *err)
{
    struct store *s = f->x->task->d->store;
    for (;;) {
        uint64_t size = 0, have = 0;
        if (store_blob_exists(s, f->blob->digest, &size)) {
            if (size != f->blob->size)
                return err_set(err, ERR_PROTOCOL, "the manifest says that the size of %s is %llu bytes; it is %llu",
                               f->blob->digest, (unsigned long long)f->blob->size, (unsigned long long)size);
            *ret_done = true;
            return true;
        }
        struct err busy = ERR_INIT;
        if (store_blob_begin(s, f->blob->digest, f->blob->size, &f->writer, &busy))
            return true;
        if (busy.code != ERR_BUSY) {
            if (err != NULL)
                *err = busy;
            return false;
        }
        while (!store_blob_wait(s, f->blob->digest, clock_now_ns() + LOOK_NS, f->x->task->cancel_fd, &busy)) {
            if (store_blob_progress(s, f->blob->digest, &have) && have < f->blob->size)
                task_progress(f->x->task, f->layer, have);
            if (!task_wanted(f->x->task, err))
                return false;
        }
    }
}

/* Claims, fetches and commits once. *ret_wrong: all bytes came, and were the wrong ones. */
static bool fetch_try(struct fetch *f, bool *ret_wrong, struct err *err)
{
    bool done = false;
    *ret_wrong = false;
    if (!fetch_claim(f, &done, err))
        return false;
    if (done || f->writer == NULL) {
        task_progress(f->x->task, f->layer, f->blob->size);
        return true;
    }
    task_progress(f->x->task, f->layer, f->writer->have);
    if (!fetch_all(f, err)) {
        blob_pause(&f->writer);
        return false;
    }
    blob_use_lease(f->writer, f->x->lease);
    if (blob_commit(&f->writer, NULL, err)) {
        task_progress(f->x->task, f->layer, f->blob->size);
        return true;
    }
    *ret_wrong = err->code == ERR_PROTOCOL;
    return false;
}

bool transfer_blob(struct transfer *x, const struct descriptor *blob, struct err *err)
{
    struct fetch f = {.x = x, .blob = blob, .host = x->task->ref.registry, .repo = x->task->ref.repository};
    bool wrong = false;
    f.layer = task_layer(x->task, blob->digest, blob->size);
    if (!store_lease_add(x->lease, blob->digest, err))
        return false;
    if (fetch_try(&f, &wrong, err))
        return true;
    if (wrong) {
        /* Damaged on the way or on our disk, most likely: from zero, once. */
        task_note(x->task, JOB_WARNING, "%s sent wrong bytes (%s); fetching %s again from the start", f.host, err->text,
                  blob->digest);
        if (fetch_try(&f, &wrong, err))
            return true;
        if (wrong)
            return err_while(err, "%s sent wrong bytes twice; try again later, or tell who publishes %s", f.host,
                             f.repo);
    }
    return err_while(err, "fetching %s from %s/%s", blob->digest, f.host, f.repo);
}
