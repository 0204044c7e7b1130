/* oci/model_config_write.c: config blobs in DMR's key order, compact; empty fields are left out. */
#include "oci/manifest.h"

#include "base/text.h"
#include "json/json_write.h"

#include <string.h>

static void config_field(struct json_out *j, const char *key, const char *value)
{
    if (value != NULL && value[0] != '\0')
        json_kv_str(j, key, value);
}

/* Go's RFC3339Nano: the fraction without its trailing zeros. */
static void config_created(struct json_out *j, const char *key, int64_t wall_ns)
{
    char text[40];
    if (wall_ns == 0)
        return;
    text_rfc3339(text, wall_ns, 9);
    size_t n = strlen(text) - 1; /* without the Z */
    while (n > 0 && text[n - 1] == '0' && strchr(text, '.') != NULL)
        n--;
    if (n > 0 && text[n - 1] == '.')
        n--;
    text[n] = 'Z';
    text[n + 1] = '\0';
    json_kv_str(j, key, text);
}

static void config_digests(struct json_out *j, const char *key, const struct descriptor *layers, size_t n)
{
    json_key(j, key);
    json_open(j, '[');
    for (size_t i = 0; i < n; i++)
        json_str(j, layers[i].digest);
    json_close(j, ']');
}

static bool config_done(const struct json_out *j, struct err *err)
{
    if (!json_ok(j))
        return err_set(err, ERR_TOO_LARGE, "the model's config would have more than %zu bytes", j->buf->max);
    return true;
}

bool model_config_write(const struct model_config *c, const struct descriptor *layers, size_t n_layers, struct buf *out,
                        struct err *err)
{
    struct json_out j = JSON_OUT(out);
    json_open(&j, '{');
    json_key(&j, "config");
    json_open(&j, '{');
    config_field(&j, "format", c->format);
    config_field(&j, "quantization", c->quantization);
    config_field(&j, "parameters", c->parameters);
    config_field(&j, "architecture", c->architecture);
    config_field(&j, "size", c->size);
    if (c->n_gguf > 0) {
        json_key(&j, "gguf");
        json_open(&j, '{');
        for (size_t i = 0; i < c->n_gguf; i++)
            json_kv_str(&j, c->gguf[i].key, c->gguf[i].value);
        json_close(&j, '}');
    }
    if (c->context_size != 0)
        json_kv_int(&j, "context_size", c->context_size);
    json_close(&j, '}');
    json_key(&j, "descriptor");
    json_open(&j, '{');
    config_created(&j, "created", c->created_wall_ns);
    json_close(&j, '}');
    json_key(&j, "rootfs");
    json_open(&j, '{');
    json_kv_str(&j, "type", "rootfs");
    config_digests(&j, "diff_ids", layers, n_layers);
    json_close(&j, '}');
    json_close(&j, '}');
    return config_done(&j, err);
}

bool model_config_write_modelpack(const struct model_config *c, const struct descriptor *layers, size_t n_layers,
                                  struct buf *out, struct err *err)
{
    struct json_out j = JSON_OUT(out);
    json_open(&j, '{');
    json_key(&j, "descriptor");
    json_open(&j, '{');
    config_created(&j, "createdAt", c->created_wall_ns);
    config_field(&j, "family", c->architecture);
    json_close(&j, '}');
    json_key(&j, "modelfs");
    json_open(&j, '{');
    json_kv_str(&j, "type", "layers");
    config_digests(&j, "diffIds", layers, n_layers);
    json_close(&j, '}');
    json_key(&j, "config");
    json_open(&j, '{');
    config_field(&j, "architecture", c->architecture);
    config_field(&j, "format", c->format);
    config_field(&j, "paramSize", c->parameters);
    config_field(&j, "quantization", c->quantization);
    json_close(&j, '}');
    json_close(&j, '}');
    return config_done(&j, err);
}
