/* gguf/gguf_summary_test: DMR's strings, the memory a model needs, and the files of a split one. */
#include "gguf/gguf.h"

#include "gguf/gguf_sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const char *pair(const struct model_config *c, const char *key)
{
    for (size_t i = 0; i < c->n_gguf; i++)
        if (strcmp(c->gguf[i].key, key) == 0)
            return c->gguf[i].value;
    return NULL;
}

static void test_summary(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(SAMPLE_MAX);
    struct arena a = ARENA_INIT;
    struct gguf *g = NULL;
    struct model_config c;
    sample_model(&b, "tiny \xe2\x98\x83", 7);
    assert_true(gguf_open_bytes(b.data, b.len, b.len, &g, NULL));
    gguf_summary((const struct gguf *const *)&g, 1, &a, &c);
    assert_string_equal(c.format, "gguf");
    assert_string_equal(c.architecture, "llama");
    assert_string_equal(c.quantization, "MOSTLY_Q4_K_M");
    assert_string_equal(c.parameters, "512");
    assert_string_equal(c.size, "1.50KiB");
    assert_int_equal(c.context_size, 2048);
    assert_int_equal(c.created_wall_ns, 0);
    assert_int_equal(c.n_gguf, 6);
    assert_string_equal(pair(&c, "general.name"), "tiny \xe2\x98\x83");
    assert_string_equal(pair(&c, "llama.context_length"), "2048");
    assert_string_equal(pair(&c, "llama.rope.freq_base"), "10000.000000");
    assert_string_equal(pair(&c, "tokenizer.ggml.tokens"), "<s>, a, ");
    for (size_t i = 1; i < c.n_gguf; i++)
        assert_true(strcmp(c.gguf[i - 1].key, c.gguf[i].key) < 0);
    /* Two shards: the first one's metadata, both ones' sums. */
    const struct gguf *both[] = {g, g};
    gguf_summary(both, 2, &a, &c);
    assert_string_equal(c.parameters, "1.02K");
    assert_string_equal(c.size, "3KiB");
    gguf_close(&g);
    arena_done(&a);
    buf_done(&b);
}

