/* engine/guide.c: see guide.h. */
#include "engine/guide.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/cleanup.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    TAIL_KEPT = 1024,   /* bytes in which tags and triggers are looked for */
    TAIL_MAX = 65536,   /* with the longest token */
    OPENING_SPACE = 16, /* bytes of it before the reasoning */
    LEADING_SPACE = 4,  /* bytes of it between the reasoning's end and what the grammar wants */
};

enum phase {
    PHASE_FREE,     /* nothing is bound, or nothing any more */
    PHASE_WAITING,  /* for a trigger */
    PHASE_THINKING, /* the grammar comes after the reasoning */
    PHASE_BOUND,
};

struct guided {
    struct guide *guide;
    struct matcher *matcher;
    enum phase phase;
    bool thinking;    /* inside the reasoning */
    bool begun;       /* something but space was written */
    size_t leading;   /* bytes of space since the reasoning ended; SIZE_MAX: something else came */
    struct buf tail;  /* what was written last */
    bool tail_is_all; /* and nothing before it */
    int32_t thought;  /* tokens of reasoning */
    size_t forced;    /* of think_stop: how many are written; SIZE_MAX: not forcing */
};

struct guide *guide_new(const struct vocab *vocab)
{
    struct guide *g = check_alloc(calloc(1, sizeof *g));
    atomic_init(&g->refs, 1);
    g->vocab = vocab;
    g->budget = -1;
    return g;
}

struct guide *guide_ref(struct guide *g)
{
    atomic_fetch_add(&g->refs, 1);
    return g;
}

void guide_unref(struct guide **g)
{
    if (*g != NULL && atomic_fetch_sub(&(*g)->refs, 1) == 1) {
        grammar_unref(&(*g)->grammar);
        if ((*g)->prompt != NULL)
            chat_prompt_free(&(*g)->prompt);
        free((*g)->special);
        free((*g)->think_stop);
        free(*g);
    }
    *g = NULL;
}

static const struct chat_prompt_info *info_of(const struct guide *g)
{
    return g->prompt == NULL ? NULL : chat_prompt_get(g->prompt);
}

/* ---- text ---- */

