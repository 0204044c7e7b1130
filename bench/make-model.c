/* bench/make-model: write a model of a real shape with random weights.
 *
 * Speed and memory depend on shapes and types, not on what a model has learnt,
 * so a measurement needs no download and no licence. Tokenizers and chat
 * templates are real, taken from llama.cpp's source tree.
 *
 *   make-model --type Q4_0 1b model.gguf
 *
 * Weights are not drawn one by one: a pool of random numbers is quantized once
 * per type, and each row of each matrix is a random slice of it. So any size is
 * written at the disk's speed and in a few MB of memory, and the same seed gives
 * the same bytes. The file appears under its name when it is complete.
 *
 * Tests  the quick set loads `tiny`; llama-bench has loaded each shape and type.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "ggml.h"
#include "gguf.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_TENSORS  4096
#define MAX_TEMPLATE (1 << 20)
#define MAX_PATH     4096

/* Sizes of one architecture. The first shape is the smallest; of each family,
 * published models have exactly these numbers, but `moe` is Qwen3-30B-A3B with a
 * quarter of the experts and a sixth of the layers, and `tiny` is for tests. */
struct shape {
    const char *name, *arch, *vocab, *template, *size;
    uint32_t layers, embd, ff, heads, kv_heads, head_size;
    uint32_t experts, experts_used, expert_ff;
    uint32_t context;
    float rope_base, norm_eps;
    bool own_output; /* else the embedding is the output matrix too */
};

#define LLAMA_32 "meta-llama-Llama-3.2-3B-Instruct"
#define LLAMA_31 "meta-llama-Llama-3.1-8B-Instruct"
#define QWEN3    "Qwen-Qwen3-0.6B"

/* clang-format off */
static const struct shape SHAPES[] = {
    /* name        arch        vocabulary   template   size    layers embd  ff     heads kv  head  experts      context rope     eps    output */
    { "tiny",      "llama",    "phi-3",     NULL,      "10M",   4,  256,   512,  4,  2,  64,   0, 0, 0,      8192,    10000, 1e-5F, false },
    { "135m",      "llama",    "starcoder", NULL,      "135M", 30,  576,  1536,  9,  3,  64,   0, 0, 0,      8192,   100000, 1e-5F, false },
    { "1b",        "llama",    "llama-bpe", LLAMA_32,  "1B",   16, 2048,  8192, 32,  8,  64,   0, 0, 0,    131072,   500000, 1e-5F, false },
    { "3b",        "llama",    "llama-bpe", LLAMA_32,  "3B",   28, 3072,  8192, 24,  8, 128,   0, 0, 0,    131072,   500000, 1e-5F, false },
    { "8b",        "llama",    "llama-bpe", LLAMA_31,  "8B",   32, 4096, 14336, 32,  8, 128,   0, 0, 0,    131072,   500000, 1e-5F, true  },
    { "qwen3-0.6b","qwen3",    "qwen2",     QWEN3,     "0.6B", 28, 1024,  3072, 16,  8, 128,   0, 0, 0,     40960,  1000000, 1e-6F, false },
    { "qwen3-4b",  "qwen3",    "qwen2",     QWEN3,     "4B",   36, 2560,  9728, 32,  8, 128,   0, 0, 0,     40960,  1000000, 1e-6F, false },
    { "moe",       "qwen3moe", "qwen2",     QWEN3,     "2B",    8, 2048,  6144, 32,  4, 128,  32, 8, 768,   40960,  1000000, 1e-6F, true  },
};

/* What --type takes: ggml's type, llama.cpp's number for a file of it, and the
 * type of matrices whose rows are no multiple of its block (as llama-quantize
 * replaces it). */
