/* openai/lists.c: lists of embeddings and of models. */
#include "base/check.h"
#include "openai/answer.h"
#include "json/json_write.h"

#include <openssl/evp.h>
#include <stdio.h>

/* Nine digits read back to the same float; json_num would write the double's seventeen. */
static void write_floats(struct json_out *j, const float *v, size_t n)
{
    json_open(j, '[');
    for (size_t i = 0; i < n; i++) {
        char text[32];
        int len = snprintf(text, sizeof text, "%.9g", (double)v[i]);
        CHECK(len > 0 && (size_t)len < sizeof text);
        json_raw(j, text, (size_t)len);
    }
    json_close(j, ']');
}

static void write_base64(struct json_out *j, struct buf *scratch, const float *v, size_t n)
{
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the bytes of the floats are sent as they lie");
    size_t bytes = n * sizeof *v;
    buf_clear(scratch);
    char *dst = buf_reserve(scratch, (bytes + 2) / 3 * 4);
    CHECK(dst != NULL);
    int len = EVP_EncodeBlock((unsigned char *)dst, (const unsigned char *)v, (int)bytes);
    json_strn(j, dst, (size_t)len);
}

bool openai_write_embeddings(struct buf *out, const char *model, const float *const *vectors, size_t n, size_t n_embd,
                             bool base64, int64_t prompt_tokens)
{
    struct json_out j = JSON_OUT(out);
    struct buf scratch = BUF_INIT(n_embd * 8 + 8);
    json_open(&j, '{');
    json_kv_str(&j, "object", "list");
    json_key(&j, "data");
    json_open(&j, '[');
    for (size_t i = 0; i < n; i++) {
        json_open(&j, '{');
        json_kv_str(&j, "object", "embedding");
        json_kv_int(&j, "index", (int64_t)i);
        json_key(&j, "embedding");
        if (base64)
            write_base64(&j, &scratch, vectors[i], n_embd);
        else
            write_floats(&j, vectors[i], n_embd);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_kv_str(&j, "model", model);
    json_key(&j, "usage");
    json_open(&j, '{');
    json_kv_int(&j, "prompt_tokens", prompt_tokens);
    json_kv_int(&j, "total_tokens", prompt_tokens);
    json_close(&j, '}');
    json_close(&j, '}');
    buf_done(&scratch);
    return json_ok(&j);
}

static void write_model(struct json_out *j, const struct openai_model *m)
{
    json_open(j, '{');
    json_kv_str(j, "id", m->id);
    json_kv_str(j, "object", "model");
    json_kv_int(j, "created", m->created);
    json_kv_str(j, "owned_by", m->owned_by);
    json_close(j, '}');
}

bool openai_write_model(struct buf *out, const struct openai_model *model)
{
    struct json_out j = JSON_OUT(out);
    write_model(&j, model);
    return json_ok(&j);
}

bool openai_write_models(struct buf *out, const struct openai_model *models, size_t n)
{
    struct json_out j = JSON_OUT(out);
    json_open(&j, '{');
    json_kv_str(&j, "object", "list");
    json_key(&j, "data");
    json_open(&j, '[');
    for (size_t i = 0; i < n; i++)
        write_model(&j, &models[i]);
    json_close(&j, ']');
    json_close(&j, '}');
    return json_ok(&j);
}
