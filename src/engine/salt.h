/* engine/salt: the number that stands for a client's cache key (SipHash-2-4, Aumasson and Bernstein 2012).
 *
 * Requests share computed prefixes only where their salts are equal. The key of the hash is drawn when the
 * engine starts and never told, so nobody can make a cache key that collides with somebody else's. Pure.
 * Tests: salt_test.c.
 */
#ifndef TUG_ENGINE_SALT_H
#define TUG_ENGINE_SALT_H

#include <stdint.h>

struct salt_key {
    uint64_t half[2];
};

/* 0 for no cache key (NULL), never 0 for one. */
uint64_t salt_of(const struct salt_key *key, const char *cache_key);

#endif
