/* engine/reader: what a model wrote → the parts of a message: reasoning, content, tool calls, as they come.
 *
 *   r = reader_new(prompt, own_tools, parallel)
 *   reader_feed(r, text, n, CHAT_MORE, sink, ctx)      parts to the sink
 *   reader_feed(r, "", 0, CHAT_END, sink, ctx)         the rest
 *
 * Each part is told once; a call's beginning (name and id) before its arguments, and calls one after the other. Text
 * that the template's format does not explain is content. One thread's.
 */
#ifndef TUG_ENGINE_READER_H
#define TUG_ENGINE_READER_H

#include "engine/chat_shim.h"
#include "openai/answer.h"

struct reader;
typedef bool reader_sink(void *ctx, const struct openai_part *part);

/* `own_tools`: calls are in the form of tools.h, which the template's format knows nothing of. */
struct reader *reader_new(const struct chat_prompt *prompt, bool own_tools, bool parallel);
void reader_free(struct reader **r);
bool reader_feed(struct reader *r, const char *text, size_t n, enum chat_more more, reader_sink *sink, void *ctx);

#endif
