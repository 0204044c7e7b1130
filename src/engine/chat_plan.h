/* engine/chat_plan: from a request to what bounds its answer; for chat also to its prompt, and how the answer is read.
 *
 *   if (!plan_chat(job, err)) …            fills job->plan, adds the prompt's tokens to the job
 *   if (!plan_completion(job, err)) …      fills job->plan
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
bool plan_chat(struct job *job, struct err *err);
bool plan_completion(struct job *job, struct err *err);

#endif
