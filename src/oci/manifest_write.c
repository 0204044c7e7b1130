/* oci/manifest_write.c: manifests in DMR's key order, compact. The bytes are the model's id: whatever changes here
 * changes the id of every new package. */
#include "oci/manifest.h"

#include "json/json_write.h"

static void descriptor_write(struct json_out *j, const struct descriptor *d)
{
    json_open(j, '{');
    json_kv_str(j, "mediaType", d->media_type);
    json_kv_uint(j, "size", d->size);
    json_kv_str(j, "digest", d->digest);
    if (d->n_annotations > 0) {
        json_key(j, "annotations");
        json_open(j, '{');
        for (size_t i = 0; i < d->n_annotations; i++)
            json_kv_str(j, d->annotations[i].key, d->annotations[i].value);
        json_close(j, '}');
    }
    json_close(j, '}');
}

bool manifest_write(const struct manifest *m, struct buf *out, struct err *err)
{
    struct json_out j = JSON_OUT(out);
    json_open(&j, '{');
    json_kv_int(&j, "schemaVersion", 2);
    json_kv_str(&j, "mediaType", m->media_type != NULL ? m->media_type : OCI_TYPE_MANIFEST);
    if (m->artifact_type != NULL)
        json_kv_str(&j, "artifactType", m->artifact_type);
    json_key(&j, "config");
    descriptor_write(&j, &m->config);
    json_key(&j, "layers");
    json_open(&j, '[');
    for (size_t i = 0; i < m->n_layers; i++)
        descriptor_write(&j, &m->layers[i]);
    json_close(&j, ']');
    json_close(&j, '}');
    if (!json_ok(&j))
        return err_set(err, ERR_TOO_LARGE, "the manifest would have more than %zu bytes", out->max);
    return true;
}
