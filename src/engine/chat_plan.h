/* engine/chat_plan: from a chat request to its prompt, what bounds its answer, and how that is read.
 *
 *   if (!chat_prepare(job, err)) …      fills job->plan, adds the prompt's tokens to the job
 */
#ifndef TUG_ENGINE_CHAT_PLAN_H
#define TUG_ENGINE_CHAT_PLAN_H

#include "base/err.h"
#include "engine/guide.h"

/* Whose form calls have is the template's or, where it has none, tools.h's. */
struct chat_plan {
    struct guide *guide;              /* owns the rendered prompt */
    const struct chat_prompt *prompt; /* the guide's */
    const char *const *stops;         /* the format's own */
    bool bound;                       /* generations need the guide; else it is only the owner */
    bool own_tools;
};

struct job;
bool chat_prepare(struct job *job, struct err *err);

#endif
