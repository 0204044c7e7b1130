/* cli/daemon_call.c: where the daemon is, and calls to it. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/process.h"
#include "platform/socket.h"
#include "json/json_read.h"

#include <stdio.h>
#include <string.h>

enum { DEFAULT_PORT = 12434, PATH_MAX_BYTES = 2048 };

static bool locate_named(struct cli *cli, const char *host, struct err *err)
{
    cli->named = true;
    if (text_starts(host, "unix:")) {
        const char *path = host + 5;
        while (path[0] == '/' && path[1] == '/')
            path++;
        if (!text_format(cli->socket, sizeof cli->socket, "%s", path))
            return err_set(err, ERR_INVALID, "MODEL_RUNNER_HOST: the socket path %s is too long", path);
        return text_format(cli->base_url, sizeof cli->base_url, "http://localhost");
    }
    const char *scheme = strstr(host, "://") == NULL ? "http://" : "";
    struct http_url url;
    if (!text_format(cli->base_url, sizeof cli->base_url, "%s%s", scheme, host) ||
        !http_url_parse(cli->base_url, &url, err))
        return err_set(err, ERR_INVALID, "MODEL_RUNNER_HOST=%s is not an address: use http://HOST:PORT or unix:/PATH",
                       host);
    size_t n = strlen(cli->base_url);
    while (n > 0 && cli->base_url[n - 1] == '/')
        cli->base_url[--n] = '\0';
    return true;
}

bool cli_locate(struct cli *cli, struct err *err)
{
    const char *host = process_env("MODEL_RUNNER_HOST");
    if (host != NULL)
        return locate_named(cli, host, err);
    text_format(cli->base_url, sizeof cli->base_url, "http://localhost:%d", DEFAULT_PORT);
    int fd = -1;
    if (!text_format(cli->socket, sizeof cli->socket, "%s/run/tug.sock", cli->home) ||
        !socket_connect_unix(cli->socket, &fd, NULL))
        cli->socket[0] = '\0';
    else
        close(fd);
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

bool cli_path(char *dst, size_t size, const char *before, const char *name, const char *after)
{
    struct buf b = BUF_INIT(PATH_MAX_BYTES);
    bool ok = buf_add_str(&b, before);
    for (const unsigned char *c = (const unsigned char *)name; ok && *c != '\0'; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
                     strchr("._:/@-", *c) != NULL;
        ok = plain ? buf_add_char(&b, (char)*c) : buf_printf(&b, "%%%02X", *c);
    }
    ok = ok && buf_add_str(&b, after) && text_format(dst, size, "%s", buf_str(&b));
    buf_done(&b);
    return ok;
}

/* The daemon's own words: {"error":{"message"}}, {"error":"…"}, or plain text. */
static enum err_code call_code(int status)
{
    switch (status) {
    case 401:
        return ERR_UNAUTHORIZED;
    case 403:
        return ERR_FORBIDDEN;
    case 404:
        return ERR_NOT_FOUND;
    case 409:
        return ERR_CONFLICT;
    case 429:
        return ERR_BUSY;
    case 503:
        return ERR_UNAVAILABLE;
    default:
        return status < 500 ? ERR_INVALID : ERR_INTERNAL;
    }
}

static bool call_failed(struct http_call *call, struct err *err)
{
    int status = http_call_status(call);
    _cleanup_(buf_done) struct buf body = BUF_INIT(LIMIT_ERROR_BODY_BYTES);
    struct err ignored = ERR_INIT;
    http_call_read_all(call, &body, &ignored);
    _cleanup_(json_free) json_t *root = NULL;
    const char *message = NULL;
    if (json_parse(buf_str(&body), body.len, &root, &ignored)) {
        const json_t *error = json_object_get(root, "error");
        message = json_string_value(json_is_object(error) ? json_object_get(error, "message") : error);
    }
    if (message != NULL)
        return err_set(err, call_code(status), "%s", message);
    size_t end = body.len;
    while (end > 0 && (unsigned char)body.data[end - 1] <= ' ')
        end--;
    if (end == 0)
        return err_set(err, call_code(status), "the daemon answered with status %d and no reason", status);
    return err_set(err, call_code(status), "%.*s", (int)(end < 512 ? end : 512), body.data);
}

