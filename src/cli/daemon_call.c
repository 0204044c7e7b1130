/* cli/daemon_call.c: calls to the daemon, and what their failures mean. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/process.h"
#include "json/json_read.h"

#include <stdio.h>
#include <string.h>

enum { PATH_MAX_BYTES = 2048 };
#define CALL_CONNECT_NS (15 * CLOCK_SECOND)
#define CALL_ANSWER_NS                                                                                                 \
    (45 * CLOCK_SECOND) /* a question, which a daemon answers at once, if need be from a registry                      \
                         */

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

static const char *call_way(const struct cli *cli, char dst[256])
{
    if (cli->context[0] != '\0')
        text_format(dst, 256, "is the context \"%s\" right?", cli->context);
    else if (cli->external)
        text_format(dst, 256, "is --openaiurl right?");
    else if (cli->named)
        text_format(dst, 256, "is MODEL_RUNNER_HOST right?");
    else
        text_format(dst, 256,
                    "stop it, or run 'tug serve --port PORT' and set MODEL_RUNNER_HOST=http://localhost:PORT");
    return dst;
}

/* Docker Model Runner names no server, and a proxy may stand before ours: so it is the kind of answer that tells. */
static bool call_is_foreign(const struct http_call *call)
{
    const char *server = http_call_header(call, "server"), *type = http_call_header(call, "content-type");
    if (server != NULL && text_starts(server, "tug/"))
        return false;
    return type != NULL && !text_starts(type, "application/json") && !text_starts(type, "text/plain");
}

static bool call_foreign(const struct cli *cli, const struct http_call *call, struct err *err)
{
    char way[256];
    const char *server = http_call_header(call, "server");
    return err_set(err, ERR_PROTOCOL, "what answers at %s is no model runner (status %d%s%.100s); %s",
                   cli->socket[0] != '\0' ? cli->socket : cli->base_url, http_call_status(call),
                   server != NULL ? ", it calls itself " : "", server != NULL ? server : "", call_way(cli, way));
}

/* An error may only mean that the daemon was not restarted after an upgrade, or is behind. */
static void call_other_version(const struct http_call *call, struct err *err)
{
    const char *server = http_call_header(call, "server");
    if (err == NULL || server == NULL || !text_starts(server, "tug/") || strcmp(server + 4, TUG_VERSION) == 0)
        return;
    char text[ERR_TEXT_MAX];
    text_format(text, sizeof text, "%s", err->text);
    err_set(err, err->code, "%s\nThe daemon is Tug %.40s and this is %s: restart the daemon, or update the older one.",
            text, server + 4, TUG_VERSION);
}

static bool call_failed(const struct cli *cli, struct http_call *call, struct err *err)
{
    if (call_is_foreign(call))
        return call_foreign(cli, call, err);
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
    const char *where = cli->socket[0] != '\0' ? cli->socket : cli->base_url;
    if (cli->context[0] != '\0')
        return err_set(
            err, ERR_UNREACHABLE,
            "cannot reach the daemon at %s (%s); that is the context \"%s\": is it right, and is it running?", where,
            reason, cli->context);
    const char *way = cli->named ? "is MODEL_RUNNER_HOST right, and is it running?" : "start it with 'tug serve'";
    return err_set(err, ERR_UNREACHABLE, "cannot reach the daemon at %s (%s); %s", where, reason, way);
}

static bool call_not_opened(struct cli *cli, struct err *err)
{
    char reason[ERR_TEXT_MAX], way[256];
    if (err == NULL)
        return false;
    if (err->code == ERR_UNREACHABLE)
        return call_unreachable(cli, err);
    if (err->code != ERR_PROTOCOL)
        return false;
    text_format(reason, sizeof reason, "%s", err->text);
    return err_set(err, ERR_PROTOCOL, "what answers at %s is no model runner: %.300s; %s",
                   cli->socket[0] != '\0' ? cli->socket : cli->base_url, reason, call_way(cli, way));
}

bool cli_api_key_header(const struct cli *cli, char *dst, size_t size)
{
    const char *key = process_env(cli->external ? "OPENAI_API_KEY" : "TUG_API_KEY");
    return key != NULL && text_format(dst, size, "Authorization: Bearer %s", key);
}

bool cli_open_spec(struct cli *cli, const struct http_call_spec *spec, struct http_call **ret_call, struct err *err)
{
    struct http_call *call = NULL;
    struct http_call_spec ours = *spec;
    ours.ca_file = cli->ca_cert[0] != '\0' ? cli->ca_cert : NULL;
    ours.tls_any = cli->tls_any;
    if (!http_call_open(&ours, &call, err))
        return call_not_opened(cli, err);
    if (http_call_status(call) >= 400) {
        call_failed(cli, call, err);
        call_other_version(call, err);
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
                                  .connect_timeout_ns = cli->patience_ns < CALL_CONNECT_NS ? cli->patience_ns : 0,
                                  .stall_timeout_ns = cli->patience_ns,
                                  .user_agent = "docker-model-cli/v" TUG_VERSION " tug"};
    return cli_open_spec(cli, &spec, ret_call, err);
}

bool cli_json(struct cli *cli, const char *method, const char *path, const struct buf *body, json_t **ret_json,
              struct err *err)
{
    struct http_call *call = NULL;
    int64_t patience = cli->patience_ns;
    if (patience == 0 && strcmp(method, "GET") == 0)
        cli->patience_ns = CALL_ANSWER_NS;
    bool opened = cli_open(cli, method, path, NULL, body, &call, err);
    cli->patience_ns = patience;
    if (!opened)
        return false;
    _cleanup_(buf_done) struct buf answer = BUF_INIT(LIMIT_INDEX_JSON_BYTES);
    json_t *root = NULL;
    bool ok = http_call_read_all(call, &answer, err);
    if (ok && answer.len == 0)
        root = json_null();
    else if (!ok || !json_parse(buf_str(&answer), answer.len, &root, err))
        ok = ok && call_is_foreign(call) ? call_foreign(cli, call, err) : err_while(err, "reading the daemon's answer");
    http_call_close(&call);
    if (ok)
        *ret_json = root;
    return ok;
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
