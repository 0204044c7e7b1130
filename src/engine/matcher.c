/* engine/matcher.c: where in a grammar a text is, and what may follow: see grammar.h.
 *
 * A place is a node that takes a byte, and the chain of returns below it ("frame"). A state is the set of all places
 * where the text so far may be. States, frames and what a byte does to a state are made when first met and
 * kept, up to STATES_KEPT; then all but the current state is forgotten. */
#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "engine/grammar_nodes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    STATES_KEPT = 2048, /* 1 KB of transitions each */
    STATES_MAX = 8192,  /* within one look at the vocabulary */
    FRAMES_KEPT = 65536,
    MASKS_KEPT = 64,
    STATE_DEAD = 0,
    STATE_UNKNOWN = -1,
    WORK_MAX = 8 * 1024 * 1024, /* places looked at for one mask: 50 ms at most */
    PIECE_MAX = 1024,
    CLOSURE_MAX = 8 * LIMIT_GRAMMAR_PLACES,
    SEEN_SIZE = 2 * CLOSURE_MAX,
};

struct place {
    int32_t node, frame;
};

struct frame {
    int32_t node, below, depth;
};

struct state {
    int32_t first, n; /* of places[] */
    bool may_end;
    int32_t *next; /* 256, or NULL */
    uint8_t *mask; /* a bit for each token, or NULL */
    size_t n_allowed;
};

struct table {
    int32_t *slots; /* index + 1; 0: free */
    size_t size;
};

/* A place met in the closure of this turn: all[index]. */
struct seen {
    uint32_t turn;
    int32_t index;
};

struct matcher {
    struct grammar *g;
    struct state *states; /* [0] is dead */
    int32_t n_states, cap_states, current;
    struct place *places;
    int32_t n_places, cap_places;
    struct frame *frames; /* [0] is the bottom */
    int32_t n_frames, cap_frames;
    struct table state_table, frame_table;
    struct seen *seen;  /* 2 * CLOSURE_MAX, open addressing */
    struct place *all;  /* the places that a closure has met */
    uint32_t turn;      /* of the closure: older entries of `seen` are free */
    struct place *todo; /* of a closure */
    int32_t n_todo, cap_todo;
    struct place *set; /* the state in the making */
    int32_t n_set;
    bool set_may_end;
    int n_masks;
    int64_t work;
    bool failed;
};

static size_t mix(uint64_t h) { return (size_t)((h * UINT64_C(0x9E3779B97F4A7C15)) >> 20); }

static size_t place_hash(struct place p) { return mix((uint64_t)(uint32_t)p.node << 32 | (uint32_t)p.frame); }

static void table_clear(struct table *t) { memset(t->slots, 0, t->size * sizeof *t->slots); }

static void table_new(struct table *t, size_t size)
{
    t->size = size;
    t->slots = check_alloc(calloc(size, sizeof *t->slots));
}

/* ---- frames ---- */

static void frames_grow(struct matcher *m)
{
    if (m->n_frames == m->cap_frames) {
        m->cap_frames *= 2;
        m->frames = check_alloc(realloc(m->frames, (size_t)m->cap_frames * sizeof *m->frames));
    }
    if ((size_t)m->n_frames * 2 < m->frame_table.size)
        return;
    free(m->frame_table.slots);
    table_new(&m->frame_table, m->frame_table.size * 2);
    for (int32_t i = 1; i < m->n_frames; i++) {
        size_t slot = place_hash((struct place){m->frames[i].node, m->frames[i].below}) & (m->frame_table.size - 1);
        while (m->frame_table.slots[slot] != 0)
            slot = (slot + 1) & (m->frame_table.size - 1);
        m->frame_table.slots[slot] = i + 1;
    }
}

/* The frame that returns to `node` and then to `below`; -1: too deep. */
static int32_t frame_of(struct matcher *m, int32_t node, int32_t below)
{
    if (m->frames[below].depth == LIMIT_GRAMMAR_CALLS)
        return -1;
    frames_grow(m);
    size_t slot = place_hash((struct place){node, below}) & (m->frame_table.size - 1);
    for (; m->frame_table.slots[slot] != 0; slot = (slot + 1) & (m->frame_table.size - 1)) {
        int32_t i = m->frame_table.slots[slot] - 1;
        if (m->frames[i].node == node && m->frames[i].below == below)
            return i;
    }
    m->frames[m->n_frames] = (struct frame){node, below, m->frames[below].depth + 1};
    m->frame_table.slots[slot] = m->n_frames + 1;
    return m->n_frames++;
}

