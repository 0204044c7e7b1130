/* store/writer.c: see store.h: a blob that arrives in pieces, and goes on where it stopped.
 *
 * Order of truth (partial.h): data is written, then its grain is noted in state, then blob_write
 * returns: kill -9 loses at most the call that was running. Each 64 MiB or second data is
 * fdatasynced, and only then a mark with the hash's state goes to the journal: a power cut loses
 * what came after the last mark. Going on reads only what lies between the last mark and the end.
 */
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/random.h"
#include "platform/socket.h"
#include "store/layout.h"
#include "store/partial.h"

#include <stdlib.h>
#include <string.h>

/* Measured (distribution.md 5.1): 64 MiB sync in about 34 ms, and syncing on the way is faster than once at the end. */
#define SYNC_BYTES   ((uint64_t)64 * 1024 * 1024)
#define SYNC_NS      CLOCK_SECOND
#define WAIT_STEP_NS (50 * CLOCK_MS)
enum { READ_BYTES = 256 * 1024 };

struct blob_private {
    struct store *store;
    struct store_lease *lease;
    char digest[DIGEST_TEXT]; /* "": not known yet, never resumed */
    char *dir, *data_path, *state_path, *journal_path;
    int data, state, journal; /* state holds the lock */
    uint64_t inode;
    struct digest_hash hash;
    uint64_t mid_offset; /* the last multiple of 64 that was hashed, and the hash's state there */
    unsigned char mid[DIGEST_STATE_BYTES];
    uint64_t synced;
    int64_t synced_ns;
    uint64_t journal_len;
    bool folder_synced;
    bool locked;   /* the partial is ours */
    bool had_data; /* it was begun earlier */
};

static bool writer_resumable(const struct blob_writer *w) { return w->p->digest[0] != '\0' && w->size != UINT64_MAX; }

static void writer_free(struct blob_writer **writer)
{
    struct blob_writer *w = *writer;
    if (w == NULL)
        return;
    struct blob_private *p = w->p;
    file_close(&p->data);
    file_close(&p->journal);
    file_close(&p->state);
    free(p->dir);
    free(p->data_path);
    free(p->state_path);
    free(p->journal_path);
    free(p);
    free(w);
    *writer = NULL;
}

/* "" where the system has none: then only the journal is trusted. */
static void boot_id_read(char dst[PARTIAL_BOOT_ID])
{
    _cleanup_(buf_done) struct buf text = BUF_INIT(PARTIAL_BOOT_ID - 1);
    dst[0] = '\0';
    if (file_read_all("/proc/sys/kernel/random/boot_id", PARTIAL_BOOT_ID - 1, &text, NULL))
        text_format(dst, PARTIAL_BOOT_ID, "%.*s", (int)strcspn(buf_str(&text), "\n"), buf_str(&text));
}

/* Hashes n bytes, remembering the state at the last multiple of 64. `at`: how many were hashed before. */
static void writer_hash(struct blob_private *p, uint64_t at, const unsigned char *bytes, size_t n)
{
    size_t tail = (size_t)((at + n) % 64);
    if (n >= tail) {
        digest_add(&p->hash, bytes, n - tail);
        CHECK(digest_save(&p->hash, p->mid));
        p->mid_offset = at + n - tail;
        bytes += n - tail;
        n = tail;
    }
    digest_add(&p->hash, bytes, n);
}

static void writer_hash_start(struct blob_private *p)
{
    digest_start(&p->hash);
    CHECK(digest_save(&p->hash, p->mid));
    p->mid_offset = 0;
}

static bool state_put_header(struct blob_writer *w, bool trusted, struct err *err)
{
    struct blob_private *p = w->p;
    struct partial_header h = {.size = w->size, .inode = p->inode};
    unsigned char bytes[PARTIAL_HEADER_BYTES];
    memcpy(h.digest, p->digest, DIGEST_TEXT);
    if (trusted)
        boot_id_read(h.boot_id);
    partial_header_encode(&h, bytes);
    return file_pwrite(p->state, bytes, sizeof bytes, 0, p->state_path, err);
}

