/* cli/sse.c: see sse.h. */
#include "cli/sse.h"

#include "base/text.h"

#include <string.h>

void sse_done(struct sse *s)
{
    buf_done(&s->line);
    buf_done(&s->data);
}

static bool sse_too_large(struct err *err)
{
    return err_set(err, ERR_PROTOCOL, "the answer has an event of more than %d bytes", SSE_EVENT_MAX);
}

static bool sse_line(struct sse *s, sse_each *each, void *ctx, struct err *err)
{
    if (s->line.len == 0) { /* the end of an event */
        bool ok = !s->has_data || each(ctx, buf_str(&s->data), s->data.len, err);
        buf_clear(&s->data);
        s->has_data = false;
        return ok;
    }
    const char *line = buf_str(&s->line);
    if (text_starts(line, "data:")) {
        size_t skip = line[5] == ' ' ? 6 : 5;
        if ((s->has_data && !buf_add_char(&s->data, '\n')) || !buf_add(&s->data, line + skip, s->line.len - skip))
            return sse_too_large(err);
        s->has_data = true;
    }
    return true;
}

bool sse_push(struct sse *s, const char *bytes, size_t n, sse_each *each, void *ctx, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        char c = bytes[i];
        bool lf_of_crlf = s->skip_lf && c == '\n';
        s->skip_lf = c == '\r';
        if (lf_of_crlf)
            continue;
        if (c != '\n' && c != '\r') {
            if (!buf_add_char(&s->line, c))
                return sse_too_large(err);
            continue;
        }
        bool ok = sse_line(s, each, ctx, err);
        buf_clear(&s->line);
        if (!ok)
            return false;
    }
    return true;
}
