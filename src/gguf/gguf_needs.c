/* gguf/gguf_needs.c: what loading a model will take, from its header alone, in microseconds and without libllama.
 *
 * weights   the tensors' bytes.
 * KV cache  per layer head_count_kv x (key_length + value_length) x context x 2 bytes (f16). head_count_kv may be
 *           an array with one entry a layer, 0 where a layer has no attention (convolution, recurrence).
 * compute   libllama reserves its graph for a full ubatch of 512 tokens: the logits of all of them, the
 *           activations, and the attention mask (f32 and its f16 copy). Against its own log: llama 3.2 1B at 4,096:
 *           it says 254.50 MiB, of which the logits are 250.5.
 */
#include "gguf/gguf_file.h"

#include "base/check.h"
#include "base/text.h"

#include <string.h>

enum {
    NEEDS_UBATCH = 512,
    NEEDS_CONTEXT = 4096, /* when neither the caller nor the file says */
    NEEDS_KV_BYTES = 2,
    NEEDS_MASK_BYTES = 4 + 2,
    NEEDS_ROWS = 8, /* embedding-wide f32 rows alive at once, feed-forward ones below */
    NEEDS_FF_ROWS = 3,
    NEEDS_KEY = 128,
};

static uint64_t plus(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* ARCH.NAME, or `otherwise`. An array gives its largest entry: feed_forward_length and head_count may be one. */
static uint64_t needs_get(const struct gguf *g, const char *arch, const char *name, uint64_t otherwise)
{
    char key[NEEDS_KEY];
    uint64_t value;
    if (!text_format(key, sizeof key, "%s.%s", arch, name))
        return otherwise;
    if (gguf_get_u64(g, key, &value))
        return value;
    const struct gguf_value *v = gguf_find(g, key);
    struct gguf_value item;
    uint64_t most = 0;
    if (v == NULL || v->type != GGUF_ARRAY || v->array.type == GGUF_STRING)
        return otherwise;
    for (uint64_t i = 0; gguf_array_item(v, i, &item); i++)
        if (item.type != GGUF_F32 && item.type != GGUF_F64 && item.i > 0 && (uint64_t)item.i > most)
            most = (uint64_t)item.i;
    return most;
}

/* The sum of head_count_kv over the layers. */
static uint64_t needs_kv_heads(const struct gguf *g, const char *arch, uint64_t layers, uint64_t heads)
{
    char key[NEEDS_KEY];
    struct gguf_value item;
    uint64_t sum = 0;
    const struct gguf_value *v =
        text_format(key, sizeof key, "%s.attention.head_count_kv", arch) ? gguf_find(g, key) : NULL;
    if (v == NULL || v->type != GGUF_ARRAY || v->array.type == GGUF_STRING)
        return times(layers, needs_get(g, arch, "attention.head_count_kv", heads));
    for (uint64_t i = 0; i < layers && gguf_array_item(v, i, &item); i++)
        if (item.i > 0)
            sum = plus(sum, (uint64_t)item.i);
    return sum;
}

static bool needs_is_encoder(const char *arch)
{
    static const char *const encoders[] = {
        "bert",         "modern-bert",  "nomic-bert", "nomic-bert-moe",  "neo-bert",
        "jina-bert-v2", "jina-bert-v3", "eurobert",   "gemma-embedding", "t5encoder"};
    for (size_t i = 0; i < ARRAY_LEN(encoders); i++)
        if (strcmp(arch, encoders[i]) == 0)
            return true;
    return false;
}

static uint64_t needs_vocabulary(const struct gguf *g, const char *arch)
{
    const struct gguf_value *tokens = gguf_find(g, "tokenizer.ggml.tokens");
    uint64_t n = tokens != NULL && tokens->type == GGUF_ARRAY ? tokens->array.count : 0;
    return n > 0 ? n : needs_get(g, arch, "vocab_size", 0);
}

void gguf_needs(const struct gguf *g, uint64_t context, struct gguf_needs *ret)
{
    struct arena a = ARENA_INIT;
    const char *arch = gguf_architecture(g, &a);
    struct gguf_needs needs = {
        .context_train = needs_get(g, arch, "context_length", 0),
        .layers = needs_get(g, arch, "block_count", 0),
        .embedding = needs_get(g, arch, "embedding_length", 0),
    };
    bool encoder = needs_is_encoder(arch);
    needs.embedding_model = encoder || needs_get(g, arch, "pooling_type", 0) > 0;
    if (context == 0)
        context = needs.context_train > 0 ? needs.context_train : NEEDS_CONTEXT;
    for (size_t i = 0; i < g->n_tensors; i++)
        needs.weights_bytes = plus(needs.weights_bytes, g->tensors[i].bytes);

    uint64_t heads = needs_get(g, arch, "attention.head_count", 0);
    uint64_t head = heads > 0 ? needs.embedding / heads : 0;
    uint64_t key = needs_get(g, arch, "attention.key_length", head);
    uint64_t value = needs_get(g, arch, "attention.value_length", head);
    uint64_t cells = times(needs_kv_heads(g, arch, needs.layers, heads), plus(key, value));
    if (!encoder)
        needs.kv_bytes = times(times(cells, context), NEEDS_KV_BYTES);

    uint64_t row = times(needs.embedding, sizeof(float) * NEEDS_ROWS);
    row = plus(row, times(needs_get(g, arch, "feed_forward_length", 0), sizeof(float) * NEEDS_FF_ROWS));
    row = plus(row, encoder ? 0 : times(needs_vocabulary(g, arch), sizeof(float)));
    row = plus(row, times(context, NEEDS_MASK_BYTES));
    needs.compute_bytes = times(row, NEEDS_UBATCH);
    arena_done(&a);
    *ret = needs;
}
