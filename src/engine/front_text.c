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

/* The request's variables over those that the engine was started with. */
static bool chat_kwargs(const struct job *job, const char **ret_kwargs, struct err *err)
{
    const char *mine = job->in.template_kwargs_json, *defaults = job->front->template_kwargs;
    _cleanup_(json_free) json_t *all = NULL, *over = NULL;
    *ret_kwargs = mine != NULL ? mine : defaults;
    if (mine == NULL || defaults == NULL)
        return true;
    if (!json_parse(defaults, strlen(defaults), &all, err) || !json_parse(mine, strlen(mine), &over, err))
        return false;
    json_object_update(all, over);
    _cleanup_free_ char *text = json_dumps(all, JSON_COMPACT);
    *ret_kwargs = arena_strdup(&job->req->arena, check_alloc(text));
    return true;
}

static bool chat_prompt(struct job *job, char **ret_stop_lines, struct err *err)
{
    _cleanup_free_ char *prompt = NULL;
    char *stops = NULL;
    const char *kwargs = NULL;
    char why[ERR_TEXT_MAX / 2] = "";
    int32_t *tokens = NULL;
    size_t n = 0;
    if (!front_messages_fit(job->front, job->in.messages_json, err))
        return false;
    if (!chat_kwargs(job, &kwargs, err))
        return false;
    if (!chat_render(job->front->templates, job->in.messages_json, kwargs, &prompt, &stops, why, sizeof why))
        return err_param(err, "messages", "the model's chat template refuses these messages: %s", why);
    *ret_stop_lines = stops;
    if (!front_tokenize(job->front, prompt, &tokens, &n, err))
        return false;
    job_add_prompt(job, tokens, n, NULL);
    return true;
}

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
    job_add_prompt(job, tokens, n, echo_text(job, p));
    return n > 0 || err_param(err, "prompt", "`prompt` is empty, and this model has no token to begin a text with");
}

static bool text_submit(struct job *job, struct err *err)
{
    _cleanup_free_ char *stop_lines = NULL;
    struct gen_params params;
    const struct model_info *model = model_get_info(job->front->model);
    if (job->in.kind == OPENAI_CHAT && !chat_prompt(job, &stop_lines, err))
        return false;
    for (size_t i = 0; job->in.kind == OPENAI_COMPLETION && i < job->in.n_prompts; i++)
        if (!completion_prompt(job, &job->in.prompts[i], err))
            return false;
    return params_make(&job->in, &job->front->defaults, model, stop_lines, &job->req->arena, &params, err) &&
           job_submit(job, &params, err);
}

/* ---- one piece ---- */

static bool whole_apply(struct job *job, size_t choice, const struct gen_event *event)
{
    struct job_choice *c = &job->choices[choice];
    return buf_add(&c->text, event->text, event->text_len) && job_add_logprobs(&c->logprobs, event);
}

static bool whole_write(struct job *job, struct buf *out)
{
    struct openai_usage usage;
    struct openai_timings timings;
    struct openai_choice *choices = arena_array(&job->req->arena, job->n_choices, sizeof *choices);
    for (size_t i = 0; i < job->n_choices; i++) {
        const struct job_choice *c = &job->choices[i];
        choices[i] = (struct openai_choice){
            .text = buf_str(&c->text),
            .text_len = c->text.len,
            .logprobs = job->in.sampling.top_logprobs == OPENAI_UNSET ? NULL : &c->logprobs,
            .finish = c->finish,
        };
    }
    job_usage(job, &usage, &timings);
    return openai_write_answer(out, &job->head, choices, job->n_choices, &usage, &timings);
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
