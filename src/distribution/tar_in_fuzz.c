/* distribution/tar_in_fuzz: bytes as an archive, in one piece and byte by byte: the same is seen. */
#include "distribution/tar_in.h"

#include "base/check.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    unsigned files;
    uint64_t bytes, announced;
};

static bool seen_begin(void *ctx, const char *name, uint64_t size, struct err *err)
{
    struct seen *s = ctx;
    (void)err;
    CHECK(name[0] != '/' && strncmp(name, "../", 3) != 0 && strstr(name, "/../") == NULL && strlen(name) < TAR_IN_NAME);
    s->files++;
    s->announced += size;
    return true;
}

static bool seen_data(void *ctx, const void *p, size_t n, struct err *err)
{
    (void)p;
    (void)err;
    ((struct seen *)ctx)->bytes += n;
    return true;
}

static bool seen_end(void *ctx, struct err *err)
{
    struct seen *s = ctx;
    (void)err;
    CHECK(s->bytes == s->announced);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tar_sink sink = {seen_begin, seen_data, seen_end};
    struct seen whole = {0};
    struct seen bytes = {0};
    struct tar_in *a = tar_in_new(&sink, &whole);
    struct tar_in *b = tar_in_new(&sink, &bytes);
    bool ok = tar_in_push(a, data, size, NULL) && tar_in_finish(a, NULL);
    bool same = true;
    for (size_t i = 0; same && i < size; i++)
        same = tar_in_push(b, data + i, 1, NULL);
    same = same && tar_in_finish(b, NULL);
    CHECK(ok == same && whole.files == bytes.files && (!ok || whole.bytes == bytes.bytes));
    tar_in_free(&a);
    tar_in_free(&b);
    return 0;
}
