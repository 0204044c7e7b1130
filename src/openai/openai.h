/* openai: the wire shapes that both sides write: errors, usage, chunks, answers, model lists.
 *
 * Writers only append to a buf; nothing here knows a socket, a model or a thread. Field names and
 * order are OpenAI's. Used by api/ (error object, model list) and engine/ (everything else).
 */
#ifndef TUG_OPENAI_H
#define TUG_OPENAI_H

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>

/* {"error":{"message":…,"type":…,"param":null|"…","code":null|"model_not_found"|"context_length_exceeded"|…}} */
void openai_write_error(struct buf *out, const struct err *err);

#endif
