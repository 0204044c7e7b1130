/* The lines of a transfer, against the samples of dmr.md 2.5. */
#include "api/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void writes_lines(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct job_event event;
        const char *mode;
        enum progress_form form;
        const char *want;
    } rows[] = {
        {"progress",
         {.kind = JOB_PROGRESS,
          .message = "Downloaded: 12.00 MB",
          .total = 270590880,
          .layer_id = "sha256:ab",
          .layer_size = 270590000,
          .layer_current = 12582912},
         "pull",
         PROGRESS_JSON,
         "{\"type\":\"progress\",\"message\":\"Downloaded: 12.00 "
         "MB\",\"total\":270590880,\"layer\":{\"id\":\"sha256:ab\",\"size\":270590000,\"current\":12582912},\"mode\":"
         "\"pull\"}\n"},
        {"progress without words",
         {.kind = JOB_PROGRESS,
          .total = 20,
          .layer_id = "sha256:ab",
          .layer_size = 20000000,
          .layer_current = 12582912},
         "pull",
         PROGRESS_JSON,
         "{\"type\":\"progress\",\"message\":\"Downloaded: 12.00 "
         "MB\",\"total\":20,\"layer\":{\"id\":\"sha256:ab\",\"size\":20000000,\"current\":12582912},\"mode\":\"pull\"}"
         "\n"},
        {"push without words",
         {.kind = JOB_PROGRESS, .total = 20, .layer_id = "sha256:ab", .layer_size = 20, .layer_current = 0},
         "push",
         PROGRESS_JSON,
         "{\"type\":\"progress\",\"message\":\"Uploaded: 0.00 "
         "MB\",\"total\":20,\"layer\":{\"id\":\"sha256:ab\",\"size\":20,\"current\":0},\"mode\":\"push\"}\n"},
        {"a phase has no layer",
         {.kind = JOB_PROGRESS, .message = "Fetching file list..."},
         "pull",
         PROGRESS_JSON,
         "{\"type\":\"progress\",\"message\":\"Fetching file "
         "list...\",\"total\":0,\"layer\":{\"size\":0,\"current\":0},\"mode\":\"pull\"}\n"},
        {"success",
         {.kind = JOB_SUCCESS, .message = "Model pulled successfully"},
         "pull",
         PROGRESS_JSON,
         "{\"type\":\"success\",\"message\":\"Model pulled "
         "successfully\",\"total\":0,\"layer\":{\"size\":0,\"current\":0},\"mode\":\"pull\"}\n"},
        {"error",
         {.kind = JOB_ERROR, .message = "writing blob: disk full", .code = ERR_NO_SPACE},
         "pull",
         PROGRESS_JSON,
         "{\"type\":\"error\",\"message\":\"Error: writing blob: disk "
         "full\",\"total\":0,\"layer\":{\"size\":0,\"current\":0},\"mode\":\"pull\",\"status\":507}\n"},
        {"warning",
         {.kind = JOB_WARNING, .message = "slow"},
         "push",
         PROGRESS_JSON,
         "{\"type\":\"warning\",\"message\":\"slow\",\"total\":0,\"layer\":{\"size\":0,\"current\":0},\"mode\":"
         "\"push\"}\n"},
        {"escaped for HTML",
         {.kind = JOB_WARNING, .message = "a <b> & 'c'"},
         "push",
         PROGRESS_TEXT,
         "{&#34;type&#34;:&#34;warning&#34;,&#34;message&#34;:&#34;a &lt;b&gt; &amp; "
         "&#39;c&#39;&#34;,&#34;total&#34;:0,&#34;layer&#34;:{&#34;size&#34;:0,&#34;current&#34;:0},&#34;mode&#34;:&#"
         "34;push&#34;}\n"},
        {"one line for ever",
         {.kind = JOB_WARNING, .message = "a\nb"},
         "push",
         PROGRESS_JSON,
         "{\"type\":\"warning\",\"message\":\"a\\nb\",\"total\":0,\"layer\":{\"size\":0,\"current\":0},\"mode\":"
         "\"push\"}\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out = BUF_INIT(10000);
        assert_true(progress_write(&out, &rows[i].event, rows[i].mode, rows[i].form));
        if (strcmp(out.data, rows[i].want) != 0)
            fail_msg("%s:\n%s", rows[i].name, out.data);
        buf_done(&out);
    }
}

static void longest_message_fits(void **state)
{
    (void)state;
    struct job_event e = {.kind = JOB_ERROR};
    memset(e.message, '\x01', sizeof e.message - 1); /* six characters each in JSON */
    struct buf out = BUF_INIT(20000);
    assert_true(progress_write(&out, &e, "pull", PROGRESS_TEXT));
    memset(e.message, '"', sizeof e.message - 1); /* \&#34; */
    assert_true(progress_write(&out, &e, "pull", PROGRESS_TEXT));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(writes_lines), cmocka_unit_test(longest_message_fits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
