/* recorder_test: what is kept, what leaves, followers, and streamed chats folded into one answer. */
#include "api/record_fold.h"
#include "api/recorder.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "json/json_read.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The server's, which would need a connection. */
const char *http_header(const struct http_request *req, const char *name)
{
    (void)req;
    return strcmp(name, "User-Agent") == 0 ? "tester/1" : strcmp(name, "Authorization") == 0 ? "hunter2" : NULL;
}

static void add(struct recorder *r, const char *id, const char *model, const char *body, const char *answer)
{
    struct http_request req = {.method = HTTP_POST, .path = "/v1/chat/completions", .body = BUF_INIT(1 << 24)};
    text_format(req.id, sizeof req.id, "%s", id);
    buf_add_str(&req.body, body);
    struct record *one = record_begin(r, &req, model, "as/sent");
    record_answer(one, answer, strlen(answer));
    record_end(r, &one, 200, NULL);
    assert_null(one);
    buf_done(&req.body);
}

/* Their ids with blanks between. */
static const char *ids(struct recorder *r, const char *model)
{
    static char all[4096];
    struct record **list = NULL;
    size_t n = recorder_take(r, model, &list);
    all[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        strcat(strcat(all, i == 0 ? "" : " "), list[i]->id);
        recorder_give(r, list[i]);
    }
    free(list);
    return all;
}

static void the_last_of_each_model(void **state)
{
    (void)state;
    struct recorder *r = recorder_new(false);
    char id[16];
    for (int i = 0; i < 12; i++) {
        snprintf(id, sizeof id, "a%d", i);
        add(r, id, "A", "x", "y");
        if (i < 2) {
            snprintf(id, sizeof id, "b%d", i);
            add(r, id, "B", "x", "y");
        }
    }
    assert_string_equal(ids(r, "A"), "a2 a3 a4 a5 a6 a7 a8 a9 a10 a11");
    assert_string_equal(ids(r, "B"), "b0 b1");
    assert_string_equal(ids(r, "C"), "");
    assert_string_equal(ids(r, NULL), "b0 b1 a2 a3 a4 a5 a6 a7 a8 a9 a10 a11");
    recorder_free(&r);
    recorder_free(&r);
}

/* A busy model pushes out its own, and others' last ten stay. */
static void bounded_by_count(void **state)
{
    (void)state;
    struct recorder *r = recorder_new(false);
    for (int i = 0; i < 3; i++)
        add(r, "quiet", "Q", "x", "y");
    for (int i = 0; i < LIMIT_RECORDS + 100; i++)
        add(r, "busy", "B", "x", "y");
    assert_string_equal(ids(r, "Q"), "quiet quiet quiet");
    recorder_free(&r);
}

static void bounded_by_bytes(void **state)
{
    (void)state;
    struct recorder *r = recorder_new(true);
    char *body = malloc(LIMIT_RECORD_BODY_BYTES * 2 + 1), model[16];
    memset(body, 'x', LIMIT_RECORD_BODY_BYTES * 2);
    body[LIMIT_RECORD_BODY_BYTES * 2] = '\0';
    int many = 3 * LIMIT_RECORDER_BYTES / (2 * LIMIT_RECORD_BODY_BYTES);
    for (int i = 0; i < many; i++) {
        snprintf(model, sizeof model, "m%d", i);
        add(r, "r", model, body, body);
    }
    struct record **list = NULL;
    size_t n = recorder_take(r, NULL, &list), bytes = 0;
    for (size_t i = 0; i < n; i++) {
        bytes += list[i]->request.cap + list[i]->response.cap;
        assert_int_equal(list[i]->request.len, LIMIT_RECORD_BODY_BYTES);
        assert_int_equal(list[i]->request_bytes, 2 * LIMIT_RECORD_BODY_BYTES);
        recorder_give(r, list[i]);
    }
    free(list);
    assert_true(n > 10 && n < (size_t)many && bytes <= LIMIT_RECORDER_BYTES);
    snprintf(model, sizeof model, "m%d", many - 1);
    assert_string_equal(ids(r, model), "r"); /* the newest stays */
    free(body);
    recorder_free(&r);
}

static const char *written(struct recorder *r, struct buf *out)
{
    struct record **list = NULL;
    size_t n = recorder_take(r, NULL, &list);
    struct json_out j = JSON_OUT(out);
    assert_int_equal(n, 1);
    record_write(&j, list[0]);
    recorder_give(r, list[0]);
    free(list);
    return buf_str(out);
}

static void what_is_shown(void **state)
{
    (void)state;
    for (int bodies = 0; bodies < 2; bodies++) {
        _cleanup_(buf_done) struct buf out = BUF_INIT(1 << 20);
        struct recorder *r = recorder_new(bodies);
        add(r, "req-1", "A", "secret words", "the answer");
        const char *text = written(r, &out);
        assert_non_null(
            strstr(text, "{\"id\":\"req-1\",\"model\":\"as/sent\",\"method\":\"POST\",\"url\":\"/v1/chat/"));
        assert_non_null(strstr(text, "\"status_code\":200,\"user_agent\":\"tester/1\",\"request_bytes\":12"));
        assert_int_equal(strstr(text, "secret words") != NULL, bodies);
        assert_int_equal(strstr(text, "the answer") != NULL, bodies);
        assert_null(strstr(text, "truncated"));
        assert_null(strstr(text, "hunter2"));
        recorder_free(&r);
    }
}

