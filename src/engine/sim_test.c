/* The scheduler under simulation, which is one thing however long: batch, step, schedule, cache, queue, sample and
 * output are the real ones; the context (libllama) and the clock are the model below, and the loop is turned by hand.
 * So every run is decided by its seed: arrivals, cancels, cells that run short, steps that are aborted or find no
 * cells, in any order.
 *
 * The model's next token is a hash of what the sequence's cells really hold. A prefix taken from the wrong
 * conversation, a token computed twice or left out, a cell lost: each gives another text than the prompt alone does.
 *
 * Long, but one thing: the model, its clients and what must hold between turns make sense only together.
 *
 *   SIM_SEEDS=100000 build/tests/sim_test       more of it; SIM_FIRST=N begins with seed N */
#include "engine/batch_private.h"

#include "platform/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { VOCAB = 40, END_TOKEN = 39, MOST_CELLS = 4096, MOST_ROWS = 512, MOST_SEQS = LIMIT_SEQUENCES, MOST_LIVE = 48 };
enum { TEXT_MAX_BYTES = 1024, COST_FIXED_NS = 4000000, COST_ROW_NS = 1000000, PATIENCE_TURNS = 50000 };

/* ---- the model of libllama: cells with a count of their users, and what a step costs ---- */

struct sim_cell {
    int32_t token, users;
};

struct sim_row {
    int32_t token, pos, seq;
    bool output;
};

static struct {
    struct context_info info;
    struct sim_cell cells[MOST_CELLS];
    int32_t at[MOST_SEQS][MOST_CELLS]; /* the cell of each position */
    int32_t n[MOST_SEQS];
    int32_t used;
    struct sim_row rows[MOST_ROWS];
    int32_t n_rows;
    float logits[MOST_ROWS][VOCAB];
    uint64_t rows_computed, steps, faults;
    bool (*abort)(void *user);
    void *abort_user;
    void (*during)(void); /* something that another thread does while a step is computed */
    unsigned seed;
    int fault_percent;
    int64_t now_ns, row_ns;
} sim;

int64_t clock_now_ns(void) { return sim.now_ns; }
int64_t clock_after_ns(int64_t ns) { return sim.now_ns + ns; }
int64_t clock_wall_ns(void) { return sim.now_ns; }
int64_t clock_thread_cpu_ns(void) { return sim.now_ns; }

static struct batch *batch;

static int sim_random(int below) { return rand_r(&sim.seed) % below; }

static void sim_release(int32_t cell)
{
    assert_true(sim.cells[cell].users > 0);
    if (--sim.cells[cell].users == 0)
        sim.used--;
}

static void sim_copy(void *ctx, int32_t from, int32_t to, int32_t n)
{
    (void)ctx;
    assert_int_equal(sim.n[to], 0);
    assert_in_range(n, 1, sim.n[from]);
    if (!sim.info.partial)
        assert_int_equal(n, sim.n[from]);
    for (int32_t i = 0; i < n; i++) {
        sim.at[to][i] = sim.at[from][i];
        sim.cells[sim.at[to][i]].users++;
    }
    sim.n[to] = n;
}

static bool sim_cut(void *ctx, int32_t seq, int32_t n)
{
    (void)ctx;
    if (!sim.info.partial && n > 0 && n < sim.n[seq])
        return false;
    while (sim.n[seq] > n)
        sim_release(sim.at[seq][--sim.n[seq]]);
    return true;
}

static bool sim_holds(void *ctx, int32_t seq, int32_t n)
{
    (void)ctx;
    return sim.n[seq] == n;
}

static void sim_push(int32_t seq, int32_t token)
{
    int32_t cell = 0;
    while (sim.cells[cell].users > 0)
        cell++;
    assert_true(cell < sim.info.cells);
    sim.cells[cell] = (struct sim_cell){token, 1};
    sim.at[seq][sim.n[seq]++] = cell;
    sim.used++;
}

static size_t sim_save_size(void *ctx, int32_t seq)
{
    (void)ctx;
    return (size_t)sim.n[seq] * sizeof(int32_t);
}