/* ---- a state in the making ---- */

static void todo_add(struct matcher *m, int32_t node, int32_t frame)
{
    if (!m->g->nodes[node].productive)
        return;
    if (m->n_todo == m->cap_todo) {
        m->cap_todo += m->cap_todo < 64 ? 64 : m->cap_todo;
        m->todo = check_alloc(realloc(m->todo, (size_t)m->cap_todo * sizeof *m->todo));
    }
    m->todo[m->n_todo++] = (struct place){node, frame};
}

/* Is the place new? Then it is noted. */
static bool place_note(struct matcher *m, int32_t *n_all, struct place p)
{
    size_t slot = place_hash(p) & (SEEN_SIZE - 1);
    for (; m->seen[slot].turn == m->turn; slot = (slot + 1) & (SEEN_SIZE - 1)) {
        const struct place *old = &m->all[m->seen[slot].index];
        if (old->node == p.node && old->frame == p.frame)
            return false;
    }
    m->seen[slot] = (struct seen){m->turn, *n_all};
    m->all[(*n_all)++] = p;
    return true;
}

static void place_follow(struct matcher *m, struct place p)
{
    const struct node *n = &m->g->nodes[p.node];
    if (n->kind == NODE_SPLIT) {
        todo_add(m, n->next, p.frame);
        todo_add(m, n->other, p.frame);
    } else if (n->kind == NODE_CALL) {
        /* a call at a rule's end needs no frame of its own: so lists are as deep as their first item */
        bool last = m->g->nodes[n->next].kind == NODE_RETURN;
        int32_t frame = last ? p.frame : frame_of(m, n->next, p.frame);
        if (frame >= 0 && m->g->nodes[n->next].productive)
            todo_add(m, m->g->starts[n->other], frame);
    } else if (p.frame == 0) {
        m->set_may_end = true;
    } else {
        todo_add(m, m->frames[p.frame].node, m->frames[p.frame].below);
    }
}

/* All places that take a byte and are reached from `todo` without one, into `set`. */
static void set_close(struct matcher *m)
{
    int32_t n_all = 0;
    if (++m->turn == 0) { /* once in four billion: the marks of the last round go */
        memset(m->seen, 0, SEEN_SIZE * sizeof *m->seen);
        m->turn = 1;
    }
    m->n_set = 0;
    m->set_may_end = false;
    while (m->n_todo > 0) {
        struct place p = m->todo[--m->n_todo];
        if (n_all == CLOSURE_MAX || m->n_set == LIMIT_GRAMMAR_PLACES) {
            m->failed = true;
            m->n_todo = 0;
            return;
        }
        if (!place_note(m, &n_all, p))
            continue;
        m->work++;
        if (m->g->nodes[p.node].kind == NODE_BYTES)
            m->set[m->n_set++] = p;
        else
            place_follow(m, p);
    }
}

static int place_compare(const void *a, const void *b)
{
    const struct place *x = a;
    const struct place *y = b;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    return x->frame < y->frame ? -1 : x->frame > y->frame;
}

static bool state_is_set(const struct matcher *m, const struct state *s)
{
    return s->n == m->n_set && s->may_end == m->set_may_end &&
           memcmp(m->places + s->first, m->set, (size_t)m->n_set * sizeof *m->set) == 0;
}

static int32_t state_add(struct matcher *m)
{
    if (m->n_states == m->cap_states) {
        m->cap_states *= 2;
        m->states = check_alloc(realloc(m->states, (size_t)m->cap_states * sizeof *m->states));
    }
    while (m->n_places + m->n_set > m->cap_places) {
        m->cap_places *= 2;
        m->places = check_alloc(realloc(m->places, (size_t)m->cap_places * sizeof *m->places));
    }
    m->states[m->n_states] = (struct state){.first = m->n_places, .n = m->n_set, .may_end = m->set_may_end};
    memcpy(m->places + m->n_places, m->set, (size_t)m->n_set * sizeof *m->set);
    m->n_places += m->n_set;
    return m->n_states++;
}

/* The state of the places in `todo`; STATE_DEAD when there is none, or no room for more states. */
static int32_t state_make(struct matcher *m)
{
    set_close(m);
    if (m->failed || (m->n_set == 0 && !m->set_may_end))
        return STATE_DEAD;
    qsort(m->set, (size_t)m->n_set, sizeof *m->set, place_compare);
    uint64_t h = m->set_may_end;
    for (int32_t i = 0; i < m->n_set; i++)
        h = (h ^ place_hash(m->set[i])) * UINT64_C(1099511628211);
    size_t slot = mix(h) & (m->state_table.size - 1);
    for (; m->state_table.slots[slot] != 0; slot = (slot + 1) & (m->state_table.size - 1)) {
        int32_t i = m->state_table.slots[slot] - 1;
        if (state_is_set(m, &m->states[i]))
            return i;
    }
    if (m->n_states == STATES_MAX)
        return STATE_DEAD;
    int32_t added = state_add(m);
    m->state_table.slots[slot] = added + 1;
    return added;
}

