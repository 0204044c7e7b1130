/* engine/grammar_check.c: what only the whole of a grammar shows: places from which no text leads to an end, and
 * rules that begin with themselves. No recursion: a grammar may chain its rules thousands deep. */
#include "base/check.h"
#include "base/cleanup.h"
#include "engine/grammar_nodes.h"

#include <stdlib.h>
#include <string.h>

struct edges {
    int32_t *starts; /* of each rule, n_rules + 1 */
    int32_t *to;
    size_t n, cap;
};

/* Is a rule's end reached with no byte at all? By node. */
static bool node_empty(const struct grammar *g, const bool *empty, const struct node *n)
{
    switch (n->kind) {
    case NODE_RETURN:
        return true;
    case NODE_SPLIT:
        return empty[n->next] || empty[n->other];
    case NODE_CALL:
        return empty[g->starts[n->other]] && empty[n->next];
    default:
        return false;
    }
}

static bool node_productive(const struct grammar *g, const struct node *n)
{
    switch (n->kind) {
    case NODE_RETURN:
        return true;
    case NODE_SPLIT:
        return g->nodes[n->next].productive || g->nodes[n->other].productive;
    case NODE_CALL:
        return g->nodes[g->starts[n->other]].productive && g->nodes[n->next].productive;
    default:
        return n->lo <= n->hi && g->nodes[n->next].productive;
    }
}

/* What a node's marks are made of; how many. */
static size_t node_needs(const struct grammar *g, const struct node *n, int32_t ret[2])
{
    if (n->kind == NODE_RETURN)
        return 0;
    ret[0] = n->next;
    ret[1] = n->kind == NODE_CALL ? g->starts[n->other] : n->other;
    return n->kind == NODE_BYTES ? 1 : 2;
}

/* For each node those that need it: users[first[i]] to users[first[i + 1]]. */
static int32_t *users_of(const struct grammar *g, int32_t *first)
{
    int32_t needs[2];
    for (int32_t i = 0; i < g->n_nodes; i++)
        for (size_t k = node_needs(g, &g->nodes[i], needs); k-- > 0;)
            first[needs[k] + 1]++;
    for (int32_t i = 0; i < g->n_nodes; i++)
        first[i + 1] += first[i];
    int32_t *users = check_alloc(calloc((size_t)first[g->n_nodes] + 1, sizeof *users));
    _cleanup_free_ int32_t *fill = check_alloc(calloc((size_t)g->n_nodes, sizeof *fill));
    for (int32_t i = 0; i < g->n_nodes; i++)
        for (size_t k = node_needs(g, &g->nodes[i], needs); k-- > 0;)
            users[first[needs[k]] + fill[needs[k]]++] = i;
    return users;
}

/* Both marks only ever turn true, and each turn is passed on once: linear in the size of the grammar. */
static void mark(struct grammar *g, bool *empty)
{
    size_t n = (size_t)g->n_nodes;
    _cleanup_free_ int32_t *first = check_alloc(calloc(n + 1, sizeof *first));
    _cleanup_free_ int32_t *users = users_of(g, first);
    _cleanup_free_ int32_t *todo = check_alloc(calloc(n + 2 * (size_t)first[n] + 1, sizeof *todo));
    size_t n_todo = 0;
    for (size_t i = n; i-- > 0;)
        todo[n_todo++] = (int32_t)i; /* the first is on top: nodes are in the order of what they need, mostly */
    while (n_todo > 0) {
        int32_t at = todo[--n_todo];
        struct node *node = &g->nodes[at];
        bool productive = !node->productive && node_productive(g, node);
        bool now_empty = !empty[at] && node_empty(g, empty, node);
        if (!productive && !now_empty)
            continue;
        node->productive = node->productive || productive;
        empty[at] = empty[at] || now_empty;
        for (int32_t k = first[at]; k < first[at + 1]; k++)
            todo[n_todo++] = users[k];
    }
}

static void edge_add(struct edges *e, int32_t rule)
{
    if (e->n == e->cap) {
        e->cap = e->cap < 256 ? 256 : e->cap * 2;
        e->to = check_alloc(realloc(e->to, e->cap * sizeof *e->to));
    }
    e->to[e->n++] = rule;
}

/* The rules that may be called before the first byte of `rule`. seen[node] == rule + 1: looked at. */
static void edges_of(const struct grammar *g, const bool *empty, int32_t rule, int32_t *seen, int32_t *todo,
                     struct edges *e)
{
    size_t n = 0;
    todo[n++] = g->starts[rule];
    while (n > 0) {
        int32_t at = todo[--n];
        const struct node *node = &g->nodes[at];
        if (seen[at] == rule + 1)
            continue;
        seen[at] = rule + 1;
        if (node->kind == NODE_SPLIT) {
            todo[n++] = node->next;
            todo[n++] = node->other;
        } else if (node->kind == NODE_CALL) {
            edge_add(e, node->other);
            if (empty[g->starts[node->other]])
                todo[n++] = node->next;
        }
    }
}

static void edges_done(struct edges *e)
{
    free(e->starts);
    free(e->to);
}

/* A circle of edges, looked for depth first; `next[r]` is the edge of r that comes next, path[] the way here. */
static bool has_circle(const struct edges *e, int32_t n_rules)
{
    _cleanup_free_ int32_t *next = check_alloc(calloc((size_t)n_rules, sizeof *next));
    _cleanup_free_ int32_t *path = check_alloc(calloc((size_t)n_rules, sizeof *path));
    _cleanup_free_ char *colour = check_alloc(calloc((size_t)n_rules, 1)); /* 1: on the path, 2: done */
    for (int32_t r = 0; r < n_rules; r++)
        next[r] = e->starts[r];
    for (int32_t first = 0; first < n_rules; first++) {
        size_t depth = 0;
        if (colour[first] != 0)
            continue;
        colour[first] = 1;
        path[depth++] = first;
        while (depth > 0) {
            int32_t r = path[depth - 1];
            if (next[r] == e->starts[r + 1]) {
                colour[r] = 2;
                depth--;
                continue;
            }
            int32_t to = e->to[next[r]++];
            if (colour[to] == 1)
                return true;
            if (colour[to] == 0) {
                colour[to] = 1;
                path[depth++] = to;
            }
        }
    }
    return false;
}

bool grammar_check(struct grammar *g, struct err *err)
{
    _cleanup_free_ bool *empty = check_alloc(calloc((size_t)g->n_nodes, sizeof *empty));
    _cleanup_free_ int32_t *seen = check_alloc(calloc((size_t)g->n_nodes, sizeof *seen));
    _cleanup_free_ int32_t *todo = check_alloc(calloc(2 * (size_t)g->n_nodes + 2, sizeof *todo));
    _cleanup_(edges_done) struct edges e = {0};
    mark(g, empty);
    e.starts = check_alloc(calloc((size_t)g->n_rules + 1, sizeof *e.starts));
    for (int32_t r = 0; r < g->n_rules; r++) {
        edges_of(g, empty, r, seen, todo, &e);
        e.starts[r + 1] = (int32_t)e.n;
    }
    if (has_circle(&e, g->n_rules))
        return err_set(err, ERR_INVALID,
                       "the grammar has a rule that begins with itself (left recursion): write it "
                       "the other way round, as list ::= item | item \",\" list");
    return g->nodes[g->starts[0]].productive ||
           err_set(err, ERR_INVALID,
                   "the grammar admits no text at all: every way through it goes on for ever or needs "
                   "a character that cannot be");
}
