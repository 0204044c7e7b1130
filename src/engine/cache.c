/* engine/cache.c: sequences are arrays of token ids and of the cells that hold them. The numbers of
 * cells are ours, not libllama's: what counts is only how many there are and who shares one. */
#include "engine/cache.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "engine/park.h"

#include <string.h>

enum {
    CACHE_UNPARK_LEAST = 16, /* tokens more than are there in cells: below, computing is as quick as copying */
    CACHE_LEFT_MOST = 64,    /* beginnings of forgotten prefixes that are remembered, to tell why a prompt missed */
    CACHE_LEFT_TOKENS = 16,
    CACHE_COMPACT_LEAST = 512, /* cells to be won; the walk over one costs a row 0.4 to 0.7 us, moving it 2 us, once */
};

enum seq_state { SEQ_FREE, SEQ_HELD, SEQ_KEPT };

struct seq {
    enum seq_state state;
    int32_t n, cap;
    int32_t *tokens;
    int32_t *cells;
    uint64_t salt;
    uint64_t used_at;
    uint64_t rows_at; /* how many rows had been computed at its last use */
};

struct cell {
    uint16_t held, kept; /* sequences of each state that use it */
};

struct cache {
    struct cache_ops ops;
    struct cache_options options;
    struct seq *seqs;
    struct cell *cells;
    int32_t *free_cells; /* a stack */
    int32_t n_free, n_held;
    int32_t
        peak; /* of cells in use since they were few: the highest used one, which all rows walk up to, may be there */
    struct park *park; /* NULL: none */
    bool tidy; /* since the cells were empty one request at a time has run: they lie in the order of positions */
    uint64_t left[CACHE_LEFT_MOST];
    uint64_t clock, rows;
    struct cache_stats stats;
};

struct cache *cache_new(const struct cache_ops *ops, const struct cache_options *options)
{
    CHECK(options->cells > 0 && options->sequences > 0);
    struct cache *c = check_alloc(calloc(1, sizeof *c));
    c->ops = *ops;
    c->options = *options;
    c->seqs = check_alloc(calloc((size_t)options->sequences, sizeof *c->seqs));
    c->cells = check_alloc(calloc((size_t)options->cells, sizeof *c->cells));
    c->free_cells = check_alloc(calloc((size_t)options->cells, sizeof *c->free_cells));
    for (int32_t i = 0; i < options->cells; i++)
        c->free_cells[i] = options->cells - 1 - i;
    c->n_free = options->cells;
    c->park = options->park_bytes > 0 ? park_new(options->park_bytes) : NULL;
    return c;
}

void cache_free(struct cache **c)
{
    if (*c == NULL)
        return;
    for (int32_t i = 0; i < (*c)->options.sequences; i++) {
        free((*c)->seqs[i].tokens);
        free((*c)->seqs[i].cells);
    }
    park_free(&(*c)->park);
    free((*c)->seqs);
    free((*c)->cells);
    free((*c)->free_cells);
    free(*c);
    *c = NULL;
}

