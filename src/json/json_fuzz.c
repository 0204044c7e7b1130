/* json/json_fuzz.c: any bytes are parsed or refused; and any bytes written as a string read back as valid JSON. */
#include "base/check.h"
#include "base/cleanup.h"
#include "json/json_read.h"
#include "json/json_write.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    _cleanup_(json_free) json_t *root = NULL;
    _cleanup_(json_free) json_t *again = NULL;
    _cleanup_(buf_done) struct buf b = BUF_INIT(n * 6 + 16);
    struct err err = ERR_INIT;
    if (json_parse((const char *)data, n, &root, &err) && json_is_object(root)) {
        const char *s = NULL;
        int64_t i = 0;
        json_get_string(root, "", "a", &s, &err);
        json_get_int(root, "", "a", -5, 5, &i, &err);
    }
    struct json_out j = JSON_OUT(&b);
    json_open(&j, '[');
    json_strn(&j, (const char *)data, n);
    json_close(&j, ']');
    CHECK(json_ok(&j));
    bool has_nul = memchr(data, 0, n) != NULL; /* jansson refuses \u0000 in strings */
    CHECK(has_nul || json_parse(b.data, b.len, &again, &err));
    return 0;
}
