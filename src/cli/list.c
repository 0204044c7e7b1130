/* cli/list.c: `tug list`: the models that are here. Columns and order: dmr.md 1.4. */
#include "cli/cli.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "cli/ui/table.h"
#include "oci/reference.h"
#include "platform/clock.h"
#include "platform/process.h"
#include "json/json_read.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct list_row {
    char name[512];
    const json_t *model;
};

static const char *list_text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s == NULL ? "" : s;
}

/* The base name decides, then the bare name comes before its variants. */
static int list_compare(const void *a, const void *b)
{
    const struct list_row *x = a, *y = b;
    size_t nx = strcspn(x->name, ":"), ny = strcspn(y->name, ":");
    int c = strncasecmp(x->name, y->name, nx < ny ? nx : ny);
    if (c != 0)
        return c;
    if (nx != ny)
        return nx < ny ? -1 : 1;
    return strcasecmp(x->name + nx, y->name + ny);
}

static void list_created(const json_t *model, char dst[64])
{
    char ago[TEXT_SHORT_MAX];
    int64_t then_s = json_integer_value(json_object_get(model, "created"));
    if (then_s <= 0 || then_s > INT64_MAX / CLOCK_SECOND)
        return;
    text_human_duration(ago, clock_wall_ns() - then_s * CLOCK_SECOND);
    text_format(dst, 64, "%s ago", ago);
}

static void list_context(const json_t *config, char dst[TEXT_SHORT_MAX])
{
    const json_t *size = json_object_get(config, "context_size");
    const char *trained = list_text(json_object_get(config, "gguf"), "llama.context_length");
    if (json_is_integer(size))
        text_format(dst, TEXT_SHORT_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(size));
    else
        text_format(dst, TEXT_SHORT_MAX, "%s", trained);
}

static void list_row(struct table *t, const struct list_row *row)
{
    const json_t *config = json_object_get(row->model, "config");
    char id[16], created[64] = "", context[TEXT_SHORT_MAX];
    const char *full = list_text(row->model, "id");
    text_format(id, sizeof id, "%.12s", text_starts(full, "sha256:") ? full + 7 : full);
    list_created(row->model, created);
    list_context(config, context);
    const char *cells[] = {row->name,
                           list_text(config, "parameters"),
                           list_text(config, "quantization"),
                           list_text(config, "architecture"),
                           id,
                           created,
                           context,
                           list_text(config, "size")};
    table_row(t, cells);
}

/* A filter is compared after normalising both sides; without a tag it matches every tag. */
static bool list_wanted(const char *tag, const char *filter)
{
    struct reference a, b;
    if (filter == NULL)
        return true;
    if (!reference_parse(tag, &a, NULL) || !reference_parse(filter, &b, NULL))
        return false;
    const char *slash = strrchr(filter, '/');
    bool tagged = strchr(slash == NULL ? filter : slash, ':') != NULL;
    return strcmp(a.registry, b.registry) == 0 && strcmp(a.repository, b.repository) == 0 &&
           (!tagged || strcmp(a.tag, b.tag) == 0);
}

static bool list_model_wanted(const json_t *model, const char *filter)
{
    size_t i;
    json_t *tag;
    bool wanted = filter == NULL;
    json_array_foreach(json_object_get(model, "tags"), i, tag)
    {
        wanted = wanted || list_wanted(json_string_value(tag), filter);
    }
    return wanted;
}

static void list_table(const json_t *models, const char *filter)
{
    static const char *const header[] = {"MODEL NAME", "PARAMETERS", "QUANTIZATION", "ARCHITECTURE",
                                         "MODEL ID",   "CREATED",    "CONTEXT",      "SIZE"};
    struct arena arena = ARENA_INIT;
    struct table t = {.header = header, .n_columns = 8, .arena = &arena};
    size_t n = 0, cap = 0, i, k;
    json_t *model, *tag;
    json_array_foreach(models, i, model) { cap += json_array_size(json_object_get(model, "tags")) + 1; }
    struct list_row *rows = arena_array(&arena, cap + 1, sizeof *rows);
    json_array_foreach(models, i, model)
    {
        const json_t *tags = json_object_get(model, "tags");
        json_array_foreach(tags, k, tag)
        {
            if (!list_wanted(json_string_value(tag), filter))
                continue;
            reference_display(json_string_value(tag), rows[n].name);
            rows[n++].model = model;
        }
        if (json_array_size(tags) == 0 && filter == NULL) {
            text_format(rows[n].name, sizeof rows[n].name, "<none>");
            rows[n++].model = model;
        }
    }
    qsort(rows, n, sizeof *rows, list_compare);
    for (i = 0; i < n; i++)
        list_row(&t, &rows[i]);
    table_print(&t);
    arena_done(&arena);
}

static void list_quiet(const json_t *models, const char *filter)
{
    size_t i;
    json_t *model;
    json_array_foreach(models, i, model)
    {
        const char *id = list_text(model, "id");
        if (list_model_wanted(model, filter))
            printf("%.12s\n", text_starts(id, "sha256:") ? id + 7 : id);
    }
}

/* The other ways to write a stored name: without the registry and the namespace that go without saying, and without
 * the tag `latest`. */
