/* json/json_read: jansson with error messages that name the field.
 *
 *   _cleanup_(json_free) json_t *root = NULL;
 *   if (!json_parse(data, len, &root, err)) return false;
 *   double t = 1;
 *   if (!json_get_number(root, "", "temperature", 0, 2, &t, err)) return false;     absent or null: t unchanged
 *
 * `where` is the path of obj ("" or "messages[2]"), so that the message says `messages[2].role`
 * and err->param holds it. The getters: absent or null leaves the output untouched and is true;
 * a wrong type or range is false with err_param. json_need makes absence an error. Nesting above
 * LIMIT_JSON_DEPTH, duplicate keys and trailing text are refused by json_parse (ERR_INVALID with
 * line and column). Getters borrow from obj. Any thread, one object at a time.
 */
#ifndef TUG_JSON_READ_H
#define TUG_JSON_READ_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

bool json_parse(const char *data, size_t len, json_t **ret_root, struct err *err);
void json_free(json_t **root);

/* "a string", "an array", … "null": for messages. */
const char *json_kind(const json_t *value);

bool json_need(const json_t *obj, const char *where, const char *key, struct err *err);
bool json_get_string(const json_t *obj, const char *where, const char *key, const char **ret, struct err *err);
bool json_get_bool(const json_t *obj, const char *where, const char *key, bool *ret, struct err *err);
bool json_get_number(const json_t *obj, const char *where, const char *key, double min, double max, double *ret,
                     struct err *err);
/* Whole numbers only; 3.0 counts as whole. */
bool json_get_int(const json_t *obj, const char *where, const char *key, int64_t min, int64_t max, int64_t *ret,
                  struct err *err);
bool json_get_array(const json_t *obj, const char *where, const char *key, size_t max_items, const json_t **ret,
                    struct err *err);
bool json_get_object(const json_t *obj, const char *where, const char *key, const json_t **ret, struct err *err);

#endif
