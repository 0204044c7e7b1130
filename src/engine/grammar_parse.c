/* engine/grammar_parse.c: GBNF text to a tree for each rule. */
#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "engine/grammar_tree.h"

#include <stdlib.h>
#include <string.h>

enum { REPEATS_MAX = 4 };

/* Asked for each rule, so it counts on from where it was asked last. */
static size_t line_of(struct parser *p)
{
    for (; p->counted < p->at; p->counted++)
        p->lines += *p->counted == '\n';
    return p->lines + 1;
}

static bool parse_fail(struct parser *p, const char *why)
{
    return err_set(p->err, ERR_INVALID, "the grammar, line %zu: %s", line_of(p), why);
}

static int peek(const struct parser *p) { return p->at < p->end ? (unsigned char)*p->at : -1; }

static bool is_name(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static void skip_space(struct parser *p, bool lines)
{
    for (int c = peek(p); c == ' ' || c == '\t' || c == '#' || (lines && (c == '\r' || c == '\n')); c = peek(p)) {
        if (c == '#')
            while (peek(p) >= 0 && peek(p) != '\r' && peek(p) != '\n')
                p->at++;
        else
            p->at++;
    }
}

/* ---- names ---- */

static size_t name_hash(const char *s, size_t n)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * UINT64_C(1099511628211);
    return (size_t)(h ^ (h >> 32));
}

static size_t table_slot(const struct parser *p, const char *name, size_t n)
{
    size_t slot = name_hash(name, n) & (p->table_size - 1);
    while (p->table[slot] >= 0) {
        const struct rule *r = &p->rules[p->table[slot]];
        if (r->n_name == n && memcmp(r->name, name, n) == 0)
            break;
        slot = (slot + 1) & (p->table_size - 1);
    }
    return slot;
}

int32_t rule_add(struct parser *p, const char *name, size_t n)
{
    if (p->n_rules == LIMIT_GRAMMAR_RULES) {
        err_set(p->err, ERR_INVALID, "the grammar has more than %d rules", (int)LIMIT_GRAMMAR_RULES);
        return -1;
    }
    if (p->n_rules == p->cap_rules) {
        p->cap_rules = p->cap_rules < 64 ? 64 : p->cap_rules * 2;
        p->rules = check_alloc(realloc(p->rules, (size_t)p->cap_rules * sizeof *p->rules));
    }
    p->rules[p->n_rules] = (struct rule){.name = name, .n_name = n, .line = line_of(p)};
    return p->n_rules++;
}

/* The rule of this name, known already or from now on; -1: too many. */
static int32_t rule_named(struct parser *p, const char *name, size_t n)
{
    size_t slot = table_slot(p, name, n);
    if (p->table[slot] < 0)
        p->table[slot] = rule_add(p, name, n);
    return p->table[slot];
}

/* ---- characters ---- */

static bool parse_hex(struct parser *p, int digits, uint32_t *ret)
{
    uint32_t v = 0;
    for (int i = 0; i < digits; i++, p->at++) {
        int c = peek(p);
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return parse_fail(p, "an escape needs more hexadecimal digits");
        v = v << 4 | (uint32_t)digit;
    }
    *ret = v;
    return v <= CODE_MAX || parse_fail(p, "an escape is above U+10FFFF");
}

static bool parse_escape(struct parser *p, uint32_t *ret)
{
    int c = peek(p);
    p->at++;
    switch (c) {
    case 'x':
        return parse_hex(p, 2, ret);
    case 'u':
        return parse_hex(p, 4, ret);
    case 'U':
        return parse_hex(p, 8, ret);
    case 't':
        *ret = '\t';
        return true;
    case 'r':
        *ret = '\r';
        return true;
    case 'n':
        *ret = '\n';
        return true;
    case '\\':
    case '"':
    case '[':
    case ']':
    case '-':
        *ret = (uint32_t)c;
        return true;
    default:
        p->at--;
        return parse_fail(p, "unknown escape; there are \\n \\r \\t \\\\ \\\" \\[ \\] \\- \\xNN \\uNNNN \\UNNNNNNNN");
    }
}

/* One character, as it is or escaped. */
static bool parse_char(struct parser *p, uint32_t *ret)
{
    int c = peek(p);
    if (c < 0)
        return parse_fail(p, "it ends inside a literal or a class");
    p->at++;
    if (c == '\\')
        return parse_escape(p, ret);
    int more = c < 0x80 ? 0 : c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC2 ? 1 : -1;
    if (more < 0)
        return parse_fail(p, "it is not UTF-8");
    uint32_t v = more == 0 ? (uint32_t)c : (uint32_t)c & (0x3FU >> more);
    for (; more > 0; more--, p->at++) {
        if (peek(p) < 0 || (peek(p) & 0xC0) != 0x80)
            return parse_fail(p, "it is not UTF-8");
        v = v << 6 | ((uint32_t)peek(p) & 0x3F);
    }
    *ret = v;
    return v <= CODE_MAX || parse_fail(p, "it is not UTF-8");
}

