/* backends/metrics.c: Prometheus text: our own numbers, and those of all engines with a label that says whose.
 *
 * Engines are asked outside the lock, as any other caller would ask them; one that does not answer
 * within a moment is left out.
 */
#include "backends/backend.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "http/client/http_client.h"
#include "platform/clock.h"

#include <string.h>

#define ENGINE_ANSWER_NS (2 * CLOCK_SECOND)

static uint64_t value_starts(const struct backend *be) { return be->starts; }
static uint64_t value_crashes(const struct backend *be) { return be->crashes; }
static uint64_t value_users(const struct backend *be) { return (uint64_t)be->users; }
static uint64_t value_memory(const struct backend *be) { return be->memory_bytes; }
static uint64_t value_load_ms(const struct backend *be) { return (uint64_t)(be->load_ns_total / CLOCK_MS); }
static uint64_t value_waiting(const struct backend *be)
{
    uint64_t n = 0;
    for (const struct waiter *w = be->waiters; w != NULL; w = w->next)
        n++;
    return n;
}

static const struct own_metric {
    const char *name, *type, *help;
    uint64_t (*value)(const struct backend *be);
    const char *scale; /* what turns the value into the unit of the name */
} own_metrics[] = {
    {"tug_backend_starts_total", "counter", "Engines started.", value_starts, ""},
    {"tug_backend_crashes_total", "counter", "Engines that died without being told to.", value_crashes, ""},
    {"tug_backend_load_seconds_total", "counter", "Time that engines took to become ready.", value_load_ms, "e-3"},
    {"tug_backend_memory_bytes", "gauge", "Memory of the loaded engine: predicted, then as it says.", value_memory, ""},
    {"tug_backend_users", "gauge", "Requests that use the engine.", value_users, ""},
    {"tug_backend_waiting", "gauge", "Requests that wait for the engine.", value_waiting, ""},
};

static bool write_single(struct buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
    return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, type, name,
                      (unsigned long long)value);
}

/* Lock held. */
static bool write_own(const struct backends *b, struct buf *out)
{
    size_t loaded = 0;
    for (size_t i = 0; i < b->n_known; i++)
        loaded += b->known[i]->state == BACKEND_SERVING || b->known[i]->state == BACKEND_DRAINING;
    bool ok = write_single(out, "tug_models_loaded", "gauge", "Models in memory.", loaded) &&
              write_single(out, "tug_memory_budget_bytes", "gauge", "What all engines may use.", b->budget_bytes) &&
              write_single(out, "tug_evictions_total", "counter", "Idle models that left for another.", b->evictions) &&
              write_single(out, "tug_refusals_total", "counter", "Requests that waited for room in vain.", b->refusals);
    for (size_t m = 0; m < ARRAY_LEN(own_metrics); m++) {
        const struct own_metric *own = &own_metrics[m];
        ok = ok && buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", own->name, own->help, own->name, own->type);
        for (size_t i = 0; i < b->n_known && ok; i++)
            if (b->known[i]->generation > 0)
                ok = buf_printf(out, "%s{model=", own->name) && metrics_label_value(out, b->known[i]->name) &&
                     buf_printf(out, "} %llu%s\n", (unsigned long long)own->value(b->known[i]), own->scale);
    }
    return ok;
}

struct serving {
    char socket[108], name[LIMIT_REFERENCE_BYTES];
};

static void ask_engine(struct metrics_merge *mm, const struct serving *engine)
{
    _cleanup_(buf_done) struct buf text = BUF_INIT(LIMIT_ENGINE_METRICS_BYTES);
    struct http_call_spec spec = {.method = "GET",
                                  .url = "http://localhost/metrics",
                                  .unix_socket = engine->socket,
                                  .cancel_fd = -1,
                                  .connect_timeout_ns = ENGINE_ANSWER_NS,
                                  .stall_timeout_ns = ENGINE_ANSWER_NS};
    int status = 0;
    if (http_call_simple(&spec, &text, &status, NULL) && status == 200)
        metrics_merge_add(mm, buf_str(&text), engine->name);
}

bool backends_metrics(struct backends *b, struct buf *out)
{
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    struct serving *engines = arena_array(&a, LIMIT_BACKENDS, sizeof *engines);
    _cleanup_(metrics_merge_free) struct metrics_merge *mm = metrics_merge_new();
    size_t n = 0;
    pthread_mutex_lock(&b->lock);
    bool ok = write_own(b, out);
    for (size_t i = 0; i < b->n_known && n < LIMIT_BACKENDS; i++) {
        if (b->known[i]->state != BACKEND_SERVING && b->known[i]->state != BACKEND_DRAINING)
            continue;
        memcpy(engines[n].socket, b->known[i]->socket, sizeof engines[n].socket);
        memcpy(engines[n].name, b->known[i]->name, sizeof engines[n].name);
        n++;
    }
    pthread_mutex_unlock(&b->lock);
    for (size_t i = 0; i < n; i++)
        ask_engine(mm, &engines[i]);
    return ok && metrics_merge_write(mm, out);
}
