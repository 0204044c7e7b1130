/* api/recorder.c: see recorder.h: a list from the oldest to the newest, and a count for each model. */
#include "api/recorder.h"
#include "api/record_fold.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/socket.h"

#include <pthread.h>
#include <string.h>

enum { RECORD_ERROR_BYTES = 2048, RECORD_AGENT_BYTES = 256 };

struct recorder_follower {
    struct recorder_follower *next;
    struct recorder *recorder;
    uint64_t seq; /* of the next record that it wants */
    int wake[2];
};

struct recorder {
    bool bodies;
    pthread_mutex_t lock;                  /* for all below, and every record's refs */
    struct record *records[LIMIT_RECORDS]; /* the oldest first */
    size_t n, bytes;
    uint64_t next_seq;
    struct recorder_follower *followers;
};

struct recorder *recorder_new(bool bodies)
{
    struct recorder *r = check_alloc(calloc(1, sizeof *r));
    CHECK(pthread_mutex_init(&r->lock, NULL) == 0);
    r->bodies = bodies;
    return r;
}

static void record_free(struct record *one)
{
    free(one->model);
    free(one->url);
    free(one->user_agent);
    free(one->error);
    buf_done(&one->request);
    buf_done(&one->response);
    free(one);
}

void recorder_free(struct recorder **recorder)
{
    struct recorder *r = *recorder;
    *recorder = NULL;
    if (r == NULL)
        return;
    CHECK(r->followers == NULL);
    for (size_t i = 0; i < r->n; i++)
        record_free(r->records[i]);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* ---- one record ----------------------------------------------------------------------------------- */

static char *copy_at_most(const char *s, size_t max) { return check_alloc(strndup(s, max)); }

/* As much as there is room for, whole characters. */
static void body_add(struct buf *b, const char *data, size_t n)
{
    size_t room = b->max - b->len;
    if (n > room) {
        n = room;
        n -= text_utf8_partial(data, n);
    }
    if (n > 0)
        buf_add(b, data, n);
}

struct record *record_begin(struct recorder *r, const struct http_request *req, const char *id, const char *as)
{
    if (r == NULL)
        return NULL;
    struct record *one = check_alloc(calloc(1, sizeof *one));
    const char *agent = http_header(req, "User-Agent");
    text_format(one->id, sizeof one->id, "%s", req->id);
    text_format(one->model_id, sizeof one->model_id, "%s", id);
    one->model = copy_at_most(as, LIMIT_REFERENCE_BYTES);
    one->url = copy_at_most(req->path, LIMIT_PATH_BYTES);
    one->user_agent = agent == NULL ? NULL : copy_at_most(agent, RECORD_AGENT_BYTES);
    one->method = req->method == HTTP_GET ? "GET" : "POST";
    one->request = one->response = BUF_INIT(LIMIT_RECORD_BODY_BYTES);
    one->request_bytes = req->body.len;
    one->start_ns = req->start_ns;
    one->wall_ns = clock_wall_ns();
    one->bodies = r->bodies;
    if (r->bodies)
        body_add(&one->request, buf_str(&req->body), req->body.len);
    return one;
}

void record_answer(struct record *one, const void *data, size_t n)
{
    if (one == NULL)
        return;
    if (one->bodies && one->response_bytes == one->response.len)
        body_add(&one->response, data, n);
    one->response_bytes += n;
}

/* ---- the ring: the lock is held -------------------------------------------------------------------- */

static void record_unref(struct record *one)
{
    if (--one->refs == 0)
        record_free(one);
}

static void ring_drop(struct recorder *r, size_t i)
{
    struct record *one = r->records[i];
    r->n--;
    memmove(&r->records[i], &r->records[i + 1], (r->n - i) * sizeof r->records[0]);
    r->bytes -= one->bytes;
    record_unref(one);
}

static size_t ring_count(const struct recorder *r, const char *id)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++)
        n += strcmp(r->records[i]->model_id, id) == 0;
    return n;
}

/* One of a model that has more than it shows, if there is one among the oldest; else the oldest of all. */
static size_t ring_victim(const struct recorder *r)
{
    enum { LOOK_AT = 16 };
    for (size_t i = 0; i < r->n && i < LOOK_AT; i++)
        if (ring_count(r, r->records[i]->model_id) > LIMIT_RECORDS_MODEL)
            return i;
    return 0;
}

static void ring_add(struct recorder *r, struct record *one)
{
    while (r->n > 0 && (r->n == LIMIT_RECORDS || r->bytes + one->bytes > LIMIT_RECORDER_BYTES))
        ring_drop(r, ring_victim(r));
    one->seq = r->next_seq++;
    one->refs = 1;
    r->records[r->n++] = one;
    r->bytes += one->bytes;
    for (struct recorder_follower *f = r->followers; f != NULL; f = f->next)
        socket_wake(f->wake[1]);
}

