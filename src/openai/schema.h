/* openai/schema: a JSON schema from a client, checked and put into the form that grammars are made of.
 *
 *   if (!schema_prepare(schema, "response_format.json_schema.schema", SCHEMA_STRICT, err)) ...   400
 *
 * Grammars can hold most of a schema, not all of it. What they hold stays; formats become patterns; what they cannot
 * hold is refused by its name when strict, and left out when not (a tool's author may write anything; the
 * arguments then fit the schema but for that keyword). Bounded: LIMIT_SCHEMA_NODES, _DEPTH, _PROPERTIES, _ENUM. A
 * $ref goes to a place in the same schema; circles of nothing but $ref are refused, recursion through properties or
 * items is fine. The schema is changed in place. docs/api.md lists what is supported.
 */
#ifndef TUG_OPENAI_SCHEMA_H
#define TUG_OPENAI_SCHEMA_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>

enum schema_mode { SCHEMA_LENIENT, SCHEMA_STRICT };

bool schema_prepare(json_t *schema, const char *where, enum schema_mode mode, struct err *err);

#endif