static bool sim_save(void *ctx, int32_t seq, void *to, size_t size)
{
    int32_t *tokens = to;
    assert_int_equal(size, sim_save_size(ctx, seq));
    for (int32_t i = 0; i < sim.n[seq]; i++)
        tokens[i] = sim.cells[sim.at[seq][i]].token;
    return sim_random(100) >= sim.fault_percent;
}

static bool sim_restore(void *ctx, int32_t seq, const void *from, size_t size)
{
    const int32_t *tokens = from;
    (void)ctx;
    assert_int_equal(sim.n[seq], 0);
    if (sim_random(100) < sim.fault_percent)
        return false;
    for (size_t i = 0; i < size / sizeof *tokens; i++)
        sim_push(seq, tokens[i]);
    return true;
}

static uint64_t mix(uint64_t h, int32_t token)
{
    h = (h ^ (uint64_t)(uint32_t)token) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ (h >> 29);
}

/* One in forty is the end; the rest of the row falls off from the chosen token. */
static int32_t next_token(uint64_t h) { return (int32_t)((h >> 20) % VOCAB); }

static void sim_logits(int32_t row, int32_t seq)
{
    uint64_t h = 1;
    for (int32_t i = 0; i < sim.n[seq]; i++)
        h = mix(h, sim.cells[sim.at[seq][i]].token);
    for (int32_t t = 0; t < VOCAB; t++)
        sim.logits[row][t] = t == next_token(h) ? 1 : 0;
}

bool context_open(struct engine_model *m, const struct batch_options *o, struct context **ret_ctx, struct err *err)
{
    (void)m, (void)o, (void)err;
    *ret_ctx = (struct context *)&sim;
    return true;
}

void context_close(struct context **ctx) { *ctx = NULL; }
const struct context_info *context_get_info(const struct context *ctx)
{
    (void)ctx;
    return &sim.info;
}

int32_t context_add(struct context *ctx, int32_t token, int32_t pos, int32_t seq, bool output)
{
    (void)ctx;
    assert_true(sim.n_rows < sim.info.ubatch);
    sim.rows[sim.n_rows] = (struct sim_row){token, pos, seq, output};
    return sim.n_rows++;
}

int32_t context_rows(const struct context *ctx)
{
    (void)ctx;
    return sim.n_rows;
}

void context_clear_batch(struct context *ctx)
{
    (void)ctx;
    sim.n_rows = 0;
}

enum context_result context_decode(struct context *ctx)
{
    (void)ctx;
    assert_true(sim.n_rows > 0);
    sim.steps++;
    sim.now_ns += COST_FIXED_NS + (int64_t)sim.n_rows * sim.row_ns;
    bool fault = batch->active.n > 1 && sim_random(100) < sim.fault_percent; /* one alone would rightly end with it */
    if (fault || sim.used + sim.n_rows > sim.info.cells) {
        sim.faults++;
        return CONTEXT_NO_CELLS;
    }
    if (sim.during != NULL)
        sim.during();
    if (sim.abort != NULL && sim.abort(sim.abort_user)) {
        sim.faults++;
        sim.n_rows = 0;
        return CONTEXT_ABORTED;
    }
    for (int32_t i = 0; i < sim.n_rows; i++) {
        const struct sim_row *row = &sim.rows[i];
        assert_in_range(row->seq, 0, MOST_SEQS - 1);
        assert_int_equal(row->pos, sim.n[row->seq]); /* a gap or a repeat is refused by libllama */
        sim_push(row->seq, row->token);
        if (row->output)
            sim_logits(i, row->seq);
    }
    sim.rows_computed += (uint64_t)sim.n_rows;
    sim.n_rows = 0;
    return CONTEXT_OK;
}

float *context_logits(struct context *ctx, int32_t row)
{
    (void)ctx;
    return sim.logits[row];
}

const float *context_embedding(struct context *ctx, int32_t seq)
{
    (void)ctx, (void)seq;
    return NULL;
}

void context_set_abort(struct context *ctx, bool (*abort)(void *user), void *user)
{
    (void)ctx;
    sim.abort = abort;
    sim.abort_user = user;
}

void context_get_times(const struct context *ctx, struct context_times *ret)
{
    (void)ctx;
    *ret = (struct context_times){.decodes = sim.steps, .threads = 1};
}

