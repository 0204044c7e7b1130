/* distribution/tar_out.c: see tar_out.h. Header fields by POSIX's ustar. */
#include "distribution/tar_out.h"

#include "base/check.h"
#include "base/text.h"
#include "oci/digest.h"
#include "platform/file.h"

#include <stdio.h>
#include <string.h>

/* Where a header's fields begin. */
enum {
    AT_MODE = 100,
    AT_UID = 108,
    AT_GID = 116,
    AT_SIZE = 124,
    AT_MTIME = 136,
    AT_SUM = 148,
    AT_TYPE = 156,
    AT_MAGIC = 257,
    SIZE_DIGITS = 11,
    SIZE_FIELD = 12,
    END_BYTES = 2 * TAR_BLOCK,
};
#define SIZE_OCTAL_MAX ((UINT64_C(1) << 33) - 1)

static uint64_t padded(uint64_t size) { return (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK; }

uint64_t tar_out_bytes(const struct tar_out *t)
{
    uint64_t sum = END_BYTES;
    for (size_t i = 0; i < t->n; i++)
        sum += TAR_BLOCK + padded(t->parts[i].size);
    return sum;
}

static void put_octal(unsigned char *dst, uint64_t v, size_t digits)
{
    for (size_t i = digits; i > 0; i--, v >>= 3)
        dst[i - 1] = (unsigned char)('0' + (v & 7));
}

static void put_size(unsigned char *dst, uint64_t v)
{
    if (v <= SIZE_OCTAL_MAX) {
        put_octal(dst, v, SIZE_DIGITS);
        return;
    }
    dst[0] = 0x80;
    for (size_t i = SIZE_FIELD; i > 4; i--, v >>= 8)
        dst[i - 1] = (unsigned char)v;
}

static void part_header(const struct tar_part *p, unsigned char h[TAR_BLOCK])
{
    bool folder = p->bytes == NULL && p->path == NULL;
    uint64_t sum = 0;
    memset(h, 0, TAR_BLOCK);
    memcpy(h, p->name, strlen(p->name));
    put_octal(h + AT_MODE, folder ? 0755 : 0644, 7);
    put_octal(h + AT_UID, 0, 7);
    put_octal(h + AT_GID, 0, 7);
    put_size(h + AT_SIZE, p->size);
    put_octal(h + AT_MTIME, 0, SIZE_DIGITS);
    h[AT_TYPE] = folder ? '5' : '0';
    if (p->size <= SIZE_OCTAL_MAX)
        memcpy(h + AT_MAGIC,
               "ustar\0"
               "00",
               8);
    else
        memcpy(h + AT_MAGIC, "ustar  ", 8);
    memset(h + AT_SUM, ' ', 8);
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += h[i];
    put_octal(h + AT_SUM, sum, 6);
    h[AT_SUM + 6] = '\0';
}

static bool part_content(struct tar_out *t, const struct tar_part *p, uint64_t offset, void *dst, size_t n,
                         struct err *err)
{
    if (p->bytes != NULL) {
        memcpy(dst, (const unsigned char *)p->bytes + offset, n);
        return true;
    }
    if (t->fd < 0) {
        struct file_info info;
        if (!file_open(p->path, FILE_READ, &t->fd, err) || !file_stat_fd(t->fd, p->path, &info, err))
            return false;
        if (info.size != p->size)
            return err_set(err, ERR_INVALID, "%s has changed: it had %llu bytes and has %llu; try again", p->path,
                           (unsigned long long)p->size, (unsigned long long)info.size);
    }
    return file_pread(t->fd, dst, n, offset, p->path, err);
}

static size_t least(size_t max, uint64_t left) { return left < max ? (size_t)left : max; }

/* Some bytes of the part that is being written; > 0 or -1. */
static ssize_t part_read(struct tar_out *t, unsigned char *dst, size_t max, struct err *err)
{
    const struct tar_part *p = &t->parts[t->at];
    size_t n;
    if (t->offset < TAR_BLOCK) {
        unsigned char header[TAR_BLOCK];
        part_header(p, header);
        n = least(max, TAR_BLOCK - t->offset);
        memcpy(dst, header + t->offset, n);
    } else if (t->offset < TAR_BLOCK + p->size) {
        n = least(max, TAR_BLOCK + p->size - t->offset);
        if (!part_content(t, p, t->offset - TAR_BLOCK, dst, n, err))
            return -1;
    } else {
        n = least(max, TAR_BLOCK + padded(p->size) - t->offset);
        memset(dst, 0, n);
    }
    t->offset += n;
    if (t->offset == TAR_BLOCK + padded(p->size)) {
        file_close(&t->fd);
        t->offset = 0;
        t->at++;
    }
    return (ssize_t)n;
}

ssize_t tar_out_read(struct tar_out *t, void *dst, size_t max, struct err *err)
{
    size_t done = 0;
    while (done < max && t->at < t->n) {
        ssize_t n = part_read(t, (unsigned char *)dst + done, max - done, err);
        if (n < 0)
            return -1;
        done += (size_t)n;
    }
    if (t->at == t->n && done < max && t->offset < END_BYTES) {
        size_t n = least(max - done, END_BYTES - t->offset);
        memset((unsigned char *)dst + done, 0, n);
        t->offset += n;
        done += n;
    }
    return (ssize_t)done;
}

void tar_out_done(struct tar_out *t) { file_close(&t->fd); }

void tar_part_folders(struct tar_part parts[2])
{
    parts[0] = (struct tar_part){.name = "blobs/"};
    parts[1] = (struct tar_part){.name = "blobs/sha256/"};
}

void tar_part_blob(struct tar_part *part, const char *digest)
{
    CHECK(text_format(part->name, sizeof part->name, "blobs/sha256/%s", digest_hex(digest)));
}
