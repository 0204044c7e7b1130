/* engine/job.c: see job.h. */
#include "engine/job.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/random.h"

#include <string.h>

enum { JOB_ID_CHARS = 29 }; /* as OpenAI's */

struct job *job_new(struct front *front, struct http_request *req, const struct openai_request *in)
{
    struct job *job = check_alloc(calloc(1, sizeof *job));
    const char *model = in->model != NULL ? in->model : model_get_info(front->model)->alias;
    char id[JOB_ID_CHARS + 1];
    random_id(id, JOB_ID_CHARS);
    job->front = front;
    job->req = req;
    job->in = *in;
    job->head = (struct openai_head){
        .kind = in->kind,
        .id = arena_printf(&req->arena, "%s-%s", in->kind == OPENAI_CHAT ? "chatcmpl" : "cmpl", id),
        .model = model,
        .created = clock_wall_ns() / CLOCK_SECOND,
        .service_tier = in->service_tier,
        .include_usage = in->stream && in->include_usage,
    };
    size_t prompts = in->kind == OPENAI_CHAT ? 1 : in->n_prompts;
    job->per_prompt = in->kind == OPENAI_COMPLETION ? in->best_of : in->n;
    size_t n = prompts * (size_t)job->per_prompt;
    job->prompts = check_alloc(calloc(prompts, sizeof *job->prompts));
    job->choices = check_alloc(calloc(n, sizeof *job->choices));
    job->running = check_alloc(calloc(n, sizeof(struct gen *)));
    job->running_choice = check_alloc(calloc(n, sizeof *job->running_choice));
    job->out = BUF_INIT(LIMIT_ANSWER_BYTES);
    return job;
}

void job_add_prompt(struct job *job, int32_t *tokens, size_t n_tokens, const char *echo)
{
    job->prompts[job->n_prompts++] = (struct job_prompt){tokens, n_tokens, echo};
}

bool job_submit(struct job *job, const struct gen_params *params, struct err *err)
{
    size_t n = (size_t)job->per_prompt;
    for (size_t i = 0; i < job->n_prompts * n; i++) {
        struct job_choice *c = &job->choices[job->n_choices++];
        const struct job_prompt *prompt = &job->prompts[i / n];
        c->prompt = i / n;
        c->text = BUF_INIT(LIMIT_ANSWER_BYTES);
        c->raw = c->reasoning = BUF_INIT(LIMIT_ANSWER_BYTES);
        if (job->plan.prompt != NULL)
            c->reader = reader_new(job->plan.prompt, job->plan.own_tools, job->in.parallel_tool_calls);
        openai_logprobs_init(&c->logprobs, job->in.kind);
        c->gen = gen_new(job->front->batch);
        c->gen->params = *params;
        c->gen->params.seed += i % n;
        c->gen->tokens = prompt->tokens;
        c->gen->n_tokens = prompt->n_tokens;
        c->gen->salt = salt_of(&job->front->salt_key, job->in.cache_key);
        (void)text_format(c->gen->id, sizeof c->gen->id, "%s", job->req->id);
        if (!gen_submit(c->gen, err))
            return false;
        job->running[job->n_running] = c->gen;
        job->running_choice[job->n_running++] = i;
    }
    return true;
}

static void job_choice_done(struct job_choice *c)
{
    gen_free(&c->gen);
    reader_free(&c->reader);
    buf_done(&c->text);
    buf_done(&c->raw);
    buf_done(&c->reasoning);
    for (size_t i = 0; c->calls != NULL && i < c->n_calls; i++) {
        free(c->calls[i].id);
        free(c->calls[i].name);
        buf_done(&c->calls[i].arguments);
    }
    free(c->calls);
    openai_logprobs_done(&c->logprobs);
}

void job_free(struct job **job_at)
{
    struct job *job = *job_at;
    if (job == NULL)
        return;
    for (size_t i = 0; i < job->n_choices; i++)
        job_choice_done(&job->choices[i]);
    guide_unref(&job->plan.guide);
    for (size_t i = 0; i < job->n_prompts; i++)
        free(job->prompts[i].tokens);
    free(job->prompts);
    free(job->choices);
    free(job->running);
    free(job->running_choice);
    buf_done(&job->out);
    free(job);
    *job_at = NULL;
}

/* After END: its figures are kept, its place in the engine is free for others. */
static void job_ended(struct job *job, size_t slot)
{
    struct job_choice *c = &job->choices[job->running_choice[slot]];
    if (c->n_calls > 0 && c->finish == OPENAI_FINISH_STOP)
        c->finish = OPENAI_FINISH_TOOLS;
    c->stats = c->gen->stats;
    gen_free(&c->gen);
    job->n_running--;
    for (size_t i = slot; i < job->n_running; i++) {
        job->running[i] = job->running[i + 1];
        job->running_choice[i] = job->running_choice[i + 1];
    }
}

