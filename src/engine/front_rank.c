/* engine/front_rank.c: rerank and score with an embedding model: the cosine of two texts' vectors. Shapes are Jina's
 * (rerank, as llama-server has it) and vLLM's (score). */
#include "engine/front.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "openai/request.h"
#include "platform/clock.h"
#include "platform/random.h"
#include "json/json_read.h"
#include "json/json_write.h"

#include <stdlib.h>
#include <string.h>

struct rank {
    struct http_request *req;
    const char *model;
    struct openai_prompt *texts; /* queries first, then documents */
    size_t n_queries, n_documents;
    const float *vectors;
    size_t n_embd;
    int64_t tokens;
};

static bool text_take(struct rank *r, const json_t *value, const char *path, size_t at, struct err *err)
{
    if (json_is_object(value)) /* {"text": …}, as some clients write documents */
        value = json_object_get(value, "text");
    if (!json_is_string(value) || json_string_length(value) == 0)
        return err_param(err, path, "`%s` must be a text, not an empty one", path);
    r->texts[at].text = arena_strndup(&r->req->arena, json_string_value(value), json_string_length(value));
    return true;
}

static size_t texts_count(const json_t *value) { return json_is_array(value) ? json_array_size(value) : 1; }

static bool texts_take(struct rank *r, const json_t *value, const char *key, size_t at, struct err *err)
{
    if (!json_is_array(value))
        return text_take(r, value, key, at, err);
    for (size_t i = 0; i < json_array_size(value); i++) {
        char path[48];
        (void)text_format(path, sizeof path, "%s[%zu]", key, i);
        if (!text_take(r, json_array_get(value, i), path, at + i, err))
            return false;
    }
    return true;
}

static bool rank_read(struct rank *r, const json_t *body, const char *queries, const char *documents, struct err *err)
{
    const char *model = NULL;
    const json_t *q = json_object_get(body, queries);
    const json_t *d = json_object_get(body, documents);
    if (!json_get_string(body, "", "model", &model, err) || !json_need(body, "", queries, err) ||
        !json_need(body, "", documents, err))
        return false;
    r->model = arena_strdup(&r->req->arena,
                            model != NULL ? model : model_get_info(((struct front *)r->req->app)->model)->alias);
    r->n_queries = texts_count(q);
    r->n_documents = texts_count(d);
    if (r->n_documents == 0 || r->n_queries == 0)
        return err_param(err, documents, "`%s` must have at least one text", r->n_queries == 0 ? queries : documents);
    if (r->n_documents + r->n_queries > LIMIT_EMBEDDING_INPUTS)
        return err_param(err, documents, "%zu texts are more than the %d that are taken", r->n_documents + r->n_queries,
                         (int)LIMIT_EMBEDDING_INPUTS);
    r->texts = arena_array(&r->req->arena, r->n_queries + r->n_documents, sizeof *r->texts);
    memset(r->texts, 0, (r->n_queries + r->n_documents) * sizeof *r->texts);
    return texts_take(r, q, queries, 0, err) && texts_take(r, d, documents, r->n_queries, err) &&
           front_vectors(r->req, r->texts, r->n_queries + r->n_documents, &r->vectors, &r->n_embd, &r->tokens, err);
}

