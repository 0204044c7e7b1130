/* cli/show.c: `tug show`: one model for a person: what it is, and what its file says. Layout: dmr.md 1.4; keys are
 * sorted, so that two calls can be compared. */
#include "cli/cli.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "platform/clock.h"
#include "json/json_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *show_text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s == NULL ? "" : s;
}

static void show_line(const char *label, const char *value)
{
    if (value[0] != '\0')
        printf("%-14s %s\n", label, value);
}

static void show_head(const json_t *model)
{
    char created[40];
    size_t i;
    json_t *tag;
    printf("Model:       %s\n", show_text(model, "id"));
    if (json_array_size(json_object_get(model, "tags")) > 0) {
        printf("Tags:        ");
        json_array_foreach(json_object_get(model, "tags"), i, tag)
            printf("%s%s", i > 0 ? ", " : "", json_is_string(tag) ? json_string_value(tag) : "");
        printf("\n");
    }
    int64_t created_s = json_integer_value(json_object_get(model, "created"));
    if (created_s > 0) {
        text_rfc3339(created, created_s * CLOCK_SECOND, 0);
        printf("Created:     %s\n", created);
    }
    printf("\n");
}

static int show_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A value may be as long as a chat template: shown on one line, cut. */
static void show_value(const char *key, const char *value)
{
    enum { VALUE_COLUMNS = 200 };
    size_t n = strcspn(value, "\n"), all = strlen(value);
    if (n > VALUE_COLUMNS)
        n = VALUE_COLUMNS - text_utf8_partial(value, VALUE_COLUMNS);
    printf("  %s: %.*s%s\n", key, (int)n, value, n < all ? "..." : "");
}

static void show_section(const json_t *config, const char *key, const char *title)
{
    json_t *map = json_object_get(config, key), *value;
    size_t n = json_object_size(map), i = 0;
    const char *name;
    if (n == 0)
        return;
    const char **names = calloc(n, sizeof *names);
    if (names == NULL)
        return;
    json_object_foreach(map, name, value) names[i++] = name;
    qsort(names, n, sizeof *names, show_compare);
    printf("\n%s\n", title);
    for (i = 0; i < n; i++)
        show_value(names[i], show_text(map, names[i]));
    free(names);
}

static bool show_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    char path[2048], context[TEXT_SHORT_MAX] = "";
    _cleanup_(json_free) json_t *model = NULL;
    if (!cli_path(path, sizeof path, "/models/", args->argv[0], command_flag(args, "remote")->b ? "?remote=true" : ""))
        return err_set(err, ERR_INVALID, "the model's name is too long");
    if (!cli_json(args->cli, "GET", path, NULL, &model, err))
        return err_while(err, "Failed to get model %s", args->argv[0]);
    const json_t *config = json_object_get(model, "config");
    int64_t size = json_integer_value(json_object_get(config, "context_size"));
    if (size > 0)
        text_format(context, sizeof context, "%" PRId64, size);
    show_head(model);
    show_line("Format:", show_text(config, "format"));
    show_line("Architecture:", show_text(config, "architecture"));
    show_line("Parameters:", show_text(config, "parameters"));
    show_line("Size:", show_text(config, "size"));
    show_line("Quantization:", show_text(config, "quantization"));
    show_line("Context Size:", context);
    show_section(config, "gguf", "GGUF Metadata:");
    show_section(config, "safetensors", "Safetensors Metadata:");
    show_section(config, "diffusers", "Diffusers Metadata:");
    return true;
}

static const struct flag show_flags[] = {
    {.name = "remote", .letter = 'r', .kind = FLAG_BOOL, .help = "Ask the registry instead of the local store"},
    {0},
};

const struct command command_show = {
    .name = "show",
    .args = "MODEL",
    .min_args = 1,
    .max_args = 1,
    .summary = "Show what a model is, for people",
    .flags = show_flags,
    .route = "GET /models/{name...}",
    .group = "Manage models",
    .daemon = DAEMON_START,
    .differs = "The metadata is sorted by key, and long values are cut to one line.",
    .run = show_run,
};
