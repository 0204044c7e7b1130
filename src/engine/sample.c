/* engine/sample.c: see sample.h. The full row is only ever scanned, four floats at a time; what is
 * sorted is the few candidates that a scan left. */
#include "engine/sample.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "engine/guide.h"

#include <math.h>
#include <string.h>

typedef float f4 __attribute__((vector_size(16)));
typedef int32_t i4 __attribute__((vector_size(16)));

struct candidate {
    float logit, weight;
    int32_t token;
};

struct undo {
    int32_t token;
    float logit;
};

struct sample_scratch {
    int32_t n_vocab;
    uint32_t *counts; /* of each token in the window; zero between calls */
    float *weights;
    float *bound;                 /* a row without what the guide does not allow */
    struct candidate *candidates; /* n_vocab, the worst case */
    struct undo *undo;
    size_t n_undo, cap_undo;
};

struct sample_scratch *sample_scratch_new(int32_t n_vocab)
{
    CHECK(n_vocab > 0);
    struct sample_scratch *s = check_alloc(calloc(1, sizeof *s));
    s->n_vocab = n_vocab;
    s->counts = check_alloc(calloc((size_t)n_vocab, sizeof *s->counts));
    s->weights = check_alloc(calloc((size_t)n_vocab + 4, sizeof *s->weights));
    s->bound = check_alloc(calloc((size_t)n_vocab, sizeof *s->bound));
    s->candidates = check_alloc(calloc((size_t)n_vocab, sizeof *s->candidates));
    return s;
}

void sample_scratch_free(struct sample_scratch **s)
{
    if (*s == NULL)
        return;
    free((*s)->counts);
    free((*s)->weights);
    free((*s)->bound);
    free((*s)->candidates);
    free((*s)->undo);
    free(*s);
    *s = NULL;
}

/* ---- random numbers: xoroshiro128+ (Blackman, Vigna), seeded by splitmix64 ---- */

static uint64_t random_mix(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, int n) { return (x << n) | (x >> (64 - n)); }

/* In [0, 1). */
static double sampler_draw(struct sampler *s)
{
    uint64_t a = s->random[0];
    uint64_t b = s->random[1];
    uint64_t sum = a + b;
    b ^= a;
    s->random[0] = rotate(a, 24) ^ b ^ (b << 16);
    s->random[1] = rotate(b, 37);
    return (double)(sum >> 11) * 0x1.0p-53;
}

void sampler_init(struct sampler *s, const struct gen_params *params, uint64_t seed)
{
    *s = (struct sampler){.params = params};
    s->random[0] = random_mix(&seed);
    s->random[1] = random_mix(&seed);
}

/* ---- scans of a whole row ---- */

static f4 row_load(const float *p)
{
    f4 v;
    memcpy(&v, p, sizeof v);
    return v;
}

static f4 row_higher(f4 a, f4 b) /* b where it is higher; a NaN in b never is */
{
    i4 higher = b > a;
    return (f4)((higher & (i4)b) | (~higher & (i4)a));
}

static float row_max(const float *logits, int32_t n)
{
    f4 m[4];
    float best = -INFINITY;
    for (int lane = 0; lane < 4; lane++)
        m[lane] = (f4){-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    int32_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int lane = 0; lane < 4; lane++)
            m[lane] = row_higher(m[lane], row_load(logits + i + (ptrdiff_t)4 * lane));
    for (int lane = 0; lane < 16; lane++)
        best = m[lane / 4][lane % 4] > best ? m[lane / 4][lane % 4] : best;
    for (; i < n; i++)
        best = logits[i] > best ? logits[i] : best;
    return best;
}

static int32_t row_argmax(const float *logits, int32_t n)
{
    float best = row_max(logits, n);
    for (int32_t i = 0; i < n; i++)
        if (logits[i] == best)
            return i;
    return 0; /* nothing but NaN */
}

/* e^x for x <= 0, to 1e-7 relative; below -87 and for NaN as good as nothing. Vectorizes where expf does not. */
static f4 row_exp(f4 x)
{
    const f4 lowest = {-87, -87, -87, -87};
    f4 t = row_higher(lowest, x) * 1.44269504088896341f;
    i4 whole = __builtin_convertvector(t - 0.5f, i4);
    f4 f = (t - __builtin_convertvector(whole, f4)) * 0.693147180559945309f;
    f4 p = f * (1.0f / 720) + 1.0f / 120;
    p = p * f + 1.0f / 24;
    p = p * f + 1.0f / 6;
    p = p * f + 0.5f;
    p = p * f + 1;
    p = p * f + 1;
    i4 visible = x > lowest;
    return (f4)(((i4)p + (whole << 23)) & visible);
}

