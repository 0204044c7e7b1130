/* engine/front_stream.c: an answer as server-sent events, pulled by the HTTP server. Each event of the batch
 * loop becomes its chunks and is sent at once. */
#include "base/limits.h"
#include "engine/job.h"

#include <string.h>

/* The first chunk of a choice: the role (chat) or the echoed prompt (completions, if asked). */
static bool stream_open_choice(struct job *job, size_t choice)
{
    struct job_choice *c = &job->choices[choice];
    if (c->opened)
        return true;
    c->opened = true;
    const char *echo = job->prompts[c->prompt].echo;
    if (job->in.kind == OPENAI_COMPLETION && echo == NULL)
        return true;
    struct openai_chunk chunk = {
        .index = choice, .opening = true, .text = echo, .text_len = echo == NULL ? 0 : strlen(echo)};
    return openai_event_chunk(&job->out, &job->head, &chunk);
}

struct stream_parts {
    struct job *job;
    size_t choice;
    bool logprobs; /* still to be told: they go with the first part */
};

static bool stream_part(void *ctx, const struct openai_part *part)
{
    struct stream_parts *s = ctx;
    struct job_choice *c = &s->job->choices[s->choice];
    struct openai_chunk chunk = {.index = s->choice, .part = part, .logprobs = s->logprobs ? &c->logprobs : NULL};
    c->n_calls += part->kind == OPENAI_PART_CALL;
    if (!openai_event_chunk(&s->job->out, &s->job->head, &chunk))
        return false;
    if (s->logprobs)
        openai_logprobs_clear(&c->logprobs);
    s->logprobs = false;
    return true;
}

/* Logprobs of text that is no part of the message yet wait for the next part. */
static bool stream_apply(struct job *job, size_t choice, const struct gen_event *event)
{
    struct job_choice *c = &job->choices[choice];
    bool logprobs = job->in.sampling.top_logprobs != OPENAI_UNSET;
    if (!stream_open_choice(job, choice) || !job_add_logprobs(&c->logprobs, event))
        return false;
    if (c->reader != NULL) {
        struct stream_parts parts = {job, choice, logprobs};
        return job_read(job, choice, event, stream_part, &parts);
    }
    struct openai_chunk chunk = {
        .index = choice,
        .text = event->text,
        .text_len = event->text_len,
        .logprobs = logprobs ? &c->logprobs : NULL,
    };
    bool ok = openai_event_chunk(&job->out, &job->head, &chunk);
    openai_logprobs_clear(&c->logprobs);
    return ok;
}

/* After the last choice has ended: the usage, if asked for, and the end mark. */
static bool stream_close_answer(struct job *job, const struct openai_usage *usage, const struct openai_timings *timings)
{
    job->closing = true;
    if (job->in.include_usage && !openai_event_usage(&job->out, &job->head, usage, timings))
        return false;
    return openai_event_done(&job->out);
}

static bool stream_finish_choice(struct job *job, size_t choice)
{
    struct openai_usage usage;
    struct openai_timings timings;
    bool last = job->n_running == 0;
    bool rest = job->choices[choice].reader != NULL && job->choices[choice].logprobs.columns[0].len > 0;
    job_usage(job, &usage, &timings);
    struct openai_chunk chunk = {
        .index = choice,
        .finish = job->choices[choice].finish,
        .logprobs = rest ? &job->choices[choice].logprobs : NULL,
        .timings = last && !job->in.include_usage ? &timings : NULL,
    };
    if (!stream_open_choice(job, choice) || !openai_event_chunk(&job->out, &job->head, &chunk))
        return false;
    return !last || stream_close_answer(job, &usage, &timings);
}

/* One event into `out`, and what the end of a choice adds to it. */
static bool stream_step(struct job *job, struct err *err)
{
    size_t ended = JOB_NONE;
    if (!job_wait(job, stream_apply, &ended, err))
        return false;
    return ended == JOB_NONE || stream_finish_choice(job, ended) ||
           err_set(err, ERR_TOO_LARGE, "the answer is larger than %d bytes", (int)LIMIT_ANSWER_BYTES);
}

static ssize_t stream_read(void *ctx, char *dst, size_t max)
{
    struct job *job = ctx;
    struct err err = ERR_INIT;
    while (job->out_sent == job->out.len) {
        if (job->closing)
            return 0;
        buf_clear(&job->out);
        job->out_sent = 0;
        if (stream_step(job, &err))
            continue;
        if (err.code == ERR_CANCELLED)
            return -1;
        job->closing = true;
        buf_clear(&job->out);
        if (!openai_event_error(&job->out, &err))
            return -1;
    }
    size_t left = job->out.len - job->out_sent;
    size_t n = left < max ? left : max;
    memcpy(dst, job->out.data + job->out_sent, n);
    job->out_sent += n;
    return (ssize_t)n;
}

static void stream_close(void *ctx)
{
    struct job *job = ctx;
    job_free(&job);
}

/* The status line waits for the first event: what fails before it is an error with a status of its own. */
void job_answer_stream(struct job *job)
{
    struct err err = ERR_INIT;
    while (job->out.len == 0) {
        if (stream_step(job, &err))
            continue;
        http_reply_error(job->req, &err);
        job_free(&job);
        return;
    }
    http_set_header(job->req, "Cache-Control", "no-cache");
    http_reply_stream(job->req, 200, "text/event-stream", (struct http_stream){stream_read, stream_close, job});
}
