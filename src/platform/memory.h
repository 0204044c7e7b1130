/* platform/memory: how much there is. cgroup limits count. */
#ifndef TUG_PLATFORM_MEMORY_H
#define TUG_PLATFORM_MEMORY_H

#include <stdint.h>
#include <sys/types.h>

uint64_t memory_total_bytes(void);
uint64_t memory_available_bytes(void);    /* without swapping, as the kernel estimates */
uint64_t memory_process_bytes(pid_t pid); /* resident set of a process, 0 if unknown */

#endif