static const struct type_row {
    enum ggml_type type, narrow;
    uint32_t file_type;
} TYPES[] = {
    { GGML_TYPE_F32,     GGML_TYPE_F32,     0 }, { GGML_TYPE_F16,     GGML_TYPE_F16,     1 },
    { GGML_TYPE_BF16,    GGML_TYPE_BF16,   32 }, { GGML_TYPE_Q8_0,    GGML_TYPE_Q8_0,    7 },
    { GGML_TYPE_Q4_0,    GGML_TYPE_Q4_0,    2 }, { GGML_TYPE_Q4_1,    GGML_TYPE_Q4_1,    3 },
    { GGML_TYPE_Q5_0,    GGML_TYPE_Q5_0,    8 }, { GGML_TYPE_Q5_1,    GGML_TYPE_Q5_1,    9 },
    { GGML_TYPE_Q2_K,    GGML_TYPE_Q4_0,   10 }, { GGML_TYPE_Q3_K,    GGML_TYPE_Q4_0,   11 },
    { GGML_TYPE_Q4_K,    GGML_TYPE_Q5_0,   14 }, { GGML_TYPE_Q5_K,    GGML_TYPE_Q5_1,   16 },
    { GGML_TYPE_Q6_K,    GGML_TYPE_Q8_0,   18 }, { GGML_TYPE_MXFP4,   GGML_TYPE_MXFP4,  38 },
    { GGML_TYPE_IQ4_NL,  GGML_TYPE_IQ4_NL, 25 }, { GGML_TYPE_IQ4_XS,  GGML_TYPE_IQ4_NL, 30 },
    { GGML_TYPE_IQ3_S,   GGML_TYPE_IQ4_NL, 26 }, { GGML_TYPE_IQ3_XXS, GGML_TYPE_IQ4_NL, 23 },
    { GGML_TYPE_IQ2_S,   GGML_TYPE_IQ4_NL, 28 }, { GGML_TYPE_IQ2_XS,  GGML_TYPE_IQ4_NL, 20 },
    { GGML_TYPE_IQ2_XXS, GGML_TYPE_IQ4_NL, 19 }, { GGML_TYPE_IQ1_M,   GGML_TYPE_IQ4_NL, 31 },
    { GGML_TYPE_IQ1_S,   GGML_TYPE_IQ4_NL, 24 }, { GGML_TYPE_TQ1_0,   GGML_TYPE_Q4_0,   36 },
    { GGML_TYPE_TQ2_0,   GGML_TYPE_Q4_0,   37 },
};

enum dim { NONE, EMBD, VOCAB, FF, QUERY, KEY, HEAD, EXPERTS, EXPERT_FF, DIMS };
enum kind { MATRIX, ROUTER, NORM }; /* a router picks experts and is never quantized */
enum has { ALWAYS, OUTPUT, QK_NORM, DENSE, MOE };

static const struct tensor_row {
    const char *name; /* after "blk.N." if of a layer */
    enum kind kind;
    enum has only;
    enum dim ne[3];
} MODEL_TENSORS[] = {
    { "token_embd.weight",         MATRIX, ALWAYS,  { EMBD, VOCAB } },
    { "output_norm.weight",        NORM,   ALWAYS,  { EMBD } },
    { "output.weight",             MATRIX, OUTPUT,  { EMBD, VOCAB } },
}, LAYER_TENSORS[] = {
    { "attn_norm.weight",          NORM,   ALWAYS,  { EMBD } },
    { "attn_q.weight",             MATRIX, ALWAYS,  { EMBD, QUERY } },
    { "attn_k.weight",             MATRIX, ALWAYS,  { EMBD, KEY } },
    { "attn_v.weight",             MATRIX, ALWAYS,  { EMBD, KEY } },
    { "attn_output.weight",        MATRIX, ALWAYS,  { QUERY, EMBD } },
    { "attn_q_norm.weight",        NORM,   QK_NORM, { HEAD } },
    { "attn_k_norm.weight",        NORM,   QK_NORM, { HEAD } },
    { "ffn_norm.weight",           NORM,   ALWAYS,  { EMBD } },
    { "ffn_gate.weight",           MATRIX, DENSE,   { EMBD, FF } },
    { "ffn_up.weight",             MATRIX, DENSE,   { EMBD, FF } },
    { "ffn_down.weight",           MATRIX, DENSE,   { FF, EMBD } },
    { "ffn_gate_inp.weight",       ROUTER, MOE,     { EMBD, EXPERTS } },
    { "ffn_gate_exps.weight",      MATRIX, MOE,     { EMBD, EXPERT_FF, EXPERTS } },
    { "ffn_up_exps.weight",        MATRIX, MOE,     { EMBD, EXPERT_FF, EXPERTS } },
    { "ffn_down_exps.weight",      MATRIX, MOE,     { EXPERT_FF, EMBD, EXPERTS } },
};
/* clang-format on */

