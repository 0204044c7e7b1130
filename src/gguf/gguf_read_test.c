/* gguf/gguf_read_test: sound files, and every way a header can lie. */
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

/* An exact copy on the heap: ASan then sees a read one byte beyond. */
static bool open_exact(const struct buf *b, size_t n, uint64_t file_size, struct gguf **g, void **copy, struct err *err)
{
    *copy = malloc(n > 0 ? n : 1);
    if (n > 0)
        memcpy(*copy, b->data, n);
    return gguf_open_bytes(*copy, n, file_size, g, err);
}

static void test_good(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(SAMPLE_MAX);
    struct arena a = ARENA_INIT;
    struct gguf *g = NULL;
    struct err err = {0};
    uint64_t n = 0;
    sample_model(&b, "tiny", 7);
    if (!gguf_open_bytes(b.data, b.len, b.len, &g, &err))
        fail_msg("%s", err.text);
    assert_int_equal(gguf_kv_count(g), 6);
    assert_int_equal(gguf_tensor_count(g), 2);
    assert_int_equal(gguf_data_offset(g), b.len - 1536);
    assert_true(gguf_get_u64(g, "llama.context_length", &n));
    assert_int_equal(n, 2048);
    assert_false(gguf_get_u64(g, "general.name", &n));
    assert_false(gguf_get_u64(g, "absent", &n));
    assert_string_equal(gguf_get_str(g, "general.name", &a), "tiny");
    assert_null(gguf_get_str(g, "llama.context_length", &a));
    const struct gguf_value *tokens = gguf_find(g, "tokenizer.ggml.tokens");
    struct gguf_value item;
    assert_int_equal(tokens->array.count, 3);
    assert_true(gguf_array_item(tokens, 0, &item));
    assert_int_equal(item.str.len, 3);
    assert_true(gguf_array_item(tokens, 2, &item));
    assert_int_equal(item.str.len, 0);
    assert_false(gguf_array_item(tokens, 3, &item));
    const struct gguf_tensor *t = gguf_tensor_at(g, 1);
    assert_int_equal(t->elements, 256);
    assert_int_equal(t->bytes, 512);
    assert_int_equal(t->offset, 1024);
    assert_null(gguf_tensor_at(g, 2));
    assert_null(gguf_kv_at(g, 6));
    gguf_close(&g);
    gguf_close(&g);
    /* The header alone, as a pull reads it. */
    size_t header = b.len - 1536;
    assert_true(gguf_open_bytes(b.data, header, b.len, &g, &err));
    gguf_close(&g);
    arena_done(&a);
    buf_done(&b);
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        enum gguf_type type;
        uint64_t raw;
        size_t n;
        int64_t is;
        bool whole;
    } rows[] = {
        {"u8", GGUF_U8, 200, 1, 200, true},
        {"i8", GGUF_I8, 0xff, 1, -1, false},
        {"u16", GGUF_U16, 65535, 2, 65535, true},
        {"i16", GGUF_I16, 5, 2, 5, true},
        {"u32", GGUF_U32, 1U << 31, 4, INT64_C(1) << 31, true},
        {"i32", GGUF_I32, 0x80000000U, 4, INT32_MIN, false},
        {"u64", GGUF_U64, 77, 8, 77, true},
        {"i64", GGUF_I64, (uint64_t)-77, 8, -77, false},
        {"bool", GGUF_BOOL, 1, 1, 1, false},
    };
    struct buf b = BUF_INIT(SAMPLE_MAX);
    struct gguf *g = NULL;
    sample_front(&b, 2, 0, sizeof rows / sizeof *rows);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sample_key(&b, rows[i].key, rows[i].type);
        sample_uint(&b, rows[i].raw, rows[i].n);
    }
    assert_true(gguf_open_bytes(b.data, b.len, b.len, &g, NULL));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t n;
        assert_int_equal(gguf_find(g, rows[i].key)->i, rows[i].is);
        if (gguf_get_u64(g, rows[i].key, &n) != rows[i].whole)
            fail_msg("%s", rows[i].key);
    }
    gguf_close(&g);
    buf_done(&b);
}