/* Vectors have length 1. */
static double rank_score(const struct rank *r, size_t query, size_t document)
{
    const float *a = r->vectors + query * r->n_embd;
    const float *b = r->vectors + (r->n_queries + document) * r->n_embd;
    double sum = 0;
    for (size_t i = 0; i < r->n_embd; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

struct ranked {
    size_t index;
    double score;
};

static int ranked_compare(const void *a, const void *b)
{
    const struct ranked *x = a;
    const struct ranked *y = b;
    if (x->score > y->score || x->score < y->score)
        return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static void write_usage(struct json_out *j, const struct rank *r)
{
    json_key(j, "usage");
    json_open(j, '{');
    json_kv_int(j, "prompt_tokens", r->tokens);
    json_kv_int(j, "total_tokens", r->tokens);
    json_close(j, '}');
}

static void rerank_write(const struct rank *r, int64_t top_n, bool documents, struct buf *out)
{
    struct json_out j = JSON_OUT(out);
    struct ranked *list = arena_array(&r->req->arena, r->n_documents, sizeof *list);
    for (size_t i = 0; i < r->n_documents; i++)
        list[i] = (struct ranked){i, rank_score(r, 0, i)};
    qsort(list, r->n_documents, sizeof *list, ranked_compare);
    json_open(&j, '{');
    json_kv_str(&j, "object", "list");
    json_kv_str(&j, "model", r->model);
    json_key(&j, "results");
    json_open(&j, '[');
    for (size_t i = 0; i < r->n_documents && (int64_t)i < top_n; i++) {
        json_open(&j, '{');
        json_kv_int(&j, "index", (int64_t)list[i].index);
        json_kv_num(&j, "relevance_score", list[i].score);
        if (documents) {
            json_key(&j, "document");
            json_open(&j, '{');
            json_kv_str(&j, "text", r->texts[1 + list[i].index].text);
            json_close(&j, '}');
        }
        json_close(&j, '}');
    }
    json_close(&j, ']');
    write_usage(&j, r);
    json_close(&j, '}');
}

/* One text against many, or each against its own. */
static void score_write(const struct rank *r, struct buf *out)
{
    char id[25];
    struct json_out j = JSON_OUT(out);
    size_t n = r->n_queries > r->n_documents ? r->n_queries : r->n_documents;
    random_id(id, sizeof id - 1);
    json_open(&j, '{');
    json_kv_str(&j, "id", arena_printf(&r->req->arena, "score-%s", id));
    json_kv_str(&j, "object", "list");
    json_kv_int(&j, "created", clock_wall_ns() / CLOCK_SECOND);
    json_kv_str(&j, "model", r->model);
    json_key(&j, "data");
    json_open(&j, '[');
    for (size_t i = 0; i < n; i++) {
        json_open(&j, '{');
        json_kv_int(&j, "index", (int64_t)i);
        json_kv_str(&j, "object", "score");
        json_kv_num(&j, "score", rank_score(r, r->n_queries == 1 ? 0 : i, r->n_documents == 1 ? 0 : i));
        json_close(&j, '}');
    }
    json_close(&j, ']');
    write_usage(&j, r);
    json_close(&j, '}');
}

static bool rank_body(struct http_request *req, json_t **ret_body, struct err *err)
{
    return json_parse(buf_str(&req->body), req->body.len, ret_body, err) &&
           (json_is_object(*ret_body) ||
            err_set(err, ERR_INVALID, "the body must be a JSON object, it is %s", json_kind(*ret_body)));
}

void front_rerank(struct http_request *req)
{
    _cleanup_(buf_done) struct buf out = BUF_INIT(LIMIT_ANSWER_BYTES);
    _cleanup_(json_free) json_t *body = NULL;
    struct rank r = {.req = req};
    struct err err = ERR_INIT;
    int64_t top_n = INT64_MAX;
    bool documents = false;
    bool ok = rank_body(req, &body, &err) && json_get_int(body, "", "top_n", 1, INT32_MAX, &top_n, &err) &&
              json_get_bool(body, "", "return_documents", &documents, &err) &&
              rank_read(&r, body, "query", "documents", &err);
    if (ok && r.n_queries != 1)
        ok = err_param(&err, "query", "`query` must be one text");
    if (!ok) {
        http_reply_error(req, &err);
        return;
    }
    rerank_write(&r, top_n, documents, &out);
    http_reply_json(req, 200, &out);
}

void front_score(struct http_request *req)
{
    _cleanup_(buf_done) struct buf out = BUF_INIT(LIMIT_ANSWER_BYTES);
    _cleanup_(json_free) json_t *body = NULL;
    struct rank r = {.req = req};
    struct err err = ERR_INIT;
    bool ok = rank_body(req, &body, &err) && rank_read(&r, body, "text_1", "text_2", &err);
    if (ok && r.n_queries != 1 && r.n_documents != 1 && r.n_queries != r.n_documents)
        ok = err_param(&err, "text_2", "`text_1` and `text_2` have %zu and %zu texts: as many, or one of them one",
                       r.n_queries, r.n_documents);
    if (!ok) {
        http_reply_error(req, &err);
        return;
    }
    score_write(&r, &out);
    http_reply_json(req, 200, &out);
}