/* Random numbers of one type, rows cut from anywhere in them. */
#define POOL_VALUES ((size_t)1 << 20)
#define POOL_ROW    1024
struct pool {
    enum ggml_type type;
    bool norm;
    uint8_t *data;
};

struct maker {
    const struct shape *shape;
    const struct type_row *type;
    uint64_t random;
    uint32_t dims[DIMS];
    struct gguf_context *meta;
    struct ggml_context *tensors;
    struct pool pools[8];
    FILE *out;
    char partial[MAX_PATH]; /* the file while it is not complete */
};

static const char *unfinished; /* removed by die(), as no caller can go on */

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("make-model: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    if (unfinished)
        unlink(unfinished);
    exit(1);
}

/* A path, put together in memory of the caller's. */
static char *path_of(char *ret, const char *format, ...) __attribute__((format(printf, 2, 3)));
static char *path_of(char *ret, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(ret, MAX_PATH, format, args);
    va_end(args);
    if (length < 0 || length >= MAX_PATH)
        die("a path is longer than %d bytes; write to a shorter one", MAX_PATH - 1);
    return ret;
}

/* splitmix64: small, fast, and the same on every machine. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15U;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* Mean 0, deviation 1. Eight uniform numbers added are normal enough, and exact
 * arithmetic makes them the same with every C library. */
static float draw_normal(uint64_t *state)
{
    int32_t sum = 0;

    for (int i = 0; i < 2; i++)
        for (uint64_t bits = draw(state), n = 0; n < 4; n++, bits >>= 16)
            sum += (int32_t)(bits & 0xffff);
    /* 8 times 2^16/2 is the mean; 2^16 * sqrt(8/12) the deviation. */
    return (float)(sum - 8 * 32768) / 53509.9F;
}

static const uint8_t *pool_get(struct maker *m, enum ggml_type type, bool norm)
{
    struct pool *pool = m->pools;
    float *values, *weights, scale = 1.0F / sqrtf((float)m->shape->embd);

    while (pool->data && (pool->type != type || pool->norm != norm))
        pool++;
    if (pool->data)
        return pool->data;
    pool->type = type;
    pool->norm = norm;
    pool->data = malloc(ggml_row_size(type, POOL_VALUES));
    values = malloc(POOL_VALUES * sizeof(float));
    weights = malloc(POOL_ROW * sizeof(float));
    if (!pool->data || !values || !weights)
        die("out of memory");
    for (size_t i = 0; i < POOL_VALUES; i++)
        values[i] = norm ? 1.0F + 0.05F * draw_normal(&m->random) : scale * draw_normal(&m->random);
    for (size_t i = 0; i < POOL_ROW; i++)
        weights[i] = 1.0F; /* importance, which the smallest types insist on */
    ggml_quantize_chunk(type, values, pool->data, 0, POOL_VALUES / POOL_ROW, POOL_ROW, weights);
    free(values);
    free(weights);
    return pool->data;
}

static bool has(const struct shape *shape, enum has only)
{
    switch (only) {
    case OUTPUT:
        return shape->own_output;
    case QK_NORM:
        return strncmp(shape->arch, "qwen3", 5) == 0;
    case DENSE:
        return shape->experts == 0;
    case MOE:
        return shape->experts > 0;
    case ALWAYS:
        break;
    }
    return true;
}

static enum ggml_type type_of(const struct maker *m, const struct tensor_row *row)
{
    if (row->kind != MATRIX)
        return GGML_TYPE_F32;
    if (m->dims[row->ne[0]] % ggml_blck_size(m->type->type) != 0)
        return m->type->narrow;
    return m->type->type;
}

