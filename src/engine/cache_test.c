/* The cache on an array: what each position of each sequence holds. A copy shares cells, as libllama's does. */
#include "engine/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEQUENCES = 8, CELLS = 64, LONGEST = 40 };

struct memory {
    int32_t cell[SEQUENCES + 1][LONGEST]; /* and the scratch sequence */
    int32_t n[SEQUENCES + 1];
    int32_t token[100000]; /* of each cell ever made; a cell is made once here */
    int32_t made;
    bool whole_only; /* a recurrent state */
    bool lies;       /* a copy loses its tokens */
};

static struct memory mem;

static void memory_copy(void *ctx, int32_t from, int32_t to, int32_t n)
{
    struct memory *m = ctx;
    assert_int_equal(m->n[to], 0);
    assert_in_range(n, 1, m->n[from]);
    if (m->whole_only)
        assert_int_equal(n, m->n[from]);
    memcpy(m->cell[to], m->cell[from], (size_t)n * sizeof(int32_t));
    m->n[to] = m->lies ? 0 : n;
}

static bool memory_cut(void *ctx, int32_t seq, int32_t n)
{
    struct memory *m = ctx;
    if (m->whole_only && n > 0 && n < m->n[seq])
        return false;
    if (n < m->n[seq])
        m->n[seq] = n;
    return true;
}

static bool memory_holds(void *ctx, int32_t seq, int32_t n) { return ((struct memory *)ctx)->n[seq] == n; }

static size_t memory_save_size(void *ctx, int32_t seq)
{
    return (size_t)((struct memory *)ctx)->n[seq] * sizeof(int32_t);
}

static bool memory_save(void *ctx, int32_t seq, void *to, size_t size)
{
    const struct memory *m = ctx;
    int32_t *tokens = to;
    assert_int_equal(size, memory_save_size(ctx, seq));
    for (int32_t i = 0; i < m->n[seq]; i++)
        tokens[i] = m->token[m->cell[seq][i]];
    return true;
}

static bool memory_restore(void *ctx, int32_t seq, const void *from, size_t size)
{
    struct memory *m = ctx;
    const int32_t *tokens = from;
    assert_int_equal(m->n[seq], 0);
    if (m->lies)
        return false;
    for (size_t i = 0; i < size / sizeof *tokens; i++) {
        m->token[m->made] = tokens[i];
        m->cell[seq][m->n[seq]++] = m->made++;
    }
    return true;
}

enum { RENT = 1000 };

static size_t park_bytes; /* of the next cache */

static struct cache *start(int32_t cells, int32_t sequences, bool keep, bool partial)
{
    memset(&mem, 0, sizeof mem);
    mem.whole_only = !partial;
    struct cache_ops ops = {&mem,        memory_copy,    memory_cut, memory_holds, memory_save_size,
                            memory_save, memory_restore, NULL};
    return cache_new(&ops, &(struct cache_options){.cells = cells,
                                                   .sequences = sequences,
                                                   .rent = RENT,
                                                   .keep = keep,
                                                   .partial = partial,
                                                   .park_bytes = park_bytes});
}

/* Computes all that is missing of a prompt. */
static void compute(struct cache *c, int32_t seq, const int32_t *tokens, int32_t n)
{
    for (int32_t i = cache_length(c, seq); i < n; i++) {
        mem.token[mem.made] = tokens[i];
        mem.cell[seq][mem.n[seq]++] = mem.made++;
        cache_extend(c, seq, tokens[i]);
    }
}

static int32_t matches(const struct cache *c, const int32_t *tokens, int32_t n)
{
    int32_t cells;
    return cache_match(c, tokens, n, 0, &cells);
}

static uint64_t evictions(const struct cache *c)
{
    struct cache_stats s;
    cache_get_stats(c, &s);
    return s.evictions;
}

static int32_t run(struct cache *c, const int32_t *tokens, int32_t n, int32_t *ret_seq)
{
    int32_t reused = -1;
    enum cache_miss miss;
    assert_true(cache_take(c, tokens, n, 0, ret_seq, &reused, &miss));
    assert_true(cache_reserve(c, n - reused));
    for (int32_t i = 0; i < reused; i++) /* nobody's tokens but these */
        assert_int_equal(mem.token[mem.cell[*ret_seq][i]], tokens[i]);
    compute(c, *ret_seq, tokens, n);
    return reused;
}

