/* openai/schema.c: see schema.h. */
#include "openai/schema.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "openai/pattern.h"
#include "json/json_read.h"

#include <math.h>
#include <string.h>

struct walk {
    json_t *root;
    const char *where;
    enum schema_mode mode;
    size_t nodes;
    /* The schemas that were looked at, and those that a $ref leads to: the conversion follows them, so all of the
     * latter must be among the former. */
    const json_t *seen[LIMIT_SCHEMA_NODES + 1];
    const json_t *targets[LIMIT_SCHEMA_NODES + 1];
    size_t n_targets;
    struct err *err;
};

enum { PATH_MAX_BYTES = 80 };

static bool refuse(const struct walk *w, const char *path, const char *why)
{
    return err_param(w->err, w->where, "`%s%s`: %s", w->where, path, why);
}

/* ---- keywords ---- */

enum keyword_use { KEYWORD_NOTE, KEYWORD_HELD, KEYWORD_NOT_HELD };

/* In the order of likelihood. Notes say nothing of what fits. */
static const struct keyword {
    const char *name;
    enum keyword_use use;
} keywords[] = {
    {"type", KEYWORD_HELD},
    {"properties", KEYWORD_HELD},
    {"required", KEYWORD_HELD},
    {"additionalProperties", KEYWORD_HELD},
    {"description", KEYWORD_NOTE},
    {"title", KEYWORD_NOTE},
    {"items", KEYWORD_HELD},
    {"enum", KEYWORD_HELD},
    {"const", KEYWORD_HELD},
    {"anyOf", KEYWORD_HELD},
    {"oneOf", KEYWORD_HELD},
    {"allOf", KEYWORD_HELD},
    {"$ref", KEYWORD_HELD},
    {"$defs", KEYWORD_HELD},
    {"definitions", KEYWORD_HELD},
    {"prefixItems", KEYWORD_HELD},
    {"minItems", KEYWORD_HELD},
    {"maxItems", KEYWORD_HELD},
    {"minLength", KEYWORD_HELD},
    {"maxLength", KEYWORD_HELD},
    {"pattern", KEYWORD_HELD},
    {"format", KEYWORD_HELD},
    {"minimum", KEYWORD_HELD},
    {"maximum", KEYWORD_HELD},
    {"exclusiveMinimum", KEYWORD_HELD},
    {"exclusiveMaximum", KEYWORD_HELD},
    {"default", KEYWORD_NOTE},
    {"examples", KEYWORD_NOTE},
    {"example", KEYWORD_NOTE},
    {"$schema", KEYWORD_NOTE},
    {"$id", KEYWORD_NOTE},
    {"$comment", KEYWORD_NOTE},
    {"$anchor", KEYWORD_NOTE},
    {"deprecated", KEYWORD_NOTE},
    {"readOnly", KEYWORD_NOTE},
    {"writeOnly", KEYWORD_NOTE},
    {"nullable", KEYWORD_NOTE},
    {"strict", KEYWORD_NOTE},
    {"contentMediaType", KEYWORD_NOTE},
    {"contentEncoding", KEYWORD_NOTE},
};

static enum keyword_use keyword_use(const char *name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++)
        if (strcmp(name, keywords[i].name) == 0)
            return keywords[i].use;
    return text_starts(name, "x-") ? KEYWORD_NOTE : KEYWORD_NOT_HELD;
}

/* A keyword whose meaning a grammar cannot hold: refused, or taken out. */
static bool keyword_drop(struct walk *w, json_t *node, const char *path, const char *name)
{
    char why[160];
    if (w->mode == SCHEMA_STRICT) {
        (void)text_format(why, sizeof why, "the keyword \"%.48s\" is not supported here: leave it out", name);
        return refuse(w, path, why);
    }
    json_object_del(node, name);
    return true;
}

static bool keywords_check(struct walk *w, json_t *node, const char *path)
{
    const char *key;
    json_t *value;
    void *tmp;
    json_object_foreach_safe(node, tmp, key, value)
    {
        if (keyword_use(key) == KEYWORD_NOT_HELD && !keyword_drop(w, node, path, key))
            return false;
    }
    return true;
}

/* ---- $ref ---- */

/* The place that a local reference names, NULL if there is none. "~1" and "~0" stay as they are, as in the
 * conversion to grammars. */