static void add_tensor(struct maker *m, const struct tensor_row *row, const char *name)
{
    int64_t ne[3];
    int dims = 0;
    struct ggml_tensor *tensor;

    if (!has(m->shape, row->only))
        return;
    while (dims < 3 && row->ne[dims] != NONE) {
        ne[dims] = m->dims[row->ne[dims]];
        dims++;
    }
    tensor = ggml_new_tensor(m->tensors, type_of(m, row), dims, ne);
    ggml_set_name(tensor, name);
    gguf_add_tensor(m->meta, tensor);
}

static void add_tensors(struct maker *m)
{
    struct ggml_init_params params = {.mem_size = ggml_tensor_overhead() * MAX_TENSORS, .no_alloc = true};

    m->tensors = ggml_init(params);
    if (!m->tensors)
        die("out of memory");
    for (size_t i = 0; i < COUNT(MODEL_TENSORS); i++)
        add_tensor(m, &MODEL_TENSORS[i], MODEL_TENSORS[i].name);
    for (uint32_t layer = 0; layer < m->shape->layers; layer++)
        for (size_t i = 0; i < COUNT(LAYER_TENSORS); i++) {
            char name[GGML_MAX_NAME];

            snprintf(name, sizeof name, "blk.%" PRIu32 ".%s", layer, LAYER_TENSORS[i].name);
            add_tensor(m, &LAYER_TENSORS[i], name);
        }
}

/* The tokenizer of a vocabulary file, without the rest of its metadata. */
static void take_tokenizer(struct maker *m, const char *path)
{
    struct gguf_init_params params = {.no_alloc = true};
    struct gguf_context *vocabulary = gguf_init_from_file(path, params);
    int64_t tokens;

    if (!vocabulary)
        die("cannot read the vocabulary %s; give a GGUF file by --vocab", path);
    m->meta = gguf_init_empty();
    gguf_set_kv(m->meta, vocabulary);
    gguf_free(vocabulary);
    for (int64_t i = gguf_get_n_kv(m->meta) - 1; i >= 0; i--) {
        char *key = strdup(gguf_get_key(m->meta, i));

        if (!key)
            die("out of memory");
        if (strncmp(key, "tokenizer.", 10) != 0)
            gguf_remove_key(m->meta, key);
        free(key);
    }
    tokens = gguf_find_key(m->meta, "tokenizer.ggml.tokens");
    if (tokens < 0)
        die("%s has no tokens; give the GGUF of a model or vocabulary by --vocab", path);
    m->dims[VOCAB] = (uint32_t)gguf_get_arr_n(m->meta, tokens);
}

static void set_template(struct maker *m, const char *path)
{
    FILE *file = fopen(path, "rb");
    char *template = malloc(MAX_TEMPLATE);
    size_t length;

    if (!file || !template)
        die("cannot read the chat template %s: %s", path, strerror(errno));
    length = fread(template, 1, MAX_TEMPLATE - 1, file);
    template[length] = '\0';
    fclose(file);
    gguf_set_val_str(m->meta, "tokenizer.chat_template", template);
    free(template);
}

static void set_u32(struct maker *m, const char *key, uint32_t value)
{
    char name[128];

    snprintf(name, sizeof name, "%s.%s", m->shape->arch, key);
    gguf_set_val_u32(m->meta, name, value);
}

static void set_f32(struct maker *m, const char *key, float value)
{
    char name[128];

    snprintf(name, sizeof name, "%s.%s", m->shape->arch, key);
    gguf_set_val_f32(m->meta, name, value);
}