/* The sum of e^((logit - max) * scale); each weight is stored when `weights` is given. */
static double row_exp_sum(const float *logits, int32_t n, float max, float scale, float *weights)
{
    double sum = 0;
    for (int32_t block = 0; block < n; block += 1024) {
        f4 part = {0, 0, 0, 0};
        int32_t end = n - block < 1024 ? n : block + 1024;
        for (int32_t i = block; i < end; i += 4) {
            f4 x = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
            memcpy(&x, logits + i, (size_t)(end - i < 4 ? end - i : 4) * sizeof *logits);
            f4 w = row_exp((x - max) * scale);
            if (weights != NULL)
                memcpy(weights + i, &w, sizeof w); /* has room for 4 more */
            part += w;
        }
        sum += (double)part[0] + (double)part[1] + (double)part[2] + (double)part[3];
    }
    return sum;
}

/* ---- candidates ---- */

static bool candidate_before(const struct candidate *a, const struct candidate *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->token < b->token);
}

static int candidate_compare(const void *a, const void *b)
{
    if (candidate_before(a, b))
        return -1;
    return candidate_before(b, a) ? 1 : 0;
}

/* A heap with the worst candidate on top: sinks the one at i to its place. */
static void heap_sink(struct candidate *heap, size_t n, size_t i)
{
    struct candidate moved = heap[i];
    for (size_t child = 2 * i + 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && candidate_before(&heap[child], &heap[child + 1]))
            child++;
        if (!candidate_before(&moved, &heap[child]))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moved;
}

/* The k highest, best first. NaN and minus infinity are never among them; returns how many there are. */
static size_t row_top(const float *logits, int32_t n_vocab, size_t k, struct candidate *ret)
{
    size_t n = 0;
    int32_t i = 0;
    for (; i < n_vocab && n < k; i++)
        if (logits[i] > -INFINITY)
            ret[n++] = (struct candidate){.logit = logits[i], .token = i};
    for (size_t j = n / 2; j-- > 0;)
        heap_sink(ret, n, j);
    while (i < n_vocab && n > 0) {
        const float least = ret[0].logit;
        if (i + 4 <= n_vocab) {
            i4 higher = row_load(logits + i) > least;
            if ((higher[0] | higher[1] | higher[2] | higher[3]) == 0) {
                i += 4;
                continue;
            }
        }
        if (logits[i] > least) {
            ret[0] = (struct candidate){.logit = logits[i], .token = i};
            heap_sink(ret, n, 0);
        }
        i++;
    }
    qsort(ret, n, sizeof *ret, candidate_compare);
    return n;
}

static size_t row_above(const float *logits, int32_t n_vocab, float least, struct candidate *ret)
{
    size_t n = 0;
    for (int32_t i = 0; i < n_vocab; i++)
        if (logits[i] >= least)
            ret[n++] = (struct candidate){.logit = logits[i], .token = i};
    qsort(ret, n, sizeof *ret, candidate_compare);
    return n;
}

/* The shortest beginning of the sorted candidates with at least top_p of `whole`. 0: they do not reach it. */
static size_t candidates_top_p(const struct candidate *candidates, size_t n, double top_p, double whole)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += exp((double)candidates[i].logit - (double)candidates[0].logit);
        if (sum >= top_p * whole)
            return i + 1;
    }
    return 0;
}

static size_t candidates_min_p(const struct candidate *candidates, size_t n, float least)
{
    while (n > 1 && candidates[n - 1].logit < least)
        n--;
    return n;
}

/* top_p of the whole row without sorting it: more and more of the highest, until they have enough. */
static size_t row_top_p(struct sample_scratch *s, const float *logits, float max, double top_p)
{
    double whole = row_exp_sum(logits, s->n_vocab, max, 1, NULL);
    for (size_t k = 1024;; k *= 8) {
        size_t n = row_top(logits, s->n_vocab, k, s->candidates);
        size_t enough = candidates_top_p(s->candidates, n, top_p, whole);
        if (enough > 0 || n < k || k >= (size_t)s->n_vocab)
            return enough > 0 ? enough : n;
    }
}

