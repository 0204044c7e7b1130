/* distribution/package.c: see distribution.h: an artifact from files, in Docker's form or ModelPack's (dmr.md 4.1-4.6).
 *
 * The id depends on the files' contents, their names and the options, and on nothing else: no modification times
 * (DMR has them in annotations, so that equal files get different ids), and no date of creation unless
 * SOURCE_DATE_EPOCH gives one. A model without a date is listed by when it came into the store. */
#include "distribution/distribution.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "distribution/tar_out.h"
#include "gguf/gguf.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/process.h"

#include <stdlib.h>
#include <string.h>

/* EXTRA: entries of the archive beside the layers: two folders, config, manifest. */
enum { PACKAGE_READ = 1024 * 1024, PACKAGE_TEXT_MAX = 16 * 1024 * 1024, PACKAGE_EXTRA = 4 };

struct package {
    struct arena arena;
    const char **paths; /* of each layer */
    struct descriptor *layers;
    size_t n_layers;
    size_t room;
    bool cncf;
    struct buf config, manifest;
    char id[DIGEST_TEXT];
    struct tar_out tar;
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* ModelPack tells layers of one type apart by their names (oci/manifest.c): a name without `mark` gets it, before or
 * behind. */
static const struct pack_role {
    enum layer_role role;
    const char *type, *cncf_type, *mark, *before, *behind;
} pack_roles[] = {
    {LAYER_WEIGHTS, OCI_TYPE_GGUF, OCI_TYPE_CNCF_WEIGHT, "", "", ""},
    {LAYER_LICENSE, OCI_TYPE_LICENSE, OCI_TYPE_CNCF_DOC, "LICENSE", "LICENSE-", ""},
    {LAYER_TEMPLATE, OCI_TYPE_TEMPLATE, OCI_TYPE_CNCF_CONFIG_FILE, ".jinja", "", ".jinja"},
    {LAYER_MMPROJ, OCI_TYPE_MMPROJ, OCI_TYPE_CNCF_WEIGHT, "mmproj", "mmproj-", ""},
};

static const struct pack_role *pack_role(enum layer_role role)
{
    for (size_t i = 0; i < ARRAY_LEN(pack_roles); i++)
        if (pack_roles[i].role == role)
            return &pack_roles[i];
    CHECK(false);
}

static bool hash_file(const char *path, uint64_t max, struct descriptor *d, struct err *err)
{
    _cleanup_(file_close) int fd = -1;
    struct digest_hash hash;
    uint64_t size = 0;
    size_t n = 0;
    if (file_stat(path).kind == FILE_KIND_DIR)
        return err_set(err, ERR_INVALID, "%s is a folder, not a file", path);
    if (!file_open(path, FILE_READ, &fd, err))
        return false;
    _cleanup_free_ unsigned char *bytes = check_alloc(malloc(PACKAGE_READ));
    digest_start(&hash);
    do {
        if (!file_read_some(fd, bytes, PACKAGE_READ, path, &n, err))
            return false;
        digest_add(&hash, bytes, n);
        size += n;
        if (size > max)
            return err_set(err, ERR_TOO_LARGE, "%s is larger than %llu bytes", path, (unsigned long long)max);
    } while (n > 0);
    digest_end(&hash, d->digest);
    d->size = size;
    return true;
}

/* Two files of one name would become one where a layer is unpacked by its name. */
static bool pack_name_free(const struct package *p, const char *name, const char *path, struct err *err)
{
    for (size_t i = 0; p->cncf && i < p->n_layers; i++)
        if (strcmp(p->layers[i].filepath, name) == 0)
            return err_set(err, ERR_INVALID, "%s and %s would both be called %s; rename one", p->paths[i], path, name);
    return true;
}

static bool pack_file(struct package *p, const char *path, enum layer_role role, struct err *err)
{
    const struct pack_role *row = pack_role(role);
    bool text = role == LAYER_LICENSE || role == LAYER_TEMPLATE;
    struct descriptor d = {.role = role, .media_type = p->cncf ? row->cncf_type : row->type, .n_annotations = 1};
    if (p->n_layers == p->room)
        return err_set(err, ERR_TOO_LARGE, "a model has at most %d files", (int)LIMIT_MANIFEST_LAYERS);
    if (!hash_file(path, text ? PACKAGE_TEXT_MAX : UINT64_C(1) << 53, &d, err))
        return false;
    if (role == LAYER_TEMPLATE && d.size == 0)
        return err_set(err, ERR_INVALID, "the chat template %s is empty", path);
    const char *name = base_name(path);
    bool marked = !p->cncf || strstr(name, row->mark) != NULL;
    d.filepath = arena_printf(&p->arena, "%s%s%s", marked ? "" : row->before, name, marked ? "" : row->behind);
    if (!pack_name_free(p, d.filepath, path, err))
        return false;
    struct annotation *annotation = arena_alloc(&p->arena, sizeof *annotation);
    *annotation = (struct annotation){OCI_ANNOTATION_FILEPATH, d.filepath};
    d.annotations = annotation;
    p->paths[p->n_layers] = arena_strdup(&p->arena, path);
    p->layers[p->n_layers++] = d;
    return true;
}

/* ---- the weights ------------------------------------------------------------------------------ */

static void shards_close(struct gguf **shards, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gguf_close(&shards[i]);
}

static bool shards_check(const struct gguf *first, const char *path, size_t n, struct err *err)
{
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    const char *architecture = gguf_get_str(first, "general.architecture", &a);
    uint64_t count = 0;
    if (architecture != NULL && strcmp(architecture, "clip") == 0)
        return err_set(err, ERR_INVALID, "%s is a multimodal projector; give it as mmproj, beside a model", path);
    if (gguf_get_u64(first, "split.count", &count) && count > 1 && count != n)
        return err_set(err, ERR_INVALID,
                       "%s is one of %llu shards, but its name does not say so: the names must end in "
                       "-00001-of-%05llu.gguf and so on",
                       path, (unsigned long long)count, (unsigned long long)count);
    if (gguf_tensor_count(first) == 0 && n == 1)
        return err_set(err, ERR_INVALID, "%s has no weights: it is a vocabulary only", path);
    return true;
}

static bool pack_weights(struct package *p, const char *path, struct model_config *ret_config, struct err *err)
{
    const char **paths;
    size_t n;
    size_t opened = 0;
    if (!gguf_shards(path, &p->arena, &paths, &n, err))
        return false;
    struct gguf **shards = arena_array(&p->arena, n, sizeof(void *));
    bool ok = true;
    for (; ok && opened < n; opened += ok)
        ok = gguf_open(paths[opened], &shards[opened], err);
    ok = ok && shards_check(shards[0], paths[0], n, err);
    if (ok)
        gguf_summary((const struct gguf *const *)shards, n, &p->arena, ret_config);
    shards_close(shards, opened);
    for (size_t i = 0; ok && i < n; i++)
        ok = pack_file(p, paths[i], LAYER_WEIGHTS, err);
    return ok;
}

static bool pack_mmproj(struct package *p, const char *path, struct err *err)
{
    _cleanup_(gguf_close) struct gguf *g = NULL;
    return gguf_open(path, &g, err) && pack_file(p, path, LAYER_MMPROJ, err);
}

/* ---- config, manifest, archive ---------------------------------------------------------------- */

static bool package_created(struct model_config *c, struct err *err)
{
    const char *epoch = process_env("SOURCE_DATE_EPOCH");
    int64_t seconds = 0;
    if (epoch == NULL)
        return true;
    if (!text_to_i64(epoch, &seconds) || seconds < 0 || seconds > INT64_MAX / CLOCK_SECOND)
        return err_set(err, ERR_INVALID, "SOURCE_DATE_EPOCH is \"%.40s\", not a number of seconds since 1970", epoch);
    c->created_wall_ns = seconds * CLOCK_SECOND;
    return true;
}

/* Reads the manifest as anybody will: bad file names are refused here and not by the store. */
static bool package_check(struct package *p, struct err *err)
{
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    struct manifest again;
    if (!manifest_read(buf_str(&p->manifest), p->manifest.len, &a, &again, err))
        return err_while(err, "a file's name cannot be that of a layer; rename it");
    for (size_t i = 0; i < p->n_layers; i++)
        if (again.layers[i].role != p->layers[i].role)
            return err_set(err, ERR_INVALID, "%s: in ModelPack this name would mean another kind of file; rename it",
                           p->paths[i]);
    return true;
}

static bool package_manifest(struct package *p, const struct model_config *c, struct err *err)
{
    struct manifest m = {.layers = p->layers, .n_layers = p->n_layers};
    bool ok = p->cncf ? model_config_write_modelpack(c, p->layers, p->n_layers, &p->config, err)
                      : model_config_write(c, p->layers, p->n_layers, &p->config, err);
    if (!ok)
        return false;
    m.artifact_type = p->cncf ? OCI_ARTIFACT_CNCF : NULL;
    m.config.media_type = p->cncf ? OCI_TYPE_CONFIG_CNCF : OCI_TYPE_CONFIG_V01;
    m.config.size = p->config.len;
    digest_of(p->config.data, p->config.len, m.config.digest);
    if (!manifest_write(&m, &p->manifest, err) || !package_check(p, err))
        return false;
    digest_of(p->manifest.data, p->manifest.len, p->id);
    return true;
}

static void package_parts(struct package *p)
{
    struct tar_part *parts = arena_array(&p->arena, p->n_layers + PACKAGE_EXTRA, sizeof *parts);
    char config[DIGEST_TEXT];
    size_t n = 2;
    tar_part_folders(parts);
    for (size_t i = 0; i < p->n_layers; i++) {
        bool twice = false;
        for (size_t k = 0; k < i; k++)
            twice = twice || strcmp(p->layers[k].digest, p->layers[i].digest) == 0;
        if (twice)
            continue;
        tar_part_blob(&parts[n], p->layers[i].digest);
        parts[n].path = p->paths[i];
        parts[n++].size = p->layers[i].size;
    }
    digest_of(p->config.data, p->config.len, config);
    tar_part_blob(&parts[n], config);
    parts[n].bytes = p->config.data;
    parts[n++].size = p->config.len;
    parts[n++] = (struct tar_part){.name = TAR_MANIFEST, .bytes = p->manifest.data, .size = p->manifest.len};
    p->tar = (struct tar_out){.parts = parts, .n = n, .fd = -1};
}

static bool package_files(struct package *p, const struct package_spec *spec, struct model_config *c, struct err *err)
{
    if (!pack_weights(p, spec->gguf, c, err))
        return false;
    for (size_t i = 0; spec->licenses != NULL && spec->licenses[i] != NULL; i++)
        if (!pack_file(p, spec->licenses[i], LAYER_LICENSE, err))
            return false;
    if (spec->chat_template != NULL && !pack_file(p, spec->chat_template, LAYER_TEMPLATE, err))
        return false;
    return spec->mmproj == NULL || pack_mmproj(p, spec->mmproj, err);
}

static bool package_fill(struct package *p, const struct package_spec *spec, struct err *err)
{
    struct model_config c = {.format = NULL};
    if (spec->cncf && spec->context_size != 0)
        return err_set(err, ERR_INVALID, "a context size cannot be kept in ModelPack (cncf): it has no field for it");
    if (spec->context_size < 0 || spec->context_size > INT32_MAX)
        return err_set(err, ERR_INVALID, "the context size must be from 1 to %d", INT32_MAX);
    if (!package_files(p, spec, &c, err))
        return false;
    if (spec->context_size > 0)
        c.context_size = spec->context_size;
    if (!package_created(&c, err) || !package_manifest(p, &c, err))
        return false;
    package_parts(p);
    return true;
}

bool package_open(const struct package_spec *spec, struct package **ret_p, struct err *err)
{
    struct package *p = check_alloc(calloc(1, sizeof *p));
    *p = (struct package){.cncf = spec->cncf,
                          .room = LIMIT_MANIFEST_LAYERS,
                          .config = BUF_INIT(LIMIT_MANIFEST_BYTES),
                          .manifest = BUF_INIT(LIMIT_MANIFEST_BYTES),
                          .tar = {.fd = -1}};
    p->paths = arena_array(&p->arena, p->room, sizeof *p->paths);
    p->layers = arena_array(&p->arena, p->room, sizeof *p->layers);
    if (!package_fill(p, spec, err)) {
        package_close(&p);
        return false;
    }
    *ret_p = p;
    return true;
}

ssize_t package_read(struct package *p, void *dst, size_t max, struct err *err)
{
    return tar_out_read(&p->tar, dst, max, err);
}

uint64_t package_tar_bytes(const struct package *p) { return tar_out_bytes(&p->tar); }
const char *package_id(const struct package *p) { return p->id; }

void package_close(struct package **p)
{
    if (*p == NULL)
        return;
    tar_out_done(&(*p)->tar);
    buf_done(&(*p)->config);
    buf_done(&(*p)->manifest);
    arena_done(&(*p)->arena);
    free(*p);
    *p = NULL;
}
