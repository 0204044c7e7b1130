/* gguf/gguf_summary.c: the strings of a model config, letter for letter as DMR makes them today (dmr.md 4.2); they
 * are part of the config blob, and so of a package's id. */
#include "gguf/gguf_file.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The map goes into the config blob, whose limit is 4 MiB, and a byte may become 6 in JSON. */
enum {
    SUMMARY_ARRAY_ITEMS = 50,
    SUMMARY_VALUE_BYTES = 128 * 1024,
    SUMMARY_MAP_BYTES = 512 * 1024,
    SUMMARY_KEYS = 4096
};

struct unit {
    const char *name;
    uint64_t value;
};

static const struct unit units_count[] = {
    {"Q", UINT64_C(1000000000000000)}, {"T", UINT64_C(1000000000000)}, {"B", 1000000000}, {"M", 1000000}, {"K", 1000},
};

/* Both bases, largest first: 1,000,000,000 bytes are 1GB, but 1,073,741,824 are 1GiB. */
static const struct unit units_bytes[] = {
    {"Pi", UINT64_C(1) << 50}, {"P", UINT64_C(1000000000000000)},
    {"Ti", UINT64_C(1) << 40}, {"T", UINT64_C(1000000000000)},
    {"Gi", UINT64_C(1) << 30}, {"G", 1000000000},
    {"Mi", UINT64_C(1) << 20}, {"M", 1000000},
    {"Ki", UINT64_C(1) << 10}, {"K", 1000},
};

static const char *scaled(struct arena *a, uint64_t v, const struct unit *units, size_t n, const char *suffix)
{
    char number[TEXT_SHORT_MAX];
    struct unit unit = {"", 1};
    for (size_t i = 0; i < n; i++) {
        if (v >= units[i].value) {
            unit = units[i];
            break;
        }
    }
    text_format(number, sizeof number, "%.2f", (double)v / (double)unit.value);
    if (text_ends(number, ".00"))
        number[strlen(number) - 3] = '\0';
    return arena_printf(a, "%s%s%s", number, unit.name, suffix);
}

static uint64_t add_capped(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

/* One number or bool of the file, as Go prints it; the array's item i when v is an array. */
static void add_number(struct buf *b, enum gguf_type type, const struct gguf_value *v)
{
    switch (type) {
    case GGUF_BOOL:
        buf_add_str(b, v->u != 0 ? "true" : "false");
        break;
    case GGUF_F32:
    case GGUF_F64:
        buf_printf(b, "%f", v->f);
        break;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64:
        buf_printf(b, "%" PRId64, v->i);
        break;
    default:
        buf_printf(b, "%" PRIu64, v->u);
        break;
    }
}

static bool add_string(struct buf *b, const char *data, uint64_t len)
{
    bool plain = len <= SUMMARY_VALUE_BYTES && (len == 0 || memchr(data, '\0', (size_t)len) == NULL);
    return plain && buf_add(b, data, (size_t)len);
}

static bool add_array(struct buf *b, const struct gguf_value *array)
{
    if (array->array.count > SUMMARY_ARRAY_ITEMS)
        return false;
    for (uint64_t i = 0; i < array->array.count; i++) {
        struct gguf_value item;
        if (!gguf_array_item(array, i, &item) || (i > 0 && !buf_add_str(b, ", ")))
            return false;
        if (item.type != GGUF_STRING)
            add_number(b, item.type, &item);
        else if (!add_string(b, item.str.data, item.str.len))
            return false;
    }
    return true;
}

/* The value's text; NULL: this key is left out. */
static const char *value_text(const struct gguf_value *v, struct arena *a)
{
    _cleanup_(buf_done) struct buf b = BUF_INIT(SUMMARY_VALUE_BYTES);
    bool ok = true;
    if (v->type == GGUF_STRING)
        ok = add_string(&b, v->str.data, v->str.len);
    else if (v->type == GGUF_ARRAY)
        ok = add_array(&b, v);
    else
        add_number(&b, v->type, v);
    return ok ? arena_strndup(a, buf_str(&b), b.len) : NULL;
}

static void summary_map(const struct gguf *g, struct arena *a, struct model_config *c)
{
    size_t max = g->n_kvs < SUMMARY_KEYS ? g->n_kvs : SUMMARY_KEYS;
    struct config_pair *pairs = arena_array(a, max, sizeof *pairs);
    size_t n = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < g->n_kvs && n < max && bytes < SUMMARY_MAP_BYTES; i++) {
        const struct gguf_kv *kv = g->kvs_by_key[i].kv;
        bool named = text_utf8_valid(kv->key.data, (size_t)kv->key.len) &&
                     memchr(kv->key.data, '\0', (size_t)kv->key.len) == NULL;
        const char *value = named ? value_text(&kv->value, a) : NULL;
        if (value == NULL)
            continue;
        pairs[n++] = (struct config_pair){arena_strndup(a, kv->key.data, (size_t)kv->key.len), value};
        bytes += (size_t)kv->key.len + strlen(value);
    }
    c->gguf = pairs;
    c->n_gguf = n;
}

