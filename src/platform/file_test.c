/* platform/file_test.c: real files in a folder of their own, removed at the end. */
#include "base/check.h"
#include "base/cleanup.h"
#include "platform/file.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

static const char *at(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static int open_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void write_file(const char *path, const char *text)
{
    struct err err = ERR_INIT;
    if (!file_write_atomic(path, text, strlen(text), 0600, &err))
        fail_msg("%s", err.text);
}

static void assert_content(const char *path, const char *text)
{
    _cleanup_(buf_done) struct buf b = BUF_INIT(1 << 20);
    struct err err = ERR_INIT;
    if (!file_read_all(path, 1 << 20, &b, &err))
        fail_msg("%s", err.text);
    assert_string_equal(buf_str(&b), text);
}

static bool count_name(void *ctx, const char *name)
{
    char *all = ctx;
    strcat(strcat(all, name), " ");
    return strcmp(name, "stop") != 0;
}

static void test_atomic_write(void **state)
{
    struct stat st;
    char names[256] = "";
    struct err err = ERR_INIT;
    (void)state;
    assert_true(file_mkdirs(at("w"), 0700, NULL));
    write_file(at("w/a"), "one");
    assert_true(file_write_atomic(at("w/a"), "two", 3, 0644, NULL));
    assert_content(at("w/a"), "two");
    assert_int_equal(stat(at("w/a"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    /* It fails into a folder that is not there, and over a folder; nothing stays behind. */
    assert_false(file_write_atomic(at("nowhere/a"), "x", 1, 0600, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_true(file_mkdirs(at("w/folder/x"), 0700, NULL));
    assert_false(file_write_atomic(at("w/folder"), "x", 1, 0600, &err));
    assert_true(file_list(at("w"), count_name, names, NULL));
    assert_string_equal(names, "a folder ");
}

static void *rewrite(void *path)
{
    static const char *const texts[] = {"aaaaaaaaaaaaaaaa", "bb"};
    for (int i = 0; i < 100; i++)
        write_file(path, texts[i % 2]);
    return NULL;
}

/* A reader beside a writer sees one of the two contents, whole. */
static void test_atomic_readers(void **state)
{
    pthread_t writer;
    char path[256];
    (void)state;
    snprintf(path, sizeof path, "%s", at("raced"));
    write_file(path, "bb");
    assert_int_equal(pthread_create(&writer, NULL, rewrite, path), 0);
    for (int i = 0; i < 500; i++) {
        _cleanup_(buf_done) struct buf b = BUF_INIT(100);
        assert_true(file_read_all(path, 100, &b, NULL));
        assert_true(strcmp(b.data, "bb") == 0 || strcmp(b.data, "aaaaaaaaaaaaaaaa") == 0);
    }
    pthread_join(writer, NULL);
}

static void test_read_write(void **state)
{
    _cleanup_(file_close) int fd = -1;
    _cleanup_(buf_done) struct buf small = BUF_INIT(4);
    struct err err = ERR_INIT;
    struct file_info info;
    char bytes[8] = "";
    size_t n = 0;
    (void)state;
    assert_true(file_open(at("f"), FILE_CREATE, &fd, NULL));
    assert_false(file_open(at("f"), FILE_CREATE, &(int){0}, &err));
    assert_int_equal(err.code, ERR_CONFLICT);
    assert_non_null(strstr(err.text, at("f")));
    assert_true(file_pwrite(fd, "world", 5, 5, "f", NULL));
    assert_true(file_pwrite(fd, "hello", 5, 0, "f", NULL));
    assert_true(file_sync(fd, "f", NULL));
    assert_true(file_pread(fd, bytes, 4, 3, "f", NULL));
    assert_string_equal(bytes, "lowo");
    assert_false(file_pread(fd, bytes, 4, 8, "f", &err));
    assert_true(file_read_some(fd, bytes, 3, "f", &n, NULL) && n == 3);
    assert_true(file_truncate(fd, 4, "f", NULL));
    assert_true(file_read_all(at("f"), 4, &small, NULL)); /* exactly full is fine */
    assert_string_equal(buf_str(&small), "hell");
    assert_true(file_allocate(fd, 1 << 20, "f", NULL));
    assert_true(file_stat_fd(fd, "f", &info, NULL));
    assert_int_equal(info.size, 1 << 20);
    assert_int_equal(info.kind, FILE_KIND_FILE);
    buf_clear(&small);
    assert_false(file_read_all(at("f"), 100, &small, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    assert_int_equal(small.len, 0);
    assert_true(file_seal(fd, "f", NULL));
    struct stat st;
    assert_int_equal(stat(at("f"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0444);
    assert_int_equal(file_stat(at("none")).kind, FILE_KIND_NONE);
    assert_int_equal(file_stat(root).kind, FILE_KIND_DIR);
    assert_false(file_open(at("none"), FILE_READ, &(int){0}, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    _cleanup_(buf_done) struct buf proc = BUF_INIT(1 << 16); /* says size 0, has content */
    assert_true(file_read_all("/proc/self/status", 1 << 16, &proc, NULL));
    assert_true(proc.len > 100);
}

static void test_full_disk(void **state)
{
    _cleanup_(file_close) int fd = -1;
    struct err err = ERR_INIT;
    (void)state;
    assert_true(file_open("/dev/full", FILE_READ_WRITE, &fd, NULL));
    assert_false(file_write(fd, "x", 1, "/dev/full", &err));
    assert_int_equal(err.code, ERR_NO_SPACE);
    uint64_t free_bytes = 0;
    assert_true(file_free_bytes(root, &free_bytes, NULL) && free_bytes > 0);
    _cleanup_(file_close) int big = -1;
    assert_true(file_open(at("big"), FILE_CREATE, &big, NULL));
    assert_false(file_allocate(big, (uint64_t)1 << 43, "big", &err)); /* 8 TiB: at once, taking nothing */
    assert_int_equal(err.code, ERR_NO_SPACE);
    assert_int_equal(file_stat(at("big")).disk_bytes, 0);
}

static void test_locks(void **state)
{
    _cleanup_(file_close) int a = -1;
    _cleanup_(file_close) int b = -1;
    struct err err = ERR_INIT;
    (void)state;
    assert_true(file_open(at("lock"), FILE_READ_WRITE, &a, NULL));
    assert_true(file_open(at("lock"), FILE_READ_WRITE, &b, NULL));
    assert_true(file_lock(a, "lock", NULL));
    assert_false(file_try_lock(b, "lock", &err));
    assert_int_equal(err.code, ERR_BUSY);
    file_close(&a);
    assert_true(file_try_lock(b, "lock", NULL));
    assert_true(file_lock_shared(b, "lock", NULL));
    assert_true(file_open(at("lock"), FILE_READ, &a, NULL));
    assert_true(file_lock_shared(a, "lock", NULL));
}

static void test_list(void **state)
{
    char names[256] = "";
    struct err err = ERR_INIT;
    (void)state;
    assert_true(file_mkdirs(at("list"), 0700, NULL));
    static const char *const files[] = {"list/zebra", "list/stop", "list/apple", "list/.hidden"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        write_file(at(files[i]), "");
    assert_true(file_list(at("list"), count_name, names, NULL));
    assert_string_equal(names, ".hidden apple stop ");
    assert_true(file_list(at("not there"), count_name, names, NULL));
    assert_false(file_list(at("list/apple"), count_name, names, &err));
}

static void test_tree(void **state)
{
    struct err err = ERR_INIT;
    (void)state;
    assert_true(file_mkdirs(at("tree/a/b/c"), 0700, NULL));
    assert_true(file_mkdirs(at("tree/a/b/c"), 0700, NULL));
    assert_true(file_mkdirs(at("outside"), 0700, NULL));
    write_file(at("outside/keep"), "kept");
    write_file(at("tree/a/file"), "x");
    assert_int_equal(chmod(at("tree/a/file"), 0444), 0);
    assert_true(file_symlink(at("outside"), at("tree/a/link"), NULL));
    assert_true(file_symlink("elsewhere", at("tree/a/link"), NULL)); /* replaces */
    assert_true(file_symlink(at("outside"), at("tree/a/link"), NULL));
    assert_true(file_remove_tree(at("tree"), NULL));
    assert_int_equal(file_stat(at("tree")).kind, FILE_KIND_NONE);
    assert_content(at("outside/keep"), "kept");
    assert_true(file_remove_tree(at("tree"), NULL));
    assert_true(file_symlink(at("outside"), at("alone"), NULL));
    assert_true(file_remove_tree(at("alone"), NULL)); /* the link, not what it points to */
    assert_content(at("outside/keep"), "kept");
    assert_false(file_mkdirs(at("outside/keep/x"), 0700, &err));
    assert_false(file_mkdirs(at("outside/keep"), 0700, &err));
    assert_false(file_mkdirs("", 0700, &err));
    assert_true(file_remove(at("outside/keep"), NULL));
    assert_true(file_remove(at("outside/keep"), NULL));
    assert_false(file_remove(at("outside"), &err));
}

static void test_deep_tree(void **state)
{
    char path[1024];
    struct err err = ERR_INIT;
    (void)state;
    int n = snprintf(path, sizeof path, "%s/deep", root);
    for (int i = 0; i < 100; i++)
        n += snprintf(path + n, sizeof path - (size_t)n, "/d");
    assert_true(file_mkdirs(path, 0700, NULL));
    assert_false(file_remove_tree(at("deep"), &err)); /* refused, not a crash */
    assert_int_equal(err.code, ERR_INVALID);
    path[n - 80 * 2] = '\0';
    assert_false(file_remove_tree(path, &err));
    path[n - 80 * 2] = '/';
    path[n - 50 * 2] = '\0';
    assert_true(file_remove_tree(path, &err));
    assert_true(file_remove_tree(at("deep"), NULL));
}

static void test_clone(void **state)
{
    struct err err = ERR_INIT;
    (void)state;
    write_file(at("original"), "content");
    assert_true(file_clone(at("original"), at("copy"), NULL));
    assert_content(at("copy"), "content");
    assert_false(file_clone(at("original"), at("copy"), &err));
    assert_int_equal(err.code, ERR_CONFLICT);
    assert_content(at("copy"), "content");
    assert_false(file_clone(at("missing"), at("other"), &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_int_equal(file_stat(at("other")).kind, FILE_KIND_NONE);
    /* /proc lies on another file system: neither reflink nor link, so the bytes are copied. */
    assert_true(file_clone("/proc/self/comm", at("comm"), NULL));
    assert_content(at("comm"), "file_test\n");
}

static void test_map(void **state)
{
    const unsigned char *data = (const unsigned char *)"";
    size_t len = 1;
    struct err err = ERR_INIT;
    (void)state;
    write_file(at("mapped"), "abc");
    assert_true(file_map(at("mapped"), &data, &len, NULL));
    assert_int_equal(len, 3);
    assert_memory_equal(data, "abc", 3);
    file_unmap(data, len);
    write_file(at("mapped"), "");
    assert_true(file_map(at("mapped"), &data, &len, NULL));
    assert_null(data);
    file_unmap(data, len);
    assert_false(file_map(root, &data, &len, &err));
}

static void test_home(void **state)
{
    (void)state;
    _cleanup_free_ char *program = file_program_dir();
    assert_int_equal(program[0], '/');
    _cleanup_free_ char *itself = file_program_path();
    assert_true(strncmp(itself, program, strlen(program)) == 0 && strstr(itself, "/file_test") != NULL);
    assert_true(file_symlink(itself, at("itself"), NULL) && file_symlink("itself", at("again"), NULL));
    _cleanup_free_ char *link = file_read_link(at("again"));
    assert_string_equal(link, "itself");
    _cleanup_free_ char *real = file_real_path(at("again"));
    assert_string_equal(real, itself);
    assert_null(file_read_link(itself));
    assert_null(file_real_path(at("nothing")));
    assert_true(file_remove(at("itself"), NULL) && file_remove(at("again"), NULL));
    setenv("HOME", "/tmp/x", 1);
    _cleanup_free_ char *home = file_home_dir();
    assert_string_equal(home, "/tmp/x");
    unsetenv("HOME");
    _cleanup_free_ char *entry = file_home_dir();
    assert_int_equal(entry[0], '/');
}

static int before;

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/tug-file-XXXXXX");
    before = open_fds();
    return mkdtemp(root) == NULL;
}

static int drop_root(void **state)
{
    (void)state;
    return !file_remove_tree(root, NULL) || open_fds() != before;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_atomic_write), cmocka_unit_test(test_atomic_readers), cmocka_unit_test(test_read_write),
        cmocka_unit_test(test_full_disk),    cmocka_unit_test(test_locks),          cmocka_unit_test(test_list),
        cmocka_unit_test(test_tree),         cmocka_unit_test(test_deep_tree),      cmocka_unit_test(test_clone),
        cmocka_unit_test(test_map),          cmocka_unit_test(test_home),
    };
    return cmocka_run_group_tests(tests, make_root, drop_root);
}
