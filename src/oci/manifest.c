/* oci/manifest.c: manifests and indexes from untrusted bytes. Field names in messages are paths (`layers[3].size`),
 * made by json_read's getters. */
#include "oci/manifest.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "json/json_read.h"

#include <string.h>
#include <strings.h>

#define MANIFEST_SIZE_MAX ((int64_t)1 << 53) /* what a JSON number holds exactly in every reader */

enum { MANIFEST_PATH_MAX = 255, MANIFEST_WHERE = 64, MANIFEST_ANNOTATIONS = 256 };

/* What each media type of a layer is for. `named`: ModelPack, whose layers must carry a file path. */
static const struct layer_type {
    const char *media_type;
    enum layer_role role;
    bool named;
} layer_types[] = {
    {OCI_TYPE_GGUF, LAYER_WEIGHTS, false},
    {"application/vnd.docker.ai.safetensors", LAYER_WEIGHTS, false},
    {"application/vnd.docker.ai.dduf", LAYER_WEIGHTS, false},
    {OCI_TYPE_MMPROJ, LAYER_MMPROJ, false},
    {OCI_TYPE_TEMPLATE, LAYER_TEMPLATE, false},
    {OCI_TYPE_LICENSE, LAYER_LICENSE, false},
    {"application/vnd.docker.ai.model.file", LAYER_CONFIG_FILE, false},
    {OCI_TYPE_CNCF_WEIGHT, LAYER_WEIGHTS, true},
    {"application/vnd.cncf.model.weight.v1.gguf", LAYER_WEIGHTS, true},
    {"application/vnd.cncf.model.weight.v1.safetensors", LAYER_WEIGHTS, true},
    {OCI_TYPE_CNCF_CONFIG_FILE, LAYER_CONFIG_FILE, true},
    {OCI_TYPE_CNCF_DOC, LAYER_OTHER, true},
};

static const char *const config_types[] = {OCI_TYPE_CONFIG_V01, OCI_TYPE_CONFIG_V02, OCI_TYPE_CONFIG_CNCF};

static bool contains_nocase(const char *text, const char *part)
{
    size_t n = strlen(part);
    for (; *text != '\0'; text++)
        if (strncasecmp(text, part, n) == 0)
            return true;
    return false;
}

/* ModelPack has one type for all weights and one for all documents: the file's name tells them apart, as DMR does. */
static enum layer_role layer_role_of(const struct descriptor *d, const struct layer_type *type)
{
    if (!type->named)
        return type->role;
    const char *path = d->filepath;
    if (type->role == LAYER_WEIGHTS && contains_nocase(path, "mmproj"))
        return LAYER_MMPROJ;
    if (type->role == LAYER_CONFIG_FILE && (text_ends(path, ".jinja") || contains_nocase(path, "chat_template")))
        return LAYER_TEMPLATE;
    if (type->role == LAYER_OTHER && (contains_nocase(path, "license") || contains_nocase(path, "licence") ||
                                      contains_nocase(path, "copying") || contains_nocase(path, "notice")))
        return LAYER_LICENSE;
    return type->role;
}

/* An empty part, `.` or `..`. */
static bool filepath_parts_wrong(const char *path)
{
    for (const char *s = path;;) {
        size_t n = strcspn(s, "/");
        if (n == 0 || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
            return true;
        if (s[n] == '\0')
            return false;
        s += n + 1;
    }
}

/* NULL when the path may be used below a folder of ours, else what is wrong with it. */
static const char *filepath_wrong(const char *path, size_t len)
{
    if (len != strlen(path))
        return "holds a NUL byte";
    if (len == 0)
        return "is empty";
    if (len > MANIFEST_PATH_MAX)
        return "is longer than 255 bytes";
    if (path[0] == '/')
        return "is absolute";
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f || path[i] == '\\')
            return "holds a control character or a backslash";
    return filepath_parts_wrong(path) ? "has an empty part, `.` or `..`" : NULL;
}

