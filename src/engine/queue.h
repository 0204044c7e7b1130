/* engine/queue: where requests and answers change threads. All of batch.h's gen_* is here.
 *
 *   q = queue_new(&limits)
 *   list = queue_take(q, …)           batch thread: waits for work, takes what has arrived, in order
 *   queue_answer(q, r)                batch thread: r->fresh and, at the end, its finish go to the request
 *   queue_flush(q)                    wakes those who got something; once per step, without the lock
 *   queue_free(&q)                    after the batch thread has ended
 *
 * One lock, held for a few memory copies; never while a step is computed, a pipe is written or a
 * socket is waited for. A waiting thread borrows a waker (a pipe) for the time that it waits, so a
 * client with two thousand inputs needs one, and an idle request none.
 */
#ifndef TUG_ENGINE_QUEUE_H
#define TUG_ENGINE_QUEUE_H

#include "engine/request.h"

struct queue_limits {
    int32_t sequence; /* tokens of one sequence */
    int32_t n_vocab, n_embd;
    bool embedding; /* the model gives vectors, no text */
};

struct queue *queue_new(const struct queue_limits *limits);
void queue_free(struct queue **q);

/* Blocks while there is nothing new, `idle` and no stop was asked for. The requests that arrived, a list by `next`. */
struct gen_private *queue_take(struct queue *q, bool idle, bool *ret_stopping, int64_t *ret_deadline_ns);
/* The request has a sequence now and no longer counts as waiting. */
void queue_started(struct queue *q);
void queue_answer(struct queue *q, struct gen_private *r);
void queue_flush(struct queue *q);
void queue_stop(struct queue *q, int64_t deadline_ns);
/* Drops the batch thread's reference. */
void request_drop(struct gen_private *r);

/* Statistics are the batch thread's; this is the copy that others see. */
void queue_set_stats(struct queue *q, const struct batch_stats *s);
void queue_get_stats(struct queue *q, struct batch_stats *ret);

struct queue *batch_queue(struct batch *b); /* batch.c */

#endif
