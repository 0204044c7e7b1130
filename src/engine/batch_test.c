/* The batch with a real model: what is promised is asserted by counts. TUG_TEST_MODEL names a chat
 * model's GGUF, TUG_TEST_EMBEDDER an embedding model's (scripts/test sets both from scripts/starter). Long, but
 * one thing: the promises of batch.h, each by what it counts. */
#include "engine/batch.h"

#include "base/limits.h"
#include "engine/model.h"
#include "platform/clock.h"
#include "platform/socket.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST_TEXT = 8192, MOST_AT_ONCE = 16 };

static struct engine_model *model;

static const char *model_path(const char *name)
{
    const char *path = getenv(name);
    if (path == NULL || path[0] == '\0')
        fail_msg("%s is not set: run `make quick`, or set it to a file that scripts/starter prints", name);
    return path;
}

static struct batch *start(struct engine_model *m, struct batch_options options)
{
    struct batch *b = NULL;
    struct err err = ERR_INIT;
    options.kv_type = -1;
    options.threads = 1; /* counts do not depend on it, and tests share the machine */
    if (!batch_start(m, &options, &b, &err))
        fail_msg("batch_start: %s", err.text);
    return b;
}

static void stop(struct batch *b) { batch_stop(&b, clock_now_ns() + 20 * CLOCK_SECOND); }

static struct batch_stats stats(struct batch *b)
{
    struct batch_stats s;
    batch_get_stats(b, &s);
    return s;
}

/* Waits until the batch thread has nothing left and has said so. */
static struct batch_stats stats_at_rest(struct batch *b)
{
    struct batch_stats s = stats(b);
    for (int i = 0; i < 4000 && (s.running > 0 || s.waiting > 0); i++, s = stats(b))
        usleep(5000);
    usleep(20000);
    return stats(b);
}

struct prompt {
    int32_t *tokens;
    size_t n;
};

static struct prompt text_prompt(const char *text)
{
    struct prompt p;
    struct err err = ERR_INIT;
    if (!model_tokenize(model, text, strlen(text), true, true, &p.tokens, &p.n, &err))
        fail_msg("%s", err.text);
    return p;
}

/* n tokens that no other number gives. */
static struct prompt number_prompt(size_t n, unsigned number)
{
    struct prompt p = {calloc(n, sizeof *p.tokens), n};
    for (size_t i = 0; i < n; i++)
        p.tokens[i] = 1000 + rand_r(&number) % 20000;
    return p;
}

static struct gen *gen_of(struct batch *b, const struct prompt *p, int32_t max_tokens)
{
    struct gen *g = gen_new(b);
    g->tokens = p->tokens;
    g->n_tokens = p->n;
    g->params.max_tokens = max_tokens;
    g->params.temperature = 0;
    return g;
}

static void submit(struct gen *g)
{
    struct err err = ERR_INIT;
    if (!gen_submit(g, &err))
        fail_msg("gen_submit: %s", err.text);
}

/* To its end; the text, terminated, into `text` (MOST_TEXT) unless NULL. */
static enum gen_finish finish(struct gen *g, char *text)
{
    struct gen_event e;
    size_t at = 0;
    while (gen_wait(g, -1, &e)) {
        if (e.kind == GEN_EVENT_END) {
            if (text != NULL)
                text[at] = '\0';
            if (e.finish == GEN_FAILED)
                print_message("failed: %s\n", e.err.text);
            return e.finish;
        }
        if (text != NULL && at + e.text_len < MOST_TEXT) {
            memcpy(text + at, e.text, e.text_len);
            at += e.text_len;
        }
    }
    return GEN_RUNNING;
}

static const char story[] = "<|im_start|>user\nTell me a story about a lighthouse.<|im_end|>\n<|im_start|>assistant\n";

static enum gen_finish generate(struct batch *b, const char *prompt, void (*change)(struct gen *g), char *text,
                                struct gen_stats *ret)
{
    struct prompt p = text_prompt(prompt);
    struct gen *g = gen_of(b, &p, 24);
    if (change != NULL)
        change(g);
    submit(g);
    enum gen_finish f = finish(g, text);
    if (ret != NULL)
        *ret = g->stats;
    gen_free(&g);
    free(p.tokens);
    return f;
}

