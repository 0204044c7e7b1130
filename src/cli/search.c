/* cli/search.c: `tug search`: models that could be pulled. No daemon is needed; the sources are asked at the same time,
 * and one that is down takes nothing from the other. Columns: dmr.md 1.7. */
#include "cli/search_sources.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/ui/table.h"
#include "platform/process.h"
#include "json/json_read.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { SEARCH_SOURCES_MAX = 2, SEARCH_DESCRIPTION = 50 };

struct search_job {
    const struct search_source *source;
    const struct search_ask *ask;
    json_t *rows;
    bool ok, threaded;
    struct err err;
    pthread_t thread;
};

static void *search_job_run(void *arg)
{
    struct search_job *job = arg;
    job->ok = job->source->find(job->ask, job->rows, &job->err);
    return NULL;
}

static bool search_chosen(const char *choices, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = choices; at != NULL; at = strchr(at, '|') == NULL ? NULL : strchr(at, '|') + 1)
        if (strncmp(at, word, n) == 0 && (at[n] == '|' || at[n] == '\0'))
            return true;
    return false;
}

static int search_compare(const void *a, const void *b)
{
    json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "Downloads"));
    json_int_t y = json_integer_value(json_object_get(*(json_t *const *)b, "Downloads"));
    return x < y ? 1 : x > y ? -1 : 0;
}

/* One source's rows, most downloaded first, behind those that are there. */
static void search_append(json_t *all, const json_t *rows)
{
    size_t n = json_array_size(rows);
    json_t **sorted = calloc(n + 1, sizeof(json_t *));
    if (sorted == NULL)
        return;
    for (size_t i = 0; i < n; i++)
        sorted[i] = json_array_get(rows, i);
    qsort(sorted, n, sizeof(json_t *), search_compare);
    for (size_t i = 0; i < n; i++)
        json_array_append(all, sorted[i]);
    free(sorted);
}

static bool search_all(const struct search_ask *ask, const char *which, json_t *all, struct err *err)
{
    struct search_job jobs[SEARCH_SOURCES_MAX] = {0};
    size_t n = 0, failed = 0;
    for (const struct search_source *s = search_sources; s->name != NULL; s++)
        if (search_chosen(s->choices, which))
            jobs[n++] = (struct search_job){.source = s, .ask = ask, .rows = json_array()};
    for (size_t i = 1; i < n; i++)
        jobs[i].threaded = process_thread("search-source", search_job_run, &jobs[i], 0, 0, &jobs[i].thread, NULL);
    for (size_t i = 0; i < n; i++)
        if (!jobs[i].threaded)
            search_job_run(&jobs[i]);
    char words[ERR_TEXT_MAX] = "";
    for (size_t i = 0; i < n; i++) {
        if (jobs[i].threaded)
            pthread_join(jobs[i].thread, NULL);
        if (jobs[i].ok) {
            search_append(all, jobs[i].rows);
        } else {
            size_t used = strlen(words);
            text_format(words + used, sizeof words - used, "%s%s: %.200s", failed > 0 ? "; " : "", jobs[i].source->name,
                        jobs[i].err.text);
            failed++;
        }
        json_decref(jobs[i].rows);
    }
    if (cli_interrupted(ask->cli))
        return err_set(err, ERR_CANCELLED, "stopped");
    if (failed == n)
        return err_set(err, ERR_UNREACHABLE, "all search sources failed: [%s]; is this machine online?", words);
    if (failed > 0)
        fprintf(stderr, "Warning: failed to search %s\n", words);
    return true;
}

static void search_count(char dst[TEXT_SHORT_MAX], json_int_t n)
{
    if (n >= 1000000)
        text_format(dst, TEXT_SHORT_MAX, "%.1fM", (double)n / 1e6);
    else if (n >= 1000)
        text_format(dst, TEXT_SHORT_MAX, "%.1fK", (double)n / 1e3);
    else
        text_format(dst, TEXT_SHORT_MAX, "%lld", (long long)n);
}

static const char *search_text(const json_t *row, const char *key)
{
    const char *s = json_string_value(json_object_get(row, key));
    return s == NULL ? "" : s;
}

static void search_row(struct table *t, const json_t *row)
{
    char downloads[TEXT_SHORT_MAX], stars[TEXT_SHORT_MAX], about[SEARCH_DESCRIPTION + 4];
    const char *description = search_text(row, "Description");
    size_t n = strcspn(description, "\r\n");
    bool cut = n > SEARCH_DESCRIPTION;
    if (cut)
        n = SEARCH_DESCRIPTION - 3;
    n -= text_utf8_partial(description, n);
    text_format(about, sizeof about, "%.*s%s", (int)n, description, cut ? "..." : "");
    search_count(downloads, json_integer_value(json_object_get(row, "Downloads")));
    search_count(stars, json_integer_value(json_object_get(row, "Stars")));
    const char *cells[] = {search_text(row, "Name"),  about,     search_text(row, "Backend"),
                           search_text(row, "Size"),  downloads, stars,
                           search_text(row, "Source")};
    table_row(t, cells);
}

static void search_table(const json_t *rows)
{
    static const char *const header[] = {"NAME", "DESCRIPTION", "BACKEND", "SIZE", "DOWNLOADS", "STARS", "SOURCE"};
    struct arena arena = ARENA_INIT;
    struct table t = {.header = header, .n_columns = 7, .arena = &arena};
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) search_row(&t, row);
    table_print(&t);
    arena_done(&arena);
}

static bool search_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    struct search_ask ask = {
        .cli = args->cli, .term = args->argc > 0 ? args->argv[0] : "", .limit = command_flag(args, "limit")->i};
    _cleanup_(json_free) json_t *rows = json_array();
    if (!cli_catch_interrupt(args->cli, err) || !search_all(&ask, command_flag(args, "source")->s, rows, err))
        return false;
    if (command_flag(args, "json")->b)
        cli_print_json(rows);
    else if (json_array_size(rows) == 0)
        printf("No models found matching \"%s\"\n", ask.term);
    else
        search_table(rows);
    return true;
}

static const struct flag search_flags[] = {
    {.name = "limit",
     .letter = 'n',
     .kind = FLAG_INT,
     .arg = "N",
     .value = "32",
     .min = 1,
     .max = SEARCH_LIMIT_MAX,
     .help = "At most so many of each source"},
    {.name = "source",
     .kind = FLAG_STRING,
     .arg = "NAME",
     .value = "all",
     .choices = "all|dockerhub|docker|hub|huggingface|hf",
     .help = "Where to look"},
    {.name = "json", .kind = FLAG_BOOL, .help = "Print the results as JSON"},
    {0},
};

const struct command command_search = {
    .name = "search",
    .args = "[TERM]",
    .min_args = 0,
    .max_args = 1,
    .summary = "Find models on Docker Hub and Hugging Face",
    .about = "BACKEND and SIZE are what the source says of a model; SIZE is that of the variant that a pull takes.\n"
             "TUG_HUB_URL and HF_ENDPOINT name mirrors of the two sources.",
    .example = "tug search smollm2",
    .flags = search_flags,
    .group = "Manage models",
    .daemon = DAEMON_NONE,
    .failure = "search failed",
    .differs =
        "--limit counts for each source; BACKEND and SIZE are from the source's own lists of tags and files, and "
        "`unknown` and `n/a` where it says nothing.",
    .run = search_run,
};