static void a_cut_body_says_so(void **state)
{
    (void)state;
    _cleanup_(buf_done) struct buf out = BUF_INIT(1 << 20);
    struct recorder *r = recorder_new(true);
    char *body = calloc(1, LIMIT_RECORD_BODY_BYTES + 3);
    memset(body, 'x', LIMIT_RECORD_BODY_BYTES - 1);
    strcat(body, "\xc3\xa4y"); /* the character that would be torn goes */
    add(r, "r", "A", body, "");
    assert_non_null(strstr(written(r, &out), "xxx...[truncated 3 bytes]\""));
    free(body);
    recorder_free(&r);
}

static void followers(void **state)
{
    (void)state;
    struct recorder *r = recorder_new(false);
    struct recorder_follower *f = NULL, *slow = NULL;
    uint64_t missed = 7;
    add(r, "before", "A", "x", "y");
    assert_true(recorder_follow(r, &f, NULL));
    assert_true(recorder_follow(r, &slow, NULL));
    assert_null(recorder_next(f, &missed));
    assert_int_equal(missed, 0);
    add(r, "one", "A", "x", "y");
    add(r, "two", "B", "x", "y");
    for (int i = 0; i < 2; i++) {
        struct record *one = recorder_next(f, &missed);
        assert_string_equal(one->id, i == 0 ? "one" : "two");
        assert_int_equal(missed, 0);
        recorder_give(r, one);
    }
    assert_null(recorder_next(f, &missed));
    for (int i = 0; i < LIMIT_RECORDS + 50; i++)
        add(r, "more", "C", "x", "y");
    struct record *kept = recorder_next(slow, &missed); /* "one", which C's did not push out */
    assert_string_equal(kept->id, "one");
    uint64_t all = 1;
    for (struct record *one; (one = recorder_next(slow, &missed)) != NULL; recorder_give(r, one))
        all += 1 + missed;
    assert_int_equal(all, LIMIT_RECORDS + 52); /* those it saw, and those it was told of */
    recorder_unfollow(&f);
    recorder_unfollow(&slow);
    recorder_unfollow(&slow);
    recorder_give(r, kept); /* held on to, while it may have left the ring */
    recorder_free(&r);
}

static void *add_many(void *arg)
{
    for (int i = 0; i < 200; i++)
        add(arg, "t", i % 2 == 0 ? "A" : "B", "x", "y");
    return NULL;
}

static void many_threads(void **state)
{
    (void)state;
    struct recorder *r = recorder_new(true);
    struct recorder_follower *f = NULL;
    pthread_t threads[4];
    uint64_t seen = 0, missed = 0;
    assert_true(recorder_follow(r, &f, NULL));
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_create(&threads[i], NULL, add_many, r);
    while (seen < 800) {
        struct record *one = recorder_next(f, &missed);
        seen += missed + (one != NULL);
        if (one != NULL)
            recorder_give(r, one);
        ids(r, "A");
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(seen, 800);
    recorder_unfollow(&f);
    recorder_free(&r);
}

static void nothing_is_recorded_without_one(void **state)
{
    (void)state;
    struct http_request req = {.path = "/"};
    struct record *one = record_begin(NULL, &req, "A", "as");
    record_answer(one, "x", 1);
    record_end(NULL, &one, 200, NULL);
    assert_null(one);
}

#define CHUNK(delta, finish)                                                                                           \
    "data: "                                                                                                           \
    "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"m\",\"choices\":[{\"index\":0,"      \
    "\"delta\":" delta ",\"finish_reason\":" finish "}],\"usage\":null}\n\n"

static void streams_are_folded(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says; /* NULL: not folded */
    } rows[] = {
        {CHUNK("{\"role\":\"assistant\",\"content\":\"\"}", "null") CHUNK("{\"content\":\"Hel\"}", "null")
             CHUNK("{\"content\":\"lo\"}", "null") CHUNK("{}", "\"stop\"") "data: [DONE]\n\n",
         "\"message\": {\"role\": \"assistant\", \"content\": \"Hello\"}, \"finish_reason\": \"stop\""},
        {CHUNK("{\"reasoning_content\":\"a\"}", "null") ": comment\n\n" CHUNK("{\"reasoning_content\":\"b\"}",
                                                                              "null") "data: [DONE]\r\n\r\n",
         "\"reasoning_content\": \"ab\""},
        {CHUNK("{\"content\":\"cut\"}", "null"), NULL},
        {"data: {\"object\":\"text_completion\"}\n\ndata: [DONE]\n\n", NULL},
        {"data: {\"error\":{\"message\":\"x\"}}\n\n", NULL},
        {"data: {\n\n", NULL},
        {"{\"object\":\"chat.completion\"}", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_(buf_done) struct buf out = BUF_INIT(1 << 20);
        bool ok = record_fold(rows[i].text, &out);
        if (ok != (rows[i].says != NULL))
            fail_msg("row %zu: %d", i, ok);
        if (!ok)
            continue;
        _cleanup_(json_free) json_t *whole = NULL;
        assert_true(json_parse(buf_str(&out), out.len, &whole, NULL));
        _cleanup_free_ char *text = json_dumps(whole, 0);
        if (strstr(text, rows[i].says) == NULL)
            fail_msg("row %zu: %s", i, text);
        assert_non_null(strstr(text, "\"object\": \"chat.completion\""));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_of_each_model), cmocka_unit_test(bounded_by_count),
        cmocka_unit_test(bounded_by_bytes),       cmocka_unit_test(what_is_shown),
        cmocka_unit_test(a_cut_body_says_so),     cmocka_unit_test(followers),
        cmocka_unit_test(many_threads),           cmocka_unit_test(nothing_is_recorded_without_one),
        cmocka_unit_test(streams_are_folded),
    };
    return cmocka_run_group_tests_name("api/recorder", tests, NULL, NULL);
}
