/* partial_fuzz: the state and journal of an unfinished blob, damaged in any way. */
#include "store/partial.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct partial_header h;
    struct partial_mark mark;
    size_t end = 0;
    if (partial_header_decode(data, size, &h) &&
        (strlen(h.digest) >= sizeof h.digest || strlen(h.boot_id) >= sizeof h.boot_id))
        __builtin_trap();
    if (partial_frontier(data, size, 100 * PARTIAL_GRAIN_BYTES) > 100 * PARTIAL_GRAIN_BYTES)
        __builtin_trap();
    if (partial_last_mark(data, size, 1000000, &mark, &end) &&
        (mark.frontier > 1000000 || mark.offset > mark.frontier || mark.offset % 64 != 0 || end > size))
        __builtin_trap();
    return 0;
}