/* Notes that the bytes [from, to) are written. */
static bool state_put_grains(struct blob_writer *w, uint64_t from, uint64_t to, struct err *err)
{
    enum { BATCH = 64 };
    unsigned char bytes[BATCH * PARTIAL_GRAIN_RECORD];
    uint64_t first = from / PARTIAL_GRAIN_BYTES, end = (to + PARTIAL_GRAIN_BYTES - 1) / PARTIAL_GRAIN_BYTES;
    while (first < end) {
        size_t n = end - first < BATCH ? (size_t)(end - first) : BATCH;
        for (size_t i = 0; i < n; i++) {
            uint64_t left = to - (first + i) * PARTIAL_GRAIN_BYTES;
            partial_grain_encode(first + i, (uint32_t)(left < PARTIAL_GRAIN_BYTES ? left : PARTIAL_GRAIN_BYTES),
                                 bytes + i * PARTIAL_GRAIN_RECORD);
        }
        if (!file_pwrite(w->p->state, bytes, n * PARTIAL_GRAIN_RECORD,
                         PARTIAL_HEADER_BYTES + first * PARTIAL_GRAIN_RECORD, w->p->state_path, err))
            return false;
        first += n;
    }
    return true;
}

/* The header comes last: until then only the journal counts. */
static bool state_rewrite(struct blob_writer *w, struct err *err)
{
    struct blob_private *p = w->p;
    return file_truncate(p->state, 0, p->state_path, err) && state_put_grains(w, 0, w->have, err) &&
           state_put_header(w, true, err);
}

static bool writer_reread(struct blob_writer *w, uint64_t from, uint64_t to, struct err *err)
{
    _cleanup_(buf_done) struct buf room = BUF_INIT(READ_BYTES);
    char *bytes = buf_reserve(&room, READ_BYTES);
    while (from < to) {
        size_t n = to - from < READ_BYTES ? (size_t)(to - from) : READ_BYTES;
        if (!file_pread(w->p->data, bytes, n, from, w->p->data_path, err))
            return false;
        writer_hash(w->p, from, (const unsigned char *)bytes, n);
        from += n;
        w->reread += n;
    }
    return true;
}

/* What of a file can be read; a damaged one counts as empty. */
static void read_whole(const char *path, struct buf *out)
{
    struct err err = ERR_INIT;
    if (!file_read_all(path, PARTIAL_FILE_MAX, out, &err) && err.code != ERR_NOT_FOUND)
        log_warn("cannot read the state of a partial blob", "path=%s reason=%s", path, err.text);
}

/* What state says is written; 0 unless it is of this boot, this size. `limit`: nothing behind it can be there. */
static uint64_t recover_written(const struct blob_writer *w, const struct buf *state, bool *ret_same_file,
                                uint64_t limit)
{
    struct partial_header header;
    char boot_id[PARTIAL_BOOT_ID];
    *ret_same_file = true;
    if (!partial_header_decode(buf_str(state), state->len, &header))
        return 0;
    *ret_same_file = header.inode == w->p->inode && strcmp(header.digest, w->p->digest) == 0;
    boot_id_read(boot_id);
    bool fresh = *ret_same_file && boot_id[0] != '\0' && strcmp(header.boot_id, boot_id) == 0;
    return fresh && header.size == w->size ? partial_frontier(buf_str(state), state->len, limit) : 0;
}

