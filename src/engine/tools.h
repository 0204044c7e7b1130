/* engine/tools: tools for templates that have no place for them, in a form of our own (Hermes', which many models
 * know).
 *
 *   messages = tools_messages(messages_json, tools_json, err)    tools in the system message; calls and answers as text
 *   grammar = tools_grammar(tools_json, parallel, err)           begins with TOOLS_CALL
 *   tools_reader_feed(&reader, text, n, end, sink, ctx)          content and calls out of the answer
 *
 * The answer calls by  <tool_call>\n{"name": …, "arguments": {…}}\n</tool_call>.
 */
#ifndef TUG_ENGINE_TOOLS_H
#define TUG_ENGINE_TOOLS_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define TOOLS_CALL "<tool_call>"
#define TOOLS_DONE "</tool_call>"

/* malloc'd; NULL: err. */
char *tools_messages(const char *messages_json, const char *tools_json, struct err *err);
char *tools_grammar(const char *tools_json, bool parallel, struct err *err);

/* `name` given: call number `call` begins; else `text` is content (call == SIZE_MAX) or a piece of its arguments. */
struct tools_part {
    const char *text;
    size_t n;
    size_t call;
    const char *name;
};
typedef bool tools_sink(void *ctx, const struct tools_part *part);

struct tools_reader {
    struct buf text; /* not told yet */
    size_t calls;
    enum { TOOLS_IN_CONTENT, TOOLS_IN_HEAD, TOOLS_IN_ARGUMENTS, TOOLS_IN_TAIL } in;
    int depth; /* of brackets in the arguments */
    bool in_string, escaped;
    bool talks; /* it says something after a call */
};
void tools_reader_init(struct tools_reader *r);
void tools_reader_done(struct tools_reader *r);
/* False: the sink said so. */
bool tools_reader_feed(struct tools_reader *r, const char *text, size_t n, bool end, tools_sink *sink, void *ctx);

#endif
