/* platform/file.c: descriptors: opening, reading, writing, locks, maps. Names and folders are in file_tree.c. */
#include "platform/file.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "platform/file_errno.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { FILE_IO_MAX = 1 << 30 }; /* one read or write; Linux itself stops at 2 GiB - 4096 */

bool file_errno(struct err *err, const char *verb, const char *path)
{
    int reason = errno;
    err_errno(err, reason, "%s %s", verb, path);
    if (err == NULL)
        return false;
    if (reason == ENOENT || reason == ENOTDIR)
        err->code = ERR_NOT_FOUND;
    else if (reason == EACCES || reason == EPERM || reason == EROFS)
        err->code = ERR_FORBIDDEN;
    else if (reason == EEXIST)
        err->code = ERR_CONFLICT;
    return false;
}

bool file_open(const char *path, enum file_mode mode, int *ret_fd, struct err *err)
{
    static const int flags[] = {
        [FILE_READ] = O_RDONLY,
        [FILE_READ_WRITE] = O_RDWR | O_CREAT,
        [FILE_CREATE] = O_RDWR | O_CREAT | O_EXCL,
        [FILE_APPEND] = O_WRONLY | O_CREAT | O_APPEND,
    };
    int fd;
    do
        fd = open(path, flags[mode] | O_CLOEXEC, 0600);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return file_errno(err, mode == FILE_CREATE ? "creating" : "opening", path);
    *ret_fd = fd;
    return true;
}

void file_close(int *fd)
{
    if (*fd >= 0)
        close(*fd); /* not repeated on EINTR: Linux has closed it already */
    *fd = -1;
}