static void greedy_gives_the_same_twice_and_reuses_the_prefix(void **state)
{
    char one[MOST_TEXT], two[MOST_TEXT];
    struct gen_stats a, b;
    (void)state;
    struct batch *batch = start(model, (struct batch_options){.context = 1024, .cache_prefixes = true});
    assert_int_equal(generate(batch, story, NULL, one, &a), GEN_LENGTH);
    assert_int_equal(generate(batch, story, NULL, two, &b), GEN_LENGTH);
    assert_string_equal(one, two);
    assert_true(strlen(one) > 20);
    assert_int_equal(a.completion_tokens, 24);
    assert_int_equal(a.cached_tokens, 0);
    assert_int_equal(b.prompt_tokens, a.prompt_tokens);
    assert_int_equal(b.cached_tokens, a.prompt_tokens - 1);
    struct batch_stats s = stats_at_rest(batch);
    assert_int_equal(s.decoded_rows, a.prompt_tokens + 23 + 1 + 23);
    assert_int_equal(s.requests, 2);
    assert_true(s.kv_bytes > 0 && s.busy_ns >= s.decode_call_ns && s.decode_call_ns > 0);
    stop(batch);
}

static void with_seed(struct gen *g)
{
    g->params.temperature = 1;
    g->params.seed = 1234;
    g->params.seed_set = true;
}

static void one_seed_gives_one_text(void **state)
{
    char one[MOST_TEXT], two[MOST_TEXT];
    (void)state;
    struct batch *b = start(model, (struct batch_options){.context = 512});
    generate(b, story, with_seed, one, NULL);
    generate(b, story, with_seed, two, NULL);
    assert_string_equal(one, two);
    stop(b);
}

static const char *stop_word;

static void with_stop(struct gen *g)
{
    g->params.stops = &stop_word;
    g->params.n_stops = 1;
    g->params.max_tokens = 100;
}

static void a_stop_string_ends_and_is_cut(void **state)
{
    char whole[MOST_TEXT], cut[MOST_TEXT];
    (void)state;
    struct batch *b = start(model, (struct batch_options){.context = 512});
    generate(b, story, NULL, whole, NULL);
    whole[14] = '\0'; /* six bytes from the middle of the text, most likely over a token's border */
    stop_word = whole + 8;
    assert_int_equal(generate(b, story, with_stop, cut, NULL), GEN_STOP);
    whole[8] = '\0';
    assert_string_equal(cut, whole);
    stop(b);
}

static void with_nothing(struct gen *g) { g->params.max_tokens = 0; }

static const struct token_bias only_seven[] = {{7, 100}};
static void with_bias(struct gen *g)
{
    g->params.bias = only_seven;
    g->params.n_bias = 1;
    g->params.max_tokens = 3;
    g->params.top_logprobs = 2;
}

static void parameters_reach_the_sampler(void **state)
{
    char text[MOST_TEXT];
    struct gen_stats s;
    struct gen_event e;
    size_t rows = 0;
    (void)state;
    struct batch *b = start(model, (struct batch_options){.context = 512, .cache_prefixes = true});
    assert_int_equal(generate(b, story, with_nothing, text, &s), GEN_LENGTH);
    assert_string_equal(text, "");
    assert_int_equal(s.completion_tokens, 0);
    struct prompt p = text_prompt(story);
    struct gen *g = gen_of(b, &p, 3);
    with_bias(g);
    submit(g);
    while (gen_wait(g, -1, &e) && e.kind == GEN_EVENT_TEXT) {
        for (size_t i = 0; i < e.n_logprobs; i++, rows++) {
            assert_int_equal(e.logprobs[i].token, 7);
            assert_int_equal(e.top_n[i], 2);
            assert_true(e.top[i][0].logprob >= e.top[i][1].logprob && e.top[i][0].logprob <= 0);
            assert_true(e.logprobs[i].logprob <= e.top[i][0].logprob); /* raw: without the bias */
        }
    }
    assert_int_equal(rows, 3);
    gen_free(&g);
    free(p.tokens);
    stop(b);
}

