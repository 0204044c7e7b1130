/* api/openai.c: inference: a request goes to its model's engine, the answer comes back, both untouched.
 *
 * Of the request `model` is read and nothing else; the engine validates the rest. The backend is
 * released by relay_close, which every way out passes: errors here, or the end of the stream.
 */
#include "openai/openai.h"
#include "api/handlers.h"
#include "api/recorder.h"
#include "backends/backends.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "http/client/http_client.h"
#include "platform/clock.h"
#include "json/json_read.h"

#include <string.h>

struct relay {
    const struct api *api;
    const char *as; /* how the request named the model */
    struct backend_use use;
    bool in_use;
    struct record *record;  /* NULL: it has been ended */
    int status;             /* of the answer, once there is one */
    struct http_pool *pool; /* the call's */
    struct http_call *call;
    struct http_request *req;
    char last;         /* the last byte that went out */
    const char *event; /* the engine is gone: what is still to be sent of the error event; NULL: it is not */
};

/* ---- which model --------------------------------------------------------------------------------- */

static bool same_model(struct http_request *req, const char *name, const char *other, const char *id)
{
    const struct api *api = req->app;
    struct reference a, b;
    char found[DIGEST_TEXT];
    if (reference_parse(name, &a, NULL) && reference_parse(other, &b, NULL) && strcmp(a.text, b.text) == 0)
        return true;
    return store_find_id(api->store, other, found, NULL) && strcmp(found, id) == 0;
}

/* The id of the model of the path, else of the body; *ret_as is how it was named. */
static bool openai_choose(struct http_request *req, const char **ret_as, char ret_id[DIGEST_TEXT], struct err *err)
{
    _cleanup_(json_free) json_t *body = NULL;
    const char *in_path = req->params[0], *in_body = "";
    if (!request_object(req, &body, err) || !json_get_string(body, "", "model", &in_body, err))
        return false;
    if (in_path == NULL && in_body[0] == '\0')
        return err_param(err, "model", "model is required: a name that GET /v1/models lists");
    const char *as = in_path != NULL ? in_path : arena_strdup(&req->arena, in_body);
    if (!request_model_id(req, as, ret_id, err))
        return false;
    if (in_path != NULL && in_body[0] != '\0' && !same_model(req, in_path, in_body, ret_id))
        return err_param(err, "model", "the path names the model '%s', the body '%s'", in_path, in_body);
    *ret_as = as;
    return true;
}

/* An engine for the model; one that is loaded costs no look at the store's files. */
static bool relay_use(struct relay *r, const char *id, enum backend_mode mode, struct err *err)
{
    struct model model;
    r->in_use = backends_use_loaded(r->api->backends, id, &r->use) ||
                (store_find(r->api->store, id, &r->req->arena, &model, err) &&
                 backends_use(r->api->backends, &model, r->as, mode, r->req->client_fd, &r->use, err));
    return r->in_use;
}

/* ---- the way back -------------------------------------------------------------------------------- */

/* What is known now is what the recorder shows. `why` NULL: no error. */
static void relay_record(struct relay *r, int status, const char *why)
{
    if (r->record == NULL)
        return;
    log_info("answered", "id=%s model=%s path=%s status=%d ms=%lld bytes=%llu", r->req->id, r->as, r->req->path, status,
             (long long)((clock_now_ns() - r->req->start_ns) / CLOCK_MS),
             (unsigned long long)r->record->response_bytes);
    record_end(r->api->recorder, &r->record, status, why);
}

static void relay_record_error(struct relay *r, const struct err *err)
{
    relay_record(r, err_http_status(err->code), err->text);
}

static void relay_close(void *ctx)
{
    struct relay *r = ctx;
    http_call_close(&r->call);
    http_pools_put(r->api->upstreams, &r->pool);
    if (r->in_use)
        backends_release(r->api->backends, &r->use);
    r->in_use = false;
}

static void relay_stream_close(void *ctx)
{
    struct relay *r = ctx;
    relay_record(r, r->status, r->event != NULL ? "the engine broke off its answer" : NULL);
    relay_close(r);
}

/* A broken exchange: the engine's own last words, if it has died, instead of what the socket says. */
static void relay_explain(struct relay *r, struct err *err)
{
    if (err->code == ERR_CANCELLED)
        return;
    backends_explain(r->api->backends, &r->use, err);
    log_warn("an engine broke off its answer", "id=%s model=%s why=%s", r->req->id, r->use.id, err->text);
}

/* Ends what is there of an event, so that this one stands alone. */
static const char *relay_error_event(struct relay *r, const struct err *err)
{
    _cleanup_(buf_done) struct buf event = BUF_INIT(LIMIT_ERROR_BODY_BYTES);
    buf_add_str(&event, r->last == '\n' ? "\ndata: " : "\n\ndata: ");
    openai_write_error(&event, err);
    buf_add_str(&event, "\n\n");
    return arena_strdup(&r->req->arena, buf_str(&event));
}

static ssize_t relay_read(void *ctx, char *dst, size_t max)
{
    struct relay *r = ctx;
    struct err err = ERR_INIT;
    if (r->event == NULL) {
        ssize_t n = http_call_read(r->call, dst, max, &err);
        if (n > 0) {
            r->last = dst[n - 1];
            record_answer(r->record, dst, (size_t)n);
        }
        if (n == 0)
            relay_record(r, r->status, NULL); /* before the client sees the end */
        if (n >= 0 || err.code == ERR_CANCELLED)
            return n;
        relay_explain(r, &err);
        r->event = relay_error_event(r, &err);
    }
    size_t left = strlen(r->event);
    size_t n = left < max ? left : max;
    memcpy(dst, r->event, n);
    r->event += n;
    return n > 0 ? (ssize_t)n : -1; /* cut: it must not look like a whole answer */
}

