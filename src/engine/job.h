/* engine/job: the choices of one chat or completion request, from submit to the last event.
 *
 *   job = job_new(front, req, &in)                    takes over the request's fields
 *   job_add_prompt(job, tokens, n) for each prompt    n choices each; the job frees the tokens
 *   job_submit(job, err)
 *   while (job->n_running > 0) job_wait(job, on_event, &ended, err)
 *   job_free(&job)                                    any moment: what still runs is cancelled
 *
 * Used by one connection's thread at a time.
 */
#ifndef TUG_ENGINE_JOB_H
#define TUG_ENGINE_JOB_H

#include "engine/chat_plan.h"
#include "engine/front.h"
#include "engine/reader.h"
#include "openai/answer.h"

struct job_choice {
    struct gen *gen; /* NULL once its END was seen */
    size_t prompt;
    bool opened; /* its first chunk has gone out */
    enum openai_finish finish;
    struct gen_stats stats; /* at END */
    struct reader *reader;  /* chat: text to parts of the message; NULL: text is the answer */
    struct buf text;        /* whole answers only: the content; */
    struct buf raw;         /* what the model wrote, when that is more; */
    struct buf reasoning;
    struct job_call *calls; /* and the tool calls */
    double logprob_sum;     /* of the tokens of a whole answer, when they were asked for */
    size_t n_logprobs;
    size_t n_calls; /* streams too: those that have begun */
    struct openai_logprobs logprobs;
};

struct job_call {
    char *id, *name;
    struct buf arguments;
};

struct job_prompt {
    int32_t *tokens;
    size_t n_tokens;
    const char *echo; /* text that goes before the answer; NULL: none */
};

struct job {
    struct front *front;
    struct http_request *req;
    struct openai_request in;
    struct openai_head head;
    struct chat_plan plan;
    struct job_prompt *prompts;
    size_t n_prompts;
    int64_t per_prompt; /* choices that are made for each, n or best_of */
    struct job_choice *choices;
    size_t n_choices;
    struct gen **running; /* of choices that have not ended, in their order */
    size_t *running_choice;
    size_t n_running;
    struct buf out;  /* streams: events that the socket has not taken yet */
    size_t out_sent; /* bytes of `out` that it has */
    bool closing;    /* streams: the last event is in `out` */
};

struct job *job_new(struct front *front, struct http_request *req, const struct openai_request *in);
/* `tokens` is malloc'd and belongs to the job from here. */
void job_add_prompt(struct job *job, int32_t *tokens, size_t n_tokens, const char *echo);
/* One gen for each choice of each prompt, seeds counted up. ERR_BUSY, ERR_CONTEXT and others: nothing runs. */
bool job_submit(struct job *job, const struct gen_params *params, struct err *err);
void job_free(struct job **job);

/* Waits for one event and hands its text to `apply`. *ret_ended: the choice that ended with it, or JOB_NONE. False: the
 * client has gone (ERR_CANCELLED), a choice failed, or `apply` found the answer too large. */
#define JOB_NONE SIZE_MAX
typedef bool job_apply(struct job *job, size_t choice, const struct gen_event *event);
bool job_wait(struct job *job, job_apply *apply, size_t *ret_ended, struct err *err);

/* An event's text through its choice's reader. `apply` is called for an END too when there is one, with the finish
 * known. */
bool job_read(struct job *job, size_t choice, const struct gen_event *event, reader_sink *sink, void *ctx);
/* The chosen tokens of an event and their alternatives, appended. */
bool job_add_logprobs(struct openai_logprobs *l, const struct gen_event *event);
/* Sums over the choices; the prompt counts once for its n choices. Complete when nothing runs. */
void job_usage(const struct job *job, struct openai_usage *ret_usage, struct openai_timings *ret_timings);

/* front_stream.c: answers with server-sent events; the job is freed when the stream ends. */
void job_answer_stream(struct job *job);

#endif