static void what_cannot_be_is_refused(void **state)
{
    static const char *const empty_stop[] = {""};
    struct err err = ERR_INIT;
    (void)state;
    struct batch *b = start(model, (struct batch_options){.context = 256});
    struct prompt p = number_prompt(256, 1);
    struct gen *g = gen_of(b, &p, 10);
    assert_false(gen_submit(g, &err));
    assert_int_equal(err.code, ERR_CONTEXT);
    assert_non_null(strstr(err.text, "has 256 tokens, the context holds 256"));
    g->n_tokens = 0;
    assert_false(gen_submit(g, &err));
    assert_int_equal(err.code, ERR_INVALID);
    g->n_tokens = 5;
    p.tokens[3] = 1 << 30;
    assert_false(gen_submit(g, &err));
    assert_int_equal(err.code, ERR_INVALID);
    p.tokens[3] = 5;
    g->params.stops = empty_stop;
    g->params.n_stops = 1;
    assert_false(gen_submit(g, &err));
    assert_string_equal(err.param, "stop");
    g->params.n_stops = 0;
    g->embed = true;
    assert_false(gen_submit(g, &err));
    assert_int_equal(err.code, ERR_UNSUPPORTED);
    g->embed = false;
    submit(g); /* and after all that it is still good */
    assert_int_equal(finish(g, NULL), GEN_LENGTH);
    gen_free(&g);
    free(p.tokens);
    stop(b);
}

static void a_full_context_ends_the_answer(void **state)
{
    (void)state;
    struct batch *b = start(model, (struct batch_options){.context = 256});
    struct prompt p = number_prompt(250, 2);
    struct gen *g = gen_of(b, &p, -1);
    g->params.ignore_eos = true;
    submit(g);
    assert_int_equal(finish(g, NULL), GEN_LENGTH);
    assert_int_equal(g->stats.completion_tokens, 6);
    gen_free(&g);
    free(p.tokens);
    stop(b);
}

/* Counted in rows: what is computed after the client has gone is at most the step that runs. */
static void freeing_stops_within_a_step(void **state)
{
    struct gen_event e;
    (void)state;
    struct batch *b = start(model, (struct batch_options){.context = 4096});
    struct prompt p = number_prompt(16, 3);
    struct gen *g = gen_of(b, &p, 4000);
    g->params.ignore_eos = true;
    submit(g);
    assert_true(gen_wait(g, -1, &e));
    uint64_t rows = stats(b).decoded_rows;
    gen_free(&g);
    struct batch_stats s = stats_at_rest(b);
    assert_true(s.decoded_rows <= rows + 4); /* the counters are a step old, and one may just have begun */
    assert_int_equal(s.cancelled, 1);
    assert_int_equal(s.cells_used, 0);
    free(p.tokens);
    stop(b);
}

static void a_closed_client_stops_its_prefill(void **state)
{
    struct gen_event e;
    int fds[2];
    (void)state;
    struct batch *b = start(model, (struct batch_options){.context = 8192});
    assert_true(socket_pair(fds, NULL));
    struct prompt p = number_prompt(8000, 4);
    struct gen *g = gen_of(b, &p, 10);
    submit(g);
    close(fds[1]);
    assert_false(gen_wait(g, fds[0], &e));
    for (int i = 0; i < 2000 && stats(b).cancelled == 0; i++) /* the batch thread may not have met it yet */
        usleep(5000);
    struct batch_stats s = stats_at_rest(b);
    assert_true(s.decoded_rows <= 512);
    assert_int_equal(s.cancelled, 1);
    gen_free(&g);
    close(fds[0]);
    free(p.tokens);
    stop(b);
}