enum { GUESS_TYPES = 64, GUESS_PLACES = 3 };

/* The three commonest types of the layers' tensors, GUESS_TYPES where there are fewer. */
static void guess_rank(const struct gguf *const *shards, size_t n, uint32_t best[GUESS_PLACES])
{
    size_t count[GUESS_TYPES] = {0};
    for (size_t s = 0; s < n; s++)
        for (size_t i = 0; i < shards[s]->n_tensors; i++) {
            const struct gguf_tensor *t = &shards[s]->tensors[i];
            if (t->name.len > 4 && memcmp(t->name.data, "blk.", 4) == 0 && t->type < GUESS_TYPES)
                count[t->type]++;
        }
    for (size_t place = 0; place < GUESS_PLACES; place++) {
        uint32_t most = 0;
        for (uint32_t type = 1; type < GUESS_TYPES; type++)
            if (count[type] > count[most])
                most = type;
        best[place] = count[most] > 0 ? most : GUESS_TYPES;
        count[most] = 0;
    }
}

/* "MOSTLY_" and the type's name is the file type's, but for the k-quants, which have two or three. */
static const char *guess_name(const char *type, bool with_q6_k)
{
    static const struct {
        const char *type, *plain, *mix;
    } mixes[] = {{"Q4_K", "MOSTLY_Q4_K_S", "MOSTLY_Q4_K_M"},
                 {"Q5_K", "MOSTLY_Q5_K_S", "MOSTLY_Q5_K_M"},
                 {"Q3_K", "MOSTLY_Q3_K_S", "MOSTLY_Q3_K_S"}};
    for (size_t i = 0; i < ARRAY_LEN(mixes); i++)
        if (strcmp(type, mixes[i].type) == 0)
            return with_q6_k ? mixes[i].mix : mixes[i].plain;
    for (uint64_t i = 0; gguf_file_type_name(i) != NULL; i++)
        if (strcmp(gguf_file_type_name(i) + strlen("MOSTLY_"), type) == 0)
            return gguf_file_type_name(i);
    return "Unknown";
}

/* Without general.file_type: the commonest type. F32 counts only when alone, since norms are F32 in every file; Q4_K
 * and Q5_K with Q6_K as third are the M mixes. */
static const char *guess_file_type(const struct gguf *const *shards, size_t n)
{
    uint32_t best[GUESS_PLACES];
    guess_rank(shards, n, best);
    const struct gguf_tensor_type *type = gguf_tensor_type(best[0] == 0 && best[1] != GUESS_TYPES ? best[1] : best[0]);
    const struct gguf_tensor_type *third = gguf_tensor_type(best[2]);
    if (type == NULL)
        return "Unknown";
    return guess_name(type->name, third != NULL && strcmp(third->name, "Q6_K") == 0);
}

static const char *summary_file_type(const struct gguf *const *shards, size_t n)
{
    uint64_t file_type;
    const char *name = NULL;
    if (gguf_get_u64(shards[0], "general.file_type", &file_type))
        name = gguf_file_type_name(file_type);
    return name != NULL ? name : guess_file_type(shards, n);
}

void gguf_summary(const struct gguf *const *shards, size_t n, struct arena *a, struct model_config *ret_config)
{
    struct model_config c = {.format = "gguf"};
    uint64_t elements = 0;
    uint64_t bytes = 0;
    uint64_t context = 0;
    CHECK(n > 0);
    for (size_t s = 0; s < n; s++) {
        for (size_t i = 0; i < shards[s]->n_tensors; i++)
            elements = add_capped(elements, shards[s]->tensors[i].elements);
        bytes = add_capped(bytes, shards[s]->file_size - shards[s]->data_offset);
    }
    c.architecture = gguf_architecture(shards[0], a);
    c.parameters = scaled(a, elements, units_count, ARRAY_LEN(units_count), "");
    c.size = scaled(a, bytes, units_bytes, ARRAY_LEN(units_bytes), "B");
    c.quantization = summary_file_type(shards, n);
    if (gguf_get_u64(shards[0], arena_printf(a, "%s.context_length", c.architecture), &context) && context <= INT32_MAX)
        c.context_size = (int64_t)context;
    summary_map(shards[0], a, &c);
    *ret_config = c;
}
