/* distribution/tar_test: our tar against GNU tar and libarchive both ways, and archives that lie. */
#include "distribution/tar_in.h"
#include "distribution/tar_out.h"

#include "base/buf.h"

#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a sink that writes down what it saw ------------------------------------------------------ */

struct seen {
    struct buf log; /* "name size content;" per file */
};

static bool seen_begin(void *ctx, const char *name, uint64_t size, struct err *err)
{
    (void)err;
    return buf_printf(&((struct seen *)ctx)->log, "%s %llu ", name, (unsigned long long)size);
}

static bool seen_data(void *ctx, const void *p, size_t n, struct err *err)
{
    (void)err;
    return buf_add(&((struct seen *)ctx)->log, p, n);
}

static bool seen_end(void *ctx, struct err *err)
{
    (void)err;
    return buf_add_char(&((struct seen *)ctx)->log, ';');
}

static const struct tar_sink seen_sink = {seen_begin, seen_data, seen_end};

/* Parses in pieces of `step` bytes. */
static bool parse(const struct buf *b, size_t step, struct seen *seen, struct err *err)
{
    struct tar_in *t = tar_in_new(&seen_sink, seen);
    bool ok = true;
    seen->log = BUF_INIT(1 << 20);
    for (size_t at = 0; ok && at < b->len; at += step)
        ok = tar_in_push(t, b->data + at, b->len - at < step ? b->len - at : step, err);
    ok = ok && tar_in_finish(t, err);
    tar_in_free(&t);
    tar_in_free(&t);
    return ok;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void drain(struct tar_out *t, size_t step, struct buf *out)
{
    char piece[4096];
    struct err err = {0};
    for (;;) {
        ssize_t n = tar_out_read(t, piece, step, &err);
        if (n < 0)
            fail_msg("%s", err.text);
        if (n == 0)
            return;
        assert_true(buf_add(out, piece, (size_t)n));
    }
}

static void test_out_and_in(void **state)
{
    (void)state;
    char path[] = "/tmp/tar_test.XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "file!", 5), 5);
    close(fd);
    struct tar_part parts[6];
    memset(parts, 0, sizeof parts);
    tar_part_folders(parts);
    tar_part_blob(&parts[2], "sha256:1111111111111111111111111111111111111111111111111111111111111111");
    parts[2].path = path;
    parts[2].size = 5;
    parts[3] = (struct tar_part){.name = "empty", .bytes = "", .size = 0};
    parts[4] = (struct tar_part){.name = "block", .bytes = path, .size = 0};
    char block[512];
    memset(block, 'b', sizeof block);
    parts[4].bytes = block;
    parts[4].size = sizeof block;
    parts[5] = (struct tar_part){.name = "manifest.json", .bytes = "{}", .size = 2};
    struct buf whole = BUF_INIT(1 << 20);
    static const size_t steps[] = {1, 7, 511, 512, 513, 4096};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct tar_out t = {.parts = parts, .n = 6, .fd = -1};
        struct buf b = BUF_INIT(1 << 20);
        struct seen seen;
        struct err err = {0};
        drain(&t, steps[i], &b);
        tar_out_done(&t);
        assert_int_equal(b.len, tar_out_bytes(&t));
        if (i == 0)
            assert_true(buf_add(&whole, b.data, b.len));
        assert_int_equal(whole.len, b.len);
        assert_memory_equal(whole.data, b.data, b.len);
        if (!parse(&b, steps[i], &seen, &err))
            fail_msg("%s", err.text);
        assert_true(strncmp(seen.log.data, "blobs/sha256/1111", 17) == 0);
        assert_non_null(strstr(seen.log.data, " 5 file!;empty 0 ;block 512 bbbb"));
        assert_non_null(strstr(seen.log.data, "b;manifest.json 2 {};"));
        buf_done(&seen.log);
        buf_done(&b);
    }
    /* libarchive reads it. */
    struct archive *a = archive_read_new();
    struct archive_entry *e;
    archive_read_support_format_tar(a);
    assert_int_equal(archive_read_open_memory(a, whole.data, whole.len), ARCHIVE_OK);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(archive_read_next_header(a, &e), ARCHIVE_OK);
        assert_string_equal(archive_entry_pathname(e), parts[i].name);
        assert_int_equal(archive_entry_size(e), parts[i].size);
        assert_int_equal(archive_entry_filetype(e), i < 2 ? AE_IFDIR : AE_IFREG);
    }
    assert_int_equal(archive_read_next_header(a, &e), ARCHIVE_EOF);
    archive_read_free(a);
    buf_done(&whole);
    unlink(path);
}