/* Each prompt: `shared` common tokens and a tail of its own. */
static void run_many(struct batch *b, int n, size_t shared, size_t tail, int32_t max_tokens, struct gen_stats *ret)
{
    struct gen *gens[MOST_AT_ONCE];
    struct prompt prompts[MOST_AT_ONCE];
    struct prompt common = number_prompt(shared + 1, 77);
    for (int i = 0; i < n; i++) {
        prompts[i] = number_prompt(shared + tail, 1000 + (unsigned)i);
        memcpy(prompts[i].tokens, common.tokens, shared * sizeof *common.tokens);
        prompts[i].tokens[shared] = 2000 + i; /* none has more in common */
        gens[i] = gen_of(b, &prompts[i], max_tokens);
        gens[i]->params.ignore_eos = true;
        submit(gens[i]);
    }
    for (int i = 0; i < n; i++) {
        assert_int_equal(finish(gens[i], NULL), GEN_LENGTH);
        assert_int_equal(gens[i]->stats.completion_tokens, max_tokens);
        ret[i] = gens[i]->stats;
        gen_free(&gens[i]);
        free(prompts[i].tokens);
    }
    free(common.tokens);
}

static void sixteen_at_once_compute_their_prefix_once(void **state)
{
    struct gen_stats got[MOST_AT_ONCE];
    int32_t cached = 0;
    (void)state;
    struct batch *b = start(model, (struct batch_options){.context = 2048, .parallel = 16});
    run_many(b, 16, 200, 5, 8, got);
    for (int i = 0; i < 16; i++)
        cached += got[i].cached_tokens;
    assert_int_equal(cached, 15 * 200);
    struct batch_stats s = stats_at_rest(b);
    assert_int_equal(s.decoded_rows, 200 + 16 * 5 + 16 * 7);
    assert_int_equal(s.generated_tokens, 16 * 8);
    assert_int_equal(s.cells_used, 0);
    stop(b);
}

static void few_cells_preempt_and_all_end(void **state)
{
    struct gen_stats got[MOST_AT_ONCE];
    (void)state;
    struct batch *b = start(model, (struct batch_options){.context = 256, .parallel = 6, .cache_prefixes = true});
    run_many(b, 6, 0, 30, 50, got); /* 6 x 80 tokens in 256 cells */
    struct batch_stats s = stats_at_rest(b);
    assert_true(s.preemptions > 0);
    assert_true(s.unparked > 0); /* one who waited got its cells back */
    assert_true(s.decoded_rows >= 6 * 79);
    assert_int_equal(s.cells_total, 256);
    stop(b);
}

/* Cells that went to host memory and came back say the same as those that stayed. */
static void a_parked_prefix_gives_the_same_text(void **state)
{
    char alone[MOST_TEXT], again[MOST_TEXT];
    struct gen_stats got[MOST_AT_ONCE], back;
    (void)state;
    struct batch *b = start(model, (struct batch_options){.context = 512, .cache_prefixes = true});
    generate(b, story, NULL, alone, NULL);
    run_many(b, 2, 0, 150, 40, got); /* enough rows to move the story out */
    assert_true(stats_at_rest(b).parked > 0);
    generate(b, story, NULL, again, &back);
    assert_string_equal(alone, again);
    assert_int_equal(back.cached_tokens, back.prompt_tokens - 1);
    assert_true(stats_at_rest(b).unparked > 0);
    stop(b);
}

static void with_many(struct gen *g)
{
    g->params.max_tokens = 130;
    g->params.ignore_eos = true;
}

/* One that came after many and is left alone high up in the cells moves down and goes on. */
static void the_last_one_moves_down(void **state)
{
    struct gen *others[7];
    struct prompt prompts[7], p = text_prompt(story);
    (void)state;
    struct batch *b = start(model, (struct batch_options){.context = 2048, .cache_prefixes = true});
    for (unsigned i = 0; i < 7; i++) {
        prompts[i] = number_prompt(100, 50 + i);
        others[i] = gen_of(b, &prompts[i], 30);
        others[i]->params.ignore_eos = true;
        submit(others[i]);
    }
    struct gen *g = gen_of(b, &p, 130);
    with_many(g);
    submit(g);
    assert_int_equal(finish(g, NULL), GEN_LENGTH);
    assert_int_equal(g->stats.completion_tokens, 130);
    for (int i = 0; i < 7; i++) {
        gen_free(&others[i]);
        free(prompts[i].tokens);
    }
    gen_free(&g);
    free(p.tokens);
    assert_true(stats_at_rest(b).compactions > 0);
    stop(b);
}

