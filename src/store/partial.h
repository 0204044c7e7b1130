/* store/partial: the files of an unfinished blob, `.tug/partial/sha256-HEX/{data,state,journal}`.
 *
 *   data      the bytes, at their final place, its length reserved beforehand
 *   state     header, then per grain of 4 MiB how many of its first bytes are written. Stored after
 *             each write returned: right after kill -9, so trusted under the same boot id only.
 *             Its flock is the right to write.
 *   journal   appended after an fdatasync of data: records of 64 bytes. `M`: all bytes before
 *             `frontier` are on disk, and the hash's state at `offset` (a multiple of 64, not above
 *             the frontier) is this. Right after a power cut too. Unknown kinds are skipped: `G`
 *             (a run of grains) and `V` (a validator) are for pulls over several connections, which
 *             fill grains in any order in these same files.
 *
 * Every record carries its CRC32C; integers are little-endian. What is damaged counts as absent.
 * Pure functions over bytes; no I/O.
 */
#ifndef TUG_STORE_PARTIAL_H
#define TUG_STORE_PARTIAL_H

#include "oci/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARTIAL_GRAIN_BYTES ((uint64_t)4 * 1024 * 1024)
/* Of state and journal: 2 million grains, 8 TiB. What lies behind is not read. */
#define PARTIAL_FILE_MAX ((size_t)16 * 1024 * 1024)

enum {
    PARTIAL_HEADER_BYTES = 256,
    PARTIAL_GRAIN_RECORD = 8,
    PARTIAL_RECORD_BYTES = 64,
    PARTIAL_BOOT_ID = 40,
};

struct partial_header {
    uint64_t size;  /* of the blob */
    uint64_t inode; /* of data: another file has other bytes */
    char digest[DIGEST_TEXT];
    char boot_id[PARTIAL_BOOT_ID]; /* "": the grains are not to be trusted */
};

struct partial_mark {
    uint64_t frontier;
    uint64_t offset;
    unsigned char hash[DIGEST_STATE_BYTES];
};

void partial_header_encode(const struct partial_header *h, unsigned char dst[PARTIAL_HEADER_BYTES]);
bool partial_header_decode(const void *state, size_t n, struct partial_header *ret);

void partial_grain_encode(uint64_t index, uint32_t written, unsigned char dst[PARTIAL_GRAIN_RECORD]);
/* The bytes from 0 on that the grain records of a state file claim without a gap, at most `size`. */
uint64_t partial_frontier(const void *state, size_t n, uint64_t size);

void partial_mark_encode(const struct partial_mark *m, unsigned char dst[PARTIAL_RECORD_BYTES]);
/* The last mark whose frontier is at most `limit`, reading up to the first damaged record; *ret_end: where its record
 * ends, and the next one belongs. False: there is none. */
bool partial_last_mark(const void *journal, size_t n, uint64_t limit, struct partial_mark *ret, size_t *ret_end);

uint32_t partial_crc32c(const void *p, size_t n);

#endif