/* Finds out how much of data counts, and brings the hash there. data_bytes: its length before we touched it. */
static bool writer_recover(struct blob_writer *w, uint64_t data_bytes, struct err *err)
{
    struct blob_private *p = w->p;
    _cleanup_(buf_done) struct buf state = BUF_INIT(PARTIAL_FILE_MAX);
    _cleanup_(buf_done) struct buf journal = BUF_INIT(PARTIAL_FILE_MAX);
    struct partial_mark mark = {.frontier = 0};
    size_t journal_end = 0;
    bool same_file = false;
    read_whole(p->state_path, &state);
    read_whole(p->journal_path, &journal);
    uint64_t limit = data_bytes < w->size ? data_bytes : w->size;
    uint64_t written = recover_written(w, &state, &same_file, limit);
    if (same_file && partial_last_mark(buf_str(&journal), journal.len, limit, &mark, &journal_end)) {
        CHECK(digest_load(&p->hash, mark.hash));
        memcpy(p->mid, mark.hash, sizeof p->mid);
        p->mid_offset = mark.offset;
        p->synced = mark.frontier;
    }
    w->have = written > mark.frontier ? written : mark.frontier;
    /* What lies behind is damaged, or claims bytes that are gone: it must not be believed later either. */
    p->journal_len = journal_end;
    if (!file_truncate(p->journal, p->journal_len, p->journal_path, err) ||
        !writer_reread(w, p->mid_offset, w->have, err))
        return false;
    bool state_is_right = written > 0 && w->have == written && data_bytes == w->size;
    return state_is_right || state_rewrite(w, err);
}

/* Room for all of it at once, so that a full disk is known before the first byte. */
static bool writer_reserve(struct blob_writer *w, const struct file_info *data, struct err *err)
{
    if (w->size == UINT64_MAX || data->size == w->size)
        return true;
    uint64_t missing = w->size > data->disk_bytes ? w->size - data->disk_bytes : 0;
    return store_check_space(w->p->store, missing, err) && file_allocate(w->p->data, w->size, w->p->data_path, err);
}

static bool writer_open_files(struct blob_writer *w, struct err *err)
{
    struct blob_private *p = w->p;
    p->data_path = store_path(p->store, "%s/data", p->dir + strlen(p->store->root) + 1);
    p->state_path = store_path(p->store, "%s/state", p->dir + strlen(p->store->root) + 1);
    p->journal_path = store_path(p->store, "%s/journal", p->dir + strlen(p->store->root) + 1);
    _cleanup_(file_close) int lock = -1; /* against those who clear partials away: they hold it exclusively */
    if (!store_lock_shared(p->store, &lock, err) || !file_mkdirs(p->dir, 0700, err) ||
        !file_open(p->state_path, FILE_READ_WRITE, &p->state, err))
        return false;
    if (!file_try_lock(p->state, p->state_path, err))
        return err_while(err, "another transfer of %s is running", p->digest[0] != '\0' ? p->digest : p->dir);
    p->locked = true;
    return file_open(p->data_path, FILE_READ_WRITE, &p->data, err) &&
           file_open(p->journal_path, FILE_READ_WRITE, &p->journal, err);
}

static bool writer_start(struct blob_writer *w, struct err *err)
{
    struct blob_private *p = w->p;
    struct file_info info;
    if (!writer_open_files(w, err) || !file_stat_fd(p->data, p->data_path, &info, err))
        return false;
    p->inode = info.inode;
    p->had_data = info.size > 0;
    p->synced_ns = clock_now_ns();
    writer_hash_start(p);
    if (!writer_reserve(w, &info, err))
        return false;
    return !writer_resumable(w) || writer_recover(w, info.size, err);
}

bool store_blob_begin(struct store *s, const char *digest, uint64_t size, struct blob_writer **ret_w, struct err *err)
{
    struct blob_writer *w = check_alloc(calloc(1, sizeof *w));
    struct blob_private *p = w->p = check_alloc(calloc(1, sizeof *p));
    *p = (struct blob_private){.store = s, .data = -1, .state = -1, .journal = -1};
    w->size = size;
    if (digest != NULL) {
        CHECK(digest_valid(digest));
        text_format(p->digest, sizeof p->digest, "%s", digest);
        p->dir = store_path(s, ".tug/partial/sha256-%s", digest_hex(digest));
    } else {
        char id[17];
        random_id(id, sizeof id - 1);
        p->dir = store_path(s, ".tug/partial/upload-%s", id);
    }
    if (writer_start(w, err)) {
        *ret_w = w;
        return true;
    }
    if (p->locked && !p->had_data)
        blob_discard(&w);
    else
        writer_free(&w);
    return false;
}

