/* cli/sse_fuzz.c: any bytes, in two pieces, give the same events as in one. */
#include "cli/sse.h"

#include <stdint.h>
#include <stdlib.h>

static bool fuzz_each(void *ctx, const char *data, size_t n, struct err *err)
{
    (void)data;
    (void)err;
    *(size_t *)ctx += n + 1;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sse whole = SSE_INIT, split = SSE_INIT;
    size_t a = 0, b = 0, half = n / 2;
    sse_push(&whole, (const char *)data, n, fuzz_each, &a, NULL);
    sse_push(&split, (const char *)data, half, fuzz_each, &b, NULL);
    sse_push(&split, (const char *)data + half, n - half, fuzz_each, &b, NULL);
    if (a != b)
        abort();
    sse_done(&whole);
    sse_done(&split);
    return 0;
}
