/* engine/grammar_nodes: the compiled form of a grammar, for grammar_parse.c, grammar_check.c and matcher.c alone. */
#ifndef TUG_ENGINE_GRAMMAR_NODES_H
#define TUG_ENGINE_GRAMMAR_NODES_H

#include "engine/grammar.h"

#include <stdatomic.h>

enum node_kind {
    NODE_BYTES,  /* a byte from lo to hi, then next */
    NODE_SPLIT,  /* next or other */
    NODE_CALL,   /* the rule `other`, then next */
    NODE_RETURN, /* the end of a rule */
};

struct node {
    uint8_t kind, lo, hi;
    bool productive; /* some text leads from here to the rule's end */
    int32_t next, other;
};

struct grammar {
    atomic_int refs;
    struct node *nodes;
    int32_t n_nodes, cap_nodes;
    int32_t *starts; /* of each rule; rule 0 is root */
    int32_t n_rules;
};

/* Marks what is productive; refuses left recursion and a root that no text fits. */
bool grammar_check(struct grammar *g, struct err *err);

#endif