static int32_t state_step(struct matcher *m, int32_t from, unsigned char byte)
{
    if (m->states[from].next == NULL) {
        m->states[from].next = check_alloc(malloc(256 * sizeof(int32_t)));
        memset(m->states[from].next, 0xFF, 256 * sizeof(int32_t));
    }
    int32_t known = m->states[from].next[byte];
    if (known != STATE_UNKNOWN)
        return known;
    m->n_todo = 0;
    for (int32_t i = 0; i < m->states[from].n; i++) {
        struct place p = m->places[m->states[from].first + i];
        const struct node *n = &m->g->nodes[p.node];
        if (n->lo <= byte && byte <= n->hi)
            todo_add(m, n->next, p.frame);
    }
    m->work += m->states[from].n;
    int32_t to = m->n_todo == 0 ? STATE_DEAD : state_make(m);
    m->states[from].next[byte] = to;
    return to;
}

/* ---- the whole ---- */

static void states_clear(struct matcher *m)
{
    for (int32_t i = 0; i < m->n_states; i++) {
        free(m->states[i].next);
        free(m->states[i].mask);
    }
    m->n_masks = 0;
    m->n_places = 0;
    m->n_frames = 1;
    m->frames[0] = (struct frame){0};
    m->states[0] = (struct state){0};
    m->n_states = 1;
    table_clear(&m->state_table);
    table_clear(&m->frame_table);
}

struct matcher *matcher_new(struct grammar *g)
{
    struct matcher *m = check_alloc(calloc(1, sizeof *m));
    m->g = grammar_ref(g);
    m->cap_states = m->cap_places = m->cap_frames = m->cap_todo = 64;
    m->states = check_alloc(calloc((size_t)m->cap_states, sizeof *m->states));
    m->places = check_alloc(calloc((size_t)m->cap_places, sizeof *m->places));
    m->frames = check_alloc(calloc((size_t)m->cap_frames, sizeof *m->frames));
    m->todo = check_alloc(calloc((size_t)m->cap_todo, sizeof *m->todo));
    m->set = check_alloc(calloc(LIMIT_GRAMMAR_PLACES, sizeof *m->set));
    table_new(&m->state_table, 2 * (size_t)STATES_MAX);
    table_new(&m->frame_table, 256);
    m->seen = check_alloc(calloc(SEEN_SIZE, sizeof *m->seen));
    m->all = check_alloc(malloc(CLOSURE_MAX * sizeof *m->all));
    states_clear(m);
    todo_add(m, g->starts[0], 0);
    m->current = state_make(m);
    return m;
}

void matcher_free(struct matcher **at)
{
    struct matcher *m = *at;
    if (m == NULL)
        return;
    states_clear(m);
    grammar_unref(&m->g);
    free(m->states);
    free(m->places);
    free(m->frames);
    free(m->todo);
    free(m->set);
    free(m->state_table.slots);
    free(m->frame_table.slots);
    free(m->seen);
    free(m->all);
    free(m);
    *at = NULL;
}

/* Adds a frame of `old` and all below it to the new frames. */
static int32_t frame_keep(struct matcher *m, const struct frame *old, int32_t frame)
{
    int32_t chain[LIMIT_GRAMMAR_CALLS];
    size_t n = 0;
    for (; frame != 0; frame = old[frame].below)
        chain[n++] = old[frame].node;
    int32_t kept = 0;
    while (n > 0)
        kept = frame_of(m, chain[--n], kept);
    return kept;
}

/* Forgets all but the current state when there is much to forget. */
static void matcher_trim(struct matcher *m)
{
    if (m->n_states < STATES_KEPT && m->n_frames < FRAMES_KEPT)
        return;
    const struct state s = m->states[m->current];
    _cleanup_free_ struct place *places = check_alloc(malloc(((size_t)s.n + 1) * sizeof *places));
    _cleanup_free_ struct frame *frames = check_alloc(malloc((size_t)m->n_frames * sizeof *frames));
    memcpy(places, m->places + s.first, (size_t)s.n * sizeof *places);
    memcpy(frames, m->frames, (size_t)m->n_frames * sizeof *frames);
    states_clear(m);
    m->n_set = s.n;
    m->set_may_end = s.may_end;
    for (int32_t i = 0; i < s.n; i++)
        m->set[i] = (struct place){places[i].node, frame_keep(m, frames, places[i].frame)};
    qsort(m->set, (size_t)m->n_set, sizeof *m->set, place_compare);
    m->current = state_add(m);
}

