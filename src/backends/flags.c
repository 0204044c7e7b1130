/* backends/flags.c: see flags.h: the table, and its reader. */
#include "backends/flags.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "json/json_read.h"

#include <stdlib.h>
#include <string.h>

enum flag_kind { SWITCH, INT, NUMBER, WORD, OBJECT, ANY };
enum flag_use {
    PASS,      /* to the engine, as `engine` */
    COUNT,     /* likewise; -1 and 0 are the engine's own choice, which it makes when it is not told */
    CONTEXT,   /* the context size */
    EMBEDDING, /* the mode */
    RERANKING,
    KEYS, /* --cache-type-k and -v: one option of ours */
    VALUES,
    THINKING, /* --reasoning-budget: a variable of the chat template, and a bound */
    ALWAYS,   /* it is so anyway */
    NOTHING,  /* no meaning here: `why` */
};

struct flag_row {
    const char *names;  /* separated by blanks, the best known one first */
    const char *engine; /* PASS */
    enum flag_use use;
    enum flag_kind kind;
    double min, max;
    const char *words; /* WORD: separated by blanks */
    const char *why;   /* NOTHING; else for the docs */
};

static const char why_scheduler[] = "the engine's scheduler decides";
static const char why_draft[] = "the engine has no draft models yet";
static const char why_numa[] = "the system places the engine's threads";
static const char why_server[] = "the daemon is the server, with settings of its own";
static const char why_images[] = "images are not supported yet";
static const char why_sampler[] = "the engine does not have this sampler";
static const char why_memory[] = "the engine decides by the memory there is";
static const char why_shape[] = "the model's own value is used";
static const char why_log[] = "the engine's log has one form";

