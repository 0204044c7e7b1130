/* http/server/route.c: which row answers a path. Only strings: its test and fuzz target need no server. */
#include "base/limits.h"
#include "base/text.h"
#include "http/server/exchange.h"

#include <string.h>

/* ---- paths ------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int route_escape(const char *text)
{
    int high = hex_digit(text[1]);
    int low = high < 0 ? -1 : hex_digit(text[2]);
    return low < 0 ? -1 : high * 16 + low;
}

/* One character of the path at *raw, decoded; -1: a broken escape. Moves *raw. */
static int path_next(const char **raw)
{
    const char *p = *raw;
    *raw = p + (*p == '%' ? 3 : 1);
    return *p == '%' ? route_escape(p) : (unsigned char)*p;
}

static bool path_has_dotdot(const char *path)
{
    for (const char *p = strstr(path, "/.."); p != NULL; p = strstr(p + 1, "/.."))
        if (p[3] == '/' || p[3] == '\0')
            return true;
    return false;
}

bool http_path_normalise(const char *raw, struct arena *a, const char **ret_path, struct err *err)
{
    size_t max = strcspn(raw, "?");
    if (raw[0] != '/')
        return err_set(err, ERR_INVALID, "the request's path must begin with '/'");
    if (max > LIMIT_PATH_BYTES)
        return err_set(err, ERR_INVALID, "the request's path is longer than %d bytes", LIMIT_PATH_BYTES);
    char *path = arena_alloc(a, max + 1);
    size_t n = 0;
    for (const char *end = raw + max; raw < end;) {
        int c = path_next(&raw);
        if (c < 0)
            return err_set(err, ERR_INVALID, "the request's path has a '%%' without two hexadecimal digits");
        if (c < 0x20 || c == 0x7f)
            return err_set(err, ERR_INVALID, "the request's path has a control character");
        if (c == '/' && n > 0 && path[n - 1] == '/')
            continue;
        path[n++] = (char)c;
    }
    path[n] = '\0';
    if (!text_utf8_valid(path, n))
        return err_set(err, ERR_INVALID, "the request's path is not valid UTF-8");
    if (path_has_dotdot(path))
        return err_set(err, ERR_INVALID, "the request's path has a '..' segment");
    *ret_path = path;
    return true;
}

/* ---- patterns ---------------------------------------------------------------------------------- */

struct route_match {
    size_t n;
    struct {
        const char *text;
        size_t len;
    } found[HTTP_PARAMS_MAX];
};

static bool route_match_from(const char *pattern, const char *path, struct route_match *m);

/* `pattern` stands on a `{`. The longest text that lets the rest match wins, so that a model's name may have slashes.
 */
static bool route_match_param(const char *pattern, const char *path, struct route_match *m)
{
    const char *end = strchr(pattern, '}');
    if (end == NULL || m->n == HTTP_PARAMS_MAX)
        return false;
    bool many = end - pattern > 3 && memcmp(end - 3, "...", 3) == 0;
    size_t mine = m->n++;
    size_t longest = many ? strlen(path) : strcspn(path, "/");
    for (size_t len = path[0] == '/' ? 0 : longest; len > 0; len--) {
        if (path[len - 1] == '/')
            continue;
        m->found[mine].text = path;
        m->found[mine].len = len;
        if (route_match_from(end + 1, path + len, m))
            return true;
        m->n = mine + 1;
    }
    m->n = mine;
    return false;
}

/* Recursion: once a parameter, of which there are at most HTTP_PARAMS_MAX. */
static bool route_match_from(const char *pattern, const char *path, struct route_match *m)
{
    for (; *pattern != '\0'; pattern++, path++) {
        if (*pattern == '{')
            return route_match_param(pattern, path, m);
        if (*pattern != *path)
            return false;
    }
    return *path == '\0';
}

bool http_route_match(const char *pattern, const char *path, struct arena *a, const char *params[HTTP_PARAMS_MAX])
{
    struct route_match m = {0};
    if (!route_match_from(pattern, path, &m))
        return false;
    for (size_t i = 0; i < HTTP_PARAMS_MAX; i++)
        params[i] = i < m.n ? arena_strndup(a, m.found[i].text, m.found[i].len) : NULL;
    return true;
}

const struct http_route *route_find(const struct http_route *routes, enum http_method method, const char *path,
                                    struct arena *a, const char *params[HTTP_PARAMS_MAX], int *ret_methods)
{
    int methods = 0;
    for (const struct http_route *r = routes; r->pattern != NULL; r++) {
        struct route_match m = {0};
        if (!route_match_from(r->pattern, path, &m))
            continue;
        methods |= r->methods;
        if ((r->methods & (int)method) != 0 && http_route_match(r->pattern, path, a, params))
            return r;
    }
    *ret_methods = methods;
    return NULL;
}

/* ---- methods ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum http_method method;
} route_methods[] = {
    {"GET", HTTP_GET},   {"HEAD", HTTP_GET}, /* libmicrohttpd leaves the body away */
    {"POST", HTTP_POST}, {"DELETE", HTTP_DELETE}, {"PUT", HTTP_PUT},
};

bool route_method_parse(const char *name, enum http_method *ret_method)
{
    for (size_t i = 0; i < sizeof route_methods / sizeof route_methods[0]; i++) {
        if (strcmp(name, route_methods[i].name) == 0) {
            *ret_method = route_methods[i].method;
            return true;
        }
    }
    return false;
}

void route_methods_text(int methods, char *dst, size_t size)
{
    size_t n = 0;
    dst[0] = '\0';
    for (size_t i = 0; i < sizeof route_methods / sizeof route_methods[0]; i++) {
        if ((methods & (int)route_methods[i].method) == 0 || n >= size)
            continue;
        text_format(dst + n, size - n, "%s%s", n > 0 ? ", " : "", route_methods[i].name);
        n = strlen(dst);
    }
}
