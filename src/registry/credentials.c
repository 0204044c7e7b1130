/* registry/credentials.c: see credentials.h. Keys in these files are "host[:port]", URLs, or (podman) host/path. */
#include "registry/credentials.h"

#include "base/base64.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/process.h"
#include "json/json_read.h"

#include <stdlib.h>
#include <string.h>

#define HUB_HOST "docker.io"
#define HUB_KEY  "https://index.docker.io/v1/"

enum { SECRET_BYTES_MAX = 256 * 1024, CONFIG_BYTES_MAX = 4 * 1024 * 1024, HELPER_SECONDS = 10 };

static void secret_free(char **s)
{
    if (*s != NULL)
        explicit_bzero(*s, strlen(*s));
    free(*s);
    *s = NULL;
}

void credential_done(struct credential *c)
{
    secret_free(&c->user);
    secret_free(&c->password);
    secret_free(&c->identity);
    secret_free(&c->bearer);
}

static char *copy(const char *s) { return check_alloc(strdup(s)); }

/* "https://host:port/v1/" -> "host:port" */
static void key_host(const char *key, char *dst, size_t size)
{
    const char *p = strstr(key, "://");
    p = p == NULL ? key : p + 3;
    text_format(dst, size, "%.*s", (int)strcspn(p, "/"), p);
}

static bool is_hub(const char *host) { return strcmp(host, HUB_HOST) == 0; }

/* How well a key of a file fits: 0 not, 1 as the host of a URL, 2 exactly, above it podman's paths, longest first. */
static size_t key_fit(const char *key, const char *host, const char *repo)
{
    char wanted[600];
    char found[300];
    if (strcmp(key, is_hub(host) ? HUB_KEY : host) == 0)
        return 2;
    key_host(key, found, sizeof found);
    if (is_hub(host) && (strcmp(found, "index.docker.io") == 0 || strcmp(found, "registry-1.docker.io") == 0))
        return 1;
    text_format(wanted, sizeof wanted, "%s/%s", host, repo);
    size_t n = strlen(key);
    if (strstr(key, "://") == NULL && strchr(key, '/') != NULL) /* podman: a path counts, whole parts of it */
        return strncmp(key, wanted, n) == 0 && (wanted[n] == '/' || wanted[n] == '\0') ? 2 + n : 0;
    return strcmp(found, host) == 0 ? 1 : 0;
}

static const json_t *best_entry(const json_t *map, const char *host, const char *repo, const char **ret_key)
{
    const json_t *best = NULL;
    size_t best_fit = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)map, key, value)
    {
        size_t fit = key_fit(key, host, repo);
        if (fit > best_fit) {
            best_fit = fit;
            best = value;
            *ret_key = key;
        }
    }
    return best;
}

static char *string_of(const json_t *entry, const char *key)
{
    const char *s = json_string_value(json_object_get(entry, key));
    return s == NULL || s[0] == '\0' ? NULL : copy(s);
}

/* auths' entry: auth, or username and password; and the tokens. */
static bool entry_read(const json_t *entry, struct credential *ret)
{
    struct credential c = {.identity = string_of(entry, "identitytoken"), .bearer = string_of(entry, "registrytoken")};
    const char *auth = json_string_value(json_object_get(entry, "auth"));
    _cleanup_(buf_done) struct buf plain = BUF_INIT(SECRET_BYTES_MAX);
    char *colon = NULL;
    if (auth != NULL && base64_decode(&plain, auth) && plain.len > 0)
        colon = strchr(plain.data, ':');
    if (colon != NULL) {
        *colon = '\0';
        c.user = copy(plain.data);
        c.password = copy(colon + 1);
        explicit_bzero(plain.data, plain.len);
    } else {
        c.user = string_of(entry, "username");
        c.password = string_of(entry, "password");
    }
    if (c.identity == NULL && c.bearer == NULL && (c.user == NULL || c.password == NULL)) {
        credential_done(&c);
        return false; /* an empty object: the helper has it */
    }
    *ret = c;
    return true;
}

bool credential_pick(const json_t *config, const char *host, const char *repo, struct credential *ret,
                     char **ret_helper, char **ret_key)
{
    const char *key = is_hub(host) ? HUB_KEY : host;
    const char *store = json_string_value(json_object_get(config, "credsStore"));
    const char *found = key;
    const json_t *helper = best_entry(json_object_get(config, "credHelpers"), host, repo, &found);
    const char *suffix = json_string_value(helper);
    if (suffix == NULL)
        found = key;
    const char *in_auths = key;
    const json_t *entry = best_entry(json_object_get(config, "auths"), host, repo, &in_auths);
    if (suffix == NULL && entry != NULL && entry_read(entry, ret))
        return true;
    if (suffix == NULL && store != NULL && store[0] != '\0') {
        suffix = store;
        found = in_auths; /* the key that docker login used */
    }
    if (suffix == NULL)
        return false;
    *ret_helper = copy(suffix);
    *ret_key = copy(found);
    return true;
}

