/* json/json_read.c: see json_read.h. */
#include "json/json_read.h"

#include "base/limits.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* jansson's own limit is 2048 levels of recursion; ours is checked before it runs, on the text. */
static bool depth_ok(const char *data, size_t len, struct err *err)
{
    int depth = 0;
    int line = 1;
    size_t line_start = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = data[i];
        if (c == '\n') {
            line++;
            line_start = i + 1;
        } else if (in_string && c == '\\') {
            i++;
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string && (c == '{' || c == '[')) {
            if (++depth > LIMIT_JSON_DEPTH)
                return err_set(err, ERR_INVALID, "the JSON is nested more than %d levels deep at line %d column %zu",
                               LIMIT_JSON_DEPTH, line, i - line_start + 1);
        } else if (!in_string && (c == '}' || c == ']')) {
            depth--;
        }
    }
    return true;
}

bool json_parse(const char *data, size_t len, json_t **ret_root, struct err *err)
{
    json_error_t reason;
    if (!depth_ok(data, len, err))
        return false;
    json_t *root = json_loadb(data, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &reason);
    if (root == NULL)
        return err_set(err, ERR_INVALID, "the JSON is wrong at line %d column %d: %s", reason.line, reason.column,
                       reason.text);
    *ret_root = root;
    return true;
}

void json_free(json_t **root)
{
    json_decref(*root);
    *root = NULL;
}

static void path_of(char dst[ERR_PARAM_MAX], const char *where, const char *key)
{
    snprintf(dst, ERR_PARAM_MAX, "%s%s%s", where, where[0] == '\0' ? "" : ".", key);
}

const char *json_kind(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        break;
    }
    return "null";
}

static bool wrong(const json_t *v, const char *where, const char *key, const char *wanted, struct err *err)
{
    char path[ERR_PARAM_MAX];
    path_of(path, where, key);
    return err_param(err, path, "`%s` must be %s, not %s", path, wanted, json_kind(v));
}

/* The value, or NULL when absent or null. False: obj itself is no object. */
static bool value_of(const json_t *obj, const char *where, const char *key, const json_t **ret, struct err *err)
{
    if (!json_is_object(obj)) {
        const char *name = where[0] == '\0' ? "the JSON" : where;
        return err_param(err, where, "%s must be an object, not %s", name, obj == NULL ? "missing" : json_kind(obj));
    }
    const json_t *v = json_object_get(obj, key);
    *ret = json_is_null(v) ? NULL : v;
    return true;
}

bool json_need(const json_t *obj, const char *where, const char *key, struct err *err)
{
    const json_t *v = NULL;
    char path[ERR_PARAM_MAX];
    if (!value_of(obj, where, key, &v, err))
        return false;
    if (v != NULL)
        return true;
    path_of(path, where, key);
    return err_param(err, path, "`%s` is missing", path);
}

bool json_get_string(const json_t *obj, const char *where, const char *key, const char **ret, struct err *err)
{
    const json_t *v = NULL;
    if (!value_of(obj, where, key, &v, err))
        return false;
    if (v == NULL)
        return true;
    if (!json_is_string(v))
        return wrong(v, where, key, "a string", err);
    *ret = json_string_value(v);
    return true;
}

bool json_get_bool(const json_t *obj, const char *where, const char *key, bool *ret, struct err *err)
{
    const json_t *v = NULL;
    if (!value_of(obj, where, key, &v, err))
        return false;
    if (v == NULL)
        return true;
    if (!json_is_boolean(v))
        return wrong(v, where, key, "true or false", err);
    *ret = json_is_true(v);
    return true;
}

bool json_get_number(const json_t *obj, const char *where, const char *key, double min, double max, double *ret,
                     struct err *err)
{
    const json_t *v = NULL;
    char path[ERR_PARAM_MAX];
    if (!value_of(obj, where, key, &v, err))
        return false;
    if (v == NULL)
        return true;
    if (!json_is_number(v))
        return wrong(v, where, key, "a number", err);
    double number = json_number_value(v);
    if (!(number >= min && number <= max)) {
        path_of(path, where, key);
        return err_param(err, path, "`%s` must be between %g and %g, not %g", path, min, max, number);
    }
    *ret = number;
    return true;
}

bool json_get_int(const json_t *obj, const char *where, const char *key, int64_t min, int64_t max, int64_t *ret,
                  struct err *err)
{
    const json_t *v = NULL;
    char path[ERR_PARAM_MAX];
    int64_t number = 0;
    if (!value_of(obj, where, key, &v, err))
        return false;
    if (v == NULL)
        return true;
    bool whole = json_is_integer(v);
    if (whole) {
        number = json_integer_value(v);
    } else if (json_is_real(v)) {
        double real = json_real_value(v);
        whole = real == floor(real) && real >= -9007199254740992.0 && real <= 9007199254740992.0;
        number = whole ? (int64_t)real : 0;
    }
    if (!whole)
        return wrong(v, where, key, "a whole number", err);
    if (number < min || number > max) {
        path_of(path, where, key);
        return err_param(err, path, "`%s` must be between %lld and %lld, not %lld", path, (long long)min,
                         (long long)max, (long long)number);
    }
    *ret = number;
    return true;
}

bool json_get_array(const json_t *obj, const char *where, const char *key, size_t max_items, const json_t **ret,
                    struct err *err)
{
    const json_t *v = NULL;
    char path[ERR_PARAM_MAX];
    if (!value_of(obj, where, key, &v, err))
        return false;
    if (v == NULL)
        return true;
    if (!json_is_array(v))
        return wrong(v, where, key, "an array", err);
    if (json_array_size(v) > max_items) {
        path_of(path, where, key);
        return err_param(err, path, "`%s` has %zu entries, at most %zu are allowed", path, json_array_size(v),
                         max_items);
    }
    *ret = v;
    return true;
}

bool json_get_object(const json_t *obj, const char *where, const char *key, const json_t **ret, struct err *err)
{
    const json_t *v = NULL;
    if (!value_of(obj, where, key, &v, err))
        return false;
    if (v == NULL)
        return true;
    if (!json_is_object(v))
        return wrong(v, where, key, "an object", err);
    *ret = v;
    return true;
}