/* A header alone, of a file with one F32 tensor and so many bytes of data (0: the tensor's). */
static void test_units(void **state)
{
    (void)state;
    static const struct {
        uint64_t elements, data;
        const char *parameters, *size;
    } rows[] = {
        {183, 0, "183", "732B"},
        {216, 0, "216", "864B"},
        {999, 0, "999", "3.90KiB"},
        {1000, 0, "1K", "3.91KiB"},
        {361821120, 0, "361.82M", "1.35GiB"},
        {7000000000, 0, "7B", "26.08GiB"},
        {250000000, 0, "250M", "1GB"},
        {268435455, 0, "268.44M", "1.07GB"},
        {268435456, 0, "268.44M", "1GiB"},
        {1, 1000, "1", "1KB"},
        {1, 1024, "1", "1KiB"},
        {1, 1000000, "1", "1MB"},
        {1, 268802560, "1", "256.35MiB"},
        {UINT64_C(1200000000000), 0, "1.20T", "4.37TiB"},
        {UINT64_C(2000000000000000), 0, "2Q", "7.11PiB"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b = BUF_INIT(SAMPLE_MAX);
        struct arena a = ARENA_INIT;
        struct gguf *g = NULL;
        struct model_config c;
        struct err err = {0};
        sample_front(&b, 3, 1, 0);
        sample_tensor(&b, "t", 0, rows[i].elements, 1, 0);
        sample_pad(&b, 32);
        uint64_t data = rows[i].data > 0 ? rows[i].data : rows[i].elements * 4;
        if (!gguf_open_bytes(b.data, b.len, b.len + data, &g, &err))
            fail_msg("row %zu: %s", i, err.text);
        gguf_summary((const struct gguf *const *)&g, 1, &a, &c);
        assert_string_equal(c.parameters, rows[i].parameters);
        assert_string_equal(c.size, rows[i].size);
        gguf_close(&g);
        arena_done(&a);
        buf_done(&b);
    }
}

static void test_quantization(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t file_type; /* -1: none */
        uint32_t types[8]; /* of blk. tensors, 99: end */
        const char *is;
    } rows[] = {
        {"F32", 0, {99}, "MOSTLY_F32"},
        {"F16", 1, {99}, "MOSTLY_F16"},
        {"Q8_0", 7, {99}, "MOSTLY_Q8_0"},
        {"Q4_K_M", 15, {99}, "MOSTLY_Q4_K_M"},
        {"BF16", 32, {99}, "MOSTLY_BF16"},
        {"MXFP4", 38, {99}, "MOSTLY_MXFP4"},
        {"unknown number", 5000, {99}, "Unknown"},
        {"guess: nothing to go by", -1, {99}, "Unknown"},
        {"guess: F32 alone", -1, {0, 0, 99}, "MOSTLY_F32"},
        {"guess: F16 among norms", -1, {0, 0, 0, 1, 1, 99}, "MOSTLY_F16"},
        {"guess: Q8_0", -1, {8, 8, 0, 99}, "MOSTLY_Q8_0"},
        {"guess: Q4_K_M", -1, {12, 12, 12, 0, 0, 14, 99}, "MOSTLY_Q4_K_M"},
        {"guess: Q4_K_S", -1, {12, 12, 0, 13, 99}, "MOSTLY_Q4_K_S"},
        {"guess: Q5_K_M", -1, {13, 13, 13, 0, 0, 14, 99}, "MOSTLY_Q5_K_M"},
        {"guess: Q3_K", -1, {11, 11, 0, 99}, "MOSTLY_Q3_K_S"},
        {"guess: Q6_K", -1, {14, 14, 0, 99}, "MOSTLY_Q6_K"},
        {"guess: IQ4_XS", -1, {23, 23, 0, 99}, "MOSTLY_IQ4_XS"},
        {"guess: I8 is no file type", -1, {24, 24, 99}, "Unknown"},
        {"number unknown, guessed", 5000, {2, 2, 99}, "MOSTLY_Q4_0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b = BUF_INIT(SAMPLE_MAX);
        struct arena a = ARENA_INIT;
        struct gguf *g = NULL;
        struct model_config c;
        struct err err = {0};
        size_t n = 0;
        while (rows[i].types[n] != 99)
            n++;
        sample_front(&b, 3, n, rows[i].file_type >= 0);
        if (rows[i].file_type >= 0)
            sample_u32(&b, "general.file_type", (uint32_t)rows[i].file_type);
        for (size_t t = 0; t < n; t++) {
            char name[32];
            snprintf(name, sizeof name, "blk.%zu.weight", t);
            sample_tensor(&b, name, rows[i].types[t], 256, 1, t * 2048);
        }
        if (!gguf_open_bytes(b.data, b.len, b.len + 32 + n * 2048, &g, &err))
            fail_msg("%s: %s", rows[i].name, err.text);
        gguf_summary((const struct gguf *const *)&g, 1, &a, &c);
        if (strcmp(c.quantization, rows[i].is) != 0)
            fail_msg("%s: %s", rows[i].name, c.quantization);
        gguf_close(&g);
        arena_done(&a);
        buf_done(&b);
    }
}

static void test_map(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(SAMPLE_MAX);
    struct arena a = ARENA_INIT;
    struct gguf *g = NULL;
    struct model_config c;
    sample_front(&b, 3, 0, 8);
    sample_array(&b, "fifty", GGUF_U8, 50);
    sample_data(&b, 50, 1);
    sample_array(&b, "fifty-one", GGUF_U8, 51);
    sample_data(&b, 51, 1);
    sample_array(&b, "bools", GGUF_BOOL, 2);
    sample_data(&b, 1, 1);
    sample_data(&b, 1, 0);
    sample_array(&b, "none", GGUF_I32, 0);
    sample_key(&b, "minus", GGUF_I64);
    sample_uint(&b, (uint64_t)-5, 8);
    sample_key(&b, "nul", GGUF_STRING);
    sample_uint(&b, 3, 8);
    buf_add(&b, "a\0b", 3);
    sample_key(&b, "long", GGUF_STRING);
    sample_uint(&b, 200000, 8);
    sample_data(&b, 200000, 'x');
    sample_text(&b, "not utf-8 \xff", "x");
    assert_true(gguf_open_bytes(b.data, b.len, b.len, &g, NULL));
    gguf_summary((const struct gguf *const *)&g, 1, &a, &c);
    assert_non_null(pair(&c, "fifty"));
    assert_int_equal(strlen(pair(&c, "fifty")), 50 + 49 * 2);
    assert_null(pair(&c, "fifty-one"));
    assert_string_equal(pair(&c, "bools"), "true, false");
    assert_string_equal(pair(&c, "none"), "");
    assert_string_equal(pair(&c, "minus"), "-5");
    assert_null(pair(&c, "nul"));
    assert_null(pair(&c, "long"));
    assert_int_equal(c.n_gguf, 4);
    gguf_close(&g);
    arena_done(&a);
    buf_done(&b);
}

/* 40,000 strings of 100 KiB would be 4 GB in an arena: the map stops at half a MiB. */
static void test_map_is_bounded(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(64 * 1024 * 1024);
    struct arena a = ARENA_INIT;
    struct gguf *g = NULL;
    struct model_config c;
    enum { KEYS = 400, BYTES = 100 * 1024 };
    sample_front(&b, 3, 0, KEYS);
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        sample_key(&b, key, GGUF_STRING);
        sample_uint(&b, BYTES, 8);
        memset(buf_reserve(&b, BYTES), 'x', BYTES);
        b.len += BYTES;
    }
    assert_true(gguf_open_bytes(b.data, b.len, b.len, &g, NULL));
    gguf_summary((const struct gguf *const *)&g, 1, &a, &c);
    assert_in_range(c.n_gguf, 5, 7);
    assert_in_range(a.total, 500 * 1024, 4 * 1024 * 1024);
    gguf_close(&g);
    arena_done(&a);
    buf_done(&b);
}