void context_forget(struct context *ctx) { (void)ctx; }
struct cache_ops context_cache_ops(struct context *ctx)
{
    (void)ctx;
    return (struct cache_ops){&sim, sim_copy, sim_cut, sim_holds, sim_save_size, sim_save, sim_restore, NULL};
}

/* ---- the model of the model ---- */

const struct model_info *model_get_info(const struct engine_model *m)
{
    static const struct model_info info = {.alias = "sim", .n_vocab = VOCAB, .n_embd = 8};
    (void)m;
    return &info;
}

bool model_is_eog(const struct engine_model *m, int32_t token)
{
    (void)m;
    return token == END_TOKEN;
}

const int32_t *model_end_tokens(const struct engine_model *m, size_t *ret_n)
{
    static const int32_t end = END_TOKEN;
    (void)m;
    *ret_n = 1;
    return &end;
}

void model_reason(struct engine_model *m, char ret_reason[MODEL_REASON_MAX])
{
    (void)m;
    ret_reason[0] = '\0';
}

static void piece_of(int32_t token, char ret[2])
{
    ret[0] = (char)('A' + token / 10);
    ret[1] = (char)('0' + token % 10);
}

bool model_piece(const struct engine_model *m, int32_t token, bool special, struct buf *out)
{
    char piece[2];
    (void)m, (void)special;
    piece_of(token, piece);
    return buf_add(out, piece, 2);
}

/* ---- clients ---- */

struct client {
    struct gen *gen; /* NULL: free */
    int32_t tokens[MOST_CELLS];
    int32_t n;
    char text[TEXT_MAX_BYTES], expected[TEXT_MAX_BYTES];
    size_t len;
    enum gen_finish finish;
    int ends;
    bool cancelled;
    bool endless; /* ignores the end token */
};

static struct client clients[MOST_LIVE];
static uint64_t submitted, ended, cancelled_some;

/* What the prompt alone gives. */
static void client_expect(struct client *c, int32_t max_tokens)
{
    uint64_t h = 1;
    size_t at = 0;
    for (int32_t i = 0; i < c->n; i++)
        h = mix(h, c->tokens[i]);
    int32_t room = sim.info.sequence - c->n;
    for (int32_t i = 0; i < max_tokens && i < room; i++) {
        int32_t token = next_token(h);
        if (c->endless && token == END_TOKEN)
            token = 0; /* the row's highest but for it: all others are alike, the lowest id wins */
        if (token == END_TOKEN)
            break;
        piece_of(token, c->expected + at);
        at += 2;
        h = mix(h, token);
    }
    c->expected[at] = '\0';
}

static void client_submit(struct client *c, int32_t max_tokens)
{
    c->gen = gen_new(batch);
    c->gen->tokens = c->tokens;
    c->gen->n_tokens = (size_t)c->n;
    c->gen->params.temperature = 0;
    c->gen->params.max_tokens = max_tokens;
    c->gen->params.ignore_eos = c->endless;
    c->len = 0;
    c->ends = 0;
    c->cancelled = false;
    c->finish = GEN_RUNNING;
    client_expect(c, max_tokens);
    assert_true(gen_submit(c->gen, NULL));
    submitted++;
}

/* Takes what is there and never waits: there is one thread. */
static void client_read(struct client *c)
{
    struct gen_event e;
    struct gen_private *r = c->gen->p;
    while (!answer_empty(&r->pending) || (r->ended && !r->end_taken)) {
        assert_true(gen_wait(c->gen, -1, &e));
        if (e.kind == GEN_EVENT_END) {
            c->finish = e.finish;
            c->ends++;
            continue;
        }
        assert_true(c->len + e.text_len < TEXT_MAX_BYTES);
        memcpy(c->text + c->len, e.text, e.text_len);
        c->len += e.text_len;
    }
    c->text[c->len] = '\0';
    assert_int_equal(strncmp(c->text, c->expected, c->len), 0); /* at any moment */
}

