/* backends/model_settings.c: see model_settings.h. */
#include "backends/model_settings.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "platform/clock.h"
#include "json/json_read.h"

#include <string.h>

enum { SETTINGS_VERSION = 1, DRAFT_TOKENS_MAX = 1024, CONTEXT_MAX = 1 << 24, FLAG_BYTES = 16 * 1024 };

static const char *const modes[] = {"completion", "embedding", "reranking", "image-generation"};

/* ---- one member of a request ---------------------------------------------------------------------- */

/* Puts the checked member into `into`; a value that means "not set" takes it out. */
typedef bool merge_one(json_t *into, const json_t *request, const char *key, struct arena *a, struct err *err);

static bool merge_mode(json_t *into, const json_t *request, const char *key, struct arena *a, struct err *err)
{
    const char *mode = "";
    (void)a;
    if (!json_get_string(request, "", key, &mode, err))
        return false;
    if (mode[0] == '\0') {
        json_object_del(into, key);
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (strcmp(mode, modes[i]) == 0)
            return json_object_set_new(into, key, json_string(mode)) == 0;
    return err_param(err, key, "mode is \"%.64s\"; it must be completion, embedding, reranking or image-generation",
                     mode);
}

static bool merge_context(json_t *into, const json_t *request, const char *key, struct arena *a, struct err *err)
{
    int64_t n = 0;
    (void)a;
    if (!json_get_int(request, "", key, -1, CONTEXT_MAX, &n, err))
        return false;
    if (n <= 0)
        json_object_del(into, key);
    else
        json_object_set_new(into, key, json_integer(n));
    return true;
}

/* DMR takes text only; a number counts as seconds, as in Ollama. */
static bool merge_keep_alive(json_t *into, const json_t *request, const char *key, struct arena *a, struct err *err)
{
    const json_t *value = json_object_get(request, key);
    int64_t ns = 0;
    char text[TEXT_SHORT_MAX];
    (void)a;
    if (json_is_string(value) && json_string_length(value) == 0) {
        json_object_del(into, key);
        return true;
    }
    bool ok = json_is_string(value) && text_to_duration_ns(json_string_value(value), &ns);
    if (json_is_number(value)) {
        double seconds = json_number_value(value);
        ok = seconds < (double)(INT64_MAX / CLOCK_SECOND);
        ns = seconds < 0 ? -1 : ok ? (int64_t)(seconds * (double)CLOCK_SECOND) : 0;
    }
    if (!ok)
        return err_param(err, key,
                         "keep_alive must be a duration as \"5m\" or \"1h30m\", a number of seconds, 0 (not at all) or "
                         "-1 (for ever)");
    text_go_duration(text, ns < 0 ? -1 : ns);
    json_object_set_new(into, key, json_string(ns == 0 ? "0" : text));
    return true;
}

static bool words_read(const json_t *list, struct arena *a, const char ***ret_words, size_t *ret_n, struct err *err)
{
    size_t i, n = json_array_size(list);
    json_t *word;
    const char **words = arena_array(a, n + 1, sizeof *words);
    json_array_foreach(list, i, word)
    {
        if (!json_is_string(word))
            return err_param(err, "runtime-flags", "runtime-flags[%zu] must be a string, not %s", i, json_kind(word));
        words[i] = json_string_value(word);
    }
    *ret_words = words;
    *ret_n = n;
    return true;
}

static bool set_words(json_t *into, const char *const *words, size_t n, struct arena *a, struct err *err)
{
    struct runtime_flags flags;
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += strlen(words[i]);
    if (bytes > FLAG_BYTES)
        return err_param(err, "runtime-flags", "the runtime flags have %zu bytes; at most %d", bytes, FLAG_BYTES);
    if (!flags_read(words, n, a, &flags, err))
        return false;
    if (n == 0) {
        json_object_del(into, "runtime-flags");
        return true;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_string(words[i]));
    json_object_set_new(into, "runtime-flags", list);
    return true;
}

static bool merge_flags(json_t *into, const json_t *request, const char *key, struct arena *a, struct err *err)
{
    const json_t *list = NULL;
    const char **words = NULL;
    size_t n = 0;
    return json_get_array(request, "", key, LIMIT_RUNTIME_FLAGS, &list, err) && words_read(list, a, &words, &n, err) &&
           set_words(into, words, n, a, err);
}

/* Counts only where there are no runtime-flags. */
static bool merge_raw_flags(json_t *into, const json_t *request, const char *key, struct arena *a, struct err *err)
{
    const char *raw = "", **words = NULL;
    size_t n = 0;
    if (!json_get_string(request, "", key, &raw, err))
        return false;
    if (json_array_size(json_object_get(request, "runtime-flags")) > 0)
        return true;
    return flags_split(raw, a, &words, &n, err) && set_words(into, words, n, a, err);
}

/* Members within an object merge too. Empty ones go. */
static json_t *inner(json_t *into, const char *key)
{
    json_t *old = json_object_get(into, key);
    json_t *copy = json_is_object(old) ? json_copy(old) : json_object();
    json_object_set_new(into, key, copy);
    return copy;
}

static void inner_set(json_t *object, const json_t *given, const char *key, bool unset)
{
    json_t *value = json_object_get(given, key);
    if (value == NULL)
        return;
    if (unset || json_is_null(value))
        json_object_del(object, key);
    else
        json_object_set(object, key, value);
}

static bool merge_speculative(json_t *into, const json_t *request, const char *key, struct arena *a, struct err *err)
{
    const json_t *given = NULL;
    const char *draft = "";
    int64_t tokens = 0;
    double rate = 0;
    (void)a;
    if (!json_get_object(request, "", key, &given, err) || !json_get_string(given, key, "draft_model", &draft, err) ||
        !json_get_int(given, key, "num_tokens", 0, DRAFT_TOKENS_MAX, &tokens, err) ||
        !json_get_number(given, key, "min_acceptance_rate", 0, 1, &rate, err))
        return false;
    json_t *object = inner(into, key);
    inner_set(object, given, "draft_model", draft[0] == '\0');
    inner_set(object, given, "num_tokens", tokens == 0);
    inner_set(object, given, "min_acceptance_rate", rate <= 0);
    if (json_object_size(object) == 0)
        json_object_del(into, key);
    return true;
}

static bool merge_llamacpp(json_t *into, const json_t *request, const char *key, struct arena *a, struct err *err)
{
    const json_t *given = NULL;
    int64_t budget = 0;
    (void)a;
    if (!json_get_object(request, "", key, &given, err) ||
        !json_get_int(given, key, "reasoning-budget", -1, INT32_MAX, &budget, err))
        return false;
    json_t *object = inner(into, key);
    inner_set(object, given, "reasoning-budget", false);
    if (json_object_size(object) == 0)
        json_object_del(into, key);
    return true;
}

/* Kept for who asks, without effect: these are another engine's. */
static bool merge_vllm(json_t *into, const json_t *request, const char *key, struct arena *a, struct err *err)
{
    const json_t *given = NULL, *overrides = NULL;
    double share = 0;
    (void)a;
    if (!json_get_object(request, "", key, &given, err) ||
        !json_get_object(given, key, "hf-overrides", &overrides, err) ||
        !json_get_number(given, key, "gpu-memory-utilization", 0, 1, &share, err))
        return false;
    json_t *object = inner(into, key);
    inner_set(object, given, "hf-overrides", false);
    inner_set(object, given, "gpu-memory-utilization", false);
    if (json_object_size(object) == 0)
        json_object_del(into, key);
    return true;
}

static const struct {
    const char *key;
    const char *kept_as; /* NULL: as the key */
    merge_one *merge;
} members[] = {
    {"mode", NULL, merge_mode},
    {"context-size", NULL, merge_context},
    {"keep_alive", NULL, merge_keep_alive},
    {"runtime-flags", NULL, merge_flags},
    {"raw-runtime-flags", "runtime-flags", merge_raw_flags},
    {"speculative", NULL, merge_speculative},
    {"llamacpp", NULL, merge_llamacpp},
    {"vllm", NULL, merge_vllm},
};

bool model_settings_merge(const json_t *old, const json_t *request, struct arena *a, json_t **ret_merged,
                          struct err *err)
{
    _cleanup_(json_free) json_t *merged = old == NULL ? json_object() : json_deep_copy(old);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        const json_t *value = json_object_get(request, members[i].key);
        if (value == NULL)
            continue;
        if (json_is_null(value)) {
            if (members[i].kept_as == NULL) /* raw-runtime-flags: null says nothing of runtime-flags */
                json_object_del(merged, members[i].key);
        } else if (!members[i].merge(merged, request, members[i].key, a, err)) {
            return false;
        }
    }
    *ret_merged = TAKE(merged);
    return true;
}

