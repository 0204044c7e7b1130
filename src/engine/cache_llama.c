/* engine/cache_llama.c: the cache's operations on libllama's memory; the only llama_memory_* calls. */
#include "engine/cache_llama.h"

#include <llama.h>

static void cache_llama_copy(void *memory, int32_t from, int32_t to, int32_t n)
{
    llama_memory_seq_cp(memory, from, to, 0, n);
}

static bool cache_llama_cut(void *memory, int32_t seq, int32_t n) { return llama_memory_seq_rm(memory, seq, n, -1); }

/* A recurrent state is at its tip only; a sliding window that has lost its beginning is neither. */
static bool cache_llama_holds(void *memory, int32_t seq, int32_t n)
{
    int32_t first = llama_memory_seq_pos_min(memory, seq);
    return llama_memory_seq_pos_max(memory, seq) == n - 1 && (n == 0 || first == 0 || first == n - 1);
}

struct cache_ops cache_llama_ops(struct llama_memory_i *memory)
{
    return (struct cache_ops){memory, cache_llama_copy, cache_llama_cut, cache_llama_holds};
}

void cache_llama_clear(struct llama_memory_i *memory) { llama_memory_clear(memory, false); }