/* After a failed fdatasync the kernel may have dropped pages that it once held: nothing since the last mark counts. */
static bool writer_sync_failed(struct blob_writer *w)
{
    if (writer_resumable(w))
        state_put_header(w, false, NULL);
    return false;
}

static bool writer_sync(struct blob_writer *w, struct err *err)
{
    struct blob_private *p = w->p;
    if (!file_sync(p->data, p->data_path, err))
        return writer_sync_failed(w);
    if (!p->folder_synced) {
        _cleanup_free_ char *above = store_path(p->store, ".tug/partial");
        if (!file_sync_dir(p->dir, err) || !file_sync_dir(above, err))
            return false;
        p->folder_synced = true;
    }
    struct partial_mark mark = {.frontier = w->have, .offset = p->mid_offset};
    unsigned char record[PARTIAL_RECORD_BYTES];
    memcpy(mark.hash, p->mid, sizeof mark.hash);
    partial_mark_encode(&mark, record);
    if (!file_pwrite(p->journal, record, sizeof record, p->journal_len, p->journal_path, err) ||
        !file_sync(p->journal, p->journal_path, err))
        return false;
    p->journal_len += sizeof record;
    p->synced = w->have;
    p->synced_ns = clock_now_ns();
    return true;
}

bool blob_write(struct blob_writer *w, const void *bytes, size_t n, struct err *err)
{
    struct blob_private *p = w->p;
    if (n > w->size - w->have)
        return err_set(err, ERR_PROTOCOL, "more bytes came for %s than the %llu that its size says",
                       p->digest[0] != '\0' ? p->digest : "an upload", (unsigned long long)w->size);
    if (n == 0)
        return true;
    if (!file_pwrite(p->data, bytes, n, w->have, p->data_path, err))
        return false;
    if (writer_resumable(w) && !state_put_grains(w, w->have, w->have + n, err))
        return false;
    writer_hash(p, w->have, bytes, n);
    w->have += n;
    if (!writer_resumable(w))
        return true;
    if (w->have - p->synced < SYNC_BYTES && clock_now_ns() - p->synced_ns < SYNC_NS)
        return true;
    return writer_sync(w, err);
}

bool blob_restart(struct blob_writer *w, struct err *err)
{
    struct blob_private *p = w->p;
    w->have = 0;
    p->synced = 0;
    p->journal_len = 0;
    writer_hash_start(p);
    if (!writer_resumable(w))
        return true;
    /* The old marks must be gone for good before new bytes take the place of those they speak of. */
    return file_truncate(p->journal, 0, p->journal_path, err) && file_sync(p->journal, p->journal_path, err) &&
           state_rewrite(w, err);
}

void blob_use_lease(struct blob_writer *w, struct store_lease *l) { w->p->lease = l; }

/* Under the store lock, so that store_blob_begin never meets a folder that is half gone. */
static bool writer_publish(struct blob_writer *w, const char *digest, struct err *err)
{
    struct blob_private *p = w->p;
    _cleanup_free_ char *final = store_blob_file(p->store, digest);
    _cleanup_(file_close) int lock = -1;
    if (!store_lock(p->store, &lock, err))
        return false;
    if (p->lease != NULL && !store_lease_add_locked(p->lease, digest, err))
        return false;
    if (!file_seal(p->data, p->data_path, err) || !file_rename(p->data_path, final, err))
        return false;
    struct err ignored = ERR_INIT;
    if (!file_remove_tree(p->dir, &ignored)) /* the blob is there; the rest is swept with the next prune */
        log_warn("cannot remove the state of a finished blob", "path=%s reason=%s", p->dir, ignored.text);
    return true;
}

