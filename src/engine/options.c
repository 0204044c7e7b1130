/* engine/options.c: see options.h. */
#include "engine/options.h"

#include "base/text.h"

#include <ggml.h>
#include <stddef.h>
#include <string.h>

enum option_kind {
    OPTION_FLAG,
    OPTION_TEXT,
    OPTION_INT,
    OPTION_INT32,
    OPTION_NUMBER,
    OPTION_SEED,
    OPTION_KV,
    OPTION_LEVEL
};

struct option_row {
    const char *name; /* with dashes */
    enum option_kind kind;
    const char *arg; /* for help; NULL: a flag */
    size_t offset;   /* in struct engine_options */
    double min, max;
    const char *help;
};

#define AT(member) offsetof(struct engine_options, member)

/* clang-format off */
static const struct option_row option_rows[] = {
    {"--model",              OPTION_TEXT,  "PATH",   AT(model),              0, 0,             "the GGUF file, or the first of its parts"},
    {"--alias",              OPTION_TEXT,  "NAME",   AT(alias),              0, 0,             "the model's name for clients (default: the file's own)"},
    {"--mmproj",             OPTION_TEXT,  "PATH",   AT(mmproj),             0, 0,             "the model's projector; images are not supported yet"},
    {"--chat-template-file", OPTION_TEXT,  "PATH",   AT(chat_template_file), 0, 0,             "a Jinja chat template in place of the model's own"},
    {"--listen",             OPTION_TEXT,  "WHERE",  AT(listen),             0, 0,             "unix:PATH or HOST:PORT (default: 127.0.0.1:8080)"},
    {"--ready-fd",           OPTION_INT,   "FD",     AT(ready_fd),           3, 1023,          "say here when the model is loaded; end when it closes"},
    {"--ctx-size",           OPTION_INT,   "TOKENS", AT(ctx_size),           0, INT32_MAX,     "context of all requests together (default: the model's, if it fits)"},
    {"--parallel",           OPTION_INT,   "N",      AT(parallel),           0, 255,           "requests at the same time"},
    {"--threads",            OPTION_INT,   "N",      AT(threads),            0, 1024,          "threads that compute (default: by the machine)"},
    {"--gpu-layers",         OPTION_INT,   "N",      AT(gpu_layers),        -1, INT32_MAX,     "layers on the GPU (default: all that fit)"},
    {"--kv-type",            OPTION_KV,    "TYPE",   AT(kv_type),            0, 0,             "f16 or q8_0: how keys and values are kept (default: f16 keys, q8_0 values; on a GPU f16)"},
    {"--no-prefix-cache",    OPTION_FLAG,  NULL,     AT(no_prefix_cache),    0, 0,             "forget a request's keys and values when it ends"},
    {"--no-mmap",            OPTION_FLAG,  NULL,     AT(no_mmap),            0, 0,             "read the weights into memory instead of mapping the file"},
    {"--mlock",              OPTION_FLAG,  NULL,     AT(mlock),              0, 0,             "keep the weights in memory, never on swap"},
    {"--temp",               OPTION_NUMBER, "T",     AT(defaults.temperature), 0, 100,         "temperature of requests that do not say (default: 1)"},
    {"--top-k",              OPTION_INT32, "N",      AT(defaults.top_k),    -1, INT32_MAX,     "likewise: the most likely tokens to choose from (default: 40)"},
    {"--top-p",              OPTION_NUMBER, "P",     AT(defaults.top_p),     0, 1,             "likewise: those that make up this share (default: 1)"},
    {"--min-p",              OPTION_NUMBER, "P",     AT(defaults.min_p),     0, 1,             "likewise: those this likely, of the likeliest (default: 0.05)"},
    {"--repeat-penalty",     OPTION_NUMBER, "X",     AT(defaults.repeat_penalty), 0.01, 10,    "likewise, for tokens that were there (default: 1)"},
    {"--repeat-last-n",      OPTION_INT32, "N",      AT(defaults.repeat_last_n), -1, INT32_MAX, "likewise: how far back that looks (default: 64)"},
    {"--presence-penalty",   OPTION_NUMBER, "X",     AT(defaults.presence_penalty), -2, 2,     "likewise (default: 0)"},
    {"--frequency-penalty",  OPTION_NUMBER, "X",     AT(defaults.frequency_penalty), -2, 2,    "likewise (default: 0)"},
    {"--seed",               OPTION_SEED,  "N",      AT(defaults.seed),     -1, UINT32_MAX,    "likewise (default: -1, a random one)"},
    {"--predict",            OPTION_INT32, "N",      AT(defaults.max_tokens), -1, INT32_MAX,   "likewise: tokens of an answer at most (default: -1, no limit)"},
    {"--reasoning-budget",   OPTION_INT32, "N",      AT(defaults.reasoning_budget), -1, INT32_MAX, "likewise: tokens of reasoning at most (default: -1, no limit)"},
    {"--ignore-eos",         OPTION_FLAG,  NULL,     AT(defaults.ignore_eos), 0, 0,            "go on behind the model's end token"},
    {"--chat-template-kwargs", OPTION_TEXT, "JSON",  AT(template_kwargs),    0, 0,             "variables of the chat template that requests do not set"},
    {"--thinking",           OPTION_INT,   "0|1",    AT(thinking),           0, 1,             "the chat template's enable_thinking, likewise"},
    {"--api-key-file",       OPTION_TEXT,  "PATH",   AT(api_key_file),       0, 0,             "want this file's first line as a Bearer key"},
    {"--insecure",           OPTION_FLAG,  NULL,     AT(insecure),           0, 0,             "listen beyond this machine without a key"},
    {"--log-level",          OPTION_LEVEL, "LEVEL",  AT(log_level),          0, 0,             "error, warn, info or debug (default: info)"},
    {"--help",               OPTION_FLAG,  NULL,     AT(help),               0, 0,             "show this text"},
    {"--version",            OPTION_FLAG,  NULL,     AT(version),            0, 0,             "show the version"},
};
/* clang-format on */