/* Whether an event has something for `apply`. The end has, if there is a reader: what it held back. */
static bool event_says(const struct job_choice *c, const struct gen_event *event)
{
    return event->text_len > 0 || event->n_logprobs > 0 || (event->kind == GEN_EVENT_END && c->reader != NULL);
}

bool job_wait(struct job *job, job_apply *apply, size_t *ret_ended, struct err *err)
{
    struct gen_event event = {0};
    int slot = gen_wait_any(job->running, job->n_running, job->req->client_fd, &event);
    if (slot < 0)
        return err_set(err, ERR_CANCELLED, "the client has gone");
    size_t choice = job->running_choice[slot];
    bool end = event.kind == GEN_EVENT_END;
    if (end && event.finish == GEN_FAILED) {
        if (err != NULL)
            *err = event.err;
        return false;
    }
    if (end && event.finish == GEN_CANCELLED)
        return err_set(err, ERR_UNAVAILABLE, "the engine is stopping; try again");
    if (end)
        job->choices[choice].finish = event.finish == GEN_LENGTH ? OPENAI_FINISH_LENGTH : OPENAI_FINISH_STOP;
    if (event_says(&job->choices[choice], &event) && !apply(job, choice, &event))
        return err_set(err, ERR_TOO_LARGE, "the answer is larger than %d bytes", (int)LIMIT_ANSWER_BYTES);
    if (end)
        job_ended(job, (size_t)slot);
    *ret_ended = end ? choice : JOB_NONE;
    return true;
}

bool job_read(struct job *job, size_t choice, const struct gen_event *event, reader_sink *sink, void *ctx)
{
    struct job_choice *c = &job->choices[choice];
    bool end = event->kind == GEN_EVENT_END;
    enum chat_more more = !end ? CHAT_MORE : c->finish == OPENAI_FINISH_LENGTH ? CHAT_CUT : CHAT_END;
    return reader_feed(c->reader, event->text, event->text_len, more, sink, ctx);
}

static struct openai_token job_token(const struct gen_logprob *l)
{
    return (struct openai_token){l->bytes, l->n_bytes, (double)l->logprob};
}

bool job_add_logprobs(struct openai_logprobs *l, const struct gen_event *event)
{
    struct openai_token top[LIMIT_TOP_LOGPROBS];
    for (size_t i = 0; i < event->n_logprobs; i++) {
        struct openai_token chosen = job_token(&event->logprobs[i]);
        size_t n = event->top_n[i] < LIMIT_TOP_LOGPROBS ? event->top_n[i] : LIMIT_TOP_LOGPROBS;
        for (size_t k = 0; k < n; k++)
            top[k] = job_token(&event->top[i][k]);
        if (!openai_logprobs_add(l, &chosen, top, n))
            return false;
    }
    return true;
}

static double max_double(double a, double b) { return a > b ? a : b; }

/* Choices run side by side: tokens add up, the slowest one's time is the answer's. */
static void usage_add(const struct job_choice *c, struct openai_timings *t)
{
    t->prompt_n += c->stats.prompt_tokens - c->stats.cached_tokens;
    t->cache_n += c->stats.cached_tokens;
    t->predicted_n += c->stats.completion_tokens;
    t->prompt_ms = max_double(t->prompt_ms, (double)c->stats.prefill_ns / 1e6);
    t->predicted_ms = max_double(t->predicted_ms, (double)c->stats.decode_ns / 1e6);
}

void job_usage(const struct job *job, struct openai_usage *ret_usage, struct openai_timings *ret_timings)
{
    struct openai_usage u = {0};
    struct openai_timings t = {0};
    size_t n = (size_t)job->per_prompt;
    for (size_t p = 0; p < job->n_prompts; p++) {
        /* Further choices take the prefix of the first one over: what was there before is the least of all. */
        int64_t cached = INT64_MAX;
        for (size_t i = 0; i < n; i++) {
            const struct job_choice *c = &job->choices[p * n + i];
            usage_add(c, &t);
            u.completion_tokens += c->stats.completion_tokens;
            u.reasoning_tokens += c->stats.reasoning_tokens;
            cached = c->stats.cached_tokens < cached ? c->stats.cached_tokens : cached;
        }
        u.prompt_tokens += job->choices[p * n].stats.prompt_tokens;
        u.cached_tokens += cached;
    }
    *ret_usage = u;
    *ret_timings = t;
}
