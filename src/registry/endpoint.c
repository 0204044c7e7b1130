/* registry/endpoint.c: a registry's name as something to dial, and the registry object itself. */
#include "registry/registry_state.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "platform/file.h"
#include "platform/socket.h"

#include <stdlib.h>
#include <string.h>

#define HUB_API "registry-1.docker.io"

/* "host", "host:port" or "[v6]:port" without its port. */
static void host_alone(const char *host, char *dst, size_t size)
{
    const char *colon = strrchr(host, ':');
    bool port = colon != NULL && strchr(colon, ']') == NULL;
    text_format(dst, size, "%.*s", port ? (int)(colon - host) : (int)strlen(host), host);
}

/* Loopback always; else host or host:port as listed. */
static bool plain_allowed(const char *host, const char *const *insecure)
{
    char alone[300];
    host_alone(host, alone, sizeof alone);
    if (socket_is_loopback(alone))
        return true;
    for (; insecure != NULL && *insecure != NULL; insecure++)
        if (text_equal_nocase(*insecure, host) || text_equal_nocase(*insecure, alone))
            return true;
    return false;
}

struct found_ca {
    const char *folder;
    char *path;
};

static bool take_ca(void *ctx, const char *name)
{
    struct found_ca *found = ctx;
    char path[4096];
    if (!text_ends(name, ".crt") || !text_format(path, sizeof path, "%s/%s", found->folder, name))
        return true;
    found->path = check_alloc(strdup(path));
    return false;
}

/* Docker's and podman's folders of certificates for one host. */
static char *ca_find(const char *host)
{
    _cleanup_free_ char *home = file_home_dir();
    const char *const folders[][2] = {
        {home, "/.config/docker/certs.d"},
        {home, "/.config/containers/certs.d"},
        {"", "/etc/docker/certs.d"},
        {"", "/etc/containers/certs.d"},
    };
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        char folder[4096];
        struct found_ca found = {.folder = folder};
        if (text_format(folder, sizeof folder, "%s%s/%s", folders[i][0], folders[i][1], host) &&
            file_list(folder, take_ca, &found, NULL) && found.path != NULL)
            return found.path;
    }
    return NULL;
}

/* A mirror may be a whole URL with a path; "/v2" and slashes at its end are cut. */
static bool split_url(const char *text, char *host, size_t host_size, char *path, size_t path_size, bool *ret_http)
{
    const char *rest = strstr(text, "://");
    *ret_http = rest != NULL && text_starts(text, "http://");
    if (rest != NULL && !*ret_http && !text_starts(text, "https://"))
        return false;
    rest = rest == NULL ? text : rest + 3;
    size_t n = strcspn(rest, "/");
    if (n == 0 || !text_format(host, host_size, "%.*s", (int)n, rest) || !text_format(path, path_size, "%s", rest + n))
        return false;
    for (;;) {
        size_t len = strlen(path);
        if (len > 0 && path[len - 1] == '/')
            path[len - 1] = '\0';
        else if (text_ends(path, "/v2"))
            path[len - 3] = '\0';
        else
            return strpbrk(path, "?#") == NULL;
    }
}

bool endpoint_init(struct endpoint *e, const char *host_or_url, const char *const *insecure, struct err *err)
{
    static const char *const hub[] = {"docker.io", "index.docker.io", HUB_API};
    char host[300];
    char path[256];
    bool http = false;
    if (!split_url(host_or_url, host, sizeof host, path, sizeof path, &http))
        return err_set(err, ERR_INVALID, "'%.200s' is not the address of a registry", host_or_url);
    e->plain = plain_allowed(host, insecure);
    if (http && !e->plain)
        return err_set(err, ERR_INVALID, "%s is not on this machine; to speak plain http with it, list it as insecure",
                       host);
    if (strstr(host_or_url, "https://") == host_or_url)
        e->plain = false;
    text_format(e->name, sizeof e->name, "%s", host);
    const char *dial = host;
    for (size_t i = 0; i < ARRAY_LEN(hub); i++) {
        if (text_equal_nocase(host, hub[i])) {
            text_format(e->name, sizeof e->name, "%s", hub[0]);
            dial = HUB_API;
        }
    }
    if (!text_format(e->base, sizeof e->base, "%s://%s%s", e->plain ? "http" : "https", dial, path))
        return err_set(err, ERR_INVALID, "the address of a registry is too long");
    if (!http_url_parse(e->base, &e->url, err))
        return err_while(err, "the registry %s", host);
    if (!e->plain)
        e->ca_file = ca_find(host);
    return true;
}

void endpoint_done(struct endpoint *e)
{
    while (e->n_tokens > 0)
        token_drop(e, e->tokens[0].scope);
    credential_done(&e->credential);
    free(e->ca_file);
    e->ca_file = NULL;
}

bool registry_open(const char *host, const struct registry_options *options, struct registry **ret_r, struct err *err)
{
    struct registry *r = check_alloc(calloc(1, sizeof *r));
    bool ok = true;
    struct endpoint own = {0};
    r->cancel_fd = options->cancel_fd;
    r->notice = options->notice;
    r->notice_ctx = options->notice_ctx;
    if (options->bearer_token != NULL && options->bearer_token[0] != '\0')
        r->bearer_token = check_alloc(strdup(options->bearer_token));
    if (r->bearer_token != NULL && strpbrk(r->bearer_token, "\r\n") != NULL)
        ok = err_set(err, ERR_INVALID, "the bearer token has a line break in it");
    ok = ok && endpoint_init(&own, host, options->insecure, err);
    const char *const *mirror = options->mirrors;
    for (; ok && strcmp(own.name, "docker.io") == 0 && mirror != NULL && *mirror != NULL; mirror++) {
        if (r->n_endpoints == REGISTRY_MIRRORS_MAX)
            break;
        struct endpoint *e = &r->endpoints[r->n_endpoints++];
        e->mirror = true;
        ok = endpoint_init(e, *mirror, options->insecure, err) || err_while(err, "the mirror");
    }
    r->endpoints[r->n_endpoints++] = own;
    if (!ok) {
        registry_close(&r);
        return false;
    }
    r->pool = http_pool_new();
    *ret_r = r;
    return true;
}

void registry_close(struct registry **ref)
{
    struct registry *r = *ref;
    *ref = NULL;
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->n_endpoints; i++)
        endpoint_done(&r->endpoints[i]);
    http_pool_free(&r->pool);
    if (r->bearer_token != NULL)
        explicit_bzero(r->bearer_token, strlen(r->bearer_token));
    free(r->bearer_token);
    free(r);
}

bool registry_each(struct registry *r, bool (*step)(struct registry *r, struct endpoint *e, void *ctx, struct err *err),
                   void *ctx, struct err *err)
{
    for (size_t i = 0; i < r->n_endpoints; i++) {
        struct err own = ERR_INIT;
        struct endpoint *e = &r->endpoints[i];
        if (step(r, e, ctx, &own))
            return true;
        if (own.code == ERR_CANCELLED || i + 1 == r->n_endpoints) {
            if (err != NULL)
                *err = own;
            return false;
        }
        registry_notice(r, "the mirror %s cannot help (%s); going on to the next", e->name, own.text);
    }
    return false;
}
