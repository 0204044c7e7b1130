/* base/err: what went wrong, in one sentence for a person and one code for a program.
 *
 * A function that can fail returns bool and takes `struct err *err` last; on false its ret_
 * outputs are untouched. The error is made where the fact is known (err_set), each layer adds
 * at most one clause (err_while), the edge shows it once. The sentence names the thing, the
 * reason and the way out. `err` may be NULL where the caller does not care.
 *
 *   if (!store_open(dir, &store, err)) return err_while(err, "starting tug serve");
 *   if (len == 0) return err_set(err, ERR_PROTOCOL, "%s sent an empty manifest", host);
 *
 * A code exists only if a program decides on it: HTTP status, OpenAI error type and exit code
 * are columns of the same row, and docs/errors.md is made from them.
 */
#ifndef TUG_BASE_ERR_H
#define TUG_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

/* clang-format off */
#define ERR_CODES(X) /* code        http exit type                     when */                              \
    X(NONE,             200, 0, "",                      "no error")                                        \
    X(INVALID,          400, 1, "invalid_request_error", "the request is wrong: a field, a flag, a name")   \
    X(CONTEXT,          400, 1, "exceed_context_size_error", "the prompt does not fit the context")         \
    X(UNAUTHORIZED,     401, 1, "authentication_error",  "a key or login is missing or wrong")              \
    X(FORBIDDEN,        403, 1, "permission_error",      "refused: foreign origin, no access")              \
    X(NOT_FOUND,        404, 1, "not_found_error",       "no such model, blob or route")                    \
    X(CONFLICT,         409, 1, "conflict_error",        "in use, or several tags")                         \
    X(TOO_LARGE,        413, 1, "invalid_request_error", "above a stated limit")                            \
    X(UNSUPPORTED,      422, 1, "invalid_request_error", "a format this version cannot read")               \
    X(BUSY,             429, 1, "overloaded_error",      "the queue is full; try again later")              \
    X(INTERNAL,         500, 1, "server_error",          "our own mistake, or the system's")                \
    X(PROTOCOL,         502, 1, "upstream_error",        "another program answered what it must not")       \
    X(UNREACHABLE,      502, 1, "upstream_error",        "no answer: refused, reset, timed out, no name")   \
    X(UNAVAILABLE,      503, 1, "overloaded_error",      "stopping, or no room now")                        \
    X(ENGINE,           503, 1, "engine_error",          "the engine did not load or died")                 \
    X(NO_SPACE,         507, 1, "server_error",          "the disk is full")                                \
    X(CANCELLED,        499, 130, "cancelled",           "the client went away, or Ctrl-C")
/* clang-format on */

enum err_code {
#define ERR_ENUM(code, http, exit, type, when) ERR_##code,
    ERR_CODES(ERR_ENUM)
#undef ERR_ENUM
};

enum { ERR_TEXT_MAX = 768, ERR_PARAM_MAX = 96 };

struct err {
    enum err_code code;
    char text[ERR_TEXT_MAX];   /* cut at the end with "..." when too long */
    char param[ERR_PARAM_MAX]; /* the request field at fault, "" if none */
    int retry_after_s;         /* BUSY, UNAVAILABLE: when to try again; 0: nobody knows. err_set clears it */
};

#define ERR_INIT ((struct err){0})

/* Both return false. err_set replaces; err_while puts "CLAUSE: " before the text that is there. */
bool err_set(struct err *err, enum err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool err_while(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* As err_set(ERR_INVALID) and names the request field (`messages[2].role`). */
bool err_param(struct err *err, const char *param, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* As err_set with ": <strerror(errno_value)>" after the text; ENOSPC and EDQUOT become ERR_NO_SPACE. */
bool err_errno(struct err *err, int errno_value, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

int err_http_status(enum err_code code);
int err_exit_code(enum err_code code);
const char *err_type(enum err_code code); /* OpenAI's error.type */
const char *err_name(enum err_code code); /* "NOT_FOUND" */

#endif
