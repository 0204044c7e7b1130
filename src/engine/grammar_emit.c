/* engine/grammar_emit.c: a grammar's trees to nodes, from the end of each rule to its beginning, so that each node is
 * made with its successor known. */
#include "base/check.h"
#include "base/limits.h"
#include "engine/grammar_tree.h"

#include <stdlib.h>

/* -1: too many; err is set. */
static int32_t node_add(struct parser *p, struct node node)
{
    struct grammar *g = p->g;
    if (g->n_nodes == LIMIT_GRAMMAR_NODES) {
        err_set(p->err, ERR_INVALID,
                "the grammar is too large: it has more than %d places (repetitions count by their "
                "number)",
                (int)LIMIT_GRAMMAR_NODES);
        return -1;
    }
    if (g->n_nodes == g->cap_nodes) {
        g->cap_nodes = g->cap_nodes < 1024 ? 1024 : g->cap_nodes * 2;
        g->nodes = check_alloc(realloc(g->nodes, (size_t)g->cap_nodes * sizeof *g->nodes));
    }
    g->nodes[g->n_nodes] = node;
    return g->n_nodes++;
}

static int32_t emit_bytes(struct parser *p, unsigned char lo, unsigned char hi, int32_t next)
{
    return next < 0 ? -1 : node_add(p, (struct node){.kind = NODE_BYTES, .lo = lo, .hi = hi, .next = next});
}

static int32_t emit_split(struct parser *p, int32_t a, int32_t b)
{
    return a < 0 || b < 0 ? -1 : node_add(p, (struct node){.kind = NODE_SPLIT, .next = a, .other = b});
}

static int32_t emit_call(struct parser *p, int32_t rule, int32_t next)
{
    return next < 0 ? -1 : node_add(p, (struct node){.kind = NODE_CALL, .next = next, .other = rule});
}

/* Code points as sequences of byte ranges: cut where the number of bytes or a byte before the last changes. */
static int32_t emit_range(struct parser *p, uint32_t lo, uint32_t hi, int32_t next, int32_t others)
{
    static const uint32_t ends[] = {0x7F, 0x7FF, 0xD7FF, 0xDFFF, 0xFFFF};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (lo <= ends[i] && hi > ends[i])
            return emit_range(p, lo, ends[i], next, emit_range(p, ends[i] + 1, hi, next, others));
    if (lo >= 0xD800 && hi <= 0xDFFF)
        return others; /* surrogates are no characters */
    char from[UTF8_MAX];
    char to[UTF8_MAX];
    size_t n = utf8_encode(hi, to);
    for (size_t i = 1; i < n; i++) {
        uint32_t low = (1U << (6 * i)) - 1;
        if ((lo | low) == (hi | low))
            break;
        if ((lo & low) != 0)
            return emit_range(p, lo, lo | low, next, emit_range(p, (lo | low) + 1, hi, next, others));
        if ((hi & low) != low)
            return emit_range(p, lo, (hi & ~low) - 1, next, emit_range(p, hi & ~low, hi, next, others));
    }
    (void)utf8_encode(lo, from);
    int32_t at = next;
    for (size_t i = n; i-- > 0;)
        at = emit_bytes(p, (unsigned char)from[i], (unsigned char)to[i], at);
    return others == INT32_MIN ? at : emit_split(p, at, others);
}

static int32_t emit_class(struct parser *p, const struct item *item, int32_t next)
{
    int32_t others = INT32_MIN;
    for (size_t i = item->n_ranges; next >= 0 && i-- > 0;)
        others = emit_range(p, item->ranges[i].lo, item->ranges[i].hi, next, others);
    return others == INT32_MIN ? emit_bytes(p, 1, 0, next) : others; /* no range: no byte is 1 to 0 */
}

static int32_t emit(struct parser *p, const struct item *item, int32_t next);

/* A rule without a name for what is repeated or costs many nodes; -1. */
static int32_t emit_rule(struct parser *p, const struct item *item)
{
    int32_t rule = rule_add(p, "", 0);
    if (rule >= 0)
        p->rules[rule].body = item;
    return rule;
}

