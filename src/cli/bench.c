/* cli/bench.c: `tug bench`: how fast a model answers, alone and for several at once. Output: dmr.md 1.7, and the time
 * to the first token, which is what a person waits for. */
#include "cli/bench_level.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/chat_stream.h"
#include "platform/clock.h"
#include "json/json_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { BENCH_LEVELS_MAX = 32 };

/* "1,2,4,8", with or without brackets. */
static bool bench_levels(const char *text, int64_t levels[BENCH_LEVELS_MAX], size_t *ret_n, struct err *err)
{
    size_t n = 0;
    for (const char *at = text + strspn(text, "[ "); *at != '\0' && *at != ']'; n++) {
        char word[16];
        size_t len = strcspn(at, ",] ");
        if (n == BENCH_LEVELS_MAX || !text_format(word, sizeof word, "%.*s", (int)len, at) ||
            !text_to_i64(word, &levels[n]) || levels[n] < 1 || levels[n] > BENCH_CLIENTS_MAX)
            return err_set(err, ERR_INVALID,
                           "invalid value \"%s\" for --concurrency: up to %d numbers from 1 to %d, such as 1,2,4,8",
                           text, BENCH_LEVELS_MAX, BENCH_CLIENTS_MAX);
        at += len;
        at += strspn(at, ", ");
    }
    *ret_n = n;
    return n > 0 || err_set(err, ERR_INVALID, "--concurrency is empty; give it numbers such as 1,2,4,8");
}

static double bench_per_second(int64_t n, const struct bench_result *r)
{
    return r->total_ns == 0 ? 0 : (double)n * 1e9 / (double)r->total_ns;
}

static double bench_first_ms(const struct bench_result *r, size_t percent)
{
    if (r->n_answers == 0)
        return 0;
    size_t at = (r->n_answers - 1) * percent / 100;
    return (double)r->answers[at].first_token_ns / 1e6;
}

static void bench_print(const struct bench_result *r)
{
    printf("  Tokens per second: %.2f TPS\n", bench_per_second(r->tokens, r));
    printf("  Requests per second: %.2f RPS\n", bench_per_second((int64_t)r->n_answers, r));
    printf("  Total tokens: %" PRId64 "\n", r->tokens);
    printf("  Total requests: %zu\n", r->n_answers);
    printf("  Total time: %.2fs\n", (double)r->total_ns / 1e9);
    printf("  Time to first token: %.1fms median, %.1fms 95th percentile\n\n", bench_first_ms(r, 50),
           bench_first_ms(r, 95));
    fflush(stdout);
}

static json_t *bench_json(const struct bench_result *r)
{
    json_t *counts = json_array();
    for (size_t i = 0; i < r->n_answers; i++)
        json_array_append_new(counts, json_integer(r->answers[i].tokens));
    return json_pack("{s:I, s:f, s:I, s:f, s:I, s:I, s:o, s:f, s:f}", "Concurrency", (json_int_t)r->clients, "MeanRPS",
                     bench_per_second((int64_t)r->n_answers, r), "TotalTokens", (json_int_t)r->tokens, "TPS",
                     bench_per_second(r->tokens, r), "TotalTime", (json_int_t)r->total_ns, "Requests",
                     (json_int_t)r->n_answers, "TokenCounts", counts, "FirstTokenMedianMs", bench_first_ms(r, 50),
                     "FirstTokenP95Ms", bench_first_ms(r, 95));
}

static void bench_summary(const json_t *results)
{
    size_t i;
    json_t *r;
    printf("Benchmark summary:\n");
    json_array_foreach(results, i, r)
    {
        printf("  Concurrency %" JSON_INTEGER_FORMAT ": %.2f TPS, %.2f RPS\n",
               json_integer_value(json_object_get(r, "Concurrency")), json_real_value(json_object_get(r, "TPS")),
               json_real_value(json_object_get(r, "MeanRPS")));
    }
}

static bool bench_all(const struct bench_ask *ask, const int64_t *levels, size_t n, bool json, json_t *results,
                      struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct bench_result r = {0};
        if (!json)
            printf("Running benchmark with concurrency: %" PRId64 "\n", levels[i]);
        fflush(stdout);
        bool ok = bench_level(ask, levels[i], &r, err);
        if (ok && !json)
            bench_print(&r);
        if (ok)
            json_array_append_new(results, bench_json(&r));
        bench_result_done(&r);
        if (!ok)
            return err_while(err, "with concurrency %" PRId64, levels[i]);
    }
    return true;
}

static bool bench_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    bool json = command_flag(args, "json")->b;
    int64_t levels[BENCH_LEVELS_MAX];
    size_t n = 0;
    struct bench_ask ask = {.cli = args->cli,
                            .model = args->argv[0],
                            .prompt = command_flag(args, "prompt")->s,
                            .duration_ns = command_flag(args, "duration")->i,
                            .timeout_ns = command_flag(args, "timeout")->i};
    if (ask.duration_ns <= 0 || ask.timeout_ns <= 0)
        return err_set(err, ERR_INVALID, "--duration and --timeout must be longer than 0");
    if (!bench_levels(command_flag(args, "concurrency")->s, levels, &n, err) || !cli_catch_interrupt(args->cli, err) ||
        !chat_preload(args->cli, ask.model, err))
        return false;
    json_t *results = json_array();
    bool ok = bench_all(&ask, levels, n, json, results, err);
    if (ok && json) {
        json_t *root = json_pack("{s:s, s:s, s:O}", "model", ask.model, "prompt", ask.prompt, "results", results);
        _cleanup_free_ char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        puts(text == NULL ? "" : text);
        json_decref(root);
    } else if (ok) {
        bench_summary(results);
    }
    json_decref(results);
    return ok;
}

static const struct flag bench_flags[] = {
    {.name = "concurrency",
     .kind = FLAG_STRING,
     .arg = "N,N...",
     .value = "1,2,4,8",
     .help = "How many clients at once, one run for each number"},
    {.name = "duration", .kind = FLAG_DURATION, .arg = "TIME", .value = "30s", .help = "How long each run asks"},
    {.name = "timeout",
     .kind = FLAG_DURATION,
     .arg = "TIME",
     .value = "5m0s",
     .help = "How long after that the last answers may take"},
    {.name = "prompt",
     .kind = FLAG_STRING,
     .arg = "TEXT",
     .value = "Write a comprehensive 100 word summary on whales and their impact on society.",
     .help = "What is asked"},
    {.name = "json", .kind = FLAG_BOOL, .help = "Print the results as JSON"},
    {0},
};

const struct command command_bench = {
    .name = "bench",
    .args = "MODEL",
    .min_args = 1,
    .max_args = 1,
    .summary = "Measure how fast a model answers",
    .about = "The model is loaded first. Tokens are those of the answers, as the engine counts them.",
    .example = "tug bench --concurrency 1,4 --duration 10s ai/smollm2",
    .flags = bench_flags,
    .route = "POST /v1/chat/completions",
    .group = "See what runs",
    .daemon = DAEMON_START,
    .failure = "Failed to run the benchmark",
    .differs = "Answers are streamed, so that the time to the first token is measured too; loading is not counted.",
    .run = bench_run,
};
