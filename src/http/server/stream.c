/* http/server/stream.c: an answer that is pulled from its handler piece by piece.
 *
 * libmicrohttpd counts the time that read blocks as inactivity and would cut the connection right
 * after it; hence no timeout while read runs, and a fresh one for the sending of what it returned.
 */
#include "http/server/exchange.h"

enum {
    STREAM_BLOCK_BYTES = 32 * 1024
}; /* used for HTTP/1.0 clients only; chunks are made in the connection's memory */

void stream_close(struct http_exchange *ex)
{
    struct http_stream stream = ex->stream;
    ex->stream = (struct http_stream){0};
    if (stream.read != NULL && stream.close != NULL)
        stream.close(stream.ctx);
}

static ssize_t stream_read(void *exchange, uint64_t position, char *dst, size_t max)
{
    (void)position;
    struct http_exchange *ex = exchange;
    if (ex->stream.read == NULL)
        return MHD_CONTENT_READER_END_OF_STREAM;
    exchange_timeout(ex, TIMEOUT_NEVER);
    ssize_t n = ex->stream.read(ex->stream.ctx, dst, max);
    exchange_timeout(ex, TIMEOUT_SEND);
    if (n > 0)
        return n;
    stream_close(ex);
    return n == 0 ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

struct MHD_Response *stream_response(struct http_exchange *ex)
{
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, stream_read, ex, NULL);
}
