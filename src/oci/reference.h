/* oci/reference: the name of a model, by Docker's grammar and Docker Model Runner's defaults.
 *
 *   struct reference ref;
 *   if (!reference_parse("smollm2", &ref, err)) ...     docker.io / ai/smollm2 : latest
 *
 * Rules (shared facts: dmr.md 3; distribution.md 1.1): trimmed; `hf.co/` is `huggingface.co/`; the
 * part before the first `/` is a registry when it has `.` or `:` or is `localhost`; none: docker.io;
 * no `/` in the name: organisation `ai`; repository lower-cased, tag's case kept; no tag: latest;
 * `repo@sha256:…` has a digest and no tag. 12 or 64 hex, or sha256:64 hex, is not a reference but
 * may be an id: reference_is_id. Pure; any thread.
 */
#ifndef TUG_OCI_REFERENCE_H
#define TUG_OCI_REFERENCE_H

#include "base/err.h"

struct reference {
    char registry[256];   /* "docker.io", "localhost:5000", "huggingface.co" */
    char repository[256]; /* "ai/smollm2" */
    char tag[129];        /* "latest"; "" when a digest was given */
    char digest[72];      /* "sha256:…" or "" */
    char text[512];       /* the whole, normalised: "docker.io/ai/smollm2:latest" */
};

/* Error: ERR_INVALID, naming what is wrong with which part. */
bool reference_parse(const char *text, struct reference *ret_ref, struct err *err);
bool reference_is_id(const char *text); /* could be a (short) model id */
/* As `ls` and `ps` show it: without docker.io/, ai/ and :latest. */
void reference_display(const char *full, char dst[512]);

#endif
