/* base/log.c: a line is built on the stack and written at once, so lines of threads never mix. */
#include "base/log.h"

#include "base/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static struct {
    const char *program;
    enum log_level level;
    void (*sink)(void *ctx, const char *line, unsigned long len);
    void *sink_ctx;
} log_state = {.program = "tug", .level = LOG_INFO};

void log_init(const char *program, enum log_level level)
{
    log_state.program = program;
    log_state.level = level;
}

void log_set_sink(void (*sink)(void *ctx, const char *line, unsigned long len), void *ctx)
{
    log_state.sink = sink;
    log_state.sink_ctx = ctx;
}

bool log_level_parse(const char *text, enum log_level *ret_level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_write(enum log_level level, const char *sentence, const char *keys, ...)
{
    static const char *const words[] = {"error", "warn", "info", "debug"};
    if (level > log_state.level)
        return;
    char line[LIMIT_LOG_LINE_BYTES];
    size_t max = sizeof line - 1; /* room for the newline */
    struct timespec ts;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    int n = snprintf(line, max, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s %s: %s", tm.tm_year + 1900, tm.tm_mon + 1,
                     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, ts.tv_nsec / 1000000, log_state.program,
                     words[level], sentence);
    size_t len = n < 0 ? 0 : (size_t)n;
    if (keys != NULL && len + 1 < max) {
        line[len++] = ' ';
        va_list ap;
        va_start(ap, keys);
        n = vsnprintf(line + len, max - len, keys, ap);
        va_end(ap);
        len += n < 0 ? 0 : (size_t)n;
    }
    if (len >= max)
        len = max - 1;
    for (size_t i = 0; i < len; i++) /* a value from outside must not forge a line */
        if ((unsigned char)line[i] < 0x20)
            line[i] = ' ';
    line[len++] = '\n';
    if (log_state.sink != NULL)
        log_state.sink(log_state.sink_ctx, line, len);
    ssize_t ignored = write(STDERR_FILENO, line, len);
    (void)ignored;
}
