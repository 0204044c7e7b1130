/* gguf/gguf_file: what an opened GGUF is inside. For gguf/ alone; others read gguf.h. */
#ifndef TUG_GGUF_FILE_H
#define TUG_GGUF_FILE_H

#include "gguf/gguf.h"

struct gguf_kv_ref {
    const struct gguf_kv *kv;
};

struct gguf {
    const unsigned char *bytes; /* the header at least; the whole file when mapped */
    size_t n;
    uint64_t file_size;
    uint64_t data_offset;
    bool mapped;
    struct gguf_kv *kvs;
    struct gguf_kv_ref *kvs_by_key; /* sorted */
    size_t n_kvs;
    struct gguf_tensor *tensors;
    size_t n_tensors;
};

/* gguf_value.c: an empty one over these bytes. */
struct gguf *gguf_new(const void *bytes, size_t n, uint64_t file_size);

/* gguf_check.c: duplicate names, and every tensor's place in the file. Fills kvs_by_key and data_offset. */
bool gguf_index_keys(struct gguf *g, const char *name, struct err *err);
bool gguf_place_tensors(struct gguf *g, const char *name, uint64_t header_end, struct err *err);
int gguf_key_compare(const char *a, uint64_t a_len, const char *b, uint64_t b_len);
/* A piece of the file as text for a message: printable, at most 40 characters. */
enum { GGUF_SHOWN = 48 };
void gguf_shown(char dst[GGUF_SHOWN], const char *data, uint64_t len);

/* gguf_value.c: numbers from the file's bytes; v->type says which, and the widened value goes into v. */
uint64_t gguf_little_endian(const unsigned char *p, size_t n);
void gguf_number(const unsigned char *p, struct gguf_value *v);
const char *gguf_architecture(const struct gguf *g, struct arena *a); /* "llama" when the file does not say */

/* gguf_types.c: the block of each tensor type. */
struct gguf_tensor_type {
    const char *name;
    uint32_t block_elements, block_bytes; /* 0: no such type, or one that ggml has dropped */
};
const struct gguf_tensor_type *gguf_tensor_type(uint32_t type); /* NULL: unknown */
const char *gguf_file_type_name(uint64_t file_type);            /* "MOSTLY_Q4_K_M"; NULL: unknown */
size_t gguf_value_bytes(enum gguf_type type);                   /* of a number or bool; 0 for the others */

#endif
