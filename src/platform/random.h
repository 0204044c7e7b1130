/* platform/random: bytes that nobody can guess, from the kernel. Any thread; never fails. */
#ifndef TUG_PLATFORM_RANDOM_H
#define TUG_PLATFORM_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void random_bytes(void *dst, size_t n);
uint64_t random_u64(void);
/* n characters of [0-9a-z] and a NUL: ids of requests and answers. */
void random_id(char *dst, size_t n);

#endif
