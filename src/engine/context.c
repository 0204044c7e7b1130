/* engine/context.c: choices of sizes, and the few calls that a step makes.
 *
 * KV is one pool for all sequences (kv_unified), so that a prefix is shared by naming its cells, and
 * flash attention is on, so that foreign cells cost a mask test only (engine.md 3). The pool of
 * threads is made once at its maximum: without one, each decode would create and join threads. */
#include "engine/context.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/cache_llama.h"
#include "engine/model.h"
#include "platform/clock.h"
#include "platform/memory.h"
#include "platform/process.h"

#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <llama.h>
#include <unistd.h>

enum {
    CONTEXT_PARALLEL = 16,
    CONTEXT_CELLS = 8192, /* unless the memory is too small */
    CONTEXT_CELLS_LEAST = 1024,
    CONTEXT_PARK_PART =
        4, /* of the free memory, at most, for prefixes out of the cells; never more than the cells take */
    CONTEXT_UBATCH = 512, /* no gain from more rows (engine.md 4) */
    CONTEXT_CHUNK = 64,
    CONTEXT_EMBEDDING_TOKENS = 2048, /* of one input: an encoder attends to all of it in one ubatch */
    CONTEXT_EMBEDDING_SEQUENCES = 64,
};

struct context {
    enum ggml_type key_type, value_type;
    struct llama_context *llama;
    struct llama_batch batch;
    int32_t batch_size;
    struct context_info info;
    struct context_times times;
    struct threads threads;
    struct ggml_threadpool *pool;
    void (*pool_free)(struct ggml_threadpool *pool);
    bool (*abort)(void *user);
    void *abort_user;
};

static uint64_t context_meta(const struct llama_model *m, const char *name, uint64_t otherwise)
{
    char architecture[64], key[128], value[32];
    uint64_t number;
    if (llama_model_meta_val_str(m, "general.architecture", architecture, sizeof architecture) < 0)
        return otherwise;
    text_format(key, sizeof key, "%s.%s", architecture, name);
    if (llama_model_meta_val_str(m, key, value, sizeof value) < 0 || !text_to_u64(value, &number) || number > INT32_MAX)
        return otherwise;
    return number;
}

/* The values' type: Q8_0 unless asked otherwise; keys stay F16, as they are the sensitive ones (with both in Q8_0, a
 * 135M model no longer knew the capital of France). On the CPU, flash attention over two F16 chooses among three paths
 * by the rows of a step, the cells in use and the threads; over F16 and Q8_0 it has one: the same request at
 * temperature 0 took another turn in 4 of 15 repeats before (engine.md 5, recipe B). A GPU, and heads that Q8_0 does
 * not divide: F16. */
static enum ggml_type context_value_type(const struct llama_model *m, const struct model_info *model,
                                         const struct batch_options *o)
{
    int32_t heads = llama_model_n_head(m);
    if (o->kv_type >= 0)
        return (enum ggml_type)o->kv_type;
    if (model->embedding || model->recurrent || heads <= 0 || ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_GPU))
        return GGML_TYPE_F16;
    uint64_t block = (uint64_t)ggml_blck_size(GGML_TYPE_Q8_0);
    uint64_t width = (uint64_t)(llama_model_n_embd(m) / heads);
    bool divides = context_meta(m, "attention.key_length", width) % block == 0 &&
                   context_meta(m, "attention.value_length", width) % block == 0;
    return divides ? GGML_TYPE_Q8_0 : GGML_TYPE_F16;
}

/* Bytes of K and V for one token, by the model's shape; an upper bound where layers differ. */
static uint64_t context_kv_bytes(const struct llama_model *m, enum ggml_type key, enum ggml_type value)
{
    int32_t heads = llama_model_n_head(m);
    if (heads <= 0)
        return 0;
    uint64_t width = (uint64_t)(llama_model_n_embd(m) / heads);
    uint64_t k = context_meta(m, "attention.key_length", width);
    uint64_t v = context_meta(m, "attention.value_length", width);
    uint64_t heads_of_all = (uint64_t)llama_model_n_layer(m) * (uint64_t)llama_model_n_head_kv(m);
    return heads_of_all * (k * ggml_type_size(key) / (uint64_t)ggml_blck_size(key) +
                           v * ggml_type_size(value) / (uint64_t)ggml_blck_size(value));
}

