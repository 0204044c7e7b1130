/* platform/port_holder.c: /proc/net/tcp gives the socket's inode, /proc/PID/fd the process that has it open.
 * Other users' descriptors cannot be read without privilege: then the port is simply "taken". */
#include "platform/port_holder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "  0: 0100007F:30BA 00000000:0000 0A ... inode": state 0A is listening. 0: no such line. */
static unsigned long inode_in_table(const char *table, uint16_t port)
{
    char line[512];
    unsigned long inode = 0;
    FILE *f = fopen(table, "re");
    if (f == NULL)
        return 0;
    while (inode == 0 && fgets(line, sizeof line, f) != NULL) {
        char *fields[10] = {NULL}; /* number, local, remote, state, queues, timer, retransmits, user, timeout, inode */
        char *rest = line;
        size_t n = 0;
        while (n < 10 && (fields[n] = strtok_r(rest, " \n", &rest)) != NULL)
            n++;
        const char *local = n == 10 ? strrchr(fields[1], ':') : NULL;
        if (local != NULL && strtoul(local + 1, NULL, 16) == port && strcmp(fields[3], "0A") == 0)
            inode = strtoul(fields[9], NULL, 10);
    }
    fclose(f);
    return inode;
}

static bool process_has(const char *pid, const char *wanted)
{
    char folder[64];
    char target[64];
    bool has = false;
    snprintf(folder, sizeof folder, "/proc/%.20s/fd", pid);
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return false;
    for (struct dirent *e; !has && (e = readdir(dir)) != NULL;) {
        ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof target - 1);
        if (n <= 0)
            continue;
        target[n] = '\0';
        has = strcmp(target, wanted) == 0;
    }
    closedir(dir);
    return has;
}

static void name_of(const char *pid, char *dst, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%.20s/comm", pid);
    FILE *f = fopen(path, "re");
    if (f == NULL || fgets(dst, (int)size, f) == NULL)
        snprintf(dst, size, "?");
    if (f != NULL)
        fclose(f);
    dst[strcspn(dst, "\n")] = '\0';
}

bool port_holder_find(uint16_t port, char *dst, size_t size)
{
    char wanted[64];
    char name[64];
    bool found = false;
    unsigned long inode = inode_in_table("/proc/net/tcp", port);
    if (inode == 0)
        inode = inode_in_table("/proc/net/tcp6", port);
    DIR *dir = inode == 0 ? NULL : opendir("/proc");
    if (dir == NULL)
        return false;
    snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
    for (struct dirent *e; !found && (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || !process_has(e->d_name, wanted))
            continue;
        name_of(e->d_name, name, sizeof name);
        snprintf(dst, size, "'%s' (process %s)", name, e->d_name);
        found = true;
    }
    closedir(dir);
    return found;
}
