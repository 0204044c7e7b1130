/* cli/daemon_locate.c: where the daemon is: MODEL_RUNNER_HOST, the current context, this machine's own. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/contexts.h"
#include "platform/clock.h"
#include "platform/process.h"
#include "platform/socket.h"
#include "json/json_read.h"

#include <string.h>
#include <unistd.h>

/* `said`: who names that host, for the message. */
static bool locate_host(struct cli *cli, const char *host, bool tls, const char *said, struct err *err)
{
    cli->named = true;
    cli->socket[0] = '\0';
    if (text_starts(host, "unix:")) {
        const char *path = host + 5;
        while (path[0] == '/' && path[1] == '/')
            path++;
        if (!text_format(cli->socket, sizeof cli->socket, "%s", path))
            return err_set(err, ERR_INVALID, "%s: the socket path %s is longer than %zu bytes", said, path,
                           sizeof cli->socket - 1);
        return text_format(cli->base_url, sizeof cli->base_url, "http://localhost");
    }
    const char *scheme = strstr(host, "://") != NULL ? "" : tls ? "https://" : "http://";
    struct http_url url;
    if (!text_format(cli->base_url, sizeof cli->base_url, "%s%s", scheme, host) ||
        !http_url_parse(cli->base_url, &url, NULL))
        return err_set(err, ERR_INVALID, "%s=%s is not an address: use http://HOST:PORT or unix:/PATH", said, host);
    size_t n = strlen(cli->base_url);
    while (n > 0 && cli->base_url[n - 1] == '/')
        cli->base_url[--n] = '\0';
    return true;
}

/* The environment's word, else the context's. */
static bool locate_bool(const char *variable, const json_t *tls, const char *key, bool *ret, struct err *err)
{
    const char *text = process_env(variable);
    *ret = json_is_true(json_object_get(tls, key));
    if (text != NULL && !text_to_bool(text, ret))
        return err_set(err, ERR_INVALID, "%s=%s must be true or false", variable, text);
    return true;
}

static bool locate_tls(struct cli *cli, const json_t *tls, bool *ret_tls, struct err *err)
{
    const char *ca = process_env("MODEL_RUNNER_TLS_CA_CERT");
    if (ca == NULL)
        ca = json_string_value(json_object_get(tls, "caCert"));
    if (!text_format(cli->ca_cert, sizeof cli->ca_cert, "%s", ca == NULL ? "" : ca))
        return err_set(err, ERR_INVALID, "the path of the CA certificate is too long");
    return locate_bool("MODEL_RUNNER_TLS", tls, "enabled", ret_tls, err) &&
           locate_bool("MODEL_RUNNER_TLS_SKIP_VERIFY", tls, "skipVerify", &cli->tls_any, err);
}

/* *ret_named: it has said where. False without that: the context is `default`. */
static bool locate_context(struct cli *cli, bool *ret_named, struct err *err)
{
    char said[240];
    bool tls = false;
    _cleanup_(json_free) json_t *root = NULL;
    if (!contexts_read(cli->docker_config, &root, err))
        return false;
    const char *name = contexts_current(root);
    const json_t *context = contexts_find(root, name);
    if (strcmp(name, CONTEXT_DEFAULT) == 0)
        return true;
    if (context == NULL)
        return err_set(err, ERR_NOT_FOUND,
                       "the current context \"%s\" does not exist; choose another with '%s context use'", name,
                       cli->program);
    const char *host = json_string_value(json_object_get(context, "host"));
    text_format(cli->context, sizeof cli->context, "%s", name);
    text_format(said, sizeof said, "context \"%s\": host", name);
    *ret_named = true;
    return locate_tls(cli, json_object_get(context, "tls"), &tls, err) && locate_host(cli, host, tls, said, err);
}

bool cli_locate(struct cli *cli, struct err *err)
{
    const char *host = process_env("MODEL_RUNNER_HOST");
    bool tls = false, named = false;
    if (host != NULL)
        return locate_tls(cli, NULL, &tls, err) && locate_host(cli, host, tls, "MODEL_RUNNER_HOST", err);
    if (!locate_context(cli, &named, err))
        return false;
    if (named)
        return true;
    text_format(cli->base_url, sizeof cli->base_url, "%s", CLI_DEFAULT_HOST);
    int fd = -1;
    bool fits = text_format(cli->socket, sizeof cli->socket, "%s/run/tug.sock", cli->home);
    if (fits && socket_connect_unix(cli->socket, &fd, NULL))
        close(fd);
    else if (!fits || process_env("TUG_HOME") == NULL) /* who names a home means it, not whoever has the port */
        cli->socket[0] = '\0';
    return true;
}

bool cli_external(struct cli *cli, const char *url, struct err *err)
{
    struct http_url parts;
    size_t n = strlen(url);
    while (n > 0 && url[n - 1] == '/')
        n--;
    if (!text_format(cli->base_url, sizeof cli->base_url, "%.*s", (int)n, url) || !http_url_parse(url, &parts, NULL))
        return err_set(err, ERR_INVALID, "--openaiurl: %s is not an address such as http://HOST:PORT/v1", url);
    cli->socket[0] = '\0';
    cli->named = cli->external = true;
    return true;
}

bool cli_reachable(struct cli *cli)
{
    int fd = -1;
    struct http_url url;
    bool ok = cli->socket[0] != '\0' ? socket_connect_unix(cli->socket, &fd, NULL)
                                     : http_url_parse(cli->base_url, &url, NULL) &&
                                           socket_connect_tcp(url.host, url.port, CLOCK_SECOND, &fd, NULL);
    if (ok)
        close(fd);
    return ok;
}
