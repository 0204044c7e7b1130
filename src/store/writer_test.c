/* writer_test: a blob that arrives in pieces: resumed, killed, torn, wrong, too large for the disk. */
#include "store/partial.h"
#include "store/testing.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { BLOB_BYTES = 9 * 1024 * 1024 + 77 };

static unsigned char *blob;
static char blob_digest[DIGEST_TEXT];

static int group_setup(void **state)
{
    (void)state;
    blob = malloc(BLOB_BYTES);
    testing_fill(blob, BLOB_BYTES, 5);
    digest_of(blob, BLOB_BYTES, blob_digest);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    free(blob);
    return 0;
}

static struct blob_writer *begin(struct testing *t)
{
    struct blob_writer *w = NULL;
    must(store_blob_begin(t->store, blob_digest, BLOB_BYTES, &w, &testing_err));
    return w;
}

static void write_to(struct blob_writer *w, size_t end, size_t step)
{
    while (w->have < end) {
        size_t n = end - w->have < step ? end - (size_t)w->have : step;
        must(blob_write(w, blob + w->have, n, &testing_err));
    }
}

static char *partial_path(struct testing *t, const char *file)
{
    char rest[160];
    snprintf(rest, sizeof rest, ".tug/partial/sha256-%s/%s", digest_hex(blob_digest), file);
    return testing_path(t, rest, "");
}

static void assert_committed(struct testing *t)
{
    _cleanup_(buf_done) struct buf out = BUF_INIT(BLOB_BYTES);
    _cleanup_free_ char *path = NULL;
    struct stat st;
    must(store_blob_read(t->store, blob_digest, BLOB_BYTES, &out, &testing_err));
    assert_int_equal(out.len, BLOB_BYTES);
    must(store_blob_path(t->store, blob_digest, &path, &testing_err));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0444);
    assert_int_equal(testing_files(t, ".tug/partial"), 0);
}

static void pieces_of_any_size_make_the_blob(void **state)
{
    static const size_t steps[] = {BLOB_BYTES, 1000003, 65536, 4096 + 1};
    struct testing *t = *state;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct blob_writer *w = begin(t);
        assert_int_equal(w->have, 0);
        write_to(w, BLOB_BYTES, steps[i]);
        assert_false(store_blob_exists(t->store, blob_digest, NULL) && i == 0);
        must(blob_commit(&w, NULL, &testing_err));
        assert_null(w);
        assert_committed(t);
    }
}

static void sizes_at_the_edges(void **state)
{
    static const size_t sizes[] = {0,
                                   1,
                                   63,
                                   64,
                                   65,
                                   (size_t)PARTIAL_GRAIN_BYTES - 1,
                                   (size_t)PARTIAL_GRAIN_BYTES,
                                   (size_t)PARTIAL_GRAIN_BYTES + 1};
    struct testing *t = *state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char digest[DIGEST_TEXT], got[DIGEST_TEXT];
        struct blob_writer *w = NULL;
        uint64_t size = 1;
        digest_of(blob, sizes[i], digest);
        must(store_blob_begin(t->store, digest, sizes[i], &w, &testing_err));
        must(blob_write(w, blob, sizes[i], &testing_err));
        must_fail(blob_write(w, "x", 1, &testing_err), ERR_PROTOCOL);
        must(blob_commit(&w, got, &testing_err));
        assert_string_equal(got, digest);
        assert_true(store_blob_exists(t->store, digest, &size));
        assert_int_equal(size, sizes[i]);
    }
}

static void pause_and_resume_read_nothing_twice(void **state)
{
    struct testing *t = *state;
    static const size_t stops[] = {1, 64, 100000, 4 * 1024 * 1024, 5 * 1024 * 1024 + 3, BLOB_BYTES};
    uint64_t have = 0;
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        struct blob_writer *w = begin(t);
        assert_int_equal(w->have, have);
        assert_true(w->reread < 64); /* pause made a mark: only what is behind its multiple of 64 */
        write_to(w, stops[i], 70001);
        have = w->have;
        blob_pause(&w);
        assert_null(w);
        uint64_t seen = 0;
        assert_true(store_blob_progress(t->store, blob_digest, &seen));
        assert_int_equal(seen, have);
    }
    struct blob_writer *w = begin(t);
    must(blob_commit(&w, NULL, &testing_err));
    assert_committed(t);
}