static bool call_unreachable(struct cli *cli, struct err *err)
{
    char reason[ERR_TEXT_MAX];
    text_format(reason, sizeof reason, "%s", err->text);
    if (cli->external)
        return err_set(err, ERR_UNREACHABLE, "no answer from %s (%s); is --openaiurl right?", cli->base_url, reason);
    const char *way = cli->named ? "is MODEL_RUNNER_HOST right, and is it running?" : "start it with 'tug serve'";
    return err_set(err, ERR_UNREACHABLE, "cannot reach the daemon at %s (%s); %s",
                   cli->socket[0] != '\0' ? cli->socket : cli->base_url, reason, way);
}

bool cli_api_key_header(const struct cli *cli, char *dst, size_t size)
{
    const char *key = process_env(cli->external ? "OPENAI_API_KEY" : "TUG_API_KEY");
    return key != NULL && text_format(dst, size, "Authorization: Bearer %s", key);
}

bool cli_open_spec(struct cli *cli, const struct http_call_spec *spec, struct http_call **ret_call, struct err *err)
{
    struct http_call *call = NULL;
    if (!http_call_open(spec, &call, err))
        return err != NULL && err->code == ERR_UNREACHABLE ? call_unreachable(cli, err) : false;
    if (http_call_status(call) >= 400) {
        call_failed(call, err);
        http_call_close(&call);
        return false;
    }
    *ret_call = call;
    return true;
}

bool cli_open(struct cli *cli, const char *method, const char *path, const char *const *headers, const struct buf *body,
              struct http_call **ret_call, struct err *err)
{
    enum { OWN_HEADERS = 2, HEADERS_MAX = 8 };
    char url[PATH_MAX_BYTES + 512];
    char key[512];
    const char *all[HEADERS_MAX + 1] = {0};
    size_t n = 0;
    for (; headers != NULL && headers[n] != NULL && n < HEADERS_MAX - OWN_HEADERS; n++)
        all[n] = headers[n];
    if (body != NULL)
        all[n++] = "Content-Type: application/json";
    if (cli_api_key_header(cli, key, sizeof key))
        all[n++] = key;
    if (!text_format(url, sizeof url, "%s%s", cli->base_url, path))
        return err_set(err, ERR_INVALID, "the name is too long");
    struct http_call_spec spec = {.method = method,
                                  .url = url,
                                  .unix_socket = cli->socket[0] != '\0' ? cli->socket : NULL,
                                  .headers = all,
                                  .body = body != NULL ? buf_str(body) : NULL,
                                  .body_len = body != NULL ? body->len : 0,
                                  .cancel_fd = cli->interrupt_fd,
                                  .connect_timeout_ns = cli->patience_ns,
                                  .stall_timeout_ns = cli->patience_ns,
                                  .user_agent = "docker-model-cli/v" TUG_VERSION " tug"};
    return cli_open_spec(cli, &spec, ret_call, err);
}

bool cli_json(struct cli *cli, const char *method, const char *path, const struct buf *body, json_t **ret_json,
              struct err *err)
{
    struct http_call *call = NULL;
    if (!cli_open(cli, method, path, NULL, body, &call, err))
        return false;
    _cleanup_(buf_done) struct buf answer = BUF_INIT(LIMIT_INDEX_JSON_BYTES);
    json_t *root = NULL;
    bool ok = http_call_read_all(call, &answer, err);
    http_call_close(&call);
    if (ok && answer.len == 0) {
        *ret_json = json_null();
        return true;
    }
    if (!ok || !json_parse(buf_str(&answer), answer.len, &root, err))
        return err_while(err, "reading the daemon's answer");
    *ret_json = root;
    return true;
}

bool cli_each_line(struct http_call *call, bool (*each)(void *ctx, const char *line, struct err *err), void *ctx,
                   struct err *err)
{
    _cleanup_(buf_done) struct buf line = BUF_INIT(LIMIT_ERROR_BODY_BYTES);
    char piece[8192];
    ssize_t n;
    while ((n = http_call_read(call, piece, sizeof piece, err)) > 0) {
        size_t at = 0;
        while (at < (size_t)n) {
            const char *lf = memchr(piece + at, '\n', (size_t)n - at);
            size_t end = lf == NULL ? (size_t)n : (size_t)(lf - piece);
            if (!buf_add(&line, piece + at, end - at))
                return err_set(err, ERR_PROTOCOL, "the daemon sent a line of more than %d bytes",
                               LIMIT_ERROR_BODY_BYTES);
            at = end + 1;
            if (lf == NULL)
                break;
            if (line.len > 0 && !each(ctx, buf_str(&line), err))
                return false;
            buf_clear(&line);
        }
    }
    if (n < 0)
        return false;
    return line.len == 0 || each(ctx, buf_str(&line), err);
}