static bool annotations_read(const json_t *obj, const char *where, struct arena *a, struct descriptor *d, bool layer,
                             struct err *err)
{
    const json_t *map = NULL;
    if (!json_get_object(obj, where, "annotations", &map, err))
        return false;
    size_t n = json_object_size(map);
    if (n > MANIFEST_ANNOTATIONS)
        return err_param(err, where, "%s has %zu annotations, more than %d", where, n, (int)MANIFEST_ANNOTATIONS);
    struct annotation *list = arena_array(a, n, sizeof *list);
    size_t i = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)map, key, value)
    {
        char param[ERR_PARAM_MAX];
        text_format(param, sizeof param, "%s.annotations[\"%.40s\"]", where, key);
        if (!json_is_string(value))
            return err_param(err, param, "%s must be a string", param);
        const char *text = json_string_value(value);
        if (layer && strcmp(key, OCI_ANNOTATION_FILEPATH) == 0) {
            const char *wrong = filepath_wrong(text, json_string_length(value));
            if (wrong != NULL)
                return err_param(err, param, "%s, the name of a file, %s", param, wrong);
            d->filepath = arena_strdup(a, text);
        }
        list[i++] = (struct annotation){arena_strdup(a, key), arena_strdup(a, text)};
    }
    d->annotations = list;
    d->n_annotations = n;
    return true;
}

static bool descriptor_read(const json_t *obj, const char *where, struct arena *a, struct descriptor *ret, bool layer,
                            struct err *err)
{
    struct descriptor d = {0};
    const char *digest = NULL;
    char param[ERR_PARAM_MAX];
    if (!json_is_object(obj))
        return err_param(err, where, "%s must be an object", where);
    const char *type = "";
    if (!json_get_string(obj, where, "mediaType", &type, err))
        return false;
    d.media_type = arena_strdup(a, type);
    if (!json_need(obj, where, "digest", err) || !json_get_string(obj, where, "digest", &digest, err))
        return false;
    text_format(param, sizeof param, "%s.digest", where);
    if (digest == NULL || !digest_valid(digest))
        return err_param(err, param, "%s must be sha256: and 64 digits of 0-9a-f", param);
    memcpy(d.digest, digest, DIGEST_TEXT);
    /* Not json_get_int: 3.0 is no size. */
    const json_t *size = json_object_get(obj, "size");
    text_format(param, sizeof param, "%s.size", where);
    if (!json_is_integer(size) || json_integer_value(size) < 0 || json_integer_value(size) > MANIFEST_SIZE_MAX)
        return err_param(err, param, "%s must be a whole number from 0 to 2^53", param);
    d.size = (uint64_t)json_integer_value(size);
    if (!annotations_read(obj, where, a, &d, layer, err))
        return false;
    *ret = d;
    return true;
}

static bool layer_read(const json_t *obj, size_t index, struct arena *a, struct descriptor *ret, struct err *err)
{
    char where[MANIFEST_WHERE];
    struct descriptor d = {.media_type = ""};
    text_format(where, sizeof where, "layers[%zu]", index);
    if (!descriptor_read(obj, where, a, &d, true, err))
        return false;
    d.role = LAYER_OTHER;
    for (size_t i = 0; i < ARRAY_LEN(layer_types); i++) {
        if (strcmp(d.media_type, layer_types[i].media_type) != 0)
            continue;
        if (layer_types[i].named && d.filepath == NULL)
            return err_param(err, where, "%s has type %s and no annotation " OCI_ANNOTATION_FILEPATH, where,
                             d.media_type);
        d.role = layer_role_of(&d, &layer_types[i]);
    }
    *ret = d;
    return true;
}