static void a_full_queue_is_busy(void **state)
{
    static struct gen *gens[LIMIT_QUEUE_REQUESTS + 8];
    struct err err = ERR_INIT;
    int n = 0;
    (void)state;
    struct batch *b = start(model, (struct batch_options){.context = 8192, .parallel = 1});
    struct prompt p = number_prompt(6000, 5);
    for (; n < LIMIT_QUEUE_REQUESTS + 8; n++) {
        gens[n] = gen_of(b, &p, 1);
        if (n > 0)
            gens[n]->n_tokens = 1;
        if (!gen_submit(gens[n], &err))
            break;
    }
    assert_in_range(n, LIMIT_QUEUE_REQUESTS, LIMIT_QUEUE_REQUESTS + 7);
    assert_int_equal(err.code, ERR_BUSY);
    assert_non_null(strstr(err.text, "requests are waiting"));
    assert_in_range(err.retry_after_s, 1, 600);
    for (; n >= 0; n--)
        gen_free(&gens[n]);
    free(p.tokens);
    stats_at_rest(b);
    p = number_prompt(3, 6); /* and there is room again */
    struct gen *g = gen_of(b, &p, 1);
    submit(g);
    assert_int_equal(finish(g, NULL), GEN_LENGTH);
    gen_free(&g);
    free(p.tokens);
    stop(b);
}

