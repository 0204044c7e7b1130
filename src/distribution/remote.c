/* distribution/remote.c: see distribution.h: a model as a registry has it, nothing stored. */
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "distribution/job.h"
#include "http/client/http_client.h"
#include "registry/registry.h"

#include <string.h>

static bool remote_manifest(struct registry *r, const struct reference *ref, struct arena *a, struct model *m,
                            struct err *err)
{
    char which[DIGEST_TEXT + 64];
    text_format(which, sizeof which, "%s", ref->digest[0] != '\0' ? ref->digest : ref->tag);
    for (int depth = 0; depth < 3; depth++) {
        struct registry_manifest got = {.bytes = BUF_INIT(LIMIT_MANIFEST_BYTES)};
        struct descriptor entry;
        enum manifest_kind kind = MANIFEST_IMAGE;
        if (!registry_get_manifest(r, ref->repository, which, &got, err))
            return false;
        bool image = false;
        bool ok = manifest_kind_of(got.content_type, buf_str(&got.bytes), got.bytes.len, &kind, err);
        if (ok && kind == MANIFEST_IMAGE) {
            image = ok = manifest_read(buf_str(&got.bytes), got.bytes.len, a, &m->manifest, err);
            text_format(m->id, sizeof m->id, "%s", got.digest);
        } else if (ok) {
            ok = manifest_pick(buf_str(&got.bytes), got.bytes.len, a, &entry, err);
            text_format(which, sizeof which, "%s", ok ? entry.digest : "");
        }
        registry_manifest_done(&got);
        if (image || !ok)
            return ok;
    }
    return err_set(err, ERR_PROTOCOL, "%s is an index of indexes", ref->text);
}

static bool remote_config(struct registry *r, const struct reference *ref, struct arena *a, struct model *m,
                          struct err *err)
{
    const struct descriptor *config = &m->manifest.config;
    _cleanup_(buf_done) struct buf bytes = BUF_INIT(LIMIT_MANIFEST_BYTES);
    _cleanup_(http_call_close) struct http_call *call = NULL;
    uint64_t from = 0;
    char actual[DIGEST_TEXT];
    if (!registry_open_blob(r, ref->repository, config->digest, 0, config->size, &from, &call, err) ||
        !http_call_read_all(call, &bytes, err))
        return false;
    digest_of(buf_str(&bytes), bytes.len, actual);
    if (strcmp(actual, config->digest) != 0)
        return err_set(err, ERR_PROTOCOL, "%s sent wrong bytes for %s: they are %s", ref->registry, config->digest,
                       actual);
    if (!model_config_read(config->media_type, buf_str(&bytes), bytes.len, a, &m->config, err))
        return false;
    if (m->config.format == NULL)
        m->config.format = manifest_format(&m->manifest);
    return true;
}

bool distribution_remote(struct distribution *d, const char *reference, struct arena *a, struct model *ret,
                         struct err *err)
{
    struct reference ref;
    struct model m = {.n_names = 0};
    _cleanup_(registry_close) struct registry *r = NULL;
    struct registry_options options = {.insecure = d->options.insecure, .mirrors = d->options.mirrors, .cancel_fd = -1};
    if (!reference_parse(reference, &ref, err) || !registry_open(ref.registry, &options, &r, err) ||
        !remote_manifest(r, &ref, a, &m, err) || !remote_config(r, &ref, a, &m, err))
        return err_while(err, "reading %s", reference);
    m.created_wall_ns = m.config.created_wall_ns;
    *ret = m;
    return true;
}
