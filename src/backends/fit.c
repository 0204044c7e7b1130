/* backends/fit.c: memory: what a model will need, whether there is room, and who leaves for it.
 *
 * Two measures hold at once. The budget: what all engines together may use by their own account.
 * And, unless the budget was given by hand, what the system has left for us now: other programs
 * use memory too, and weights that do not fit into what is left would be read from disk for ever.
 */
#include "backends/backend.h"
#include "backends/model_settings.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "gguf/gguf.h"
#include "platform/file.h"
#include "platform/memory.h"
#include "json/json_read.h"

#include <string.h>

#define MIB ((uint64_t)1024 * 1024)

enum {
    CONTEXT_DEFAULT = 8192, /* tokens for all sequences, where nobody says: long models claim 128 Ki and more */
    CONTEXT_LEAST = 1024,   /* what a default is halved down to where memory is short */
};
static const uint64_t engine_own_bytes = 48 * MIB; /* the program, its libraries, threads and buffers */

/* ---- what it will need ---------------------------------------------------------------------- */

void fit_plan_done(struct backend_plan *plan)
{
    free(plan->model);
    free(plan->mmproj);
    free(plan->chat_template);
    for (size_t i = 0; i < plan->n_args; i++)
        free(plan->args[i]);
    free(plan->args);
    *plan = (struct backend_plan){0};
}

uint64_t fit_default_budget(void)
{
    uint64_t total = memory_total_bytes(), reserve = total / 8;
    if (reserve < 256 * MIB)
        reserve = 256 * MIB;
    return total > reserve ? total - reserve : total / 2;
}

