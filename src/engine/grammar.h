/* engine/grammar: which texts a generation may write: GBNF, compiled to bytes and matched with bounds.
 *
 *   if (!grammar_parse(text, strlen(text), &g, err)) ...      any thread; 400 that names line and reason
 *   m = matcher_new(g);                                        per generation; takes a reference of its own
 *   matcher_allows(m, bytes, n)      may these bytes come next?
 *   matcher_feed(m, bytes, n)        they came
 *   matcher_mask(m, vocab, special, n_special, row)            minus infinity for every token that may not come
 *
 * GBNF is llama.cpp's form (its grammars/README.md) without token elements. Rules, groups and repetitions become a
 * network of byte ranges, splits, calls and returns; a matcher holds the set of places where it may be, each with
 * its stack of returns, and remembers what each byte did there: a place that was met before costs one look into a
 * table. So a token is checked in nanoseconds and a vocabulary of 128,000 in a few milliseconds at most.
 *
 * Nothing here recurses on input or grows without end: LIMIT_GRAMMAR_BYTES, _RULES, _NODES, _DEPTH, _PLACES and
 * _STATES. Left recursion, undefined rules and grammars that no text fits are refused by grammar_parse. A
 * grammar so ambiguous that the places of one text pass their limit fails its own matcher alone.
 *
 * Own code, not llama.cpp's sampler: that one aborts the process on a token it does not expect, recurses by the
 * grammar's nesting, and needs 7 to 18 ms for each token at that vocabulary (engine facts, 7).
 */
#ifndef TUG_ENGINE_GRAMMAR_H
#define TUG_ENGINE_GRAMMAR_H

#include "base/err.h"
#include "engine/vocab.h"

#include <stddef.h>
#include <stdint.h>

struct grammar;
struct matcher;

/* The rule "root" is what a text must fit. Messages begin with "the grammar". */
bool grammar_parse(const char *text, size_t n, struct grammar **ret_g, struct err *err);
/* What fits one or the other. */
bool grammar_union(const struct grammar *a, const struct grammar *b, struct grammar **ret_g, struct err *err);
struct grammar *grammar_ref(struct grammar *g);
void grammar_unref(struct grammar **g);

struct matcher *matcher_new(struct grammar *g);
void matcher_free(struct matcher **m);
bool matcher_allows(struct matcher *m, const char *bytes, size_t n);
/* False and unchanged when they do not fit. */
bool matcher_feed(struct matcher *m, const char *bytes, size_t n);
bool matcher_may_end(const struct matcher *m); /* the text so far is whole */
bool matcher_must_end(struct matcher *m);      /* and nothing may follow it */
bool matcher_failed(const struct matcher *m);  /* too ambiguous to go on */

/* `special`: control tokens that count as their text; all others are out. End tokens stay where matcher_may_end.
 * Returns how many tokens stay. */
size_t matcher_mask(struct matcher *m, const struct vocab *vocab, const int32_t *special, size_t n_special,
                    float *logits);

#endif