static void client_check_end(struct client *c)
{
    if (c->ends == 0)
        return;
    assert_int_equal(c->ends, 1);
    assert_in_range(c->finish, GEN_STOP, GEN_LENGTH);
    assert_string_equal(c->text, c->expected);
    assert_int_equal(c->gen->stats.prompt_tokens, c->n);
    assert_in_range(c->gen->stats.cached_tokens, 0, c->n - 1);
    ended++;
    gen_free(&c->gen);
}

static void cancel_somebody(void)
{
    struct client *c = &clients[sim_random(MOST_LIVE)];
    if (sim_random(20) != 0 || c->gen == NULL)
        return;
    gen_free(&c->gen);
    cancelled_some++;
}

/* ---- what must hold between two turns ---- */

static void check_batch(void)
{
    int32_t n = 0;
    for (const struct gen_private *r = batch->active.first; r != NULL; r = r->next, n++) {
        if (r->seq < 0)
            continue;
        assert_int_equal(cache_length(batch->cache, r->seq), r->computed);
        assert_int_equal(sim.n[r->seq], r->computed);
        for (int32_t i = 0; i < r->computed; i++) /* its own words, whoever computed them */
            assert_int_equal(sim.cells[sim.at[r->seq][i]].token, r->tokens[i]);
    }
    assert_in_range(n, 0, sim.info.parallel);
    assert_int_equal(n, batch->active.n);
    assert_int_equal(cache_cells_used(batch->cache), sim.used);
    assert_in_range(cache_cells_held(batch->cache), 0, sim.used);
}

/* Everybody who decodes gets a token in each step that happens, but those who had to give their cells back. */
static void turn(void)
{
    static int32_t before[LIMIT_SEQUENCES];
    static const struct gen_private *who[LIMIT_SEQUENCES];
    int32_t n = 0;
    uint64_t faults = sim.faults, steps = sim.steps;
    for (const struct gen_private *r = batch->active.first; r != NULL; r = r->next)
        if (r->n_tokens > r->n_prompt && r->computed == r->n_tokens - 1) {
            before[n] = r->n_tokens;
            who[n++] = r;
        }
    assert_true(batch_turn(batch, false));
    if (sim.faults == faults && sim.steps > steps)
        for (const struct gen_private *r = batch->active.first; r != NULL; r = r->next)
            for (int32_t i = 0; i < n; i++)
                if (who[i] == r)
                    assert_int_equal(r->n_tokens, before[i] + 1);
    for (size_t i = 0; i < MOST_LIVE; i++)
        if (clients[i].gen != NULL) {
            client_read(&clients[i]);
            client_check_end(&clients[i]);
        }
    check_batch();
}

static void begin(unsigned seed, struct context_info info, bool keep)
{
    memset(sim.n, 0, sizeof sim.n);
    memset(sim.cells, 0, sizeof sim.cells);
    sim.info = info;
    sim.used = sim.n_rows = 0;
    sim.rows_computed = sim.steps = sim.faults = 0;
    sim.seed = seed;
    sim.during = NULL;
    sim.fault_percent = 0;
    sim.row_ns = COST_ROW_NS;
    sim.info.one_row_ns = COST_FIXED_NS + COST_ROW_NS;
    submitted = ended = cancelled_some = 0;
    memset(clients, 0, sizeof clients);
    assert_true(batch_open((struct engine_model *)&sim, &(struct batch_options){.cache_prefixes = keep}, &batch, NULL));
}

static struct batch_stats seen; /* sums over all runs: was everything met? */

static bool nobody_left(void)
{
    for (size_t i = 0; i < MOST_LIVE; i++)
        if (clients[i].gen != NULL)
            return false;
    return batch->active.n + batch->waiting.n == 0;
}

static void finish_all(void)
{
    int turns = 0;
    do {
        turn();
        assert_true(++turns < PATIENCE_TURNS); /* nobody is lost */
    } while (!nobody_left());
    assert_int_equal(submitted, ended + cancelled_some);
    cache_forget(batch->cache);
    assert_int_equal(sim.used, 0); /* no cell is lost */
    assert_int_equal(cache_cells_used(batch->cache), 0);
    seen.preemptions += batch->stats.preemptions;
    seen.parked += batch->stats.parked;
    seen.unparked += batch->stats.unparked;
    seen.cached_tokens += batch->stats.cached_tokens;
    seen.cancelled += batch->stats.cancelled;
    seen.compactions += batch->stats.compactions;
    seen.evictions += batch->stats.evictions;
    batch_stop(&batch, 0);
}

