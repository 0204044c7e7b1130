/* cli/sse_test: events out of bytes, however they are cut. */
#include "cli/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct sse_row {
    const char *name, *bytes, *events; /* events joined by | */
};

static const struct sse_row sse_rows[] = {
    {"one", "data: a\n\n", "a|"},
    {"no space", "data:a\n\n", "a|"},
    {"two", "data: a\n\ndata: b\n\n", "a|b|"},
    {"crlf", "data: a\r\n\r\ndata: b\r\n\r\n", "a|b|"},
    {"cr", "data: a\r\rdata: b\r\r", "a|b|"},
    {"joined lines", "data: a\ndata: b\n\n", "a\nb|"},
    {"comment and other fields", ": hi\nevent: x\nid: 3\ndata: a\n\n", "a|"},
    {"empty data", "data:\n\n", "|"},
    {"unfinished", "data: a\n", ""},
    {"blank lines alone", "\n\n\n", ""},
};

static bool collect(void *ctx, const char *data, size_t n, struct err *err)
{
    (void)err;
    return buf_add(ctx, data, n) && buf_add_char(ctx, '|');
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sse_rows / sizeof sse_rows[0]; i++) {
        const struct sse_row *row = &sse_rows[i];
        size_t n = strlen(row->bytes);
        for (size_t cut = 0; cut <= n; cut++) {
            struct sse s = SSE_INIT;
            struct buf got = BUF_INIT(1000);
            assert_true(sse_push(&s, row->bytes, cut, collect, &got, NULL));
            assert_true(sse_push(&s, row->bytes + cut, n - cut, collect, &got, NULL));
            if (strcmp(buf_str(&got), row->events) != 0)
                fail_msg("%s cut at %zu: got %s", row->name, cut, buf_str(&got));
            sse_done(&s);
            buf_done(&got);
        }
    }
}

static void test_limit(void **state)
{
    (void)state;
    struct sse s = SSE_INIT;
    struct buf got = BUF_INIT(1000);
    struct err err = ERR_INIT;
    static char block[1 << 20];
    memset(block, 'x', sizeof block);
    bool ok = true;
    for (int i = 0; ok && i < 8; i++)
        ok = sse_push(&s, block, sizeof block, collect, &got, &err);
    assert_false(ok);
    assert_int_equal(err.code, ERR_PROTOCOL);
    sse_done(&s);
    buf_done(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_limit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
