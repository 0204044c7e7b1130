/* openai/request_parts: the pieces of openai_request_parse, a file each. Private to openai/request*.c.
 *
 * Each reads its fields of `body` into the request; false with the field named. */
#ifndef TUG_OPENAI_REQUEST_PARTS_H
#define TUG_OPENAI_REQUEST_PARTS_H

#include "openai/request.h"
#include "json/json_read.h"

/* request_fields.c: the table of plain parameters, the table of what is refused, stop, logit_bias, stream_options. */
void request_defaults(enum openai_kind kind, struct openai_request *r);
bool request_fields(const json_t *body, struct arena *a, struct openai_request *r, struct err *err);
/* request_lists.c: `stop` and `logit_bias`. */
bool request_stops(const json_t *body, struct arena *a, struct openai_sampling *s, struct err *err);
bool request_samplers(const json_t *body, struct arena *a, struct openai_sampling *s, struct err *err);
bool request_bias(const json_t *body, struct arena *a, struct openai_sampling *s, struct err *err);
bool request_field_is_known(const char *name, enum openai_kind kind);
/* request_known.c: what is refused; and r->unknown. */
bool request_refused(const json_t *body, enum openai_kind kind, struct err *err);
void request_unknown(json_t *body, struct arena *a, struct openai_request *r);
/* request_tools.c: tools, tool_choice, parallel_tool_calls. */
bool request_tools(const json_t *body, struct arena *a, struct openai_request *r, struct err *err);
/* request_format.c: response_format, json_schema, grammar. After the tools. */
bool request_format(const json_t *body, struct arena *a, struct openai_request *r, struct err *err);
/* request_messages.c */
bool request_messages(const json_t *body, struct arena *a, struct openai_request *r, struct err *err);
/* request_prompts.c: `key` is "prompt" or "input" */
bool request_prompts(const json_t *body, const char *key, struct arena *a, struct openai_request *r, struct err *err);

#endif
