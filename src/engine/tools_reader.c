/* engine/tools_reader.c: content and calls out of an answer in our own form: see tools.h. */
#include "engine/tools.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "json/json_read.h"

#include <string.h>

void tools_reader_init(struct tools_reader *r) { *r = (struct tools_reader){.text = BUF_INIT(LIMIT_ANSWER_BYTES)}; }
void tools_reader_done(struct tools_reader *r) { buf_done(&r->text); }

static bool tell(struct tools_reader *r, size_t n, size_t call, tools_sink *sink, void *ctx)
{
    struct tools_part part = {.text = buf_str(&r->text), .n = n, .call = call};
    bool ok = n == 0 || sink(ctx, &part);
    buf_drop(&r->text, n);
    return ok;
}

/* How many bytes at the end may be the beginning of the mark. */
static size_t held_back(const struct buf *text)
{
    size_t n = strlen(TOOLS_CALL) - 1;
    for (n = n < text->len ? n : text->len; n > 0; n--)
        if (memcmp(text->data + text->len - n, TOOLS_CALL, n) == 0)
            break;
    return n;
}

static const char *skip(const char *s, const char *word)
{
    while (s != NULL && (*s == ' ' || *s == '\n' || *s == '\t' || *s == '\r'))
        s++;
    size_t n = strlen(word);
    return s != NULL && strncmp(s, word, n) == 0 ? s + n : NULL;
}

/* <tool_call> {"name": "NAME", "arguments": up to the value. NULL: not there (yet). */
static const char *head_end(const char *text, json_t **ret_name)
{
    const char *at = skip(skip(skip(skip(text, TOOLS_CALL), "{"), "\"name\""), ":");
    if (at == NULL || (at = skip(at, "\"")) == NULL)
        return NULL;
    const char *end = at;
    while (*end != '"' && *end != '\0')
        end += *end == '\\' && end[1] != '\0' ? 2 : 1;
    if (*end == '\0')
        return NULL;
    *ret_name = json_loadb(at - 1, (size_t)(end - at) + 2, JSON_DECODE_ANY, NULL);
    at = skip(skip(skip(end + 1, ","), "\"arguments\""), ":");
    at = *ret_name == NULL ? NULL : skip(at, "{");
    return at == NULL ? NULL : at - 1;
}

static bool read_head(struct tools_reader *r, bool *ret_more, tools_sink *sink, void *ctx)
{
    _cleanup_(json_free) json_t *name = NULL;
    const char *end = head_end(buf_str(&r->text), &name);
    *ret_more = end != NULL;
    if (end == NULL)
        return true;
    struct tools_part part = {.call = r->calls, .name = json_string_value(name)};
    buf_drop(&r->text, (size_t)(end - buf_str(&r->text)));
    r->in = TOOLS_IN_ARGUMENTS;
    r->depth = 0;
    r->in_string = r->escaped = false;
    return sink(ctx, &part);
}

/* Arguments end with the bracket that closes their first one. */
static bool read_arguments(struct tools_reader *r, bool *ret_more, tools_sink *sink, void *ctx)
{
    size_t n = 0;
    *ret_more = false;
    while (n < r->text.len && !*ret_more) {
        char c = r->text.data[n++];
        if (r->in_string) {
            bool ends = c == '"' && !r->escaped;
            r->escaped = c == '\\' && !r->escaped;
            r->in_string = !ends;
        } else if (c == '"') {
            r->in_string = true;
        } else if (c == '{' || c == '[') {
            r->depth++;
        } else if (c == '}' || c == ']') {
            *ret_more = --r->depth == 0;
        }
    }
    if (*ret_more)
        r->in = TOOLS_IN_TAIL;
    return tell(r, n, r->calls, sink, ctx);
}

static void read_tail(struct tools_reader *r, bool *ret_more)
{
    const char *done = r->text.len == 0 ? NULL : strstr(r->text.data, TOOLS_DONE);
    *ret_more = done != NULL;
    if (done == NULL)
        return;
    const char *rest = done + strlen(TOOLS_DONE);
    while (*rest == '\n' || *rest == ' ')
        rest++;
    buf_drop(&r->text, (size_t)(rest - r->text.data));
    r->in = TOOLS_IN_CONTENT;
    r->calls++;
    r->talks = false;
}

static bool read_content(struct tools_reader *r, bool *ret_more, tools_sink *sink, void *ctx)
{
    if (r->calls > 0 && !r->talks) { /* space between calls is not worth saying */
        buf_drop(&r->text, strspn(buf_str(&r->text), "\n\r\t "));
        r->talks = r->text.len > 0 && r->text.data[0] != '<';
    }
    const char *mark = r->text.len == 0 ? NULL : strstr(r->text.data, TOOLS_CALL);
    *ret_more = mark != NULL;
    if (mark == NULL)
        return tell(r, r->text.len - held_back(&r->text), SIZE_MAX, sink, ctx);
    r->in = TOOLS_IN_HEAD;
    size_t n = (size_t)(mark - r->text.data);
    return tell(r, n, SIZE_MAX, sink, ctx);
}

bool tools_reader_feed(struct tools_reader *r, const char *text, size_t n, bool end, tools_sink *sink, void *ctx)
{
    bool more = true;
    bool ok = buf_add(&r->text, text, n);
    while (ok && more) {
        switch (r->in) {
        case TOOLS_IN_CONTENT:
            ok = read_content(r, &more, sink, ctx);
            break;
        case TOOLS_IN_HEAD:
            ok = read_head(r, &more, sink, ctx);
            break;
        case TOOLS_IN_ARGUMENTS:
            ok = read_arguments(r, &more, sink, ctx);
            break;
        case TOOLS_IN_TAIL:
            read_tail(r, &more);
            break;
        }
    }
    bool said = end && (r->in == TOOLS_IN_CONTENT || r->in == TOOLS_IN_HEAD); /* a head that never came is content */
    return ok && (!said || tell(r, r->text.len, SIZE_MAX, sink, ctx));
}
