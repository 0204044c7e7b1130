/* distribution/tar_in: a tar parsed as it arrives, in pieces of any size.
 *
 *   struct tar_in *t = tar_in_new(&sink, ctx);
 *   tar_in_push(t, p, n, err) ...  tar_in_finish(t, err)
 *   tar_in_free(&t);
 *
 * The sink sees each plain file: begin (name, size), data as it comes, end. Folders and comments are passed over.
 * Refused: links, devices, sparse files, absolute names, `..`, wrong checksums, sizes beyond 2^53, more than
 * TAR_IN_ENTRIES entries, an archive that ends within an entry. Read: ustar, GNU (long names, base-256 sizes), pax
 * (path, size). A leading "./" of a name is dropped. After a failure the parser is only to be freed. One thread.
 */
#ifndef TUG_DISTRIBUTION_TAR_IN_H
#define TUG_DISTRIBUTION_TAR_IN_H

#include "base/err.h"

#include <stdint.h>

enum { TAR_IN_ENTRIES = 4096, TAR_IN_NAME = 1024 };

struct tar_sink {
    bool (*begin)(void *ctx, const char *name, uint64_t size, struct err *err);
    bool (*data)(void *ctx, const void *p, size_t n, struct err *err);
    bool (*end)(void *ctx, struct err *err);
};

struct tar_in;

struct tar_in *tar_in_new(const struct tar_sink *sink, void *ctx);
bool tar_in_push(struct tar_in *t, const void *data, size_t n, struct err *err);
bool tar_in_finish(struct tar_in *t, struct err *err);
void tar_in_free(struct tar_in **t);

#endif
