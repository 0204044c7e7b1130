/* platform/cgroup: the limits that a container or a service manager put on us (Linux, cgroup v2). Internal to
 * platform/. */
#ifndef TUG_PLATFORM_CGROUP_H
#define TUG_PLATFORM_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

/* Calls each(ctx, folder) for our group and every group above it; folder is a path under /sys/fs/cgroup. */
void cgroup_each(void (*each)(void *ctx, const char *folder), void *ctx);
/* The text of a small file, cut at size - 1; false when it cannot be read. */
bool cgroup_read(const char *folder, const char *name, char *dst, size_t size);

#endif
