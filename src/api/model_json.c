/* api/model_json.c: a model as Docker Model Runner writes it, and as OpenAI's list has it. */
#include "api/handlers.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "platform/clock.h"

#include <stdlib.h>
#include <string.h>

/* Go's omitempty. */
static void kv_if(struct json_out *j, const char *key, const char *value)
{
    if (value != NULL && value[0] != '\0')
        json_kv_str(j, key, value);
}

void model_settings_out(struct json_out *j, const json_t *json)
{
    _cleanup_free_ char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    json_raw(j, text == NULL ? "{}" : text, text == NULL ? 2 : strlen(text));
}

static void config_write(struct json_out *j, const struct model_config *c)
{
    json_open(j, '{');
    kv_if(j, "format", c->format);
    kv_if(j, "quantization", c->quantization);
    kv_if(j, "parameters", c->parameters);
    kv_if(j, "architecture", c->architecture);
    kv_if(j, "size", c->size);
    if (c->n_gguf > 0) {
        json_key(j, "gguf");
        json_open(j, '{');
        for (size_t i = 0; i < c->n_gguf; i++)
            json_kv_str(j, c->gguf[i].key, c->gguf[i].value);
        json_close(j, '}');
    }
    if (c->context_size != 0)
        json_kv_int(j, "context_size", c->context_size);
    json_close(j, '}');
}

void model_write(struct json_out *j, const struct model *m, const json_t *settings)
{
    json_open(j, '{');
    json_kv_str(j, "id", m->id);
    if (m->n_names > 0) {
        json_key(j, "tags");
        json_open(j, '[');
        for (size_t i = 0; i < m->n_names; i++)
            json_str(j, m->names[i]);
        json_close(j, ']');
    }
    json_kv_int(j, "created", m->created_wall_ns / CLOCK_SECOND);
    json_key(j, "config");
    config_write(j, &m->config);
    if (settings != NULL) {
        json_key(j, "settings");
        model_settings_out(j, settings);
    }
    json_close(j, '}');
}

/* What the artifact says; else the model's own length from its metadata. 0: unknown. */
static int64_t context_window(const struct model_config *c)
{
    char key[256];
    int64_t n = c->context_size;
    if (n > 0 || c->architecture == NULL || !text_format(key, sizeof key, "%s.context_length", c->architecture))
        return n;
    for (size_t i = 0; i < c->n_gguf; i++)
        if (strcmp(c->gguf[i].key, key) == 0 && text_to_i64(c->gguf[i].value, &n))
            return n;
    return 0;
}

void model_write_openai(struct json_out *j, const struct model *m)
{
    int64_t window = context_window(&m->config);
    json_open(j, '{');
    json_kv_str(j, "id", m->n_names > 0 ? m->names[0] : m->id);
    json_kv_str(j, "object", "model");
    json_kv_int(j, "created", m->created_wall_ns / CLOCK_SECOND);
    json_kv_str(j, "owned_by", "docker");
    json_key(j, "dmr");
    json_open(j, '{');
    if (window > 0)
        json_kv_int(j, "context_window", window);
    kv_if(j, "architecture", m->config.architecture);
    kv_if(j, "parameters", m->config.parameters);
    kv_if(j, "quantization", m->config.quantization);
    kv_if(j, "size", m->config.size);
    json_close(j, '}');
    json_close(j, '}');
}
