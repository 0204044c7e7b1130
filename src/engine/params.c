/* engine/params.c: see params.h. */
#include "engine/params.h"

#include "base/check.h"
#include "base/limits.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static void set_number(double *dst, double wanted)
{
    if (!isnan(wanted))
        *dst = wanted;
}

/* The parser's ranges are within int32_t. */
static void set_int(int32_t *dst, int64_t wanted)
{
    if (wanted != OPENAI_UNSET)
        *dst = (int32_t)wanted;
}

static bool params_bias(const struct openai_sampling *s, const struct model_info *model, struct arena *a,
                        struct gen_params *p, struct err *err)
{
    struct token_bias *rows = arena_array(a, s->n_bias, sizeof *rows);
    for (size_t i = 0; i < s->n_bias; i++) {
        if (s->bias[i].token >= model->n_vocab)
            return err_param(err, "logit_bias", "`logit_bias`: this model has no token %" PRId64 ", its last one is %d",
                             s->bias[i].token, (int)model->n_vocab - 1);
        rows[i] = (struct token_bias){(int32_t)s->bias[i].token, (float)s->bias[i].bias};
    }
    p->bias = rows;
    p->n_bias = s->n_bias;
    return true;
}

/* A client's own come first: of the template's, as many as there is room for. */
static void params_stops(const struct openai_sampling *s, const char *const *more, struct arena *a,
                         struct gen_params *p)
{
    const char **stops = arena_array(a, LIMIT_STOP_STRINGS, sizeof *stops);
    size_t n = 0;
    for (; n < s->n_stops; n++)
        stops[n] = s->stops[n];
    for (; more != NULL && *more != NULL && n < LIMIT_STOP_STRINGS; more++)
        if (strlen(*more) <= LIMIT_STOP_BYTES)
            stops[n++] = *more;
    p->stops = stops;
    p->n_stops = n;
}

/* In llama.cpp's names. Penalties come first always, or not at all; dry and infill are not there, and do nothing in its
 * usual order either. */
static bool chain_order(const struct openai_sampling *s, struct sample_chain *c, struct err *err)
{
    static const struct {
        const char *name;
        int step;
    } steps[] = {
        {"top_n_sigma", CHAIN_TOP_N_SIGMA},
        {"top_k", CHAIN_TOP_K},
        {"typ_p", CHAIN_TYPICAL},
        {"typical_p", CHAIN_TYPICAL},
        {"top_p", CHAIN_TOP_P},
        {"min_p", CHAIN_MIN_P},
        {"xtc", CHAIN_XTC},
        {"temperature", CHAIN_TEMPERATURE},
        {"temp", CHAIN_TEMPERATURE},
        {"penalties", CHAIN_STEPS},
        {"dry", CHAIN_STEPS},
        {"infill", CHAIN_STEPS},
    };
    if (s->n_samplers == 0)
        return true;
    c->n_order = 0;
    c->no_penalties = c->used = true;
    for (size_t i = 0; i < s->n_samplers; i++) {
        int step = -1;
        for (size_t k = 0; k < ARRAY_LEN(steps); k++)
            if (strcmp(s->samplers[i], steps[k].name) == 0)
                step = steps[k].step;
        if (step < 0 || c->n_order == CHAIN_STEPS)
            return err_param(err, "samplers",
                             step < 0 ? "`samplers`: there is no \"%.32s\"" : "`samplers`: one comes twice (\"%.32s\")",
                             s->samplers[i]);
        if (strcmp(s->samplers[i], "penalties") == 0)
            c->no_penalties = false;
        if (step < CHAIN_STEPS)
            c->order[c->n_order++] = (uint8_t)step;
    }
    return true;
}

static bool params_chain(const struct openai_sampling *s, struct sample_chain *c, struct err *err)
{
    int32_t min_keep = (int32_t)c->min_keep;
    set_number(&c->top_n_sigma, s->top_n_sigma);
    set_number(&c->typical_p, s->typical_p);
    set_number(&c->xtc_probability, s->xtc_probability);
    set_number(&c->xtc_threshold, s->xtc_threshold);
    set_number(&c->dynatemp_range, s->dynatemp_range);
    set_number(&c->dynatemp_exponent, s->dynatemp_exponent);
    set_number(&c->mirostat_tau, s->mirostat_tau);
    set_number(&c->mirostat_eta, s->mirostat_eta);
    set_int(&c->mirostat, s->mirostat);
    set_int(&min_keep, s->min_keep);
    c->min_keep = (size_t)min_keep;
    c->used = c->top_n_sigma > 0 || c->typical_p < 1 || c->xtc_probability > 0 || c->dynatemp_range > 0 ||
              c->mirostat > 0 || c->min_keep > 1;
    return chain_order(s, c, err);
}

bool params_make(const struct openai_request *r, const struct gen_params *defaults, const struct model_info *model,
                 const char *const *more_stops, struct arena *a, struct gen_params *ret_params, struct err *err)
{
    const struct openai_sampling *s = &r->sampling;
    struct gen_params p = *defaults;
    set_number(&p.temperature, s->temperature);
    set_number(&p.top_p, s->top_p);
    set_number(&p.min_p, s->min_p);
    set_number(&p.repeat_penalty, s->repeat_penalty);
    set_number(&p.presence_penalty, s->presence_penalty);
    set_number(&p.frequency_penalty, s->frequency_penalty);
    set_int(&p.top_k, s->top_k);
    set_int(&p.repeat_last_n, s->repeat_last_n);
    set_int(&p.max_tokens, s->max_tokens);
    set_int(&p.reasoning_budget, s->reasoning_budget);
    set_int(&p.top_logprobs, s->top_logprobs);
    if (s->seed != OPENAI_UNSET) {
        p.seed_set = true;
        p.seed = (uint64_t)s->seed;
    }
    p.ignore_eos = p.ignore_eos || s->ignore_eos;
    if (!params_chain(s, &p.chain, err))
        return false;
    if (!params_bias(s, model, a, &p, err))
        return false;
    params_stops(s, more_stops, a, &p);
    *ret_params = p;
    return true;
}

bool params_check_tokens(const struct openai_prompt *p, const struct model_info *model, const char *where,
                         struct err *err)
{
    for (size_t i = 0; i < p->n_tokens; i++)
        if (p->tokens[i] >= model->n_vocab)
            return err_param(err, where, "`%s`: this model has no token %d, its last one is %d", where,
                             (int)p->tokens[i], (int)model->n_vocab - 1);
    return true;
}
