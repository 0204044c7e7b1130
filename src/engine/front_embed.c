/* engine/front_embed.c: embeddings. Up to LIMIT_EMBEDDING_INPUTS texts; EMBED_WINDOW of them are in the engine at a
 * time, so that one client's list does not fill everybody's queue. */
#include "engine/front.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "engine/params.h"
#include "openai/answer.h"

#include <math.h>
#include <string.h>

enum { EMBED_WINDOW = 32, VECTORS_MAX_BYTES = LIMIT_ARENA_BYTES / 2 };

struct embed {
    struct front *front;
    struct http_request *req;
    const struct openai_request *in;
    size_t n_embd;
    float *vectors; /* in->n_prompts rows, the request's arena's */
    size_t next;    /* the first input that is not submitted */
    struct gen *running[EMBED_WINDOW];
    int32_t *tokens[EMBED_WINDOW]; /* of running[i], ours to free */
    size_t input[EMBED_WINDOW];    /* of running[i] */
    size_t n_running;
    int64_t prompt_tokens;
};

/* Takes running[slot] out of the window. */
static void embed_drop(struct embed *e, size_t slot)
{
    gen_free(&e->running[slot]);
    free(e->tokens[slot]);
    e->n_running--;
    e->running[slot] = e->running[e->n_running];
    e->tokens[slot] = e->tokens[e->n_running];
    e->input[slot] = e->input[e->n_running];
}

static void embed_done(struct embed *e)
{
    while (e->n_running > 0)
        embed_drop(e, e->n_running - 1);
}

static bool embed_tokens(const struct embed *e, const struct openai_prompt *p, int32_t **ret_tokens, size_t *ret_n,
                         struct err *err)
{
    if (p->text != NULL)
        return front_tokenize(e->front, p->text, ret_tokens, ret_n, err);
    if (!params_check_tokens(p, model_get_info(e->front->model), "input", err))
        return false;
    *ret_tokens = check_alloc(malloc(p->n_tokens * sizeof **ret_tokens));
    *ret_n = p->n_tokens;
    memcpy(*ret_tokens, p->tokens, p->n_tokens * sizeof **ret_tokens);
    return true;
}

/* The next input into the window. Errors name it. */
static bool embed_submit(struct embed *e, struct err *err)
{
    int32_t *tokens = NULL;
    size_t n = 0;
    if (!embed_tokens(e, &e->in->prompts[e->next], &tokens, &n, err))
        return false;
    struct gen *g = gen_new(e->front->batch);
    e->running[e->n_running] = g;
    e->input[e->n_running] = e->next;
    e->tokens[e->n_running++] = tokens;
    g->params = GEN_PARAMS_DEFAULT;
    g->tokens = tokens;
    g->n_tokens = n;
    g->embed = true;
    (void)text_format(g->id, sizeof g->id, "%s", e->req->id);
    if (!gen_submit(g, err))
        return e->in->n_prompts == 1 ? false : err_while(err, "input[%zu]", e->next);
    e->next++;
    return true;
}

static bool embed_wait(struct embed *e, struct err *err)
{
    struct gen_event event = {0};
    int slot = gen_wait_any(e->running, e->n_running, e->req->client_fd, &event);
    if (slot < 0)
        return err_set(err, ERR_CANCELLED, "the client has gone");
    if (event.kind != GEN_EVENT_END)
        return true;
    if (event.finish == GEN_FAILED) {
        *err = event.err;
        return false;
    }
    if (event.finish == GEN_CANCELLED)
        return err_set(err, ERR_UNAVAILABLE, "the engine is stopping; try again");
    const struct gen *g = e->running[slot];
    memcpy(e->vectors + e->input[slot] * e->n_embd, g->embedding, e->n_embd * sizeof *e->vectors);
    e->prompt_tokens += g->stats.prompt_tokens;
    embed_drop(e, (size_t)slot);
    return true;
}

static bool embed_run(struct embed *e, struct err *err)
{
    while (e->next < e->in->n_prompts || e->n_running > 0) {
        bool room = e->n_running < EMBED_WINDOW && e->next < e->in->n_prompts;
        if (room ? !embed_submit(e, err) : !embed_wait(e, err))
            return false;
    }
    return true;
}