static json_t *ref_target(const struct walk *w, const char *ref)
{
    json_t *at = w->root;
    if (!text_starts(ref, "#/"))
        return NULL;
    for (const char *part = ref + 2; at != NULL; part += strcspn(part, "/") + 1) {
        char key[LIMIT_SCHEMA_NAME_BYTES + 1];
        size_t n = strcspn(part, "/");
        int64_t index;
        if (n >= sizeof key)
            return NULL;
        memcpy(key, part, n);
        key[n] = '\0';
        if (json_is_array(at))
            at = text_to_i64(key, &index) && index >= 0 ? json_array_get(at, (size_t)index) : NULL;
        else
            at = json_object_get(at, key);
        if (part[n] == '\0')
            break;
    }
    return at;
}

static bool ref_check(struct walk *w, json_t *node, const char *path)
{
    const char *ref;
    json_t *to = node;
    for (int steps = 0; json_object_get(to, "$ref") != NULL; steps++) {
        ref = json_string_value(json_object_get(to, "$ref"));
        if (ref == NULL)
            return refuse(w, path, "\"$ref\" must be a string");
        if (steps > LIMIT_SCHEMA_DEPTH)
            return refuse(w, path, "this \"$ref\" leads in a circle");
        to = ref_target(w, ref);
        if (steps == 0 && to != NULL)
            w->targets[w->n_targets++] = to;
        if (!json_is_object(to))
            return refuse(w, path,
                          "\"$ref\" must lead to a place within this schema, as \"#/$defs/name\"; other documents "
                          "are not fetched, and \"#\" alone is not supported");
    }
    return true;
}

/* ---- kinds of nodes ---- */

static bool node_walk(struct walk *w, json_t *node, const char *parent, const char *key, size_t depth);

static bool object_walk(struct walk *w, json_t *node, const char *path, size_t depth)
{
    json_t *properties = json_object_get(node, "properties");
    json_t *required = json_object_get(node, "required");
    json_t *additional = json_object_get(node, "additionalProperties");
    const char *key;
    json_t *value;
    if (properties != NULL && !json_is_object(properties))
        return refuse(w, path, "\"properties\" must be an object");
    if (json_object_size(properties) > LIMIT_SCHEMA_PROPERTIES)
        return err_param(w->err, w->where,
                         "`%s%s` has %zu properties, at most %d are taken in one object "
                         "(LIMIT_SCHEMA_PROPERTIES)",
                         w->where, path, json_object_size(properties), (int)LIMIT_SCHEMA_PROPERTIES);
    json_object_foreach(properties, key, value)
    {
        if (strlen(key) > LIMIT_SCHEMA_NAME_BYTES)
            return refuse(w, path, "a property's name is longer than LIMIT_SCHEMA_NAME_BYTES");
        if (!node_walk(w, value, path, key, depth))
            return false;
    }
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        bool there = name != NULL && json_object_get(properties, name) != NULL;
        if (!there && w->mode == SCHEMA_STRICT)
            return refuse(w, path, "\"required\" names a property that \"properties\" does not have");
    }
    if (additional != NULL && !json_is_boolean(additional) &&
        !node_walk(w, additional, path, "additionalProperties", depth))
        return false;
    return true;
}

/* A count that a grammar can repeat; larger ones as the largest when lenient. */
static bool count_check(struct walk *w, json_t *node, const char *path, const char *key)
{
    json_t *value = json_object_get(node, key);
    char why[128];
    if (value == NULL)
        return true;
    double n = json_is_number(value) ? json_number_value(value) : -1;
    if (n < 0 || n != floor(n)) {
        (void)text_format(why, sizeof why, "\"%s\" must be a whole number from 0", key);
        return refuse(w, path, why);
    }
    if (n > LIMIT_SCHEMA_COUNT && w->mode == SCHEMA_STRICT) {
        (void)text_format(why, sizeof why, "\"%s\" is above %d (LIMIT_SCHEMA_COUNT)", key, (int)LIMIT_SCHEMA_COUNT);
        return refuse(w, path, why);
    }
    if (n > LIMIT_SCHEMA_COUNT)
        json_object_del(node, key);
    else
        json_object_set_new(node, key, json_integer((json_int_t)n));
    return true;
}