static void sample_shape(struct buf *b, const char *arch, uint64_t kvs)
{
    char key[64];
    static const struct {
        const char *name;
        uint32_t v;
    } rows[] = {{"context_length", 8192}, {"block_count", 30}, {"embedding_length", 576}, {"attention.head_count", 9}};
    sample_front(b, 3, 0, 5 + kvs);
    sample_text(b, "general.architecture", arch);
    for (size_t i = 0; i < 4; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, rows[i].name);
        sample_u32(b, key, rows[i].v);
    }
}

static struct gguf_needs needs_of(const struct buf *b, uint64_t context)
{
    struct gguf *g = NULL;
    struct gguf_needs needs;
    struct err err = {0};
    if (!gguf_open_bytes(b->data, b->len, b->len, &g, &err))
        fail_msg("%s", err.text);
    gguf_needs(g, context, &needs);
    gguf_close(&g);
    return needs;
}

static void test_needs(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(SAMPLE_MAX);
    /* SmolLM2 135M: 30 layers, 3 KV heads of 64. */
    sample_shape(&b, "llama", 1);
    sample_u32(&b, "llama.attention.head_count_kv", 3);
    struct gguf_needs n = needs_of(&b, 32768);
    assert_int_equal(n.kv_bytes, UINT64_C(30) * 3 * (64 + 64) * 32768 * 2);
    assert_int_equal(n.layers, 30);
    assert_int_equal(n.embedding, 576);
    assert_int_equal(n.context_train, 8192);
    assert_false(n.embedding_model);
    assert_int_equal(needs_of(&b, 0).kv_bytes, n.kv_bytes / 4);
    buf_clear(&b);
    /* No head_count_kv: all heads. */
    sample_shape(&b, "llama", 0);
    assert_int_equal(needs_of(&b, 1).kv_bytes, 30 * 9 * 128 * 2);
    buf_clear(&b);
    /* Own head sizes. */
    sample_shape(&b, "qwen3", 3);
    sample_u32(&b, "qwen3.attention.head_count_kv", 8);
    sample_u32(&b, "qwen3.attention.key_length", 128);
    sample_u32(&b, "qwen3.attention.value_length", 96);
    assert_int_equal(needs_of(&b, 100).kv_bytes, 30 * 8 * 224 * 100 * 2);
    buf_clear(&b);
    /* An entry per layer; 0: a convolution. Entries beyond the layers do not count. */
    sample_shape(&b, "lfm2", 1);
    sample_array(&b, "lfm2.attention.head_count_kv", GGUF_I32, 32);
    for (uint32_t i = 0; i < 32; i++)
        sample_uint(&b, i % 5 == 0 ? 8 : 0, 4);
    assert_int_equal(needs_of(&b, 10).kv_bytes, 6 * 8 * 128 * 10 * 2);
    buf_clear(&b);
    /* Encoders have no cache. */
    sample_shape(&b, "bert", 0);
    n = needs_of(&b, 512);
    assert_true(n.embedding_model);
    assert_int_equal(n.kv_bytes, 0);
    buf_clear(&b);
    /* A decoder that pools. */
    sample_shape(&b, "qwen3", 1);
    sample_u32(&b, "qwen3.pooling_type", 3);
    n = needs_of(&b, 512);
    assert_true(n.embedding_model);
    assert_true(n.kv_bytes > 0);
    buf_clear(&b);
    /* Lies end at the top, not at 0. */
    sample_front(&b, 3, 0, 4);
    sample_text(&b, "general.architecture", "llama");
    sample_key(&b, "llama.block_count", GGUF_U64);
    sample_uint(&b, UINT64_MAX, 8);
    sample_key(&b, "llama.attention.head_count_kv", GGUF_U64);
    sample_uint(&b, UINT64_MAX, 8);
    sample_u32(&b, "llama.attention.key_length", UINT32_MAX);
    n = needs_of(&b, UINT64_MAX);
    assert_true(n.kv_bytes == UINT64_MAX);
    assert_true(n.compute_bytes == UINT64_MAX);
    buf_clear(&b);
    /* Weights are the tensors' bytes. */
    sample_model(&b, "x", 1);
    assert_int_equal(needs_of(&b, 1).weights_bytes, 1536);
    buf_done(&b);
}

