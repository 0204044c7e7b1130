/* cli/search_sources.c: see search_sources.h. Requests: dmr.md 1.7; a look-up for each result tells its size and what
 * can run it. */
#include "cli/search_sources.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/clock.h"
#include "platform/process.h"
#include "json/json_read.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { SEARCH_ANSWER_BYTES = 16 * 1024 * 1024, SEARCH_WORKERS = 6, SEARCH_URL_BYTES = 2048 };
#define SEARCH_TIMEOUT_NS (20 * CLOCK_SECOND)

/* ---- HTTP ---------------------------------------------------------------------------------------- */

static bool search_get(const struct cli *cli, struct http_pool *pool, const char *url, json_t **ret, struct err *err)
{
    char token[600];
    const char *headers[] = {"Accept: application/json", NULL, NULL};
    const char *hf = process_env("HF_TOKEN");
    if (hf != NULL && strstr(url, "/api/models") != NULL &&
        text_format(token, sizeof token, "Authorization: Bearer %s", hf))
        headers[1] = token;
    _cleanup_(buf_done) struct buf body = BUF_INIT(SEARCH_ANSWER_BYTES);
    struct http_call_spec spec = {.method = "GET",
                                  .url = url,
                                  .headers = headers,
                                  .cancel_fd = cli->interrupt_fd,
                                  .connect_timeout_ns = SEARCH_TIMEOUT_NS,
                                  .stall_timeout_ns = SEARCH_TIMEOUT_NS,
                                  .pool = pool};
    int status = 0;
    if (!http_call_simple(&spec, &body, &status, err))
        return false;
    if (status != 200)
        return err_set(err, ERR_PROTOCOL, "it answered with status %d", status);
    return json_parse(buf_str(&body), body.len, ret, err);
}

/* base + path with the term percent-encoded between. */
static bool search_url(char *dst, const char *variable, const char *base, const char *before, const char *term,
                       const char *after)
{
    const char *own = process_env(variable);
    char path[SEARCH_URL_BYTES / 2];
    size_t n = strlen(own == NULL ? base : own);
    while (own != NULL && n > 0 && own[n - 1] == '/')
        n--;
    return cli_path(path, sizeof path, before, term, after) &&
           text_format(dst, SEARCH_URL_BYTES, "%.*s%s", (int)n, own == NULL ? base : own, path);
}

static const char *search_text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s == NULL ? "" : s;
}

static void search_size(json_t *row, json_int_t bytes)
{
    char size[TEXT_SHORT_MAX];
    if (bytes <= 0)
        return;
    text_size(size, (uint64_t)bytes);
    json_object_set_new(row, "Size", json_string(size));
}

static void search_backend(json_t *row, bool gguf, bool safetensors)
{
    if (gguf || safetensors)
        json_object_set_new(row, "Backend",
                            json_string(gguf && safetensors ? "llama.cpp, vllm"
                                        : gguf              ? "llama.cpp"
                                                            : "vllm"));
}

/* ---- a look-up for each row, several at a time ----------------------------------------------------- */

struct search_details {
    const struct search_ask *ask;
    json_t *rows; /* each worker changes only rows that it took */
    atomic_size_t next;
    void (*look_up)(const struct search_ask *ask, struct http_pool *pool, json_t *row);
};

static void *search_worker(void *arg)
{
    struct search_details *d = arg;
    struct http_pool *pool = http_pool_new();
    size_t i;
    while ((i = atomic_fetch_add(&d->next, 1)) < json_array_size(d->rows))
        d->look_up(d->ask, pool, json_array_get(d->rows, i));
    http_pool_free(&pool);
    return NULL;
}

static void search_all_details(struct search_details *d)
{
    pthread_t threads[SEARCH_WORKERS];
    size_t n = 0;
    while (n < SEARCH_WORKERS && n + 1 < json_array_size(d->rows) &&
           process_thread("search", search_worker, d, 0, 0, &threads[n], NULL))
        n++;
    search_worker(d);
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

/* ---- Docker Hub ------------------------------------------------------------------------------------ */

static bool search_has(const char *text, const char *term)
{
    size_t n = strlen(term);
    for (; n > 0 && *text != '\0'; text++)
        if (strncasecmp(text, term, n) == 0)
            return true;
    return n == 0;
}

/* The names of a repository's tags tell what is in it: Q4_K_M, F16, IQ2_XXS and MXFP4 are GGUF's. */
static bool search_tag_is_gguf(const char *tag)
{
    static const char *const marks[] = {"Q2_",  "Q3_",  "Q4_",  "Q5_",  "Q6_",   "Q8_",
                                        "IQ1_", "IQ2_", "IQ3_", "IQ4_", "MXFP4", "-F16"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (search_has(tag, marks[i]))
            return true;
    return false;
}

static void search_hub_details(const struct search_ask *ask, struct http_pool *pool, json_t *row)
{
    char url[SEARCH_URL_BYTES];
    _cleanup_(json_free) json_t *answer = NULL;
    if (!search_url(url, "TUG_HUB_URL", "https://hub.docker.com", "/v2/repositories/", search_text(row, "Name"),
                    "/tags?page_size=100") ||
        !search_get(ask->cli, pool, url, &answer, NULL))
        return;
    bool gguf = false, safetensors = false;
    size_t i;
    json_t *tag;
    json_array_foreach(json_object_get(answer, "results"), i, tag)
    {
        const char *name = search_text(tag, "name");
        gguf = gguf || search_tag_is_gguf(name);
        safetensors = safetensors || search_has(name, "safetensors");
        if (strcmp(name, "latest") == 0)
            search_size(row, json_integer_value(json_object_get(tag, "full_size")));
    }
    search_backend(row, gguf, safetensors);
}

/* What each source calls the same things. */
struct search_keys {
    const char *downloads, *stars, *updated;
};

/* A row of what is shown; of Docker Hub only the official models are listed. */
static json_t *search_row(const char *name, const json_t *found, const struct search_keys *keys, const char *source)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:s, s:b, s:s, s:s, s:s}", "Name", name, "Description",
                     search_text(found, "description"), "Downloads",
                     json_integer_value(json_object_get(found, keys->downloads)), "Stars",
                     json_integer_value(json_object_get(found, keys->stars)), "Source", source, "Official",
                     strcmp(source, "Docker Hub") == 0, "UpdatedAt", search_text(found, keys->updated), "Backend",
                     "unknown", "Size", "n/a");
}