/* The first shard knows the shape (KV cache, compute), all of them have weights. */
static bool shards_needs(const char *path, uint64_t context, struct gguf_needs *ret, struct err *err)
{
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    struct gguf_needs all = {0};
    const char **paths;
    size_t n;
    if (!gguf_shards(path, &a, &paths, &n, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct gguf *g;
        struct gguf_needs one;
        if (!gguf_open(paths[i], &g, err))
            return false;
        gguf_needs(g, context, &one);
        gguf_close(&g);
        if (i == 0)
            all = one;
        else
            all.weights_bytes += one.weights_bytes;
    }
    *ret = all;
    return true;
}

static uint64_t add(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

static void plan_add_up(struct backend_plan *plan, const struct gguf_needs *needs)
{
    uint64_t mmproj = plan->mmproj == NULL ? 0 : file_stat(plan->mmproj).size;
    plan->weights_bytes = add(needs->weights_bytes, mmproj);
    plan->kv_bytes = needs->kv_bytes;
    plan->rest_bytes = add(needs->compute_bytes, engine_own_bytes);
    plan->need_bytes = add(add(plan->weights_bytes, plan->kv_bytes), plan->rest_bytes);
}

/* The model's settings, as far as they are about its engine; returns the context that they ask for. */
static int64_t plan_settings(struct backends *b, const struct model *m, struct backend_plan *plan)
{
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    _cleanup_(json_free) json_t *json = NULL;
    struct model_settings s;
    if (!model_settings_load(b->store, m->id, &a, &json, &s))
        return 0;
    plan->keep_alive_set = s.keep_alive_set;
    plan->keep_alive_ns = s.keep_alive_ns;
    plan->args = check_alloc(calloc(s.flags.n_args + 1, sizeof *plan->args));
    for (size_t i = 0; i < s.flags.n_args; i++)
        plan->args[plan->n_args++] = check_alloc(strdup(s.flags.args[i]));
    return s.context;
}

/* The model's settings come first, then the daemon's, if it was told one, then what the artifact says: most artifacts
 * say what the model was trained for, which whoever runs the daemon may find too much. Who asks for a context gets it
 * or an error; a default gives way to memory. An artifact's -1 asks for all that the model was trained for, as far as
 * memory goes. What an encoder needs follows from its inputs: the engine decides. */
static bool plan_context(struct backends *b, const struct model *m, struct backend_plan *plan, struct err *err)
{
    int64_t asked = plan_settings(b, m, plan);
    if (asked == 0)
        asked = b->options.context_size > 0 ? b->options.context_size : m->config.context_size;
    int64_t context = asked > 0 ? asked : CONTEXT_DEFAULT;
    struct gguf_needs needs;
    if (!shards_needs(plan->model, (uint64_t)context, &needs, err))
        return false;
    if (asked < 0 && needs.context_train > 0 && needs.context_train <= INT32_MAX) {
        context = (int64_t)needs.context_train;
        if (!shards_needs(plan->model, (uint64_t)context, &needs, err))
            return false;
    }
    plan->context = context;
    plan_add_up(plan, &needs);
    while (asked <= 0 && plan->need_bytes > b->budget_bytes && plan->context / 2 >= CONTEXT_LEAST) {
        plan->context /= 2;
        if (!shards_needs(plan->model, (uint64_t)plan->context, &needs, err))
            return false;
        plan_add_up(plan, &needs);
    }
    if (asked <= 0 && needs.embedding_model)
        plan->context = 0;
    return true;
}

bool fit_plan(struct backends *b, const struct model *m, const char *as, struct backend_plan *ret_plan, struct err *err)
{
    struct store_bundle bundle = {0};
    struct backend_plan plan = {0};
    if (!store_bundle(b->store, m, &bundle, err))
        return err_while(err, "cannot load %s", as);
    plan.model = TAKE(bundle.model);
    plan.mmproj = TAKE(bundle.mmproj);
    plan.chat_template = TAKE(bundle.chat_template);
    store_bundle_done(&bundle);
    if (plan.model == NULL) {
        fit_plan_done(&plan);
        return err_set(err, ERR_UNSUPPORTED, "cannot load %s: it has no GGUF weights, and the engine reads no others",
                       as);
    }
    if (!plan_context(b, m, &plan, err)) {
        fit_plan_done(&plan);
        return err_while(err, "cannot load %s", as);
    }
    *ret_plan = plan;
    return true;
}

/* ---- whether there is room ------------------------------------------------------------------ */

struct room {
    uint64_t budget, used, leaving, idle; /* leaving and idle are parts of used */
    size_t slots, slots_leaving, slots_idle;
};

static struct room room_measure(const struct backends *b)
{
    struct room r = {.budget = b->budget_bytes};
    uint64_t resident = 0;
    for (size_t i = 0; i < b->n_known; i++) {
        const struct backend *be = b->known[i];
        if (!backend_holds_memory(be))
            continue;
        bool idle = be->state == BACKEND_SERVING && be->users == 0;
        r.used += be->memory_bytes;
        r.leaving += be->state == BACKEND_STOPPING ? be->memory_bytes : 0;
        r.idle += idle ? be->memory_bytes : 0;
        r.slots++;
        r.slots_leaving += be->state == BACKEND_STOPPING;
        r.slots_idle += idle;
        uint64_t touched = memory_process_bytes(be->pid);
        resident += touched < be->memory_bytes ? touched : be->memory_bytes;
    }
    if (b->options.memory_bytes == 0) {
        uint64_t ours = memory_available_bytes() + resident;
        if (ours < r.budget)
            r.budget = ours;
    }
    return r;
}

static bool room_fits(const struct room *r, uint64_t need, uint64_t freed, size_t slots_freed)
{
    return add(r->used - freed, need) <= r->budget && r->slots - slots_freed < LIMIT_BACKENDS;
}

/* Used longest ago; those that are to stay for ever only when no other is idle. */
static struct backend *oldest_idle(struct backends *b)
{
    struct backend *best = NULL;
    bool best_kept = false;
    for (size_t i = 0; i < b->n_known; i++) {
        struct backend *be = b->known[i];
        if (be->state != BACKEND_SERVING || be->users > 0)
            continue;
        bool kept = backend_keep_alive_ns(b, be) < 0;
        if (best == NULL || kept < best_kept || (kept == best_kept && be->last_used_ns < best->last_used_ns)) {
            best = be;
            best_kept = kept;
        }
    }
    return best;
}

/* Sends idle ones away until there will be room for `need`; none if that cannot be. */
static void make_room(struct backends *b, uint64_t need)
{
    struct room r = room_measure(b);
    if (!room_fits(&r, need, r.leaving + r.idle, r.slots_leaving + r.slots_idle))
        return;
    while (!room_fits(&r, need, r.leaving, r.slots_leaving)) {
        struct backend *be = oldest_idle(b);
        CHECK(be != NULL);
        r.leaving += be->memory_bytes;
        r.slots_leaving++;
        b->evictions++;
        log_info("making room", "leaves=%s frees_bytes=%llu", be->name, (unsigned long long)be->memory_bytes);
        backend_step(b, be, EV_EVICT);
    }
}

/* "weights 5.00GB, context of 8192 tokens 4.00GB, the rest 0.10GB" */
static void plan_text(const struct backend_plan *plan, char *dst, size_t size)
{
    char weights[TEXT_SHORT_MAX], kv[TEXT_SHORT_MAX], rest[TEXT_SHORT_MAX];
    text_size(weights, plan->weights_bytes);
    text_size(kv, plan->kv_bytes);
    text_size(rest, plan->rest_bytes);
    text_format(dst, size, "weights %s, a context of %lld tokens %s, the rest %s", weights, (long long)plan->context,
                kv, rest);
}

/* False, with the reason: this can never fit, however long it waits. */
static bool can_ever_fit(const struct backends *b, const struct room *r, struct backend *be)
{
    char need[TEXT_SHORT_MAX], have[TEXT_SHORT_MAX], parts[160];
    /* While ours are busy, what others use may change before it is this one's turn: only the budget is certain. */
    uint64_t most = r->used == r->idle ? r->budget : b->budget_bytes;
    if (be->plan.need_bytes <= most)
        return true;
    text_size(need, be->plan.need_bytes);
    text_size(have, most);
    plan_text(&be->plan, parts, sizeof parts);
    const char *limit = b->options.memory_bytes != 0 ? "the memory limit of this daemon is"
                        : most < b->budget_bytes     ? "this machine has free now"
                                                     : "the most that this machine can give is";
    return err_set(&be->reason, ERR_ENGINE,
                   "cannot load %s: it needs %s (%s), and %s %s; take a smaller quantization or context%s", be->name,
                   need, parts, limit, have, b->options.memory_bytes != 0 ? ", or raise --memory" : "");
}

static struct backend *next_queued(struct backends *b, uint64_t after)
{
    struct backend *best = NULL;
    for (size_t i = 0; i < b->n_known; i++) {
        struct backend *be = b->known[i];
        if (be->state == BACKEND_QUEUED && be->ticket > after && (best == NULL || be->ticket < best->ticket))
            best = be;
    }
    return best;
}

/* In order of arrival. The first that does not fit is worked for; later ones start only in what is free beside that. */
void fit_place(struct backends *b)
{
    bool worked = false;
    struct backend *be = NULL;
    for (uint64_t after = 0; (be = next_queued(b, after)) != NULL;) {
        after = be->ticket;
        if (be->waiters == NULL) {
            backend_step(b, be, EV_GIVEN_UP);
            continue;
        }
        struct room r = room_measure(b);
        if (!can_ever_fit(b, &r, be)) {
            log_warn("a model does not fit", "reason=%s", be->reason.text);
            backend_fail_waiters(be, &be->reason);
            backend_step(b, be, EV_GIVEN_UP);
        } else if (room_fits(&r, be->plan.need_bytes, 0, 0) && !(worked && r.slots_leaving > 0)) {
            backend_step(b, be, EV_ROOM);
        } else if (!worked) {
            worked = true;
            make_room(b, be->plan.need_bytes);
        }
    }
}

void fit_explain(struct backends *b, const struct backend *be, int64_t waited_ns, struct err *err)
{
    struct buf who = BUF_INIT(400);
    char size[TEXT_SHORT_MAX], need[TEXT_SHORT_MAX];
    for (size_t i = 0; i < b->n_known; i++) {
        if (!backend_holds_memory(b->known[i]))
            continue;
        text_size(size, b->known[i]->memory_bytes);
        if (!buf_printf(&who, "%s%s (%s)", who.len == 0 ? "" : ", ", b->known[i]->name, size))
            break; /* the error has no room for more either */
    }
    text_size(need, be->plan.need_bytes);
    err_set(err, ERR_UNAVAILABLE,
            "no room for %s, which needs %s, after waiting %lld s: in use are %s; try again later, or stop one of them",
            be->name, need, (long long)(waited_ns / 1000000000), who.len == 0 ? "none" : who.data);
    buf_done(&who);
}