/* Llama 3.2 1B at 4,096: libllama reserves 254.50 MiB for compute (its own log). */
static void test_needs_compute(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(SAMPLE_MAX);
    sample_front(&b, 3, 0, 7);
    sample_text(&b, "general.architecture", "llama");
    sample_u32(&b, "llama.block_count", 16);
    sample_u32(&b, "llama.embedding_length", 2048);
    sample_u32(&b, "llama.feed_forward_length", 8192);
    sample_u32(&b, "llama.attention.head_count", 32);
    sample_u32(&b, "llama.attention.head_count_kv", 8);
    sample_u32(&b, "llama.vocab_size", 128256);
    struct gguf_needs n = needs_of(&b, 4096);
    assert_in_range(n.compute_bytes, UINT64_C(254) << 20, UINT64_C(360) << 20);
    assert_int_equal(n.kv_bytes, UINT64_C(128) << 20);
    buf_done(&b);
}

static void touch(const char *dir, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    fclose(fopen(path, "w"));
}

static void test_shards(void **state)
{
    (void)state;
    char dir[] = "/tmp/gguf_shards.XXXXXX";
    struct arena a = ARENA_INIT;
    static const char *const names[] = {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf",
                                        "n-00001-of-00002.gguf"};
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < 4; i++)
        touch(dir, names[i]);
    static const struct {
        const char *name;
        size_t n;
        enum err_code code;
    } rows[] = {
        {"m-00001-of-00003.gguf", 3, ERR_NONE},
        {"m-00002-of-00003.gguf", 3, ERR_NONE},
        {"n-00001-of-00002.gguf", 0, ERR_NOT_FOUND},
        {"m-00004-of-00003.gguf", 0, ERR_INVALID},
        {"m-00000-of-00003.gguf", 0, ERR_INVALID},
        {"m-00001-of-99999.gguf", 0, ERR_INVALID},
        {"plain.gguf", 1, ERR_NONE},
        {"m-1-of-3.gguf", 1, ERR_NONE},
        {"m-0000x-of-00003.gguf", 1, ERR_NONE},
        {"-00001-of-00001.gguf", 1, ERR_NONE},
    };
    touch(dir, "-00001-of-00001.gguf");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char **paths = NULL;
        size_t n = 0;
        struct err err = {0};
        const char *path = arena_printf(&a, "%s/%s", dir, rows[i].name);
        bool ok = gguf_shards(path, &a, &paths, &n, &err);
        if (ok != (rows[i].code == ERR_NONE) || err.code != rows[i].code || n != rows[i].n)
            fail_msg("%s: %s", rows[i].name, err.text);
        if (n == 3)
            assert_true(strstr(paths[2], "m-00003-of-00003.gguf") != NULL);
        if (rows[i].code == ERR_NOT_FOUND)
            assert_non_null(strstr(err.text, "n-00002-of-00002.gguf"));
    }
    for (size_t i = 0; i < 4; i++)
        unlink(arena_printf(&a, "%s/%s", dir, names[i]));
    unlink(arena_printf(&a, "%s/-00001-of-00001.gguf", dir));
    rmdir(dir);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_summary),        cmocka_unit_test(test_units),
                                       cmocka_unit_test(test_quantization),   cmocka_unit_test(test_map),
                                       cmocka_unit_test(test_map_is_bounded), cmocka_unit_test(test_needs),
                                       cmocka_unit_test(test_needs_compute),  cmocka_unit_test(test_shards)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
