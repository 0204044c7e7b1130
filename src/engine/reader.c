/* engine/reader.c: see reader.h. Two stages: the library's parser, if the format has more than content; then, for
 * calls in our own form, tools.h's reader over the content. */
#include "engine/reader.h"

#include "base/check.h"
#include "base/text.h"
#include "engine/tools.h"
#include "platform/random.h"

#include <string.h>

enum { CALL_ID_CHARS = 24 };

struct reader {
    struct chat_parser *parser; /* NULL: all is content */
    bool own_tools, parallel;
    bool reasoned, talks; /* reasoning was told; so was content other than space */
    struct tools_reader tools;
    size_t calls; /* begun */
    reader_sink *sink;
    void *ctx;
};

struct reader *reader_new(const struct chat_prompt *prompt, bool own_tools, bool parallel)
{
    struct reader *r = check_alloc(calloc(1, sizeof *r));
    if (prompt != NULL && chat_prompt_get(prompt)->parses)
        r->parser = chat_parser_new(prompt);
    r->own_tools = own_tools;
    r->parallel = parallel;
    tools_reader_init(&r->tools);
    return r;
}

void reader_free(struct reader **r)
{
    if (*r == NULL)
        return;
    if ((*r)->parser != NULL)
        chat_parser_free(&(*r)->parser);
    tools_reader_done(&(*r)->tools);
    free(*r);
    *r = NULL;
}

static bool tell_text(struct reader *r, enum openai_part_kind kind, const char *text, size_t n)
{
    r->reasoned = r->reasoned || kind == OPENAI_PART_REASONING;
    if (kind == OPENAI_PART_CONTENT && r->reasoned && !r->talks) { /* space between the reasoning and the answer */
        while (n > 0 && (*text == '\n' || *text == ' ')) {
            text++;
            n--;
        }
        r->talks = n > 0;
    }
    struct openai_part part = {.kind = kind, .text = text, .n = n};
    return n == 0 || r->sink(r->ctx, &part);
}

/* With parallel_tool_calls off there is one call; what a model writes beyond it is not told. */
static bool tell_call(struct reader *r, size_t call, const char *name, const char *id)
{
    char made[8 + CALL_ID_CHARS] = "call_";
    if (call < r->calls || (call > 0 && !r->parallel))
        return true;
    r->calls = call + 1;
    random_id(made + 5, CALL_ID_CHARS);
    struct openai_part part = {.kind = OPENAI_PART_CALL, .call = call, .name = name, .id = id == NULL ? made : id};
    return r->sink(r->ctx, &part);
}

static bool tell_arguments(struct reader *r, size_t call, const char *text, size_t n)
{
    struct openai_part part = {.kind = OPENAI_PART_ARGUMENTS, .call = call, .text = text, .n = n};
    return n == 0 || call >= r->calls || r->sink(r->ctx, &part);
}

static bool tools_part(void *ctx, const struct tools_part *part)
{
    struct reader *r = ctx;
    if (part->name != NULL)
        return tell_call(r, part->call, part->name, NULL);
    if (part->call == SIZE_MAX)
        return tell_text(r, OPENAI_PART_CONTENT, part->text, part->n);
    return tell_arguments(r, part->call, part->text, part->n);
}

static bool content(struct reader *r, const char *text, size_t n, bool end)
{
    if (r->own_tools)
        return tools_reader_feed(&r->tools, text, n, end, tools_part, r);
    return tell_text(r, OPENAI_PART_CONTENT, text, n);
}

static bool delta(struct reader *r, const struct chat_delta *d)
{
    if (d->reasoning != NULL && !tell_text(r, OPENAI_PART_REASONING, d->reasoning, strlen(d->reasoning)))
        return false;
    if (d->content != NULL && !content(r, d->content, strlen(d->content), false))
        return false;
    if (d->name != NULL && !tell_call(r, d->call, d->name, d->id))
        return false;
    return d->arguments == NULL || tell_arguments(r, d->call, d->arguments, strlen(d->arguments));
}

bool reader_feed(struct reader *r, const char *text, size_t n, enum chat_more more, reader_sink *sink, void *ctx)
{
    r->sink = sink;
    r->ctx = ctx;
    if (r->parser == NULL)
        return content(r, text, n, more != CHAT_MORE);
    const struct chat_delta *deltas;
    size_t n_deltas = chat_parser_feed(r->parser, text, n, more, &deltas);
    for (size_t i = 0; i < n_deltas; i++)
        if (!delta(r, &deltas[i]))
            return false;
    return more == CHAT_MORE || content(r, "", 0, true);
}