static const int32_t abcdef[] = {1, 2, 3, 4, 5, 6}, abcx[] = {1, 2, 3, 9}, xyz[] = {7, 8, 9};

static void running_prefix_is_shared(void **state)
{
    (void)state;
    struct cache *c = start(CELLS, SEQUENCES, true, true);
    int32_t a, b;
    assert_int_equal(run(c, abcdef, 6, &a), 0);
    assert_int_equal(run(c, abcx, 4, &b), 3);
    assert_int_equal(cache_cells_used(c), 7);
    assert_int_equal(cache_cells_held(c), 7);
    cache_give(c, &a, false);
    assert_int_equal(a, -1);
    assert_int_equal(cache_cells_used(c), 4); /* the common ones stay, they are b's too */
    cache_give(c, &b, true);
    assert_int_equal(cache_cells_held(c), 0);
    assert_int_equal(cache_cells_used(c), 4);
    cache_free(&c);
}

static void last_token_is_always_computed(void **state)
{
    (void)state;
    struct cache *c = start(CELLS, SEQUENCES, true, true);
    int32_t a;
    run(c, abcdef, 6, &a);
    cache_give(c, &a, true);
    assert_int_equal(matches(c, abcdef, 6), 5);
    assert_int_equal(run(c, abcdef, 6, &a), 5);
    cache_give(c, &a, true);
    assert_int_equal(matches(c, abcdef, 1), 0);
    assert_int_equal(matches(c, abcdef, 0), 0);
    cache_free(&c);
}

static void keeping_can_be_off(void **state)
{
    (void)state;
    struct cache *c = start(CELLS, SEQUENCES, false, true);
    int32_t a;
    run(c, abcdef, 6, &a);
    cache_give(c, &a, true);
    assert_int_equal(cache_cells_used(c), 0);
    cache_free(&c);
}

static void beginnings_of_others_are_forgotten(void **state)
{
    (void)state;
    struct cache *c = start(CELLS, SEQUENCES, true, true);
    int32_t a, b;
    run(c, abcdef, 3, &a);
    cache_give(c, &a, true);
    run(c, abcdef, 6, &b);
    cache_give(c, &b, true);
    assert_int_equal(cache_cells_used(c), 6);
    int32_t sequences = 0;
    for (int32_t i = 0; i < SEQUENCES; i++)
        sequences += mem.n[i] > 0;
    assert_int_equal(sequences, 1);
    cache_free(&c);
}

static void oldest_leaves_first(void **state)
{
    (void)state;
    struct cache *c = start(10, SEQUENCES, true, true);
    int32_t a, b, again;
    run(c, abcdef, 6, &a);
    cache_give(c, &a, true);
    run(c, xyz, 3, &b);
    cache_give(c, &b, true);
    run(c, abcdef, 6, &again); /* used anew: xyz is now the oldest */
    cache_give(c, &again, true);
    assert_true(cache_reserve(c, 4));
    assert_int_equal(matches(c, xyz, 3), 0);
    assert_int_equal(matches(c, abcdef, 6), 5);
    assert_true(evictions(c) == 1);
    cache_free(&c);
}

static void held_never_leaves(void **state)
{
    (void)state;
    struct cache *c = start(8, SEQUENCES, true, true);
    int32_t a;
    run(c, abcdef, 6, &a);
    assert_false(cache_reserve(c, 3));
    assert_int_equal(mem.n[a], 6);
    assert_true(cache_reserve(c, 2));
    cache_free(&c);
}

static void rent_is_counted_from_the_last_use(void **state)
{
    (void)state;
    struct cache *c = start(CELLS, SEQUENCES, true, true);
    int32_t a, b;
    run(c, xyz, 3, &b); /* held: for as long as it likes */
    run(c, abcdef, 6, &a);
    cache_give(c, &a, true);
    cache_age(c, RENT);
    assert_int_equal(run(c, abcdef, 6, &a), 5);
    cache_age(c, RENT);
    assert_int_equal(matches(c, abcdef, 6), 5);
    cache_give(c, &a, true);
    cache_age(c, RENT);
    assert_int_equal(matches(c, abcdef, 6), 5);
    cache_age(c, 1);
    assert_int_equal(matches(c, abcdef, 6), 0);
    assert_int_equal(cache_length(c, b), 3);
    cache_free(&c);
}

