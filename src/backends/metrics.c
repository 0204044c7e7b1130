/* backends/metrics.c: Prometheus text: our own numbers, and those of all engines with a label that says whose.
 *
 * The text format wants all samples of a metric in one group, so the engines' texts are taken apart
 * by metric and written together. Engines are asked outside the lock, as any other caller would
 * ask them; one that does not answer within a moment is left out.
 */
#include "backends/backend.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "http/client/http_client.h"
#include "platform/clock.h"

#include <string.h>

#define ENGINE_ANSWER_NS (2 * CLOCK_SECOND)

/* ---- our own -------------------------------------------------------------------------------- */

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
    {"tug_engine_starts_total", "counter", "Engines started.", value_starts, ""},
    {"tug_engine_crashes_total", "counter", "Engines that died without being told to.", value_crashes, ""},
    {"tug_engine_load_seconds_total", "counter", "Time that engines took to become ready.", value_load_ms, "e-3"},
    {"tug_engine_memory_bytes", "gauge", "Memory of the loaded engine: predicted, then as it says.", value_memory, ""},
    {"tug_engine_users", "gauge", "Requests that use the engine.", value_users, ""},
    {"tug_engine_waiting", "gauge", "Requests that wait for the engine.", value_waiting, ""},
};

/* A label's value: backslash, quote and line end are escaped. */
static bool add_label_value(struct buf *out, const char *s)
{
    bool ok = buf_add_char(out, '"');
    for (; *s != '\0'; s++) {
        if (*s == '\\' || *s == '"')
            ok = ok && buf_add_char(out, '\\') && buf_add_char(out, *s);
        else if (*s == '\n')
            ok = ok && buf_add_str(out, "\\n");
        else
            ok = ok && buf_add_char(out, *s);
    }
    return ok && buf_add_char(out, '"');
}

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
                ok = buf_printf(out, "%s{model=", own->name) && add_label_value(out, b->known[i]->name) &&
                     buf_printf(out, "} %llu%s\n", (unsigned long long)own->value(b->known[i]), own->scale);
    }
    return ok;
}

/* ---- the engines' --------------------------------------------------------------------------- */

struct family {
    char name[128];
    struct buf head, samples; /* HELP and TYPE lines; the samples with their label */
};

struct metrics_merge {
    struct family families[LIMIT_METRIC_FAMILIES];
    size_t n;
};

struct metrics_merge *metrics_merge_new(void) { return check_alloc(calloc(1, sizeof(struct metrics_merge))); }

void metrics_merge_free(struct metrics_merge **mm)
{
    for (size_t i = 0; *mm != NULL && i < (*mm)->n; i++) {
        buf_done(&(*mm)->families[i].head);
        buf_done(&(*mm)->families[i].samples);
    }
    free(*mm);
    *mm = NULL;
}

static size_t name_length(const char *s)
{
    return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:0123456789");
}

static struct family *family_find(struct metrics_merge *mm, const char *name, size_t len)
{
    for (size_t i = 0; i < mm->n; i++)
        if (strlen(mm->families[i].name) == len && memcmp(mm->families[i].name, name, len) == 0)
            return &mm->families[i];
    return NULL;
}

/* A histogram's and a summary's samples have names of their own. */
static struct family *family_of_sample(struct metrics_merge *mm, const char *name, size_t len)
{
    static const char *const endings[] = {"", "_bucket", "_sum", "_count"};
    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        size_t cut = strlen(endings[i]);
        if (len <= cut || memcmp(name + len - cut, endings[i], cut) != 0)
            continue;
        struct family *f = family_find(mm, name, len - cut);
        if (f != NULL)
            return f;
    }
    return NULL;
}

static struct family *family_add(struct metrics_merge *mm, const char *name, size_t len)
{
    if (mm->n == LIMIT_METRIC_FAMILIES || len == 0 || len >= sizeof mm->families[0].name)
        return NULL;
    struct family *f = &mm->families[mm->n++];
    memcpy(f->name, name, len);
    f->name[len] = '\0';
    f->head = BUF_INIT(4096);
    f->samples = BUF_INIT(LIMIT_BACKENDS * 65536);
    return f;
}

/* "# HELP name text", "# TYPE name type": the first engine's word counts. Other comments are dropped. */
static void merge_comment(struct metrics_merge *mm, const char *line, size_t len)
{
    if (!text_starts(line, "# HELP ") && !text_starts(line, "# TYPE "))
        return;
    const char *name = line + strlen("# HELP ");
    size_t n = name_length(name);
    struct family *f = family_find(mm, name, n);
    if (f == NULL)
        f = family_add(mm, name, n);
    if (f == NULL || n == 0)
        return;
    if (f->head.len > 0 && strstr(f->head.data, line[2] == 'H' ? "# HELP " : "# TYPE ") != NULL)
        return;
    buf_add(&f->head, line, len);
    buf_add_char(&f->head, '\n');
}

/* `name value` and `name{labels} value` become `name{model="…",labels} value`. */
static void merge_sample(struct metrics_merge *mm, const char *line, const char *model)
{
    size_t n = name_length(line);
    const char *rest = line + n;
    if (n == 0 || (*rest != '{' && *rest != ' ' && *rest != '\t'))
        return;
    struct family *f = family_of_sample(mm, line, n);
    if (f == NULL)
        f = family_add(mm, line, n);
    if (f == NULL)
        return;
    size_t before = f->samples.len;
    bool ok =
        buf_add(&f->samples, line, n) && buf_add_str(&f->samples, "{model=") && add_label_value(&f->samples, model);
    if (*rest == '{') {
        rest += 1 + strspn(rest + 1, " ");
        ok = ok && (*rest == '}' || buf_add_char(&f->samples, ',')) && buf_add_str(&f->samples, rest);
    } else {
        ok = ok && buf_add_char(&f->samples, '}') && buf_add_str(&f->samples, rest);
    }
    if (!ok || !buf_add_char(&f->samples, '\n'))
        f->samples.len = before; /* no half lines */
}

void metrics_merge_add(struct metrics_merge *mm, const char *text, const char *model)
{
    struct buf line = BUF_INIT(16384);
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        buf_clear(&line);
        if (len > 0 && buf_add(&line, text, len)) {
            if (line.data[len - 1] == '\r')
                line.data[--line.len] = '\0';
            if (line.data[0] == '#')
                merge_comment(mm, line.data, line.len);
            else
                merge_sample(mm, line.data, model);
        }
        text += len + (text[len] == '\n');
    }
    buf_done(&line);
}

bool metrics_merge_write(const struct metrics_merge *mm, struct buf *out)
{
    for (size_t i = 0; i < mm->n; i++) {
        const struct family *f = &mm->families[i];
        if (f->samples.len == 0)
            continue;
        if (!buf_add_str(out, buf_str(&f->head)) || !buf_add(out, f->samples.data, f->samples.len))
            return false;
    }
    return true;
}

/* ---- both ----------------------------------------------------------------------------------- */

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
    _cleanup_free_ struct serving *engines = check_alloc(calloc(LIMIT_BACKENDS, sizeof *engines));
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