/* ---- what it means -------------------------------------------------------------------------------- */

static void settings_warn(struct model_settings *s, const char *text)
{
    s->flags.warnings[s->flags.n_warnings++] = text;
}

static bool settings_reasoning(const json_t *json, struct arena *a, struct model_settings *s, struct err *err)
{
    const json_t *llamacpp = NULL;
    int64_t budget = INT64_MIN;
    if (!json_get_object(json, "", "llamacpp", &llamacpp, err))
        return false;
    if (llamacpp != NULL && !json_get_int(llamacpp, "llamacpp", "reasoning-budget", -1, INT32_MAX, &budget, err))
        return false;
    if (budget != INT64_MIN)
        flags_add_reasoning(&s->flags, budget, a);
    return true;
}

/* The settings first, so that a runtime flag, which is the more particular one, wins: as in DMR. */
static bool settings_flags(const json_t *json, struct arena *a, struct model_settings *s, struct err *err)
{
    enum { MORE = 8 };
    const json_t *list = NULL;
    const char **words = NULL;
    size_t n = 0;
    struct runtime_flags flags;
    if (!json_get_array(json, "", "runtime-flags", LIMIT_RUNTIME_FLAGS, &list, err) ||
        !words_read(list, a, &words, &n, err) || !flags_read(words, n, a, &flags, err))
        return false;
    s->flags = flags;
    s->flags.n_args = 0;
    s->flags.args = arena_array(a, flags.n_args + MORE, sizeof *flags.args);
    s->flags.warnings = arena_array(a, flags.n_warnings + MORE, sizeof *flags.warnings);
    if (!settings_reasoning(json, a, s, err))
        return false;
    for (size_t i = 0; i < flags.n_args; i++)
        s->flags.args[s->flags.n_args++] = flags.args[i];
    for (size_t i = 0; i < flags.n_warnings; i++)
        s->flags.warnings[i] = flags.warnings[i];
    return true;
}

