/* engine/front_metrics.c: GET /metrics, a row for each name. */
#include "engine/front.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "platform/memory.h"

#include <inttypes.h>

/* What a scrape sees: the loop's counters, and what is known beside it. */
struct metric_source {
    struct batch_stats batch;
    uint64_t weights_bytes, resident_bytes;
};

enum metric_type { METRIC_I32, METRIC_U64, METRIC_SECONDS /* of int64_t nanoseconds */ };

struct metric_row {
    const char *name;
    const char *kind; /* Prometheus' */
    enum metric_type type;
    size_t offset;
    const char *help;
};

#define BATCH(member)  offsetof(struct metric_source, batch.member)
#define SOURCE(member) offsetof(struct metric_source, member)

/* clang-format off */
static const struct metric_row metric_rows[] = {
    {"tug_engine_requests_total",             "counter", METRIC_U64,     BATCH(requests),         "Requests taken; each choice and each embedding input is one"},
    {"tug_engine_requests_running",           "gauge",   METRIC_I32,     BATCH(running),          "Requests in the batch"},
    {"tug_engine_requests_waiting",           "gauge",   METRIC_I32,     BATCH(waiting),          "Requests in the queue"},
    {"tug_engine_requests_cancelled_total",   "counter", METRIC_U64,     BATCH(cancelled),        "Requests dropped before their end"},
    {"tug_engine_prompt_tokens_total",        "counter", METRIC_U64,     BATCH(prompt_tokens),    "Prompt tokens, computed or not"},
    {"tug_engine_prompt_tokens_cached_total", "counter", METRIC_U64,     BATCH(cached_tokens),    "Prompt tokens whose KV was there already"},
    {"tug_engine_generated_tokens_total",     "counter", METRIC_U64,     BATCH(generated_tokens), "Tokens generated"},
    {"tug_engine_decoded_rows_total",         "counter", METRIC_U64,     BATCH(decoded_rows),     "Rows given to llama_decode, prompts and generation"},
    {"tug_engine_steps_total",                "counter", METRIC_U64,     BATCH(steps),            "Steps of the batch loop"},
    {"tug_engine_busy_seconds_total",         "counter", METRIC_SECONDS, BATCH(busy_ns),          "Time with work to do"},
    {"tug_engine_decode_seconds_total",       "counter", METRIC_SECONDS, BATCH(decode_call_ns),   "Time inside llama_decode"},
    {"tug_engine_step_seconds_total",         "counter", METRIC_SECONDS, BATCH(step_ns),         "Time of the steps that were computed"},
    {"tug_engine_step_predicted_seconds_total", "counter", METRIC_SECONDS, BATCH(predicted_ns),  "What the cost model had expected of them"},
    {"tug_engine_context_tokens",             "gauge",   METRIC_I32,     BATCH(context),          "Context of all sequences together"},
    {"tug_engine_sequences_max",              "gauge",   METRIC_I32,     BATCH(parallel),         "Sequences at the same time"},
    {"tug_engine_threads",                    "gauge",   METRIC_I32,     BATCH(threads),          "Threads that compute"},
    {"tug_engine_kv_cells",                   "gauge",   METRIC_I32,     BATCH(cells_total),      "KV cells"},
    {"tug_engine_kv_cells_used",              "gauge",   METRIC_I32,     BATCH(cells_used),       "KV cells that hold a token"},
    {"tug_engine_prefix_hits_total",          "counter", METRIC_U64,     BATCH(cache_hits),      "Sequences that began with a prefix already computed"},
    {"tug_engine_prefix_misses_total",        "counter", METRIC_U64,     BATCH(cache_misses),    "Sequences that found none"},
    {"tug_engine_prefix_evictions_total",     "counter", METRIC_U64,     BATCH(evictions),       "Prefixes forgotten for room"},
    {"tug_engine_prefix_parked_total",        "counter", METRIC_U64,     BATCH(parked),          "Prefixes moved from cells to host memory"},
    {"tug_engine_prefix_unparked_total",      "counter", METRIC_U64,     BATCH(unparked),        "Prefixes brought back from host memory"},
    {"tug_engine_prefix_parked_bytes",        "gauge",   METRIC_U64,     BATCH(park_bytes),      "Host memory of parked prefixes"},
    {"tug_engine_kv_compactions_total",       "counter", METRIC_U64,     BATCH(compactions),     "Times that a sequence moved down to low cells"},
    {"tug_engine_preemptions_total",          "counter", METRIC_U64,     BATCH(preemptions),     "Requests that gave their cells back for a while"},
    {"tug_engine_kv_bytes",                   "gauge",   METRIC_U64,     BATCH(kv_bytes),         "Memory of the KV cells"},
    {"tug_engine_compute_bytes",              "gauge",   METRIC_U64,     BATCH(compute_bytes),    "Memory of the compute buffers"},
    {"tug_engine_weights_bytes",              "gauge",   METRIC_U64,     SOURCE(weights_bytes),   "Memory of the weights"},
    {"tug_engine_resident_bytes",             "gauge",   METRIC_U64,     SOURCE(resident_bytes),  "Resident memory of the process"},
};
/* clang-format on */

static void metric_write(struct buf *out, const struct metric_row *row, const struct metric_source *source)
{
    const void *at = (const char *)source + row->offset;
    buf_printf(out, "# HELP %s %s.\n# TYPE %s %s\n%s ", row->name, row->help, row->name, row->kind, row->name);
    switch (row->type) {
    case METRIC_I32:
        buf_printf(out, "%" PRId32 "\n", *(const int32_t *)at);
        break;
    case METRIC_U64:
        buf_printf(out, "%" PRIu64 "\n", *(const uint64_t *)at);
        break;
    case METRIC_SECONDS:
        buf_printf(out, "%.9f\n", (double)*(const int64_t *)at / 1e9);
        break;
    }
}

void front_metrics(struct http_request *req)
{
    _cleanup_(buf_done) struct buf out = BUF_INIT(LIMIT_ERROR_BODY_BYTES);
    struct front *front = req->app;
    struct metric_source source = {
        .weights_bytes = model_get_info(front->model)->weights_bytes,
        .resident_bytes = memory_process_bytes(getpid()),
    };
    batch_get_stats(front->batch, &source.batch);
    for (size_t i = 0; i < sizeof metric_rows / sizeof metric_rows[0]; i++)
        metric_write(&out, &metric_rows[i], &source);
    http_reply(req, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.len);
}
