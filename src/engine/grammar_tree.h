/* engine/grammar_tree: a grammar's text as trees, one for each rule: what grammar_parse.c reads and grammar_emit.c
 * makes nodes of. For these two alone. */
#ifndef TUG_ENGINE_GRAMMAR_TREE_H
#define TUG_ENGINE_GRAMMAR_TREE_H

#include "base/arena.h"
#include "engine/grammar_nodes.h"

enum { CODE_MAX = 0x10FFFF, REPEAT_OPEN = INT32_MAX, UTF8_MAX = 4 };

struct range {
    uint32_t lo, hi;
};

struct item {
    enum { ITEM_TEXT, ITEM_CLASS, ITEM_RULE, ITEM_SEQUENCE, ITEM_CHOICE, ITEM_REPEAT } kind;
    struct item *next;  /* beside it in its sequence or choice */
    struct item *first; /* of a sequence, choice; what is repeated */
    char text[UTF8_MAX];
    size_t n_text;
    const struct range *ranges;
    size_t n_ranges;
    bool negated;
    int32_t rule, min, max;
};

struct rule {
    const char *name;
    size_t n_name;
    const struct item *body; /* NULL: used, not defined yet */
    size_t line;
};

struct parser {
    const char *at, *end;
    const char *counted; /* the text before it has `lines` newlines */
    size_t lines;
    struct arena arena;
    struct grammar *g;
    struct rule *rules;
    int32_t n_rules, cap_rules;
    int32_t *table; /* name to rule, open addressing */
    size_t table_size;
    int depth;
    struct err *err;
};

size_t utf8_encode(uint32_t c, char out[UTF8_MAX]);
/* A rule of this name ("": none can call it by one); -1: too many, err is set. */
int32_t rule_add(struct parser *p, const char *name, size_t n);
/* Nodes for all rules, p->g's starts; refuses rules that are used and not defined. */
bool emit_rules(struct parser *p);

#endif
