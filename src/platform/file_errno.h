/* platform/file_errno: the error code of a failed file call, by file.h's rules. Internal to platform/. */
#ifndef TUG_PLATFORM_FILE_ERRNO_H
#define TUG_PLATFORM_FILE_ERRNO_H

#include "base/err.h"

/* Sets "VERB PATH: reason" from errno; false. */
bool file_errno(struct err *err, const char *verb, const char *path);

#endif
