/* platform/file_tree.c: names and folders. */
#include "platform/file.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "platform/file_errno.h"
#include "platform/random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { LIST_NAMES_MAX = 1 << 20, TREE_DEPTH_MAX = 64, TEMP_ID = 12 };

/* The folder of a path, malloc'd: "a/b" -> "a", "b" -> ".", "/b" -> "/". */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return check_alloc(strdup("."));
    return check_alloc(strndup(path, slash == path ? 1 : (size_t)(slash - path)));
}

/* A new name beside `path`, malloc'd: hidden, and not to be guessed. */
static char *temp_beside(const char *path)
{
    char id[TEMP_ID + 1];
    char *temp;
    _cleanup_free_ char *folder = folder_of(path);
    random_id(id, TEMP_ID);
    CHECK(asprintf(&temp, "%s/.tmp-%s", folder, id) > 0);
    return temp;
}

static bool folder_sync_of(const char *path, struct err *err)
{
    _cleanup_free_ char *folder = folder_of(path);
    return file_sync_dir(folder, err);
}

bool file_rename(const char *from, const char *to, struct err *err)
{
    if (rename(from, to) < 0)
        return file_errno(err, "moving into place", to);
    return folder_sync_of(to, err);
}

static bool temp_fill(const char *temp, const void *data, size_t n, unsigned mode, struct err *err)
{
    _cleanup_(file_close) int fd = -1;
    if (!file_open(temp, FILE_CREATE, &fd, err) || !file_write(fd, data, n, temp, err))
        return false;
    if (fchmod(fd, (mode_t)mode) < 0)
        return file_errno(err, "setting the mode of", temp);
    return fsync(fd) == 0 ? true : file_errno(err, "syncing", temp);
}

bool file_write_atomic(const char *path, const void *data, size_t n, unsigned mode, struct err *err)
{
    _cleanup_free_ char *temp = temp_beside(path);
    if (temp_fill(temp, data, n, mode, err) && file_rename(temp, path, err))
        return true;
    unlink(temp);
    return err_while(err, "writing %s", path);
}

bool file_remove(const char *path, struct err *err)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return true;
    return file_errno(err, "removing", path);
}

/* Empties the folder behind fd (which it closes). Folders below are opened without following links. */
static bool tree_empty(int fd, int depth, const char *path, struct err *err)
{
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        close(fd);
        return file_errno(err, "reading the folder", path);
    }
    bool ok = depth < TREE_DEPTH_MAX;
    if (!ok)
        err_set(err, ERR_INVALID, "removing %s: more than %d folders deep", path, TREE_DEPTH_MAX);
    for (struct dirent *e; ok && (e = readdir(dir)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, e->d_name, 0) == 0 || errno == ENOENT)
            continue;
        int sub = errno == EISDIR || errno == EPERM
                      ? openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                      : -1;
        if (sub < 0) {
            ok = file_errno(err, "removing from", path);
            break;
        }
        ok = tree_empty(sub, depth + 1, path, err);
        if (ok && unlinkat(fd, e->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
            ok = file_errno(err, "removing from", path);
    }
    closedir(dir);
    return ok;
}

bool file_remove_tree(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return true;
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP)) /* a file or a link: only itself */
        return file_remove(path, err);
    if (fd < 0)
        return file_errno(err, "opening the folder", path);
    if (!tree_empty(fd, 0, path, err))
        return false;
    return rmdir(path) == 0 || errno == ENOENT ? true : file_errno(err, "removing the folder", path);
}

bool file_mkdirs(const char *path, unsigned mode, struct err *err)
{
    _cleanup_free_ char *copy = check_alloc(strdup(path));
    for (char *p = copy + 1; copy[0] != '\0'; p++) {
        bool last = *p == '\0';
        if (!last && *p != '/')
            continue;
        *p = '\0';
        if (mkdir(copy, (mode_t)mode) < 0 && (errno != EEXIST || (last && file_stat(copy).kind != FILE_KIND_DIR)))
            return file_errno(err, "creating the folder", copy);
        if (last)
            return true;
        *p = '/';
    }
    return err_set(err, ERR_INVALID, "creating a folder: its name is empty");
}