static void scratch_is_beside_all(void **state)
{
    (void)state;
    struct cache *c = start(CELLS, SEQUENCES, true, true);
    int32_t a;
    run(c, abcdef, 6, &a);
    assert_int_equal(cache_scratch(c), SEQUENCES);
    mem.n[cache_scratch(c)] = 3; /* padding of a step */
    cache_scratch_drop(c);
    assert_int_equal(mem.n[cache_scratch(c)], 0);
    assert_int_equal(cache_length(c, a), 6);
    assert_int_equal(cache_cells_used(c), 6);
    cache_free(&c);
}

static void ids_run_out(void **state)
{
    (void)state;
    struct cache *c = start(CELLS, 2, true, true);
    int32_t a, b, d, reused;
    enum cache_miss miss;
    run(c, abcdef, 6, &a);
    run(c, xyz, 3, &b);
    assert_false(cache_take(c, abcx, 4, 0, &d, &reused, &miss));
    cache_give(c, &a, true);
    assert_int_equal(run(c, abcx, 4, &d), 3); /* the kept one goes on as the new one */
    assert_int_equal(cache_cells_used(c), 7);
    cache_free(&c);
}

static void recurrent_only_goes_on_at_the_tip(void **state)
{
    (void)state;
    struct cache *c = start(CELLS, 2, true, false);
    int32_t a, b;
    run(c, abcdef, 3, &a);
    cache_give(c, &a, true);
    assert_int_equal(matches(c, abcdef, 3), 0); /* all of it: the last token must be computed */
    assert_int_equal(matches(c, abcdef, 2), 0);
    assert_int_equal(run(c, abcdef, 6, &a), 3);
    assert_int_equal(run(c, abcx, 4, &b), 3);
    cache_cut(c, b, 2); /* cannot go back: begins anew */
    assert_int_equal(cache_length(c, b), 0);
    assert_int_equal(mem.n[b], 0);
    cache_free(&c);
}

static void a_copy_that_failed_is_computed(void **state)
{
    (void)state;
    struct cache *c = start(CELLS, SEQUENCES, true, true);
    int32_t a, b;
    run(c, abcdef, 6, &a);
    mem.lies = true;
    assert_int_equal(run(c, abcx, 4, &b), 0);
    assert_int_equal(cache_length(c, b), 4);
    cache_free(&c);
}

static int32_t long_one[24], longer_one[30];

static void a_prefix_is_parked_and_comes_back(void **state)
{
    struct cache_stats s;
    int32_t a, b;
    (void)state;
    for (int32_t i = 0; i < 30; i++) {
        longer_one[i] = i + 1;
        if (i < 24)
            long_one[i] = i + 1;
    }
    park_bytes = 1000;
    struct cache *c = start(CELLS, SEQUENCES, true, true);
    run(c, long_one, 24, &a);
    cache_give(c, &a, true);
    cache_age(c, RENT + 1);
    cache_get_stats(c, &s);
    assert_true(s.parked == 1 && s.evictions == 0 && s.park_bytes == 24 * sizeof(int32_t));
    assert_int_equal(cache_cells_used(c), 0);
    assert_int_equal(matches(c, longer_one, 30), 24);
    int32_t cells = -1;
    cache_match(c, longer_one, 30, 0, &cells);
    assert_int_equal(cells, 0); /* it needs cells again */
    assert_int_equal(run(c, longer_one, 30, &b), 24);
    assert_int_equal(run(c, long_one, 20, &a), 19); /* from the one that runs */
    cache_get_stats(c, &s);
    assert_int_equal(s.unparked, 1);
    cache_suspend(c, &b); /* replaces the shorter one */
    cache_get_stats(c, &s);
    assert_int_equal(s.park_bytes, 30 * sizeof(int32_t));
    cache_give(c, &a, false);
    mem.lies = true; /* what cannot be restored is computed */
    assert_int_equal(run(c, longer_one, 30, &b), 0);
    cache_free(&c);
    park_bytes = 0;
}

static void parked_prefixes_have_a_limit(void **state)
{
    struct cache_stats s;
    int32_t a, other[20];
    (void)state;
    for (int32_t i = 0; i < 20; i++)
        other[i] = 100 + i;
    park_bytes = 30 * sizeof(int32_t);
    struct cache *c = start(CELLS, SEQUENCES, true, true);
    run(c, long_one, 24, &a);
    cache_give(c, &a, true);
    run(c, other, 20, &a);
    cache_give(c, &a, true);
    cache_age(c, RENT + 1);
    cache_get_stats(c, &s);
    assert_true(s.parked == 2 && s.evictions == 1 && s.park_bytes <= park_bytes);
    cache_free(&c);
    park_bytes = 0;
}