/* clang-format off */
static const struct flag_row flag_rows[] = {
    /* names                                       engine               use        kind    min    max        words   why */
    {"--threads -t",                               "--threads",         COUNT,     INT,    -1,    1024,      NULL,   "threads that compute; -1: by the machine"},
    {"--ctx-size -c",                              NULL,                CONTEXT,   INT,    0,     1 << 24,   NULL,   "tokens of context; 0: the model's own"},
    {"--parallel -np",                             "--parallel",        COUNT,     INT,    -1,    255,       NULL,   "requests at once; -1: the engine's own"},
    {"--n-gpu-layers --gpu-layers -ngl",           "--gpu-layers",      PASS,      INT,    -1,    INT32_MAX, NULL,   "layers on the GPU; -1: all that fit"},
    {"--no-mmap",                                  "--no-mmap",         PASS,      SWITCH, 0,     0,         NULL,   "read the weights instead of mapping the file"},
    {"--mlock",                                    "--mlock",           PASS,      SWITCH, 0,     0,         NULL,   "keep the weights in memory"},
    {"--cache-type-k -ctk",                        NULL,                KEYS,      WORD,   0,     0,         "f16 q8_0 f32 bf16 q4_0 q4_1 iq4_nl q5_0 q5_1", "f16 or q8_0"},
    {"--cache-type-v -ctv",                        NULL,                VALUES,    WORD,   0,     0,         "f16 q8_0 f32 bf16 q4_0 q4_1 iq4_nl q5_0 q5_1", "f16 or q8_0"},
    {"--no-cache-prompt",                          "--no-prefix-cache", PASS,      SWITCH, 0,     0,         NULL,   "forget a request's keys and values when it ends"},
    {"--verbose -v",                               "--log-level=debug", PASS,      SWITCH, 0,     0,         NULL,   "the engine logs more"},
    {"--temp --temperature",                       "--temp",            PASS,      NUMBER, 0,     100,       NULL,   "where a request does not say"},
    {"--top-k",                                    "--top-k",           PASS,      INT,    -1,    INT32_MAX, NULL,   "where a request does not say"},
    {"--top-p",                                    "--top-p",           PASS,      NUMBER, 0,     1,         NULL,   "where a request does not say"},
    {"--min-p",                                    "--min-p",           PASS,      NUMBER, 0,     1,         NULL,   "where a request does not say"},
    {"--repeat-penalty",                           "--repeat-penalty",  PASS,      NUMBER, 0.01,  10,        NULL,   "where a request does not say"},
    {"--repeat-last-n",                            "--repeat-last-n",   PASS,      INT,    -1,    INT32_MAX, NULL,   "where a request does not say"},
    {"--presence-penalty",                         "--presence-penalty", PASS,     NUMBER, -2,    2,         NULL,   "where a request does not say"},
    {"--frequency-penalty",                        "--frequency-penalty", PASS,    NUMBER, -2,    2,         NULL,   "where a request does not say"},
    {"--seed -s",                                  "--seed",            PASS,      INT,    -1,    UINT32_MAX, NULL,  "where a request does not say; -1: random"},
    {"--predict --n-predict -n",                   "--predict",         PASS,      INT,    -1,    INT32_MAX, NULL,   "tokens of an answer at most, where a request does not say"},
    {"--ignore-eos",                               "--ignore-eos",      PASS,      SWITCH, 0,     0,         NULL,   "answers go on behind the model's end token"},
    {"--chat-template-kwargs",                     "--chat-template-kwargs", PASS, OBJECT, 0,     0,         NULL,   "variables of the chat template, where a request does not set them"},
    {"--reasoning-budget",                         NULL,                THINKING,  INT,    -1,    INT32_MAX, NULL,   "tokens of reasoning at most; 0: none; -1: as many as the model likes"},
    {"--embeddings --embedding",                   NULL,                EMBEDDING, SWITCH, 0,     0,         NULL,   "loaded for embeddings"},
    {"--reranking --rerank",                       NULL,                RERANKING, SWITCH, 0,     0,         NULL,   "loaded for reranking"},

    {"--mmap --jinja --cont-batching -cb --kv-unified -kvu --metrics --props --cache-prompt --warmup --no-perf "
     "--swa-full --no-context-shift --repack --no-webui --prefill-assistant --no-slots", NULL, ALWAYS, ANY, 0, 0, NULL, "it is always so"},

    {"--verbose-prompt --log-prefix --log-timestamps --log-colors", NULL, NOTHING, ANY, 0, 0, NULL, why_log},
    {"--threads-batch -tb --batch-size -b --ubatch-size -ub --keep --no-cont-batching -nocb --context-shift "
     "--flash-attn -fa --cache-reuse --slot-prompt-similarity -sps --perf --no-warmup --spm-infill "
     "--check-tensors --op-offload --no-op-offload --backend-sampling -bs", NULL, NOTHING, ANY, 0, 0, NULL, why_scheduler},
    {"--cpu-mask -C --cpu-range -Cr --cpu-strict --prio --poll --cpu-mask-batch -Cb --cpu-range-batch -Crb "
     "--cpu-strict-batch --prio-batch --poll-batch", NULL, NOTHING, ANY, 0, 0, NULL, why_numa},
    {"--samplers --top-nsigma --xtc-probability --xtc-threshold --typical --dry-multiplier --dry-base "
     "--dry-allowed-length --dry-penalty-last-n --mirostat --mirostat-lr --mirostat-ent --dynatemp-range "
     "--dynatemp-exp --grammar --json-schema -j", NULL, NOTHING, ANY, 0, 0, NULL, why_sampler},
    {"--device -dev --split-mode -sm --tensor-split -ts --main-gpu -mg --fit -fit --fit-target -fitt --fit-ctx -fitc "
     "--kv-offload -kvo --no-kv-offload -nkvo --no-repack -nr --no-host --direct-io -dio --no-direct-io -ndio "
     "--cache-ram -cram --sleep-idle-seconds --cpu-moe -cmoe --n-cpu-moe -ncmoe", NULL, NOTHING, ANY, 0, 0, NULL, why_memory},
    {"--rope-scaling --rope-scale --rope-freq-base --rope-freq-scale --yarn-orig-ctx --yarn-ext-factor "
     "--yarn-attn-factor --yarn-beta-slow --yarn-beta-fast --pooling --chat-template --no-jinja --reasoning-format "
     "--no-prefill-assistant --control-vector-layer-range --lora-init-without-apply", NULL, NOTHING, ANY, 0, 0, NULL, why_shape},
    {"--timeout -to --threads-http --api-prefix --webui --webui-config --api-key --no-metrics --slots",
     NULL, NOTHING, ANY, 0, 0, NULL, why_server},
    {"--mmproj-auto --no-mmproj --no-mmproj-auto --mmproj-offload --no-mmproj-offload --image-min-tokens "
     "--image-max-tokens", NULL, NOTHING, ANY, 0, 0, NULL, why_images},
    {"--spec-type --spec-draft-threads --spec-draft-threads-batch --spec-draft-cpu-mask --spec-draft-cpu-range "
     "--spec-draft-cpu-strict --spec-draft-prio --spec-draft-poll --spec-draft-cpu-mask-batch "
     "--spec-draft-cpu-strict-batch --spec-draft-prio-batch --spec-draft-poll-batch --spec-draft-override-tensor "
     "--spec-draft-cpu-moe --spec-draft-n-cpu-moe --spec-draft-ncmoe --spec-draft-n-max --spec-draft-n-min "
     "--spec-draft-p-split --spec-draft-p-min --spec-draft-backend-sampling --no-spec-draft-backend-sampling "
     "--spec-draft-device --spec-draft-ngl --spec-draft-type-k --spec-draft-type-v --spec-ngram-mod-n-min "
     "--spec-ngram-mod-n-max --spec-ngram-mod-n-match --spec-ngram-simple-size-n --spec-ngram-simple-size-m "
     "--spec-ngram-simple-min-hits --spec-ngram-map-k-size-n --spec-ngram-map-k-size-m --spec-ngram-map-k-min-hits "
     "--spec-ngram-map-k4v-size-n --spec-ngram-map-k4v-size-m --spec-ngram-map-k4v-min-hits --draft-n-max "
     "--draft-max --draft --draft-n-min --draft-min --draft-p-split --draft-p-min -td -tbd -Cd -Crd -Cbd -otd -cmoed "
     "-ncmoed -devd -ngld -ctkd -ctvd -cd --threads-draft --threads-batch-draft --cpu-mask-draft --cpu-range-draft "
     "--cpu-strict-draft --prio-draft --poll-draft --cpu-mask-batch-draft --cpu-strict-batch-draft --prio-batch-draft "
     "--poll-batch-draft --override-tensor-draft --cpu-moe-draft --n-cpu-moe-draft --device-draft --gpu-layers-draft "
     "--n-gpu-layers-draft --cache-type-k-draft --cache-type-v-draft --ctx-size-draft", NULL, NOTHING, ANY, 0, 0, NULL, why_draft},
};

