/* engine/params: a checked request's wishes as the batch loop takes them; what needs the vocabulary is checked here.
 *
 * Fields that were not given are those of `defaults`. `more_stops`: those of the chat format, NULL at the
 * end; NULL: none. Everything lives in the arena or in the request. Any thread.
 */
#ifndef TUG_ENGINE_PARAMS_H
#define TUG_ENGINE_PARAMS_H

#include "base/arena.h"
#include "engine/batch.h"
#include "openai/request.h"

bool params_make(const struct openai_request *r, const struct gen_params *defaults, const struct model_info *model,
                 const char *const *more_stops, struct arena *a, struct gen_params *ret_params, struct err *err);
/* Token ids of a client: each must be in the vocabulary. `where`: "prompt" or "input". */
bool params_check_tokens(const struct openai_prompt *p, const struct model_info *model, const char *where,
                         struct err *err);

#endif