static void settings_mode(struct model_settings *s)
{
    if (s->mode == NULL)
        s->mode = s->flags.reranking ? "reranking" : s->flags.embeddings ? "embedding" : "completion";
    s->load_as = strcmp(s->mode, "embedding") == 0 ? BACKEND_EMBEDDING : BACKEND_COMPLETION;
    if (strcmp(s->mode, "reranking") == 0 || strcmp(s->mode, "image-generation") == 0)
        settings_warn(s, "the mode is kept, but this engine makes texts and embeddings only");
}

bool model_settings_read(const json_t *json, struct arena *a, struct model_settings *ret, struct err *err)
{
    struct model_settings s = {.json = json};
    const char *keep = NULL;
    const json_t *speculative = NULL;
    if (json == NULL) {
        settings_mode(&s);
        *ret = s;
        return true;
    }
    if (!settings_flags(json, a, &s, err) || !json_get_string(json, "", "mode", &s.mode, err) ||
        !json_get_int(json, "", "context-size", -1, CONTEXT_MAX, &s.context, err) ||
        !json_get_string(json, "", "keep_alive", &keep, err) ||
        !json_get_object(json, "", "speculative", &speculative, err))
        return false;
    if (speculative != NULL && !json_get_string(speculative, "speculative", "draft_model", &s.draft_model, err))
        return false;
    if (keep != NULL && !text_to_duration_ns(keep, &s.keep_alive_ns))
        return err_param(err, "keep_alive", "keep_alive is '%.64s', which is no duration", keep);
    s.keep_alive_set = keep != NULL;
    if (s.flags.context != 0)
        s.context = s.flags.context;
    settings_mode(&s);
    if (speculative != NULL)
        settings_warn(&s, "the speculative settings are kept, but this engine has no draft models yet");
    if (json_object_get(json, "vllm") != NULL)
        settings_warn(&s, "the settings of vLLM are kept, but have no effect on this engine");
    *ret = s;
    return true;
}

bool model_settings_same_engine(const struct model_settings *x, const struct model_settings *y)
{
    if (x->context != y->context || x->flags.n_args != y->flags.n_args)
        return false;
    for (size_t i = 0; i < x->flags.n_args; i++)
        if (strcmp(x->flags.args[i], y->flags.args[i]) != 0)
            return false;
    return true;
}

/* ---- on disk -------------------------------------------------------------------------------------- */

bool model_settings_parse(const char *text, json_t **ret_json, struct err *err)
{
    _cleanup_(json_free) json_t *root = NULL;
    const json_t *settings = NULL;
    int64_t version = 0;
    if (text[0] == '\0') {
        *ret_json = NULL;
        return true;
    }
    if (!json_parse(text, strlen(text), &root, err))
        return false;
    if (!json_is_object(root))
        return err_set(err, ERR_INVALID, "it is %s, not an object", json_kind(root));
    if (!json_need(root, "", "version", err) || !json_get_int(root, "", "version", 1, INT64_MAX, &version, err))
        return false;
    if (version != SETTINGS_VERSION)
        return err_set(err, ERR_UNSUPPORTED,
                       "it is of version %lld, and this program knows version %d; use a later one", (long long)version,
                       SETTINGS_VERSION);
    if (!json_get_object(root, "", "settings", &settings, err))
        return false;
    *ret_json = settings == NULL ? NULL : json_deep_copy(settings);
    return true;
}

bool model_settings_write(const json_t *json, struct buf *out, struct err *err)
{
    if (json_object_size(json) == 0)
        return true;
    _cleanup_free_ char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    return buf_printf(out, "{\"version\":%d,\"settings\":%s}\n", SETTINGS_VERSION, (const char *)check_alloc(text)) ||
           err_set(err, ERR_TOO_LARGE, "the settings are larger than %d bytes", LIMIT_SETTINGS_BYTES);
}

bool model_settings_load(struct store *s, const char *id, struct arena *a, json_t **ret_json,
                         struct model_settings *ret)
{
    _cleanup_(buf_done) struct buf text = BUF_INIT(LIMIT_SETTINGS_BYTES);
    _cleanup_(json_free) json_t *json = NULL;
    struct err err = ERR_INIT;
    bool ok = store_settings_read(s, id, &text, &err) && model_settings_parse(buf_str(&text), &json, &err) &&
              model_settings_read(json, a, ret, &err);
    if (ok) {
        *ret_json = TAKE(json);
        return *ret_json != NULL;
    }
    if (err.code != ERR_NOT_FOUND)
        log_warn("the settings of a model cannot be read, and are ignored: configure it again", "id=%s reason=%s", id,
                 err.text);
    return false;
}
