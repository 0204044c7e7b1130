/* gguf/gguf_types.c: the tables of ggml's tensor types and llama.cpp's file types (ggml.h, llama.h). A type that is
 * not here cannot be sized, so its file is refused: a new one is a row. */
#include "gguf/gguf_file.h"

#include "base/check.h"

static const struct gguf_tensor_type tensor_types[] = {
    [0] = {"F32", 1, 4},         [1] = {"F16", 1, 2},         [2] = {"Q4_0", 32, 18},      [3] = {"Q4_1", 32, 20},
    [6] = {"Q5_0", 32, 22},      [7] = {"Q5_1", 32, 24},      [8] = {"Q8_0", 32, 34},      [9] = {"Q8_1", 32, 36},
    [10] = {"Q2_K", 256, 84},    [11] = {"Q3_K", 256, 110},   [12] = {"Q4_K", 256, 144},   [13] = {"Q5_K", 256, 176},
    [14] = {"Q6_K", 256, 210},   [15] = {"Q8_K", 256, 292},   [16] = {"IQ2_XXS", 256, 66}, [17] = {"IQ2_XS", 256, 74},
    [18] = {"IQ3_XXS", 256, 98}, [19] = {"IQ1_S", 256, 50},   [20] = {"IQ4_NL", 32, 18},   [21] = {"IQ3_S", 256, 110},
    [22] = {"IQ2_S", 256, 82},   [23] = {"IQ4_XS", 256, 136}, [24] = {"I8", 1, 1},         [25] = {"I16", 1, 2},
    [26] = {"I32", 1, 4},        [27] = {"I64", 1, 8},        [28] = {"F64", 1, 8},        [29] = {"IQ1_M", 256, 56},
    [30] = {"BF16", 1, 2},       [34] = {"TQ1_0", 256, 54},   [35] = {"TQ2_0", 256, 66},   [39] = {"MXFP4", 32, 17},
    [40] = {"NVFP4", 64, 36},    [41] = {"Q1_0", 128, 18},    [42] = {"Q2_0", 64, 18},
};

/* general.file_type as DMR writes it into `quantization` (dmr.md 4.2). */
static const char *const file_types[] = {
    [0] = "MOSTLY_F32",           [1] = "MOSTLY_F16",       [2] = "MOSTLY_Q4_0",      [3] = "MOSTLY_Q4_1",
    [4] = "MOSTLY_Q4_1_SOME_F16", [5] = "MOSTLY_Q4_2",      [6] = "MOSTLY_Q4_3",      [7] = "MOSTLY_Q8_0",
    [8] = "MOSTLY_Q5_0",          [9] = "MOSTLY_Q5_1",      [10] = "MOSTLY_Q2_K",     [11] = "MOSTLY_Q3_K_S",
    [12] = "MOSTLY_Q3_K_M",       [13] = "MOSTLY_Q3_K_L",   [14] = "MOSTLY_Q4_K_S",   [15] = "MOSTLY_Q4_K_M",
    [16] = "MOSTLY_Q5_K_S",       [17] = "MOSTLY_Q5_K_M",   [18] = "MOSTLY_Q6_K",     [19] = "MOSTLY_IQ2_XXS",
    [20] = "MOSTLY_IQ2_XS",       [21] = "MOSTLY_Q2_K_S",   [22] = "MOSTLY_IQ3_XS",   [23] = "MOSTLY_IQ3_XXS",
    [24] = "MOSTLY_IQ1_S",        [25] = "MOSTLY_IQ4_NL",   [26] = "MOSTLY_IQ3_S",    [27] = "MOSTLY_IQ3_M",
    [28] = "MOSTLY_IQ2_S",        [29] = "MOSTLY_IQ2_M",    [30] = "MOSTLY_IQ4_XS",   [31] = "MOSTLY_IQ1_M",
    [32] = "MOSTLY_BF16",         [33] = "MOSTLY_Q4_0_4_4", [34] = "MOSTLY_Q4_0_4_8", [35] = "MOSTLY_Q4_0_8_8",
    [36] = "MOSTLY_TQ1_0",        [37] = "MOSTLY_TQ2_0",    [38] = "MOSTLY_MXFP4",    [39] = "MOSTLY_NVFP4",
    [40] = "MOSTLY_Q1_0",         [41] = "MOSTLY_Q2_0",
};

static const unsigned char value_bytes[] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
    [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
};

const struct gguf_tensor_type *gguf_tensor_type(uint32_t type)
{
    if (type >= ARRAY_LEN(tensor_types) || tensor_types[type].block_bytes == 0)
        return NULL;
    return &tensor_types[type];
}

const char *gguf_file_type_name(uint64_t file_type)
{
    return file_type < ARRAY_LEN(file_types) ? file_types[file_type] : NULL;
}

size_t gguf_value_bytes(enum gguf_type type) { return (size_t)type < ARRAY_LEN(value_bytes) ? value_bytes[type] : 0; }
