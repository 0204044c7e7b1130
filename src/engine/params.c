/* engine/params.c: see params.h. */
#include "engine/params.h"

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
