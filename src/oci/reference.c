/* oci/reference.c: cuts a name from its right end (digest, tag) and its left end (registry); what is left is the
 * repository. Each part has its own check, so that the message names the part. */
#include "oci/reference.h"

#include "base/limits.h"
#include "base/text.h"
#include "oci/digest.h"

#include <ctype.h>
#include <string.h>

#define REFERENCE_REGISTRY "docker.io"
#define REFERENCE_HUB      "huggingface.co"
#define REFERENCE_ORG      "ai"
#define REFERENCE_TAG      "latest"

enum { REFERENCE_NAME_MAX = 255, REFERENCE_TAG_MAX = 128, REFERENCE_SHOWN = 100 };

static const char reference_lower[] = "abcdefghijklmnopqrstuvwxyz0123456789";
static const char reference_alnum[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/* Names come from outside: what is shown in a message is printable and short. */
static bool reference_refuse(struct err *err, const char *text, const char *why)
{
    char shown[REFERENCE_SHOWN + 4];
    size_t n = 0;
    for (; text[n] != '\0' && n < REFERENCE_SHOWN; n++)
        shown[n] = isprint((unsigned char)text[n]) ? text[n] : '?';
    memcpy(shown + n, text[n] == '\0' ? "" : "...", text[n] == '\0' ? 1 : 4);
    return err_set(err, ERR_INVALID, "\"%s\" is not a model name: %s", shown, why);
}

static void reference_fold(char *s)
{
    for (; *s != '\0'; s++)
        *s = (char)tolower((unsigned char)*s);
}

/* [a-z0-9]+ joined by one `.`, one or two `_`, or any number of `-`. */
static bool reference_component(const char *s, size_t n)
{
    size_t i = 0;
    for (;;) {
        size_t run = strspn(s + i, reference_lower);
        if (run == 0 || i + run > n)
            return false;
        i += run;
        if (i == n)
            return true;
        size_t dashes = strspn(s + i, "-");
        size_t lows = strspn(s + i, "_");
        if (dashes > 0)
            i += dashes;
        else if (lows == 1 || lows == 2)
            i += lows;
        else if (s[i] == '.')
            i++;
        else
            return false;
        if (i >= n)
            return false;
    }
}

static bool reference_repository(const char *s)
{
    for (;;) {
        size_t n = strcspn(s, "/");
        if (!reference_component(s, n))
            return false;
        if (s[n] == '\0')
            return true;
        s += n + 1;
    }
}

static bool reference_tag(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n > REFERENCE_TAG_MAX || s[0] == '.' || s[0] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if (strchr(reference_alnum, s[i]) == NULL && strchr("._-", s[i]) == NULL)
            return false;
    return true;
}

static bool reference_port(const char *s)
{
    int64_t port = 0;
    return strspn(s, "0123456789") == strlen(s) && text_to_i64(s, &port) && port >= 1 && port <= 65535;
}

static bool reference_ipv6(const char *s)
{
    size_t n = strspn(s + 1, "0123456789abcdefABCDEF:");
    const char *rest = s + 1 + n;
    if (n < 2 || *rest != ']')
        return false;
    return rest[1] == '\0' || (rest[1] == ':' && reference_port(rest + 2));
}

/* A DNS name or IPv4 address, or [IPv6]; then maybe a port. */
static bool reference_registry(const char *s)
{
    if (s[0] == '[')
        return reference_ipv6(s);
    for (;;) {
        size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-");
        if (n == 0 || n > 63 || s[0] == '-' || s[n - 1] == '-')
            return false;
        if (s[n] == '\0')
            return true;
        if (s[n] == ':')
            return reference_port(s + n + 1);
        if (s[n] != '.')
            return false;
        s += n + 1;
    }
}

static bool reference_cut_digest(char *name, struct reference *r, const char *text, struct err *err)
{
    char *at = strchr(name, '@');
    if (at == NULL)
        return true;
    *at = '\0';
    if (!digest_valid(at + 1))
        return reference_refuse(err, text, "what follows @ must be sha256: and 64 digits of 0-9a-f");
    return text_format(r->digest, sizeof r->digest, "%s", at + 1);
}

static bool reference_cut_tag(char *name, struct reference *r, const char *text, struct err *err)
{
    char *slash = strrchr(name, '/');
    char *colon = strrchr(slash != NULL ? slash : name, ':');
    const char *tag = REFERENCE_TAG;
    if (colon != NULL) {
        *colon = '\0';
        if (colon[1] != '\0')
            tag = colon + 1;
    }
    if (!reference_tag(tag))
        return reference_refuse(err, text, "a tag has at most 128 of A-Z a-z 0-9 . _ - and begins with none of . -");
    return r->digest[0] != '\0' || text_format(r->tag, sizeof r->tag, "%s", tag);
}

static const char *reference_alias(const char *registry)
{
    if (text_equal_nocase(registry, "hf.co"))
        return REFERENCE_HUB;
    return text_equal_nocase(registry, "index.docker.io") ? REFERENCE_REGISTRY : registry;
}

/* Registry and repository from `name`, defaults filled in, both folded to lower case. */
static bool reference_split(const char *name, struct reference *r, const char *text, struct err *err)
{
    static const char too_long[] = "registry and name together are longer than 255 characters";
    size_t first = strcspn(name, "/");
    char head[REFERENCE_NAME_MAX + 1] = "";
    if (strlen(name) > REFERENCE_NAME_MAX)
        return reference_refuse(err, text, too_long);
    memcpy(head, name, first);
    bool has_registry = name[first] == '/' && (strpbrk(head, ".:") != NULL || text_equal_nocase(head, "localhost"));
    const char *registry = has_registry ? reference_alias(head) : REFERENCE_REGISTRY;
    const char *path = has_registry ? name + first + 1 : name;
    if (has_registry && !reference_registry(head))
        return reference_refuse(err, text, "the part before the first / is not a host name with an optional port");
    bool needs_org = strchr(path, '/') == NULL && text_equal_nocase(registry, REFERENCE_REGISTRY);
    if (!text_format(r->registry, sizeof r->registry, "%s", registry) ||
        !text_format(r->repository, sizeof r->repository, "%s%s", needs_org ? REFERENCE_ORG "/" : "", path) ||
        strlen(r->registry) + 1 + strlen(r->repository) > REFERENCE_NAME_MAX)
        return reference_refuse(err, text, too_long);
    reference_fold(r->registry);
    reference_fold(r->repository);
    if (!reference_repository(r->repository))
        return reference_refuse(err, text,
                                "the parts of a name are a-z 0-9, joined by . _ __ or -, with / between the parts");
    return true;
}

bool reference_parse(const char *text, struct reference *ret_ref, struct err *err)
{
    char name[LIMIT_REFERENCE_BYTES + 1];
    struct reference r = {0};
    const char *from = text + strspn(text, " \t\r\n");
    size_t n = strlen(from);
    while (n > 0 && strchr(" \t\r\n", from[n - 1]) != NULL)
        n--;
    if (n == 0)
        return err_set(err, ERR_INVALID, "the model name is empty; give one such as ai/smollm2");
    if (n > LIMIT_REFERENCE_BYTES)
        return reference_refuse(err, from, "it is longer than 512 bytes");
    memcpy(name, from, n);
    name[n] = '\0';
    if (strstr(name, "://") != NULL)
        return reference_refuse(err, name, "leave the scheme out; write registry.example.com/name:tag");
    if (reference_is_id(name))
        return reference_refuse(err, name,
                                "it is a model's id; put a registry or organisation before it to mean a name");

    char parts[LIMIT_REFERENCE_BYTES + 1];
    memcpy(parts, name, n + 1);
    if (!reference_cut_digest(parts, &r, name, err) || !reference_cut_tag(parts, &r, name, err) ||
        !reference_split(parts, &r, name, err))
        return false;
    bool fits = r.digest[0] != '\0' ? text_format(r.text, sizeof r.text, "%s/%s@%s", r.registry, r.repository, r.digest)
                                    : text_format(r.text, sizeof r.text, "%s/%s:%s", r.registry, r.repository, r.tag);
    if (!fits)
        return reference_refuse(err, name, "it is longer than 512 bytes");
    *ret_ref = r;
    return true;
}

bool reference_is_id(const char *text)
{
    size_t n = strlen(text);
    return digest_valid(text) || ((n == 12 || n == 64) && strspn(text, "0123456789abcdef") == n);
}

void reference_display(const char *full, char dst[512])
{
    static const char *const prefixes[] = {"index.docker.io/", REFERENCE_REGISTRY "/"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        if (text_starts(full, prefixes[i])) {
            full += strlen(prefixes[i]);
            break;
        }
    }
    if (text_starts(full, REFERENCE_ORG "/"))
        full += strlen(REFERENCE_ORG "/");
    int n = (int)strlen(full);
    if (text_ends(full, ":" REFERENCE_TAG))
        n -= (int)strlen(":" REFERENCE_TAG);
    text_format(dst, 512, "%.*s", n, full);
}