static int32_t matcher_walk(struct matcher *m, const char *bytes, size_t n)
{
    int32_t at = m->current;
    for (size_t i = 0; i < n && at != STATE_DEAD; i++) {
        m->work = 0;
        at = state_step(m, at, (unsigned char)bytes[i]);
    }
    return m->failed ? STATE_DEAD : at;
}

bool matcher_allows(struct matcher *m, const char *bytes, size_t n) { return matcher_walk(m, bytes, n) != STATE_DEAD; }

bool matcher_feed(struct matcher *m, const char *bytes, size_t n)
{
    int32_t to = matcher_walk(m, bytes, n);
    if (to == STATE_DEAD)
        return false;
    m->current = to;
    matcher_trim(m);
    return true;
}

bool matcher_may_end(const struct matcher *m) { return m->states[m->current].may_end; }
bool matcher_must_end(struct matcher *m) { return matcher_may_end(m) && m->states[m->current].n == 0; }
bool matcher_failed(const struct matcher *m) { return m->failed || m->current == STATE_DEAD; }

/* ---- a mask ---- */

static bool is_special(const int32_t *special, size_t n, int32_t token)
{
    for (size_t i = 0; i < n; i++)
        if (special[i] == token)
            return true;
    return false;
}

static bool token_counts(const struct vocab *v, const int32_t *special, size_t n_special, int32_t token)
{
    return vocab_length(v, token) > 0 && (v->flags[token] & VOCAB_END) == 0 &&
           ((v->flags[token] & VOCAB_CONTROL) == 0 || is_special(special, n_special, token));
}

/* Tokens in the order of their bytes: what a token has in common with the one before it need not be walked again. */
static void mask_make(struct matcher *m, const struct vocab *v, const int32_t *special, size_t n_special, uint8_t *mask,
                      size_t *ret_n)
{
    int32_t path[PIECE_MAX + 1]; /* path[i]: the state after i bytes */
    size_t known = 0;            /* path[0..known] is right for the token before */
    size_t dead = SIZE_MAX;      /* the number of bytes with which it died */
    path[0] = m->current;
    m->work = 0;
    for (int32_t i = 0; i < v->n && !m->failed && m->work < WORK_MAX; i++) {
        int32_t token = v->order[i];
        size_t n = vocab_length(v, token);
        size_t common = i == 0 ? 0 : v->in_common[i];
        if (common >= dead || n > PIECE_MAX)
            continue;
        dead = SIZE_MAX;
        known = common < known ? common : known;
        const char *bytes = vocab_bytes(v, token);
        while (known < n) {
            int32_t to = state_step(m, path[known], (unsigned char)bytes[known]);
            if (to == STATE_DEAD) {
                dead = known + 1;
                break;
            }
            path[++known] = to;
        }
        if (known == n && token_counts(v, special, n_special, token)) {
            mask[token / 8] |= (uint8_t)(1U << (token % 8));
            ++*ret_n;
        }
    }
}

static void masks_trim(struct matcher *m)
{
    if (m->n_masks < MASKS_KEPT)
        return;
    for (int32_t i = 0; i < m->n_states; i++) {
        free(m->states[i].mask);
        m->states[i].mask = NULL;
    }
    m->n_masks = 0;
}

size_t matcher_mask(struct matcher *m, const struct vocab *vocab, const int32_t *special, size_t n_special,
                    float *logits)
{
    if (m->states[m->current].mask == NULL) {
        size_t n = 0;
        masks_trim(m);
        uint8_t *mask = check_alloc(calloc((size_t)vocab->n / 8 + 1, 1));
        mask_make(m, vocab, special, n_special, mask, &n);
        m->states[m->current].mask = mask;
        m->states[m->current].n_allowed = n;
        m->n_masks++;
    }
    const struct state *s = &m->states[m->current];
    size_t n = s->n_allowed;
    for (int32_t t = 0; t < vocab->n; t++) {
        if ((vocab->flags[t] & VOCAB_END) != 0 && s->may_end)
            n++;
        else if ((s->mask[t / 8] >> (t % 8) & 1) == 0)
            logits[t] = -INFINITY;
    }
    return n;
}