static void list_add_spellings(json_t *tags)
{
    static const char *const prefixes[][2] = {
        {"docker.io/", ""}, {"docker.io/ai/", ""}, {"docker.io/", "index.docker.io/"}, {"huggingface.co/", "hf.co/"}};
    static const char latest[] = ":latest";
    char text[LIMIT_REFERENCE_BYTES + 32];
    size_t n = json_array_size(tags);
    for (size_t i = 0; i < n; i++) {
        const char *tag = json_string_value(json_array_get(tags, i));
        for (size_t k = 0; tag != NULL && k <= ARRAY_LEN(prefixes); k++) {
            const char *from = k < ARRAY_LEN(prefixes) ? prefixes[k][0] : "";
            const char *to = k < ARRAY_LEN(prefixes) ? prefixes[k][1] : "";
            if (!text_starts(tag, from) || !text_format(text, sizeof text, "%s%s", to, tag + strlen(from)))
                continue;
            json_array_append_new(tags, json_string(text));
            if (text_ends(text, latest)) {
                text[strlen(text) - strlen(latest)] = '\0';
                json_array_append_new(tags, json_string(text));
            }
        }
    }
}

/* Compose looks for a model by the letters of the compose file, and calls `pull` when it does not see them. */
static void list_for_compose(json_t *models)
{
    size_t i;
    json_t *model;
    json_array_foreach(models, i, model) { list_add_spellings(json_object_get(model, "tags")); }
}

static void list_json(json_t *models, const char *filter)
{
    if (process_env("COMPOSE_PROJECT_NAME") != NULL)
        list_for_compose(models);
    for (size_t i = json_array_size(models); i-- > 0;)
        if (!list_model_wanted(json_array_get(models, i), filter))
            json_array_remove(models, i);
    cli_print_json(models);
}

static int list_compare_ids(const void *a, const void *b)
{
    return strcasecmp(list_text(*(json_t *const *)a, "id"), list_text(*(json_t *const *)b, "id"));
}

/* What another API has: names, and when it says so, their age. */
static void list_external_table(const json_t *data)
{
    static const char *const header[] = {"MODEL NAME", "CREATED"};
    struct arena arena = ARENA_INIT;
    struct table t = {.header = header, .n_columns = 2, .arena = &arena};
    size_t n = json_array_size(data), i;
    json_t **sorted = arena_array(&arena, n + 1, sizeof *sorted);
    for (i = 0; i < n; i++)
        sorted[i] = json_array_get(data, i);
    qsort(sorted, n, sizeof *sorted, list_compare_ids);
    for (i = 0; i < n; i++) {
        char created[64] = "";
        list_created(sorted[i], created);
        const char *cells[] = {list_text(sorted[i], "id"), created};
        table_row(&t, cells);
    }
    table_print(&t);
    arena_done(&arena);
}

static bool list_external(struct command_args *args, struct err *err)
{
    _cleanup_(json_free) json_t *answer = NULL;
    if (!cli_external(args->cli, command_flag(args, "openaiurl")->s, err) ||
        !cli_json(args->cli, "GET", "/models", NULL, &answer, err))
        return false;
    if (command_flag(args, "json")->b || command_flag(args, "openai")->b)
        cli_print_json(answer);
    else
        list_external_table(json_object_get(answer, "data"));
    return true;
}

static bool list_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    bool openai = command_flag(args, "openai")->b;
    bool quiet = command_flag(args, "quiet")->b;
    bool external = command_flag(args, "openaiurl")->set;
    const char *filter = args->argc > 0 ? args->argv[0] : NULL;
    _cleanup_(json_free) json_t *models = NULL;
    if (quiet && (openai || external))
        return err_set(err, ERR_INVALID, "--quiet flag cannot be used with --openai flag or OpenAI backend");
    if (external)
        return list_external(args, err);
    if (!cli_ready(args->cli, DAEMON_START, err) ||
        !cli_json(args->cli, "GET", openai ? "/engines/v1/models" : "/models", NULL, &models, err))
        return false;
    if (openai)
        cli_print_json(models);
    else if (command_flag(args, "json")->b)
        list_json(models, filter);
    else if (quiet)
        list_quiet(models, filter);
    else
        list_table(models, filter);
    return true;
}

static const struct flag list_flags[] = {
    {.name = "json", .kind = FLAG_BOOL, .help = "Print what the API answers"},
    {.name = "openai", .kind = FLAG_BOOL, .help = "Print the list in OpenAI's form"},
    {.name = "quiet", .letter = 'q', .kind = FLAG_BOOL, .help = "Only model ids"},
    {.name = "openaiurl",
     .kind = FLAG_STRING,
     .arg = "URL",
     .help = "List this OpenAI-compatible API instead; its key is OPENAI_API_KEY"},
    {0},
};

const struct command command_list = {
    .name = "list",
    .alias = "ls",
    .args = "[MODEL]",
    .min_args = 0,
    .max_args = 1,
    .summary = "Show the models that are here",
    .flags = list_flags,
    .route = "GET /models",
    .group = "Manage models",
    .daemon = DAEMON_NONE, /* as --openaiurl says */
    .failure = "Failed to list models",
    .differs = "MODEL is compared after both names are completed, so that `ls smollm2` finds what was pulled as "
               "`ai/smollm2`; a filter without a match prints `[]` with --json.",
    .run = list_run,
};