static bool manifest_parse(const void *bytes, size_t n, json_t **ret_root, struct err *err)
{
    if (n > LIMIT_MANIFEST_BYTES)
        return err_set(err, ERR_TOO_LARGE, "the manifest has %zu bytes, more than %d", n, (int)LIMIT_MANIFEST_BYTES);
    _cleanup_(json_free) json_t *root = NULL;
    if (!json_parse(bytes, n, &root, err))
        return err_while(err, "reading the manifest");
    if (!json_is_object(root))
        return err_set(err, ERR_INVALID, "the manifest is not a JSON object");
    const json_t *version = json_object_get(root, "schemaVersion");
    if (!json_is_integer(version) || json_integer_value(version) != 2)
        return err_set(err, ERR_UNSUPPORTED, "the manifest's schemaVersion is not 2; schema 1 has no models");
    *ret_root = TAKE(root);
    return true;
}

static bool config_type_check(const char *type, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(config_types); i++)
        if (strcmp(type, config_types[i]) == 0)
            return true;
    return err_set(err, ERR_UNSUPPORTED,
                   "config type \"%.200s\" is not supported (supported: %s, %s, %s) - try upgrading: "
                   "unsupported model config media type",
                   type, config_types[0], config_types[1], config_types[2]);
}

/* What was sent with it must be what it says of itself. */
static bool kind_check_sent(const char *content_type, const char *type, struct err *err)
{
    size_t sent = content_type != NULL ? strcspn(content_type, "; \t") : 0;
    if (type == NULL || sent == 0 || (strlen(type) == sent && strncasecmp(type, content_type, sent) == 0))
        return true;
    return err_set(err, ERR_PROTOCOL, "the manifest says it is %.100s, but was sent as %.*s", type,
                   (int)(sent > 100 ? 100 : sent), content_type);
}

static bool kind_by_type(const char *type, enum manifest_kind *ret_kind, struct err *err)
{
    bool index = strcmp(type, OCI_TYPE_INDEX) == 0 || strcmp(type, OCI_TYPE_DOCKER_LIST) == 0;
    bool image = strcmp(type, OCI_TYPE_MANIFEST) == 0 || strcmp(type, OCI_TYPE_DOCKER_MANIFEST) == 0;
    if (!index && !image)
        return err_set(err, ERR_UNSUPPORTED, "manifests of type %.200s are not supported", type);
    *ret_kind = index ? MANIFEST_INDEX : MANIFEST_IMAGE;
    return true;
}

bool manifest_kind_of(const char *content_type, const void *bytes, size_t n, enum manifest_kind *ret_kind,
                      struct err *err)
{
    _cleanup_(json_free) json_t *root = NULL;
    const char *type = NULL;
    if (!manifest_parse(bytes, n, &root, err) || !json_get_string(root, "", "mediaType", &type, err) ||
        !kind_check_sent(content_type, type, err))
        return false;
    bool index = json_object_get(root, "manifests") != NULL;
    bool image = json_object_get(root, "layers") != NULL;
    if (index && image)
        return err_set(err, ERR_INVALID, "the manifest has both `manifests` and `layers`");
    if (type == NULL && !index && !image)
        return err_set(err, ERR_INVALID, "the manifest has neither `layers` nor `manifests`");
    enum manifest_kind kind = index ? MANIFEST_INDEX : MANIFEST_IMAGE;
    if (type != NULL && !kind_by_type(type, &kind, err))
        return false;
    if (kind == MANIFEST_INDEX ? image : index)
        return err_set(err, ERR_INVALID, "the manifest says it is %s, but has the fields of another kind", type);
    *ret_kind = kind;
    return true;
}