/* Fills the candidates by top_k, top_p and min_p; 0: none of them limits, the whole row is wanted. */
static size_t sample_candidates(const struct gen_params *p, struct sample_scratch *s, const float *logits, float max)
{
    const float least = p->min_p > 0 ? max + (float)log(p->min_p) : -INFINITY;
    size_t n;
    if (p->top_k > 0 && p->top_k < s->n_vocab) {
        n = row_top(logits, s->n_vocab, (size_t)p->top_k, s->candidates);
        if (n > 0 && p->top_p < 1) {
            double whole = 0;
            for (size_t i = 0; i < n; i++)
                whole += exp((double)s->candidates[i].logit - (double)max);
            size_t enough = candidates_top_p(s->candidates, n, p->top_p, whole);
            n = enough > 0 ? enough : n;
        }
    } else if (p->min_p > 0) {
        n = row_above(logits, s->n_vocab, least, s->candidates);
        if (n > 0 && p->top_p < 1) {
            size_t enough = candidates_top_p(s->candidates, n, p->top_p, row_exp_sum(logits, s->n_vocab, max, 1, NULL));
            n = enough > 0 ? enough : n;
        }
    } else if (p->top_p < 1) {
        n = row_top_p(s, logits, max, p->top_p);
    } else {
        return 0;
    }
    return candidates_min_p(s->candidates, n, least);
}

static int32_t sample_draw_candidates(struct sampler *s, struct candidate *candidates, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double x = ((double)candidates[i].logit - (double)candidates[0].logit) / s->params->temperature;
        candidates[i].weight = (float)exp(x);
        sum += (double)candidates[i].weight;
    }
    double left = sampler_draw(s) * sum;
    for (size_t i = 0; i < n; i++) {
        left -= (double)candidates[i].weight;
        if (left < 0)
            return candidates[i].token;
    }
    return candidates[n - 1].token; /* rounding */
}

static int32_t sample_draw_row(struct sampler *s, struct sample_scratch *scratch, const float *logits, float max)
{
    float scale = (float)(1 / s->params->temperature);
    double left = sampler_draw(s) * row_exp_sum(logits, scratch->n_vocab, max, scale, scratch->weights);
    int32_t last = row_argmax(logits, scratch->n_vocab);
    for (int32_t i = 0; i < scratch->n_vocab; i++) {
        if (scratch->weights[i] <= 0)
            continue;
        last = i;
        left -= (double)scratch->weights[i];
        if (left < 0)
            break;
    }
    return last;
}

/* ---- changes to the row, and undoing them ---- */

static void row_set(struct sample_scratch *s, float *logits, int32_t token, float logit)
{
    if (s->n_undo == s->cap_undo) {
        s->cap_undo = s->cap_undo < 64 ? 64 : s->cap_undo * 2;
        s->undo = check_alloc(realloc(s->undo, s->cap_undo * sizeof *s->undo));
    }
    s->undo[s->n_undo++] = (struct undo){token, logits[token]};
    logits[token] = logit;
}

static void row_undo(struct sample_scratch *s, float *logits)
{
    while (s->n_undo > 0) {
        const struct undo *u = &s->undo[--s->n_undo];
        logits[u->token] = u->logit;
    }
}

static void row_bias(const struct sampler *s, struct sample_scratch *scratch, float *logits)
{
    for (size_t i = 0; i < s->params->n_bias; i++) {
        const struct token_bias *b = &s->params->bias[i];
        if (b->token >= 0 && b->token < scratch->n_vocab)
            row_set(scratch, logits, b->token, b->bias <= -100 ? -INFINITY : logits[b->token] + b->bias);
    }
    for (size_t i = 0; i < s->n_banned; i++)
        row_set(scratch, logits, s->banned[i], -INFINITY);
}

static void row_penalize(const struct gen_params *p, struct sample_scratch *s, float *logits, const int32_t *window,
                         size_t n)
{
    size_t last = p->repeat_last_n < 0 ? n : (size_t)p->repeat_last_n;
    if (last == 0 || (p->repeat_penalty == 1 && p->presence_penalty == 0 && p->frequency_penalty == 0))
        return;
    if (last < n) {
        window += n - last;
        n = last;
    }
    for (size_t i = 0; i < n; i++)
        s->counts[window[i]]++;
    for (size_t i = 0; i < n; i++) {
        int32_t token = window[i];
        if (s->counts[token] == 0)
            continue; /* done already */
        double logit = (double)logits[token];
        logit = logit <= 0 ? logit * p->repeat_penalty : logit / p->repeat_penalty;
        logit -= s->counts[token] * p->frequency_penalty + p->presence_penalty;
        row_set(s, logits, token, (float)logit);
        s->counts[token] = 0;
    }
}

enum { CHAIN_TOKENS = 8192 }; /* the likeliest: what is beyond has no chance worth sorting for */

