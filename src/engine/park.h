/* engine/park: prefixes in host memory, out of the way of those who run.
 *
 *   blob = park_put(p, tokens, n, salt, size)        where to write the saved cells; NULL: no room for so much
 *   e = park_find(p, tokens, n, salt, whole, &common)  the one with the longest common beginning
 *   park_pin(p, e); … park_unpin(e)               it does not leave meanwhile
 *
 * A cell in use costs every row of every step a mask test; a prefix that nobody uses at the moment costs
 * nothing here, and coming back costs a copy (4 ms for 2,000 tokens of a 135M model, its computation 1.5 s).
 * Owns the copies. At most `bytes` of them and PARK_MOST; the least recently used leaves first. A new one
 * replaces those that it begins with. Compares token ids and the salt, never a hash. The batch thread only.
 * Tests: park_test.c; sim_test.c.
 */
#ifndef TUG_ENGINE_PARK_H
#define TUG_ENGINE_PARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PARK_MOST = 256 };

struct park;

struct park_entry {
    int32_t *tokens;
    int32_t n;
    uint64_t salt;
    void *blob;
    size_t size;
    uint64_t used_at;
    bool pinned;
};

struct park *park_new(size_t bytes);
void park_free(struct park **p);
void *park_put(struct park *p, const int32_t *tokens, int32_t n, uint64_t salt, size_t size);
/* `whole`: only one that is a beginning of `tokens` as a whole. NULL: nothing in common. */
struct park_entry *park_find(const struct park *p, const int32_t *tokens, int32_t n, uint64_t salt, bool whole,
                             int32_t *ret_common);
void park_pin(struct park *p, struct park_entry *e); /* used now, too */
void park_unpin(struct park_entry *e);
void park_drop(struct park *p, struct park_entry *e);
bool park_clear(struct park *p); /* false: there was nothing */

size_t park_bytes(const struct park *p);
uint64_t park_evictions(const struct park *p);

#endif