bool file_pread(int fd, void *dst, size_t n, uint64_t offset, const char *path, struct err *err)
{
    char *p = dst;
    while (n > 0) {
        ssize_t got = pread(fd, p, n < FILE_IO_MAX ? n : (size_t)FILE_IO_MAX, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return file_errno(err, "reading", path);
        if (got == 0)
            return err_set(err, ERR_INTERNAL, "reading %s: it ends %zu bytes too early", path, n);
        p += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return true;
}

bool file_read_some(int fd, void *dst, size_t n, const char *path, size_t *ret_n, struct err *err)
{
    ssize_t got;
    do
        got = read(fd, dst, n < FILE_IO_MAX ? n : (size_t)FILE_IO_MAX);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return file_errno(err, "reading", path);
    *ret_n = (size_t)got;
    return true;
}

bool file_pwrite(int fd, const void *src, size_t n, uint64_t offset, const char *path, struct err *err)
{
    const char *p = src;
    while (n > 0) {
        ssize_t put = pwrite(fd, p, n < FILE_IO_MAX ? n : (size_t)FILE_IO_MAX, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return file_errno(err, "writing", path);
        p += put;
        n -= (size_t)put;
        offset += (uint64_t)put;
    }
    return true;
}

bool file_write(int fd, const void *src, size_t n, const char *path, struct err *err)
{
    const char *p = src;
    while (n > 0) {
        ssize_t put = write(fd, p, n < FILE_IO_MAX ? n : (size_t)FILE_IO_MAX);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return file_errno(err, "writing", path);
        p += put;
        n -= (size_t)put;
    }
    return true;
}

bool file_sync(int fd, const char *path, struct err *err)
{
    return fdatasync(fd) == 0 ? true : file_errno(err, "syncing", path);
}

bool file_sync_dir(const char *dir, struct err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return file_errno(err, "opening the folder", dir);
    bool ok = fsync(fd) == 0 || errno == EINVAL; /* EINVAL: a file system without it */
    if (!ok)
        file_errno(err, "syncing the folder", dir);
    close(fd);
    return ok;
}

bool file_truncate(int fd, uint64_t size, const char *path, struct err *err)
{
    int rc;
    do
        rc = ftruncate(fd, (off_t)size);
    while (rc < 0 && errno == EINTR);
    return rc == 0 ? true : file_errno(err, "setting the length of", path);
}

bool file_allocate(int fd, uint64_t size, const char *path, struct err *err)
{
    struct stat before;
    struct statvfs fs;
    if (fstat(fd, &before) < 0 || fstatvfs(fd, &fs) < 0)
        return file_errno(err, "looking at", path);
    /* Asked first, since fallocate takes all that is free before it says that there is not enough. */
    uint64_t held = (uint64_t)before.st_blocks * 512;
    if (size > held && size - held > (uint64_t)fs.f_bavail * fs.f_frsize)
        return err_set(err, ERR_NO_SPACE, "no room for %s: it needs %llu bytes, %llu are free", path,
                       (unsigned long long)(size - held), (unsigned long long)fs.f_bavail * fs.f_frsize);
    int rc = 0;
    if (size > 0) {
        do
            rc = fallocate(fd, 0, 0, (off_t)size);
        while (rc < 0 && errno == EINTR);
    }
    if (rc < 0 && errno != EOPNOTSUPP && errno != ENOSYS) {
        file_errno(err, "reserving disk for", path);
        file_truncate(fd, (uint64_t)before.st_size, path, NULL); /* gives back what it took */
        return false;
    }
    return file_truncate(fd, size, path, err); /* also cuts what was longer */
}

bool file_seal(int fd, const char *path, struct err *err)
{
    return fchmod(fd, 0444) == 0 ? true : file_errno(err, "sealing", path);
}

static struct file_info info_of(const struct stat *st)
{
    enum file_kind kind = S_ISREG(st->st_mode)   ? FILE_KIND_FILE
                          : S_ISDIR(st->st_mode) ? FILE_KIND_DIR
                                                 : FILE_KIND_OTHER;
    return (struct file_info){
        .kind = kind,
        .size = (uint64_t)st->st_size,
        .mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
        .inode = (uint64_t)st->st_ino,
        .disk_bytes = (uint64_t)st->st_blocks * 512,
    };
}

struct file_info file_stat(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? info_of(&st) : (struct file_info){.kind = FILE_KIND_NONE};
}

bool file_stat_fd(int fd, const char *path, struct file_info *ret_info, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return file_errno(err, "looking at", path);
    *ret_info = info_of(&st);
    return true;
}

static bool lock_with(int fd, int how, const char *path, struct err *err)
{
    int rc;
    do
        rc = flock(fd, how);
    while (rc < 0 && errno == EINTR);
    if (rc == 0)
        return true;
    if (errno == EWOULDBLOCK)
        return err_set(err, ERR_BUSY, "%s is locked by another process", path);
    return file_errno(err, "locking", path);
}

bool file_lock(int fd, const char *path, struct err *err) { return lock_with(fd, LOCK_EX, path, err); }
bool file_try_lock(int fd, const char *path, struct err *err) { return lock_with(fd, LOCK_EX | LOCK_NB, path, err); }
bool file_lock_shared(int fd, const char *path, struct err *err) { return lock_with(fd, LOCK_SH, path, err); }

bool file_read_all(const char *path, size_t max, struct buf *out, struct err *err)
{
    _cleanup_(file_close) int fd = -1;
    struct file_info info;
    if (!file_open(path, FILE_READ, &fd, err) || !file_stat_fd(fd, path, &info, err))
        return false;
    size_t start = out->len;
    for (size_t n = 1; n > 0;) {
        /* A file of /proc says size 0, and one may grow meanwhile: read until the end, not until its size. */
        size_t room = info.size > out->len - start ? (size_t)info.size - (out->len - start) + 1 : 4096;
        size_t left = max - (out->len - start);
        if (left > out->max - out->len)
            left = out->max - out->len;
        room = room < left ? room : left;
        char probe; /* at the maximum one more byte tells "exactly full" from "too long" */
        char *at = room == 0 ? &probe : buf_reserve(out, room);
        CHECK(at != NULL);
        if (!file_read_some(fd, at, room == 0 ? 1 : room, path, &n, err))
            goto fail;
        if (room == 0 && n > 0) {
            err_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, out->len - start);
            goto fail;
        }
        out->len += room == 0 ? 0 : n;
    }
    if (out->data != NULL)
        out->data[out->len] = '\0';
    return true;
fail:
    out->len = start;
    if (out->data != NULL)
        out->data[start] = '\0';
    return false;
}

bool file_map(const char *path, const unsigned char **ret_data, size_t *ret_len, struct err *err)
{
    _cleanup_(file_close) int fd = -1;
    struct file_info info;
    void *data = NULL;
    if (!file_open(path, FILE_READ, &fd, err) || !file_stat_fd(fd, path, &info, err))
        return false;
    if (info.kind != FILE_KIND_FILE)
        return err_set(err, ERR_INVALID, "%s is not a file", path);
    if (info.size > 0) {
        data = mmap(NULL, (size_t)info.size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            return file_errno(err, "mapping", path);
    }
    *ret_data = data;
    *ret_len = (size_t)info.size;
    return true;
}

void file_unmap(const unsigned char *data, size_t len)
{
    if (data != NULL)
        munmap((void *)data, len);
}
