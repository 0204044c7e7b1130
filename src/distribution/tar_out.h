/* distribution/tar_out: a tar written by pulling, of files and of bytes, whose length is known before.
 *
 *   struct tar_out t = {.parts = parts, .n = n, .fd = -1};
 *   tar_out_bytes(&t)                      the exact length
 *   while ((got = tar_out_read(&t, dst, max, err)) > 0) ...
 *   tar_out_done(&t);
 *
 * Names are under 100 bytes and owner, time and mode are fixed, so equal parts give equal tars. ustar; a size of
 * 8 GiB or more is written in GNU's base-256 form, which GNU tar, libarchive, Go and Python read. The parts are
 * borrowed. One thread.
 */
#ifndef TUG_DISTRIBUTION_TAR_OUT_H
#define TUG_DISTRIBUTION_TAR_OUT_H

#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

enum { TAR_BLOCK = 512, TAR_NAME = 100 };

struct tar_part {
    char name[TAR_NAME]; /* a folder's ends in / */
    const void *bytes;   /* NULL: from path */
    const char *path;    /* NULL as well: a folder */
    uint64_t size;
};

struct tar_out {
    const struct tar_part *parts;
    size_t n;
    size_t at;       /* the part being written; n: the end */
    uint64_t offset; /* within it: header, content, padding */
    int fd;          /* its file; -1 when not open */
};

uint64_t tar_out_bytes(const struct tar_out *t);
/* Bytes into dst, 0 at the end, -1: a file cannot be read or has not the length that was announced. */
ssize_t tar_out_read(struct tar_out *t, void *dst, size_t max, struct err *err);
void tar_out_done(struct tar_out *t);
/* The names of DMR's archive (dmr.md 4.7): folders, blobs, and the manifest at the end. */
void tar_part_folders(struct tar_part parts[2]);
void tar_part_blob(struct tar_part *part, const char *digest);
#define TAR_MANIFEST "manifest.json"

#endif
