/* json/json_write: JSON text straight into a buf, without a tree: for chunks and lists on hot paths.
 *
 *   struct json_out j = JSON_OUT(&buf);
 *   json_open(&j, '{'); json_key(&j, "id"); json_str(&j, id); json_close(&j, '}');
 *
 * Commas are written by it. Compact (no spaces) unless indent is set. Text that is not valid UTF-8
 * has its bad bytes replaced by U+FFFD. The buf's maximum is checked once by the caller through
 * json_ok(). Not for outside input of unbounded size.
 */
#ifndef TUG_JSON_WRITE_H
#define TUG_JSON_WRITE_H

#include "base/buf.h"

#include <stdint.h>

struct json_out {
    struct buf *buf;
    int indent; /* spaces a level; 0: compact */
    int depth;
    bool comma; /* the next value needs a comma before it */
    bool after_key;
    bool failed; /* the buf's maximum was reached */
};

#define JSON_OUT(b) ((struct json_out){.buf = (b)})

void json_open(struct json_out *j, char bracket);  /* '{' or '[' */
void json_close(struct json_out *j, char bracket); /* '}' or ']' */
void json_key(struct json_out *j, const char *key);
void json_str(struct json_out *j, const char *s); /* NULL writes null */
void json_strn(struct json_out *j, const char *s, size_t n);
void json_int(struct json_out *j, int64_t v);
void json_uint(struct json_out *j, uint64_t v);
void json_num(struct json_out *j, double v); /* shortest form that reads back; not finite writes null */
void json_bool(struct json_out *j, bool v);
void json_write_null(struct json_out *j);
void json_raw(struct json_out *j, const char *text, size_t n); /* one value that is JSON already */
bool json_ok(const struct json_out *j);

/* Key and value in one line. */
void json_kv_str(struct json_out *j, const char *key, const char *s);
void json_kv_int(struct json_out *j, const char *key, int64_t v);
void json_kv_uint(struct json_out *j, const char *key, uint64_t v);
void json_kv_num(struct json_out *j, const char *key, double v);
void json_kv_bool(struct json_out *j, const char *key, bool v);

#endif
