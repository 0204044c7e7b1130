/* oci/manifest_fuzz: bytes as a manifest, an index and a config; what is read can be written and read again. */
#include "oci/manifest.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_config(const char *type, const uint8_t *data, size_t size)
{
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    _cleanup_(buf_done) struct buf out = BUF_INIT(LIMIT_MANIFEST_BYTES);
    struct model_config c;
    struct model_config again;
    if (!model_config_read(type, data, size, &a, &c, NULL))
        return;
    if (model_config_write(&c, NULL, 0, &out, NULL))
        CHECK(model_config_read(OCI_TYPE_CONFIG_V01, out.data, out.len, &a, &again, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    _cleanup_(buf_done) struct buf out = BUF_INIT(LIMIT_MANIFEST_BYTES);
    struct manifest m;
    struct manifest again;
    struct descriptor d;
    enum manifest_kind kind;
    (void)manifest_kind_of(NULL, data, size, &kind, NULL);
    (void)manifest_pick(data, size, &a, &d, NULL);
    if (manifest_read(data, size, &a, &m, NULL) && manifest_write(&m, &out, NULL)) {
        CHECK(manifest_read(out.data, out.len, &a, &again, NULL));
        CHECK(again.n_layers == m.n_layers && strcmp(again.config.digest, m.config.digest) == 0);
        for (size_t i = 0; i < m.n_layers; i++)
            CHECK(m.layers[i].filepath == NULL || (m.layers[i].filepath[0] != '\0' && m.layers[i].filepath[0] != '/'));
    }
    fuzz_config(OCI_TYPE_CONFIG_V01, data, size);
    fuzz_config(OCI_TYPE_CONFIG_CNCF, data, size);
    return 0;
}
