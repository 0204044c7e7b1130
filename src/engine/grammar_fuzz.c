/* Fuzz target: any bytes as a grammar, a text to match after a NUL. */
#include "engine/grammar.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size == 0 ? NULL : memchr(data, 0, size);
    size_t n = nul == NULL ? size : (size_t)(nul - data);
    struct grammar *g = NULL;
    struct err err = ERR_INIT;
    if (!grammar_parse((const char *)data, n, &g, &err))
        return 0;
    struct matcher *m = matcher_new(g);
    for (size_t i = n + 1; i < size && matcher_feed(m, (const char *)data + i, 1); i++)
        (void)matcher_must_end(m);
    matcher_free(&m);
    grammar_unref(&g);
    return 0;
}
