/* oci/digest: sha256 digests as OCI writes them, and hashing as bytes go by.
 *
 *   struct digest_hash h;  digest_start(&h);  digest_add(&h, p, n);  digest_end(&h, text);
 *
 * The running state can be saved at multiples of 64 bytes and restored later in another process
 * (digest_save / digest_load, portable form), so that a resumed download reads nothing twice.
 * Uses OpenSSL's SHA256_CTX, since EVP in 3.0 cannot export (distribution.md 5.2.6). Never fails.
 */
#ifndef TUG_OCI_DIGEST_H
#define TUG_OCI_DIGEST_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { DIGEST_TEXT = 72, DIGEST_HEX = 64, DIGEST_STATE_BYTES = 40 };

struct digest_hash {
    _Alignas(8) unsigned char opaque[128];
};

bool digest_valid(const char *text);        /* "sha256:" + 64 of [0-9a-f], nothing else */
const char *digest_hex(const char *digest); /* the part after the colon, borrowed */
void digest_start(struct digest_hash *h);
void digest_add(struct digest_hash *h, const void *p, size_t n);
void digest_end(struct digest_hash *h, char ret_text[DIGEST_TEXT]);
void digest_of(const void *p, size_t n, char ret_text[DIGEST_TEXT]);
/* Only when the bytes so far are a multiple of 64; false otherwise. 8 x u32 big-endian, u64 byte count big-endian. */
bool digest_save(const struct digest_hash *h, unsigned char state[DIGEST_STATE_BYTES]);
bool digest_load(struct digest_hash *h, const unsigned char state[DIGEST_STATE_BYTES]);

#endif