size_t utf8_encode(uint32_t c, char out[UTF8_MAX])
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(first[n] | c);
    return n;
}

/* ---- the tree ---- */

static struct item *item_new(struct parser *p, int kind)
{
    struct item *item = arena_alloc(&p->arena, sizeof *item);
    *item = (struct item){.kind = (unsigned)kind};
    return item;
}

static bool parse_text(struct parser *p, struct item **ret)
{
    struct item *all = item_new(p, ITEM_SEQUENCE);
    struct item **last = &all->first;
    p->at++;
    while (peek(p) != '"') {
        uint32_t c;
        if (!parse_char(p, &c))
            return false;
        struct item *one = item_new(p, ITEM_TEXT);
        one->n_text = utf8_encode(c, one->text);
        *last = one;
        last = &one->next;
    }
    p->at++;
    *ret = all;
    return true;
}

static int range_compare(const void *a, const void *b)
{
    const struct range *x = a;
    const struct range *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Sorted, without overlaps; the complement of a negated class. */
static void class_settle(struct parser *p, struct item *item, struct range *ranges, size_t n)
{
    struct range *out = arena_array(&p->arena, n + 1, sizeof *out);
    size_t n_out = 0;
    qsort(ranges, n, sizeof *ranges, range_compare);
    for (size_t i = 0; i < n; i++) {
        if (n_out > 0 && ranges[i].lo <= out[n_out - 1].hi + 1) {
            if (ranges[i].hi > out[n_out - 1].hi)
                out[n_out - 1].hi = ranges[i].hi;
        } else {
            out[n_out++] = ranges[i];
        }
    }
    if (item->negated) {
        uint32_t from = 0;
        size_t kept = 0;
        for (size_t i = 0; i < n_out; i++) {
            struct range r = out[i];
            if (r.lo > from)
                out[kept++] = (struct range){from, r.lo - 1};
            from = r.hi + 1;
        }
        if (from <= CODE_MAX)
            out[kept++] = (struct range){from, CODE_MAX};
        n_out = kept;
    }
    item->ranges = out;
    item->n_ranges = n_out;
}

static bool parse_class(struct parser *p, struct item **ret)
{
    struct item *item = item_new(p, ITEM_CLASS);
    size_t n = 0;
    size_t cap = 8;
    struct range *ranges = arena_array(&p->arena, cap, sizeof *ranges);
    p->at++;
    if (peek(p) == '^') {
        item->negated = true;
        p->at++;
    }
    while (peek(p) != ']') {
        struct range r = {0, 0};
        if (!parse_char(p, &r.lo))
            return false;
        r.hi = r.lo;
        if (peek(p) == '-' && p->at + 1 < p->end && p->at[1] != ']') {
            p->at++;
            if (!parse_char(p, &r.hi))
                return false;
        }
        if (r.hi < r.lo)
            continue; /* an empty range admits nothing */
        if (n == cap) {
            struct range *more = arena_array(&p->arena, cap * 2, sizeof *more);
            memcpy(more, ranges, n * sizeof *ranges);
            ranges = more;
            cap *= 2;
        }
        ranges[n++] = r;
    }
    p->at++;
    class_settle(p, item, ranges, n);
    *ret = item;
    return true;
}

static bool parse_name(struct parser *p, struct item **ret)
{
    const char *name = p->at;
    while (is_name(peek(p)))
        p->at++;
    struct item *item = item_new(p, ITEM_RULE);
    item->rule = rule_named(p, name, (size_t)(p->at - name));
    *ret = item;
    return item->rule >= 0;
}

static bool parse_choice(struct parser *p, bool nested, struct item **ret);

static bool parse_group(struct parser *p, struct item **ret)
{
    if (++p->depth > LIMIT_GRAMMAR_DEPTH)
        return err_set(p->err, ERR_INVALID, "the grammar has groups nested more than %d deep",
                       (int)LIMIT_GRAMMAR_DEPTH);
    p->at++;
    skip_space(p, true);
    if (!parse_choice(p, true, ret))
        return false;
    if (peek(p) != ')')
        return parse_fail(p, "a group is not closed by \")\"");
    p->at++;
    p->depth--;
    return true;
}

static bool parse_count(struct parser *p, int32_t *ret)
{
    int64_t v = 0;
    if (peek(p) < '0' || peek(p) > '9')
        return parse_fail(p, "a repetition needs a number: {3}, {3,} or {3,5}");
    for (; peek(p) >= '0' && peek(p) <= '9'; p->at++) {
        v = v * 10 + (peek(p) - '0');
        if (v > LIMIT_GRAMMAR_REPEAT)
            return err_set(p->err, ERR_INVALID, "the grammar, line %zu: a repetition is above %d", line_of(p),
                           (int)LIMIT_GRAMMAR_REPEAT);
    }
    *ret = (int32_t)v;
    return true;
}

static bool parse_braces(struct parser *p, bool nested, int32_t *ret_min, int32_t *ret_max)
{
    p->at++;
    skip_space(p, nested);
    if (!parse_count(p, ret_min))
        return false;
    *ret_max = *ret_min;
    skip_space(p, nested);
    if (peek(p) == ',') {
        p->at++;
        skip_space(p, nested);
        *ret_max = REPEAT_OPEN;
        if (peek(p) != '}' && !parse_count(p, ret_max))
            return false;
        skip_space(p, nested);
    }
    if (peek(p) != '}')
        return parse_fail(p, "a repetition is not closed by \"}\"");
    p->at++;
    return *ret_max >= *ret_min || parse_fail(p, "a repetition's end is below its beginning");
}

/* What follows an item: any number of * + ? {m,n}. */
static bool parse_repeats(struct parser *p, bool nested, struct item **item)
{
    for (int times = 0;; times++) {
        int32_t min = 0;
        int32_t max = REPEAT_OPEN;
        int c = peek(p);
        if (c == '{') {
            if (!parse_braces(p, nested, &min, &max))
                return false;
        } else if (c == '*' || c == '+' || c == '?') {
            min = c == '+';
            max = c == '?' ? 1 : REPEAT_OPEN;
            p->at++;
        } else {
            return true;
        }
        if (times == REPEATS_MAX)
            return parse_fail(p, "too many repetitions of one item");
        struct item *repeat = item_new(p, ITEM_REPEAT);
        repeat->first = *item;
        repeat->min = min;
        repeat->max = max;
        *item = repeat;
        skip_space(p, nested);
    }
}

static struct item *item_any(struct parser *p)
{
    struct item *item = item_new(p, ITEM_CLASS);
    struct range none = {0, 0};
    item->negated = true;
    class_settle(p, item, &none, 0);
    p->at++;
    return item;
}

/* *ret NULL: no item begins here. */
static bool parse_item(struct parser *p, struct item **ret)
{
    int c = peek(p);
    *ret = NULL;
    if (c == '"')
        return parse_text(p, ret);
    if (c == '[')
        return parse_class(p, ret);
    if (c == '(')
        return parse_group(p, ret);
    if (is_name(c))
        return parse_name(p, ret);
    if (c == '<' || c == '!')
        return parse_fail(p, "token elements (<...>, !<...>) are not supported: write their text");
    if (c == '*' || c == '+' || c == '?' || c == '{')
        return parse_fail(p, "there is nothing to repeat here");
    if (c == '.')
        *ret = item_any(p);
    return true;
}

static bool parse_sequence(struct parser *p, bool nested, struct item **ret)
{
    struct item *sequence = item_new(p, ITEM_SEQUENCE);
    struct item **last = &sequence->first;
    for (;;) {
        struct item *item;
        if (!parse_item(p, &item))
            return false;
        if (item == NULL)
            break;
        skip_space(p, nested);
        if (!parse_repeats(p, nested, &item))
            return false;
        *last = item;
        last = &item->next;
    }
    *ret = sequence;
    return true;
}

static bool parse_choice(struct parser *p, bool nested, struct item **ret)
{
    struct item *choice = item_new(p, ITEM_CHOICE);
    struct item **last = &choice->first;
    for (;;) {
        if (!parse_sequence(p, nested, last))
            return false;
        last = &(*last)->next;
        if (peek(p) != '|')
            break;
        p->at++;
        skip_space(p, true);
    }
    *ret = choice;
    return true;
}

static bool parse_rule(struct parser *p)
{
    const char *name = p->at;
    struct item *body;
    while (is_name(peek(p)))
        p->at++;
    size_t n = (size_t)(p->at - name);
    if (n == 0)
        return parse_fail(p, "a rule is expected: name ::= …");
    int32_t rule = rule_named(p, name, n);
    if (rule < 0)
        return false;
    skip_space(p, false);
    if (p->end - p->at < 3 || memcmp(p->at, "::=", 3) != 0)
        return parse_fail(p, "\"::=\" is expected after a rule's name");
    p->at += 3;
    skip_space(p, true);
    if (!parse_choice(p, false, &body))
        return false;
    if (peek(p) >= 0 && peek(p) != '\n' && peek(p) != '\r')
        return parse_fail(p, "the end of the line is expected here");
    skip_space(p, true);
    p->rules[rule].body = body; /* of two rules of one name the later holds, as with llama.cpp */
    return true;
}

static void parser_done(struct parser *p)
{
    arena_done(&p->arena);
    free(p->rules);
    free(p->table);
}

bool grammar_parse(const char *text, size_t n, struct grammar **ret_g, struct err *err)
{
    _cleanup_(parser_done) struct parser p = {.counted = text, .at = text, .end = text + n, .err = err};
    _cleanup_(grammar_unref) struct grammar *g = NULL;
    if (n > LIMIT_GRAMMAR_BYTES)
        return err_set(err, ERR_INVALID, "the grammar has %zu bytes, at most %d are taken", n,
                       (int)LIMIT_GRAMMAR_BYTES);
    g = check_alloc(calloc(1, sizeof *g));
    atomic_init(&g->refs, 1);
    p.g = g;
    p.table_size = 2 * (size_t)LIMIT_GRAMMAR_RULES;
    p.table = check_alloc(malloc(p.table_size * sizeof *p.table));
    memset(p.table, 0xFF, p.table_size * sizeof *p.table);
    if (rule_named(&p, "root", 4) < 0)
        return false;
    skip_space(&p, true);
    while (p.at < p.end)
        if (!parse_rule(&p))
            return false;
    if (p.n_rules == 0 || p.rules[0].body == NULL)
        return err_set(err, ERR_INVALID, "the grammar has no rule \"root\"");
    if (!emit_rules(&p) || !grammar_check(g, err))
        return false;
    *ret_g = TAKE(g);
    return true;
}

/* The nodes and rules of `from` behind those that are there, but for the root, which is rule 0 of both. */
static void grammar_append(struct grammar *to, const struct grammar *from)
{
    for (int32_t i = 0; i < from->n_nodes; i++) {
        struct node *n = &to->nodes[to->n_nodes + i];
        *n = from->nodes[i];
        n->next += to->n_nodes;
        n->other += n->kind == NODE_CALL ? to->n_rules : to->n_nodes;
    }
    for (int32_t i = 0; i < from->n_rules; i++)
        to->starts[to->n_rules + i] = from->starts[i] + to->n_nodes;
    to->n_nodes += from->n_nodes;
    to->n_rules += from->n_rules;
}

bool grammar_union(const struct grammar *a, const struct grammar *b, struct grammar **ret_g, struct err *err)
{
    if (a->n_nodes + b->n_nodes > LIMIT_GRAMMAR_NODES || a->n_rules + b->n_rules > LIMIT_GRAMMAR_RULES)
        return err_set(err, ERR_INVALID, "the grammar is too large: its two parts together pass a limit");
    struct grammar *g = check_alloc(calloc(1, sizeof *g));
    atomic_init(&g->refs, 1);
    g->cap_nodes = a->n_nodes + b->n_nodes + 4;
    g->nodes = check_alloc(calloc((size_t)g->cap_nodes, sizeof *g->nodes));
    g->starts = check_alloc(calloc((size_t)(a->n_rules + b->n_rules) + 1, sizeof *g->starts));
    g->nodes[0] = (struct node){.kind = NODE_RETURN, .productive = true};
    g->nodes[1] = (struct node){.kind = NODE_CALL, .productive = true, .next = 0, .other = 1};
    g->nodes[2] = (struct node){.kind = NODE_CALL, .productive = true, .next = 0, .other = 1 + a->n_rules};
    g->nodes[3] = (struct node){.kind = NODE_SPLIT, .productive = true, .next = 1, .other = 2};
    g->starts[0] = 3;
    g->n_nodes = 4;
    g->n_rules = 1;
    grammar_append(g, a);
    grammar_append(g, b);
    *ret_g = g;
    return true;
}

struct grammar *grammar_ref(struct grammar *g)
{
    atomic_fetch_add(&g->refs, 1);
    return g;
}

void grammar_unref(struct grammar **g)
{
    if (*g != NULL && atomic_fetch_sub(&(*g)->refs, 1) == 1) {
        free((*g)->nodes);
        free((*g)->starts);
        free(*g);
    }
    *g = NULL;
}
