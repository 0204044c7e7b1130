/* cli/chat_stream.c: see chat_stream.h. */
#include "cli/chat_stream.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "cli/sse.h"
#include "json/json_read.h"

#include <string.h>

struct chat_reading {
    const struct chat_ask *ask;
    struct buf *answer;
    bool done; /* [DONE] was seen */
};

static bool chat_body(const struct chat_ask *ask, struct buf *body, struct err *err)
{
    json_t *root = json_pack("{s:s, s:O, s:b}", "model", ask->model, "messages", ask->messages, "stream", 1);
    CHECK(root != NULL);
    if (ask->options != NULL)
        json_object_update(root, ask->options);
    _cleanup_free_ char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (text == NULL || !buf_add_str(body, text))
        return err_set(err, ERR_TOO_LARGE, "the conversation is above %d bytes; start again with /clear",
                       LIMIT_REQUEST_BODY_BYTES);
    return true;
}

static const char *chat_path(const struct cli *cli)
{
    return cli->external ? "/chat/completions" : "/engines/v1/chat/completions";
}

static void chat_usage(struct chat_reading *r, const json_t *usage)
{
    char words[160];
    if (!json_is_object(usage))
        return;
    json_int_t prompt = json_integer_value(json_object_get(usage, "prompt_tokens"));
    json_int_t answer = json_integer_value(json_object_get(usage, "completion_tokens"));
    if (r->ask->usage != NULL)
        *r->ask->usage = (struct chat_usage){prompt, answer};
    text_format(words, sizeof words, "Token usage: %lld prompt + %lld completion = %lld total", (long long)prompt,
                (long long)answer, (long long)(prompt + answer));
    r->ask->on_text(r->ask->ctx, CHAT_PIECE_USAGE, words);
}

static void chat_delta(struct chat_reading *r, const json_t *delta)
{
    const char *reasoning = json_string_value(json_object_get(delta, "reasoning_content"));
    const char *content = json_string_value(json_object_get(delta, "content"));
    if (reasoning != NULL && reasoning[0] != '\0')
        r->ask->on_text(r->ask->ctx, CHAT_PIECE_REASONING, reasoning);
    if (content != NULL && content[0] != '\0') {
        buf_add_str(r->answer, content);
        r->ask->on_text(r->ask->ctx, CHAT_PIECE_ANSWER, content);
    }
}

static bool chat_event(void *ctx, const char *data, size_t n, struct err *err)
{
    struct chat_reading *r = ctx;
    if (n == 6 && memcmp(data, "[DONE]", 6) == 0) {
        r->done = true;
        return true;
    }
    _cleanup_(json_free) json_t *root = NULL;
    if (!json_parse(data, n, &root, err))
        return err_while(err, "reading the answer");
    const json_t *error = json_object_get(root, "error");
    if (error != NULL) {
        const char *message = json_string_value(json_is_object(error) ? json_object_get(error, "message") : error);
        return err_set(err, ERR_ENGINE, "%s",
                       message == NULL ? "the engine reported an error without a message" : message);
    }
    chat_delta(r, json_object_get(json_array_get(json_object_get(root, "choices"), 0), "delta"));
    chat_usage(r, json_object_get(root, "usage"));
    return true;
}

static bool chat_read(struct http_call *call, struct chat_reading *r, struct err *err)
{
    struct sse sse = SSE_INIT;
    char piece[8192];
    ssize_t n;
    bool ok = true;
    while (ok && (n = http_call_read(call, piece, sizeof piece, err)) != 0)
        ok = n > 0 && sse_push(&sse, piece, (size_t)n, chat_event, r, err);
    sse_done(&sse);
    if (ok && !r->done)
        return err_set(err, ERR_UNREACHABLE, "the answer was cut off; see 'tug logs'");
    return ok;
}

bool chat_stream(struct cli *cli, const struct chat_ask *ask, struct buf *answer, struct err *err)
{
    _cleanup_(buf_done) struct buf body = BUF_INIT(LIMIT_REQUEST_BODY_BYTES);
    struct http_call *call = NULL;
    if (!chat_body(ask, &body, err) || !cli_open(cli, "POST", chat_path(cli), NULL, &body, &call, err))
        return false;
    struct chat_reading r = {.ask = ask, .answer = answer};
    bool ok = chat_read(call, &r, err);
    http_call_close(&call);
    return ok;
}

bool chat_preload(struct cli *cli, const char *model, struct err *err)
{
    json_t *messages = json_array();
    struct chat_ask ask = {.model = model, .messages = messages};
    _cleanup_(buf_done) struct buf body = BUF_INIT(LIMIT_REQUEST_BODY_BYTES);
    const char *headers[] = {"X-Preload-Only: true", NULL};
    struct http_call *call = NULL;
    bool ok = chat_body(&ask, &body, err) &&
              cli_open(cli, "POST", "/engines/v1/chat/completions", headers, &body, &call, err);
    http_call_close(&call);
    json_decref(messages);
    return ok;
}
