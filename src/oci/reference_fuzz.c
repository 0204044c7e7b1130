/* oci/reference_fuzz: what is taken stays the same when parsed again, and holds no path tricks. */
#include "oci/reference.h"

#include "base/check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = check_alloc(malloc(size + 1));
    struct reference r;
    struct reference again;
    struct err err = ERR_INIT;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    if (reference_parse(text, &r, &err)) {
        CHECK(strstr(r.registry, "..") == NULL && strstr(r.repository, "..") == NULL); /* a tag may: a..b */
        CHECK(strstr(r.text, "//") == NULL && strchr(r.tag, '/') == NULL && r.text[0] != '/' && r.tag[0] != '.');
        CHECK((r.tag[0] == '\0') != (r.digest[0] == '\0'));
        CHECK(reference_parse(r.text, &again, &err) && strcmp(r.text, again.text) == 0);
        char shown[512];
        reference_display(r.text, shown);
    } else {
        CHECK(err.code == ERR_INVALID && err.text[0] != '\0');
    }
    free(text);
    return 0;
}
