/* api/log_ring.c: positions are counts of bytes since the start; byte p stands at p % size. */
#include "api/log_ring.h"

#include "base/check.h"
#include "platform/file.h"
#include "platform/socket.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

static const char log_gap[] = "(lines that came too fast are missing here)\n";

struct log_reader {
    struct log_reader *next;
    struct log_ring *ring;
    uint64_t at;
    bool gap;    /* lines were lost: say so before the next one */
    int wake[2]; /* FOLLOW: a pipe; -1 otherwise */
};

struct log_ring {
    pthread_mutex_t lock; /* for all below */
    char *bytes;
    size_t size;
    uint64_t begin, end; /* begin stands on the first byte of a line */
    struct log_reader *readers;
};

struct log_ring *log_ring_new(size_t bytes)
{
    struct log_ring *r = check_alloc(calloc(1, sizeof *r));
    CHECK(bytes > 0 && pthread_mutex_init(&r->lock, NULL) == 0);
    r->size = bytes;
    r->bytes = check_alloc(malloc(bytes));
    return r;
}

void log_ring_free(struct log_ring **ring)
{
    struct log_ring *r = *ring;
    *ring = NULL;
    if (r == NULL)
        return;
    CHECK(r->readers == NULL);
    pthread_mutex_destroy(&r->lock);
    free(r->bytes);
    free(r);
}

/* Copies n bytes between the ring at `position` and plain memory, in at most two pieces. */
static void ring_put(struct log_ring *r, uint64_t position, const char *src, size_t n)
{
    size_t at = (size_t)(position % r->size);
    size_t first = n < r->size - at ? n : r->size - at;
    memcpy(r->bytes + at, src, first);
    memcpy(r->bytes, src + first, n - first);
}

static void ring_get(const struct log_ring *r, uint64_t position, char *dst, size_t n)
{
    size_t at = (size_t)(position % r->size);
    size_t first = n < r->size - at ? n : r->size - at;
    memcpy(dst, r->bytes + at, first);
    memcpy(dst + first, r->bytes, n - first);
}

static void ring_make_room(struct log_ring *r, size_t n)
{
    while (r->end + n - r->begin > r->size) {
        char c;
        do {
            ring_get(r, r->begin++, &c, 1);
        } while (c != '\n' && r->begin < r->end);
    }
}

void log_ring_sink(void *ring, const char *line, unsigned long len)
{
    struct log_ring *r = ring;
    pthread_mutex_lock(&r->lock);
    if (len > 0 && len <= r->size) {
        ring_make_room(r, len);
        ring_put(r, r->end, line, len);
        r->end += len;
    }
    for (struct log_reader *reader = r->readers; reader != NULL; reader = reader->next)
        if (reader->wake[1] >= 0)
            socket_wake(reader->wake[1]);
    pthread_mutex_unlock(&r->lock);
}

bool log_ring_read_open(struct log_ring *ring, enum log_follow follow, struct log_reader **ret_reader, struct err *err)
{
    int wake[2] = {-1, -1};
    if (follow == LOG_FOLLOW && !socket_pipe(wake, err))
        return false;
    struct log_reader *reader = check_alloc(calloc(1, sizeof *reader));
    reader->ring = ring;
    memcpy(reader->wake, wake, sizeof wake);
    pthread_mutex_lock(&ring->lock);
    reader->at = ring->begin;
    reader->next = ring->readers;
    ring->readers = reader;
    pthread_mutex_unlock(&ring->lock);
    *ret_reader = reader;
    return true;
}

size_t log_ring_read(struct log_reader *reader, char *dst, size_t max)
{
    struct log_ring *r = reader->ring;
    size_t n = 0;
    if (reader->wake[0] >= 0)
        socket_drain(reader->wake[0]);
    pthread_mutex_lock(&r->lock);
    if (reader->at < r->begin) {
        reader->at = r->begin;
        reader->gap = true;
    }
    if (reader->gap && max >= sizeof log_gap) {
        n = sizeof log_gap - 1;
        memcpy(dst, log_gap, n);
        reader->gap = false;
    }
    uint64_t there = r->end - reader->at;
    size_t some = there < max - n ? (size_t)there : max - n;
    ring_get(r, reader->at, dst + n, some);
    const char *last = memrchr(dst + n, '\n', some);
    if (last != NULL)
        some = (size_t)(last - (dst + n)) + 1;
    reader->at += some;
    pthread_mutex_unlock(&r->lock);
    return n + some;
}

int log_ring_wake_fd(const struct log_reader *reader) { return reader->wake[0]; }

void log_ring_read_close(struct log_reader **reader)
{
    struct log_reader *closing = *reader;
    *reader = NULL;
    if (closing == NULL)
        return;
    pthread_mutex_lock(&closing->ring->lock);
    struct log_reader **at = &closing->ring->readers;
    while (*at != closing)
        at = &(*at)->next;
    *at = closing->next;
    pthread_mutex_unlock(&closing->ring->lock);
    file_close(&closing->wake[0]);
    file_close(&closing->wake[1]);
    free(closing);
}