/* Flags of llama-server that would read or write a file, open an address or run something. */
static const char unsafe_names[] =
    " --model -m --model-url -mu --model-draft -md --hf-repo -hf -hfr --hf-file -hff --hf-token -hft --hf-repo-draft -hfd "
    "--host --port --path --rpc --ssl-key-file --ssl-cert-file --mmproj -mm --mmproj-url -mmu --lora --lora-scaled "
    "--control-vector --control-vector-scaled --chat-template-file --grammar-file --json-schema-file -jf --log-file "
    "--slot-save-path --media-path --api-key-file --file -f --binary-file -bf --models-dir --models-preset --tools "
    "--lookup-cache-static -lcs --lookup-cache-dynamic -lcd --override-tensor -ot --override-kv --alias -a --numa ";
/* clang-format on */

/* ---- names ---------------------------------------------------------------------------------------- */

static bool has_word(const char *words, const char *word, size_t n)
{
    for (const char *at = words; *at != '\0';) {
        size_t len = strcspn(at, " ");
        if (len == n && n > 0 && strncmp(at, word, n) == 0)
            return true;
        at += len;
        at += strspn(at, " ");
    }
    return false;
}

static const struct flag_row *flag_find(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof flag_rows / sizeof flag_rows[0]; i++)
        if (has_word(flag_rows[i].names, name, n))
            return &flag_rows[i];
    return NULL;
}

/* "-1", "-.5" are values. */
static bool is_flag(const char *word)
{
    return word[0] == '-' && !(word[1] >= '0' && word[1] <= '9') && word[1] != '.' && word[1] != '\0';
}

static bool flag_refuse(const char *name, size_t n, struct err *err)
{
    bool unsafe = has_word(unsafe_names, name, n);
    return err_param(err, "runtime-flags", "runtime flag \"%.*s\" is not allowed for backend \"llama.cpp\": %s",
                     (int)(n < 64 ? n : 64), name,
                     unsafe ? "it would let a client choose files, addresses or programs of this machine; leave it out"
                            : "llama-server has no such flag, or it is not on the list of safe ones; `tug configure "
                              "--help` and docs/runtime-flags.md have those that are");
}

/* ---- reading -------------------------------------------------------------------------------------- */

struct reader {
    const char *const *words;
    size_t n, at;
    struct arena *arena;
    struct runtime_flags out;
    const char *keys, *values; /* --cache-type-k, -v */
    const struct flag_row *row;
    const char *name;  /* of the flag that is read, as given */
    const char *value; /* NULL: none */
};

static void reader_warn(struct reader *r, const char *why)
{
    r->out.warnings[r->out.n_warnings++] =
        arena_printf(r->arena, "the runtime flag %s has no effect here: %s", r->name, why);
}

static void reader_pass(struct reader *r, const char *value)
{
    const char *engine = r->row->engine;
    r->out.args[r->out.n_args++] = value == NULL ? engine : arena_printf(r->arena, "%s=%s", engine, value);
}

