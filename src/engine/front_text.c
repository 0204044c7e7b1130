/* engine/front_text.c: chat/completions and completions: from the body to the job, and its answer in one
 * piece. */
#include "engine/front.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "engine/job.h"
#include "engine/params.h"
#include "json/json_read.h"

#include <string.h>

/* ---- the prompt ---- */

static const char *echo_text(struct job *job, const struct openai_prompt *p)
{
    if (!job->in.echo)
        return NULL;
    if (p->text != NULL)
        return p->text;
    _cleanup_(buf_done) struct buf text = BUF_INIT(LIMIT_REQUEST_BODY_BYTES);
    for (size_t i = 0; i < p->n_tokens; i++)
        (void)model_piece(job->front->model, p->tokens[i], true, &text);
    return arena_strdup(&job->req->arena, buf_str(&text));
}

/* Fill in the middle: [BOS] PREFIX prompt SUFFIX suffix MIDDLE. Takes `prompt` over; malloc'd, NULL: err. */
static int32_t *fim_prompt(struct job *job, int32_t *prompt, size_t *n, struct err *err)
{
    _cleanup_free_ int32_t *before = prompt;
    _cleanup_free_ int32_t *behind = NULL;
    const char *suffix = job->in.suffix;
    size_t n_behind = 0;
    struct model_fim fim;
    const struct model_info *model = model_get_info(job->front->model);
    if (!model_get_fim(job->front->model, &fim)) {
        err_param(err, "suffix", "`suffix`: %s has no tokens to fill in the middle with; leave it out", model->alias);
        return NULL;
    }
    if (!model_tokenize(job->front->model, suffix, strlen(suffix), false, false, &behind, &n_behind, err))
        return NULL;
    size_t bos = model->add_bos && *n > 0 ? 1 : 0;
    int32_t *all = check_alloc(malloc((*n + n_behind + 3) * sizeof *all));
    size_t at = 0;
    for (; at < bos; at++)
        all[at] = before[at];
    all[at++] = fim.prefix;
    for (size_t i = bos; i < *n; i++)
        all[at++] = before[i];
    all[at++] = fim.suffix;
    for (size_t i = 0; i < n_behind; i++)
        all[at++] = behind[i];
    all[at++] = fim.middle;
    *n = at;
    return all;
}

static bool completion_prompt(struct job *job, const struct openai_prompt *p, struct err *err)
{
    int32_t *tokens = NULL;
    size_t n = p->n_tokens;
    if (p->text != NULL) {
        if (!front_tokenize(job->front, p->text, &tokens, &n, err))
            return false;
    } else {
        if (!params_check_tokens(p, model_get_info(job->front->model), "prompt", err))
            return false;
        tokens = check_alloc(malloc(n * sizeof *tokens));
        memcpy(tokens, p->tokens, n * sizeof *tokens);
    }
    if (job->in.suffix != NULL && (tokens = fim_prompt(job, tokens, &n, err)) == NULL)
        return false;
    job_add_prompt(job, tokens, n, echo_text(job, p));
    return n > 0 || err_param(err, "prompt", "`prompt` is empty, and this model has no token to begin a text with");
}

static bool text_submit(struct job *job, struct err *err)
{
    struct gen_params params;
    const struct model_info *model = model_get_info(job->front->model);
    if (job->in.kind == OPENAI_CHAT && !plan_chat(job, err))
        return false;
    for (size_t i = 0; job->in.kind == OPENAI_COMPLETION && i < job->in.n_prompts; i++)
        if (!completion_prompt(job, &job->in.prompts[i], err))
            return false;
    if (job->in.kind == OPENAI_COMPLETION && !plan_completion(job, err))
        return false;
    if (!params_make(&job->in, &job->front->defaults, model, job->plan.stops, &job->req->arena, &params, err))
        return false;
    if (job->per_prompt > job->in.n && params.top_logprobs < 0)
        params.top_logprobs = 0; /* to know the best */
    if (job->plan.bound)
        params.guide = job->plan.guide;
    return job_submit(job, &params, err);
}

/* ---- one piece ---- */

static struct job_call *call_new(struct job_choice *c, const struct openai_part *part)
{
    c->calls = check_alloc(realloc(c->calls, (c->n_calls + 1) * sizeof *c->calls));
    struct job_call *call = &c->calls[c->n_calls++];
    call->id = check_alloc(strdup(part->id));
    call->name = check_alloc(strdup(part->name));
    call->arguments = BUF_INIT(LIMIT_ANSWER_BYTES);
    return call;
}

static bool whole_part(void *ctx, const struct openai_part *part)
{
    struct job_choice *c = ctx;
    switch (part->kind) {
    case OPENAI_PART_CONTENT:
        return buf_add(&c->text, part->text, part->n);
    case OPENAI_PART_REASONING:
        return buf_add(&c->reasoning, part->text, part->n);
    case OPENAI_PART_CALL:
        (void)call_new(c, part);
        return true;
    case OPENAI_PART_ARGUMENTS:
        return c->n_calls == 0 || buf_add(&c->calls[c->n_calls - 1].arguments, part->text, part->n);
    }
    return true;
}

static bool whole_apply(struct job *job, size_t choice, const struct gen_event *event)
{
    struct job_choice *c = &job->choices[choice];
    for (size_t i = 0; i < event->n_logprobs; i++)
        c->logprob_sum += (double)event->logprobs[i].logprob;
    c->n_logprobs += event->n_logprobs;
    if (!job_add_logprobs(&c->logprobs, event))
        return false;
    if (c->reader == NULL)
        return buf_add(&c->text, event->text, event->text_len);
    return buf_add(&c->raw, event->text, event->text_len) && job_read(job, choice, event, whole_part, c);
}

