/* platform/memory.c: /proc/meminfo, and the smallest room that any cgroup above us leaves. */
#include "platform/memory.h"

#include "platform/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A line "Name:   123 kB" of /proc/meminfo or the like. */
static uint64_t kib_line(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10) * 1024;
}

struct room {
    uint64_t total, available;
};

/* A line "name 123" of memory.stat, in bytes. */
static uint64_t stat_line(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
}

static void room_take_group(void *ctx, const char *folder)
{
    struct room *room = ctx;
    char text[64];
    char stat[8192];
    if (!cgroup_read(folder, "memory.max", text, sizeof text) || text[0] < '0' || text[0] > '9') /* "max" */
        return;
    uint64_t limit = strtoull(text, NULL, 10);
    uint64_t used = 0;
    if (cgroup_read(folder, "memory.current", text, sizeof text))
        used = strtoull(text, NULL, 10);
    if (cgroup_read(folder, "memory.stat", stat, sizeof stat)) {
        /* Pages of files that nobody maps go when memory is asked for, so they count as free: those of a model that was
         * just pulled and read again are active, and more than the model needs. */
        uint64_t cache = stat_line(stat, "\ninactive_file ") + stat_line(stat, "\nactive_file ");
        uint64_t mapped = stat_line(stat, "\nfile_mapped ");
        cache -= mapped < cache ? mapped : cache;
        used -= cache < used ? cache : used;
    }
    if (limit < room->total)
        room->total = limit;
    uint64_t left = limit > used ? limit - used : 0;
    if (left < room->available)
        room->available = left;
}

static struct room room_read(void)
{
    char text[4096];
    struct room room = {0};
    if (cgroup_read("/proc", "meminfo", text, sizeof text)) {
        room.total = kib_line(text, "MemTotal:");
        room.available = kib_line(text, "MemAvailable:");
    }
    cgroup_each(room_take_group, &room);
    return room;
}

uint64_t memory_total_bytes(void) { return room_read().total; }
uint64_t memory_available_bytes(void) { return room_read().available; }

uint64_t memory_process_bytes(pid_t pid)
{
    char folder[32];
    char text[128];
    snprintf(folder, sizeof folder, "/proc/%ld", (long)pid);
    if (!cgroup_read(folder, "statm", text, sizeof text))
        return 0;
    const char *resident = strchr(text, ' ');
    return resident == NULL ? 0 : strtoull(resident, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}
