/* engine/front_words.c: the small routes about tokens and prompts: tokenize, detokenize, apply-template. Field names
 * are llama-server's; `count` and `max_model_len` are vLLM's. */
#include "engine/front.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "engine/job.h"
#include "json/json_read.h"
#include "json/json_write.h"

#include <string.h>

static bool body_object(struct http_request *req, json_t **ret_body, struct err *err)
{
    if (!json_parse(buf_str(&req->body), req->body.len, ret_body, err))
        return false;
    return json_is_object(*ret_body) ||
           err_set(err, ERR_INVALID, "the body must be a JSON object, it is %s", json_kind(*ret_body));
}

/* The prompt of a chat request, in the request's arena. */
static bool chat_text(struct http_request *req, const char **ret_prompt, struct err *err)
{
    struct openai_request in;
    struct front *front = req->app;
    if (front->templates == NULL)
        return err_param(err, "messages", "%s is an embedding model: it has no chat template",
                         model_get_info(front->model)->alias);
    if (!openai_request_parse(OPENAI_CHAT, buf_str(&req->body), req->body.len, &req->arena, &in, err))
        return false;
    struct job *job = job_new(front, req, &in);
    bool ok = plan_chat(job, err);
    if (ok)
        *ret_prompt = arena_strdup(&req->arena, chat_prompt_get(job->plan.prompt)->prompt);
    job_free(&job);
    return ok;
}

static void reply(struct http_request *req, bool ok, struct buf *out, const struct err *err)
{
    if (ok)
        http_reply_json(req, 200, out);
    else
        http_reply_error(req, err);
}

static void write_piece(struct json_out *j, const struct front *front, int32_t token)
{
    _cleanup_(buf_done) struct buf piece = BUF_INIT(LIMIT_ANSWER_BYTES);
    (void)model_piece(front->model, token, true, &piece);
    json_open(j, '{');
    json_kv_int(j, "id", token);
    json_key(j, "piece");
    json_strn(j, buf_str(&piece), piece.len);
    json_close(j, '}');
}

static void write_tokens(struct buf *out, const struct front *front, const int32_t *tokens, size_t n, bool pieces)
{
    struct batch_stats stats;
    struct json_out j = JSON_OUT(out);
    batch_get_stats(front->batch, &stats);
    json_open(&j, '{');
    json_key(&j, "tokens");
    json_open(&j, '[');
    for (size_t i = 0; i < n; i++) {
        if (pieces)
            write_piece(&j, front, tokens[i]);
        else
            json_int(&j, tokens[i]);
    }
    json_close(&j, ']');
    json_kv_int(&j, "count", (int64_t)n);
    json_kv_int(&j, "max_model_len", stats.context);
    json_close(&j, '}');
}

static bool tokenize_text(struct http_request *req, const json_t *body, const char **ret_text, bool *ret_special,
                          bool *ret_bos, struct err *err)
{
    const char *text = NULL;
    bool chat = json_object_get(body, "messages") != NULL;
    *ret_special = true;
    *ret_bos = chat;
    if (!json_get_bool(body, "", "parse_special", ret_special, err) ||
        !json_get_bool(body, "", "add_special", ret_bos, err))
        return false;
    if (chat)
        return chat_text(req, ret_text, err);
    static const char *const names[] = {"content", "prompt", "text"};
    for (size_t i = 0; i < 3 && text == NULL; i++)
        if (!json_get_string(body, "", names[i], &text, err))
            return false;
    *ret_text = text;
    return text != NULL || err_param(err, "content", "`content` is missing: the text, or `messages`");
}

void front_tokenize_route(struct http_request *req)
{
    _cleanup_(buf_done) struct buf out = BUF_INIT(LIMIT_ANSWER_BYTES);
    _cleanup_(json_free) json_t *body = NULL;
    _cleanup_free_ int32_t *tokens = NULL;
    struct front *front = req->app;
    struct err err = ERR_INIT;
    const char *text = "";
    bool pieces = false;
    bool special;
    bool bos;
    size_t n = 0;
    bool ok = body_object(req, &body, &err) && json_get_bool(body, "", "with_pieces", &pieces, &err) &&
              tokenize_text(req, body, &text, &special, &bos, &err) && front_text_fits(front, text, &err) &&
              model_tokenize(front->model, text, strlen(text), bos, special, &tokens, &n, &err);
    if (ok)
        write_tokens(&out, front, tokens, n, pieces);
    reply(req, ok, &out, &err);
}

static bool detokenize(struct front *front, const json_t *body, struct buf *text, struct err *err)
{
    const json_t *tokens = NULL;
    int32_t n_vocab = model_get_info(front->model)->n_vocab;
    if (!json_need(body, "", "tokens", err) || !json_get_array(body, "", "tokens", SIZE_MAX, &tokens, err))
        return false;
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        const json_t *token = json_array_get(tokens, i);
        if (!json_is_integer(token) || json_integer_value(token) < 0 || json_integer_value(token) >= n_vocab)
            return err_param(err, "tokens", "`tokens[%zu]` must be a token of this model, 0 to %d", i, n_vocab - 1);
        if (!model_piece(front->model, (int32_t)json_integer_value(token), true, text))
            return err_set(err, ERR_TOO_LARGE, "the text is larger than %d bytes", (int)LIMIT_ANSWER_BYTES);
    }
    return true;
}

void front_detokenize_route(struct http_request *req)
{
    _cleanup_(buf_done) struct buf out = BUF_INIT(LIMIT_ANSWER_BYTES);
    _cleanup_(buf_done) struct buf text = BUF_INIT(LIMIT_ANSWER_BYTES / 8);
    _cleanup_(json_free) json_t *body = NULL;
    struct err err = ERR_INIT;
    bool ok = body_object(req, &body, &err) && detokenize(req->app, body, &text, &err);
    struct json_out j = JSON_OUT(&out);
    json_open(&j, '{');
    json_key(&j, "content");
    json_strn(&j, buf_str(&text), text.len);
    json_close(&j, '}');
    reply(req, ok, &out, &err);
}

void front_template_route(struct http_request *req)
{
    _cleanup_(buf_done) struct buf out = BUF_INIT(LIMIT_ANSWER_BYTES);
    struct err err = ERR_INIT;
    const char *prompt = NULL;
    bool ok = chat_text(req, &prompt, &err);
    struct json_out j = JSON_OUT(&out);
    json_open(&j, '{');
    json_kv_str(&j, "prompt", prompt);
    json_close(&j, '}');
    reply(req, ok, &out, &err);
}
