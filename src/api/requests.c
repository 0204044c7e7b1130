/* api/requests.c: GET /engines/requests: what the recorder holds, as JSON or, as events, what comes (dmr.md 2.10). */
#include "api/handlers.h"
#include "api/recorder.h"
#include "backends/model_settings.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/socket.h"
#include "json/json_read.h"

#include <string.h>

#define HEARTBEAT_NS (15 * CLOCK_SECOND) /* so that proxies keep the stream, and a dead client is noticed */

/* ---- the list ------------------------------------------------------------------------------------- */

/* A model's settings, {} without any. */
static void group_config(struct json_out *j, const struct api *api, const char *id)
{
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    _cleanup_(json_free) json_t *json = NULL;
    struct model_settings s;
    json_key(j, "config");
    if (model_settings_load(api->store, id, &a, &json, &s)) {
        model_settings_out(j, json);
        return;
    }
    json_open(j, '{');
    json_close(j, '}');
}

/* All records of the model of list[at]; they are taken out of the list. */
static void group_write(struct json_out *j, const struct api *api, struct record **list, size_t n, size_t at)
{
    struct record *first = list[at]; /* whose id is looked at: given back last */
    const char *id = first->model_id;
    size_t count = 0;
    for (size_t i = at; i < n; i++)
        count += list[i] != NULL && strcmp(list[i]->model_id, id) == 0;
    json_open(j, '{');
    json_kv_uint(j, "count", count);
    json_kv_str(j, "model", id);
    group_config(j, api, id);
    json_key(j, "records");
    json_open(j, '[');
    for (size_t i = at; i < n; i++) {
        if (list[i] == NULL || strcmp(list[i]->model_id, id) != 0)
            continue;
        record_write(j, list[i]);
        if (i > at) {
            recorder_give(api->recorder, list[i]);
            list[i] = NULL;
        }
    }
    recorder_give(api->recorder, first);
    list[at] = NULL;
    json_close(j, ']');
    json_close(j, '}');
}

/* Gives the records back. */
static void groups_write(struct json_out *j, const struct api *api, struct record **list, size_t n)
{
    json_open(j, '[');
    for (size_t i = 0; i < n; i++)
        if (list[i] != NULL)
            group_write(j, api, list, n, i);
    json_close(j, ']');
}

static void requests_list(struct http_request *req, const char *id)
{
    const struct api *api = req->app;
    _cleanup_(buf_done) struct buf body = BUF_INIT(LIMIT_ANSWER_BYTES);
    struct json_out j = JSON_OUT(&body);
    struct record **list = NULL;
    struct err err = ERR_INIT;
    size_t n = recorder_take(api->recorder, id, &list);
    groups_write(&j, api, list, n);
    free(list);
    if (json_ok(&j)) {
        http_reply_json(req, 200, &body);
        return;
    }
    err_set(&err, ERR_INTERNAL, "the records are larger than %d bytes: ask for one model's", LIMIT_ANSWER_BYTES);
    http_reply_error(req, &err);
}

/* ---- the stream ----------------------------------------------------------------------------------- */

struct requests_stream {
    const struct api *api;
    char id[DIGEST_TEXT]; /* "": all */
    struct recorder_follower *follower;
    struct buf out; /* what is still to be sent */
    int client_fd;
};

static void stream_event(struct requests_stream *s, const char *event, struct record *one)
{
    struct json_out j = JSON_OUT(&s->out);
    buf_printf(&s->out, "event: %s\ndata: ", event);
    groups_write(&j, s->api, &one, 1);
    buf_add_str(&s->out, "\n\n");
}

/* What has come meanwhile; a heartbeat when nothing has for a while. False: the client has gone. */
static bool stream_wait(struct requests_stream *s)
{
    int64_t deadline = clock_now_ns() + HEARTBEAT_NS;
    while (s->out.len == 0) {
        uint64_t missed = 0;
        struct record *one = recorder_next(s->follower, &missed);
        if (missed > 0)
            buf_printf(&s->out, ": %llu requests came too fast and are missing here\n\n", (unsigned long long)missed);
        if (one != NULL && s->id[0] != '\0' && strcmp(one->model_id, s->id) != 0)
            recorder_give(s->api->recorder, one);
        else if (one != NULL)
            stream_event(s, "new_request", one);
        if (one != NULL || s->out.len > 0)
            continue;
        struct socket_wait waits[] = {{.fd = recorder_wake_fd(s->follower), .want = SOCKET_READABLE},
                                      {.fd = s->client_fd, .want = SOCKET_CLOSED}};
        if (!socket_wait(waits, ARRAY_LEN(waits), deadline))
            buf_add_str(&s->out, ": heartbeat\n\n");
        if (waits[1].got != 0)
            return false;
    }
    return true;
}

static ssize_t stream_read(void *ctx, char *dst, size_t max)
{
    struct requests_stream *s = ctx;
    if (s->out.len == 0 && !stream_wait(s))
        return -1;
    size_t n = s->out.len < max ? s->out.len : max;
    memcpy(dst, s->out.data, n);
    buf_drop(&s->out, n);
    return (ssize_t)n;
}

static void stream_close(void *ctx)
{
    struct requests_stream *s = ctx;
    recorder_unfollow(&s->follower);
    buf_done(&s->out);
    free(s);
}

static void requests_follow(struct http_request *req, const char *id, bool existing)
{
    const struct api *api = req->app;
    struct err err = ERR_INIT;
    struct requests_stream *s = check_alloc(calloc(1, sizeof *s));
    *s = (struct requests_stream){.api = api, .out = BUF_INIT(LIMIT_ANSWER_BYTES), .client_fd = req->client_fd};
    text_format(s->id, sizeof s->id, "%s", id == NULL ? "" : id);
    if (!recorder_follow(api->recorder, &s->follower, &err)) {
        stream_close(s);
        http_reply_error(req, &err);
        return;
    }
    struct record **list = NULL;
    size_t n = existing ? recorder_take(api->recorder, id, &list) : 0;
    for (size_t i = 0; i < n; i++)
        stream_event(s, "existing_request", list[i]);
    free(list);
    buf_add_str(&s->out, "event: connected\ndata: {\"status\": \"connected\"}\n\n");
    http_set_header(req, "Cache-Control", "no-cache");
    http_reply_stream(req, 200, "text/event-stream", (struct http_stream){stream_read, stream_close, s});
}

void engines_requests(struct http_request *req)
{
    const char *model = http_query(req, "model"), *accept = http_header(req, "Accept");
    char id[DIGEST_TEXT];
    struct err err = ERR_INIT;
    bool existing = false, one = model != NULL && model[0] != '\0';
    if (!request_flag(req, "include_existing", &existing, &err) || (one && !request_model_id(req, model, id, &err)))
        http_reply_error(req, &err);
    else if (accept != NULL && strstr(accept, "text/event-stream") != NULL)
        requests_follow(req, one ? id : NULL, existing);
    else
        requests_list(req, one ? id : NULL);
}