/* A prompt: one of a few stems, cut anywhere, and a tail, so that beginnings are common at all lengths. */
static void client_prompt(struct client *c, int32_t longest)
{
    unsigned stem = (unsigned)sim_random(4);
    int32_t n = 1 + sim_random(longest);
    int32_t common = sim_random(n + 1);
    for (int32_t i = 0; i < n; i++)
        c->tokens[i] = i < common ? (int32_t)((stem * 7 + (unsigned)i * 3) % VOCAB) : sim_random(VOCAB);
    c->n = n;
}

static void traffic(unsigned seed)
{
    unsigned dice = seed * 2654435761u;
    int32_t cells = rand_r(&dice) % 8 ? 64 + rand_r(&dice) % 400 : 900 + rand_r(&dice) % 1500;
    int32_t parallel = 1 + rand_r(&dice) % 9;
    bool partial = rand_r(&dice) % 5 != 0;
    struct context_info info = {
        .cells = cells,
        .sequence = rand_r(&dice) % 2 ? cells : 32 + rand_r(&dice) % 32,
        .parallel = parallel,
        .ubatch = parallel + (cells > 500 ? 64 : rand_r(&dice) % 64),
        .chunk = 1 + rand_r(&dice) % 32,
        .threads = 1,
        .multiple = rand_r(&dice) % 2 ? 4 : 1,
        .partial = partial,
        .causal_memory = true,
        .park_bytes = rand_r(&dice) % 3 ? (uint64_t)rand_r(&dice) % 16384 : 0,
    };
    begin(seed, info, rand_r(&dice) % 4 != 0);
    sim.fault_percent = rand_r(&dice) % 2 ? 0 : 3;
    sim.during = rand_r(&dice) % 2 ? cancel_somebody : NULL;
    int busy = 1 + rand_r(&dice) % 6;
    for (int i = 0; i < 150; i++) {
        struct client *c = &clients[sim_random(MOST_LIVE)];
        if (sim_random(busy) == 0 && c->gen == NULL) {
            client_prompt(c, info.sequence - 1);
            client_submit(c, sim_random(20));
        }
        if (sim_random(4) == 0)
            cancel_somebody();
        turn();
    }
    finish_all();
}

static unsigned last_seed;

static int tell_seed(void **state)
{
    (void)state;
    if (last_seed != 0)
        print_message("SIM_FIRST=%u SIM_SEEDS=1 runs what failed\n", last_seed);
    return 0;
}

static void whatever_comes_nothing_is_lost(void **state)
{
    const char *seeds = getenv("SIM_SEEDS"), *first = getenv("SIM_FIRST");
    unsigned from = first != NULL ? (unsigned)strtoul(first, NULL, 10) : 1;
    unsigned n = seeds != NULL ? (unsigned)strtoul(seeds, NULL, 10) : 2000;
    (void)state;
    for (unsigned seed = from; seed < from + n; seed++) {
        last_seed = seed;
        traffic(seed);
    }
    last_seed = 0;
    assert_true(seen.preemptions > n / 10 && seen.parked > n / 10 && seen.unparked > n / 10 && seen.evictions > n / 10);
    assert_true(seen.cached_tokens > n && seen.cancelled > n / 10 && seen.compactions > n / 100);
}

static const struct context_info roomy = {.cells = 4096,
                                          .sequence = 4096,
                                          .parallel = 32,
                                          .ubatch = 256,
                                          .chunk = 32,
                                          .threads = 1,
                                          .multiple = 1,
                                          .partial = true,
                                          .causal_memory = true};

static void client_shared(struct client *c, int32_t shared, int32_t own, int32_t number)
{
    c->n = shared + own;
    for (int32_t i = 0; i < c->n; i++)
        c->tokens[i] = i < shared ? (i * 3) % VOCAB : (i + number) % VOCAB;
    c->tokens[shared] = number % VOCAB; /* none has more in common */
}

