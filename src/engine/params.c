/* engine/params.c: see params.h. */
#include "engine/params.h"

#include <inttypes.h>
#include <math.h>

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

static void params_stops(const struct openai_sampling *s, const char *lines, struct arena *a, struct gen_params *p)
{
    size_t more = 0;
    for (const char *c = lines; c != NULL && *c != '\0'; c++)
        more += *c == '\n' || c[1] == '\0';
    const char **stops = arena_array(a, s->n_stops + more, sizeof *stops);
    size_t n = 0;
    for (; n < s->n_stops; n++)
        stops[n] = s->stops[n];
    while (lines != NULL && *lines != '\0') {
        size_t len = strcspn(lines, "\n");
        if (len > 0)
            stops[n++] = arena_strndup(a, lines, len);
        lines += len + (lines[len] == '\n');
    }
    p->stops = stops;
    p->n_stops = n;
}

bool params_make(const struct openai_request *r, const struct gen_params *defaults, const struct model_info *model,
                 const char *stop_lines, struct arena *a, struct gen_params *ret_params, struct err *err)
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
    set_int(&p.top_logprobs, s->top_logprobs);
    if (s->seed != OPENAI_UNSET) {
        p.seed_set = true;
        p.seed = (uint64_t)s->seed;
    }
    p.ignore_eos = p.ignore_eos || s->ignore_eos;
    if (!params_bias(s, model, a, &p, err))
        return false;
    params_stops(s, stop_lines, a, &p);
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