static double row_deviation(const float *logits, int32_t n)
{
    double sum = 0;
    double squares = 0;
    int32_t count = 0;
    for (int32_t i = 0; i < n; i++) {
        if (!isfinite(logits[i]))
            continue;
        sum += (double)logits[i];
        squares += (double)logits[i] * (double)logits[i];
        count++;
    }
    double mean = count > 0 ? sum / count : 0;
    double variance = count > 0 ? squares / count - mean * mean : 0;
    return variance > 0 ? sqrt(variance) : 0;
}

static double chain_draw(void *ctx) { return sampler_draw(ctx); }

static int32_t sample_by_chain(struct sampler *s, struct sample_scratch *scratch, const float *logits)
{
    const struct gen_params *p = s->params;
    size_t n = row_top(logits, scratch->n_vocab, CHAIN_TOKENS, scratch->candidates);
    if (n == 0)
        return row_argmax(logits, scratch->n_vocab);
    _cleanup_free_ struct chain_token *tokens = check_alloc(malloc(n * sizeof *tokens));
    for (size_t i = 0; i < n; i++)
        tokens[i] =
            (struct chain_token){.token = scratch->candidates[i].token, .logit = (double)scratch->candidates[i].logit};
    struct chain_wishes w = {.temperature = p->temperature,
                             .top_p = p->top_p,
                             .min_p = p->min_p,
                             .top_k = p->top_k,
                             .n_vocab = scratch->n_vocab,
                             .draw = chain_draw,
                             .ctx = s};
    w.sigma = p->chain.top_n_sigma > 0 ? row_deviation(logits, scratch->n_vocab) : 0;
    return chain_choose(&p->chain, &w, tokens, n, &s->mirostat);
}

/* A token of a row that has its bias and penalties. */
static int32_t sample_choose(struct sampler *s, struct sample_scratch *scratch, const float *logits)
{
    float max = s->params->temperature > 0 ? row_max(logits, scratch->n_vocab) : 0;
    if (s->params->temperature <= 0 || !isfinite(max))
        return row_argmax(logits, scratch->n_vocab);
    if (s->params->chain.used)
        return sample_by_chain(s, scratch, logits);
    size_t n = sample_candidates(s->params, scratch, logits, max);
    return n > 0 ? sample_draw_candidates(s, scratch->candidates, n) : sample_draw_row(s, scratch, logits, max);
}

enum { BOUND_TRIES = 16 };

/* `token` is not allowed: another one, of a row without those that are not. */
static int32_t sample_bound(struct sampler *s, struct sample_scratch *scratch, const float *logits, int32_t token)
{
    memcpy(scratch->bound, logits, (size_t)scratch->n_vocab * sizeof *logits);
    for (int i = 0; i < BOUND_TRIES; i++) {
        if (guided_restrict(s->guided, token, scratch->bound) == 0)
            return -1;
        token = sample_choose(s, scratch, scratch->bound);
        if (guided_allows(s->guided, token))
            return token;
    }
    return -1;
}

int32_t sample_token(struct sampler *s, struct sample_scratch *scratch, float *logits, const int32_t *window,
                     size_t n_window)
{
    int32_t token;
    if (s->guided != NULL && guided_forced(s->guided, &token))
        return token;
    row_bias(s, scratch, logits);
    if (!s->params->chain.no_penalties)
        row_penalize(s->params, scratch, logits, window, n_window);
    token = sample_choose(s, scratch, logits);
    if (s->guided != NULL && !guided_allows(s->guided, token))
        token = sample_bound(s, scratch, logits, token);
    row_undo(scratch, logits);
    return token;
}

/* JSON has no infinity; OpenAI's value for "never". */
static float logprob_of(float logit, double whole)
{
    float logprob = (float)((double)logit - whole);
    return logprob > -9999 ? logprob : -9999;
}

size_t sample_logprobs(struct sample_scratch *scratch, const float *logits, int32_t token, size_t n_top,
                       float *ret_logprob, struct sample_alternative *ret_top)
{
    float max = row_max(logits, scratch->n_vocab);
    double whole = (double)max + log(row_exp_sum(logits, scratch->n_vocab, max, 1, NULL));
    size_t n = n_top > 0 ? row_top(logits, scratch->n_vocab, n_top, scratch->candidates) : 0;
    for (size_t i = 0; i < n; i++)
        ret_top[i] =
            (struct sample_alternative){scratch->candidates[i].token, logprob_of(scratch->candidates[i].logit, whole)};
    *ret_logprob = logprob_of(logits[token], whole);
    return n;
}