static bool counts_check(struct walk *w, json_t *node, const char *path, const char *low, const char *high)
{
    if (!count_check(w, node, path, low) || !count_check(w, node, path, high))
        return false;
    const json_t *min = json_object_get(node, low);
    const json_t *max = json_object_get(node, high);
    if (min != NULL && max != NULL && json_integer_value(min) > json_integer_value(max)) {
        char why[128];
        (void)text_format(why, sizeof why, "\"%s\" is above \"%s\": nothing fits", low, high);
        return refuse(w, path, why);
    }
    return true;
}

static bool array_walk(struct walk *w, json_t *node, const char *path, size_t depth)
{
    static const char *const lists[] = {"items", "prefixItems"};
    for (size_t i = 0; i < 2; i++) {
        json_t *items = json_object_get(node, lists[i]);
        if (items != NULL && json_is_boolean(items)) { /* true: anything; false: the list before it is all */
            json_object_del(node, lists[i]);
            continue;
        }
        for (size_t k = 0; k < json_array_size(items); k++)
            if (!node_walk(w, json_array_get(items, k), path, lists[i], depth))
                return false;
        if (items != NULL && !json_is_array(items) && !node_walk(w, items, path, lists[i], depth))
            return false;
    }
    if (json_object_get(node, "prefixItems") != NULL && json_object_get(node, "items") != NULL &&
        !keyword_drop(w, node, path, "items"))
        return false;
    return counts_check(w, node, path, "minItems", "maxItems");
}

static const struct format {
    const char *name;
    const char *pattern; /* NULL: the conversion to grammars has it */
} formats[] = {
    {"date-time", NULL},
    {"date", NULL},
    {"time", NULL},
    {"uuid", NULL},
    {"email",
     "^[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]*"
     "[A-Za-z0-9])?)+$"},
    {"hostname", "^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"},
    {"ipv4", "^(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(\\.(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])){3}$"},
    {"ipv6", "^[0-9a-fA-F]{1,4}(:[0-9a-fA-F]{1,4}){7}$"}, /* the long form: one of the ways to write each */
    {"duration",
     "^P([0-9]+W|[0-9]+Y([0-9]+M)?([0-9]+D)?(T[0-9]+H([0-9]+M)?([0-9]+S)?)?|[0-9]+M([0-9]+D)?|[0-9]+D(T[0-9]"
     "+H([0-9]+M)?([0-9]+S)?)?|T([0-9]+H([0-9]+M)?([0-9]+S)?|[0-9]+M([0-9]+S)?|[0-9]+S))$"},
    {"uri", "^[a-z][a-z0-9+.-]*://[^\\x00-\\x20\"<>\\\\^`{|}\\x7F]+$"},
};

static bool format_check(struct walk *w, json_t *node, const char *path)
{
    const char *name = json_string_value(json_object_get(node, "format"));
    if (name == NULL)
        return json_object_get(node, "format") == NULL || refuse(w, path, "\"format\" must be a string");
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (strcmp(name, formats[i].name) != 0)
            continue;
        if (json_object_get(node, "pattern") != NULL)
            return keyword_drop(w, node, path, "format");
        if (formats[i].pattern != NULL) {
            json_object_set_new(node, "pattern", json_string(formats[i].pattern));
            json_object_del(node, "format");
        }
        return true;
    }
    char why[160];
    (void)text_format(why, sizeof why, "the format \"%.48s\" is not supported: leave it out", name);
    if (w->mode == SCHEMA_STRICT)
        return refuse(w, path, why);
    json_object_del(node, "format");
    return true;
}

static bool string_walk(struct walk *w, json_t *node, const char *path)
{
    if (!format_check(w, node, path) || !counts_check(w, node, path, "minLength", "maxLength"))
        return false;
    json_t *pattern = json_object_get(node, "pattern");
    if (pattern == NULL)
        return true;
    if (!json_is_string(pattern))
        return refuse(w, path, "\"pattern\" must be a string");
    static const char *const beside[] = {"minLength", "maxLength", "format"};
    for (size_t i = 0; i < 3; i++)
        if (json_object_get(node, beside[i]) != NULL && !keyword_drop(w, node, path, beside[i]))
            return false;
    char why[128];
    _cleanup_free_ char *plain = pattern_plain(json_string_value(pattern), why, sizeof why);
    if (plain != NULL) {
        json_object_set_new(node, "pattern", json_string(plain));
        return true;
    }
    if (w->mode == SCHEMA_STRICT) {
        char all[200];
        (void)text_format(all, sizeof all, "the pattern is not supported: %s", why);
        return refuse(w, path, all);
    }
    json_object_del(node, "pattern");
    return true;
}