/* As many cells as half of the memory that will be free beside the weights, within the bounds above. */
static int32_t context_choose_cells(const struct model_info *model, uint64_t kv_per_token)
{
    uint64_t available = memory_available_bytes();
    uint64_t room = available > model->weights_bytes ? (available - model->weights_bytes) / 2 : 0;
    if (kv_per_token == 0 || room / kv_per_token >= CONTEXT_CELLS)
        return CONTEXT_CELLS;
    int32_t cells = (int32_t)(room / kv_per_token);
    return cells < CONTEXT_CELLS_LEAST ? CONTEXT_CELLS_LEAST : cells;
}

static bool context_check(const struct batch_options *o, const struct llama_model *m, struct err *err)
{
    if (o->parallel < 0 || o->parallel >= LIMIT_SEQUENCES)
        return err_set(err, ERR_INVALID, "parallel must be 1 to %d, not %d", LIMIT_SEQUENCES - 1, o->parallel);
    if (o->context < 0 || o->chunk < 0 || o->threads < 0 || o->threads > GGML_MAX_N_THREADS)
        return err_set(err, ERR_INVALID, "context, chunk and threads must not be negative, threads at most %d",
                       GGML_MAX_N_THREADS);
    if (o->kv_type >= GGML_TYPE_COUNT)
        return err_set(err, ERR_INVALID, "there is no KV type %d", o->kv_type);
    enum ggml_type type = o->kv_type < 0 ? GGML_TYPE_F16 : (enum ggml_type)o->kv_type;
    int32_t heads = llama_model_n_head(m);
    int64_t block = ggml_blck_size(type);
    if (block <= 0 || (heads > 0 && llama_model_n_embd(m) / heads % block != 0))
        return err_set(err, ERR_INVALID, "the KV type %s does not divide this model's heads: use F16",
                       ggml_type_name(type));
    return true;
}

static bool context_aborts(void *user)
{
    struct context *ctx = user;
    return ctx->abort != NULL && ctx->abort(ctx->abort_user);
}

static struct llama_context_params context_params(struct context *ctx, const struct model_info *model)
{
    struct llama_context_params p = llama_context_default_params();
    const struct context_info *i = &ctx->info;
    p.n_ctx = (uint32_t)i->cells;
    p.n_ubatch = p.n_batch = (uint32_t)i->ubatch;
    p.n_seq_max = (uint32_t)i->parallel;
    p.n_outputs_max = model->embedding ? 0 : (uint32_t)i->parallel; /* not the ubatch: 260 MB less at 128k words */
    p.n_threads = p.n_threads_batch = i->threads;
    p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_AUTO;
    if (!model->embedding && !model->recurrent)
        p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    p.kv_unified = true;
    p.swa_full = true; /* else shared cells of a sliding window are never recycled */
    p.type_k = ctx->key_type;
    p.type_v = ctx->value_type;
    p.embeddings = model->embedding;
    p.no_perf = true;
    p.abort_callback = context_aborts;
    p.abort_callback_data = ctx;
    return p;
}

/* Types whose weights are repacked on loading: rows beyond a multiple of 4 are computed one by one (1B Q4_0: 3 rows
 * take 58 ms, 4 rows 37; engine.md 4). Elsewhere padding only costs. */
static int32_t context_multiple(const struct llama_model *m)
{
    switch (llama_model_ftype(m)) {
    case LLAMA_FTYPE_MOSTLY_Q4_0:
    case LLAMA_FTYPE_MOSTLY_Q4_K_S:
    case LLAMA_FTYPE_MOSTLY_Q4_K_M:
    case LLAMA_FTYPE_MOSTLY_Q2_K:
    case LLAMA_FTYPE_MOSTLY_Q2_K_S:
    case LLAMA_FTYPE_MOSTLY_IQ4_NL:
        return 4;
    default:
        return 1;
    }
}

static void context_choose_embedding(struct context_info *i, const struct model_info *model, int32_t context)
{
    int32_t most = context > 0 ? context : CONTEXT_EMBEDDING_TOKENS;
    i->sequence = model->context_train > 0 && model->context_train < most ? model->context_train : most;
    i->cells = i->ubatch = (i->sequence + 255) / 256 * 256;
    i->parallel = CONTEXT_EMBEDDING_SEQUENCES;
}

