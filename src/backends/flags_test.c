/* flags_test: llama-server's flags: what is passed on, what is named as without effect, what is refused. */
#include "backends/flags.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { WORDS = 12 };

static size_t count(const char *const *words)
{
    size_t n = 0;
    while (n < WORDS && words[n] != NULL)
        n++;
    return n;
}

static const char *joined(struct arena *a, const char *const *words, size_t n)
{
    const char *all = "";
    for (size_t i = 0; i < n; i++)
        all = arena_printf(a, "%s%s%s", all, i == 0 ? "" : " ", words[i]);
    return all;
}

static void what_the_engine_gets(void **state)
{
    (void)state;
    static const struct {
        const char *words[WORDS], *args;
        int64_t context;
        size_t warnings;
    } rows[] = {
        {{"--temp", "0.70"}, "--temp=0.7", 0, 0},
        {{"--temperature=1e-1"}, "--temp=0.1", 0, 0},
        {{"-n", "-1", "-s", "-1", "--top-k", "-1"}, "--predict=-1 --seed=-1 --top-k=-1", 0, 0},
        {{"--presence-penalty", "-.5"}, "--presence-penalty=-0.5", 0, 0},
        {{"-t", "4", "--threads", "-1"}, "--threads=4", 0, 0},
        {{"-np", "0"}, "", 0, 0},
        {{"-ngl", "99", "--mlock", "--no-mmap", "-v"}, "--gpu-layers=99 --mlock --no-mmap --log-level=debug", 0, 0},
        {{"-c", "4096"}, "", 4096, 0},
        {{"-c", "0"}, "", -1, 0},
        {{"-ctk", "q8_0", "-ctv", "q8_0"}, "--kv-type=q8_0", 0, 0},
        {{"-ctk", "f16", "-ctv", "f16"}, "--kv-type=f16", 0, 0},
        {{"-ctk", "f16", "-ctv", "q8_0"}, "", 0, 0},
        {{"-ctk", "q4_0"}, "--kv-type=q8_0", 0, 1},
        {{"--reasoning-budget=0"}, "--thinking=0 --reasoning-budget=0", 0, 0},
        {{"--reasoning-budget", "-1"}, "--thinking=1 --reasoning-budget=-1", 0, 0},
        {{"--reasoning-budget", "512"}, "--reasoning-budget=512", 0, 0},
        {{"--chat-template-kwargs", "{ \"enable_thinking\" : false }"},
         "--chat-template-kwargs={\"enable_thinking\":false}",
         0,
         0},
        {{"--jinja", "--mmap", "--metrics"}, "", 0, 0},
        {{"-fa", "on", "--temp", "1"}, "--temp=1", 0, 1},
        {{"--verbose-prompt", "--log-prefix", "--log-timestamps", "--log-colors"}, "", 0, 4},
        {{"--rope-freq-base", "10000", "--draft-max", "8"}, "", 0, 2},
        {{"--no-prefill-assistant", "--seed", "4294967295"}, "--seed=4294967295", 0, 1},
        {{NULL}, "", 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_(arena_done) struct arena a = ARENA_INIT;
        struct runtime_flags f;
        struct err err = ERR_INIT;
        const char *words = joined(&a, rows[i].words, count(rows[i].words));
        if (!flags_read(rows[i].words, count(rows[i].words), &a, &f, &err))
            fail_msg("%s: %s", words, err.text);
        if (strcmp(joined(&a, f.args, f.n_args), rows[i].args) != 0)
            fail_msg("%s: '%s'", words, joined(&a, f.args, f.n_args));
        assert_int_equal(f.context, rows[i].context);
        if (f.n_warnings != rows[i].warnings)
            fail_msg("%s: %zu warnings", words, f.n_warnings);
    }
}

static void modes(void **state)
{
    (void)state;
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    struct runtime_flags f;
    assert_true(flags_read((const char *const[]){"--embedding"}, 1, &a, &f, NULL));
    assert_true(f.embeddings && !f.reranking);
    assert_true(flags_read((const char *const[]){"--rerank"}, 1, &a, &f, NULL));
    assert_true(f.reranking && !f.embeddings);
}

static void a_warning_names_flag_and_reason(void **state)
{
    (void)state;
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    struct runtime_flags f;
    assert_true(flags_read((const char *const[]){"--api-key", "secret"}, 2, &a, &f, NULL));
    assert_non_null(strstr(f.warnings[0], "--api-key has no effect here: the daemon is the server"));
    assert_null(strstr(f.warnings[0], "secret"));
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *words[WORDS], *text;
    } rows[] = {
        {{"--model", "x"}, "runtime flag \"--model\" is not allowed for backend \"llama.cpp\": it would let a client"},
        {{"-m=x"}, "\"-m\" is not allowed"},
        {{"--host=0.0.0.0"}, "choose files, addresses"},
        {{"--rpc", "x"}, "choose files, addresses"},
        {{"--hf-repo", "x"}, "choose files"},
        {{"--temperatur", "1"}, "\"--temperatur\" is not allowed for backend \"llama.cpp\": llama-server has no such"},
        {{"--"}, "\"--\" is not allowed"},
        {{"--temp", "a/b"}, "\"a/b\": paths are not allowed (contains '/' or '\\')"},
        {{"--grammar", "\\x"}, "paths are not allowed"},
        {{"--temp=--model"}, "value cannot start with '-' unless followed by a digit"},
        {{"--temp", "nan"}, "'nan' is not a number from 0 to 100"},
        {{"--temp", "inf"}, "is not a number"},
        {{"--temp", "-1"}, "'-1' is not a number from 0 to 100"},
        {{"--temp", "1 --model=x"}, "is not a number"},
        {{"--temp", "--top-k", "1"}, "--temp needs a value"},
        {{"--top-k", "1.5"}, "is not a whole number from -1 to 2147483647"},
        {{"--seed", "4294967296"}, "is not a whole number from -1 to 4294967295"},
        {{"--ctx-size", "-5"}, "is not a whole number from 0 to 16777216"},
        {{"-ctk", "q9_9"}, "is not one of: f16 q8_0"},
        {{"--chat-template-kwargs", "[1]"}, "is not a JSON object"},
        {{"--chat-template-kwargs", "{"}, "is not a JSON object"},
        {{"--no-mmap", "yes"}, "\"yes\" belongs to no runtime flag"},
        {{"--no-mmap=yes"}, "takes no value"},
        {{"-1"}, "\"-1\" belongs to no runtime flag"},
        {{"-"}, "belongs to no runtime flag"},
        {{""}, "belongs to no runtime flag"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_(arena_done) struct arena a = ARENA_INIT;
        struct runtime_flags f;
        struct err err = ERR_INIT;
        if (flags_read(rows[i].words, count(rows[i].words), &a, &f, &err) || strstr(err.text, rows[i].text) == NULL)
            fail_msg("%s: '%s', expected '%s'", rows[i].words[0], err.text, rows[i].text);
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void too_many(void **state)
{
    (void)state;
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    const char *words[LIMIT_RUNTIME_FLAGS + 1];
    struct runtime_flags f;
    struct err err = ERR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        words[i] = "--mlock";
    assert_true(flags_read(words, LIMIT_RUNTIME_FLAGS, &a, &f, NULL));
    assert_false(flags_read(words, LIMIT_RUNTIME_FLAGS + 1, &a, &f, &err));
    assert_non_null(strstr(err.text, "at most 256"));
}

/* Every flag of DMR's own list that its documentation shows is in the table (dmr.md 6.4, compose.md 2.5). */
static void documented_flags_are_known(void **state)
{
    (void)state;
    static const char *const names[] = {
        "--temp 1",
        "--top-k 1",
        "--top-p 1",
        "--min-p 1",
        "--repeat-penalty 1",
        "--reasoning-budget 0",
        "--threads 8",
        "--mlock",
        "--no-mmap",
        "--batch-size 512",
        "--n-gpu-layers 1",
        "--no-prefill-assistant",
        "--verbose",
        "--embeddings",
        "--ubatch-size 1",
        "--flash-attn on",
        "--ctx-size 1",
        "--rope-scaling linear",
        "--pooling mean",
        "--cache-reuse 1",
        "--spec-draft-p-min 0.5",
        "--gpu-layers-draft 1",
        "--numa-less 1",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        _cleanup_(arena_done) struct arena a = ARENA_INIT;
        const char **words = NULL;
        size_t n = 0;
        struct runtime_flags f;
        struct err err = ERR_INIT;
        assert_true(flags_split(names[i], &a, &words, &n, NULL));
        bool last = i + 1 == ARRAY_LEN(names); /* the one that is none */
        if (flags_read(words, n, &a, &f, &err) == last)
            fail_msg("%s: %s", names[i], err.text);
    }
}

static void shell_words(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *words; /* with | between; NULL: refused */
    } rows[] = {
        {"", ""},
        {"  \t\n", ""},
        {"--temp 0.1", "--temp|0.1"},
        {" --temp  '0.1' \"x y\" ", "--temp|0.1|x y"},
        {"a'b c'd", "ab cd"},
        {"'' \"\"", "|"},
        {"a\\ b \\\"", "a b|\""},
        {"\"a\\\"b\" 'a\\b'", "a\"b|a\\b"},
        {"a\\", "a\\"},
        {"'a", NULL},
        {"a \"b", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_(arena_done) struct arena a = ARENA_INIT;
        const char **words = NULL, *all = "";
        size_t n = 0;
        struct err err = ERR_INIT;
        bool ok = flags_split(rows[i].raw, &a, &words, &n, &err);
        for (size_t k = 0; ok && k < n; k++)
            all = arena_printf(&a, "%s%s%s", all, k == 0 ? "" : "|", words[k]);
        if (ok != (rows[i].words != NULL) || (ok && strcmp(all, rows[i].words) != 0))
            fail_msg("'%s': '%s' %s", rows[i].raw, all, err.text);
        if (!ok)
            assert_non_null(strstr(err.text, "a quote is not closed"));
    }
}

static void the_table_can_be_shown(void **state)
{
    (void)state;
    _cleanup_(buf_done) struct buf out = BUF_INIT(1 << 20);
    flags_write_docs(&out);
    assert_non_null(strstr(buf_str(&out), "| `--temp` `--temperature` | 0 to 100 | "));
    assert_non_null(strstr(buf_str(&out), "no effect: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_engine_gets),
        cmocka_unit_test(modes),
        cmocka_unit_test(a_warning_names_flag_and_reason),
        cmocka_unit_test(refused),
        cmocka_unit_test(too_many),
        cmocka_unit_test(documented_flags_are_known),
        cmocka_unit_test(shell_words),
        cmocka_unit_test(the_table_can_be_shown),
    };
    return cmocka_run_group_tests_name("backends/flags", tests, NULL, NULL);
}
