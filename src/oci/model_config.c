/* oci/model_config.c: the config blob of a model, in Docker's form and ModelPack's. Readers take any extra fields. */
#include "oci/manifest.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "json/json_read.h"

#include <ctype.h>
#include <string.h>

enum { CONFIG_PAIRS = 8192 }; /* what gguf_summary writes is below */

/* The string of a field, copied; "" counts as absent, as DMR never writes it. Here and below obj is NULL when the
 * whole object is absent. */
static bool config_string(const json_t *obj, const char *where, const char *key, struct arena *a, const char **ret,
                          struct err *err)
{
    const char *text = NULL;
    if (obj != NULL && !json_get_string(obj, where, key, &text, err))
        return false;
    if (text != NULL && text[0] != '\0')
        *ret = arena_strdup(a, text);
    return true;
}

static bool config_time(const json_t *root, const char *key, int64_t *ret_ns, struct err *err)
{
    const json_t *descriptor = NULL;
    const char *text = NULL;
    if (!json_get_object(root, "", "descriptor", &descriptor, err) ||
        (descriptor != NULL && !json_get_string(descriptor, "descriptor", key, &text, err)))
        return false;
    /* Shown, never decided on: a date that cannot be read is no reason to refuse the model. */
    if (text != NULL)
        (void)text_from_rfc3339(text, ret_ns);
    return true;
}

static bool config_gguf(const json_t *config, struct arena *a, struct model_config *c, struct err *err)
{
    const json_t *map = NULL;
    if (config != NULL && !json_get_object(config, "config", "gguf", &map, err))
        return false;
    size_t n = json_object_size(map);
    if (n > CONFIG_PAIRS)
        return err_param(err, "config.gguf", "config.gguf has %zu entries, more than %d", n, (int)CONFIG_PAIRS);
    struct config_pair *pairs = arena_array(a, n, sizeof *pairs);
    size_t i = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)map, key, value)
    {
        char param[ERR_PARAM_MAX];
        text_format(param, sizeof param, "config.gguf[\"%.60s\"]", key);
        if (!json_is_string(value))
            return err_param(err, param, "%s must be a string", param);
        pairs[i++] = (struct config_pair){arena_strdup(a, key), arena_strdup(a, json_string_value(value))};
    }
    c->gguf = pairs;
    c->n_gguf = n;
    return true;
}

static bool config_read_docker(const json_t *root, struct arena *a, struct model_config *c, struct err *err)
{
    const json_t *config = NULL;
    return json_get_object(root, "", "config", &config, err) &&
           config_string(config, "config", "format", a, &c->format, err) &&
           config_string(config, "config", "quantization", a, &c->quantization, err) &&
           config_string(config, "config", "parameters", a, &c->parameters, err) &&
           config_string(config, "config", "architecture", a, &c->architecture, err) &&
           config_string(config, "config", "size", a, &c->size, err) && config_gguf(config, a, c, err) &&
           (config == NULL || json_get_int(config, "config", "context_size", -1, INT32_MAX, &c->context_size, err)) &&
           config_time(root, "created", &c->created_wall_ns, err);
}

static const char *config_fold(const char *s, struct arena *a)
{
    char *copy = s != NULL ? arena_strdup(a, s) : NULL;
    for (char *p = copy; p != NULL && *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    return copy;
}

/* As DMR maps it: size is paramSize too, and there is no context size. */
static bool config_read_modelpack(const json_t *root, struct arena *a, struct model_config *c, struct err *err)
{
    const json_t *config = NULL;
    const json_t *descriptor = NULL;
    const char *family = NULL;
    bool ok = json_get_object(root, "", "config", &config, err) &&
              json_get_object(root, "", "descriptor", &descriptor, err) &&
              config_string(config, "config", "format", a, &c->format, err) &&
              config_string(config, "config", "quantization", a, &c->quantization, err) &&
              config_string(config, "config", "paramSize", a, &c->parameters, err) &&
              config_string(config, "config", "architecture", a, &c->architecture, err) &&
              config_string(descriptor, "descriptor", "family", a, &family, err) &&
              config_time(root, "createdAt", &c->created_wall_ns, err);
    if (!ok)
        return false;
    c->format = config_fold(c->format, a);
    c->size = c->parameters;
    if (c->architecture == NULL)
        c->architecture = family;
    return true;
}

/* Some tools write a ModelPack config under Docker's type; DMR looks at the fields. */
static bool config_is_modelpack(const char *type, const json_t *root)
{
    return strcmp(type, OCI_TYPE_CONFIG_CNCF) == 0 || json_object_get(root, "modelfs") != NULL ||
           json_object_get(json_object_get(root, "config"), "paramSize") != NULL ||
           json_object_get(json_object_get(root, "descriptor"), "createdAt") != NULL;
}

bool model_config_read(const char *config_type, const void *bytes, size_t n, struct arena *a, struct model_config *ret,
                       struct err *err)
{
    _cleanup_(json_free) json_t *root = NULL;
    struct model_config c = {0};
    if (n > LIMIT_MANIFEST_BYTES)
        return err_set(err, ERR_TOO_LARGE, "the model's config has %zu bytes, more than %d", n,
                       (int)LIMIT_MANIFEST_BYTES);
    if (!json_parse(bytes, n, &root, err))
        return err_while(err, "reading the model's config");
    if (!json_is_object(root))
        return err_set(err, ERR_INVALID, "the model's config is not a JSON object");
    bool ok = config_is_modelpack(config_type, root) ? config_read_modelpack(root, a, &c, err)
                                                     : config_read_docker(root, a, &c, err);
    if (!ok)
        return err_while(err, "reading the model's config");
    *ret = c;
    return true;
}
