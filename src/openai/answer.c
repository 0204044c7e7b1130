/* openai/answer.c: chat.completion, text_completion and their chunks. */
#include "openai/answer.h"

#include "base/limits.h"
#include "openai/openai.h"
#include "json/json_write.h"

#include <math.h>

#define FINGERPRINT "tug-" TUG_VERSION

static const char *finish_word(enum openai_finish finish)
{
    switch (finish) {
    case OPENAI_FINISH_STOP:
        return "stop";
    case OPENAI_FINISH_LENGTH:
        return "length";
    case OPENAI_FINISH_TOOLS:
        return "tool_calls";
    default:
        return NULL;
    }
}

static void write_head(struct json_out *j, const struct openai_head *head, const char *object)
{
    json_open(j, '{');
    json_kv_str(j, "id", head->id);
    json_kv_str(j, "object", object);
    json_kv_int(j, "created", head->created);
    json_kv_str(j, "model", head->model);
    json_kv_str(j, "system_fingerprint", FINGERPRINT);
    if (head->service_tier != NULL)
        json_kv_str(j, "service_tier", head->service_tier);
}

static void write_usage(struct json_out *j, const struct openai_usage *u)
{
    json_key(j, "usage");
    json_open(j, '{');
    json_kv_int(j, "prompt_tokens", u->prompt_tokens);
    json_kv_int(j, "completion_tokens", u->completion_tokens);
    json_kv_int(j, "total_tokens", u->prompt_tokens + u->completion_tokens);
    json_key(j, "prompt_tokens_details");
    json_open(j, '{');
    json_kv_int(j, "cached_tokens", u->cached_tokens);
    json_close(j, '}');
    if (u->reasoning_tokens > 0) {
        json_key(j, "completion_tokens_details");
        json_open(j, '{');
        json_kv_int(j, "reasoning_tokens", u->reasoning_tokens);
        json_close(j, '}');
    }
    json_close(j, '}');
}

static double per_second(int64_t n, double ms) { return ms > 0 ? (double)n * 1000.0 / ms : 0; }

/* Milliseconds to a microsecond, rates to a thousandth: more digits are noise. */
static void write_rounded(struct json_out *j, const char *key, double v)
{
    json_kv_num(j, key, round(v * 1000) / 1000);
}

static void write_timings(struct json_out *j, const struct openai_timings *t)
{
    json_key(j, "timings");
    json_open(j, '{');
    json_kv_int(j, "cache_n", t->cache_n);
    json_kv_int(j, "prompt_n", t->prompt_n);
    write_rounded(j, "prompt_ms", t->prompt_ms);
    write_rounded(j, "prompt_per_second", per_second(t->prompt_n, t->prompt_ms));
    json_kv_int(j, "predicted_n", t->predicted_n);
    write_rounded(j, "predicted_ms", t->predicted_ms);
    write_rounded(j, "predicted_per_second", per_second(t->predicted_n, t->predicted_ms));
    json_close(j, '}');
}

static const char *const logprob_columns[] = {"tokens", "token_logprobs", "top_logprobs", "text_offset"};

static void write_logprobs(struct json_out *j, const struct openai_logprobs *l)
{
    json_key(j, "logprobs");
    if (l == NULL) {
        json_str(j, NULL);
        return;
    }
    bool chat = l->kind == OPENAI_CHAT;
    json_open(j, '{');
    for (size_t i = 0; i < (chat ? 1U : 4U); i++) {
        json_key(j, chat ? "content" : logprob_columns[i]);
        json_open(j, '[');
        if (l->columns[i].len > 0)
            json_raw(j, l->columns[i].data, l->columns[i].len);
        json_close(j, ']');
    }
    if (chat) {
        json_key(j, "refusal");
        json_str(j, NULL);
    }
    json_close(j, '}');
}

