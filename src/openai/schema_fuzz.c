/* Fuzz target: any JSON as a schema, strict by the first byte; any text as a pattern. */
#include "openai/pattern.h"
#include "openai/schema.h"
#include "json/json_read.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[128];
    char pattern[256] = "";
    json_t *schema = NULL;
    struct err err = ERR_INIT;
    if (size == 0)
        return 0;
    memcpy(pattern, data, size < sizeof pattern ? size : sizeof pattern - 1);
    free(pattern_plain(pattern, why, sizeof why));
    if (json_parse((const char *)data + 1, size - 1, &schema, &err)) {
        (void)schema_prepare(schema, "s", data[0] % 2 == 0 ? SCHEMA_STRICT : SCHEMA_LENIENT, &err);
        json_free(&schema);
    }
    return 0;
}
