/* engine/cache_llama.c: the cache's operations on libllama's memory; the only llama_memory_* and llama_state_* calls.
 */
#include "engine/cache_llama.h"

#include <llama.h>
#include <string.h>

static void cache_llama_copy(void *ctx, int32_t from, int32_t to, int32_t n)
{
    llama_memory_seq_cp(llama_get_memory(ctx), from, to, 0, n);
}

static bool cache_llama_cut(void *ctx, int32_t seq, int32_t n)
{
    return llama_memory_seq_rm(llama_get_memory(ctx), seq, n, -1);
}

/* A recurrent state is at its tip only; a sliding window that has lost its beginning is neither. */
static bool cache_llama_holds(void *ctx, int32_t seq, int32_t n)
{
    llama_memory_t memory = llama_get_memory(ctx);
    int32_t first = llama_memory_seq_pos_min(memory, seq);
    return llama_memory_seq_pos_max(memory, seq) == n - 1 && (n == 0 || first == 0 || first == n - 1);
}

static size_t cache_llama_save_size(void *ctx, int32_t seq) { return llama_state_seq_get_size(ctx, seq); }

/* The beginning of what llama_state_seq_get_data writes, in this order: magic, sequence, streams (1), cells; then for
 * each cell, in the order of cells: its position, how many sequences (1), which. */
struct saved_head {
    uint32_t magic;
    int32_t seq;
    uint32_t streams, cells;
};

struct saved_cell {
    int32_t pos;
    uint32_t sequences;
    int32_t seq;
};

/* Do the cells lie in the order of their positions? Else what comes back gives other sums than what was computed. */
static bool cache_llama_in_order(const void *from, size_t size, int32_t seq)
{
    struct saved_head head;
    if (size < sizeof head)
        return true;
    memcpy(&head, from, sizeof head);
    if (head.streams != 1 || head.cells > (size - sizeof head) / sizeof(struct saved_cell))
        return true; /* recurrent memory: it has no cells */
    int32_t before = -1;
    for (uint32_t i = 0; i < head.cells; i++) {
        struct saved_cell cell;
        memcpy(&cell, (const char *)from + sizeof head + i * sizeof cell, sizeof cell);
        if (cell.sequences != 1 || cell.seq != seq)
            return true; /* a cell has more to it: a picture's place */
        if (cell.pos <= before)
            return false;
        before = cell.pos;
    }
    return true;
}

static bool cache_llama_save(void *ctx, int32_t seq, void *to, size_t size)
{
    return llama_state_seq_get_data(ctx, to, size, seq) == size;
}

/* What is read was written by this process: libllama's reader trusts it. */
static bool cache_llama_restore(void *ctx, int32_t seq, const void *from, size_t size)
{
    return llama_state_seq_set_data(ctx, from, size, seq) == size;
}

struct cache_ops cache_llama_ops(struct llama_context *ctx)
{
    return (struct cache_ops){ctx,
                              cache_llama_copy,
                              cache_llama_cut,
                              cache_llama_holds,
                              cache_llama_save_size,
                              cache_llama_save,
                              cache_llama_restore,
                              cache_llama_in_order};
}

void cache_llama_clear(struct llama_context *ctx) { llama_memory_clear(llama_get_memory(ctx), false); }
