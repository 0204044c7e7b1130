/* base/log: one event, one line: a sentence, then key=value. Written by one write() to stderr.
 *
 *   log_info("loaded the model", "model=%s ms=%lld", name, ms);
 *
 * error: someone must act; warn: we went on; info: loaded, evicted, pulled; debug: for developers.
 * Libraries do not log what they return as an error: the edge does. Prompts and answers are never
 * logged. Any thread. This is the only mutable global of the program.
 */
#ifndef TUG_BASE_LOG_H
#define TUG_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Set once at start, before threads. `program` is the tag of each line ("tug", "engine"). */
void log_init(const char *program, enum log_level level);
bool log_level_parse(const char *text, enum log_level *ret_level);
/* A second receiver of every line (the daemon's log ring behind GET /logs), called without locks held; NULL: none. */
void log_set_sink(void (*sink)(void *ctx, const char *line, unsigned long len), void *ctx);
/* `keys` may be NULL: no key=value part. */
void log_write(enum log_level level, const char *sentence, const char *keys, ...) __attribute__((format(printf, 3, 4)));

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)

#endif