bool blob_commit(struct blob_writer **writer, char *ret_digest, struct err *err)
{
    struct blob_writer *w = *writer;
    struct blob_private *p = w->p;
    char actual[DIGEST_TEXT];
    if (w->size != UINT64_MAX && w->have < w->size) {
        err_set(err, ERR_PROTOCOL, "only %llu of %llu bytes came for %s", (unsigned long long)w->have,
                (unsigned long long)w->size, p->digest[0] != '\0' ? p->digest : "an upload");
        if (writer_resumable(w))
            blob_pause(writer);
        else
            blob_discard(writer);
        return false;
    }
    digest_end(&p->hash, actual);
    if (p->digest[0] != '\0' && strcmp(p->digest, actual) != 0) {
        err_set(err, ERR_PROTOCOL, "the content is not what its digest says: expected %s, got %s", p->digest, actual);
        blob_discard(writer);
        return false;
    }
    if (!file_sync(p->data, p->data_path, err)) {
        writer_sync_failed(w);
    } else if (writer_publish(w, actual, err)) {
        if (ret_digest != NULL)
            memcpy(ret_digest, actual, sizeof actual);
        writer_free(writer);
        return true;
    }
    if (writer_resumable(w))
        writer_free(writer);
    else
        blob_discard(writer);
    return err_while(err, "storing the blob %s", actual);
}

void blob_pause(struct blob_writer **writer)
{
    struct blob_writer *w = *writer;
    if (w == NULL)
        return;
    struct err err = ERR_INIT;
    if (!writer_resumable(w)) {
        blob_discard(writer);
        return;
    }
    if (w->have > w->p->synced && !writer_sync(w, &err))
        log_warn("cannot sync a partial blob", "path=%s reason=%s", w->p->dir, err.text);
    writer_free(writer);
}

void blob_discard(struct blob_writer **writer)
{
    struct blob_writer *w = *writer;
    if (w == NULL)
        return;
    _cleanup_(file_close) int lock = -1;
    struct err err = ERR_INIT;
    if (!store_lock(w->p->store, &lock, &err) || !file_remove_tree(w->p->dir, &err))
        log_warn("cannot remove a partial blob", "path=%s reason=%s", w->p->dir, err.text);
    writer_free(writer);
}

/* ---- partials of others --------------------------------------------------------------------- */

static bool partial_is_free(struct store *s, const char *digest)
{
    _cleanup_free_ char *path = store_path(s, ".tug/partial/sha256-%s/state", digest_hex(digest));
    _cleanup_(file_close) int fd = -1;
    struct err err = ERR_INIT;
    if (!file_open(path, FILE_READ, &fd, &err))
        return true; /* gone: it is finished or removed */
    return file_try_lock(fd, path, &err);
}

/* flock cannot be waited for together with a descriptor, so this looks 20 times a second. */
bool store_blob_wait(struct store *s, const char *digest, int64_t deadline_ns, int cancel_fd, struct err *err)
{
    CHECK(digest_valid(digest));
    while (!partial_is_free(s, digest)) {
        int64_t now = clock_now_ns();
        if (now >= deadline_ns)
            return err_set(err, ERR_BUSY, "another transfer of %s is still running", digest);
        struct socket_wait cancel = {.fd = cancel_fd, .want = SOCKET_CLOSED};
        int64_t until = deadline_ns - now < WAIT_STEP_NS ? deadline_ns : now + WAIT_STEP_NS;
        if (socket_wait(&cancel, 1, until) > 0)
            return err_set(err, ERR_CANCELLED, "cancelled while another transfer of %s was running", digest);
    }
    return true;
}

bool store_blob_progress(struct store *s, const char *digest, uint64_t *ret_have)
{
    _cleanup_free_ char *path = store_path(s, ".tug/partial/sha256-%s/state", digest_hex(digest));
    _cleanup_(buf_done) struct buf state = BUF_INIT(PARTIAL_FILE_MAX);
    struct partial_header header;
    if (!file_read_all(path, PARTIAL_FILE_MAX, &state, NULL) ||
        !partial_header_decode(buf_str(&state), state.len, &header))
        return false;
    *ret_have = partial_frontier(buf_str(&state), state.len, header.size);
    return true;
}
