/* engine/front_info.c: what there is to know of the model and the engine: models, health, props. */
#include "engine/front.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "openai/answer.h"
#include "json/json_write.h"

#include <string.h>

static struct openai_model the_model(const struct front *front)
{
    return (struct openai_model){model_get_info(front->model)->alias, front->created_s, "tug"};
}

void front_models(struct http_request *req)
{
    _cleanup_(buf_done) struct buf out = BUF_INIT(LIMIT_ANSWER_BYTES);
    struct openai_model model = the_model(req->app);
    (void)openai_write_models(&out, &model, 1);
    http_reply_json(req, 200, &out);
}

void front_model(struct http_request *req)
{
    _cleanup_(buf_done) struct buf out = BUF_INIT(LIMIT_ANSWER_BYTES);
    struct openai_model model = the_model(req->app);
    struct err err = ERR_INIT;
    if (strcmp(req->params[0], model.id) != 0) {
        err_set(&err, ERR_NOT_FOUND, "no model \"%s\" here: this engine serves \"%s\" alone", req->params[0], model.id);
        http_reply_error(req, &err);
        return;
    }
    (void)openai_write_model(&out, &model);
    http_reply_json(req, 200, &out);
}

/* The HTTP server starts when the model is loaded, so who gets an answer gets "ok". */
void front_health(struct http_request *req)
{
    static const char ok[] = "{\"status\":\"ok\"}";
    http_reply(req, 200, "application/json", ok, sizeof ok - 1);
}

/* As llama-server has it: what a request gets that does not say. */
static void props_defaults(struct json_out *j, const struct front *front)
{
    const struct gen_params *p = &front->defaults;
    json_key(j, "default_generation_settings");
    json_open(j, '{');
    json_key(j, "params");
    json_open(j, '{');
    json_kv_num(j, "temperature", p->temperature);
    json_kv_int(j, "top_k", p->top_k);
    json_kv_num(j, "top_p", p->top_p);
    json_kv_num(j, "min_p", p->min_p);
    json_kv_num(j, "repeat_penalty", p->repeat_penalty);
    json_kv_int(j, "repeat_last_n", p->repeat_last_n);
    json_kv_num(j, "presence_penalty", p->presence_penalty);
    json_kv_num(j, "frequency_penalty", p->frequency_penalty);
    json_kv_int(j, "seed", p->seed_set ? (int64_t)p->seed : -1);
    json_kv_int(j, "n_predict", p->max_tokens);
    json_kv_bool(j, "ignore_eos", p->ignore_eos);
    json_close(j, '}');
    if (front->template_kwargs != NULL) {
        json_key(j, "chat_template_kwargs");
        json_raw(j, front->template_kwargs, strlen(front->template_kwargs));
    }
    json_close(j, '}');
}

void front_props(struct http_request *req)
{
    _cleanup_(buf_done) struct buf out = BUF_INIT(LIMIT_ANSWER_BYTES);
    struct front *front = req->app;
    const struct model_info *model = model_get_info(front->model);
    struct batch_stats stats;
    struct json_out j = JSON_OUT(&out);
    batch_get_stats(front->batch, &stats);
    json_open(&j, '{');
    json_kv_str(&j, "model_alias", model->alias);
    json_kv_str(&j, "model_path", front->model_path);
    json_kv_bool(&j, "embedding", model->embedding);
    json_kv_int(&j, "n_ctx", stats.context);
    json_kv_int(&j, "n_ctx_train", model->context_train);
    json_kv_int(&j, "n_embd", model->n_embd);
    json_kv_int(&j, "n_vocab", model->n_vocab);
    json_kv_uint(&j, "n_params", model->params);
    json_kv_int(&j, "total_slots", stats.parallel);
    json_kv_int(&j, "threads", stats.threads);
    json_kv_str(&j, "bos_token", model->bos);
    json_kv_str(&j, "eos_token", model->eos);
    json_kv_str(&j, "chat_template", front->templates == NULL ? NULL : chat_templates_source(front->templates));
    props_defaults(&j, front);
    json_kv_str(&j, "build_info", "tug-engine " TUG_VERSION ", llama.cpp " TUG_LLAMA_BUILD);
    json_close(&j, '}');
    http_reply_json(req, 200, &out);
}