/* Bounds are held for integers; of other numbers a grammar cannot compare the size. */
static bool number_walk(struct walk *w, json_t *node, const char *path, bool integer)
{
    static const char *const bounds[] = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"};
    for (size_t i = 0; i < 4; i++) {
        json_t *value = json_object_get(node, bounds[i]);
        if (value == NULL)
            continue;
        if (!json_is_number(value)) {
            char why[96];
            (void)text_format(why, sizeof why, "\"%s\" must be a number", bounds[i]);
            return refuse(w, path, why);
        }
        if ((!integer || fabs(json_number_value(value)) > 1e15) && !keyword_drop(w, node, path, bounds[i]))
            return false;
    }
    return true;
}

static bool type_has(const json_t *type, const char *name)
{
    if (json_is_string(type))
        return strcmp(json_string_value(type), name) == 0;
    for (size_t i = 0; i < json_array_size(type); i++)
        if (type_has(json_array_get(type, i), name))
            return true;
    return false;
}

static bool type_check(const struct walk *w, const json_t *node, const char *path)
{
    static const char *const types[] = {"object", "string", "array", "integer", "number", "boolean", "null"};
    const json_t *type = json_object_get(node, "type");
    size_t n = json_is_array(type) ? json_array_size(type) : 1;
    for (size_t i = 0; type != NULL && i < n; i++) {
        const json_t *one = json_is_array(type) ? json_array_get(type, i) : type;
        bool known = false;
        for (size_t k = 0; json_is_string(one) && k < sizeof types / sizeof types[0]; k++)
            known = known || strcmp(types[k], json_string_value(one)) == 0;
        if (!known)
            return refuse(w, path,
                          "\"type\" must be object, array, string, integer, number, boolean or null, or several of "
                          "them");
    }
    return type == NULL || n > 0 || refuse(w, path, "\"type\" is an empty list: nothing fits");
}

static bool choice_walk(struct walk *w, json_t *node, const char *path, const char *key, size_t depth)
{
    json_t *list = json_object_get(node, key);
    char why[96];
    if (list == NULL)
        return true;
    (void)text_format(why, sizeof why, "\"%s\" must be a list of schemas, not an empty one", key);
    if (!json_is_array(list) || json_array_size(list) == 0)
        return refuse(w, path, why);
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!node_walk(w, json_array_get(list, i), path, key, depth))
            return false;
    return true;
}

static bool enum_check(struct walk *w, json_t *node, const char *path)
{
    const json_t *list = json_object_get(node, "enum");
    if (list == NULL)
        return true;
    if (!json_is_array(list) || json_array_size(list) == 0)
        return refuse(w, path, "\"enum\" must be a list, not an empty one");
    return json_array_size(list) <= LIMIT_SCHEMA_ENUM ||
           refuse(w, path, "\"enum\" has more entries than are taken (LIMIT_SCHEMA_ENUM)");
}

static bool defs_walk(struct walk *w, json_t *node, const char *path, const char *key, size_t depth)
{
    json_t *defs = json_object_get(node, key);
    const char *name;
    json_t *value;
    json_object_foreach(defs, name, value)
    {
        if (!node_walk(w, value, path, name, depth))
            return false;
    }
    return true;
}

/* What stands beside a keyword that decides alone would be ignored by the conversion. */
static bool beside_check(struct walk *w, json_t *node, const char *path)
{
    static const char *const alone[] = {"$ref", "anyOf", "oneOf", "allOf"};
    static const char *const deciding[] = {"properties", "items", "enum", "const", "pattern", "prefixItems"};
    for (size_t i = 0; i < 4; i++) {
        if (json_object_get(node, alone[i]) == NULL)
            continue;
        for (size_t k = 0; k < sizeof deciding / sizeof deciding[0]; k++) {
            char why[160];
            (void)text_format(why, sizeof why, "\"%s\" beside \"%s\" is not supported: write one of them", deciding[k],
                              alone[i]);
            if (json_object_get(node, deciding[k]) != NULL && w->mode == SCHEMA_STRICT)
                return refuse(w, path, why);
        }
        return true;
    }
    return true;
}

