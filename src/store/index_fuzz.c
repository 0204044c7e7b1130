/* index_fuzz: index.json from anywhere: read, resolved, changed. */
#include "base/text.h"
#include "store/index.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct index x = INDEX_INIT;
    struct index_match match;
    struct index_entry e;
    struct err err = ERR_INIT;
    char id[DIGEST_TEXT];
    digest_of(data, size, id);
    if (!index_parse((const char *)data, size, &x, &err))
        return 0;
    index_resolve(&x, "x", &match, &err);
    index_add(&x, id, OCI_TYPE_MANIFEST, size, "docker.io/ai/x:latest");
    index_add(&x, id, OCI_TYPE_MANIFEST, size, NULL);
    if (!index_resolve(&x, id, &match, &err) || !index_resolve(&x, "ai/x", &match, &err))
        __builtin_trap();
    for (size_t i = index_count(&x); i-- > 0;)
        if (index_get(&x, i, &e))
            index_untag(&x, i);
    index_done(&x);
    return 0;
}