static void write_calls(struct json_out *j, const struct openai_choice *c)
{
    json_key(j, "tool_calls");
    json_open(j, '[');
    for (size_t i = 0; i < c->n_calls; i++) {
        json_open(j, '{');
        json_kv_str(j, "id", c->calls[i].id);
        json_kv_str(j, "type", "function");
        json_key(j, "function");
        json_open(j, '{');
        json_kv_str(j, "name", c->calls[i].name);
        json_kv_str(j, "arguments", c->calls[i].arguments);
        json_close(j, '}');
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void write_message(struct json_out *j, const struct openai_choice *c)
{
    json_key(j, "message");
    json_open(j, '{');
    json_kv_str(j, "role", "assistant");
    json_key(j, "content");
    if (c->text_len == 0 && c->n_calls > 0)
        json_str(j, NULL);
    else
        json_strn(j, c->text, c->text_len);
    if (c->reasoning != NULL)
        json_kv_str(j, "reasoning_content", c->reasoning);
    if (c->n_calls > 0)
        write_calls(j, c);
    json_key(j, "refusal");
    json_str(j, NULL);
    json_close(j, '}');
}

static void write_choice(struct json_out *j, enum openai_kind kind, const struct openai_choice *c, size_t index)
{
    json_open(j, '{');
    json_kv_int(j, "index", (int64_t)index);
    if (kind == OPENAI_CHAT) {
        write_message(j, c);
    } else {
        json_key(j, "text");
        json_strn(j, c->text, c->text_len);
    }
    write_logprobs(j, c->logprobs);
    json_kv_str(j, "finish_reason", finish_word(c->finish));
    json_close(j, '}');
}

bool openai_write_answer(struct buf *out, const struct openai_head *head, const struct openai_choice *choices, size_t n,
                         const struct openai_usage *usage, const struct openai_timings *timings)
{
    struct json_out j = JSON_OUT(out);
    write_head(&j, head, head->kind == OPENAI_CHAT ? "chat.completion" : "text_completion");
    json_key(&j, "choices");
    json_open(&j, '[');
    for (size_t i = 0; i < n; i++)
        write_choice(&j, head->kind, &choices[i], i);
    json_close(&j, ']');
    write_usage(&j, usage);
    if (timings != NULL)
        write_timings(&j, timings);
    json_close(&j, '}');
    return json_ok(&j);
}

/* The beginning of a call has its id, name and no arguments yet; then come pieces of these. */
static void write_call_delta(struct json_out *j, const struct openai_part *part)
{
    bool begins = part->kind == OPENAI_PART_CALL;
    json_key(j, "tool_calls");
    json_open(j, '[');
    json_open(j, '{');
    json_kv_int(j, "index", (int64_t)part->call);
    if (begins) {
        json_kv_str(j, "id", part->id);
        json_kv_str(j, "type", "function");
    }
    json_key(j, "function");
    json_open(j, '{');
    if (begins)
        json_kv_str(j, "name", part->name);
    json_key(j, "arguments");
    json_strn(j, begins ? "" : part->text, begins ? 0 : part->n);
    json_close(j, '}');
    json_close(j, '}');
    json_close(j, ']');
}

static void write_delta(struct json_out *j, const struct openai_chunk *c)
{
    json_key(j, "delta");
    json_open(j, '{');
    if (c->opening)
        json_kv_str(j, "role", "assistant");
    if (c->part != NULL && c->part->kind >= OPENAI_PART_CALL) {
        write_call_delta(j, c->part);
    } else if (c->part != NULL) {
        json_key(j, c->part->kind == OPENAI_PART_CONTENT ? "content" : "reasoning_content");
        json_strn(j, c->part->text, c->part->n);
    } else if (c->opening) {
        json_kv_str(j, "content", "");
    }
    json_close(j, '}');
}

static const char *chunk_object(enum openai_kind kind)
{
    return kind == OPENAI_CHAT ? "chat.completion.chunk" : "text_completion";
}

bool openai_event_chunk(struct buf *out, const struct openai_head *head, const struct openai_chunk *chunk)
{
    bool ok = buf_add_str(out, "data: ");
    struct json_out j = JSON_OUT(out);
    write_head(&j, head, chunk_object(head->kind));
    json_key(&j, "choices");
    json_open(&j, '[');
    json_open(&j, '{');
    json_kv_int(&j, "index", (int64_t)chunk->index);
    if (head->kind == OPENAI_CHAT) {
        write_delta(&j, chunk);
    } else {
        json_key(&j, "text");
        json_strn(&j, chunk->text == NULL ? "" : chunk->text, chunk->text_len);
    }
    write_logprobs(&j, chunk->logprobs);
    json_kv_str(&j, "finish_reason", finish_word(chunk->finish));
    json_close(&j, '}');
    json_close(&j, ']');
    if (head->include_usage) {
        json_key(&j, "usage");
        json_str(&j, NULL);
    }
    if (chunk->timings != NULL)
        write_timings(&j, chunk->timings);
    json_close(&j, '}');
    return ok && json_ok(&j) && buf_add_str(out, "\n\n");
}

bool openai_event_usage(struct buf *out, const struct openai_head *head, const struct openai_usage *usage,
                        const struct openai_timings *timings)
{
    bool ok = buf_add_str(out, "data: ");
    struct json_out j = JSON_OUT(out);
    write_head(&j, head, chunk_object(head->kind));
    json_key(&j, "choices");
    json_open(&j, '[');
    json_close(&j, ']');
    write_usage(&j, usage);
    if (timings != NULL)
        write_timings(&j, timings);
    json_close(&j, '}');
    return ok && json_ok(&j) && buf_add_str(out, "\n\n");
}

bool openai_event_error(struct buf *out, const struct err *err)
{
    if (!buf_add_str(out, "data: "))
        return false;
    openai_write_error(out, err);
    return buf_add_str(out, "\n\n");
}

bool openai_event_done(struct buf *out) { return buf_add_str(out, "data: [DONE]\n\n"); }