static void context_choose_text(struct context_info *i, const struct model_info *model, const struct batch_options *o,
                                uint64_t kv)
{
    i->parallel = o->parallel > 0 ? o->parallel : CONTEXT_PARALLEL;
    i->cells = o->context > 0 ? o->context : context_choose_cells(model, kv);
    i->sequence = model->context_train > 0 && model->context_train < i->cells ? model->context_train : i->cells;
    i->ubatch = i->parallel > CONTEXT_UBATCH ? i->parallel : CONTEXT_UBATCH;
}

static uint64_t context_choose_park(uint64_t kv_bytes)
{
    uint64_t spare = memory_available_bytes() / CONTEXT_PARK_PART;
    return kv_bytes < spare ? kv_bytes : spare;
}

static void context_choose(struct context *ctx, struct engine_model *m, const struct batch_options *o)
{
    const struct model_info *model = model_get_info(m);
    struct context_info *i = &ctx->info;
    ctx->value_type = context_value_type(model_handle(m), model, o);
    ctx->key_type = o->kv_type >= 0 ? ctx->value_type : GGML_TYPE_F16;
    uint64_t kv = context_kv_bytes(model_handle(m), ctx->key_type, ctx->value_type);
    i->gpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_GPU) != NULL;
    i->tiles = ctx->key_type == GGML_TYPE_F16 && ctx->value_type == GGML_TYPE_F16;
    i->threads = o->threads > 0 ? o->threads : (int32_t)process_cpus();
    i->chunk = o->chunk > 0 ? o->chunk : CONTEXT_CHUNK;
    i->partial = !model->recurrent;
    i->multiple = model->recurrent ? 1 : context_multiple(model_handle(m));
    if (model->embedding)
        context_choose_embedding(i, model, o->context);
    else
        context_choose_text(i, model, o, kv);
    i->kv_bytes = kv * (uint64_t)i->cells;
    i->park_bytes = context_choose_park(i->kv_bytes);
}

/* The functions that only a CPU backend has; it may have been loaded at run time. */
static void *context_cpu_function(const char *name)
{
    ggml_backend_reg_t cpu = ggml_backend_reg_by_name("CPU");
    return cpu == NULL ? NULL : ggml_backend_reg_get_proc_address(cpu, name);
}

static void context_make_pool(struct context *ctx)
{
    struct ggml_threadpool *(*pool_new)(struct ggml_threadpool_params *);
    *(void **)&pool_new = context_cpu_function("ggml_threadpool_new");
    *(void **)&ctx->pool_free = context_cpu_function("ggml_threadpool_free");
    if (pool_new == NULL || ctx->pool_free == NULL) {
        log_warn("the CPU backend has no thread pool, steps will be slower", NULL);
        return;
    }
    struct ggml_threadpool_params p = ggml_threadpool_params_default(ctx->info.threads);
    ctx->pool = pool_new(&p);
    if (ctx->pool != NULL)
        llama_attach_threadpool(ctx->llama, ctx->pool, ctx->pool);
}

/* One step of one token: weights come into memory, buffers get their size, and the first request is not slower. */
static bool context_warm_up(struct context *ctx, const struct llama_model *m, struct err *err)
{
    llama_token token = llama_vocab_bos(llama_model_get_vocab(m));
    context_add(ctx, token < 0 ? 0 : token, 0, 0, true);
    int64_t start = clock_thread_cpu_ns();
    enum context_result result = context_decode(ctx);
    ctx->info.one_row_ns = ctx->info.gpu ? ctx->times.decode_ns : clock_thread_cpu_ns() - start;
    context_forget(ctx);
    if (result != CONTEXT_OK)
        return err_set(err, ERR_ENGINE,
                       "llama.cpp cannot compute one token of this model: see the log with --log-level debug");
    ctx->times = (struct context_times){.threads = ctx->info.threads};
    return true;
}

