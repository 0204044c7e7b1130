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

/* The ring in order, without the line whose beginning is overwritten. Returns its length. */
static size_t words_unroll(const struct words *w, char dst[LIMIT_ENGINE_WORDS_BYTES])
{
    size_t n = w->total < sizeof w->ring ? w->total : sizeof w->ring;
    for (size_t i = 0; i < n; i++)
        dst[i] = w->ring[(w->total - n + i) % sizeof w->ring];
    const char *lf = w->total > n ? memchr(dst, '\n', n) : NULL;
    if (lf == NULL)
        return n;
    n -= (size_t)(lf + 1 - dst);
    memmove(dst, lf + 1, n);
    return n;
}

/* What tug-engine logs when all is well says nothing about its end. */
static bool line_is_news(const char *line, size_t n)
{
    static const char *const levels[] = {" engine info: ", " engine debug: "};
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (memmem(line, n, levels[i], strlen(levels[i])) != NULL)
            return false;
    return n > 0;
}

void words_last(const struct words *w, char *dst, size_t size)
{
    static const char between[] = {' ', '|', ' '};
    char text[LIMIT_ENGINE_WORDS_BYTES];
    CHECK(size > 4);
    char *at = dst + size - 1; /* filled from its end: the newest line is the one that must be there */
    *at = '\0';
    for (size_t end = words_unroll(w, text); end > 0;) {
        const char *lf = memrchr(text, '\n', end);
        size_t begin = lf == NULL ? 0 : (size_t)(lf + 1 - text), n = end - begin, room = (size_t)(at - dst);
        bool first = *at == '\0';
        if (line_is_news(text + begin, n)) {
            if (!first && n + sizeof between > room)
                break;
            if (!first)
                memcpy(at -= sizeof between, between, sizeof between);
            n = n < room ? n : room; /* of one that is longer than all: its end */
            memcpy(at - n, text + end - n, n);
            at -= n;
        }
        end = begin == 0 ? 0 : begin - 1;
    }
    memmove(dst, at, strlen(at) + 1);
    for (; *dst != '\0'; dst++)
        if ((unsigned char)*dst < 0x20)
            *dst = ' ';
}

void words_end(struct words *w)
{
    file_close(&w->log_fd);
    free(w->log_path);
    w->log_path = NULL;
}