int32_t cache_common(const int32_t *a, int32_t n_a, const int32_t *b, int32_t n_b)
{
    int32_t n = n_a < n_b ? n_a : n_b;
    int32_t i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

static void seq_grow(struct seq *s, int32_t n)
{
    if (n <= s->cap)
        return;
    int32_t cap = s->cap < 64 ? 64 : s->cap;
    while (cap < n)
        cap += cap / 2;
    s->tokens = check_alloc(realloc(s->tokens, (size_t)cap * sizeof *s->tokens));
    s->cells = check_alloc(realloc(s->cells, (size_t)cap * sizeof *s->cells));
    s->cap = cap;
}

static void cell_use(struct cache *c, int32_t cell, enum seq_state state)
{
    struct cell *x = &c->cells[cell];
    if (state == SEQ_KEPT)
        x->kept++;
    else if (x->held++ == 0)
        c->n_held++;
}

static void cell_leave(struct cache *c, int32_t cell, enum seq_state state)
{
    struct cell *x = &c->cells[cell];
    if (state == SEQ_KEPT) {
        CHECK(x->kept > 0);
        x->kept--;
    } else {
        CHECK(x->held > 0);
        if (--x->held == 0)
            c->n_held--;
    }
    if (x->held == 0 && x->kept == 0)
        c->free_cells[c->n_free++] = cell;
}

/* The bookkeeping of a cut; the memory behind is the caller's business. */
static void seq_shorten(struct cache *c, struct seq *s, int32_t n)
{
    while (s->n > n)
        cell_leave(c, s->cells[--s->n], s->state);
}

static void seq_become(struct cache *c, struct seq *s, enum seq_state state)
{
    for (int32_t i = 0; i < s->n; i++) {
        cell_use(c, s->cells[i], state);
        cell_leave(c, s->cells[i], s->state);
    }
    s->state = state;
}

static void seq_touch(struct cache *c, struct seq *s)
{
    s->used_at = ++c->clock;
    s->rows_at = c->rows;
}

static int32_t seq_id(const struct cache *c, const struct seq *s) { return (int32_t)(s - c->seqs); }

static void seq_drop(struct cache *c, struct seq *s)
{
    bool gone = c->ops.cut(c->ops.ctx, seq_id(c, s), 0);
    CHECK(gone); /* removing a whole sequence never fails */
    seq_shorten(c, s, 0);
    s->state = SEQ_FREE;
}

/* ---- what is there ---- */

/* How many tokens of s a prompt can take over. The last token of the prompt is always computed anew. */
static int32_t seq_usable(const struct cache *c, const struct seq *s, const int32_t *tokens, int32_t n, uint64_t salt)
{
    if (s->state == SEQ_FREE || s->salt != salt || n < 1)
        return 0;
    int32_t common = cache_common(s->tokens, s->n, tokens, n - 1);
    if (!c->options.partial && common < s->n)
        return 0;
    return common;
}

static struct seq *cache_best(const struct cache *c, const int32_t *tokens, int32_t n, uint64_t salt,
                              int32_t *ret_common)
{
    struct seq *best = NULL;
    int32_t best_n = 0;
    for (int32_t i = 0; i < c->options.sequences; i++) {
        int32_t common = seq_usable(c, &c->seqs[i], tokens, n, salt);
        if (common > best_n) {
            best = &c->seqs[i];
            best_n = common;
        }
    }
    *ret_common = best_n;
    return best;
}

/* A parked prefix that is worth its way back; NULL: none is. */
static struct park_entry *cache_best_parked(const struct cache *c, const int32_t *tokens, int32_t n, uint64_t salt,
                                            int32_t there, int32_t *ret_common)
{
    int32_t common = 0;
    struct park_entry *e =
        c->park == NULL || n < 1 ? NULL : park_find(c->park, tokens, n - 1, salt, !c->options.partial, &common);
    *ret_common = common;
    return e != NULL && common >= there + CACHE_UNPARK_LEAST ? e : NULL;
}

int32_t cache_match(const struct cache *c, const int32_t *tokens, int32_t n, uint64_t salt, int32_t *ret_cells)
{
    int32_t common, parked;
    cache_best(c, tokens, n, salt, &common);
    *ret_cells = common;
    return cache_best_parked(c, tokens, n, salt, common, &parked) != NULL ? parked : common;
}

/* ---- leaving ---- */

static struct seq *cache_oldest_kept(const struct cache *c, const struct seq *but)
{
    struct seq *oldest = NULL;
    for (int32_t i = 0; i < c->options.sequences; i++) {
        struct seq *s = &c->seqs[i];
        if (s->state == SEQ_KEPT && s != but && (oldest == NULL || s->used_at < oldest->used_at))
            oldest = s;
    }
    return oldest;
}

/* FNV-1a over a prefix's first tokens. Only ever used to explain: what is reused is compared token by token. */
static uint64_t tokens_hash(const int32_t *tokens, uint64_t salt)
{
    uint64_t h = UINT64_C(0xCBF29CE484222325) ^ salt;
    for (int32_t i = 0; i < CACHE_LEFT_TOKENS; i++)
        h = (h ^ (uint64_t)(uint32_t)tokens[i]) * UINT64_C(0x100000001B3);
    return h;
}

static void cache_evict(struct cache *c, struct seq *s)
{
    if (s->n >= CACHE_LEFT_TOKENS)
        c->left[c->stats.evictions % CACHE_LEFT_MOST] = tokens_hash(s->tokens, s->salt);
    seq_drop(c, s);
    c->stats.evictions++;
}

/* A copy in host memory. */
static bool cache_save(struct cache *c, const struct seq *s)
{
    if (c->park == NULL || s->n < CACHE_UNPARK_LEAST)
        return false;
    size_t size = c->ops.save_size(c->ops.ctx, seq_id(c, s));
    void *blob = park_put(c->park, s->tokens, s->n, s->salt, size);
    if (blob == NULL)
        return false;
    if (!c->ops.save(c->ops.ctx, seq_id(c, s), blob, size) ||
        (c->ops.in_order != NULL && !c->ops.in_order(blob, size, seq_id(c, s)))) { /* see cache_tidy */
        int32_t common;
        park_drop(c->park, park_find(c->park, s->tokens, s->n, s->salt, true, &common));
        return false;
    }
    c->stats.parked++;
    return true;
}

/* A kept sequence gives its cells back: to host memory, or for good. */
static void cache_move_out(struct cache *c, struct seq *s)
{
    if (cache_save(c, s))
        seq_drop(c, s);
    else
        cache_evict(c, s);
}

static struct seq *cache_free_seq(struct cache *c, const struct seq *but)
{
    for (int32_t i = 0; i < c->options.sequences; i++)
        if (c->seqs[i].state == SEQ_FREE)
            return &c->seqs[i];
    struct seq *s = cache_oldest_kept(c, but);
    if (s != NULL)
        cache_move_out(c, s);
    return s;
}

/* ---- taking over ---- */

static void seq_share(struct cache *c, const struct seq *from, struct seq *to, int32_t n)
{
    seq_grow(to, n);
    memcpy(to->tokens, from->tokens, (size_t)n * sizeof *to->tokens);
    memcpy(to->cells, from->cells, (size_t)n * sizeof *to->cells);
    to->n = n;
    for (int32_t i = 0; i < n; i++)
        cell_use(c, to->cells[i], to->state);
}

/* A kept sequence goes on as the new one: no id is free for a copy. */
static bool cache_move(struct cache *c, struct seq *s, int32_t n)
{
    if (n < s->n && !c->ops.cut(c->ops.ctx, seq_id(c, s), n))
        return false;
    seq_shorten(c, s, n);
    seq_become(c, s, SEQ_HELD);
    return c->ops.holds(c->ops.ctx, seq_id(c, s), n);
}

static void seq_append(struct cache *c, struct seq *s, int32_t token)
{
    CHECK(s->state == SEQ_HELD && c->n_free > 0);
    seq_grow(s, s->n + 1);
    int32_t cell = c->free_cells[--c->n_free];
    cell_use(c, cell, SEQ_HELD);
    s->tokens[s->n] = token;
    s->cells[s->n++] = cell;
}

/* A parked prefix comes back as `to`, cut to what is common. The copy stays: others may want it. */
static bool cache_unpark(struct cache *c, struct park_entry *e, struct seq *to, int32_t common,
                         enum cache_miss *ret_miss)
{
    park_pin(c->park, e); /* making room may park others */
    bool room = cache_reserve(c, e->n);
    bool ok = room && c->ops.restore(c->ops.ctx, seq_id(c, to), e->blob, e->size);
    for (int32_t i = 0; ok && i < e->n; i++)
        seq_append(c, to, e->tokens[i]);
    park_unpin(e);
    if (ok && common < to->n) {
        ok = c->ops.cut(c->ops.ctx, seq_id(c, to), common);
        seq_shorten(c, to, ok ? common : to->n);
    }
    if (ok && c->ops.holds(c->ops.ctx, seq_id(c, to), common)) {
        c->stats.unparked++;
        return true;
    }
    *ret_miss = room ? CACHE_MISS_STATE : CACHE_MISS_CELLS;
    seq_drop(c, to);
    to->state = SEQ_HELD;
    if (room)
        park_drop(c->park, e); /* it is of no use */
    return false;
}

static void cache_copy(struct cache *c, struct seq *from, struct seq *to, int32_t common, enum cache_miss *ret_miss)
{
    seq_touch(c, from);
    c->ops.copy(c->ops.ctx, seq_id(c, from), seq_id(c, to), common);
    seq_share(c, from, to, common);
    if (c->ops.holds(c->ops.ctx, seq_id(c, to), common))
        return;
    *ret_miss = CACHE_MISS_STATE; /* never assumed: engine.md 3 */
    seq_drop(c, to);
    to->state = SEQ_HELD;
}

/* Nothing was there: was it ever? */
static enum cache_miss cache_why(const struct cache *c, const int32_t *tokens, int32_t n, uint64_t salt)
{
    uint64_t hash = n > CACHE_LEFT_TOKENS ? tokens_hash(tokens, salt) : 0;
    for (size_t i = 0; hash != 0 && i < CACHE_LEFT_MOST; i++)
        if (c->left[i] == hash)
            return CACHE_MISS_LEFT;
    for (int32_t i = 0; i < c->options.sequences; i++) {
        const struct seq *s = &c->seqs[i];
        if (s->state != SEQ_FREE && s->salt != salt && cache_common(s->tokens, s->n, tokens, n) >= CACHE_LEFT_TOKENS)
            return CACHE_MISS_SALT;
    }
    return CACHE_MISS_NEW;
}

const char *cache_miss_text(enum cache_miss miss)
{
    static const char *const texts[] = {
        [CACHE_HIT] = "hit",
        [CACHE_MISS_NEW] = "nothing begins like it",
        [CACHE_MISS_SALT] = "what begins like it has another cache key",
        [CACHE_MISS_LEFT] = "it was forgotten for room",
        [CACHE_MISS_CELLS] = "no cells to bring it back",
        [CACHE_MISS_STATE] = "its cells could not be copied",
    };
    return texts[miss];
}

/* The sequence for a prompt, held and empty, or the kept one itself where no other id is free. */
static struct seq *cache_new_seq(struct cache *c, struct seq **from, int32_t common)
{
    struct seq *to = cache_free_seq(c, *from);
    if (to == NULL && *from != NULL && (*from)->state == SEQ_KEPT) {
        to = *from;
        *from = NULL;
        if (cache_move(c, to, common))
            return to;
        cache_evict(c, to);
    }
    if (to != NULL)
        to->state = SEQ_HELD;
    return to;
}

/* Before a request that will run alone: cells in the order of positions, from the lowest on. libllama gives a token the
 * next free cell, which may lie below those of earlier tokens once others have left; sums over cells are then rounded
 * in another order, and the same request at temperature 0 takes another turn. So all go to host memory, and what the
 * request begins with comes back in order; unless it is all there is, and in order. */
static void cache_tidy(struct cache *c, const int32_t *tokens, int32_t n, uint64_t salt)
{
    int32_t common, kept = 0;
    for (int32_t i = 0; i < c->options.sequences; i++) {
        if (c->seqs[i].state == SEQ_HELD) {
            c->tidy = false;
            return;
        }
        kept += c->seqs[i].state == SEQ_KEPT;
    }
    if (c->park == NULL)
        return;
    const struct seq *best = c->tidy && kept == 1 ? cache_best(c, tokens, n, salt, &common) : NULL;
    if (best != NULL && best->n == common)
        return;
    for (struct seq *s = cache_oldest_kept(c, NULL); s != NULL; s = cache_oldest_kept(c, NULL))
        cache_move_out(c, s);
    c->tidy = true;
}

bool cache_take(struct cache *c, const int32_t *tokens, int32_t n, uint64_t salt, int32_t *ret_seq, int32_t *ret_reused,
                enum cache_miss *ret_miss)
{
    int32_t common, parked_n;
    enum cache_miss miss = CACHE_HIT;
    cache_tidy(c, tokens, n, salt);
    struct seq *from = cache_best(c, tokens, n, salt, &common);
    struct seq *to = cache_new_seq(c, &from, common);
    if (to == NULL)
        return false;
    to->salt = salt;
    struct park_entry *parked = cache_best_parked(c, tokens, n, salt, common, &parked_n);
    if (to->n == 0 && parked != NULL && cache_unpark(c, parked, to, parked_n, &miss))
        from = NULL;
    else if (from != NULL) /* making room for the parked one may have moved it out */
        from = cache_best(c, tokens, n, salt, &common);
    if (from != NULL)
        cache_copy(c, from, to, common, &miss);
    if (to->n == 0 && miss == CACHE_HIT)
        miss = cache_why(c, tokens, n, salt);
    c->stats.hits += to->n > 0;
    c->stats.misses += to->n == 0;
    *ret_seq = seq_id(c, to);
    *ret_reused = to->n;
    *ret_miss = miss;
    return true;
}

bool cache_reserve(struct cache *c, int32_t rows)
{
    while (c->n_free < rows) {
        struct seq *s = cache_oldest_kept(c, NULL);
        if (s == NULL)
            return false;
        cache_move_out(c, s);
    }
    return true;
}

void cache_extend(struct cache *c, int32_t seq, int32_t token) { seq_append(c, &c->seqs[seq], token); }

void cache_cut(struct cache *c, int32_t seq, int32_t n)
{
    struct seq *s = &c->seqs[seq];
    CHECK(s->state == SEQ_HELD && n <= s->n);
    if (!c->ops.cut(c->ops.ctx, seq, n)) { /* a recurrent state cannot go back */
        bool gone = c->ops.cut(c->ops.ctx, seq, 0);
        CHECK(gone);
        n = 0;
    }
    seq_shorten(c, s, n);
}

/* Another remembered sequence that begins with all of s, or is the same: s need not be kept then. */
static struct seq *cache_cover(const struct cache *c, const struct seq *s)
{
    for (int32_t i = 0; i < c->options.sequences && c->options.partial; i++) {
        struct seq *other = &c->seqs[i];
        if (other != s && other->state != SEQ_FREE && other->salt == s->salt && other->n >= s->n &&
            cache_common(s->tokens, s->n, other->tokens, other->n) == s->n)
            return other;
    }
    return NULL;
}

void cache_give(struct cache *c, int32_t *seq, bool keep)
{
    if (*seq < 0)
        return;
    struct seq *s = &c->seqs[*seq];
    *seq = -1;
    CHECK(s->state == SEQ_HELD);
    struct seq *cover = cache_cover(c, s);
    if (cover != NULL)
        seq_touch(c, cover);
    if (!keep || !c->options.keep || s->n == 0 || cover != NULL) {
        seq_drop(c, s);
        return;
    }
    seq_become(c, s, SEQ_KEPT);
    seq_touch(c, s);
    for (int32_t i = 0; i < c->options.sequences; i++) {
        struct seq *other = &c->seqs[i];
        if (other != s && other->state == SEQ_KEPT && other->n <= s->n && cache_cover(c, other) != NULL)
            seq_drop(c, other);
    }
}

void cache_suspend(struct cache *c, int32_t *seq)
{
    struct seq *s = &c->seqs[*seq];
    CHECK(s->state == SEQ_HELD);
    *seq = -1;
    (void)cache_save(c, s);
    seq_drop(c, s);
}

void cache_age(struct cache *c, int32_t rows)
{
    c->rows += (uint64_t)rows;
    for (int32_t i = 0; i < c->options.sequences; i++) {
        struct seq *s = &c->seqs[i];
        if (s->state == SEQ_KEPT && c->rows - s->rows_at > (uint64_t)c->options.rent)
            cache_move_out(c, s);
    }
}

/* The only sequence in cells; NULL: there are none or more. */
static struct seq *cache_only(struct cache *c)
{
    struct seq *only = NULL;
    for (int32_t i = 0; i < c->options.sequences; i++) {
        if (c->seqs[i].state == SEQ_FREE)
            continue;
        if (only != NULL)
            return NULL;
        only = &c->seqs[i];
    }
    return only;
}

/* Out to a copy and back in: libllama fills from the lowest cell when nothing else is there. */
static void cache_move_down(struct cache *c, struct seq *s)
{
    size_t size = c->ops.save_size(c->ops.ctx, seq_id(c, s));
    _cleanup_free_ void *blob = malloc(size);
    if (blob == NULL || !c->ops.save(c->ops.ctx, seq_id(c, s), blob, size))
        return;
    bool gone = c->ops.cut(c->ops.ctx, seq_id(c, s), 0);
    CHECK(gone);
    if (c->ops.restore(c->ops.ctx, seq_id(c, s), blob, size) && c->ops.holds(c->ops.ctx, seq_id(c, s), s->n)) {
        c->stats.compactions++;
        return;
    }
    gone = c->ops.cut(c->ops.ctx, seq_id(c, s), 0); /* it is computed again */
    CHECK(gone);
    seq_shorten(c, s, 0);
}

void cache_compact(struct cache *c)
{
    int32_t used = c->options.cells - c->n_free;
    if (used > c->peak)
        c->peak = used;
    if (c->park == NULL || c->peak < 2 * used + CACHE_COMPACT_LEAST)
        return;
    struct seq *only = used == 0 ? NULL : cache_only(c);
    if (only == NULL && used > 0)
        return;
    if (only != NULL)
        cache_move_down(c, only);
    c->peak = c->options.cells - c->n_free;
}

bool cache_forget(struct cache *c)
{
    bool some = c->park != NULL && park_clear(c->park);
    for (struct seq *s = cache_oldest_kept(c, NULL); s != NULL; s = cache_oldest_kept(c, NULL)) {
        cache_evict(c, s);
        some = true;
    }
    return some;
}

int32_t cache_scratch(const struct cache *c) { return c->options.sequences; }

void cache_scratch_drop(struct cache *c)
{
    bool gone = c->ops.cut(c->ops.ctx, cache_scratch(c), 0);
    CHECK(gone);
}

int32_t cache_length(const struct cache *c, int32_t seq) { return c->seqs[seq].n; }
int32_t cache_cells_used(const struct cache *c) { return c->options.cells - c->n_free; }
int32_t cache_cells_held(const struct cache *c) { return c->n_held; }

void cache_get_stats(const struct cache *c, struct cache_stats *ret)
{
    *ret = c->stats;
    if (c->park != NULL) {
        ret->park_bytes = park_bytes(c->park);
        ret->evictions += park_evictions(c->park);
    }
    for (int32_t i = 0; i < c->options.sequences; i++)
        ret->kept += c->seqs[i].state == SEQ_KEPT;
}