/* The child reports each acknowledged byte through shared memory and is killed at a random moment. */
static void kill_9_loses_nothing_that_was_acknowledged(void **state)
{
    struct testing *t = *state;
    const int rounds = 40;
    int pipes[2];
    uint64_t reread = 0;
    srand(4711);
    for (int round = 0; round < rounds; round++) {
        assert_int_equal(pipe(pipes), 0);
        pid_t child = fork();
        if (child == 0) {
            struct blob_writer *w = NULL;
            struct err err;
            close(pipes[0]);
            if (!store_blob_begin(t->store, blob_digest, BLOB_BYTES, &w, &err))
                _exit(1);
            while (w->have < BLOB_BYTES) {
                size_t n = BLOB_BYTES - (size_t)w->have;
                n = n < 3001 ? n : 3001;
                if (!blob_write(w, blob + w->have, n, &err) || write(pipes[1], &w->have, 8) != 8)
                    _exit(2);
                usleep(100);
            }
            pause();
        }
        close(pipes[1]);
        usleep((useconds_t)(rand() % 8000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        uint64_t acknowledged = 0, next;
        while (read(pipes[0], &next, 8) == 8)
            acknowledged = next;
        close(pipes[0]);
        struct blob_writer *w = begin(t);
        assert_true(w->have >= acknowledged &&
                    w->have <= acknowledged + 3001 + 3001 * (acknowledged == 0 ? 9999U : 0U));
        reread += w->reread;
        blob_pause(&w);
    }
    struct blob_writer *w = begin(t);
    assert_true(w->have > 0);
    write_to(w, BLOB_BYTES, 100000);
    must(blob_commit(&w, NULL, &testing_err));
    assert_committed(t);
    /* Each round reads again what came after the last mark: in all not more than was ever written, and 63 a round. */
    assert_true(reread <= BLOB_BYTES + 64 * (uint64_t)rounds);
}

static void leave_partial(struct testing *t, size_t have)
{
    pid_t child = fork();
    if (child == 0) {
        struct blob_writer *w = begin(t);
        write_to(w, 2 * 1024 * 1024, 65536);
        blob_pause(&w); /* a mark at 2 MiB */
        w = begin(t);
        write_to(w, have, 65536);
        kill(getpid(), SIGKILL);
    }
    waitpid(child, NULL, 0);
}

static void corrupt(const char *path, const char *how)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    if (strcmp(how, "gone") == 0)
        assert_int_equal(unlink(path), 0);
    else if (strcmp(how, "empty") == 0)
        assert_int_equal(truncate(path, 0), 0);
    else if (strcmp(how, "half") == 0)
        assert_int_equal(truncate(path, st.st_size / 2), 0);
    else if (strcmp(how, "longer") == 0)
        assert_int_equal(truncate(path, st.st_size + 1000), 0);
    else if (strcmp(how, "garbage") == 0)
        testing_write(path, blob + 1000, 3000);
    else {
        int fd = open(path, O_RDWR);
        unsigned char byte;
        assert_int_equal(pread(fd, &byte, 1, st.st_size - 6), 1);
        byte ^= 4;
        assert_int_equal(pwrite(fd, &byte, 1, st.st_size - 6), 1);
        close(fd);
    }
}

static void damaged_state_costs_bytes_but_never_the_blob(void **state)
{
    enum { MARK = 2 * 1024 * 1024, HAVE = 5 * 1024 * 1024 + 11 };
    static const struct {
        const char *file, *how;
        uint64_t least, most; /* what is left */
    } rows[] = {
        {"state", "none", HAVE, HAVE},
        {"state", "gone", MARK, MARK},
        {"state", "empty", MARK, MARK},
        {"state", "half", MARK, MARK},
        {"state", "garbage", MARK, MARK},
        {"state", "flip", MARK, HAVE},
        {"state", "longer", HAVE, HAVE},
        {"journal", "gone", HAVE, HAVE},
        {"journal", "empty", HAVE, HAVE},
        {"journal", "half", HAVE, HAVE},
        {"journal", "garbage", HAVE, HAVE},
        {"journal", "flip", HAVE, HAVE},
        {"journal", "longer", HAVE, HAVE},
        {"data", "gone", 0, 0},
        {"data", "empty", 0, 0},
        {"data", "half", MARK, HAVE},
        {"data", "longer", HAVE, HAVE},
        {"both", "gone", 0, 0},
        {"both", "garbage", 0, 0},
    };
    struct testing *t = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool both = strcmp(rows[i].file, "both") == 0;
        _cleanup_free_ char *path = partial_path(t, both ? "state" : rows[i].file);
        _cleanup_free_ char *journal = partial_path(t, "journal");
        leave_partial(t, HAVE);
        if (strcmp(rows[i].how, "none") != 0)
            corrupt(path, rows[i].how);
        if (both)
            corrupt(journal, rows[i].how);
        struct blob_writer *w = begin(t);
        if (w->have < rows[i].least || w->have > rows[i].most)
            fail_msg("%s %s: resumed at %llu", rows[i].file, rows[i].how, (unsigned long long)w->have);
        write_to(w, BLOB_BYTES, 300000);
        if (!blob_commit(&w, NULL, &testing_err))
            fail_msg("%s %s: %s", rows[i].file, rows[i].how, testing_err.text);
        assert_committed(t);
        _cleanup_free_ char *final = NULL;
        must(store_blob_path(t->store, blob_digest, &final, &testing_err));
        unlink(final);
    }
}

