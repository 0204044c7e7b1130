/* openai/logprobs.c: logprobs collected token by token, in the form of chat or of completions. */
#include "base/limits.h"
#include "openai/answer.h"
#include "json/json_write.h"

#include <math.h>

/* OpenAI writes -9999.0 for what cannot be drawn at all; JSON has no infinity. */
#define LOGPROB_NEVER (-9999.0)

static double finite_logprob(double v) { return isfinite(v) ? v : LOGPROB_NEVER; }

void openai_logprobs_init(struct openai_logprobs *l, enum openai_kind kind)
{
    *l = (struct openai_logprobs){.kind = kind};
    for (size_t i = 0; i < 4; i++)
        l->columns[i] = BUF_INIT(LIMIT_ANSWER_BYTES);
}

void openai_logprobs_clear(struct openai_logprobs *l)
{
    for (size_t i = 0; i < 4; i++)
        buf_clear(&l->columns[i]);
}

void openai_logprobs_done(struct openai_logprobs *l)
{
    for (size_t i = 0; i < 4; i++)
        buf_done(&l->columns[i]);
}

/* Members of one token; the object stays open. */
static void write_token(struct json_out *j, const struct openai_token *t)
{
    json_open(j, '{');
    json_key(j, "token");
    json_strn(j, t->bytes, t->n);
    json_kv_num(j, "logprob", finite_logprob(t->logprob));
    json_key(j, "bytes");
    json_open(j, '[');
    for (size_t i = 0; i < t->n; i++)
        json_int(j, (unsigned char)t->bytes[i]);
    json_close(j, ']');
}

static bool add_chat(struct openai_logprobs *l, const struct openai_token *chosen, const struct openai_token *top,
                     size_t n_top)
{
    struct buf *b = &l->columns[0];
    bool ok = b->len == 0 || buf_add_char(b, ',');
    struct json_out j = JSON_OUT(b);
    write_token(&j, chosen);
    json_key(&j, "top_logprobs");
    json_open(&j, '[');
    for (size_t i = 0; i < n_top; i++) {
        write_token(&j, &top[i]);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_close(&j, '}');
    return ok && json_ok(&j);
}

static bool same_bytes(const struct openai_token *a, const struct openai_token *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = a->bytes[i] == b->bytes[i];
    return same;
}

/* An object text → logprob; texts can be equal (two tokens, one spelling), keys cannot: the likelier stays. */
static void write_top(struct json_out *j, const struct openai_token *top, size_t n_top)
{
    json_open(j, '{');
    for (size_t i = 0; i < n_top; i++) {
        bool seen = false;
        for (size_t k = 0; k < i; k++)
            seen = seen || same_bytes(&top[k], &top[i]);
        if (seen)
            continue;
        struct buf key = BUF_INIT(LIMIT_ANSWER_BYTES);
        (void)buf_add(&key, top[i].bytes, top[i].n);
        json_kv_num(j, buf_str(&key), finite_logprob(top[i].logprob));
        buf_done(&key);
    }
    json_close(j, '}');
}

static int64_t count_characters(const struct openai_token *t)
{
    int64_t n = 0;
    for (size_t i = 0; i < t->n; i++)
        n += ((unsigned char)t->bytes[i] & 0xC0) != 0x80; /* continuation bytes begin no character */
    return n;
}

static bool add_completion(struct openai_logprobs *l, const struct openai_token *chosen, const struct openai_token *top,
                           size_t n_top)
{
    bool ok = true;
    for (size_t i = 0; i < 4; i++) {
        struct buf *b = &l->columns[i];
        ok = (b->len == 0 || buf_add_char(b, ',')) && ok;
        struct json_out j = JSON_OUT(b);
        if (i == 0)
            json_strn(&j, chosen->bytes, chosen->n);
        else if (i == 1)
            json_num(&j, finite_logprob(chosen->logprob));
        else if (i == 2)
            write_top(&j, top, n_top);
        else
            json_int(&j, l->offset);
        ok = json_ok(&j) && ok;
    }
    l->offset += count_characters(chosen);
    return ok;
}

bool openai_logprobs_add(struct openai_logprobs *l, const struct openai_token *chosen, const struct openai_token *top,
                         size_t n_top)
{
    return l->kind == OPENAI_CHAT ? add_chat(l, chosen, top, n_top) : add_completion(l, chosen, top, n_top);
}