void record_end(struct recorder *r, struct record **ended, int status, const char *error)
{
    struct record *one = *ended;
    *ended = NULL;
    if (one == NULL)
        return;
    one->cut = one->response.len < one->response_bytes;
    struct buf folded = BUF_INIT(LIMIT_RECORD_BODY_BYTES);
    if (!one->cut && record_fold(buf_str(&one->response), &folded)) {
        buf_done(&one->response);
        one->response = folded;
    } else {
        buf_done(&folded);
    }
    one->status = status;
    one->took_ns = clock_now_ns() - one->start_ns;
    if (error != NULL)
        one->error = copy_at_most(error, RECORD_ERROR_BYTES);
    one->bytes = sizeof *one + one->request.cap + one->response.cap + strlen(one->url) + strlen(one->model) +
                 (error == NULL ? 0 : strlen(one->error)) + RECORD_AGENT_BYTES;
    pthread_mutex_lock(&r->lock);
    ring_add(r, one);
    pthread_mutex_unlock(&r->lock);
}

/* ---- looking --------------------------------------------------------------------------------------- */

size_t recorder_take(struct recorder *r, const char *id, struct record ***ret)
{
    pthread_mutex_lock(&r->lock);
    struct record **list = check_alloc(calloc(r->n + 1, sizeof(struct record *)));
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) {
        struct record *one = r->records[i];
        size_t newer = 0; /* of the same model */
        if (id != NULL && strcmp(one->model_id, id) != 0)
            continue;
        for (size_t k = i + 1; k < r->n && newer < LIMIT_RECORDS_MODEL; k++)
            newer += strcmp(r->records[k]->model_id, one->model_id) == 0;
        if (newer == LIMIT_RECORDS_MODEL)
            continue;
        one->refs++;
        list[n++] = one;
    }
    pthread_mutex_unlock(&r->lock);
    *ret = list;
    return n;
}

void recorder_give(struct recorder *r, struct record *one)
{
    pthread_mutex_lock(&r->lock);
    record_unref(one);
    pthread_mutex_unlock(&r->lock);
}

bool recorder_follow(struct recorder *r, struct recorder_follower **ret_f, struct err *err)
{
    int wake[2];
    if (!socket_pipe(wake, err))
        return false;
    struct recorder_follower *f = check_alloc(calloc(1, sizeof *f));
    f->recorder = r;
    memcpy(f->wake, wake, sizeof wake);
    pthread_mutex_lock(&r->lock);
    f->seq = r->next_seq;
    f->next = r->followers;
    r->followers = f;
    pthread_mutex_unlock(&r->lock);
    *ret_f = f;
    return true;
}

struct record *recorder_next(struct recorder_follower *f, uint64_t *ret_missed)
{
    struct recorder *r = f->recorder;
    struct record *next = NULL;
    socket_drain(f->wake[0]);
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n && next == NULL; i++)
        if (r->records[i]->seq >= f->seq)
            next = r->records[i];
    *ret_missed = (next != NULL ? next->seq : r->next_seq) - f->seq;
    f->seq = next != NULL ? next->seq + 1 : r->next_seq;
    if (next != NULL)
        next->refs++;
    pthread_mutex_unlock(&r->lock);
    return next;
}

int recorder_wake_fd(const struct recorder_follower *f) { return f->wake[0]; }

void recorder_unfollow(struct recorder_follower **follower)
{
    struct recorder_follower *f = *follower;
    *follower = NULL;
    if (f == NULL)
        return;
    pthread_mutex_lock(&f->recorder->lock);
    struct recorder_follower **at = &f->recorder->followers;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    pthread_mutex_unlock(&f->recorder->lock);
    file_close(&f->wake[0]);
    file_close(&f->wake[1]);
    free(f);
}

/* ---- writing --------------------------------------------------------------------------------------- */

static void write_body(struct json_out *j, const char *key, const struct buf *body, uint64_t whole, bool cut)
{
    struct buf text = BUF_INIT((size_t)LIMIT_RECORD_BODY_BYTES + 64);
    buf_add(&text, buf_str(body), body->len);
    if (cut)
        buf_printf(&text, "...[truncated %llu bytes]", (unsigned long long)(whole - body->len));
    json_key(j, key);
    json_strn(j, buf_str(&text), text.len);
    buf_done(&text);
}

void record_write(struct json_out *j, const struct record *one)
{
    json_open(j, '{');
    json_kv_str(j, "id", one->id);
    json_kv_str(j, "model", one->model);
    json_kv_str(j, "method", one->method);
    json_kv_str(j, "url", one->url);
    write_body(j, "request", &one->request, one->request_bytes, one->bodies && one->request.len < one->request_bytes);
    if (one->error != NULL)
        json_kv_str(j, "error", one->error);
    else if (one->response.len > 0)
        write_body(j, "response", &one->response, one->response_bytes, one->cut);
    json_kv_int(j, "timestamp", one->wall_ns / CLOCK_SECOND);
    json_kv_int(j, "status_code", one->status);
    if (one->user_agent != NULL)
        json_kv_str(j, "user_agent", one->user_agent);
    if (one->origin != NULL)
        json_kv_str(j, "origin", one->origin);
    json_kv_uint(j, "request_bytes", one->request_bytes);
    json_kv_uint(j, "response_bytes", one->response_bytes);
    json_kv_int(j, "duration_ms", one->took_ns / CLOCK_MS);
    json_close(j, '}');
}
