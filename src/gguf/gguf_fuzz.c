/* gguf/gguf_fuzz: bytes as a GGUF file; what is taken is summed up, sized and walked through. */
#include "gguf/gguf.h"

#include "base/check.h"
#include "base/cleanup.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_opened(const struct gguf *g, uint64_t file_size)
{
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    struct model_config config;
    struct gguf_needs needs;
    CHECK(gguf_data_offset(g) <= file_size);
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        CHECK(t->bytes <= file_size && gguf_data_offset(g) + t->offset <= file_size - t->bytes);
    }
    for (size_t i = 0; i < gguf_kv_count(g); i++) {
        struct gguf_value item;
        (void)gguf_array_item(&gguf_kv_at(g, i)->value, 3, &item);
    }
    gguf_summary(&g, 1, &a, &config);
    gguf_needs(g, 0, &needs);
    gguf_needs(g, UINT64_MAX, &needs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t beyond[] = {0, 4096, UINT64_C(1) << 40};
    for (size_t i = 0; i < ARRAY_LEN(beyond); i++) {
        _cleanup_(gguf_close) struct gguf *g = NULL;
        if (gguf_open_bytes(data, size, size + beyond[i], &g, NULL))
            fuzz_opened(g, size + beyond[i]);
    }
    return 0;
}
