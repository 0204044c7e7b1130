/* engine/batch_private: the batch thread's state, for its files batch.c, step.c, budget.c and embed.c alone. */
#ifndef TUG_ENGINE_BATCH_PRIVATE_H
#define TUG_ENGINE_BATCH_PRIVATE_H

#include "base/limits.h"
#include "engine/cache.h"
#include "engine/context.h"
#include "engine/cost.h"
#include "engine/model_private.h"
#include "engine/queue.h"
#include "engine/schedule.h"

#include <pthread.h>

struct request_list {
    struct gen_private *first; /* in order of arrival, by `next` */
    int32_t n;
};

struct batch {
    pthread_t thread;
    struct queue *queue;
    /* all below is the batch thread's after batch_start */
    struct engine_model *model;
    bool embedding;
    struct context *ctx;
    struct context_info limits;
    struct cache *cache; /* NULL for embedding models */
    struct sample_scratch *scratch;
    struct request_list waiting, active;
    struct schedule_item *items; /* of the plan, in the order of `active` */
    bool adapt_chunk;
    struct cost cost;    /* in CPU time of the batch thread */
    double slowness;     /* how much longer a step takes, from 1 */
    int32_t prompt_rows; /* of the last step that had any, the decoding ones included */
    struct batch_stats stats;
};

void list_add(struct request_list *l, struct gen_private *r);
void list_remove(struct request_list *l, struct gen_private *r);
/* Ends an active request; r is gone afterwards for the batch thread. */
void batch_finish(struct batch *b, struct gen_private *r, enum gen_finish finish);

/* All of batch_start but the thread, and one round of the loop (wait: for work, when there is none). False: the end was
 * asked for and nothing is left. The simulation (sim_test.c) turns the loop by hand. */
bool batch_open(struct engine_model *m, const struct batch_options *options, struct batch **ret_b, struct err *err);
bool batch_turn(struct batch *b, bool wait);
void batch_close(struct batch **b);

/* Its prompt is computed; what is left is the token drawn last (step.c). */
bool request_decodes(const struct gen_private *r);

/* budget.c: how many prompt rows the next step may have; the step that is in the batch, in the model's terms; and what
 * it took. */
struct schedule_limits budget_limits(const struct batch *b);
struct cost_step budget_planned(const struct batch *b);
void budget_learn(struct batch *b, const struct cost_step *step, int64_t ns, int64_t cpu_ns);

/* One step of text generation (step.c), or of embeddings (embed.c). Something is waiting or active. */
void step_run(struct batch *b);
void embed_step(struct batch *b);

#endif