/* An answer that is not a stream is passed on when it is whole, so that a crash on the way is an error with a status.
 */
static bool relay_whole(struct relay *r, int status, const char *type, struct err *err)
{
    _cleanup_(buf_done) struct buf body = BUF_INIT(LIMIT_ANSWER_BYTES);
    if (!http_call_read_all(r->call, &body, err))
        return false;
    relay_close(r);
    record_answer(r->record, body.data, body.len);
    relay_record(r, status, status >= 400 ? buf_str(&body) : NULL);
    http_reply(r->req, status, type, body.data, body.len);
    return true;
}

static bool relay_answer(struct relay *r, struct err *err)
{
    int status = http_call_status(r->call);
    const char *type = http_call_header(r->call, "Content-Type");
    const char *retry_after = http_call_header(r->call, "Retry-After");
    type = arena_strdup(&r->req->arena, type != NULL ? type : "application/json");
    const char *warning = http_call_header(r->call, "X-Tug-Warning");
    if (warning != NULL)
        http_set_header(r->req, "X-Tug-Warning", warning);
    if (retry_after != NULL)
        http_set_header(r->req, "Retry-After", retry_after);
    if (!text_starts(type, "text/event-stream"))
        return relay_whole(r, status, type, err);
    http_set_header(r->req, "Cache-Control", "no-cache");
    r->status = status;
    http_reply_stream(r->req, status, type, (struct http_stream){relay_read, relay_stream_close, r});
    return true;
}

/* ---- the way there ------------------------------------------------------------------------------- */

static bool relay_send(struct relay *r, const char *path, bool *ret_unsent, struct err *err)
{
    const struct http_request *req = r->req;
    const char *headers[] = {"Content-Type: application/json",
                             arena_printf(&r->req->arena, "X-Request-Id: %s", req->id), NULL};
    if (r->pool == NULL)
        r->pool = http_pools_take(r->api->upstreams);
    struct http_call_spec spec = {.method = "POST",
                                  .url = arena_printf(&r->req->arena, "http://localhost%s", path),
                                  .unix_socket = r->use.socket,
                                  .headers = headers,
                                  .body = req->body.data,
                                  .body_len = req->body.len,
                                  .cancel_fd = req->client_fd,
                                  .pool = r->pool,
                                  .ret_unsent = ret_unsent};
    return http_call_open(&spec, &r->call, err);
}

/* An engine that had died before it saw the request is started again, once; one that dies on the request is an error.
 */
static bool relay_reach(struct relay *r, const char *id, enum backend_mode mode, const char *path, struct err *err)
{
    bool unsent = false;
    if (relay_send(r, path, &unsent, err))
        return true;
    if (!unsent || !backends_explain(r->api->backends, &r->use, err))
        return false;
    relay_close(r);
    *err = ERR_INIT;
    return relay_use(r, id, mode, err) && relay_send(r, path, &unsent, err);
}

static void openai_relay(struct http_request *req, const char *path, enum backend_mode mode)
{
    const struct api *api = req->app;
    const char *preload = http_header(req, "X-Preload-Only");
    bool is_preload = preload != NULL && text_equal_nocase(preload, "true");
    struct err err = ERR_INIT;
    char id[DIGEST_TEXT];
    struct relay *r = arena_alloc(&req->arena, sizeof *r);
    *r = (struct relay){.api = api, .req = req};
    bool ok = openai_choose(req, &r->as, id, &err);
    if (ok && !is_preload)
        r->record = record_begin(api->recorder, req, id, r->as);
    if (!ok || !relay_use(r, id, mode, &err)) {
        relay_record_error(r, &err);
        http_reply_error(req, &err);
        return;
    }
    if (is_preload) {
        relay_close(r);
        http_reply(req, 200, NULL, NULL, 0);
        return;
    }
    if (relay_reach(r, id, mode, path, &err) && relay_answer(r, &err))
        return;
    if (r->in_use)
        relay_explain(r, &err);
    relay_close(r);
    relay_record_error(r, &err);
    http_reply_error(req, &err);
}

void openai_chat(struct http_request *req) { openai_relay(req, "/v1/chat/completions", BACKEND_COMPLETION); }
void openai_completions(struct http_request *req) { openai_relay(req, "/v1/completions", BACKEND_COMPLETION); }
void openai_rerank(struct http_request *req) { openai_relay(req, "/rerank", BACKEND_EMBEDDING); }
void openai_score(struct http_request *req) { openai_relay(req, "/score", BACKEND_EMBEDDING); }
void openai_tokenize(struct http_request *req) { openai_relay(req, "/tokenize", BACKEND_COMPLETION); }
void openai_detokenize(struct http_request *req) { openai_relay(req, "/detokenize", BACKEND_COMPLETION); }
void openai_template(struct http_request *req) { openai_relay(req, "/apply-template", BACKEND_COMPLETION); }
void openai_embeddings(struct http_request *req) { openai_relay(req, "/v1/embeddings", BACKEND_EMBEDDING); }