/* A call that was cut short has arguments that nobody can read: then the text is all there is. */
static bool calls_are_whole(struct job_choice *c)
{
    for (size_t i = 0; i < c->n_calls; i++) {
        _cleanup_(json_free) json_t *arguments = NULL;
        struct buf *text = &c->calls[i].arguments;
        if (text->len == 0)
            (void)buf_add_str(text, "{}");
        if (!json_parse(buf_str(text), text->len, &arguments, NULL) || !json_is_object(arguments))
            return false;
    }
    return true;
}

static void whole_calls(struct job *job, struct job_choice *c, struct openai_choice *out)
{
    if (!calls_are_whole(c)) {
        out->text = buf_str(&c->raw);
        out->text_len = c->raw.len;
        out->finish = c->finish == OPENAI_FINISH_TOOLS ? OPENAI_FINISH_STOP : c->finish;
        return;
    }
    struct openai_call *calls = arena_array(&job->req->arena, c->n_calls, sizeof *calls);
    for (size_t i = 0; i < c->n_calls; i++)
        calls[i] = (struct openai_call){c->calls[i].id, c->calls[i].name, buf_str(&c->calls[i].arguments)};
    out->calls = calls;
    out->n_calls = c->n_calls;
}

static double choice_likelihood(const struct job_choice *c)
{
    return c->n_logprobs == 0 ? 0 : c->logprob_sum / (double)c->n_logprobs;
}

/* The choices that are answered: of each prompt's the n likeliest by token, in their order. Returns how many. */
static size_t whole_pick(struct job *job, struct job_choice **ret)
{
    size_t n = 0;
    size_t per = (size_t)job->per_prompt;
    for (size_t i = 0; i < job->n_choices; i++) {
        const struct job_choice *group = &job->choices[i / per * per];
        int64_t better = 0;
        for (size_t k = 0; k < per; k++) {
            double other = choice_likelihood(&group[k]);
            double own = choice_likelihood(&job->choices[i]);
            better += other > own || (k < i % per && other >= own);
        }
        if (better < job->in.n)
            ret[n++] = &job->choices[i];
    }
    return n;
}

static bool whole_write(struct job *job, struct buf *out)
{
    struct openai_usage usage;
    struct openai_timings timings;
    struct openai_choice *choices = arena_array(&job->req->arena, job->n_choices, sizeof *choices);
    struct job_choice **picked = arena_array(&job->req->arena, job->n_choices, sizeof(struct job_choice *));
    size_t n = whole_pick(job, picked);
    for (size_t i = 0; i < n; i++) {
        struct job_choice *c = picked[i];
        choices[i] = (struct openai_choice){
            .text = buf_str(&c->text),
            .text_len = c->text.len,
            .reasoning = c->reasoning.len > 0 ? buf_str(&c->reasoning) : NULL,
            .logprobs = job->in.sampling.top_logprobs == OPENAI_UNSET ? NULL : &c->logprobs,
            .finish = c->finish,
        };
        whole_calls(job, c, &choices[i]);
    }
    job_usage(job, &usage, &timings);
    return openai_write_answer(out, &job->head, choices, n, &usage, &timings);
}

static void answer_whole(struct job *job)
{
    _cleanup_(buf_done) struct buf out = BUF_INIT(LIMIT_ANSWER_BYTES);
    struct err err = ERR_INIT;
    size_t ended;
    bool ok = true;
    for (size_t i = 0; ok && i < job->n_choices; i++) {
        const char *echo = job->prompts[job->choices[i].prompt].echo;
        ok = echo == NULL || buf_add_str(&job->choices[i].text, echo);
    }
    while (ok && job->n_running > 0)
        ok = job_wait(job, whole_apply, &ended, &err);
    if (ok && !whole_write(job, &out))
        ok = err_set(&err, ERR_TOO_LARGE, "the answer is larger than %d bytes", (int)LIMIT_ANSWER_BYTES);
    if (ok)
        http_reply_json(job->req, 200, &out);
    else
        http_reply_error(job->req, &err);
    job_free(&job);
}

/* ---- handlers ---- */

static void front_text(struct http_request *req, enum openai_kind kind)
{
    struct front *front = req->app;
    struct openai_request in;
    struct err err = ERR_INIT;
    const struct model_info *model = model_get_info(front->model);
    if (!openai_request_parse(kind, buf_str(&req->body), req->body.len, &req->arena, &in, &err)) {
        http_reply_error(req, &err);
        return;
    }
    if (model->embedding) {
        err_param(&err, "model", "%s is an embedding model and writes no text: use /v1/embeddings", model->alias);
        http_reply_error(req, &err);
        return;
    }
    if (in.unknown != NULL)
        http_set_header(req, "X-Tug-Warning", arena_printf(&req->arena, "unknown fields ignored: %s", in.unknown));
    struct job *job = job_new(front, req, &in);
    if (!text_submit(job, &err)) {
        http_reply_error(req, &err);
        job_free(&job);
    } else if (in.stream) {
        job_answer_stream(job);
    } else {
        answer_whole(job);
    }
}

void front_chat(struct http_request *req) { front_text(req, OPENAI_CHAT); }
void front_completion(struct http_request *req) { front_text(req, OPENAI_COMPLETION); }