static void test_truncated(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(SAMPLE_MAX);
    sample_model(&b, "tiny", 7);
    for (size_t n = 0; n < b.len; n++) {
        struct gguf *g = NULL;
        void *copy;
        struct err err = {0};
        if (open_exact(&b, n, n, &g, &copy, &err))
            fail_msg("%zu of %zu bytes were taken", n, b.len);
        assert_int_equal(err.code, ERR_INVALID);
        assert_null(g);
        free(copy);
    }
    /* A cut header of a file that is whole elsewhere. */
    for (size_t n = 0; n < b.len - 1536 - 32; n++) {
        struct gguf *g = NULL;
        void *copy;
        assert_false(open_exact(&b, n, b.len, &g, &copy, NULL));
        free(copy);
    }
    buf_done(&b);
}

/* Every byte of the header changed to a few values: no crash; what is taken stays inside. */
static void test_flipped(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(SAMPLE_MAX);
    sample_model(&b, "tiny", 7);
    static const unsigned char masks[] = {0x01, 0x80, 0xff, 0x20};
    for (size_t at = 0; at < b.len - 1536; at++) {
        for (size_t m = 0; m < sizeof masks; m++) {
            struct gguf *g = NULL;
            void *copy;
            b.data[at] = (char)(b.data[at] ^ masks[m]);
            if (open_exact(&b, b.len, b.len, &g, &copy, NULL)) {
                struct arena a = ARENA_INIT;
                struct model_config c;
                struct gguf_needs needs;
                for (size_t i = 0; i < gguf_tensor_count(g); i++) {
                    const struct gguf_tensor *t = gguf_tensor_at(g, i);
                    assert_true(gguf_data_offset(g) + t->offset + t->bytes <= b.len);
                }
                gguf_summary((const struct gguf *const *)&g, 1, &a, &c);
                gguf_needs(g, 0, &needs);
                arena_done(&a);
            }
            gguf_close(&g);
            free(copy);
            b.data[at] = (char)(b.data[at] ^ masks[m]);
        }
    }
    buf_done(&b);
}

#define U63 (UINT64_C(1) << 63)

