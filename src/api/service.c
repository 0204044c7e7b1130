/* api/service.c: the daemon itself. */
#include "api/handlers.h"
#include "backends/backends.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/memory.h"

#include <unistd.h>

void service_root(struct http_request *req)
{
    /* Clients look for these words; those that come by Docker Desktop's name (Testcontainers), for Desktop's. */
    const char *host = http_header(req, "Host");
    const char *text = host != NULL && text_starts(host, "model-runner.docker.internal")
                           ? "The service is running"
                           : "Docker Model Runner is running";
    http_reply(req, 200, "text/plain; charset=utf-8", text, strlen(text));
}

static void version_write(struct json_out *j, const void *data)
{
    const struct api *api = data;
    char version[64];
    text_format(version, sizeof version, "v%s", api->version);
    json_open(j, '{');
    json_kv_str(j, "version", version);
    json_kv_str(j, "endpoint", api->endpoint);
    const char *containers = atomic_load(&api->containers);
    if (containers != NULL)
        json_kv_str(j, "containers", containers);
    json_close(j, '}');
}

void service_version(struct http_request *req) { request_reply_json(req, version_write, req->app); }

static void metric_write(struct buf *out, const char *name, const char *help, double value)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %.17g\n", name, help, name, name, value);
}

void service_metrics(struct http_request *req)
{
    const struct api *api = req->app;
    _cleanup_(buf_done) struct buf out = BUF_INIT(LIMIT_ANSWER_BYTES);
    struct store_usage usage;
    struct err err = ERR_INIT;
    buf_printf(&out, "# HELP tug_info The daemon.\n# TYPE tug_info gauge\ntug_info{version=\"%s\"} 1\n", api->version);
    metric_write(&out, "tug_uptime_seconds", "Time since the daemon started.",
                 (double)(clock_now_ns() - api->start_ns) / (double)CLOCK_SECOND);
    metric_write(&out, "tug_memory_bytes", "Resident memory of the daemon.", (double)memory_process_bytes(getpid()));
    if (store_usage(api->store, &usage, NULL)) {
        metric_write(&out, "tug_models", "Models in the store.", (double)usage.models);
        metric_write(&out, "tug_store_bytes", "Disk that the store's blobs take.", (double)usage.blobs_bytes);
    }
    if (backends_metrics(api->backends, &out)) {
        http_reply(req, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.len);
        return;
    }
    err_set(&err, ERR_INTERNAL, "the metrics would be larger than %d bytes", LIMIT_ANSWER_BYTES);
    http_reply_error(req, &err);
}