/* After a power cut another boot id is there: only what was fdatasynced counts. */
static void another_boot_trusts_only_the_journal(void **state)
{
    struct testing *t = *state;
    unsigned char bytes[PARTIAL_HEADER_BYTES];
    struct partial_header h;
    _cleanup_free_ char *path = partial_path(t, "state");
    leave_partial(t, 5 * 1024 * 1024 + 11);
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
    assert_true(partial_header_decode(bytes, sizeof bytes, &h));
    snprintf(h.boot_id, sizeof h.boot_id, "another");
    partial_header_encode(&h, bytes);
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
    close(fd);
    struct blob_writer *w = begin(t);
    assert_int_equal(w->have, 2 * 1024 * 1024);
    assert_int_equal(w->reread, 0);
    write_to(w, BLOB_BYTES, 300000);
    must(blob_commit(&w, NULL, &testing_err));
    assert_committed(t);
}

static void wrong_bytes_are_removed_and_both_digests_named(void **state)
{
    struct testing *t = *state;
    struct blob_writer *w = begin(t);
    char actual[DIGEST_TEXT];
    blob[1000] ^= 1;
    digest_of(blob, BLOB_BYTES, actual);
    write_to(w, BLOB_BYTES, 300000);
    blob[1000] ^= 1;
    must_fail(blob_commit(&w, NULL, &testing_err), ERR_PROTOCOL);
    assert_null(w);
    assert_non_null(strstr(testing_err.text, blob_digest));
    assert_non_null(strstr(testing_err.text, actual));
    assert_false(store_blob_exists(t->store, blob_digest, NULL));
    assert_int_equal(testing_files(t, ".tug/partial"), 0);
}

static void restart_forgets_and_a_short_blob_is_kept(void **state)
{
    struct testing *t = *state;
    struct blob_writer *w = begin(t);
    write_to(w, 6 * 1024 * 1024, 300000);
    blob_pause(&w);
    w = begin(t);
    must(blob_restart(w, &testing_err));
    assert_int_equal(w->have, 0);
    write_to(w, 1000, 1000);
    must_fail(blob_commit(&w, NULL, &testing_err), ERR_PROTOCOL);
    w = begin(t);
    assert_int_equal(w->have, 1000);
    write_to(w, BLOB_BYTES, 300000);
    must(blob_commit(&w, NULL, &testing_err));
    assert_committed(t);
}

static void uploads_need_no_digest_and_are_swept_when_dead(void **state)
{
    struct testing *t = *state;
    struct blob_writer *w = NULL, *alive = NULL;
    char digest[DIGEST_TEXT];
    must(store_blob_begin(t->store, NULL, UINT64_MAX, &w, &testing_err));
    write_to(w, BLOB_BYTES, 300000);
    must(blob_commit(&w, digest, &testing_err));
    assert_string_equal(digest, blob_digest);
    assert_committed(t);
    pid_t child = fork();
    if (child == 0) {
        must(store_blob_begin(t->store, NULL, UINT64_MAX, &w, &testing_err));
        must(blob_write(w, blob, 100, &testing_err));
        kill(getpid(), SIGKILL);
    }
    waitpid(child, NULL, 0);
    assert_int_equal(testing_files(t, ".tug/partial"), 3);
    must(store_blob_begin(t->store, NULL, UINT64_MAX, &alive, &testing_err));
    struct store *second = NULL;
    must(store_open(t->root, &second, &testing_err));
    assert_int_equal(testing_files(t, ".tug/partial"), 3); /* only the living one's */
    must(blob_write(alive, blob, 10, &testing_err));
    blob_pause(&alive);
    assert_int_equal(testing_files(t, ".tug/partial"), 0);
    store_close(&second);
}