static void set_metadata(struct maker *m)
{
    const struct shape *s = m->shape;
    char name[64];

    snprintf(name, sizeof name, "Random %s", s->name);
    gguf_set_val_str(m->meta, "general.architecture", s->arch);
    gguf_set_val_str(m->meta, "general.type", "model");
    gguf_set_val_str(m->meta, "general.name", name);
    gguf_set_val_str(m->meta, "general.size_label", s->size);
    gguf_set_val_u32(m->meta, "general.file_type", m->type->file_type);
    gguf_set_val_u32(m->meta, "general.quantization_version", GGML_QNT_VERSION);
    set_u32(m, "block_count", s->layers);
    set_u32(m, "context_length", s->context);
    set_u32(m, "embedding_length", s->embd);
    set_u32(m, "feed_forward_length", s->ff);
    set_u32(m, "attention.head_count", s->heads);
    set_u32(m, "attention.head_count_kv", s->kv_heads);
    set_u32(m, "attention.key_length", s->head_size);
    set_u32(m, "attention.value_length", s->head_size);
    set_u32(m, "rope.dimension_count", s->head_size);
    set_u32(m, "vocab_size", m->dims[VOCAB]);
    set_f32(m, "rope.freq_base", s->rope_base);
    set_f32(m, "attention.layer_norm_rms_epsilon", s->norm_eps);
    if (s->experts > 0) {
        set_u32(m, "expert_count", s->experts);
        set_u32(m, "expert_used_count", s->experts_used);
        set_u32(m, "expert_feed_forward_length", s->expert_ff);
    }
}

static void write_bytes(struct maker *m, const void *data, size_t size)
{
    if (fwrite(data, 1, size, m->out) != size)
        die("cannot write %s: %s", m->partial, strerror(errno));
}

static void write_tensor(struct maker *m, int64_t id)
{
    const enum ggml_type type = gguf_get_tensor_type(m->meta, id);
    const int64_t *ne = gguf_get_tensor_ne(m->meta, id);
    const bool norm = ne[1] == 1;
    const uint8_t *pool = pool_get(m, type, norm);
    const size_t block = (size_t)ggml_blck_size(type), row = ggml_row_size(type, ne[0]);
    const uint64_t starts = (POOL_VALUES - (size_t)ne[0]) / block;

    for (int64_t i = 0; i < ne[1] * ne[2]; i++)
        write_bytes(m, pool + draw(&m->random) % starts * ggml_type_size(type), row);
}

static void write_model(struct maker *m)
{
    static const uint8_t zeros[256];
    const size_t alignment = gguf_get_alignment(m->meta);
    const int64_t tensors = gguf_get_n_tensors(m->meta);

    if (!gguf_write_to_file_ptr(m->meta, m->out, true))
        die("cannot write %s: %s", m->partial, strerror(errno));
    for (int64_t id = 0; id < tensors; id++) {
        size_t size = gguf_get_tensor_size(m->meta, id);

        write_tensor(m, id);
        write_bytes(m, zeros, (alignment - size % alignment) % alignment);
        if (isatty(STDERR_FILENO))
            fprintf(stderr, "\r%3" PRId64 " %%", (id + 1) * 100 / tensors);
    }
    if (isatty(STDERR_FILENO))
        fputs("\r     \r", stderr);
}

static void set_dims(struct maker *m)
{
    const struct shape *s = m->shape;

    m->dims[EMBD] = s->embd;
    m->dims[FF] = s->ff;
    m->dims[QUERY] = s->heads * s->head_size;
    m->dims[KEY] = s->kv_heads * s->head_size;
    m->dims[HEAD] = s->head_size;
    m->dims[EXPERTS] = s->experts;
    m->dims[EXPERT_FF] = s->expert_ff;
}