/* Room for the answer, and what only the model can tell. */
static bool embed_prepare(struct embed *e, struct err *err)
{
    int64_t wanted = e->in->dimensions;
    const struct model_info *model = model_get_info(e->front->model);
    if (!model->embedding)
        return err_param(err, "model", "%s writes text and has no embeddings: ask an embedding model", model->alias);
    if (wanted != OPENAI_UNSET && wanted > (int64_t)e->n_embd)
        return err_param(err, "dimensions", "`dimensions` must be at most %zu with this model (got %lld)", e->n_embd,
                         (long long)wanted);
    if (e->in->n_prompts > VECTORS_MAX_BYTES / (e->n_embd * sizeof *e->vectors))
        return err_set(err, ERR_TOO_LARGE, "%zu vectors of this model are too many for one answer: send fewer inputs",
                       e->in->n_prompts);
    e->vectors = arena_array(&e->req->arena, e->in->n_prompts, e->n_embd * sizeof *e->vectors);
    return true;
}

/* The first n numbers of each vector, of length 1 again: what models that were trained for it (Matryoshka) are made
 * for; no GGUF file says which these are. Vectors stay where they are. */
static void embed_shorten(struct embed *e, size_t n)
{
    for (size_t i = 0; i < e->in->n_prompts; i++) {
        float *v = e->vectors + i * e->n_embd;
        double sum = 0;
        for (size_t k = 0; k < n; k++)
            sum += (double)v[k] * (double)v[k];
        float scale = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
        for (size_t k = 0; k < n; k++)
            v[k] *= scale;
    }
}

static bool embed_write(const struct embed *e, struct buf *out)
{
    size_t n = e->in->dimensions == OPENAI_UNSET ? e->n_embd : (size_t)e->in->dimensions;
    const float **rows = arena_array(&e->req->arena, e->in->n_prompts, sizeof *rows);
    const char *model = e->in->model != NULL ? e->in->model : model_get_info(e->front->model)->alias;
    for (size_t i = 0; i < e->in->n_prompts; i++)
        rows[i] = e->vectors + i * e->n_embd;
    return openai_write_embeddings(out, model, rows, e->in->n_prompts, n, e->in->base64, e->prompt_tokens);
}

bool front_vectors(struct http_request *req, const struct openai_prompt *prompts, size_t n, const float **ret_vectors,
                   size_t *ret_n_embd, int64_t *ret_tokens, struct err *err)
{
    struct openai_request in = {.prompts = prompts, .n_prompts = n, .dimensions = OPENAI_UNSET};
    _cleanup_(embed_done) struct embed e = {.front = req->app, .req = req, .in = &in};
    e.n_embd = (size_t)model_get_info(e.front->model)->n_embd;
    if (!embed_prepare(&e, err) || !embed_run(&e, err))
        return false;
    *ret_vectors = e.vectors;
    *ret_n_embd = e.n_embd;
    *ret_tokens = e.prompt_tokens;
    return true;
}

void front_embeddings(struct http_request *req)
{
    _cleanup_(buf_done) struct buf out = BUF_INIT(LIMIT_ANSWER_BYTES);
    struct openai_request in;
    struct err err = ERR_INIT;
    if (!openai_request_parse(OPENAI_EMBEDDING, buf_str(&req->body), req->body.len, &req->arena, &in, &err)) {
        http_reply_error(req, &err);
        return;
    }
    _cleanup_(embed_done) struct embed e = {.front = req->app, .req = req, .in = &in};
    e.n_embd = (size_t)model_get_info(e.front->model)->n_embd;
    if (in.unknown != NULL)
        http_set_header(req, "X-Tug-Warning", arena_printf(&req->arena, "unknown fields ignored: %s", in.unknown));
    bool ok = embed_prepare(&e, &err) && embed_run(&e, &err);
    if (ok && in.dimensions != OPENAI_UNSET)
        embed_shorten(&e, (size_t)in.dimensions);
    if (ok && !embed_write(&e, &out))
        ok = err_set(&err, ERR_TOO_LARGE, "the answer is larger than %d bytes: send fewer inputs, or base64",
                     (int)LIMIT_ANSWER_BYTES);
    if (ok)
        http_reply_json(req, 200, &out);
    else
        http_reply_error(req, &err);
}