static json_t *search_hub_row(const json_t *found)
{
    char name[300];
    text_format(name, sizeof name, "ai/%s", search_text(found, "name"));
    static const struct search_keys keys = {"pull_count", "star_count", "last_updated"};
    return search_row(name, found, &keys, "Docker Hub");
}

static bool search_hub(const struct search_ask *ask, json_t *rows, struct err *err)
{
    char url[SEARCH_URL_BYTES];
    _cleanup_(json_free) json_t *answer = NULL;
    if (!search_url(url, "TUG_HUB_URL", "https://hub.docker.com",
                    "/v2/repositories/ai/?ordering=pull_count&page_size=", "100", ""))
        return err_set(err, ERR_INVALID, "TUG_HUB_URL is too long");
    if (!search_get(ask->cli, NULL, url, &answer, err))
        return false;
    const json_t *results = json_object_get(answer, "results");
    if (!json_is_array(results))
        return err_set(err, ERR_PROTOCOL, "its answer has no list of results");
    size_t i;
    json_t *found;
    json_array_foreach(results, i, found)
    {
        if ((int64_t)json_array_size(rows) < ask->limit && search_text(found, "name")[0] != '\0' &&
            (search_has(search_text(found, "name"), ask->term) ||
             search_has(search_text(found, "description"), ask->term)))
            json_array_append_new(rows, search_hub_row(found));
    }
    struct search_details details = {.ask = ask, .rows = rows, .look_up = search_hub_details};
    search_all_details(&details);
    return true;
}

/* ---- Hugging Face ------------------------------------------------------------------------------------ */

/* The size of what a pull would take: the Q4_K_M file, else the first GGUF file; of safetensors all. */
static void search_hf_details(const struct search_ask *ask, struct http_pool *pool, json_t *row)
{
    char url[SEARCH_URL_BYTES];
    _cleanup_(json_free) json_t *answer = NULL;
    const char *name = search_text(row, "Name");
    if (!search_url(url, "HF_ENDPOINT", "https://huggingface.co", "/api/models/", name + sizeof "hf.co/" - 1,
                    "?blobs=true") ||
        !search_get(ask->cli, pool, url, &answer, NULL))
        return;
    json_int_t chosen = 0, all = 0;
    bool gguf = false, safetensors = false, exact = false;
    size_t i;
    json_t *file;
    json_array_foreach(json_object_get(answer, "siblings"), i, file)
    {
        const char *path = search_text(file, "rfilename");
        json_int_t size = json_integer_value(json_object_get(file, "size"));
        if (text_ends(path, ".safetensors")) {
            safetensors = true;
            all += size;
        } else if (text_ends(path, ".gguf") && !search_has(path, "mmproj")) {
            bool best = search_has(path, "Q4_K_M") && !exact;
            if (!gguf || best)
                chosen = size;
            gguf = true;
            exact = exact || best;
        }
    }
    search_backend(row, gguf, safetensors);
    search_size(row, gguf ? chosen : all);
}

static json_t *search_hf_row(const json_t *found)
{
    char name[300];
    const char *id = search_text(found, "id");
    text_format(name, sizeof name, "hf.co/%s", id[0] != '\0' ? id : search_text(found, "modelId"));
    static const struct search_keys keys = {"downloads", "likes", "lastModified"};
    return search_row(name, found, &keys, "HuggingFace");
}

static bool search_hf(const struct search_ask *ask, json_t *rows, struct err *err)
{
    char url[SEARCH_URL_BYTES], before[128];
    _cleanup_(json_free) json_t *answer = NULL;
    text_format(before, sizeof before,
                "/api/models?apps=vllm,llama.cpp&direction=-1&limit=%lld&search=", (long long)ask->limit);
    if (!search_url(url, "HF_ENDPOINT", "https://huggingface.co", before, ask->term, "&sort=downloads"))
        return err_set(err, ERR_INVALID, "the term or HF_ENDPOINT is too long");
    if (!search_get(ask->cli, NULL, url, &answer, err))
        return false;
    if (!json_is_array(answer))
        return err_set(err, ERR_PROTOCOL, "its answer is %s, not a list", json_kind(answer));
    size_t i;
    json_t *found;
    json_array_foreach(answer, i, found)
    {
        if ((int64_t)json_array_size(rows) < ask->limit &&
            (search_text(found, "id")[0] != '\0' || search_text(found, "modelId")[0] != '\0'))
            json_array_append_new(rows, search_hf_row(found));
    }
    struct search_details details = {.ask = ask, .rows = rows, .look_up = search_hf_details};
    search_all_details(&details);
    return true;
}

const struct search_source search_sources[] = {
    {"Docker Hub", "all|dockerhub|docker|hub", search_hub},
    {"HuggingFace", "all|huggingface|hf", search_hf},
    {NULL, NULL, NULL},
};