static const struct {
    const char *name;
    int type;
} kv_types[] = {{"f16", GGML_TYPE_F16}, {"q8_0", GGML_TYPE_Q8_0}};

/* "--name" or "--name=value"; *ret_value: behind the "=", NULL without one. */
static const struct option_row *option_find(const char *text, const char **ret_value)
{
    for (size_t i = 0; i < sizeof option_rows / sizeof option_rows[0]; i++) {
        size_t n = strlen(option_rows[i].name);
        if (strncmp(text, option_rows[i].name, n) != 0 || (text[n] != '\0' && text[n] != '='))
            continue;
        *ret_value = text[n] == '=' ? text + n + 1 : NULL;
        return &option_rows[i];
    }
    return NULL;
}

static bool option_set_int(const struct option_row *row, const char *value, int64_t *dst, struct err *err)
{
    int64_t number;
    if (!text_to_i64(value, &number) || (double)number < row->min || (double)number > row->max)
        return err_set(err, ERR_INVALID, "%s must be a whole number from %.0f to %.0f (got '%s')", row->name, row->min,
                       row->max, value);
    *dst = number;
    return true;
}

static bool option_set_int32(const struct option_row *row, const char *value, int32_t *dst, struct err *err)
{
    int64_t number = 0;
    if (!option_set_int(row, value, &number, err))
        return false;
    *dst = (int32_t)number;
    return true;
}

static bool option_set_seed(const struct option_row *row, const char *value, struct engine_options *o, struct err *err)
{
    int64_t number = 0;
    if (!option_set_int(row, value, &number, err))
        return false;
    o->defaults.seed_set = number >= 0;
    o->defaults.seed = number >= 0 ? (uint64_t)number : 0;
    return true;
}

static bool option_set_number(const struct option_row *row, const char *value, double *dst, struct err *err)
{
    double number = 0;
    if (!text_to_double(value, &number) || !(number >= row->min && number <= row->max))
        return err_set(err, ERR_INVALID, "%s must be a number from %g to %g (got '%s')", row->name, row->min, row->max,
                       value);
    *dst = number;
    return true;
}

static bool option_set_kv(const char *value, int *dst, struct err *err)
{
    for (size_t i = 0; i < sizeof kv_types / sizeof kv_types[0]; i++) {
        if (!text_equal_nocase(value, kv_types[i].name))
            continue;
        *dst = kv_types[i].type;
        return true;
    }
    return err_set(err, ERR_INVALID, "--kv-type must be f16 or q8_0 (got '%s')", value);
}

static bool option_set(const struct option_row *row, const char *value, struct engine_options *o, struct err *err)
{
    void *at = (char *)o + row->offset;
    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)at = true;
        return true;
    case OPTION_TEXT:
        *(const char **)at = value;
        return value[0] != '\0' || err_set(err, ERR_INVALID, "%s is empty", row->name);
    case OPTION_INT:
        return option_set_int(row, value, at, err);
    case OPTION_INT32:
        return option_set_int32(row, value, at, err);
    case OPTION_SEED:
        return option_set_seed(row, value, o, err);
    case OPTION_NUMBER:
        return option_set_number(row, value, at, err);
    case OPTION_KV:
        return option_set_kv(value, at, err);
    case OPTION_LEVEL:
        return log_level_parse(value, at) ||
               err_set(err, ERR_INVALID, "--log-level must be error, warn, info or debug (got '%s')", value);
    }
    return true;
}

bool options_parse(int argc, char **argv, struct engine_options *ret_options, struct err *err)
{
    struct engine_options o = {.listen = "127.0.0.1:8080",
                               .ready_fd = -1,
                               .gpu_layers = -1,
                               .kv_type = -1,
                               .thinking = -1,
                               .log_level = LOG_INFO,
                               .defaults = GEN_PARAMS_DEFAULT};
    for (int i = 1; i < argc; i++) {
        const char *value = NULL;
        const struct option_row *row = option_find(argv[i], &value);
        if (row == NULL)
            return err_set(err, ERR_INVALID, "no option '%s'; see tug-engine --help", argv[i]);
        if (row->kind == OPTION_FLAG && value != NULL)
            return err_set(err, ERR_INVALID, "%s takes no value", row->name);
        if (row->kind != OPTION_FLAG && value == NULL && ++i < argc)
            value = argv[i];
        if (row->kind != OPTION_FLAG && value == NULL)
            return err_set(err, ERR_INVALID, "%s needs a value: %s %s", row->name, row->name, row->arg);
        if (!option_set(row, value, &o, err))
            return false;
    }
    if (o.model == NULL && !o.help && !o.version)
        return err_set(err, ERR_INVALID, "--model PATH is missing; see tug-engine --help");
    *ret_options = o;
    return true;
}

void options_help(struct buf *out)
{
    buf_add_str(
        out, "Usage: tug-engine --model PATH [OPTION...]\n\n"
             "Serve one model with OpenAI's HTTP API. `tug serve` starts it; by hand it is told what to do here.\n\n");
    for (size_t i = 0; i < sizeof option_rows / sizeof option_rows[0]; i++) {
        char left[64];
        const struct option_row *row = &option_rows[i];
        (void)text_format(left, sizeof left, "%s %s", row->name, row->arg == NULL ? "" : row->arg);
        buf_printf(out, "  %-28s %s\n", left, row->help);
    }
}
