/* engine/cache: which tokens' KV is in the context, and who holds it.
 *
 *   n = cache_match(c, tokens, n_tokens, salt, &cells)     what is there already; changes nothing
 *   cache_take(c, tokens, n_tokens, salt, &seq, &reused)   a sequence that begins with `reused` of them
 *   cache_reserve(c, rows)                           room for a step, kept prefixes leave for it
 *   cache_extend(c, seq, token)                      after the row was decoded
 *   cache_cut(c, seq, n)                             back to n tokens (a step that was aborted)
 *   cache_give(c, &seq, keep)                        the request ends; keep: its prefix stays until evicted
 *   cache_suspend(c, &seq)                           it only waits: its cells are saved, if there is room
 *   cache_age(c, rows)                               after each step
 *
 * Every row of KV (a cell) has a count of the sequences that use it: a copy shares the cells of the
 * common prefix, so sixteen requests with one system prompt have it once. A held sequence belongs to
 * a running request and never leaves; a kept one is only remembered. A kept sequence that is the
 * beginning of another is forgotten at once. Since foreign cells slow every row (engine.md 3), a kept
 * one is parked in host memory (park.h) when `rent` rows were computed since its last use, or when cells
 * or sequence ids run short, the least recently used first; where there is no room it is forgotten. A
 * prompt that begins with a parked one gets it back. On an idle engine a kept sequence stays for ever.
 *
 * A salt separates tenants: only prefixes of the same salt are ever taken over.
 *
 * Owns     every KV cell: nothing else calls llama_memory_seq_* (through cache_ops; cache_llama.c).
 * Threads  the batch thread only.
 * Limits   cells and sequences are given at birth; at least the last token of a prompt is never
 *          reused, since its logits are wanted.
 * Failing  changes nothing, but that kept prefixes may have left.
 * Tests    cache_test.c, random traffic against a plain array of what each cell holds.
 */
#ifndef TUG_ENGINE_CACHE_H
#define TUG_ENGINE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is asked of the memory behind; a test has an array in its place. */
struct cache_ops {
    void *ctx;
    void (*copy)(void *ctx, int32_t from, int32_t to, int32_t n); /* the first n positions; `to` is empty */
    bool (*cut)(void *ctx, int32_t seq, int32_t n);               /* keep the first n; false: cannot */
    bool (*holds)(void *ctx, int32_t seq, int32_t n);             /* exactly positions 0..n-1 are there */
    size_t (*save_size)(void *ctx, int32_t seq);                  /* bytes that save writes */
    bool (*save)(void *ctx, int32_t seq, void *to, size_t size);
    bool (*restore)(void *ctx, int32_t seq, const void *from, size_t size); /* `seq` is empty; false: still is */
    /* Of what save wrote: do the cells lie in the order of positions? NULL: always. */
    bool (*in_order)(const void *from, size_t size, int32_t seq);
};

struct cache_options {
    int32_t cells;
    int32_t sequences; /* ids 0 to sequences - 1; the scratch sequence is the next one */
    int32_t rent;      /* rows, see above */
    size_t park_bytes; /* of host memory for prefixes; 0: they are forgotten instead */
    bool keep;         /* remember finished sequences */
    bool partial;      /* a sequence can be copied in part (attention); else only whole (recurrent state) */
};

struct cache;

struct cache *cache_new(const struct cache_ops *ops, const struct cache_options *options);
void cache_free(struct cache **c);

/* How many tokens need not be computed; *ret_cells: for how many of them no new cell is needed. */
int32_t cache_match(const struct cache *c, const int32_t *tokens, int32_t n, uint64_t salt, int32_t *ret_cells);
/* The length of the common prefix of two token runs. */
int32_t cache_common(const int32_t *a, int32_t n_a, const int32_t *b, int32_t n_b);
/* Why no more was reused. */
enum cache_miss { CACHE_HIT, CACHE_MISS_NEW, CACHE_MISS_SALT, CACHE_MISS_LEFT, CACHE_MISS_CELLS, CACHE_MISS_STATE };
const char *cache_miss_text(enum cache_miss miss);

bool cache_take(struct cache *c, const int32_t *tokens, int32_t n, uint64_t salt, int32_t *ret_seq, int32_t *ret_reused,
                enum cache_miss *ret_miss);
bool cache_reserve(struct cache *c, int32_t rows);
void cache_extend(struct cache *c, int32_t seq, int32_t token);
void cache_cut(struct cache *c, int32_t seq, int32_t n);
void cache_give(struct cache *c, int32_t *seq, bool keep); /* sets -1; accepts -1 */
void cache_suspend(struct cache *c, int32_t *seq);
void cache_age(struct cache *c, int32_t rows);
/* After a step: a sequence that is left alone high up in the cells moves down, since every row walks all cells below
 * the highest one. If that fails it is empty (cache_length), and to be computed again. */
void cache_compact(struct cache *c);
/* A sequence beside all others for rows whose results nobody wants (padding); emptied by cache_scratch_drop. Their
 * cells are reserved with the rest of a step's and are free again after it. */
int32_t cache_scratch(const struct cache *c);
void cache_scratch_drop(struct cache *c);
/* Forgets every kept prefix, parked ones too; false when there was none. */
bool cache_forget(struct cache *c);

int32_t cache_length(const struct cache *c, int32_t seq);
int32_t cache_cells_used(const struct cache *c);
int32_t cache_cells_held(const struct cache *c); /* by running requests; the rest can be evicted */

struct cache_stats {
    uint64_t hits, misses;                /* takes that reused something, or nothing */
    uint64_t evictions, parked, unparked; /* forgotten for room; moved to host memory; and back */
    uint64_t park_bytes;
    uint64_t compactions;
    int32_t kept; /* sequences in cells that only are remembered */
};
void cache_get_stats(const struct cache *c, struct cache_stats *ret);

#endif