/* allOf becomes one object when its parts are objects and references to them; the conversion ignores the rest. */
static bool all_of_check(const struct walk *w, const json_t *node, const char *path)
{
    const json_t *list = json_object_get(node, "allOf");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *part = json_array_get(list, i);
        for (int steps = 0; json_object_get(part, "$ref") != NULL && steps <= LIMIT_SCHEMA_DEPTH; steps++) {
            const char *ref = json_string_value(json_object_get(part, "$ref"));
            part = ref == NULL ? NULL : ref_target(w, ref);
        }
        if (json_object_get(part, "properties") == NULL && w->mode == SCHEMA_STRICT)
            return refuse(w, path, "\"allOf\" is supported for objects with \"properties\" alone");
    }
    return true;
}

static bool parts_walk(struct walk *w, json_t *node, const char *path, size_t depth)
{
    const json_t *type = json_object_get(node, "type");
    bool any = type == NULL;
    if (json_object_get(node, "const") != NULL)
        return true;
    return (!(any || type_has(type, "object")) || object_walk(w, node, path, depth)) &&
           (!(any || type_has(type, "array")) || array_walk(w, node, path, depth)) &&
           (!(any || type_has(type, "string")) || string_walk(w, node, path)) &&
           number_walk(w, node, path, type_has(type, "integer") && !type_has(type, "number"));
}

static bool node_check(struct walk *w, json_t *node, const char *path, size_t depth)
{
    return keywords_check(w, node, path) && type_check(w, node, path) && ref_check(w, node, path) &&
           beside_check(w, node, path) && enum_check(w, node, path) && defs_walk(w, node, path, "$defs", depth) &&
           defs_walk(w, node, path, "definitions", depth) && all_of_check(w, node, path) &&
           choice_walk(w, node, path, "anyOf", depth) && choice_walk(w, node, path, "oneOf", depth) &&
           choice_walk(w, node, path, "allOf", depth) && parts_walk(w, node, path, depth);
}

/* A schema at PARENT.KEY. Messages have the beginning of a long path. */
static bool node_walk(struct walk *w, json_t *node, const char *parent, const char *key, size_t depth)
{
    char path[PATH_MAX_BYTES];
    (void)text_format(path, sizeof path, "%s.%s", parent, key);
    if (json_is_boolean(node) && w->mode == SCHEMA_LENIENT)
        return true;
    if (!json_is_object(node))
        return refuse(w, path, "a schema must be an object");
    if (depth == LIMIT_SCHEMA_DEPTH)
        return refuse(w, path, "it is nested deeper than LIMIT_SCHEMA_DEPTH");
    if (w->nodes == LIMIT_SCHEMA_NODES)
        return err_param(w->err, w->where, "`%s` has more than %d schemas within it (LIMIT_SCHEMA_NODES)", w->where,
                         (int)LIMIT_SCHEMA_NODES);
    w->seen[w->nodes++] = node;
    return node_check(w, node, path, depth + 1);
}

static bool targets_seen(const struct walk *w)
{
    for (size_t i = 0; i < w->n_targets; i++) {
        bool seen = false;
        for (size_t k = 0; !seen && k < w->nodes; k++)
            seen = w->seen[k] == w->targets[i];
        if (!seen)
            return refuse(w, "", "a \"$ref\" leads to a place that is no schema; \"$defs\" is where such places are");
    }
    return true;
}

bool schema_prepare(json_t *schema, const char *where, enum schema_mode mode, struct err *err)
{
    if (!json_is_object(schema))
        return err_param(err, where, "`%s` must be an object (got %s)", where, json_kind(schema));
    _cleanup_free_ struct walk *w = check_alloc(calloc(1, sizeof *w));
    w->root = schema;
    w->where = where;
    w->mode = mode;
    w->err = err;
    w->seen[w->nodes++] = schema;
    return node_check(w, schema, "", 0) && targets_seen(w);
}