static void a_salt_separates(void **state)
{
    enum cache_miss miss;
    int32_t a, b, reused, cells;
    (void)state;
    struct cache *c = start(CELLS, SEQUENCES, true, true);
    assert_true(cache_take(c, longer_one, 30, 7, &a, &reused, &miss));
    assert_int_equal(miss, CACHE_MISS_NEW);
    compute(c, a, longer_one, 30);
    assert_int_equal(matches(c, longer_one, 30), 0);
    assert_int_equal(cache_match(c, longer_one, 30, 7, &cells), 29);
    assert_true(cache_take(c, longer_one, 30, 8, &b, &reused, &miss));
    assert_int_equal(reused, 0);
    assert_int_equal(miss, CACHE_MISS_SALT);
    cache_give(c, &a, true);
    cache_give(c, &b, false);
    while (cache_forget(c))
        ;
    assert_true(cache_take(c, longer_one, 30, 7, &a, &reused, &miss));
    assert_int_equal(miss, CACHE_MISS_LEFT);
    cache_free(&c);
}

static int32_t distinct_cells(void)
{
    static bool seen[100000];
    int32_t n = 0;
    memset(seen, 0, sizeof seen);
    for (int32_t i = 0; i < SEQUENCES; i++)
        for (int32_t j = 0; j < mem.n[i]; j++) {
            n += !seen[mem.cell[i][j]];
            seen[mem.cell[i][j]] = true;
        }
    return n;
}

/* Prompts over two letters, so that prefixes are common; takes, growths, cuts, ends in any order. */
static void random_traffic(void **state)
{
    (void)state;
    struct cache *c = start(CELLS, SEQUENCES, true, true);
    unsigned seed = 5;
    int32_t held[SEQUENCES], n_held = 0;
    enum cache_miss miss;
    for (int round = 0; round < 4000; round++) {
        if (rand_r(&seed) % 2 == 0 && n_held < 4) {
            int32_t tokens[LONGEST], n = 1 + rand_r(&seed) % 12, reused;
            for (int32_t i = 0; i < n; i++)
                tokens[i] = rand_r(&seed) % 2;
            int32_t match = matches(c, tokens, n);
            assert_true(cache_take(c, tokens, n, 0, &held[n_held], &reused, &miss));
            assert_int_equal(match, reused);
            for (int32_t i = 0; i < reused; i++)
                assert_int_equal(mem.token[mem.cell[held[n_held]][i]], tokens[i]);
            if (cache_reserve(c, n - reused))
                compute(c, held[n_held], tokens, n);
            n_held++;
        } else if (n_held > 0) {
            int32_t at = rand_r(&seed) % n_held;
            if (rand_r(&seed) % 4 == 0 && cache_length(c, held[at]) > 0) {
                cache_cut(c, held[at], rand_r(&seed) % cache_length(c, held[at]));
            } else {
                cache_give(c, &held[at], rand_r(&seed) % 3 != 0);
                held[at] = held[--n_held];
            }
        }
        int32_t held_cells = cache_cells_held(c);
        assert_int_equal(cache_cells_used(c), distinct_cells());
        assert_in_range(held_cells, 0, cache_cells_used(c));
    }
    while (n_held > 0)
        cache_give(c, &held[--n_held], false);
    cache_forget(c);
    assert_false(cache_forget(c));
    assert_int_equal(cache_cells_used(c), 0);
    assert_int_equal(distinct_cells(), 0);
    cache_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(running_prefix_is_shared),
        cmocka_unit_test(last_token_is_always_computed),
        cmocka_unit_test(keeping_can_be_off),
        cmocka_unit_test(beginnings_of_others_are_forgotten),
        cmocka_unit_test(oldest_leaves_first),
        cmocka_unit_test(held_never_leaves),
        cmocka_unit_test(rent_is_counted_from_the_last_use),
        cmocka_unit_test(scratch_is_beside_all),
        cmocka_unit_test(ids_run_out),
        cmocka_unit_test(recurrent_only_goes_on_at_the_tip),
        cmocka_unit_test(a_copy_that_failed_is_computed),
        cmocka_unit_test(a_prefix_is_parked_and_comes_back),
        cmocka_unit_test(parked_prefixes_have_a_limit),
        cmocka_unit_test(a_salt_separates),
        cmocka_unit_test(random_traffic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
