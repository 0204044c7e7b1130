/* cli/transfer.c: the progress stream of pull, push and load, shown. Facts: dmr.md 1.3 and 2.5. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/ui/progress.h"
#include "platform/clock.h"
#include "platform/process.h"
#include "platform/socket.h"
#include "platform/terminal.h"
#include "json/json_read.h"
#include "json/json_write.h"

#include <stdio.h>
#include <string.h>

struct transfer {
    struct progress progress;
    FILE *out;
    char message[ERR_TEXT_MAX]; /* of the success line */
    bool succeeded;
};

static void transfer_flush(struct transfer *t)
{
    fputs(buf_str(&t->progress.out), t->out);
    fflush(t->out);
    buf_clear(&t->progress.out);
}

static bool transfer_progress(struct transfer *t, const json_t *line, struct err *err)
{
    const json_t *layer = NULL;
    const char *id = "";
    int64_t current = 0, size = 0, total = 0;
    if (!json_get_object(line, "", "layer", &layer, err) || !json_get_int(line, "", "total", 0, INT64_MAX, &total, err))
        return false;
    if (layer != NULL && (!json_get_string(layer, "layer", "id", &id, err) ||
                          !json_get_int(layer, "layer", "current", 0, INT64_MAX, &current, err) ||
                          !json_get_int(layer, "layer", "size", 0, INT64_MAX, &size, err)))
        return false;
    progress_update(&t->progress, id, (uint64_t)current, (uint64_t)size, (uint64_t)total, clock_now_ns());
    transfer_flush(t);
    return true;
}

static bool transfer_line(void *ctx, const char *text, struct err *err)
{
    struct transfer *t = ctx;
    _cleanup_(json_free) json_t *line = NULL;
    const char *type = "", *message = "";
    if (!json_parse(text, strlen(text), &line, NULL))
        return err_set(err, ERR_PROTOCOL, "unexpected response from server (not valid progress data): %.200s", text);
    if (!json_get_string(line, "", "type", &type, err) || !json_get_string(line, "", "message", &message, err))
        return err_while(err, "reading the daemon's progress");
    if (strcmp(type, "progress") == 0)
        return transfer_progress(t, line, err);
    if (strcmp(type, "warning") == 0) {
        fprintf(stderr, "Warning: %s\n", message);
    } else if (strcmp(type, "error") == 0) {
        int64_t status = 500;
        json_get_int(line, "", "status", 0, 599, &status, NULL);
        return err_set(err, status == 503 ? ERR_UNAVAILABLE : ERR_INTERNAL, "%s",
                       text_starts(message, "Error: ") ? message + 7 : message);
    } else if (strcmp(type, "success") == 0) {
        t->succeeded = true;
        text_format(t->message, sizeof t->message, "%s", message);
    }
    return true;
}

bool cli_transfer(struct http_call *call, const char *verb_done, FILE *out, char *ret_message, size_t message_size,
                  struct err *err)
{
    struct transfer t = {.out = out};
    const char *verb = text_starts(verb_done, "Push") ? "Uploading" : "Downloading";
    progress_init(&t.progress, terminal_is(fileno(out)), terminal_columns(fileno(out)), verb, verb_done);
    bool ok = cli_each_line(call, transfer_line, &t, err);
    if (ok)
        progress_finish(&t.progress, clock_now_ns());
    transfer_flush(&t);
    progress_done(&t.progress);
    if (!ok)
        return false;
    if (!t.succeeded)
        return err_set(err, ERR_UNREACHABLE,
                       "the daemon ended the transfer without saying how it went; see 'tug logs'");
    text_format(ret_message, message_size, "%s", t.message);
    return true;
}

bool cli_have_model(struct cli *cli, const char *model, FILE *out, struct err *err)
{
    char path[2048];
    _cleanup_(json_free) json_t *answer = NULL;
    if (!cli_path(path, sizeof path, "/models/", model, ""))
        return err_set(err, ERR_INVALID, "the model's name is too long");
    if (cli_json(cli, "GET", path, NULL, &answer, err))
        return true;
    if (err->code != ERR_NOT_FOUND)
        return false;
    *err = ERR_INIT;
    fprintf(out, "Unable to find model '%s' locally. Pulling from the server.\n", model);
    return cli_pull(cli, model, out, err);
}

/* ---- over the restart of a daemon ---------------------------------------------------------------- */

enum { RETRIES = 4 };

/* The daemon stops or is gone, as when it is upgraded: the same call to the next one goes on at the same byte. */
static bool transfer_lost(const struct err *err)
{
    return err->code == ERR_UNAVAILABLE || err->code == ERR_UNREACHABLE;
}

static bool transfer_wait(struct cli *cli, int attempt)
{
    int seconds = 1 << (attempt - 1);
    struct socket_wait wait = {.fd = cli->interrupt_fd, .want = SOCKET_READABLE | SOCKET_CLOSED};
    fprintf(stderr, "Retrying download (attempt %d/%d) in %ds...\n", attempt, RETRIES, seconds);
    return socket_wait(&wait, 1, clock_after_ns(seconds * CLOCK_SECOND)) == 0;
}

static bool pull_once(struct cli *cli, const struct buf *body, FILE *out, bool *ret_begun, struct err *err)
{
    const char *headers[] = {"Accept: application/json", NULL};
    struct http_call *call = NULL;
    char message[ERR_TEXT_MAX];
    if (!cli_open(cli, "POST", "/models/create", headers, body, &call, err))
        return false;
    *ret_begun = true;
    bool ok = cli_transfer(call, "Pull complete", out, message, sizeof message, err);
    http_call_close(&call);
    if (ok)
        fprintf(out, "%s\n", message);
    return ok;
}

/* A first call that fails is an error at once; one that had begun is worth waiting for. */
static bool pull_until_done(struct cli *cli, const struct buf *body, FILE *out, struct err *err)
{
    bool begun = false;
    bool ok = pull_once(cli, body, out, &begun, err);
    for (int attempt = 1; !ok && begun && transfer_lost(err); attempt++) {
        if (attempt > RETRIES)
            return err_while(err, "download failed after %d retries", RETRIES);
        if (!transfer_wait(cli, attempt))
            return err_set(err, ERR_CANCELLED, "interrupted");
        bool again = false;
        ok = pull_once(cli, body, out, &again, err); /* the same place: not whoever else answers here */
        if (again)
            attempt = 0;
    }
    return ok;
}

bool cli_pull(struct cli *cli, const char *model, FILE *out, struct err *err)
{
    _cleanup_(buf_done) struct buf body = BUF_INIT(4096);
    struct json_out j = JSON_OUT(&body);
    const char *token = process_env("HF_TOKEN");
    bool hub = text_starts(model, "hf.co/") || text_starts(model, "huggingface.co/");
    json_open(&j, '{');
    json_kv_str(&j, "from", model);
    if (hub && token != NULL)
        json_kv_str(&j, "bearer-token", token);
    json_close(&j, '}');
    if (!json_ok(&j))
        return err_set(err, ERR_INVALID, "the model's name is too long");
    return cli_catch_interrupt(cli, err) && pull_until_done(cli, &body, out, err);
}
