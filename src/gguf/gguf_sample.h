/* gguf/gguf_sample: small GGUF files for tests, written field by field so that each can be wrong on purpose. */
#ifndef TUG_GGUF_SAMPLE_H
#define TUG_GGUF_SAMPLE_H

#include "base/buf.h"
#include "gguf/gguf.h"

#include <string.h>

enum { SAMPLE_MAX = 8 * 1024 * 1024 };

static inline void sample_uint(struct buf *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_add_char(b, (char)(v >> (8 * i)));
}

static inline void sample_string(struct buf *b, const char *s)
{
    sample_uint(b, strlen(s), 8);
    buf_add_str(b, s);
}

static inline void sample_front(struct buf *b, uint32_t version, uint64_t tensors, uint64_t kvs)
{
    buf_add_str(b, "GGUF");
    sample_uint(b, version, 4);
    sample_uint(b, tensors, 8);
    sample_uint(b, kvs, 8);
}

static inline void sample_key(struct buf *b, const char *key, enum gguf_type type)
{
    sample_string(b, key);
    sample_uint(b, type, 4);
}

static inline void sample_u32(struct buf *b, const char *key, uint32_t v)
{
    sample_key(b, key, GGUF_U32);
    sample_uint(b, v, 4);
}

static inline void sample_text(struct buf *b, const char *key, const char *v)
{
    sample_key(b, key, GGUF_STRING);
    sample_string(b, v);
}

static inline void sample_f32(struct buf *b, const char *key, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    sample_key(b, key, GGUF_F32);
    sample_uint(b, bits, 4);
}

static inline void sample_array(struct buf *b, const char *key, enum gguf_type type, uint64_t count)
{
    sample_key(b, key, GGUF_ARRAY);
    sample_uint(b, type, 4);
    sample_uint(b, count, 8);
}

static inline void sample_tensor(struct buf *b, const char *name, uint32_t type, uint64_t d0, uint64_t d1,
                                 uint64_t offset)
{
    sample_string(b, name);
    sample_uint(b, 2, 4);
    sample_uint(b, d0, 8);
    sample_uint(b, d1, 8);
    sample_uint(b, type, 4);
    sample_uint(b, offset, 8);
}

static inline void sample_pad(struct buf *b, size_t alignment)
{
    while (b->len % alignment != 0)
        buf_add_char(b, 0);
}

static inline void sample_data(struct buf *b, size_t n, char c)
{
    for (size_t i = 0; i < n; i++)
        buf_add_char(b, c);
}

/* A sound file: 6 keys, 2 tensors, 1,536 bytes of data, the last 512 of them `fill`. */
static inline void sample_model(struct buf *b, const char *name, char fill)
{
    sample_front(b, 3, 2, 6);
    sample_text(b, "general.architecture", "llama");
    sample_text(b, "general.name", name);
    sample_u32(b, "general.file_type", 15);
    sample_u32(b, "llama.context_length", 2048);
    sample_f32(b, "llama.rope.freq_base", 10000.0F);
    sample_array(b, "tokenizer.ggml.tokens", GGUF_STRING, 3);
    sample_string(b, "<s>");
    sample_string(b, "a");
    sample_string(b, "");
    sample_tensor(b, "token_embd.weight", 0, 64, 4, 0);
    sample_tensor(b, "blk.0.attn_q.weight", 1, 64, 4, 1024);
    sample_pad(b, 32);
    sample_data(b, 1024, 1);
    sample_data(b, 512, fill);
}

#endif