static void one_writer_at_a_time_and_the_next_goes_on(void **state)
{
    struct testing *t = *state;
    int pipes[2];
    char byte;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        struct blob_writer *w = begin(t);
        write_to(w, 1000000, 100000);
        assert_int_equal(write(pipes[1], "x", 1), 1);
        pause();
    }
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    struct blob_writer *w = NULL;
    uint64_t have = 0;
    must_fail(store_blob_begin(t->store, blob_digest, BLOB_BYTES, &w, &testing_err), ERR_BUSY);
    assert_true(store_blob_progress(t->store, blob_digest, &have));
    assert_int_equal(have, 1000000);
    must_fail(store_blob_wait(t->store, blob_digest, 0, -1, &testing_err), ERR_BUSY);
    close(pipes[1]);
    int cancel[2];
    assert_int_equal(pipe(cancel), 0);
    close(cancel[1]);
    must_fail(store_blob_wait(t->store, blob_digest, INT64_MAX, cancel[0], &testing_err), ERR_CANCELLED);
    close(cancel[0]);
    kill(child, SIGKILL);
    must(store_blob_wait(t->store, blob_digest, INT64_MAX, -1, &testing_err));
    waitpid(child, NULL, 0);
    w = begin(t);
    assert_int_equal(w->have, 1000000);
    write_to(w, BLOB_BYTES, 300000);
    must(blob_commit(&w, NULL, &testing_err));
    assert_committed(t);
    close(pipes[0]);
}

static void a_full_disk_is_known_beforehand(void **state)
{
    struct testing *t = *state;
    struct blob_writer *w = NULL;
    must_fail(store_blob_begin(t->store, blob_digest, (uint64_t)1 << 52, &w, &testing_err), ERR_NO_SPACE);
    assert_non_null(strstr(testing_err.text, "free"));
    assert_int_equal(testing_files(t, ".tug/partial"), 0);
    must_fail(store_check_space(t->store, (uint64_t)1 << 60, &testing_err), ERR_NO_SPACE);
    must(store_check_space(t->store, 0, &testing_err));
}

/* A disk of 24 MiB: the first blob fits, the second does not, and the first is still good. Needs root. */
static void a_small_disk_keeps_what_it_has(void **state)
{
    char root[512];
    (void)state;
    testing_folder(root);
    if (mount("tmpfs", root, "tmpfs", 0, "size=24m") != 0) {
        rmdir(root);
        skip();
    }
    struct testing small = {.store = NULL};
    char other[DIGEST_TEXT];
    struct blob_writer *w = NULL;
    snprintf(small.root, sizeof small.root, "%s", root);
    must(store_open(root, &small.store, &testing_err));
    w = begin(&small);
    write_to(w, BLOB_BYTES, 300000);
    must(blob_commit(&w, NULL, &testing_err));
    digest_of("other", 5, other);
    must_fail(store_blob_begin(small.store, other, 10 * 1024 * 1024, &w, &testing_err), ERR_NO_SPACE);
    /* An upload of unknown size meets it on the way. */
    must(store_blob_begin(small.store, NULL, UINT64_MAX, &w, &testing_err));
    bool full = false;
    for (int i = 0; i < 4 && !full; i++)
        full = !blob_write(w, blob, BLOB_BYTES, &testing_err);
    assert_true(full);
    assert_int_equal(testing_err.code, ERR_NO_SPACE);
    blob_discard(&w);
    assert_committed(&small);
    store_close(&small.store);
    umount(root);
    rmdir(root);
}

static void a_file_size_limit_is_an_error_not_a_crash(void **state)
{
    struct testing *t = *state;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {.rlim_cur = 1024 * 1024, .rlim_max = 1024 * 1024};
        struct blob_writer *w = NULL;
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        bool began = store_blob_begin(t->store, blob_digest, BLOB_BYTES, &w, &testing_err);
        _exit(began ? 1 : 0);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    struct blob_writer *w = begin(t);
    write_to(w, BLOB_BYTES, 300000);
    must(blob_commit(&w, NULL, &testing_err));
    assert_committed(t);
}

#define T(name) cmocka_unit_test_setup_teardown(name, testing_setup, testing_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(pieces_of_any_size_make_the_blob),
        T(sizes_at_the_edges),
        T(pause_and_resume_read_nothing_twice),
        T(kill_9_loses_nothing_that_was_acknowledged),
        T(damaged_state_costs_bytes_but_never_the_blob),
        T(another_boot_trusts_only_the_journal),
        T(wrong_bytes_are_removed_and_both_digests_named),
        T(restart_forgets_and_a_short_blob_is_kept),
        T(uploads_need_no_digest_and_are_swept_when_dead),
        T(one_writer_at_a_time_and_the_next_goes_on),
        T(a_full_disk_is_known_beforehand),
        T(a_small_disk_keeps_what_it_has),
        T(a_file_size_limit_is_an_error_not_a_crash),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
