/* distribution/repackage.c: see distribution.h: a model again, under another name, with another context size. Its
 * layers are shared; only a config and a manifest are new. */
#include "distribution/distribution.h"

#include "base/cleanup.h"
#include "base/limits.h"

#include <string.h>

static bool repackage_put(struct store *s, const struct model *source, const struct model_config *config,
                          const struct reference *target, char ret_id[DIGEST_TEXT], struct err *err)
{
    _cleanup_(store_lease_end) struct store_lease *lease = NULL;
    _cleanup_(buf_done) struct buf text = BUF_INIT(LIMIT_MANIFEST_BYTES), manifest = BUF_INIT(LIMIT_MANIFEST_BYTES);
    struct manifest m = source->manifest;
    if (!model_config_write(config, m.layers, m.n_layers, &text, err))
        return false;
    digest_of(text.data, text.len, m.config.digest);
    m.config.size = text.len;
    return store_lease_begin(s, &lease, err) && store_lease_add(lease, m.config.digest, err) &&
           store_put_blob(s, text.data, text.len, NULL, err) && manifest_write(&m, &manifest, err) &&
           store_put_manifest(s, manifest.data, manifest.len, target, ret_id, err);
}

bool distribution_repackage(struct store *s, const struct model *source, int64_t context_size,
                            const struct reference *target, char ret_id[DIGEST_TEXT], struct err *err)
{
    struct model_config config = source->config;
    if (strcmp(source->manifest.config.media_type, OCI_TYPE_CONFIG_CNCF) == 0 && context_size > 0)
        return err_param(err, "context_size",
                         "the model is in ModelPack's form, which has no field for a context size; use 'configure "
                         "--context-size', or package its GGUF file again");
    if (context_size == 0) {
        memcpy(ret_id, source->id, DIGEST_TEXT);
        return store_tag(s, source->id, target, err);
    }
    config.context_size = context_size;
    return repackage_put(s, source, &config, target, ret_id, err) || err_while(err, "repackaging %s", target->text);
}
