/* api/recorder: the latest inference requests and how they were answered, in memory: GET /engines/requests.
 *
 *   recorder = recorder_new(bodies);                       before the server; bodies: keep what was asked and answered
 *   r = record_begin(recorder, req, id, as);               a request that names the model `id` as `as`
 *   record_answer(r, data, n) …                            pieces of the answer, as they go out
 *   record_end(recorder, &r, status, error);               now it can be seen
 *
 * At most LIMIT_RECORDS_MODEL of a model are shown. All together they hold LIMIT_RECORDER_BYTES and LIMIT_RECORDS at
 * most: the oldest leave, first those of models that have more than they show. Bodies are cut at
 * LIMIT_RECORD_BODY_BYTES. Headers are never kept but User-Agent, and of the URL not the query.
 *
 * A follower has a place in the sequence of records and no queue: one that is too slow misses records, which it is
 * told, and holds nobody up. A record that was taken stays until it is given back.
 * Threads: any; nothing is called under the lock but socket_wake.
 */
#ifndef TUG_API_RECORDER_H
#define TUG_API_RECORDER_H

#include "base/buf.h"
#include "http/server/http_server.h"
#include "oci/digest.h"
#include "json/json_write.h"

struct recorder;

/* Read only once it is in the ring. */
struct record {
    char id[HTTP_ID_MAX]; /* the request's */
    char model_id[DIGEST_TEXT];
    char *model, *url, *user_agent, *error; /* user_agent, error: NULL: none */
    const char *method, *origin;            /* static; origin: "anthropic/messages" and the like, NULL: none */
    struct buf request, response;           /* empty unless bodies are kept */
    uint64_t request_bytes, response_bytes; /* the whole */
    int status;
    int64_t start_ns, wall_ns, took_ns;

    /* the recorder's */
    uint64_t seq;
    size_t bytes;
    unsigned refs;
    bool bodies;
    bool cut; /* the response is not whole */
};

struct recorder *recorder_new(bool bodies);
void recorder_free(struct recorder **r); /* NULL is fine; nobody follows any more */

/* `recorder` NULL: NULL, which the others take. */
struct record *record_begin(struct recorder *r, const struct http_request *req, const char *id, const char *as);
void record_answer(struct record *one, const void *data, size_t n);
/* `error` NULL: none. */
void record_end(struct recorder *r, struct record **one, int status, const char *error);

/* The records to be shown, oldest first, of one model, or of all (id NULL). malloc'd; each to be given back. */
size_t recorder_take(struct recorder *r, const char *id, struct record ***ret);
void recorder_give(struct recorder *r, struct record *one);

struct recorder_follower;
bool recorder_follow(struct recorder *r, struct recorder_follower **ret_f, struct err *err);
/* The next record since recorder_follow, NULL: none now. *ret_missed: how many left before it could be taken. */
struct record *recorder_next(struct recorder_follower *f, uint64_t *ret_missed);
int recorder_wake_fd(const struct recorder_follower *f); /* readable when there may be more; recorder_next empties it */
void recorder_unfollow(struct recorder_follower **f);    /* NULL is fine */

void record_write(struct json_out *j, const struct record *one);

#endif