static const char *skip_space(const char *s, size_t n, size_t *ret_n)
{
    size_t i = 0;
    while (i < n && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r'))
        i++;
    *ret_n = n - i;
    return s + i;
}

/* Where `mark`, without the spaces around it, ends in the text; NULL: it is not there. */
static const char *find_mark(const char *text, size_t n, const char *mark)
{
    size_t n_mark;
    mark = skip_space(mark, strlen(mark), &n_mark);
    while (n_mark > 0 && (mark[n_mark - 1] == '\n' || mark[n_mark - 1] == ' '))
        n_mark--;
    const char *at = n_mark == 0 || n == 0 ? NULL : memmem(text, n, mark, n_mark);
    return at == NULL ? NULL : at + n_mark;
}

/* The first end of the reasoning in the text, as find_mark. */
static const char *find_think_end(const struct guide *g, const char *text, size_t n)
{
    const struct chat_prompt_info *info = info_of(g);
    const char *first = NULL;
    for (size_t i = 0; info != NULL && info->think_ends[i] != NULL; i++) {
        const char *at = find_mark(text, n, info->think_ends[i]);
        if (at != NULL && (first == NULL || at < first))
            first = at;
    }
    return first;
}

/* Does the prompt end inside the reasoning? */
static bool prompt_thinks(const struct guide *g)
{
    const struct chat_prompt_info *info = info_of(g);
    if (info == NULL || info->think_start[0] == '\0')
        return false;
    const char *from = info->generation;
    const char *last = NULL;
    for (const char *at = from; (at = find_mark(at, strlen(at), info->think_start)) != NULL;)
        last = at;
    return last != NULL && find_think_end(g, last, strlen(last)) == NULL;
}

/* ---- the whole ---- */

struct guided *guided_new(struct guide *g)
{
    struct guided *run = check_alloc(calloc(1, sizeof *run));
    run->guide = guide_ref(g);
    run->tail = BUF_INIT(TAIL_MAX);
    run->tail_is_all = true;
    run->forced = run->leading = SIZE_MAX;
    run->thinking = prompt_thinks(g);
    if (g->grammar == NULL)
        return run;
    run->matcher = matcher_new(g->grammar);
    run->phase = g->waits ? PHASE_WAITING : g->after_reasoning && info_of(g) != NULL ? PHASE_THINKING : PHASE_BOUND;
    const struct chat_prompt_info *info = info_of(g);
    if (g->prefixed && info != NULL)
        (void)matcher_feed(run->matcher, info->generation, strlen(info->generation));
    if (run->phase == PHASE_THINKING && (info == NULL || info->think_start[0] == '\0'))
        run->phase = PHASE_BOUND;
    return run;
}

void guided_free(struct guided **run)
{
    if (*run == NULL)
        return;
    matcher_free(&(*run)->matcher);
    guide_unref(&(*run)->guide);
    buf_done(&(*run)->tail);
    free(*run);
    *run = NULL;
}

int32_t guided_thought(const struct guided *run) { return run->thought; }

bool guided_is_special(const struct guided *run, int32_t token)
{
    for (size_t i = 0; i < run->guide->n_special; i++)
        if (run->guide->special[i] == token)
            return true;
    return false;
}

/* The bytes that a token adds to the text. */
static const char *token_text(const struct guided *run, int32_t token, size_t *ret_n)
{
    const struct vocab *v = run->guide->vocab;
    bool counts = (v->flags[token] & VOCAB_CONTROL) == 0 || guided_is_special(run, token);
    *ret_n = counts ? vocab_length(v, token) : 0;
    return vocab_bytes(v, token);
}

/* ---- triggers ---- */

/* Where trigger i begins in the text; NULL: it is not there, or is a pattern. */
static const char *find_word(const struct guided *run, size_t i, const char *text, size_t n)
{
    const struct chat_prompt_info *info = info_of(run->guide);
    const char *word = info->triggers[i];
    size_t n_word = strlen(word);
    if (run->thinking || n < n_word)
        return NULL;
    if (info->trigger_kinds[i] == CHAT_TRIGGER_WORD)
        return memmem(text, n, word, n_word);
    size_t left;
    const char *start = skip_space(text, n, &left);
    bool begins = info->trigger_kinds[i] == CHAT_TRIGGER_START && run->tail_is_all && left >= n_word;
    return begins && memcmp(start, word, n_word) == 0 ? start : NULL;
}

static const char *find_trigger(const struct guided *run, const char *text, size_t n)
{
    const struct chat_prompt_info *info = info_of(run->guide);
    const char *own = run->guide->word;
    const char *first = own == NULL || n == 0 || run->thinking ? NULL : memmem(text, n, own, strlen(own));
    bool patterns = false;
    for (size_t i = 0; info != NULL && info->triggers[i] != NULL; i++) {
        const char *at = find_word(run, i, text, n);
        patterns = patterns || info->trigger_kinds[i] == CHAT_TRIGGER_PATTERN;
        if (at != NULL && (first == NULL || at < first))
            first = at;
    }
    if (first != NULL || !patterns)
        return first;
    size_t at = chat_prompt_find(run->guide->prompt, text, n, run->tail_is_all);
    return at == SIZE_MAX ? NULL : text + at;
}

/* The tail with these bytes added to it, into `out`. */
static void tail_with(const struct guided *run, const char *bytes, size_t n, struct buf *out)
{
    bool fits = buf_add(out, buf_str(&run->tail), run->tail.len) && buf_add(out, bytes, n);
    CHECK(fits);
}

/* Where in the text the grammar begins to count if these bytes come; NULL: not yet. */
static const char *bound_from(const struct guided *run, const char *text, size_t n)
{
    if (run->phase == PHASE_WAITING)
        return find_trigger(run, text, n);
    const char *end = run->thinking ? find_think_end(run->guide, text, n) : NULL;
    return end;
}

/* ---- reasoning ---- */

/* What was written before anything but space may still become the reasoning's beginning. */
static bool may_open_thinking(const struct guided *run, const char *text, size_t n)
{
    const struct chat_prompt_info *info = info_of(run->guide);
    size_t n_text;
    size_t n_start;
    const char *start = skip_space(info->think_start, strlen(info->think_start), &n_start);
    text = skip_space(text, n, &n_text);
    return n - n_text <= OPENING_SPACE && memcmp(text, start, n_text < n_start ? n_text : n_start) == 0;
}

/* Follows the reasoning's tags; the tail holds what was written last. */
static void follow_thinking(struct guided *run)
{
    const struct chat_prompt_info *info = info_of(run->guide);
    if (info == NULL || info->think_start[0] == '\0')
        return;
    const char *text = buf_str(&run->tail);
    if (run->thinking) {
        run->thought++;
        const char *end = find_think_end(run->guide, text, run->tail.len);
        if (end == NULL)
            return;
        run->thinking = false;
        run->begun = true;
        run->leading = 0;
        buf_drop(&run->tail, (size_t)(end - text));
        run->tail_is_all = false;
    } else if (!run->begun) {
        const char *start = find_mark(text, run->tail.len, info->think_start);
        run->begun = start == NULL && !may_open_thinking(run, text, run->tail.len);
        if (start != NULL && may_open_thinking(run, text, run->tail.len)) {
            run->thinking = run->begun = true;
            buf_drop(&run->tail, (size_t)(start - text));
            run->tail_is_all = false;
        }
    }
}

/* ---- allowed or not ---- */

/* Of bytes that come under the grammar: those after space that it does not want but that may stand there. */
static const char *without_leading(const struct guided *run, const char *bytes, size_t *n)
{
    size_t left;
    const char *rest = skip_space(bytes, *n, &left);
    bool may = run->leading != SIZE_MAX && run->leading + (*n - left) <= LEADING_SPACE && left < *n;
    if (!may || matcher_allows(run->matcher, bytes, *n))
        return bytes;
    *n = left;
    return rest;
}

static bool bound_allows(const struct guided *run, const char *bytes, size_t n)
{
    bytes = without_leading(run, bytes, &n);
    return n == 0 || matcher_allows(run->matcher, bytes, n);
}

/* Not bound yet: whatever does not begin wrongly. */
static bool unbound_allows(const struct guided *run, const char *bytes, size_t n)
{
    _cleanup_(buf_done) struct buf text = BUF_INIT(2 * TAIL_MAX);
    tail_with(run, bytes, n, &text);
    const char *end = buf_str(&text) + text.len;
    const char *from = bound_from(run, buf_str(&text), text.len);
    if (from == NULL) {
        bool bare = run->phase == PHASE_THINKING && !run->thinking && !may_open_thinking(run, buf_str(&text), text.len);
        if (!bare)
            return true;
        from = buf_str(&text);
    }
    size_t left = (size_t)(end - from);
    if (run->phase == PHASE_THINKING)
        from = skip_space(from, left, &left);
    return left == 0 || matcher_allows(run->matcher, from, left);
}

bool guided_allows(struct guided *run, int32_t token)
{
    const struct vocab *v = run->guide->vocab;
    if (run->phase == PHASE_FREE || token < 0 || token >= v->n)
        return true;
    if ((v->flags[token] & VOCAB_END) != 0)
        return run->phase == PHASE_WAITING || (run->phase == PHASE_BOUND && matcher_may_end(run->matcher));
    size_t n;
    const char *bytes = token_text(run, token, &n);
    if (n == 0) /* a control token without a text: no part of any form */
        return run->phase == PHASE_WAITING;
    return run->phase == PHASE_BOUND ? bound_allows(run, bytes, n) : unbound_allows(run, bytes, n);
}

static void arm(struct guided *run, const char *from, size_t n)
{
    bool leads = run->phase == PHASE_THINKING;
    if (leads) {
        size_t left;
        from = skip_space(from, n, &left);
        run->leading = left == 0 ? n : SIZE_MAX;
        n = left;
    }
    run->phase = matcher_feed(run->matcher, from, n) ? PHASE_BOUND : PHASE_FREE;
}

size_t guided_restrict(struct guided *run, int32_t rejected, float *logits)
{
    const struct guide *g = run->guide;
    if (run->phase == PHASE_THINKING && !run->thinking) /* it likes something else better than reasoning */
        arm(run, buf_str(&run->tail), run->tail.len);
    if (run->phase == PHASE_BOUND)
        return matcher_failed(run->matcher) ? 0
                                            : matcher_mask(run->matcher, g->vocab, g->special, g->n_special, logits);
    logits[rejected] = -INFINITY;
    for (int32_t t = 0; run->phase == PHASE_THINKING && t < g->vocab->n; t++)
        if ((g->vocab->flags[t] & VOCAB_END) != 0)
            logits[t] = -INFINITY;
    return (size_t)g->vocab->n;
}

/* ---- what came ---- */

bool guided_forced(struct guided *run, int32_t *ret_token)
{
    const struct guide *g = run->guide;
    if (run->forced == SIZE_MAX && g->budget >= 0 && run->thinking && run->thought >= g->budget && g->n_think_stop > 0)
        run->forced = 0;
    if (run->forced == SIZE_MAX || run->forced == g->n_think_stop)
        return false;
    *ret_token = g->think_stop[run->forced];
    if (run->phase != PHASE_BOUND || guided_allows(run, *ret_token))
        return true;
    run->forced = g->n_think_stop; /* the grammar has another end for it */
    return false;
}

static void take_bound(struct guided *run, const char *bytes, size_t n)
{
    size_t all = n;
    bytes = without_leading(run, bytes, &n);
    run->leading = n == 0 && run->leading != SIZE_MAX ? run->leading + all : SIZE_MAX;
    if (n > 0 && !matcher_feed(run->matcher, bytes, n))
        run->phase = PHASE_FREE;
}

/* Waiting for a trigger, or for the end of the reasoning. */
static void take_unbound(struct guided *run)
{
    const char *text = buf_str(&run->tail);
    const char *from = bound_from(run, text, run->tail.len);
    if (from != NULL) {
        arm(run, from, (size_t)(text + run->tail.len - from));
    } else if (run->phase == PHASE_THINKING && !run->thinking && run->tail.len > 0 &&
               !may_open_thinking(run, text, run->tail.len)) {
        arm(run, text, run->tail.len); /* no reasoning at all */
    }
}

bool guided_accept(struct guided *run, int32_t token)
{
    size_t n;
    const char *bytes = token_text(run, token, &n);
    if (run->forced != SIZE_MAX && run->forced < run->guide->n_think_stop)
        run->forced++;
    if ((run->guide->vocab->flags[token] & VOCAB_END) != 0)
        return false;
    bool fits = buf_add(&run->tail, bytes, n);
    CHECK(fits);
    if (run->phase == PHASE_WAITING || run->phase == PHASE_THINKING)
        take_unbound(run);
    else if (run->phase == PHASE_BOUND && n > 0)
        take_bound(run, bytes, n);
    follow_thinking(run);
    if (run->tail.len > (size_t)2 * TAIL_KEPT) {
        buf_drop(&run->tail, run->tail.len - TAIL_KEPT);
        run->tail_is_all = false;
    }
    return run->phase == PHASE_BOUND && matcher_must_end(run->matcher);
}
