/* platform/file_watch.c: to be told when files of a folder change. */
#include "platform/file.h"
#include "platform/file_errno.h"

#include <sys/inotify.h>

bool file_watch_dir(const char *dir, int *ret_fd, struct err *err)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0 || inotify_add_watch(fd, dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) {
        file_errno(err, "watching", dir);
        file_close(&fd);
        return false;
    }
    *ret_fd = fd;
    return true;
}