static void stopping_ends_what_runs(void **state)
{
    struct gen_event e;
    struct err err = ERR_INIT;
    (void)state;
    struct batch *b = start(model, (struct batch_options){.context = 4096});
    struct prompt p = number_prompt(16, 7);
    struct gen *g = gen_of(b, &p, 4000), *late = gen_of(b, &p, 1);
    g->params.ignore_eos = true;
    submit(g);
    assert_true(gen_wait(g, -1, &e));
    batch_stop(&b, clock_now_ns());
    assert_null(b);
    while (gen_wait(g, -1, &e) && e.kind != GEN_EVENT_END)
        ;
    assert_int_equal(e.finish, GEN_FAILED);
    assert_int_equal(e.err.code, ERR_UNAVAILABLE);
    assert_false(gen_submit(late, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    gen_free(&g); /* after the batch: fine */
    gen_free(&late);
    free(p.tokens);
}

static struct batch *shared_batch;

static void *client(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    for (int i = 0; i < 4; i++) {
        struct prompt p = number_prompt(5 + (size_t)rand_r(&seed) % 40, 100 + (unsigned)rand_r(&seed) % 4);
        struct gen *g = gen_of(shared_batch, &p, 1 + rand_r(&seed) % 12);
        struct gen_event e;
        g->params.ignore_eos = true;
        if (!gen_submit(g, NULL))
            return "refused";
        int leave_after = rand_r(&seed) % 6;
        while (leave_after-- > 0 && gen_wait(g, -1, &e) && e.kind != GEN_EVENT_END)
            ;
        gen_free(&g);
        free(p.tokens);
    }
    return NULL;
}

/* For the sanitizers: clients that come and leave at any moment, and few cells. */
static void clients_come_and_go(void **state)
{
    pthread_t threads[8];
    (void)state;
    shared_batch = start(model, (struct batch_options){.context = 256, .parallel = 6, .cache_prefixes = true});
    for (uintptr_t i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, client, (void *)(i + 1));
    for (int i = 0; i < 8; i++) {
        void *why;
        pthread_join(threads[i], &why);
        assert_null(why);
    }
    struct batch_stats s = stats_at_rest(shared_batch);
    assert_int_equal(s.requests, 32);
    assert_int_equal(s.running + s.waiting, 0);
    stop(shared_batch);
}

static void several_gens_of_one_client(void **state)
{
    struct gen *gens[3];
    struct gen_event e;
    int ended[3] = {0};
    (void)state;
    struct batch *b = start(model, (struct batch_options){.context = 1024});
    struct prompt p = text_prompt(story);
    for (int i = 0; i < 3; i++) {
        gens[i] = gen_of(b, &p, 4 + i);
        submit(gens[i]);
    }
    for (int n = 0; n < 3;) {
        int at = gen_wait_any(gens, 3, -1, &e);
        assert_in_range(at, 0, 2);
        if (e.kind == GEN_EVENT_END) {
            n++;
            ended[at]++;
            assert_int_equal(gens[at]->stats.completion_tokens, 4 + at);
        }
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ended[i], 1);
        gen_free(&gens[i]);
    }
    free(p.tokens);
    stop(b);
}

static double dot(const float *a, const float *b, int32_t n)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static void embeddings_know_what_is_alike(void **state)
{
    static const char *const texts[] = {"A cat sits on the mat.", "A kitten is sitting on a rug.",
                                        "Interest rates rose again in March."};
    struct engine_model *embedder = NULL, *chat = model;
    struct gen *gens[3];
    struct prompt prompts[3];
    struct err err = ERR_INIT;
    (void)state;
    if (!model_load(&(struct model_spec){.path = model_path("TUG_TEST_EMBEDDER"), .gpu_layers = -1}, &embedder, &err))
        fail_msg("%s", err.text);
    const struct model_info *info = model_get_info(embedder);
    assert_true(info->embedding);
    struct batch *b = start(embedder, (struct batch_options){0});
    model = embedder;
    for (int i = 0; i < 3; i++) {
        prompts[i] = text_prompt(texts[i]);
        gens[i] = gen_of(b, &prompts[i], -1);
        gens[i]->embed = true;
        submit(gens[i]);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(finish(gens[i], NULL), GEN_STOP);
        assert_true(fabs(dot(gens[i]->embedding, gens[i]->embedding, info->n_embd) - 1) < 1e-4);
    }
    assert_true(dot(gens[0]->embedding, gens[1]->embedding, info->n_embd) > 0.5);
    assert_true(dot(gens[0]->embedding, gens[2]->embedding, info->n_embd) < 0.3);
    for (int i = 0; i < 3; i++) {
        gen_free(&gens[i]);
        free(prompts[i].tokens);
    }
    struct prompt p = text_prompt("text");
    struct gen *g = gen_of(b, &p, 5);
    assert_false(gen_submit(g, &err));
    assert_int_equal(err.code, ERR_UNSUPPORTED);
    gen_free(&g);
    free(p.tokens);
    stop(b);
    model_free(&embedder);
    model = chat;
}

static int load(void **state)
{
    struct err err = ERR_INIT;
    (void)state;
    if (!model_load(&(struct model_spec){.path = model_path("TUG_TEST_MODEL"), .gpu_layers = -1}, &model, &err))
        fail_msg("%s", err.text);
    return 0;
}

static int unload(void **state)
{
    (void)state;
    model_free(&model);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_gives_the_same_twice_and_reuses_the_prefix),
        cmocka_unit_test(one_seed_gives_one_text),
        cmocka_unit_test(a_stop_string_ends_and_is_cut),
        cmocka_unit_test(parameters_reach_the_sampler),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(a_full_context_ends_the_answer),
        cmocka_unit_test(freeing_stops_within_a_step),
        cmocka_unit_test(a_closed_client_stops_its_prefill),
        cmocka_unit_test(sixteen_at_once_compute_their_prefix_once),
        cmocka_unit_test(few_cells_preempt_and_all_end),
        cmocka_unit_test(a_parked_prefix_gives_the_same_text),
        cmocka_unit_test(the_last_one_moves_down),
        cmocka_unit_test(a_full_queue_is_busy),
        cmocka_unit_test(stopping_ends_what_runs),
        cmocka_unit_test(clients_come_and_go),
        cmocka_unit_test(several_gens_of_one_client),
        cmocka_unit_test(embeddings_know_what_is_alike),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