bool file_symlink(const char *target, const char *path, struct err *err)
{
    _cleanup_free_ char *temp = temp_beside(path);
    if (symlink(target, temp) < 0)
        return file_errno(err, "creating the link", path);
    if (rename(temp, path) == 0)
        return true;
    file_errno(err, "creating the link", path);
    unlink(temp);
    return false;
}

static bool copy_bytes(int from_fd, int to_fd, const char *from, const char *to, struct err *err)
{
    enum { COPY_BYTES = 1 << 20 };
    _cleanup_free_ char *block = check_alloc(malloc(COPY_BYTES));
    for (size_t n = 1; n > 0;) {
        if (!file_read_some(from_fd, block, COPY_BYTES, from, &n, err) || !file_write(to_fd, block, n, to, err))
            return false;
    }
    return true;
}

bool file_clone(const char *from, const char *to, struct err *err)
{
    _cleanup_(file_close) int from_fd = -1;
    _cleanup_(file_close) int to_fd = -1;
    if (!file_open(from, FILE_READ, &from_fd, err) || !file_open(to, FILE_CREATE, &to_fd, err))
        return err_while(err, "copying %s", from);
    if (ioctl(to_fd, FICLONE, from_fd) == 0)
        return true;
    /* The name must be free for a link; O_EXCL above has made it ours, so it is ours to remove. */
    unlink(to);
    if (linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0)
        return true;
    file_close(&to_fd);
    if (!file_open(to, FILE_CREATE, &to_fd, err))
        return err_while(err, "copying %s", from);
    if (copy_bytes(from_fd, to_fd, from, to, err))
        return true;
    unlink(to);
    return false;
}

struct names {
    char **at;
    size_t n, cap;
};

static void names_done(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->at[i]);
    free(names->at);
}

static int names_compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool names_read(struct names *names, DIR *dir, const char *path, struct err *err)
{
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(dir);
        if (e == NULL)
            return errno == 0 ? true : file_errno(err, "reading the folder", path);
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (names->n == LIST_NAMES_MAX)
            return err_set(err, ERR_TOO_LARGE, "%s holds more than %d names", path, LIST_NAMES_MAX);
        if (names->n == names->cap) {
            names->cap = names->cap == 0 ? 32 : names->cap * 2;
            names->at = check_alloc(realloc(names->at, names->cap * sizeof *names->at));
        }
        names->at[names->n++] = check_alloc(strdup(e->d_name));
    }
}

bool file_list(const char *dir, bool (*each)(void *ctx, const char *name), void *ctx, struct err *err)
{
    _cleanup_(names_done) struct names names = {0};
    DIR *d = opendir(dir);
    if (d == NULL)
        return errno == ENOENT ? true : file_errno(err, "reading the folder", dir);
    bool ok = names_read(&names, d, dir, err);
    closedir(d); /* before the calls, which may change the folder */
    if (!ok)
        return false;
    if (names.n > 0)
        qsort(names.at, names.n, sizeof *names.at, names_compare);
    for (size_t i = 0; i < names.n && each(ctx, names.at[i]); i++)
        ;
    return true;
}

bool file_free_bytes(const char *path, uint64_t *ret_bytes, struct err *err)
{
    struct statvfs fs;
    if (statvfs(path, &fs) < 0)
        return file_errno(err, "asking for the free space of", path);
    *ret_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    return true;
}

char *file_home_dir(void)
{
    const char *home = getenv("HOME");
    struct passwd entry;
    struct passwd *found = NULL;
    char text[4096];
    if (home != NULL && home[0] != '\0')
        return check_alloc(strdup(home));
    if (getpwuid_r(getuid(), &entry, text, sizeof text, &found) == 0 && found != NULL)
        return check_alloc(strdup(found->pw_dir));
    return check_alloc(strdup("/"));
}

char *file_program_path(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0)
        return check_alloc(strdup("tug"));
    path[n] = '\0';
    return check_alloc(strdup(path));
}

char *file_program_dir(void)
{
    _cleanup_free_ char *path = file_program_path();
    return strchr(path, '/') == NULL ? check_alloc(strdup(".")) : folder_of(path);
}

char *file_read_link(const char *path)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0)
        return NULL;
    target[n] = '\0';
    return check_alloc(strdup(target));
}

char *file_real_path(const char *path) { return realpath(path, NULL); }
