/* engine/context: libllama's context, its thread pool and the batch that is handed to it.
 *
 *   context_open(model, &options, &ctx, err)
 *   context_add(ctx, token, pos, seq, output)      rows of the next step; returns the row's index
 *   context_decode(ctx)                            computes them and empties the batch
 *   context_logits(ctx, row)                       of a row with output, until the next decode
 *
 * Owns the llama_context; the batch thread only, but context_open.
 */
#ifndef TUG_ENGINE_CONTEXT_H
#define TUG_ENGINE_CONTEXT_H

#include "engine/batch.h"
#include "engine/cache.h"
#include "engine/threads.h"

struct context;

struct context_info {
    int32_t cells;    /* of KV, for all sequences together */
    int32_t sequence; /* tokens that one sequence can have */
    int32_t parallel, ubatch, chunk, threads;
    uint64_t kv_bytes, compute_bytes; /* by prediction, by measurement */
    uint64_t park_bytes;              /* of host memory that prefixes may take beside the cells */
    int32_t multiple;                 /* of rows that a step should have, 1: any (repacked weights: 4) */
    bool gpu;                         /* it computes, or helps */
    bool tiles;                       /* K and V are F16: see budget.c */
    int64_t one_row_ns;               /* a step of one row, timed once */
    bool partial;                     /* a sequence can be copied in part */
    bool causal_memory;               /* there is a KV memory (an encoder has none) */
};

enum context_result { CONTEXT_OK, CONTEXT_NO_CELLS, CONTEXT_ABORTED, CONTEXT_FAILED };

/* Zeros in options become choices; see context.c. */
bool context_open(struct engine_model *m, const struct batch_options *options, struct context **ret_ctx,
                  struct err *err);
void context_close(struct context **ctx);
const struct context_info *context_get_info(const struct context *ctx);

int32_t context_add(struct context *ctx, int32_t token, int32_t pos, int32_t seq, bool output);
int32_t context_rows(const struct context *ctx);
/* NO_CELLS: nothing changed, the batch is kept for another try. Others empty it. */
enum context_result context_decode(struct context *ctx);
void context_clear_batch(struct context *ctx);
float *context_logits(struct context *ctx, int32_t row);
const float *context_embedding(struct context *ctx, int32_t seq); /* pooled; NULL if there is none */
/* Asked from inside a long step: true stops it. Set once, before the first decode. */
void context_set_abort(struct context *ctx, bool (*abort)(void *user), void *user);
/* Forgets everything that the memory holds (embedding models). */
void context_forget(struct context *ctx);
struct cache_ops context_cache_ops(struct context *ctx); /* cache_llama.c */

struct context_times {
    int64_t decode_ns;
    uint64_t decodes;
    int32_t threads;
};
void context_get_times(const struct context *ctx, struct context_times *ret);

#endif
