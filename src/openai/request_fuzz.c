/* Fuzz target: any bytes as a body of each kind. The first byte picks the kind. */
#include "openai/request.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum openai_kind kinds[] = {OPENAI_CHAT, OPENAI_COMPLETION, OPENAI_EMBEDDING};
    if (size == 0)
        return 0;
    struct arena a = ARENA_INIT;
    struct openai_request r;
    struct err err = ERR_INIT;
    (void)openai_request_parse(kinds[data[0] % 3], (const char *)data + 1, size - 1, &a, &r, &err);
    arena_done(&a);
    return 0;
}
