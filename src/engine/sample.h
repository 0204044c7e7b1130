/* engine/sample: from a row of logits to a token.
 *
 *   scratch = sample_scratch_new(n_vocab)                 one per batch thread
 *   sampler_init(&s, &params, bias, n_bias)               per request
 *   token = sample_token(&s, scratch, logits, window, n_window)
 *   sample_logprobs(scratch, logits, token, n_top, …)     of the same, raw row
 *
 * Order, as llama.cpp's: logit bias; repeat, presence and frequency penalties over the last
 * repeat_last_n tokens; top_k, top_p, min_p at temperature 1; temperature; a draw. With further samplers the order is
 * that of sample_chain.h. Temperature 0 is the highest logit, the lowest id on a tie. The row is changed in between and
 * is as before at return.
 *
 * A draw depends on the seed, the number of draws before it and the row alone: not on the batch.
 * NaN counts as minus infinity. Pure; our own loops over the float row instead of llama.cpp's chain,
 * which builds and sorts an array of 128,000 candidates (engine.md 7). Tests: sample_test.c.
 */
#ifndef TUG_ENGINE_SAMPLE_H
#define TUG_ENGINE_SAMPLE_H

#include "engine/batch.h"

#include <stddef.h>
#include <stdint.h>

struct sample_scratch;

struct sample_scratch *sample_scratch_new(int32_t n_vocab);
void sample_scratch_free(struct sample_scratch **s);

/* What bounds the tokens (guide.h). The token is drawn first and looked at then: mostly it is allowed. */
struct guided;

struct sampler {
    const struct gen_params *params; /* borrowed, as its bias */
    const int32_t *banned;           /* never chosen (end tokens with ignore_eos); borrowed */
    size_t n_banned;
    struct guided *guided; /* NULL: every token is allowed */
    uint64_t random[2];
    double mirostat; /* its memory */
};

void sampler_init(struct sampler *s, const struct gen_params *params, uint64_t seed);
/* window: the tokens so far, the newest last; only the last repeat_last_n count. -1: the guide leaves no token. */
int32_t sample_token(struct sampler *s, struct sample_scratch *scratch, float *logits, const int32_t *window,
                     size_t n_window);

struct sample_alternative {
    int32_t token;
    float logprob;
};
/* log softmax of the raw row: the token's own, and the n_top highest, best first. Returns how many there are. */
size_t sample_logprobs(struct sample_scratch *scratch, const float *logits, int32_t token, size_t n_top,
                       float *ret_logprob, struct sample_alternative *ret_top);

#endif
