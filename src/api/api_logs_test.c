/* The log ring, and logs merged by time. */
#include "api/log_merge.h"
#include "api/log_ring.h"
#include "platform/clock.h"
#include "platform/socket.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void put(struct log_ring *r, const char *line) { log_ring_sink(r, line, strlen(line)); }

static void ring_keeps_the_newest_lines(void **state)
{
    (void)state;
    char text[100];
    struct log_reader *reader = NULL;
    struct log_ring *r = log_ring_new(20);
    for (int i = 0; i < 10; i++) {
        snprintf(text, sizeof text, "line %d\n", i); /* 7 bytes: two fit */
        put(r, text);
    }
    assert_true(log_ring_read_open(r, LOG_ONCE, &reader, NULL));
    size_t n = log_ring_read(reader, text, sizeof text);
    assert_int_equal(n, 14);
    assert_memory_equal(text, "line 8\nline 9\n", n);
    assert_int_equal(log_ring_read(reader, text, sizeof text), 0);
    put(r, "longer than the whole ring, which is 20 bytes\n"); /* left out */
    put(r, "x\n");
    n = log_ring_read(reader, text, sizeof text);
    assert_memory_equal(text, "x\n", n);
    log_ring_read_close(&reader);
    log_ring_free(&r);
}

static void slow_reader_is_told(void **state)
{
    (void)state;
    char text[200];
    struct log_reader *reader = NULL;
    struct log_ring *r = log_ring_new(20);
    put(r, "a\n");
    assert_true(log_ring_read_open(r, LOG_ONCE, &reader, NULL));
    assert_int_equal(log_ring_read(reader, text, sizeof text), 2);
    for (int i = 0; i < 30; i++)
        put(r, "lines\n");
    size_t n = log_ring_read(reader, text, sizeof text - 1);
    text[n] = '\0';
    assert_string_equal(text, "(lines that came too fast are missing here)\nlines\nlines\nlines\n");
    log_ring_read_close(&reader);
    log_ring_free(&r);
}

static void small_reads_take_whole_lines(void **state)
{
    (void)state;
    char text[10];
    struct log_reader *reader = NULL;
    struct log_ring *r = log_ring_new(100);
    put(r, "one\n");
    put(r, "three\n");
    put(r, "longer than ten\n");
    assert_true(log_ring_read_open(r, LOG_ONCE, &reader, NULL));
    assert_int_equal(log_ring_read(reader, text, 8), 4);
    assert_int_equal(log_ring_read(reader, text, 8), 6);
    assert_int_equal(log_ring_read(reader, text, 8), 8); /* cannot be whole */
    assert_int_equal(log_ring_read(reader, text, 10), 8);
    log_ring_read_close(&reader);
    log_ring_free(&r);
}

enum { WRITERS = 4, LINES = 2000 };

static void *writer(void *ring)
{
    char line[32];
    for (int i = 0; i < LINES; i++) {
        snprintf(line, sizeof line, "line %d\n", i);
        put(ring, line);
    }
    return NULL;
}

static void follower_is_woken(void **state)
{
    (void)state;
    static char text[100000];
    pthread_t threads[WRITERS];
    struct log_reader *reader = NULL;
    struct log_ring *r = log_ring_new(WRITERS * LINES * 12);
    assert_true(log_ring_read_open(r, LOG_FOLLOW, &reader, NULL));
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, writer, r), 0);
    int lines = 0;
    while (lines < WRITERS * LINES) {
        size_t n = log_ring_read(reader, text, sizeof text);
        for (size_t i = 0; i < n; i++)
            lines += text[i] == '\n';
        struct socket_wait wait = {.fd = log_ring_wake_fd(reader), .want = SOCKET_READABLE};
        if (n == 0 && socket_wait(&wait, 1, clock_now_ns() + 20 * CLOCK_SECOND) == 0)
            fail_msg("not woken after %d lines", lines);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    log_ring_read_close(&reader);
    log_ring_free(&r);
}

#define T(s) "2026-11-24T13:04:0" s "Z "

static void merges_by_time(void **state)
{
    (void)state;
    static const struct {
        const char *name, *texts[3], *want;
    } rows[] = {
        {"nothing", {"", "", ""}, ""},
        {"one", {T("1.000") "a\n", "", ""}, T("1.000") "a\n"},
        {"two",
         {T("1.000") "a\n" T("3.000") "c\n", T("2.000") "b\n", ""},
         T("1.000") "a\n" T("2.000") "b\n" T("3.000") "c\n"},
        {"lines without a time stay with theirs",
         {T("1.000") "a\n" T("3.000") "c\n", T("2.000") "b\nb2\nb3\n", ""},
         T("1.000") "a\n" T("2.000") "b\nb2\nb3\n" T("3.000") "c\n"},
        {"the first lines without a time",
         {T("1.000") "a\n", "old\n" T("2.000") "b\n", ""},
         "old\n" T("1.000") "a\n" T("2.000") "b\n"},
        {"an engine's head",
         {T("2.000") "a\n", "---- " T("1.000") "engine for x\nllama says\n", ""},
         "---- " T("1.000") "engine for x\nllama says\n" T("2.000") "a\n"},
        {"no last line end", {T("2.000") "a", T("1.000") "b\n", ""}, T("1.000") "b\n" T("2.000") "a"},
        {"the same time: in the texts' order",
         {T("1.000") "a\n", T("1.000") "b\n", T("1.000") "c\n"},
         T("1.000") "a\n" T("1.000") "b\n" T("1.000") "c\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct log_text texts[3];
        struct buf out = BUF_INIT(10000);
        for (int t = 0; t < 3; t++)
            texts[t] = (struct log_text){rows[i].texts[t], strlen(rows[i].texts[t])};
        assert_true(log_merge(texts, 3, &out));
        if (strcmp(buf_str(&out), rows[i].want) != 0)
            fail_msg("%s:\n%s", rows[i].name, buf_str(&out));
        buf_done(&out);
    }
    struct log_text one = {"abcd\n", 5};
    struct buf small = BUF_INIT(3);
    assert_false(log_merge(&one, 1, &small));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_keeps_the_newest_lines),
        cmocka_unit_test(slow_reader_is_told),
        cmocka_unit_test(small_reads_take_whole_lines),
        cmocka_unit_test(follower_is_woken),
        cmocka_unit_test(merges_by_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
