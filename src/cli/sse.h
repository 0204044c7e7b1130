/* cli/sse: server-sent events, read as they arrive; only what OpenAI's streams use: `data:` lines.
 *
 *   sse_push(&s, bytes, n, each, ctx, err)      each(ctx, data) for every complete event
 *
 * Lines may end with LF, CRLF or CR; several data lines of one event are joined by LF; comments
 * and other fields are skipped. An event above SSE_EVENT_MAX is ERR_PROTOCOL. Pure.
 */
#ifndef TUG_CLI_SSE_H
#define TUG_CLI_SSE_H

#include "base/buf.h"
#include "base/err.h"

enum { SSE_EVENT_MAX = 4 * 1024 * 1024 };

struct sse {
    struct buf line, data;
    bool has_data, skip_lf;
};

#define SSE_INIT ((struct sse){.line = BUF_INIT(SSE_EVENT_MAX), .data = BUF_INIT(SSE_EVENT_MAX)})

typedef bool sse_each(void *ctx, const char *data, size_t n, struct err *err);
bool sse_push(struct sse *s, const char *bytes, size_t n, sse_each *each, void *ctx, struct err *err);
void sse_done(struct sse *s);

#endif
