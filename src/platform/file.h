/* platform/file: files and folders. The only place that opens, writes, renames or locks one.
 *
 * Every function is whole: no short reads or writes, EINTR is handled, descriptors are CLOEXEC.
 * Errors name the path. Any thread. A full disk is ERR_NO_SPACE; a missing file is ERR_NOT_FOUND;
 * no permission is ERR_FORBIDDEN; a name that is taken is ERR_CONFLICT; others ERR_INTERNAL.
 */
#ifndef TUG_PLATFORM_FILE_H
#define TUG_PLATFORM_FILE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>

enum file_mode {
    FILE_READ,       /* must exist */
    FILE_READ_WRITE, /* created 0600 when missing, kept otherwise */
    FILE_CREATE,     /* must not exist (O_EXCL), 0600, read-write */
    FILE_APPEND,     /* created 0600 when missing */
};

enum file_kind { FILE_KIND_NONE, FILE_KIND_FILE, FILE_KIND_DIR, FILE_KIND_OTHER };

struct file_info {
    enum file_kind kind; /* of what a link points to; NONE: nothing there */
    uint64_t size;
    int64_t mtime_ns;
    uint64_t inode;
    uint64_t disk_bytes; /* allocated */
};

bool file_open(const char *path, enum file_mode mode, int *ret_fd, struct err *err);
/* Closes and sets -1; accepts -1. Use with _cleanup_(file_close). */
void file_close(int *fd);
bool file_pread(int fd, void *dst, size_t n, uint64_t offset, const char *path,
                struct err *err); /* all n bytes or error */
/* Up to n bytes; *ret_n = 0 at the end. */
bool file_read_some(int fd, void *dst, size_t n, const char *path, size_t *ret_n, struct err *err);
bool file_pwrite(int fd, const void *src, size_t n, uint64_t offset, const char *path, struct err *err);
bool file_write(int fd, const void *src, size_t n, const char *path, struct err *err);
bool file_sync(int fd, const char *path, struct err *err); /* fdatasync */
bool file_sync_dir(const char *dir, struct err *err);
/* Reserves disk for `size` bytes (ENOSPC at once) and sets the length; plain ftruncate where the file system cannot. */
bool file_allocate(int fd, uint64_t size, const char *path, struct err *err);
bool file_truncate(int fd, uint64_t size, const char *path, struct err *err);
bool file_seal(int fd, const char *path, struct err *err); /* mode 0444 */

/* Never an error: kind NONE when nothing is there or it cannot be seen. */
struct file_info file_stat(const char *path);
bool file_stat_fd(int fd, const char *path, struct file_info *ret_info, struct err *err);

bool file_read_all(const char *path, size_t max, struct buf *out, struct err *err); /* out: its own max counts too */
/* Write beside, fsync, rename, fsync of the folder: readers see the old content or the new. `mode`: 0600, 0644. */
bool file_write_atomic(const char *path, const void *data, size_t n, unsigned mode, struct err *err);
bool file_rename(const char *from, const char *to, struct err *err); /* and fsync of the folder of `to` */
bool file_remove(const char *path, struct err *err);                 /* missing is fine */
/* Removes a folder and all below it (at most 64 levels), following no link. Missing is fine. */
bool file_remove_tree(const char *path, struct err *err);
bool file_mkdirs(const char *path, unsigned mode, struct err *err);       /* all parents too */
bool file_symlink(const char *target, const char *path, struct err *err); /* replaces what is there */
/* The same content at `to` (must not exist): reflink, else hard link, else copy. */
bool file_clone(const char *from, const char *to, struct err *err);

/* Names in a folder, sorted, without . and ..; calls each(ctx, name) until it returns false. A missing folder is empty.
 */
bool file_list(const char *dir, bool (*each)(void *ctx, const char *name), void *ctx, struct err *err);

/* A descriptor that is readable when a file in `dir` was written, made or moved in; socket_drain empties it. */
bool file_watch_dir(const char *dir, int *ret_fd, struct err *err);

/* flock, held until the fd is closed or the process dies. try: ERR_BUSY at once when another holds it. */
bool file_lock(int fd, const char *path, struct err *err);
bool file_try_lock(int fd, const char *path, struct err *err);
bool file_lock_shared(int fd, const char *path, struct err *err);

/* Free bytes for us on the file system of `path`. */
bool file_free_bytes(const char *path, uint64_t *ret_bytes, struct err *err);

/* mmap of a whole file, read-only; len 0 gives data NULL. */
bool file_map(const char *path, const unsigned char **ret_data, size_t *ret_len, struct err *err);
void file_unmap(const unsigned char *data, size_t len);

/* Folders by convention, malloc'd: $HOME (or the passwd entry), and the folder of the running program. */
char *file_home_dir(void);
char *file_program_dir(void);
char *file_program_path(void); /* the running program itself, links resolved */

/* What a link says, malloc'd; NULL: it is none. And where a path leads through all links; NULL: to nothing. */
char *file_read_link(const char *path);
char *file_real_path(const char *path);

#endif
