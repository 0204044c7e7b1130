/* engine/guide: what bounds one answer: a grammar at once, after the reasoning, or when a trigger is written; and the
 * length of the reasoning.
 *
 *   g = guide_new(); fill its members …; gen.params.guide = g; guide_unref(&g)      connection thread
 *
 *   run = guided_new(g, vocab)                       batch thread, per generation, behind struct sampler
 *   guided_forced(run, &token)                       is the next token settled?
 *   guided_allows(run, token) / guided_restrict      see sample.h
 *   guided_accept(run, token)                        it was taken; true: the answer is whole, nothing may follow
 *
 * Reasoning is followed by its tags in the text; while it goes on, triggers do not count, a grammar that comes after it
 * waits, and end tokens are out if a grammar is still to come. A token that completes a trigger or an end tag and
 * goes on is checked with what it adds. If what was written cannot be brought under the grammar, the answer goes
 * on unbound: the parser takes it as content then.
 *
 * A guide is immutable once a generation has it; counted references, any thread. A run is the batch thread's.
 */
#ifndef TUG_ENGINE_GUIDE_H
#define TUG_ENGINE_GUIDE_H

#include "engine/chat_shim.h"
#include "engine/grammar.h"

#include <stdatomic.h>

struct guide {
    atomic_int refs;
    const struct vocab *vocab;
    struct grammar *grammar;    /* NULL: none; the guide's own reference */
    bool waits;                 /* for a trigger of `prompt`; else it holds at once */
    bool after_reasoning;       /* at once, but not before the reasoning has ended */
    bool prefixed;              /* the grammar begins with the prompt's `generation` */
    const char *word;           /* one more trigger, of constant text; NULL: none */
    struct chat_prompt *prompt; /* triggers and tags; NULL: none of them. The guide's own */
    int32_t *special;           /* control tokens that count as their text */
    size_t n_special;
    int32_t budget;      /* tokens of reasoning; -1: no end */
    int32_t *think_stop; /* the tokens that end it */
    size_t n_think_stop;
};

struct guide *guide_new(const struct vocab *vocab);
struct guide *guide_ref(struct guide *g);
void guide_unref(struct guide **g);

struct guided;
struct guided *guided_new(struct guide *g); /* keeps a reference */
void guided_free(struct guided **run);
bool guided_allows(struct guided *run, int32_t token);
/* `rejected` was not allowed: takes it, or all that is not allowed, out of the row. 0: nothing is left. */
size_t guided_restrict(struct guided *run, int32_t rejected, float *logits);
bool guided_forced(struct guided *run, int32_t *ret_token);
bool guided_accept(struct guided *run, int32_t token);
int32_t guided_thought(const struct guided *run);                /* tokens of reasoning so far */
bool guided_is_special(const struct guided *run, int32_t token); /* its text counts, though it is a control token */

#endif
