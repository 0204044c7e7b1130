/* oci/manifest: manifests, indexes and model configs, read from untrusted bytes and written.
 *
 * Reading accepts: OCI and Docker manifests with Docker's model config v0.1 and v0.2, CNCF
 * ModelPack; an index resolves to one entry. Everything is copied into the given arena. Limits:
 * LIMIT_MANIFEST_BYTES, LIMIT_MANIFEST_LAYERS; sizes are 0..2^53; digests must be digest_valid.
 * Writing gives DMR's exact key order, compact. No I/O. Any thread.
 * Facts: dmr.md 4.1-4.4, distribution.md 1.2.
 */
#ifndef TUG_OCI_MANIFEST_H
#define TUG_OCI_MANIFEST_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "oci/digest.h"

#define OCI_TYPE_MANIFEST         "application/vnd.oci.image.manifest.v1+json"
#define OCI_TYPE_INDEX            "application/vnd.oci.image.index.v1+json"
#define OCI_TYPE_DOCKER_MANIFEST  "application/vnd.docker.distribution.manifest.v2+json"
#define OCI_TYPE_DOCKER_LIST      "application/vnd.docker.distribution.manifest.list.v2+json"
#define OCI_TYPE_CONFIG_V01       "application/vnd.docker.ai.model.config.v0.1+json"
#define OCI_TYPE_CONFIG_V02       "application/vnd.docker.ai.model.config.v0.2+json"
#define OCI_TYPE_CONFIG_CNCF      "application/vnd.cncf.model.config.v1+json"
#define OCI_ARTIFACT_CNCF         "application/vnd.cncf.model.manifest.v1+json"
#define OCI_TYPE_GGUF             "application/vnd.docker.ai.gguf.v3"
#define OCI_TYPE_MMPROJ           "application/vnd.docker.ai.mmproj"
#define OCI_TYPE_TEMPLATE         "application/vnd.docker.ai.chat.template.jinja"
#define OCI_TYPE_LICENSE          "application/vnd.docker.ai.license"
#define OCI_TYPE_CNCF_WEIGHT      "application/vnd.cncf.model.weight.v1.raw"
#define OCI_TYPE_CNCF_CONFIG_FILE "application/vnd.cncf.model.weight.config.v1.raw"
#define OCI_TYPE_CNCF_DOC         "application/vnd.cncf.model.doc.v1.raw"
#define OCI_ANNOTATION_FILEPATH   "org.cncf.model.filepath"
#define OCI_ANNOTATION_REF_NAME   "org.opencontainers.image.ref.name"
#define OCI_ANNOTATION_CONTAINERD "io.containerd.image.name"

/* What a layer is for; one row per media type in manifest.c. */
enum layer_role { LAYER_WEIGHTS, LAYER_MMPROJ, LAYER_TEMPLATE, LAYER_LICENSE, LAYER_CONFIG_FILE, LAYER_OTHER };

struct annotation {
    const char *key, *value;
};

struct descriptor {
    const char *media_type;
    char digest[DIGEST_TEXT];
    uint64_t size;
    const struct annotation *annotations;
    size_t n_annotations;
    enum layer_role role; /* layers only */
    const char *filepath; /* the annotation, checked: relative, no `..`, no NUL; NULL if none */
};

struct manifest {
    const char *media_type;
    const char *artifact_type; /* NULL if none */
    struct descriptor config;
    struct descriptor *layers;
    size_t n_layers;
};

struct config_pair {
    const char *key, *value;
};

/* DMR's "config" object; NULL or 0 where absent. ModelPack is mapped to this form. */
struct model_config {
    const char *format, *quantization, *parameters, *architecture, *size;
    const struct config_pair *gguf;
    size_t n_gguf;
    int64_t context_size;    /* 0: absent; -1 is allowed */
    int64_t created_wall_ns; /* descriptor.created; 0: absent */
};

enum manifest_kind { MANIFEST_IMAGE, MANIFEST_INDEX };

/* `content_type` may be NULL; with parameters they are cut. A mediaType in the body that differs is refused. */
bool manifest_kind_of(const char *content_type, const void *bytes, size_t n, enum manifest_kind *ret_kind,
                      struct err *err);
/* Config type not one of ours: ERR_UNSUPPORTED, DMR's text. */
bool manifest_read(const void *bytes, size_t n, struct arena *a, struct manifest *ret, struct err *err);
/* The entry of an index to use: the only one, else this platform's, else the first. Its descriptor, into the arena. */
bool manifest_pick(const void *index_bytes, size_t n, struct arena *a, struct descriptor *ret, struct err *err);
bool manifest_write(const struct manifest *m, struct buf *out, struct err *err);

/* `config_type`: the manifest's config media type. */
bool model_config_read(const char *config_type, const void *bytes, size_t n, struct arena *a, struct model_config *ret,
                       struct err *err);
/* Docker form: config, descriptor.created, rootfs.diff_ids (the layers' digests). */
bool model_config_write(const struct model_config *c, const struct descriptor *layers, size_t n_layers, struct buf *out,
                        struct err *err);

/* ModelPack's form: descriptor.createdAt and family, modelfs.diffIds, config; it has no size, context or GGUF map. */
bool model_config_write_modelpack(const struct model_config *c, const struct descriptor *layers, size_t n_layers,
                                  struct buf *out, struct err *err);

/* "gguf", "safetensors" or "dduf" from the weights' types or names, for a config that does not say (ModelPack); NULL:
 * it cannot be told. */
const char *manifest_format(const struct manifest *m);

const char *descriptor_annotation(const struct descriptor *d, const char *key); /* NULL if none */

#endif