static bool manifest_fill(const json_t *root, struct arena *a, struct manifest *ret, struct err *err)
{
    struct manifest m = {.config = {.media_type = ""}};
    const char *type = OCI_TYPE_MANIFEST;
    const char *artifact = NULL;
    const json_t *layers = NULL;
    if (!json_get_string(root, "", "mediaType", &type, err) ||
        !json_get_string(root, "", "artifactType", &artifact, err))
        return false;
    if (strcmp(type, OCI_TYPE_MANIFEST) != 0 && strcmp(type, OCI_TYPE_DOCKER_MANIFEST) != 0)
        return err_set(err, ERR_UNSUPPORTED, "manifests of type %.200s are not supported", type);
    m.media_type = arena_strdup(a, type);
    m.artifact_type = artifact != NULL ? arena_strdup(a, artifact) : NULL;
    if (!json_need(root, "", "config", err) ||
        !descriptor_read(json_object_get(root, "config"), "config", a, &m.config, false, err) ||
        !config_type_check(m.config.media_type, err))
        return false;
    if (!json_get_array(root, "", "layers", LIMIT_MANIFEST_LAYERS, &layers, err))
        return false;
    m.n_layers = json_array_size(layers);
    m.layers = arena_array(a, m.n_layers, sizeof *m.layers);
    for (size_t i = 0; i < m.n_layers; i++)
        if (!layer_read(json_array_get(layers, i), i, a, &m.layers[i], err))
            return false;
    *ret = m;
    return true;
}

bool manifest_read(const void *bytes, size_t n, struct arena *a, struct manifest *ret, struct err *err)
{
    _cleanup_(json_free) json_t *root = NULL;
    if (!manifest_parse(bytes, n, &root, err))
        return false;
    return manifest_fill(root, a, ret, err);
}

static bool platform_is_ours(const json_t *entry)
{
#if defined(__aarch64__)
    static const char arch[] = "arm64";
#else
    static const char arch[] = "amd64";
#endif
#if defined(__APPLE__)
    static const char os[] = "darwin";
#else
    static const char os[] = "linux";
#endif
    const json_t *platform = json_object_get(entry, "platform");
    const char *has_arch = json_string_value(json_object_get(platform, "architecture"));
    const char *has_os = json_string_value(json_object_get(platform, "os"));
    return has_arch != NULL && has_os != NULL && strcmp(has_arch, arch) == 0 && strcmp(has_os, os) == 0;
}

bool manifest_pick(const void *index_bytes, size_t n, struct arena *a, struct descriptor *ret, struct err *err)
{
    _cleanup_(json_free) json_t *root = NULL;
    const json_t *entries = NULL;
    if (!manifest_parse(index_bytes, n, &root, err) || !json_need(root, "", "manifests", err) ||
        !json_get_array(root, "", "manifests", LIMIT_MANIFEST_LAYERS, &entries, err))
        return false;
    size_t count = json_array_size(entries);
    if (count == 0)
        return err_set(err, ERR_INVALID, "the index is empty: it names no manifest");
    size_t chosen = 0;
    for (size_t i = 0; i < count; i++) {
        if (platform_is_ours(json_array_get(entries, i))) {
            chosen = i;
            break;
        }
    }
    char where[MANIFEST_WHERE];
    text_format(where, sizeof where, "manifests[%zu]", chosen);
    return descriptor_read(json_array_get(entries, chosen), where, a, ret, false, err);
}

const char *manifest_format(const struct manifest *m)
{
    static const char *const formats[] = {"gguf", "safetensors", "dduf"};
    for (size_t i = 0; i < m->n_layers; i++) {
        const struct descriptor *d = &m->layers[i];
        if (d->role != LAYER_WEIGHTS)
            continue;
        for (size_t k = 0; k < ARRAY_LEN(formats); k++) {
            size_t n = strlen(formats[k]);
            size_t len = d->filepath != NULL ? strlen(d->filepath) : 0;
            bool by_name =
                len > n && d->filepath[len - n - 1] == '.' && text_equal_nocase(d->filepath + len - n, formats[k]);
            if (by_name || contains_nocase(d->media_type, formats[k]))
                return formats[k];
        }
    }
    return NULL;
}

const char *descriptor_annotation(const struct descriptor *d, const char *key)
{
    for (size_t i = 0; i < d->n_annotations; i++)
        if (strcmp(d->annotations[i].key, key) == 0)
            return d->annotations[i].value;
    return NULL;
}