bool context_open(struct engine_model *m, const struct batch_options *options, struct context **ret_ctx,
                  struct err *err)
{
    struct llama_model *llama = model_handle(m);
    if (!context_check(options, llama, err))
        return false;
    _cleanup_(context_close) struct context *ctx = check_alloc(calloc(1, sizeof *ctx));
    uint64_t before = memory_process_bytes(getpid());
    context_choose(ctx, m, options);
    ctx->llama = llama_init_from_model(llama, context_params(ctx, model_get_info(m)));
    if (ctx->llama == NULL)
        return err_set(err, ERR_ENGINE,
                       "llama.cpp cannot make a context of %d tokens (%llu MB of KV): ask for a smaller one",
                       ctx->info.cells, (unsigned long long)(ctx->info.kv_bytes / 1000000));
    ctx->info.cells = (int32_t)llama_n_ctx(ctx->llama);
    ctx->info.ubatch = (int32_t)llama_n_ubatch(ctx->llama);
    ctx->info.causal_memory = llama_get_memory(ctx->llama) != NULL;
    if (!ctx->info.causal_memory)
        ctx->info.kv_bytes = 0;
    ctx->batch_size = ctx->info.ubatch;
    ctx->batch = llama_batch_init(ctx->batch_size, 0, 1);
    context_make_pool(ctx);
    threads_init(&ctx->threads, ctx->info.threads);
    if (!context_warm_up(ctx, llama, err))
        return false;
    uint64_t grown = memory_process_bytes(getpid()) - before;
    ctx->info.compute_bytes = grown > ctx->info.kv_bytes && grown < UINT64_MAX / 2 ? grown - ctx->info.kv_bytes : 0;
    *ret_ctx = TAKE(ctx);
    return true;
}

void context_close(struct context **ctx)
{
    struct context *c = *ctx;
    if (c == NULL)
        return;
    if (c->llama != NULL)
        llama_free(c->llama);
    if (c->pool != NULL)
        c->pool_free(c->pool);
    if (c->batch_size > 0)
        llama_batch_free(c->batch);
    free(c);
    *ctx = NULL;
}

const struct context_info *context_get_info(const struct context *ctx) { return &ctx->info; }
int32_t context_rows(const struct context *ctx) { return ctx->batch.n_tokens; }
void context_clear_batch(struct context *ctx) { ctx->batch.n_tokens = 0; }

int32_t context_add(struct context *ctx, int32_t token, int32_t pos, int32_t seq, bool output)
{
    struct llama_batch *b = &ctx->batch;
    CHECK(b->n_tokens < ctx->batch_size);
    int32_t row = b->n_tokens++;
    b->token[row] = token;
    b->pos[row] = pos;
    b->n_seq_id[row] = 1;
    b->seq_id[row][0] = seq;
    b->logits[row] = output;
    return row;
}

enum context_result context_decode(struct context *ctx)
{
    int32_t rows = ctx->batch.n_tokens;
    int64_t start = clock_now_ns();
    int32_t got = ctx->info.causal_memory ? llama_decode(ctx->llama, ctx->batch) : llama_encode(ctx->llama, ctx->batch);
    if (got == 0)
        llama_synchronize(ctx->llama);
    int64_t end = clock_now_ns();
    ctx->times.decode_ns += end - start;
    ctx->times.decodes++;
    if (got == 1)
        return CONTEXT_NO_CELLS;
    ctx->batch.n_tokens = 0;
    int32_t threads = threads_observe(&ctx->threads, rows, end - start, end);
    if (threads != ctx->times.threads) {
        log_debug("changed the number of threads", "threads=%d of=%d", threads, ctx->info.threads);
        llama_set_n_threads(ctx->llama, threads, threads);
        ctx->times.threads = threads;
    }
    if (got == 2)
        return CONTEXT_ABORTED;
    return got == 0 ? CONTEXT_OK : CONTEXT_FAILED;
}

float *context_logits(struct context *ctx, int32_t row) { return llama_get_logits_ith(ctx->llama, row); }
/* A reranker's row holds a score for each of its classes, which is less than a vector. */
const float *context_embedding(struct context *ctx, int32_t seq)
{
    bool ranks = llama_pooling_type(ctx->llama) == LLAMA_POOLING_TYPE_RANK;
    return ranks ? NULL : llama_get_embeddings_seq(ctx->llama, seq);
}

void context_set_abort(struct context *ctx, bool (*abort)(void *user), void *user)
{
    ctx->abort = abort;
    ctx->abort_user = user;
}

void context_get_times(const struct context *ctx, struct context_times *ret) { *ret = ctx->times; }

struct cache_ops context_cache_ops(struct context *ctx) { return cache_llama_ops(ctx->llama); }

void context_forget(struct context *ctx)
{
    if (ctx->info.causal_memory)
        cache_llama_clear(ctx->llama);
}