/* 8 GiB and more in a sparse file: the header by libarchive, the size by our parser, the sum by tar_out_bytes. */
static void test_large(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {(UINT64_C(1) << 33) - 1, UINT64_C(1) << 33, UINT64_C(41) << 30};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char path[] = "/tmp/tar_test.XXXXXX";
        int fd = mkstemp(path);
        unsigned char head[512];
        struct tar_part part = {.name = "large", .path = path, .size = sizes[i]};
        struct tar_out t = {.parts = &part, .n = 1, .fd = -1};
        struct err err = {0};
        if (ftruncate(fd, (off_t)sizes[i]) != 0)
            fail_msg("no sparse file");
        close(fd);
        assert_int_equal(tar_out_bytes(&t), 512 + (sizes[i] + 511) / 512 * 512 + 1024);
        assert_int_equal(tar_out_read(&t, head, 100, &err), 100);
        assert_int_equal(tar_out_read(&t, head + 100, 412, &err), 412);
        char data[100];
        assert_int_equal(tar_out_read(&t, data, sizeof data, &err), sizeof data);
        tar_out_done(&t);
        struct archive *a = archive_read_new();
        struct archive_entry *e;
        archive_read_support_format_tar(a);
        assert_int_equal(archive_read_open_memory(a, head, sizeof head), ARCHIVE_OK);
        assert_int_equal(archive_read_next_header(a, &e), ARCHIVE_OK);
        assert_true((uint64_t)archive_entry_size(e) == sizes[i]);
        archive_read_free(a);
        struct seen seen = {.log = BUF_INIT(1 << 20)};
        struct tar_in *in = tar_in_new(&seen_sink, &seen);
        char expected[64];
        assert_true(tar_in_push(in, head, sizeof head, &err));
        snprintf(expected, sizeof expected, "large %llu ", (unsigned long long)sizes[i]);
        assert_string_equal(seen.log.data, expected);
        assert_false(tar_in_finish(in, &err));
        tar_in_free(&in);
        buf_done(&seen.log);
        unlink(path);
    }
}

static void test_changed_file(void **state)
{
    (void)state;
    char path[] = "/tmp/tar_test.XXXXXX";
    int fd = mkstemp(path);
    struct tar_part part = {.name = "x", .path = path, .size = 10};
    struct tar_out t = {.parts = &part, .n = 1, .fd = -1};
    struct err err = {0};
    char bytes[2048];
    assert_int_equal(write(fd, "short", 5), 5);
    assert_int_equal(tar_out_read(&t, bytes, sizeof bytes, &err), -1);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "has changed"));
    tar_out_done(&t);
    close(fd);
    unlink(path);
    t = (struct tar_out){.parts = &part, .n = 1, .fd = -1};
    assert_int_equal(tar_out_read(&t, bytes, sizeof bytes, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    tar_out_done(&t);
}

/* ---- others' archives ------------------------------------------------------------------------ */

struct file {
    const char *name, *content;
};

static void make(struct buf *out, int format, const struct file *files, size_t n)
{
    static char memory[1 << 18];
    size_t used = 0;
    struct archive *a = archive_write_new();
    archive_write_set_format(a, format);
    archive_write_set_bytes_per_block(a, 0);
    assert_int_equal(archive_write_open_memory(a, memory, sizeof memory, &used), ARCHIVE_OK);
    for (size_t i = 0; i < n; i++) {
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, files[i].name);
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_perm(e, 0644);
        archive_entry_set_mtime(e, 1700000000, 500000000);
        archive_entry_set_size(e, (la_int64_t)strlen(files[i].content));
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        archive_write_data(a, files[i].content, strlen(files[i].content));
        archive_entry_free(e);
    }
    archive_write_close(a);
    archive_write_free(a);
    buf_clear(out);
    assert_true(buf_add(out, memory, used));
}