static bool bad_value(const struct reader *r, const char *want, struct err *err)
{
    return err_param(err, "runtime-flags", "runtime flag %s: '%.64s' is not %s", r->name, r->value, want);
}

static bool read_int(const struct reader *r, int64_t *ret, struct err *err)
{
    char want[96];
    int64_t n = 0;
    text_format(want, sizeof want, "a whole number from %.0f to %.0f", r->row->min, r->row->max);
    if (!text_to_i64(r->value, &n) || (double)n < r->row->min || (double)n > r->row->max)
        return bad_value(r, want, err);
    *ret = n;
    return true;
}

/* The template's own switch, and the bound for models that think whatever it says. */
void flags_add_reasoning(struct runtime_flags *f, int64_t budget, struct arena *a)
{
    if (budget <= 0)
        f->args[f->n_args++] = budget == 0 ? "--thinking=0" : "--thinking=1";
    f->args[f->n_args++] = arena_printf(a, "--reasoning-budget=%lld", (long long)budget);
}

static bool take_int(struct reader *r, struct err *err)
{
    int64_t n = 0;
    if (!read_int(r, &n, err))
        return false;
    if (r->row->use == CONTEXT) {
        r->out.context = n == 0 ? -1 : n;
    } else if (r->row->use == THINKING) {
        flags_add_reasoning(&r->out, n, r->arena);
    } else if (r->row->use != COUNT || n > 0) {
        reader_pass(r, arena_printf(r->arena, "%lld", (long long)n));
    }
    return true;
}

static bool take_number(struct reader *r, struct err *err)
{
    char want[96];
    double n = 0;
    text_format(want, sizeof want, "a number from %g to %g", r->row->min, r->row->max);
    if (!text_to_double(r->value, &n) || !(n >= r->row->min && n <= r->row->max))
        return bad_value(r, want, err);
    reader_pass(r, arena_printf(r->arena, "%.9g", n));
    return true;
}

static bool take_word(struct reader *r, struct err *err)
{
    if (!has_word(r->row->words, r->value, strlen(r->value)))
        return bad_value(r, arena_printf(r->arena, "one of: %s", r->row->words), err);
    *(r->row->use == KEYS ? &r->keys : &r->values) = r->value;
    if (strcmp(r->value, "f16") != 0 && strcmp(r->value, "q8_0") != 0)
        reader_warn(r, "keys and values are kept as f16 or q8_0; the nearest of them is taken");
    return true;
}

static bool take_object(struct reader *r, struct err *err)
{
    _cleanup_(json_free) json_t *root = NULL;
    if (!json_parse(r->value, strlen(r->value), &root, err) || !json_is_object(root))
        return bad_value(r, "a JSON object", err);
    _cleanup_free_ char *text = json_dumps(root, JSON_COMPACT);
    reader_pass(r, check_alloc(text));
    return true;
}

static bool take_switch(struct reader *r, struct err *err)
{
    if (r->value != NULL)
        return err_param(err, "runtime-flags", "runtime flag %s takes no value (got '%.64s')", r->name, r->value);
    if (r->row->use == EMBEDDING)
        r->out.embeddings = true;
    else if (r->row->use == RERANKING)
        r->out.reranking = true;
    else
        reader_pass(r, NULL);
    return true;
}

static bool take(struct reader *r, struct err *err)
{
    static bool (*const takes[])(struct reader * r, struct err * err) = {
        [SWITCH] = take_switch, [INT] = take_int, [NUMBER] = take_number, [WORD] = take_word, [OBJECT] = take_object};
    if (r->row->use == ALWAYS)
        return true;
    if (r->row->use == NOTHING) {
        reader_warn(r, r->row->why);
        return true;
    }
    if (r->row->kind != SWITCH && r->value == NULL)
        return err_param(err, "runtime-flags", "runtime flag %s needs a value behind it", r->name);
    return takes[r->row->kind](r, err);
}

/* The flag at r->at, and its value. */
static bool reader_flag(struct reader *r, struct err *err)
{
    const char *word = r->words[r->at++];
    size_t n = strcspn(word, "=");
    if (!is_flag(word))
        return err_param(err, "runtime-flags", "\"%.64s\" belongs to no runtime flag: a flag begins with -", word);
    r->row = flag_find(word, n);
    if (r->row == NULL)
        return flag_refuse(word, n, err);
    r->name = arena_strndup(r->arena, word, n);
    r->value = word[n] == '=' ? word + n + 1 : NULL;
    if (r->value != NULL && is_flag(r->value))
        return err_param(err, "runtime-flags",
                         "invalid flag \"%.64s\": value cannot start with '-' unless followed by a digit", word);
    if (r->value == NULL && r->row->kind != SWITCH && r->at < r->n && !is_flag(r->words[r->at]))
        r->value = r->words[r->at++];
    return take(r, err);
}