/* * and +: back to a split that leaves or goes on. */
static int32_t emit_loop(struct parser *p, const struct item *item, int32_t next)
{
    int32_t loop = emit_split(p, next, next);
    int32_t body = loop < 0 ? -1 : emit(p, item->first, loop);
    if (body >= 0)
        p->g->nodes[loop].other = body;
    return body < 0 || item->min == 1 ? body : loop;
}

/* {m,n}: a rule of its own for what is repeated, called as often as it must and then as often as it may be. */
static int32_t emit_counted(struct parser *p, const struct item *item, int32_t next)
{
    int32_t rule = emit_rule(p, item->first);
    int32_t at = rule < 0 ? -1 : next;
    if (item->max == REPEAT_OPEN && at >= 0) {
        int32_t loop = emit_split(p, next, next);
        int32_t call = loop < 0 ? -1 : emit_call(p, rule, loop);
        if (call >= 0)
            p->g->nodes[loop].other = call;
        at = call < 0 ? -1 : loop;
    }
    for (int32_t i = item->min; item->max != REPEAT_OPEN && i < item->max && at >= 0; i++)
        at = emit_split(p, emit_call(p, rule, at), next);
    for (int32_t i = 0; i < item->min && at >= 0; i++)
        at = emit_call(p, rule, at);
    return at;
}

static int32_t emit_repeat(struct parser *p, const struct item *item, int32_t next)
{
    if (item->max == 0)
        return next;
    if (item->min <= 1 && item->max == REPEAT_OPEN)
        return emit_loop(p, item, next);
    if (item->min == 0 && item->max == 1)
        return emit_split(p, emit(p, item->first, next), next);
    return emit_counted(p, item, next);
}

static int32_t emit_sequence(struct parser *p, const struct item *first, int32_t next)
{
    size_t n = 0;
    for (const struct item *i = first; i != NULL; i = i->next)
        n++;
    const struct item **items = arena_array(&p->arena, n, sizeof *items);
    for (const struct item *i = first; i != NULL; i = i->next)
        *items++ = i;
    for (; n > 0 && next >= 0; n--)
        next = emit(p, *--items, next);
    return next;
}

/* The beginning of the nodes for an item which `next` follows; -1: err is set. */
static int32_t emit(struct parser *p, const struct item *item, int32_t next)
{
    int32_t at = next;
    if (next < 0)
        return -1;
    switch (item->kind) {
    case ITEM_TEXT:
        for (size_t i = item->n_text; i-- > 0;)
            at = emit_bytes(p, (unsigned char)item->text[i], (unsigned char)item->text[i], at);
        return at;
    case ITEM_CLASS:
        return emit_class(p, item, next);
    case ITEM_RULE:
        return emit_call(p, item->rule, next);
    case ITEM_SEQUENCE:
        return emit_sequence(p, item->first, next);
    case ITEM_CHOICE:
        at = emit(p, item->first, next);
        for (const struct item *i = item->first->next; i != NULL; i = i->next)
            at = emit_split(p, at, emit(p, i, next));
        return at;
    case ITEM_REPEAT:
        return emit_repeat(p, item, next);
    }
    return -1;
}

/* Rules without names are added on the way, so the loop sees them too. */
bool emit_rules(struct parser *p)
{
    struct grammar *g = p->g;
    for (int32_t i = 0; i < p->n_rules; i++) {
        const struct rule *r = &p->rules[i];
        if (r->body == NULL)
            return err_set(p->err, ERR_INVALID, "the grammar, line %zu: the rule \"%.*s\" is not defined", r->line,
                           (int)(r->n_name < 64 ? r->n_name : 64), r->name);
        int32_t end = node_add(p, (struct node){.kind = NODE_RETURN});
        int32_t start = emit(p, r->body, end);
        if (start < 0)
            return false;
        if (i >= g->n_rules) {
            g->n_rules = g->n_rules < 64 ? 64 : g->n_rules * 2;
            g->starts = check_alloc(realloc(g->starts, (size_t)g->n_rules * sizeof *g->starts));
        }
        g->starts[i] = start;
    }
    g->n_rules = p->n_rules;
    return true;
}
