/* platform/cgroup.c: see cgroup.h. Nothing here is an error: without cgroups there is no limit. */
#include "platform/cgroup.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool small_read(const char *path, char *dst, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, dst, size - 1);
    close(fd);
    if (n < 0)
        return false;
    dst[n] = '\0';
    return true;
}

bool cgroup_read(const char *folder, const char *name, char *dst, size_t size)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    return n > 0 && (size_t)n < sizeof path && small_read(path, dst, size);
}

void cgroup_each(void (*each)(void *ctx, const char *folder), void *ctx)
{
    static const char root[] = "/sys/fs/cgroup";
    char own[2048];
    char path[PATH_MAX];
    if (!small_read("/proc/self/cgroup", own, sizeof own))
        return;
    const char *v2 = strncmp(own, "0::", 3) == 0 ? own : strstr(own, "\n0::");
    if (v2 == NULL)
        return;
    const char *group = strchr(v2, '/');
    if (group == NULL)
        return;
    int n = snprintf(path, sizeof path, "%s%.*s", root, (int)strcspn(group, "\n"), group);
    if (n < 0 || (size_t)n >= sizeof path)
        return;
    for (size_t len = (size_t)n; len >= sizeof root - 1;) {
        path[len] = '\0';
        each(ctx, path);
        while (len > 0 && path[len - 1] != '/')
            len--;
        if (len > 0)
            len--;
    }
}