static void kvs_2_63(struct buf *b) { sample_front(b, 3, 0, U63); }
static void tensors_2_63(struct buf *b) { sample_front(b, 3, U63, 0); }
static void kvs_too_many(struct buf *b)
{
    sample_front(b, 3, 0, 65537);
    sample_data(b, 2 * 1024 * 1024, 0);
}
static void kvs_more_than_bytes(struct buf *b)
{
    sample_front(b, 3, 0, 1000);
    sample_u32(b, "a", 1);
}
static void tensors_more_than_bytes(struct buf *b)
{
    sample_front(b, 3, 1000, 0);
    sample_tensor(b, "a", 0, 1, 1, 0);
}
static void key_beyond(struct buf *b)
{
    sample_front(b, 3, 0, 1);
    sample_uint(b, 5000, 8);
    sample_data(b, 64, 'a');
}
static void key_2_63(struct buf *b)
{
    sample_front(b, 3, 0, 1);
    sample_uint(b, U63, 8);
    sample_data(b, 64, 'a');
}
static void key_all_ones(struct buf *b)
{
    sample_front(b, 3, 0, 1);
    sample_uint(b, UINT64_MAX, 8);
    sample_data(b, 64, 'a');
}
static void key_empty(struct buf *b)
{
    sample_front(b, 3, 0, 1);
    sample_u32(b, "", 1);
    sample_data(b, 64, 0);
}
static void string_beyond(struct buf *b)
{
    sample_front(b, 3, 0, 1);
    sample_key(b, "a", GGUF_STRING);
    sample_uint(b, 1000, 8);
    sample_data(b, 999, 'x');
}
static void string_too_long(struct buf *b)
{
    sample_front(b, 3, 0, 1);
    sample_key(b, "a", GGUF_STRING);
    sample_uint(b, 64 * 1024 * 1024 + 1, 8);
    sample_data(b, 100, 'x');
}
static void type_unknown(struct buf *b)
{
    sample_front(b, 3, 0, 1);
    sample_key(b, "a", (enum gguf_type)13);
    sample_data(b, 64, 0);
}
static void bool_2(struct buf *b)
{
    sample_front(b, 3, 0, 1);
    sample_key(b, "a", GGUF_BOOL);
    sample_data(b, 8, 2);
}
static void array_nested(struct buf *b)
{
    sample_front(b, 3, 0, 1);
    sample_array(b, "a", GGUF_ARRAY, 1);
    sample_data(b, 64, 0);
}
static void array_2_63(struct buf *b)
{
    sample_front(b, 3, 0, 1);
    sample_array(b, "a", GGUF_U8, U63);
    sample_data(b, 64, 0);
}
static void array_overflow(struct buf *b)
{
    sample_front(b, 3, 0, 1);
    sample_array(b, "a", GGUF_U64, (UINT64_C(1) << 61) + 1);
    sample_data(b, 64, 0);
}
static void array_beyond(struct buf *b)
{
    sample_front(b, 3, 0, 1);
    sample_array(b, "a", GGUF_U64, 9);
    sample_data(b, 71, 0);
}
static void array_of_strings_beyond(struct buf *b)
{
    sample_front(b, 3, 0, 1);
    sample_array(b, "a", GGUF_STRING, 1000000);
    sample_data(b, 800, 0);
}
static void array_type_unknown(struct buf *b)
{
    sample_front(b, 3, 0, 1);
    sample_array(b, "a", (enum gguf_type)99, 1);
    sample_data(b, 64, 0);
}
static void key_twice(struct buf *b)
{
    sample_front(b, 3, 0, 3);
    sample_u32(b, "a", 1);
    sample_u32(b, "b", 1);
    sample_u32(b, "a", 2);
}
static void alignment_of(struct buf *b, uint32_t alignment)
{
    sample_front(b, 3, 0, 1);
    sample_u32(b, "general.alignment", alignment);
}
static void alignment_0(struct buf *b) { alignment_of(b, 0); }
static void alignment_3(struct buf *b) { alignment_of(b, 3); }
static void alignment_huge(struct buf *b) { alignment_of(b, 1U << 31); }
static void alignment_text(struct buf *b)
{
    sample_front(b, 3, 0, 1);
    sample_text(b, "general.alignment", "32");
}
static void one_tensor(struct buf *b, uint32_t type, uint64_t d0, uint64_t d1, uint64_t offset)
{
    sample_front(b, 3, 1, 0);
    sample_tensor(b, "t", type, d0, d1, offset);
    sample_pad(b, 32);
    sample_data(b, 4096, 0);
}
static void tensor_beyond(struct buf *b) { one_tensor(b, 0, 1024, 2, 0); }
static void tensor_offset_beyond(struct buf *b) { one_tensor(b, 0, 8, 1, 8192); }
static void tensor_offset_2_63(struct buf *b) { one_tensor(b, 0, 8, 1, U63); }
static void tensor_offset_wraps(struct buf *b) { one_tensor(b, 0, 16, 1, UINT64_MAX - 31); }
static void tensor_unaligned(struct buf *b) { one_tensor(b, 0, 8, 1, 16); }
static void tensor_dims_overflow(struct buf *b) { one_tensor(b, 0, UINT64_C(1) << 32, UINT64_C(1) << 32, 0); }
static void tensor_dims_negative(struct buf *b) { one_tensor(b, 0, U63, 1, 0); }
static void tensor_bytes_overflow(struct buf *b) { one_tensor(b, 28, UINT64_C(1) << 61, 2, 0); }
static void tensor_half_block(struct buf *b) { one_tensor(b, 12, 128, 2, 0); }
static void tensor_type_unknown(struct buf *b) { one_tensor(b, 999, 32, 1, 0); }
static void tensor_type_dropped(struct buf *b) { one_tensor(b, 31, 32, 1, 0); }
static void tensor_5_dims(struct buf *b)
{
    sample_front(b, 3, 1, 0);
    sample_string(b, "t");
    sample_uint(b, 5, 4);
    sample_data(b, 4096, 0);
}
static void tensor_name_64(struct buf *b)
{
    sample_front(b, 3, 1, 0);
    sample_tensor(b, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 0, 8, 1, 0);
    sample_data(b, 4096, 0);
}
static void two_tensors(struct buf *b, const char *second, uint64_t offset)
{
    sample_front(b, 3, 2, 0);
    sample_tensor(b, "first", 0, 32, 1, 0);
    sample_tensor(b, second, 0, 32, 1, offset);
    sample_pad(b, 32);
    sample_data(b, 4096, 0);
}
static void tensor_twice(struct buf *b) { two_tensors(b, "first", 128); }
static void tensors_overlap(struct buf *b) { two_tensors(b, "second", 96); }
static void tensors_same_place(struct buf *b) { two_tensors(b, "second", 0); }
static void no_data(struct buf *b)
{
    sample_front(b, 3, 1, 0);
    sample_tensor(b, "t", 0, 8, 1, 0);
}
static void version_1(struct buf *b) { sample_front(b, 1, 0, 0); }
static void version_4(struct buf *b) { sample_front(b, 4, 0, 0); }
static void version_0(struct buf *b) { sample_front(b, 0, 0, 0); }
static void big_endian(struct buf *b) { sample_front(b, 0x03000000, 0, 0); }
static void magic(struct buf *b) { buf_add_str(b, "GGML and some more bytes"); }
static void html(struct buf *b) { buf_add_str(b, "<!doctype html><title>404</title>"); }
static void lfs_pointer(struct buf *b) { buf_add_str(b, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"); }
static void nothing(struct buf *b) { (void)b; }

static void test_bad(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        void (*make)(struct buf *b);
        const char *why;
        enum err_code code;
    } rows[] = {
        {"2^63 keys", kvs_2_63, "more keys", ERR_INVALID},
        {"2^63 tensors", tensors_2_63, "more tensors", ERR_INVALID},
        {"keys above the limit", kvs_too_many, "more keys", ERR_INVALID},
        {"more keys than bytes", kvs_more_than_bytes, "more keys", ERR_INVALID},
        {"more tensors than bytes", tensors_more_than_bytes, "more tensors", ERR_INVALID},
        {"key beyond the end", key_beyond, "cut off", ERR_INVALID},
        {"key of 2^63 bytes", key_2_63, "too long", ERR_INVALID},
        {"key of 2^64-1 bytes", key_all_ones, "too long", ERR_INVALID},
        {"key empty", key_empty, "a key is empty", ERR_INVALID},
        {"string beyond the end", string_beyond, "cut off", ERR_INVALID},
        {"string above the limit", string_too_long, "too long", ERR_INVALID},
        {"value type unknown", type_unknown, "unknown type", ERR_INVALID},
        {"bool 2", bool_2, "bool", ERR_INVALID},
        {"array of arrays", array_nested, "holds arrays", ERR_INVALID},
        {"array of 2^63", array_2_63, "too many items", ERR_INVALID},
        {"array that overflows", array_overflow, "too many items", ERR_INVALID},
        {"array beyond the end", array_beyond, "cut off", ERR_INVALID},
        {"strings beyond the end", array_of_strings_beyond, "cut off", ERR_INVALID},
        {"array type unknown", array_type_unknown, "unknown type", ERR_INVALID},
        {"key twice", key_twice, "\"a\" is there twice", ERR_INVALID},
        {"alignment 0", alignment_0, "power of 2", ERR_INVALID},
        {"alignment 3", alignment_3, "power of 2", ERR_INVALID},
        {"alignment 2^31", alignment_huge, "power of 2", ERR_INVALID},
        {"alignment a text", alignment_text, "power of 2", ERR_INVALID},
        {"tensor beyond the end", tensor_beyond, "beyond the end", ERR_INVALID},
        {"tensor starts beyond the end", tensor_offset_beyond, "beyond the end", ERR_INVALID},
        {"tensor at 2^63", tensor_offset_2_63, "beyond the end", ERR_INVALID},
        {"tensor's end wraps", tensor_offset_wraps, "beyond the end", ERR_INVALID},
        {"tensor unaligned", tensor_unaligned, "not aligned", ERR_INVALID},
        {"dimensions overflow", tensor_dims_overflow, "too large", ERR_INVALID},
        {"dimension negative", tensor_dims_negative, "too large", ERR_INVALID},
        {"bytes overflow", tensor_bytes_overflow, "too large", ERR_INVALID},
        {"half a block", tensor_half_block, "whole blocks", ERR_INVALID},
        {"tensor type unknown", tensor_type_unknown, "type 999", ERR_UNSUPPORTED},
        {"tensor type dropped", tensor_type_dropped, "type 31", ERR_UNSUPPORTED},
        {"5 dimensions", tensor_5_dims, "4 dimensions", ERR_INVALID},
        {"tensor name of 64 bytes", tensor_name_64, "too long", ERR_INVALID},
        {"tensor twice", tensor_twice, "\"first\" is there twice", ERR_INVALID},
        {"tensors overlap", tensors_overlap, "lies on another", ERR_INVALID},
        {"tensors at the same place", tensors_same_place, "lies on another", ERR_INVALID},
        {"no data", no_data, "before its first tensor", ERR_INVALID},
        {"version 0", version_0, "version 0", ERR_UNSUPPORTED},
        {"version 1", version_1, "version 1", ERR_UNSUPPORTED},
        {"version 4", version_4, "version 4", ERR_UNSUPPORTED},
        {"big-endian", big_endian, "big-endian", ERR_UNSUPPORTED},
        {"another magic", magic, "does not begin with", ERR_INVALID},
        {"HTML", html, "does not begin with", ERR_INVALID},
        {"LFS pointer", lfs_pointer, "does not begin with", ERR_INVALID},
        {"empty", nothing, "does not begin with", ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b = BUF_INIT(SAMPLE_MAX);
        struct gguf *g = NULL;
        void *copy;
        struct err err = {0};
        rows[i].make(&b);
        if (open_exact(&b, b.len, b.len, &g, &copy, &err))
            fail_msg("%s: taken", rows[i].name);
        if (strstr(err.text, rows[i].why) == NULL || err.code != rows[i].code)
            fail_msg("%s: %s %s", rows[i].name, err_name(err.code), err.text);
        free(copy);
        buf_done(&b);
    }
}

static void test_odd_but_sound(void **state)
{
    (void)state;
    struct gguf *g = NULL;
    struct err err = {0};
    struct buf b = BUF_INIT(SAMPLE_MAX);
    /* A vocabulary only: no tensors, no padding. */
    sample_front(&b, 2, 0, 1);
    sample_u32(&b, "a", 1);
    if (!gguf_open_bytes(b.data, b.len, b.len, &g, &err))
        fail_msg("%s", err.text);
    gguf_close(&g);
    buf_clear(&b);
    /* Nothing at all. */
    sample_front(&b, 3, 0, 0);
    assert_true(gguf_open_bytes(b.data, b.len, b.len, &g, &err));
    struct arena a = ARENA_INIT;
    struct model_config c;
    gguf_summary((const struct gguf *const *)&g, 1, &a, &c);
    assert_string_equal(c.architecture, "llama");
    assert_string_equal(c.quantization, "Unknown");
    arena_done(&a);
    gguf_close(&g);
    buf_clear(&b);
    /* A scalar, an empty tensor, and no padding behind the last one. */
    sample_front(&b, 3, 2, 0);
    sample_string(&b, "scalar");
    sample_uint(&b, 0, 4);
    sample_uint(&b, 0, 4);
    sample_uint(&b, 0, 8);
    sample_tensor(&b, "empty", 0, 0, 5, 32);
    sample_pad(&b, 32);
    sample_data(&b, 32, 0);
    if (!gguf_open_bytes(b.data, b.len, b.len, &g, &err))
        fail_msg("%s", err.text);
    gguf_close(&g);
    buf_done(&b);
}

static void test_files(void **state)
{
    (void)state;
    char dir[] = "/tmp/gguf_test.XXXXXX";
    char path[64];
    struct gguf *g = NULL;
    struct err err = {0};
    struct buf b = BUF_INIT(SAMPLE_MAX);
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/x.gguf", dir);
    assert_false(gguf_open(path, &g, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, path));
    assert_false(gguf_open(dir, &g, &err));
    assert_int_equal(err.code, ERR_INVALID);
    sample_model(&b, "tiny", 7);
    for (int whole = 0; whole < 2; whole++) {
        FILE *f = fopen(path, "w");
        assert_int_equal(fwrite(b.data, 1, whole ? b.len : b.len - 1, f), whole ? b.len : b.len - 1);
        fclose(f);
        assert_int_equal(gguf_open(path, &g, &err), whole);
        if (!whole)
            assert_non_null(strstr(err.text, path));
    }
    gguf_close(&g);
    FILE *f = fopen(path, "w");
    fclose(f);
    assert_false(gguf_open(path, &g, &err));
    assert_non_null(strstr(err.text, "not a GGUF file"));
    unlink(path);
    rmdir(dir);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good),      cmocka_unit_test(test_numbers),
                                       cmocka_unit_test(test_truncated), cmocka_unit_test(test_flipped),
                                       cmocka_unit_test(test_bad),       cmocka_unit_test(test_odd_but_sound),
                                       cmocka_unit_test(test_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