static void test_formats(void **state)
{
    (void)state;
    char long_name[180];
    memset(long_name, 'n', sizeof long_name);
    memcpy(long_name, "dir/", 4);
    long_name[90] = '/';
    long_name[sizeof long_name - 1] = '\0';
    const struct file files[] = {{"./a", "one"}, {"./blobs/sha256/b", ""}, {long_name, "three"}};
    static const int formats[] = {ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FORMAT_TAR_GNUTAR, ARCHIVE_FORMAT_TAR,
                                  ARCHIVE_FORMAT_TAR_PAX_RESTRICTED};
    char expected[512];
    snprintf(expected, sizeof expected, "a 3 one;blobs/sha256/b 0 ;%s 5 three;", long_name);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        struct buf b = BUF_INIT(1 << 20);
        struct seen seen;
        struct err err = {0};
        make(&b, formats[i], files, 3);
        for (size_t step = 1; step <= 1024; step += 341) {
            if (!parse(&b, step, &seen, &err))
                fail_msg("format %x: %s", (unsigned)formats[i], err.text);
            assert_string_equal(seen.log.data, expected);
            buf_done(&seen.log);
        }
        /* Cut anywhere within the entries: refused. Behind them the end blocks may be missing. */
        size_t end = b.len;
        while (end > 0 && b.data[end - 1] == 0)
            end--;
        for (size_t n = 0; n < end; n += 13) {
            struct buf cut = BUF_INIT(1 << 20);
            if (n > 0)
                assert_true(buf_add(&cut, b.data, n));
            bool ok = parse(&cut, 4096, &seen, &err);
            if (ok && n % 512 != 0)
                fail_msg("format %x: taken when cut at %zu", (unsigned)formats[i], n);
            buf_done(&seen.log);
            buf_done(&cut);
        }
        buf_done(&b);
    }
}

/* ---- lies ------------------------------------------------------------------------------------ */

