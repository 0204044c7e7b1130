/* base/err.c: see err.h. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct err_row {
    int http;
    int exit;
    const char *type;
    const char *name;
};

static const struct err_row err_rows[] = {
#define ERR_ROW(code, http, exit, type, when) {http, exit, type, #code},
    ERR_CODES(ERR_ROW)
#undef ERR_ROW
};

static void err_format(char *text, const char *fmt, va_list ap)
{
    int n = vsnprintf(text, ERR_TEXT_MAX, fmt, ap);
    if (n >= ERR_TEXT_MAX)
        memcpy(text + ERR_TEXT_MAX - 4, "...", 4);
}

bool err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    if (err == NULL)
        return false;
    va_list ap;
    va_start(ap, fmt);
    err->code = code;
    err->param[0] = '\0';
    err->retry_after_s = 0;
    err_format(err->text, fmt, ap);
    va_end(ap);
    return false;
}

bool err_param(struct err *err, const char *param, const char *fmt, ...)
{
    if (err == NULL)
        return false;
    va_list ap;
    va_start(ap, fmt);
    err->code = ERR_INVALID;
    snprintf(err->param, sizeof err->param, "%s", param);
    err_format(err->text, fmt, ap);
    va_end(ap);
    return false;
}

bool err_while(struct err *err, const char *fmt, ...)
{
    if (err == NULL)
        return false;
    char clause[ERR_TEXT_MAX];
    char whole[2 * ERR_TEXT_MAX + 2];
    va_list ap;
    va_start(ap, fmt);
    err_format(clause, fmt, ap);
    va_end(ap);
    int n = snprintf(whole, sizeof whole, "%s: %s", clause, err->text);
    if (n >= ERR_TEXT_MAX) /* keep the end, which is the reason: cut the clause away instead */
        return false;
    memcpy(err->text, whole, (size_t)n + 1);
    return false;
}

bool err_errno(struct err *err, int errno_value, const char *fmt, ...)
{
    if (err == NULL)
        return false;
    char what[ERR_TEXT_MAX];
    char reason[128];
    va_list ap;
    va_start(ap, fmt);
    err_format(what, fmt, ap);
    va_end(ap);
    const char *text = strerror_r(errno_value, reason, sizeof reason);
    bool full = errno_value == ENOSPC || errno_value == EDQUOT;
    return err_set(err, full ? ERR_NO_SPACE : ERR_INTERNAL, "%s: %s", what, text);
}

static const struct err_row *err_row(enum err_code code)
{
    size_t n = sizeof err_rows / sizeof err_rows[0];
    return &err_rows[(size_t)code < n ? (size_t)code : (size_t)ERR_INTERNAL];
}

int err_http_status(enum err_code code) { return err_row(code)->http; }
int err_exit_code(enum err_code code) { return err_row(code)->exit; }
const char *err_type(enum err_code code) { return err_row(code)->type; }
const char *err_name(enum err_code code) { return err_row(code)->name; }
