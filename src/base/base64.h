/* base/base64: RFC 4648, for Basic credentials and Docker's config.json. */
#ifndef TUG_BASE_BASE64_H
#define TUG_BASE_BASE64_H

#include "base/buf.h"

bool base64_encode(struct buf *out, const void *bytes, size_t n);
/* Padding may be missing; trailing NULs of the content are cut, as docker/cli does. False: not base64, out unchanged.
 */
bool base64_decode(struct buf *out, const char *text);

#endif