/* 16 at once with 1,000 tokens in common: one prefix and the tails, exactly. */
static void sixteen_compute_a_prefix_once(void **state)
{
    (void)state;
    begin(1, roomy, true);
    for (int32_t i = 0; i < 16; i++) {
        client_shared(&clients[i], 1000, 20, i);
        client_submit(&clients[i], 1);
    }
    finish_all();
    assert_int_equal(sim.rows_computed, 1000 + 16 * 20);
}

/* One that comes while another computes their common beginning takes what is there and waits for the rest. */
static void a_later_one_takes_over_what_runs(void **state)
{
    (void)state;
    begin(1, roomy, true);
    client_shared(&clients[0], 1000, 20, 1);
    client_submit(&clients[0], 1);
    turn();
    turn();
    assert_in_range(sim.rows_computed, 1, 900);
    client_shared(&clients[1], 1000, 20, 2);
    client_submit(&clients[1], 1);
    finish_all();
    assert_int_equal(sim.rows_computed, 1000 + 2 * 20);
}

/* The longest step from now until client `until` has ended, beside those who decode. */
static int64_t longest_gap(const struct client *until)
{
    int64_t longest = 0;
    while (until->gen != NULL) {
        int64_t before = sim.now_ns;
        turn();
        longest = sim.now_ns - before > longest ? sim.now_ns - before : longest;
    }
    return longest;
}

/* Four decode when a prompt of 3,500 tokens comes: nobody waits longer than twice an undisturbed gap (or the target of
 * 100 ms) and a minimal chunk (28 rows). And a short prompt does not wait for the long one. */
static void a_long_prompt_freezes_nobody(void **state)
{
    static const int64_t row_costs[] = {200000, 1000000, 20000000}; /* a small model, a large one */
    (void)state;
    for (size_t i = 0; i < sizeof row_costs / sizeof row_costs[0]; i++) {
        begin(1, roomy, false);
        sim.row_ns = row_costs[i];
        for (int32_t k = 0; k < 4; k++) {
            clients[k].n = 5;
            for (int32_t j = 0; j < 5; j++)
                clients[k].tokens[j] = k + j;
            clients[k].endless = true;
            client_submit(&clients[k], 110);
        }
        for (int t = 0; t < 12; t++)
            turn();
        int64_t idle = COST_FIXED_NS + 4 * sim.row_ns, target = 2 * idle > 100 * CLOCK_MS ? 2 * idle : 100 * CLOCK_MS;
        client_shared(&clients[4], 3500, 1, 9);
        client_submit(&clients[4], 1);
        turn();
        client_shared(&clients[5], 0, 30, 11); /* short */
        client_submit(&clients[5], 1);
        int64_t gap = longest_gap(&clients[5]);
        assert_non_null(clients[4].gen);
        if (gap > target + 28 * sim.row_ns)
            fail_msg("row %lld: gap %lld target %lld", (long long)sim.row_ns, (long long)gap, (long long)target);
        gap = longest_gap(&clients[0]);
        assert_true(gap <= target + 28 * sim.row_ns);
        finish_all();
    }
}

/* Rows are exact where nothing was cut short: each token once, but what was taken over. */
static void prefix_accounting_is_exact(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed < 200; seed++) {
        uint64_t expected = 0;
        begin(seed, roomy, seed % 2 == 0);
        for (int i = 0; i < 40; i++) {
            struct client *c = &clients[i];
            client_prompt(c, 60);
            client_submit(c, 1 + sim_random(6));
            for (int t = sim_random(4); t > 0; t--)
                turn();
        }
        struct batch_stats s = batch->stats;
        while (!nobody_left())
            turn();
        s = batch->stats;
        /* every prompt token that was not cached, and every generated one but the last of each */
        expected = s.prompt_tokens - s.cached_tokens + s.generated_tokens - 40;
        assert_int_equal(s.preemptions, 0);
        assert_int_equal(s.decoded_rows, expected);
        assert_int_equal(sim.rows_computed, expected);
        finish_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sixteen_compute_a_prefix_once),
        cmocka_unit_test(a_later_one_takes_over_what_runs),
        cmocka_unit_test(a_long_prompt_freezes_nobody),
        cmocka_unit_test(prefix_accounting_is_exact),
        cmocka_unit_test_teardown(whatever_comes_nothing_is_lost, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
