/* gguf: a bounds-checked reader of GGUF headers. Reads metadata and tensor infos, never weights.
 *
 * Works on bytes that may be hostile (its fuzz target: gguf_fuzz.c): every length is checked
 * against the file and LIMIT_GGUF_*, every sum for overflow, every tensor's data against the file
 * size. Versions 2 and 3, little-endian; others are ERR_UNSUPPORTED. Owns nothing of the engine:
 * libllama is never asked (design rule). Facts of DMR's strings: dmr.md 4.2.
 *
 *   if (!gguf_open(path, &g, err)) ...
 *   gguf_summary(g, &a, &config)           format, quantization, parameters, architecture, size, context
 *   gguf_close(&g)
 */
#ifndef TUG_GGUF_H
#define TUG_GGUF_H

#include "base/arena.h"
#include "base/err.h"
#include "oci/manifest.h"

#include <stdint.h>

enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64
};

struct gguf_value {
    enum gguf_type type;
    union {
        uint64_t u;
        int64_t i;
        double f;
        struct {
            const char *data;
            uint64_t len;
        } str; /* not terminated, may hold NULs */
        struct {
            enum gguf_type type;
            uint64_t count;
            const unsigned char *data;
            uint64_t bytes;
        } array;
    };
};

struct gguf_kv {
    struct {
        const char *data;
        uint64_t len;
    } key;
    struct gguf_value value;
};

struct gguf_tensor {
    struct {
        const char *data;
        uint64_t len;
    } name;
    uint32_t n_dims;
    uint64_t dims[4];
    uint32_t type; /* ggml type */
    uint64_t offset, bytes, elements;
};

struct gguf; /* the file, mapped read-only */

/* Not GGUF, truncated, or inconsistent: ERR_INVALID naming the file, what and where (offset). */
bool gguf_open(const char *path, struct gguf **ret_g, struct err *err);
bool gguf_open_bytes(const void *bytes, size_t n, uint64_t file_size, struct gguf **ret_g,
                     struct err *err); /* borrowed bytes: the header at least, n <= file_size */
void gguf_close(struct gguf **g);

size_t gguf_kv_count(const struct gguf *g);
const struct gguf_kv *gguf_kv_at(const struct gguf *g, size_t i);
const struct gguf_value *gguf_find(const struct gguf *g, const char *key); /* NULL if absent */
bool gguf_get_u64(const struct gguf *g, const char *key, uint64_t *ret);   /* any integer type, non-negative */
const char *gguf_get_str(const struct gguf *g, const char *key,
                         struct arena *a); /* NULL if absent, not a string, above 1 MiB, or holds NUL */
bool gguf_array_item(const struct gguf_value *array, uint64_t index,
                     struct gguf_value *ret); /* false: no array, or beyond its end; strings cost index steps */
size_t gguf_tensor_count(const struct gguf *g);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i);
uint64_t gguf_data_offset(const struct gguf *g);

/* DMR's config strings from the header(s); `shards` includes the first. Everything into the arena. */
void gguf_summary(const struct gguf *const *shards, size_t n, struct arena *a, struct model_config *ret_config);
/* "x-00001-of-00003.gguf" → all paths of the set in order (arena); a plain path → itself. A missing shard:
 * ERR_NOT_FOUND. */
bool gguf_shards(const char *path, struct arena *a, const char ***ret_paths, size_t *ret_n, struct err *err);

/* What an engine will need in memory, by prediction from the header: weights + KV cache + compute. */
struct gguf_needs {
    uint64_t weights_bytes, kv_bytes, compute_bytes;
    uint64_t context_train; /* 0 unknown */
    uint64_t layers, embedding;
    bool embedding_model; /* an encoder (bert, nomic-bert, …), or pooling_type set: serves embeddings, no chat */
};
/* Of one file: of a sharded model the first knows all but weights_bytes, which is to be summed over the shards.
 * context 0: what the model was trained on. Sums stop at UINT64_MAX. Sliding-window layers count like full ones
 * (as with swa_full), so for those models kv_bytes is an upper bound. */
void gguf_needs(const struct gguf *g, uint64_t context, struct gguf_needs *ret);

#endif
