/* registry/challenge_fuzz.c: any header ends, and leaves terminated fields without control characters. */
#include "base/check.h"
#include "registry/challenge.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

static void check_field(const char *s, size_t size)
{
    CHECK(memchr(s, 0, size) != NULL);
    for (; *s != '\0'; s++)
        CHECK((unsigned char)*s >= 0x20);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    struct challenge c = {0};
    char *header = check_alloc(malloc(n + 1)); /* its own block, so that reading past the end is seen */
    memcpy(header, data, n);
    header[n] = '\0';
    challenge_read(header, &c);
    challenge_read(header, &c);
    free(header);
    CHECK(c.bearer == (c.realm[0] != '\0'));
    check_field(c.realm, sizeof c.realm);
    check_field(c.service, sizeof c.service);
    check_field(c.scope, sizeof c.scope);
    check_field(c.error, sizeof c.error);
    return 0;
}