static void fix_sum(char *h)
{
    unsigned sum = 0;
    memset(h + 148, ' ', 8);
    for (size_t i = 0; i < 512; i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
}

struct lie {
    const char *name;
    size_t at;
    const char *bytes;
    size_t n;
    bool sum; /* made right again */
    const char *why;
};

static void test_lies(void **state)
{
    (void)state;
    static const struct lie rows[] = {
        {"checksum", 0, "b", 1, false, "checksum"},
        {"checksum no number", 148, "zzzzzzzz", 8, false, "checksum"},
        {"hard link", 156, "1", 1, true, "link"},
        {"symbolic link", 156, "2", 1, true, "link"},
        {"device", 156, "3", 1, true, "neither file nor folder"},
        {"fifo", 156, "6", 1, true, "neither file nor folder"},
        {"sparse", 156, "S", 1, true, "neither file nor folder"},
        {"absolute", 0, "/etc/passwd", 12, true, "absolute"},
        {"absolute behind ./", 0, ".//etc/passwd", 14, true, "absolute"},
        {"parent", 0, "../x", 5, true, ".."},
        {"parent in the middle", 0, "a/../../x", 10, true, ".."},
        {"parent at the end", 0, "a/..", 5, true, ".."},
        {"parent of a folder", 156, "5", 1, true, NULL},
        {"parent in the prefix", 345, "../../etc", 10, true, ".."},
        {"size no number", 124, "12345678x", 9, true, "size is no number"},
        {"size negative", 124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, true, "size is no number"},
        {"size 2^64 and more", 124, "\x80\0\0\x01\0\0\0\0\0\0\0\0", 12, true, "size is no number"},
        {"size 2^63", 124, "\x80\0\0\0\x80\0\0\0\0\0\0\0", 12, true, "2^53"},
        {"size more than there is", 124, "00000100000", 12, true, "middle of an entry"},
    };
    const struct file file = {"a", "one"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b = BUF_INIT(1 << 20);
        struct seen seen;
        struct err err = {0};
        make(&b, ARCHIVE_FORMAT_TAR_USTAR, &file, 1);
        memcpy(b.data + rows[i].at, rows[i].bytes, rows[i].n);
        if (rows[i].sum)
            fix_sum(b.data);
        bool ok = parse(&b, 4096, &seen, &err);
        if (rows[i].why == NULL ? !ok : ok || strstr(err.text, rows[i].why) == NULL)
            fail_msg("%s: %s", rows[i].name, ok ? "taken" : err.text);
        buf_done(&seen.log);
        buf_done(&b);
    }
}

static void pax(struct buf *b, const char *records, size_t n)
{
    const struct file file = {"a", "one"};
    struct buf plain = BUF_INIT(1 << 20);
    char head[512] = "PaxHeader";
    char padding[512] = "";
    memcpy(head + 100, "0000644", 8);
    snprintf(head + 124, 12, "%011o", (unsigned)n);
    head[156] = 'x';
    memcpy(head + 257,
           "ustar\0"
           "00",
           8);
    fix_sum(head);
    make(&plain, ARCHIVE_FORMAT_TAR_USTAR, &file, 1);
    assert_true(buf_add(b, head, 512) && buf_add(b, records, n) && buf_add(b, padding, (512 - n % 512) % 512) &&
                buf_add(b, plain.data, plain.len));
    buf_done(&plain);
}

static void test_pax(void **state)
{
    (void)state;
    static const struct {
        const char *name, *records;
        size_t n;
        const char *is; /* what is seen, or why it is refused */
        bool ok;
    } rows[] = {
        {"path", "10 path=b\n", 10, "b 3 one;", true},
        {"size", "9 size=3\n", 9, "a 3 one;", true},
        {"others", "13 mtime=1.5\n", 13, "a 3 one;", true},
        {"nothing", "", 0, "a 3 one;", true},
        {"value with a newline", "12 path=b\nc\n", 12, "b\nc 3 one;", true},
        {"path to the parent", "13 path=../x\n", 13, "..", false},
        {"path absolute", "11 path=/x\n", 11, "absolute", false},
        {"path empty", "8 path=\n", 8, "empty", false},
        {"path with NUL", "12 path=a\0b\n", 12, "NUL", false},
        {"size negative", "11 size=-1\n", 11, "size", false},
        {"size 2^63", "27 size=9223372036854775808\n", 27, "", false},
        {"size longer than the file", "14 size=99999\n", 14, "middle of an entry", false},
        {"sparse", "22 GNU.sparse.major=1\n", 22, "sparse", false},
        {"no length", "path=b\n", 7, "malformed", false},
        {"length too long", "99 path=b\n", 10, "malformed", false},
        {"length too short", "5 path=b\n", 9, "malformed", false},
        {"length 0", "0 path=b\n", 9, "malformed", false},
        {"length huge", "99999999999999999999 path=b\n", 28, "malformed", false},
        {"no equals sign", "9 path b\n", 9, "malformed", false},
        {"digits only", "10", 2, "malformed", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b = BUF_INIT(1 << 20);
        struct seen seen;
        struct err err = {0};
        pax(&b, rows[i].records, rows[i].n);
        bool ok = parse(&b, 100, &seen, &err);
        if (ok != rows[i].ok || (ok ? strcmp(seen.log.data, rows[i].is) != 0 : strstr(err.text, rows[i].is) == NULL))
            fail_msg("%s: %s", rows[i].name, ok ? seen.log.data : err.text);
        buf_done(&seen.log);
        buf_done(&b);
    }
}

static void test_many(void **state)
{
    (void)state;
    struct seen seen;
    struct err err = {0};
    struct buf one = BUF_INIT(1 << 20);
    struct buf b = BUF_INIT(8 << 20);
    const struct file file = {"a", ""};
    make(&one, ARCHIVE_FORMAT_TAR_USTAR, &file, 1);
    for (int i = 0; i <= TAR_IN_ENTRIES; i++)
        assert_true(buf_add(&b, one.data, 512));
    assert_false(parse(&b, 4096, &seen, &err));
    assert_non_null(strstr(err.text, "too many entries"));
    buf_done(&seen.log);
    buf_done(&b);
    buf_done(&one);
}

static void test_not_a_tar(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "hello", "{\"errors\":[]}"};
    for (size_t i = 0; i < 3; i++) {
        struct buf b = BUF_INIT(1 << 20);
        struct seen seen;
        struct err err = {0};
        if (texts[i][0] != '\0')
            assert_true(buf_add_str(&b, texts[i]));
        assert_false(parse(&b, 4096, &seen, &err));
        assert_int_equal(err.code, ERR_INVALID);
        buf_done(&seen.log);
        buf_done(&b);
    }
    struct buf gz = BUF_INIT(1 << 20);
    struct seen seen;
    struct err err = {0};
    for (int i = 0; i < 600; i++)
        assert_true(buf_add_char(&gz, (char)(0x1f + i)));
    assert_false(parse(&gz, 4096, &seen, &err));
    assert_non_null(strstr(err.text, "compressed"));
    buf_done(&seen.log);
    buf_done(&gz);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_out_and_in),   cmocka_unit_test(test_large),
                                       cmocka_unit_test(test_changed_file), cmocka_unit_test(test_formats),
                                       cmocka_unit_test(test_lies),         cmocka_unit_test(test_pax),
                                       cmocka_unit_test(test_many),         cmocka_unit_test(test_not_a_tar)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