static void make(struct maker *m, const char *vocab, const char *template, const char *path)
{
    struct timespec begin, end;
    long size;

    timespec_get(&begin, TIME_UTC);
    set_dims(m);
    take_tokenizer(m, vocab);
    if (template)
        set_template(m, template);
    set_metadata(m);
    add_tensors(m);

    path_of(m->partial, "%s.tmp-%ld", path, (long)getpid());
    m->out = fopen(m->partial, "wb");
    if (!m->out)
        die("cannot create %s: %s", m->partial, strerror(errno));
    unfinished = m->partial;
    setvbuf(m->out, NULL, _IOFBF, 1 << 20);
    write_model(m);
    size = ftell(m->out);
    if (fclose(m->out) != 0)
        die("cannot write %s: %s", m->partial, strerror(errno));
    if (rename(m->partial, path) != 0)
        die("cannot rename %s to %s: %s", m->partial, path, strerror(errno));
    timespec_get(&end, TIME_UTC);
    fprintf(stderr, "%s: %s %s, %" PRId64 " tensors, %.2f GB in %.1f s\n", path, m->shape->name,
            ggml_type_name(m->type->type), gguf_get_n_tensors(m->meta), (double)size / 1e9,
            (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
}

static void maker_done(struct maker *m)
{
    for (size_t i = 0; i < COUNT(m->pools); i++)
        free(m->pools[i].data);
    ggml_free(m->tensors);
    gguf_free(m->meta);
    ggml_quantize_free();
}

static const struct shape *shape_find(const char *name)
{
    for (size_t i = 0; i < COUNT(SHAPES); i++)
        if (strcasecmp(SHAPES[i].name, name) == 0)
            return &SHAPES[i];
    die("no shape '%s'; --help lists them", name);
}

static const struct type_row *type_find(const char *name)
{
    for (size_t i = 0; i < COUNT(TYPES); i++)
        if (strcasecmp(ggml_type_name(TYPES[i].type), name) == 0)
            return &TYPES[i];
    die("no type '%s'; --help lists them (Q4_K_M and its like are mixtures, this writes one type)", name);
}

static uint64_t number_of(const char *argument)
{
    char *end;

    errno = 0;
    uint64_t value = strtoull(argument, &end, 10);
    if (errno || *argument < '0' || *argument > '9' || *end)
        die("--seed takes a whole number, not '%s'", argument);
    return value;
}

static void help(void)
{
    puts("usage: make-model [--type T] [--seed N] [--vocab FILE] [--template FILE] SHAPE OUT.gguf\n\n"
         "Write a model of a real shape with random weights.\n\n"
         "  --type T         type of the matrices (default Q8_0)\n"
         "  --seed N         same seed, same bytes (default 1)\n"
         "  --vocab FILE     GGUF to take the tokenizer from\n"
         "  --template FILE  Jinja chat template\n\n"
         "shapes:");
    for (size_t i = 0; i < COUNT(SHAPES); i++)
        printf("  %-12s %-9s %2" PRIu32 " layers of %4" PRIu32 ", vocabulary of %s\n", SHAPES[i].name, SHAPES[i].arch,
               SHAPES[i].layers, SHAPES[i].embd, SHAPES[i].vocab);
    fputs("\ntypes:", stdout);
    for (size_t i = 0; i < COUNT(TYPES); i++)
        printf("%s%s", i % 10 == 0 ? "\n  " : " ", ggml_type_name(TYPES[i].type));
    puts("");
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"type", required_argument, NULL, 't'},  {"seed", required_argument, NULL, 's'},
        {"vocab", required_argument, NULL, 'v'}, {"template", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},        {0},
    };
    struct maker m = {.type = type_find("Q8_0"), .random = 1};
    const char *vocab = NULL, *template = NULL;
    char vocab_path[MAX_PATH], template_path[MAX_PATH];
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 't':
            m.type = type_find(optarg);
            break;
        case 's':
            m.random = number_of(optarg);
            break;
        case 'v':
            vocab = optarg;
            break;
        case 'c':
            template = optarg;
            break;
        case 'h':
            help();
            return 0;
        default:
            die("see --help");
        }
    }
    if (argc - optind != 2)
        die("needs a shape and a file to write; see --help");
    m.shape = shape_find(argv[optind]);
    if (!vocab)
        vocab = path_of(vocab_path, "%s/ggml-vocab-%s.gguf", TUG_LLAMA_MODELS, m.shape->vocab);
    if (!template && m.shape->template)
        template = path_of(template_path, "%s/templates/%s.jinja", TUG_LLAMA_MODELS, m.shape->template);
    make(&m, vocab, template, argv[optind + 1]);
    maker_done(&m);
    return 0;
}
