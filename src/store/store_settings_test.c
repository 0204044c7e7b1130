/* settings_test: the text that stays with a model: kept, listed, removed with it, changed by many at once. */
#include "base/limits.h"
#include "base/text.h"
#include "store/testing.h"

#include <pthread.h>

static bool set(void *ctx, const char *old, struct buf *ret_text, struct err *err)
{
    (void)old, (void)err;
    return buf_add_str(ret_text, ctx);
}

static bool append(void *ctx, const char *old, struct buf *ret_text, struct err *err)
{
    (void)err;
    return buf_add_str(ret_text, old) && buf_add_str(ret_text, ctx);
}

static bool refuse(void *ctx, const char *old, struct buf *ret_text, struct err *err)
{
    (void)ctx, (void)old;
    buf_add_str(ret_text, "never");
    return err_set(err, ERR_CONFLICT, "not now");
}

static bool count(void *ctx, const char *id)
{
    assert_true(digest_valid(id));
    ++*(size_t *)ctx;
    return true;
}

static size_t listed(struct store *s)
{
    size_t n = 0;
    must(store_settings_list(s, count, &n, &testing_err));
    return n;
}

static void holds(struct store *s, const char *id, const char *text)
{
    _cleanup_(buf_done) struct buf is = BUF_INIT(LIMIT_SETTINGS_BYTES);
    if (text == NULL) {
        must_fail(store_settings_read(s, id, &is, &testing_err), ERR_NOT_FOUND);
        return;
    }
    must(store_settings_read(s, id, &is, &testing_err));
    assert_string_equal(buf_str(&is), text);
}

static void kept_and_taken_back(void **state)
{
    struct testing *t = *state;
    char id[DIGEST_TEXT];
    testing_model(t->store, 1, 100, "a:1", id);
    holds(t->store, id, NULL);
    must(store_settings_update(t->store, id, set, "one", &testing_err));
    holds(t->store, id, "one");
    must(store_settings_update(t->store, id, append, " two", &testing_err));
    holds(t->store, id, "one two");
    must_fail(store_settings_update(t->store, id, refuse, NULL, &testing_err), ERR_CONFLICT);
    holds(t->store, id, "one two");
    assert_int_equal(listed(t->store), 1);
    store_close(&t->store);
    must(store_open(t->root, &t->store, &testing_err));
    holds(t->store, id, "one two");
    must(store_settings_update(t->store, id, set, "", &testing_err));
    holds(t->store, id, NULL);
    assert_int_equal(testing_files(t, ".tug/settings"), 0);
}

static void gone_with_the_last_name(void **state)
{
    struct testing *t = *state;
    char id[DIGEST_TEXT], other[DIGEST_TEXT];
    struct arena a = ARENA_INIT;
    struct store_removal *removals = NULL;
    size_t n = 0;
    uint64_t freed = 0;
    struct reference second = testing_ref("b:2");
    testing_model(t->store, 1, 100, "a:1", id);
    testing_model(t->store, 2, 100, "c:3", other);
    must(store_tag(t->store, "a:1", &second, &testing_err));
    must(store_settings_update(t->store, id, set, "x", &testing_err));
    must(store_settings_update(t->store, other, set, "y", &testing_err));
    must(store_remove(t->store, "a:1", false, &a, &removals, &n, &testing_err));
    holds(t->store, id, "x");
    must(store_remove(t->store, "b:2", false, &a, &removals, &n, &testing_err));
    holds(t->store, id, NULL);
    holds(t->store, other, "y");
    must(store_prune(t->store, false, &a, &removals, &n, &freed, &testing_err));
    holds(t->store, other, "y");
    must(store_purge(t->store, &testing_err));
    holds(t->store, other, NULL);
    must_fail(store_settings_update(t->store, other, set, "z", &testing_err), ERR_NOT_FOUND);
    assert_int_equal(testing_files(t, ".tug/settings"), 0);
    arena_done(&a);
}

static void strange_files(void **state)
{
    struct testing *t = *state;
    char id[DIGEST_TEXT];
    struct arena a = ARENA_INIT;
    struct store_removal *removals = NULL;
    size_t n = 0;
    uint64_t freed = 0;
    testing_model(t->store, 1, 100, "a:1", id);
    must(store_settings_update(t->store, id, set, "x", &testing_err));
    static const char *const names[] = {"README", "zz.json", ".json", "sha256:1.json"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        _cleanup_free_ char *path = testing_path(t, ".tug/settings/", names[i]);
        testing_write(path, "?", 1);
    }
    assert_int_equal(listed(t->store), 1);
    must(store_prune(t->store, false, &a, &removals, &n, &freed, &testing_err));
    assert_int_equal(testing_files(t, ".tug/settings"), 1);
    holds(t->store, id, "x");
    /* One that is too large is not read, and can be replaced. */
    _cleanup_free_ char *path = testing_path(t, ".tug/settings/", digest_hex(id));
    _cleanup_free_ char *file = NULL, *large = calloc(1, LIMIT_SETTINGS_BYTES + 1);
    assert_true(asprintf(&file, "%s.json", path) > 0);
    testing_write(file, large, LIMIT_SETTINGS_BYTES + 1);
    _cleanup_(buf_done) struct buf is = BUF_INIT(LIMIT_SETTINGS_BYTES);
    must_fail(store_settings_read(t->store, id, &is, &testing_err), ERR_TOO_LARGE);
    must(store_settings_update(t->store, id, set, "small", &testing_err));
    holds(t->store, id, "small");
    arena_done(&a);
}

enum { WRITERS = 4, WRITES = 25 };

struct writer {
    const char *root, *id;
    pthread_t thread;
};

/* Each with a store of its own, as two daemons have. */
static void *writer_run(void *arg)
{
    struct writer *w = arg;
    struct store *s = NULL;
    struct err err = ERR_INIT;
    bool ok = store_open(w->root, &s, &err);
    for (int i = 0; ok && i < WRITES; i++)
        ok = store_settings_update(s, w->id, append, "x", &err);
    store_close(&s);
    return ok ? NULL : arg;
}

static void nothing_is_lost_between_daemons(void **state)
{
    struct testing *t = *state;
    char id[DIGEST_TEXT];
    struct writer writers[WRITERS];
    testing_model(t->store, 1, 100, "a:1", id);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.root = t->root, .id = id};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, writer_run, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        void *failed = NULL;
        pthread_join(writers[i].thread, &failed);
        assert_null(failed);
    }
    _cleanup_(buf_done) struct buf is = BUF_INIT(LIMIT_SETTINGS_BYTES);
    must(store_settings_read(t->store, id, &is, &testing_err));
    assert_int_equal(is.len, WRITERS * WRITES);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, testing_setup, testing_teardown)
    const struct CMUnitTest tests[] = {
        T(kept_and_taken_back),
        T(gone_with_the_last_name),
        T(strange_files),
        T(nothing_is_lost_between_daemons),
    };
    return cmocka_run_group_tests_name("store/settings", tests, NULL, NULL);
}
