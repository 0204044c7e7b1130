/* api/progress.c: events of a transfer, a line each. */
#include "api/progress.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "json/json_write.h"

#include <string.h>

enum { LINE_MAX_BYTES = 16 * 1024 };

enum progress_form progress_form(const struct http_request *req)
{
    const char *accept = http_header(req, "Accept");
    return accept != NULL && strcmp(accept, "application/json") == 0 ? PROGRESS_JSON : PROGRESS_TEXT;
}

/* As Go's html.EscapeString, which Docker Model Runner uses. */
static bool escape_html(struct buf *out, const char *s)
{
    static const char special[] = "&<>\"'";
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&#34;", "&#39;"};
    bool ok = true;
    while (ok && *s != '\0') {
        size_t plain = strcspn(s, special);
        ok = buf_add(out, s, plain);
        s += plain;
        if (*s != '\0')
            ok = ok && buf_add_str(out, entities[strchr(special, *s++) - special]);
    }
    return ok;
}

/* A progress event without words gets DMR's, whose "MB" are MiB. */
static void write_message(struct json_out *j, const struct job_event *e, const char *mode)
{
    char text[ERR_TEXT_MAX + 16];
    const char *verb = strcmp(mode, "push") == 0 ? "Uploaded" : "Downloaded";
    text_format(text, sizeof text, "%s", e->message);
    if (e->kind == JOB_PROGRESS && e->message[0] == '\0' && e->layer_id[0] != '\0')
        text_format(text, sizeof text, "%s: %.2f MB", verb, (double)e->layer_current / (1024.0 * 1024.0));
    if (e->kind == JOB_ERROR && !text_starts(e->message, "Error: "))
        text_format(text, sizeof text, "Error: %s", e->message);
    json_kv_str(j, "message", text);
}

bool progress_write(struct buf *out, const struct job_event *event, const char *mode, enum progress_form form)
{
    static const char *const types[] = {
        [JOB_PROGRESS] = "progress", [JOB_WARNING] = "warning", [JOB_SUCCESS] = "success", [JOB_ERROR] = "error"};
    _cleanup_(buf_done) struct buf line = BUF_INIT(LINE_MAX_BYTES);
    struct json_out j = JSON_OUT(&line);
    json_open(&j, '{');
    json_kv_str(&j, "type", types[event->kind]);
    write_message(&j, event, mode);
    json_kv_uint(&j, "total", event->total);
    json_key(&j, "layer");
    json_open(&j, '{');
    if (event->layer_id[0] != '\0')
        json_kv_str(&j, "id", event->layer_id);
    json_kv_uint(&j, "size", event->layer_size);
    json_kv_uint(&j, "current", event->layer_current);
    json_close(&j, '}');
    json_kv_str(&j, "mode", mode);
    if (event->kind == JOB_ERROR) /* ours: what the status would have been, had it been known in time */
        json_kv_uint(&j, "status", (uint64_t)err_http_status(event->code));
    json_close(&j, '}');
    if (!json_ok(&j))
        return false;
    bool ok = form == PROGRESS_JSON ? buf_add(out, line.data, line.len) : escape_html(out, line.data);
    return ok && buf_add_char(out, '\n');
}

/* ---- a job's events as an answer ------------------------------------------------------------------- */

struct progress {
    struct job *job;
    const char *mode;
    enum progress_form form;
    int client_fd;
    bool have_first, ended;
    struct job_event event;
};

static ssize_t progress_read(void *ctx, char *dst, size_t max)
{
    struct progress *p = ctx;
    _cleanup_(buf_done) struct buf line = BUF_INIT(max);
    if (p->ended)
        return 0;
    if (!p->have_first && !job_next(p->job, &p->event, p->client_fd))
        return -1; /* the client has gone */
    p->have_first = false;
    p->ended = p->event.kind == JOB_SUCCESS || p->event.kind == JOB_ERROR;
    if (!progress_write(&line, &p->event, p->mode, p->form))
        return -1;
    memcpy(dst, line.data, line.len);
    return (ssize_t)line.len;
}

static void progress_close(void *ctx)
{
    struct progress *p = ctx;
    job_leave(&p->job);
}

void progress_reply(struct http_request *req, struct job *job, const char *mode)
{
    struct err err = ERR_INIT;
    struct progress *p = arena_alloc(&req->arena, sizeof *p);
    p->job = job;
    p->mode = mode;
    p->form = progress_form(req);
    p->client_fd = req->client_fd;
    p->have_first = job_next(job, &p->event, req->client_fd);
    if (!p->have_first)
        err_set(&err, ERR_CANCELLED, "the client has gone");
    else if (p->event.kind == JOB_ERROR)
        err_set(&err, p->event.code, "%s", p->event.message);
    if (err.code != ERR_NONE) {
        progress_close(p);
        http_reply_error(req, &err);
        return;
    }
    http_set_header(req, "Cache-Control", "no-cache");
    http_reply_stream(req, 200, p->form == PROGRESS_JSON ? "application/json" : "text/plain",
                      (struct http_stream){progress_read, progress_close, p});
}