/* The suffix comes from a file: it becomes part of a program's name, and nothing else. */
static bool suffix_ok(const char *suffix)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return suffix[0] != '\0' && strlen(suffix) < 64 && strspn(suffix, allowed) == strlen(suffix);
}

static bool helper_answer(const char *text, size_t n, const char *program, struct credential *ret)
{
    _cleanup_(json_free) json_t *root = NULL;
    struct err err = ERR_INIT;
    if (!json_parse(text, n, &root, &err)) {
        log_warn("a credential helper answered no JSON", "helper=%s", program);
        return false;
    }
    char *user = string_of(root, "Username");
    char *secret = string_of(root, "Secret");
    if (secret == NULL || user == NULL) {
        secret_free(&user);
        secret_free(&secret);
        return false;
    }
    if (strcmp(user, "<token>") == 0) {
        secret_free(&user);
        *ret = (struct credential){.identity = secret};
    } else {
        *ret = (struct credential){.user = user, .password = secret};
    }
    return true;
}

bool credential_ask_helper(const char *suffix, const char *key, struct credential *ret)
{
    char program[128];
    int status = -1;
    struct err err = ERR_INIT;
    _cleanup_(buf_done) struct buf out = BUF_INIT(SECRET_BYTES_MAX);
    if (!suffix_ok(suffix)) {
        log_warn("the name of a credential helper is not allowed", NULL);
        return false;
    }
    text_format(program, sizeof program, "docker-credential-%s", suffix);
    const char *const argv[] = {program, "get", NULL};
    if (!process_run(argv, key, &out, HELPER_SECONDS * CLOCK_SECOND, &status, &err)) {
        log_warn("a credential helper did not work; going on without a login", "helper=%s reason=%s", program,
                 err.text);
        return false;
    }
    bool found = status == 0 && helper_answer(buf_str(&out), out.len, program, ret);
    if (status != 0 && strstr(buf_str(&out), "credentials not found") == NULL) /* that one is an ordinary miss */
        log_warn("a credential helper failed; going on without a login", "helper=%s status=%d", program, status);
    if (out.data != NULL)
        explicit_bzero(out.data, out.len);
    return found;
}

static bool find_in_text(const char *text, size_t n, const char *name, const char *host, const char *repo,
                         struct credential *ret)
{
    _cleanup_(json_free) json_t *config = NULL;
    _cleanup_free_ char *helper = NULL;
    _cleanup_free_ char *key = NULL;
    struct err err = ERR_INIT;
    if (!json_parse(text, n, &config, &err)) {
        log_warn("a credentials file is not JSON", "file=%s reason=%s", name, err.text);
        return false;
    }
    if (!credential_pick(config, host, repo, ret, &helper, &key))
        return false;
    return helper == NULL || credential_ask_helper(helper, key, ret);
}

static bool find_in_file(const char *folder, const char *name, const char *host, const char *repo,
                         struct credential *ret)
{
    char path[4096];
    struct err err = ERR_INIT;
    _cleanup_(buf_done) struct buf text = BUF_INIT(CONFIG_BYTES_MAX);
    if (folder == NULL || !text_format(path, sizeof path, "%s%s", folder, name))
        return false;
    if (!file_read_all(path, CONFIG_BYTES_MAX, &text, &err)) {
        if (err.code != ERR_NOT_FOUND)
            log_warn("a credentials file cannot be read", "reason=%s", err.text);
        return false;
    }
    bool found = find_in_text(buf_str(&text), text.len, path, host, repo, ret);
    if (text.data != NULL)
        explicit_bzero(text.data, text.len);
    return found;
}

static bool find_in_environment(const char *host, struct credential *ret)
{
    static const char *const pairs[][2] = {{"DOCKER_USERNAME", "DOCKER_PASSWORD"},
                                           {"DOCKER_HUB_USER", "DOCKER_HUB_PASSWORD"}};
    for (size_t i = 0; is_hub(host) && i < ARRAY_LEN(pairs); i++) {
        const char *user = process_env(pairs[i][0]);
        const char *password = process_env(pairs[i][1]);
        if (user != NULL && password != NULL) {
            *ret = (struct credential){.user = copy(user), .password = copy(password)};
            return true;
        }
    }
    return false;
}

bool credential_find(const char *host, const char *repo, struct credential *ret)
{
    _cleanup_free_ char *home = file_home_dir();
    const char *inline_config = process_env("DOCKER_AUTH_CONFIG");
    const char *docker = process_env("DOCKER_CONFIG");
    if (find_in_environment(host, ret))
        return true;
    if (inline_config != NULL &&
        find_in_text(inline_config, strlen(inline_config), "DOCKER_AUTH_CONFIG", host, repo, ret))
        return true;
    if (docker != NULL ? find_in_file(docker, "/config.json", host, repo, ret)
                       : find_in_file(home, "/.docker/config.json", host, repo, ret))
        return true;
    return find_in_file(process_env("REGISTRY_AUTH_FILE"), "", host, repo, ret) ||
           find_in_file(process_env("XDG_RUNTIME_DIR"), "/containers/auth.json", host, repo, ret) ||
           find_in_file(home, "/.config/containers/auth.json", host, repo, ret);
}
