/* store/testing: what the tests of store/ and distribution/ share: a store in a new folder, models made of given bytes,
 * and looking at folders behind the store's back. For tests only. */
#ifndef TUG_STORE_TESTING_H
#define TUG_STORE_TESTING_H

#include "base/cleanup.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

#define TESTING_UNUSED __attribute__((unused))

struct testing {
    char root[512];
    struct store *store;
};

#define must(call)                                                                                                     \
    do {                                                                                                               \
        struct err *must_err = &testing_err;                                                                           \
        *must_err = ERR_INIT;                                                                                          \
        if (!(call))                                                                                                   \
            fail_msg("%s: %s: %s", #call, err_name(must_err->code), must_err->text);                                   \
    } while (0)

#define must_fail(call, expected)                                                                                      \
    do {                                                                                                               \
        testing_err = ERR_INIT;                                                                                        \
        assert_false(call);                                                                                            \
        if (testing_err.code != (expected))                                                                            \
            fail_msg("%s: got %s (%s)", #call, err_name(testing_err.code), testing_err.text);                          \
    } while (0)

TESTING_UNUSED static struct err testing_err;

TESTING_UNUSED static void testing_folder(char dst[512])
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dst, 512, "%s/tug-test-XXXXXX", tmp != NULL && strlen(tmp) < 400 ? tmp : "/tmp");
    assert_non_null(mkdtemp(dst));
}

TESTING_UNUSED static int testing_remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

TESTING_UNUSED static void testing_remove(const char *folder)
{
    nftw(folder, testing_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TESTING_UNUSED static int testing_setup(void **state)
{
    struct testing *t = calloc(1, sizeof *t);
    testing_folder(t->root);
    must(store_open(t->root, &t->store, &testing_err));
    *state = t;
    return 0;
}

TESTING_UNUSED static int testing_teardown(void **state)
{
    struct testing *t = *state;
    store_close(&t->store);
    testing_remove(t->root);
    free(t);
    return 0;
}

/* Bytes that tell their place: the same seed gives the same bytes. */
TESTING_UNUSED static void testing_fill(unsigned char *dst, size_t n, uint64_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15U + 1;
    for (size_t i = 0; i < n; i++) {
        if (i % 8 == 0) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
        }
        dst[i] = (unsigned char)(x >> (8 * (i % 8)));
    }
}

TESTING_UNUSED static char *testing_path(const struct testing *t, const char *rest, const char *more)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s%s", t->root, rest, more) > 0);
    return path;
}

TESTING_UNUSED static bool testing_exists(const struct testing *t, const char *rest)
{
    _cleanup_free_ char *path = testing_path(t, rest, "");
    return access(path, F_OK) == 0;
}

TESTING_UNUSED static void testing_write(const char *path, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    close(fd);
}

TESTING_UNUSED static unsigned testing_count;
TESTING_UNUSED static int testing_count_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)path, (void)st;
    testing_count += kind == FTW_F && ftw->level > 0;
    return 0;
}

/* Files below ROOT/rest. */
TESTING_UNUSED static unsigned testing_files(const struct testing *t, const char *rest)
{
    _cleanup_free_ char *path = testing_path(t, rest, "");
    testing_count = 0;
    nftw(path, testing_count_one, 16, FTW_PHYS);
    return testing_count;
}

/* A manifest whose weights are the given bytes; layers and config are stored, the manifest's text is returned. */
TESTING_UNUSED static char *testing_manifest(struct store *s, const void *weights, size_t n, const char *size_text)
{
    char layer[DIGEST_TEXT], config[DIGEST_TEXT], text[1024];
    char *manifest = NULL;
    must(store_put_blob(s, weights, n, layer, &testing_err));
    snprintf(
        text, sizeof text,
        "{\"config\":{\"format\":\"gguf\",\"quantization\":\"Q8_0\",\"parameters\":\"1M\",\"architecture\":\"llama\","
        "\"size\":\"%s\"},\"descriptor\":{\"created\":\"2025-03-24T11:23:01Z\"},"
        "\"rootfs\":{\"type\":\"rootfs\",\"diff_ids\":[\"%s\"]}}",
        size_text, layer);
    must(store_put_blob(s, text, strlen(text), config, &testing_err));
    assert_true(asprintf(&manifest,
                         "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_MANIFEST
                         "\",\"config\":{\"mediaType\":\"%s\","
                         "\"size\":%zu,\"digest\":\"%s\"},\"layers\":[{\"mediaType\":\"%s\",\"size\":%zu,\"digest\":"
                         "\"%s\",\"annotations\":{\"org.cncf.model.filepath\":\"m.gguf\"}}]}",
                         OCI_TYPE_CONFIG_V01, strlen(text), config, OCI_TYPE_GGUF, n, layer) > 0);
    return manifest;
}

TESTING_UNUSED static struct reference testing_ref(const char *text)
{
    struct reference ref;
    must(reference_parse(text, &ref, &testing_err));
    return ref;
}

/* A model with weights of n bytes, stored under a name (NULL: none). */
TESTING_UNUSED static void testing_model(struct store *s, uint64_t seed, size_t n, const char *name,
                                         char ret_id[DIGEST_TEXT])
{
    _cleanup_free_ unsigned char *weights = malloc(n + 1);
    testing_fill(weights, n, seed);
    _cleanup_free_ char *manifest = testing_manifest(s, weights, n, "1KiB");
    struct reference ref;
    if (name != NULL)
        ref = testing_ref(name);
    must(store_put_manifest(s, manifest, strlen(manifest), name != NULL ? &ref : NULL, ret_id, &testing_err));
}

#endif
