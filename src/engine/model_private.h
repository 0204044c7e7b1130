/* engine/model_private: what the batch thread's files know of the model beyond model.h. */
#ifndef TUG_ENGINE_MODEL_PRIVATE_H
#define TUG_ENGINE_MODEL_PRIVATE_H

#include "engine/model.h"

/* The tokens that end a generation; borrowed, never changes. */
const int32_t *model_end_tokens(const struct engine_model *m, size_t *ret_n);
/* libllama's last error line: after a call of ours failed. Any thread. */
enum { MODEL_REASON_MAX = 256 };
void model_reason(struct engine_model *m, char ret_reason[MODEL_REASON_MAX]);

#endif