/* Ours is one option for both: keys in f16 and values in q8_0 are the default. */
static void reader_cache_types(struct reader *r)
{
    bool keys =
        r->keys != NULL && strcmp(r->keys, "f16") != 0 && strcmp(r->keys, "f32") != 0 && strcmp(r->keys, "bf16") != 0;
    bool wide = r->values != NULL &&
                (strcmp(r->values, "f16") == 0 || strcmp(r->values, "f32") == 0 || strcmp(r->values, "bf16") == 0);
    if (keys)
        r->out.args[r->out.n_args++] = "--kv-type=q8_0";
    else if (wide)
        r->out.args[r->out.n_args++] = "--kv-type=f16";
}

static bool words_are_safe(const char *const *words, size_t n, struct err *err)
{
    if (n > LIMIT_RUNTIME_FLAGS)
        return err_param(err, "runtime-flags", "%zu words of runtime flags; at most %d", n, LIMIT_RUNTIME_FLAGS);
    for (size_t i = 0; i < n; i++) {
        if (strpbrk(words[i], "/\\") != NULL)
            return err_param(err, "runtime-flags",
                             "invalid runtime flag \"%.64s\": paths are not allowed (contains '/' or '\\'); settings "
                             "cannot name files of this machine",
                             words[i]);
    }
    return true;
}

bool flags_read(const char *const *words, size_t n, struct arena *a, struct runtime_flags *ret, struct err *err)
{
    struct reader r = {.words = words, .n = n, .arena = a};
    if (!words_are_safe(words, n, err))
        return false;
    r.out.args = arena_array(a, 2 * n + 3, sizeof *r.out.args);
    r.out.warnings = arena_array(a, n + 1, sizeof *r.out.warnings);
    while (r.at < n)
        if (!reader_flag(&r, err))
            return false;
    reader_cache_types(&r);
    *ret = r.out;
    return true;
}

/* ---- shell words ---------------------------------------------------------------------------------- */

/* One word from *at, without its quotes, into dst, which has room. False: a quote is not closed. */
static bool split_one(const char **at, char *dst)
{
    char quote = '\0';
    for (; **at != '\0' && (quote != '\0' || strchr(" \t\r\n", **at) == NULL); (*at)++) {
        char c = **at;
        if (quote == '\0' && (c == '\'' || c == '"')) {
            quote = c;
        } else if (c == quote) {
            quote = '\0';
        } else if (c == '\\' && quote != '\'' && (*at)[1] != '\0') {
            *dst++ = *++(*at);
        } else {
            *dst++ = c;
        }
    }
    *dst = '\0';
    return quote == '\0';
}

bool flags_split(const char *raw, struct arena *a, const char ***ret_words, size_t *ret_n, struct err *err)
{
    const char **words = arena_array(a, LIMIT_RUNTIME_FLAGS + 1, sizeof *words);
    size_t n = 0;
    for (;;) {
        raw += strspn(raw, " \t\r\n");
        if (*raw == '\0')
            break;
        if (n == LIMIT_RUNTIME_FLAGS)
            return err_param(err, "raw-runtime-flags", "more than %d words of runtime flags", LIMIT_RUNTIME_FLAGS);
        char *word = arena_alloc(a, strlen(raw) + 1);
        if (!split_one(&raw, word))
            return err_param(err, "raw-runtime-flags", "invalid runtime flags: a quote is not closed");
        words[n++] = word;
    }
    *ret_words = words;
    *ret_n = n;
    return true;
}

/* ---- docs ----------------------------------------------------------------------------------------- */

static void docs_names(struct buf *out, const char *names)
{
    buf_add_str(out, "`");
    for (; *names != '\0'; names++)
        buf_add_str(out, *names == ' ' ? "` `" : (char[]){*names, '\0'});
    buf_add_str(out, "`");
}

void flags_write_docs(struct buf *out)
{
    for (size_t i = 0; i < sizeof flag_rows / sizeof flag_rows[0]; i++) {
        const struct flag_row *row = &flag_rows[i];
        buf_add_str(out, "| ");
        docs_names(out, row->names);
        if (row->kind == INT || row->kind == NUMBER)
            buf_printf(out, " | %.15g to %.15g", row->min, row->max);
        else
            buf_printf(out, " | %s", row->kind == WORD ? row->words : row->kind == OBJECT ? "a JSON object" : "");
        buf_printf(out, " | %s%s |\n", row->use == NOTHING ? "no effect: " : "", row->why);
    }
}
