/* engine/chat_shim: the one door to llama.cpp's C++ chat library: templates, tool calls, schemas. C inside C++.
 *
 *   if (!chat_templates_new(model_handle(m), NULL, &t, why, sizeof why)) ...    at load: some 10 ms
 *   if (!chat_apply(t, &(struct chat_ask){.messages = json}, &p, why, sizeof why)) ...
 *   … chat_prompt_get(p)->prompt …                                what to compute, and how the answer is bound
 *   r = chat_parser_new(p); n = chat_parser_feed(r, text, len, CHAT_MORE, &deltas)    text in, deltas out
 *
 * Every function catches all exceptions and returns false with the library's words in `why`, one line.
 * A templates handle may be used by any threads at once; renderings of one handle take turns (0.5 to 20 ms
 * each). A prompt is read by any thread; a parser is one thread's.
 */
#ifndef TUG_ENGINE_CHAT_SHIM_H
#define TUG_ENGINE_CHAT_SHIM_H

#ifdef __cplusplus
extern "C" {
#endif

#include <stdbool.h>
#include <stddef.h>

struct chat_templates;

/* `source` NULL: the model's own template (GGUF), or the library's (ChatML) when it has none. `llama_model` NULL: no
 * model's bos and eos; then a source is needed. A template that does not compile: false, message in `why`. */
bool chat_templates_new(const void *llama_model, const char *source, struct chat_templates **ret_t, char *why,
                        size_t why_size);
void chat_templates_free(struct chat_templates **t);
bool chat_templates_is_default(const struct chat_templates *t);    /* neither source nor model gave one */
const char *chat_templates_source(const struct chat_templates *t); /* borrowed */
/* Does the template have a place for tools, in a form that the library can bind and read? */
bool chat_templates_has_tools(const struct chat_templates *t);
bool chat_templates_thinks(const struct chat_templates *t);

struct chat_ask {
    const char *messages; /* OpenAI's array as JSON text */
    const char *tools;    /* OpenAI's array, NULL: none */
    const char *kwargs;   /* chat_template_kwargs, an object; NULL: none */
    const char *schema;   /* the answer's JSON schema, NULL: none. Not together with tools */
    bool bare;            /* reasoning is content, as it was written */
    bool required;        /* a tool must be called */
    bool parallel;        /* more than one may be */
};

/* How text arms a grammar that waits. */
enum chat_trigger_kind {
    CHAT_TRIGGER_WORD,    /* this text, anywhere outside of reasoning */
    CHAT_TRIGGER_PATTERN, /* see chat_prompt_find */
    CHAT_TRIGGER_START,   /* the answer begins with this text, spaces aside */
};

/* NULL-terminated arrays. */
struct chat_prompt_info {
    const char *prompt;     /* ends with the opening of the assistant's turn; or, when the last message is the
                             * assistant's, with that message, unclosed (prefill). Without a leading BOS */
    const char *generation; /* the opening of the assistant's turn, the end of `prompt` */
    const char *grammar;    /* GBNF, "" if none */
    bool lazy;              /* the grammar waits for a trigger; else it holds from `generation` on, which it includes */
    const enum chat_trigger_kind *trigger_kinds;
    const char *const *triggers;
    const char *const *special; /* texts of control tokens that are part of the answer's form */
    const char *const *stops;
    const char *think_start; /* "" if none */
    const char *const *think_ends;
    bool parses; /* the answer is more than content: chat_parser_* tells its parts */
};

struct chat_prompt;
bool chat_apply(const struct chat_templates *t, const struct chat_ask *ask, struct chat_prompt **ret_p, char *why,
                size_t why_size);
void chat_prompt_free(struct chat_prompt **p);
const struct chat_prompt_info *chat_prompt_get(const struct chat_prompt *p);
/* Looks for the patterns in the end of a text (`whole`: it is the text from its beginning). The offset from which
 * the grammar counts, SIZE_MAX if none is there. Any thread. Texts are short: the caller cuts them. */
size_t chat_prompt_find(const struct chat_prompt *p, const char *text, size_t n, bool whole);

/* What has come since the last feed; each with one part: reasoning, content, or a piece of a tool call. Not given:
 * NULL. */
struct chat_delta {
    const char *reasoning, *content;
    size_t call;                       /* which tool call, from 0 */
    const char *name, *id, *arguments; /* of the call: name once, id if the model gave one, arguments in pieces */
};

enum chat_more { CHAT_MORE, CHAT_CUT, CHAT_END }; /* more will come; it ended short; it ended by itself */

struct chat_parser;
struct chat_parser *chat_parser_new(const struct chat_prompt *p); /* keeps what it needs of p; NULL: out of memory */
void chat_parser_free(struct chat_parser **r);
/* Adds text; *ret_deltas: n of them, valid until the next call. Text that the format does not explain is content,
 * at the latest when it ended. */
size_t chat_parser_feed(struct chat_parser *r, const char *text, size_t n, enum chat_more more,
                        const struct chat_delta **ret_deltas);

/* JSON schema → GBNF with the rule "root", malloc'd. The caller has bounded the schema. */
bool chat_schema_grammar(const char *schema, char **ret_grammar, char *why, size_t why_size);

#ifdef __cplusplus
}
#endif

#endif
