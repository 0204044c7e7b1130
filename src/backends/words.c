/* backends/words.c: what an engine says on stderr: the end of it for error messages, all of it for the log file. */
#include "backends/backend.h"
#include "base/check.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/file.h"

#include <string.h>

/* A log that cannot be opened is no reason not to serve: our stderr takes its place. */
static void words_open_log(struct words *w)
{
    int fd;
    if (w->log_path == NULL || !file_open(w->log_path, FILE_APPEND, &fd, NULL))
        return;
    struct file_info info = {0};
    file_stat_fd(fd, w->log_path, &info, NULL);
    w->log_fd = fd;
    w->log_bytes = info.size;
}

void words_begin(struct words *w, const char *log_dir, const char *id, const char *name)
{
    w->total = 0;
    w->log_fd = -1;
    w->log_bytes = 0;
    w->log_path = NULL;
    if (log_dir == NULL)
        return;
    struct buf path = BUF_INIT(4096);
    if (!buf_printf(&path, "%s/engine-%.12s.log", log_dir, digest_hex(id))) {
        buf_done(&path);
        return;
    }
    w->log_path = buf_take(&path);
    words_open_log(w);
    char head[LIMIT_REFERENCE_BYTES + 128], when[40];
    text_rfc3339(when, clock_wall_ns(), 3);
    text_format(head, sizeof head, "---- %s engine for %s\n", when, name);
    if (w->log_fd >= 0 && file_write(w->log_fd, head, strlen(head), w->log_path, NULL))
        w->log_bytes += strlen(head);
}

/* At its maximum the log becomes FILE.1, whose old content goes: two halves, so that the newest is always there. */
static void words_rotate(struct words *w)
{
    struct buf old = BUF_INIT(4096);
    if (buf_printf(&old, "%s.1", w->log_path)) {
        file_close(&w->log_fd);
        file_rename(w->log_path, old.data, NULL);
        words_open_log(w);
    }
    buf_done(&old);
}

static void words_log(struct words *w, const char *data, size_t n)
{
    if (w->log_fd < 0) {
        file_write(2, data, n, "stderr", NULL);
        return;
    }
    if (w->log_bytes + n > LIMIT_ENGINE_LOG_BYTES)
        words_rotate(w);
    if (w->log_fd >= 0 && file_write(w->log_fd, data, n, w->log_path, NULL))
        w->log_bytes += n;
}

void words_add(struct words *w, const char *data, size_t n)
{
    words_log(w, data, n);
    for (size_t i = 0; i < n; i++)
        w->ring[(w->total + i) % sizeof w->ring] = data[i];
    w->total += n;
}

/* Where the text to show begins: the oldest line start whose lines, joined, fit into `room`. */
static size_t words_first(const struct words *w, size_t end, size_t room)
{
    size_t oldest = w->total > sizeof w->ring ? w->total - sizeof w->ring : 0;
    size_t first = end, length = 0;
    for (size_t at = end; at > oldest; at--) {
        length += w->ring[(at - 1) % sizeof w->ring] == '\n' ? 3 : 1;
        if (length > room)
            break;
        bool line_start = at - 1 == oldest ? oldest == 0 : w->ring[(at - 2) % sizeof w->ring] == '\n';
        if (line_start)
            first = at - 1;
    }
    /* One line that is longer than the room: its end is better than nothing. */
    return first == end && end > oldest ? (end - oldest > room ? end - room : oldest) : first;
}

void words_last(const struct words *w, char *dst, size_t size)
{
    CHECK(size > 4);
    size_t end = w->total;
    while (end > 0 && w->total - end < sizeof w->ring && w->ring[(end - 1) % sizeof w->ring] == '\n')
        end--;
    size_t n = 0;
    for (size_t at = words_first(w, end, size - 1); at < end; at++) {
        char c = w->ring[at % sizeof w->ring];
        if (c == '\n' && n + 3 < size) {
            memcpy(dst + n, " | ", 3);
            n += 3;
        } else if (n + 1 < size) {
            dst[n++] = (unsigned char)c < 0x20 ? ' ' : c;
        }
    }
    dst[n] = '\0';
}

void words_end(struct words *w)
{
    file_close(&w->log_fd);
    free(w->log_path);
    w->log_path = NULL;
}
