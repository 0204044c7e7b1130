/* api/log_ring: the newest log lines in memory, for GET /logs.
 *
 *   ring = log_ring_new(LIMIT_LOG_RING_BYTES);
 *   log_set_sink(log_ring_sink, ring);                       before the threads
 *   log_ring_read_open(ring, LOG_FOLLOW, &reader, err);
 *   while ((n = log_ring_read(reader, dst, max)) > 0) …     then wait for log_ring_wake_fd(reader)
 *
 * Lines are whole; the oldest leave when there is no room. A reader begins with the oldest line
 * that is there; one that is too slow loses lines and is told so in one line of text.
 * Threads: any; the lock is held for copying only and nothing is called under it but socket_wake.
 * Not to be freed while readers are open.
 */
#ifndef TUG_API_LOG_RING_H
#define TUG_API_LOG_RING_H

#include "base/err.h"

#include <stddef.h>
#include <sys/types.h>

struct log_ring;
struct log_reader;

struct log_ring *log_ring_new(size_t bytes);
void log_ring_free(struct log_ring **ring);                          /* NULL is fine */
void log_ring_sink(void *ring, const char *line, unsigned long len); /* the form of log_set_sink */

enum log_follow { LOG_ONCE, LOG_FOLLOW };
bool log_ring_read_open(struct log_ring *ring, enum log_follow follow, struct log_reader **ret_reader, struct err *err);
/* Some bytes, at most max, whole lines if max allows; 0: nothing now. Never waits. */
size_t log_ring_read(struct log_reader *reader, char *dst, size_t max);
/* Readable when there may be more (log_ring_read empties it); -1 for LOG_ONCE. */
int log_ring_wake_fd(const struct log_reader *reader);
void log_ring_read_close(struct log_reader **reader);

#endif
