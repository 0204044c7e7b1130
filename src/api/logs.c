/* api/logs.c: what the daemon (a ring in memory) and its engines (a file each) wrote: first what is there, in the
 * order of time, then, with follow, what comes, as it comes. */
#include "api/handlers.h"
#include "api/log_merge.h"
#include "api/log_ring.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/socket.h"

#include <string.h>

enum { ENGINE_TAIL_BYTES = 256 * 1024, LOG_FILE_NAME_MAX = 64 };

struct log_file {
    char name[LOG_FILE_NAME_MAX];
    uint64_t at; /* up to here it has been shown */
};

struct log_view {
    const char *dir; /* of the engines' files; NULL: not wanted */
    struct log_file files[LIMIT_BACKENDS];
    size_t n_files;
    struct log_reader *reader; /* NULL: there is no ring */
    struct buf history;
    size_t sent; /* of history */
    bool follow;
    int watch_fd, client_fd;
};

/* ---- the engines' files ---------------------------------------------------------------------------- */

static bool view_add_file(void *ctx, const char *name)
{
    struct log_view *v = ctx;
    if (!text_starts(name, "engine-") || !text_ends(name, ".log") || strlen(name) >= LOG_FILE_NAME_MAX)
        return true;
    for (size_t i = 0; i < v->n_files; i++)
        if (strcmp(v->files[i].name, name) == 0)
            return true;
    if (v->n_files == ARRAY_LEN(v->files))
        return false;
    struct log_file *f = &v->files[v->n_files++];
    *f = (struct log_file){0};
    text_format(f->name, sizeof f->name, "%s", name);
    return true;
}

/* What is new in a file, at most max bytes; a file that has become shorter has been begun anew. */
static size_t view_read_file(const struct log_view *v, struct log_file *f, char *dst, size_t max)
{
    _cleanup_(file_close) int fd = -1;
    _cleanup_(buf_done) struct buf path = BUF_INIT(4096);
    struct file_info info;
    if (!buf_printf(&path, "%s/%s", v->dir, f->name) || !file_open(path.data, FILE_READ, &fd, NULL) ||
        !file_stat_fd(fd, path.data, &info, NULL))
        return 0;
    if (info.size < f->at)
        f->at = 0;
    uint64_t there = info.size - f->at;
    size_t n = there < max ? (size_t)there : max;
    if (n == 0 || !file_pread(fd, dst, n, f->at, path.data, NULL))
        return 0;
    f->at += n;
    return n;
}

/* The end of a file, from the beginning of a line. */
static bool view_tail(const struct log_view *v, struct log_file *f, struct arena *a, struct log_text *ret_text)
{
    _cleanup_(buf_done) struct buf path = BUF_INIT(4096);
    if (!buf_printf(&path, "%s/%s", v->dir, f->name))
        return false;
    struct file_info info = file_stat(path.data);
    bool cut = info.size > ENGINE_TAIL_BYTES;
    char *text = arena_alloc(a, ENGINE_TAIL_BYTES);
    f->at = cut ? info.size - ENGINE_TAIL_BYTES : 0;
    size_t n = view_read_file(v, f, text, ENGINE_TAIL_BYTES);
    const char *line = cut ? memchr(text, '\n', n) : NULL;
    size_t skip = line != NULL ? (size_t)(line - text) + 1 : 0;
    *ret_text = (struct log_text){text + skip, n - skip};
    return true;
}

/* ---- what is there --------------------------------------------------------------------------------- */

static bool view_history(struct log_view *v, struct err *err)
{
    struct arena arena = ARENA_INIT;
    struct log_text *texts = arena_array(&arena, 1 + LIMIT_BACKENDS, sizeof *texts);
    char *ring = arena_alloc(&arena, LIMIT_LOG_RING_BYTES);
    size_t n = 0, some;
    texts[0] = (struct log_text){ring, 0};
    while (v->reader != NULL &&
           (some = log_ring_read(v->reader, ring + texts[0].len, LIMIT_LOG_RING_BYTES - texts[0].len)) > 0)
        texts[0].len += some;
    n = 1;
    if (v->dir != NULL && !file_list(v->dir, view_add_file, v, err)) {
        arena_done(&arena);
        return false;
    }
    for (size_t i = 0; i < v->n_files; i++)
        if (view_tail(v, &v->files[i], &arena, &texts[n]))
            n++;
    bool ok = log_merge(texts, n, &v->history) || err_set(err, ERR_INTERNAL, "the logs are too long to be shown");
    arena_done(&arena);
    return ok;
}

/* ---- as it comes ----------------------------------------------------------------------------------- */

static size_t view_take(struct log_view *v, char *dst, size_t max)
{
    size_t n = v->reader != NULL ? log_ring_read(v->reader, dst, max) : 0;
    for (size_t i = 0; n == 0 && i < v->n_files; i++)
        n = view_read_file(v, &v->files[i], dst, max);
    return n;
}

static ssize_t view_read(void *ctx, char *dst, size_t max)
{
    struct log_view *v = ctx;
    size_t left = v->history.len - v->sent;
    if (left > 0) {
        size_t n = left < max ? left : max;
        memcpy(dst, v->history.data + v->sent, n);
        v->sent += n;
        return (ssize_t)n;
    }
    while (v->follow) {
        size_t n = view_take(v, dst, max);
        if (n > 0)
            return (ssize_t)n;
        struct socket_wait waits[] = {
            {.fd = v->reader != NULL ? log_ring_wake_fd(v->reader) : -1, .want = SOCKET_READABLE},
            {.fd = v->watch_fd, .want = SOCKET_READABLE},
            {.fd = v->client_fd, .want = SOCKET_CLOSED},
        };
        socket_wait(waits, ARRAY_LEN(waits), CLOCK_FOREVER);
        if (waits[2].got != 0)
            return -1;
        if (waits[1].got != 0) {
            socket_drain(v->watch_fd);
            file_list(v->dir, view_add_file, v, NULL);
        }
    }
    return 0;
}

static void view_close(void *ctx)
{
    struct log_view *v = ctx;
    log_ring_read_close(&v->reader);
    file_close(&v->watch_fd);
    buf_done(&v->history);
    free(v);
}

static bool view_open(struct log_view *v, const struct http_request *req, struct err *err)
{
    const struct api *api = req->app;
    bool no_engines = false;
    if (!request_flag(req, "follow", &v->follow, err) || !request_flag(req, "no-engines", &no_engines, err))
        return false;
    if (!no_engines && api->engine_log_dir != NULL && file_stat(api->engine_log_dir).kind == FILE_KIND_DIR)
        v->dir = api->engine_log_dir;
    if (v->dir != NULL && v->follow && !file_watch_dir(v->dir, &v->watch_fd, err))
        return false;
    if (api->logs != NULL && !log_ring_read_open(api->logs, v->follow ? LOG_FOLLOW : LOG_ONCE, &v->reader, err))
        return false;
    return view_history(v, err);
}

void logs_get(struct http_request *req)
{
    struct err err = ERR_INIT;
    struct log_view *v = check_alloc(calloc(1, sizeof *v));
    v->watch_fd = -1;
    v->client_fd = req->client_fd;
    v->history = BUF_INIT(LIMIT_ANSWER_BYTES);
    if (view_open(v, req, &err)) {
        http_reply_stream(req, 200, "text/plain; charset=utf-8", (struct http_stream){view_read, view_close, v});
        return;
    }
    view_close(v);
    http_reply_error(req, &err);
}
