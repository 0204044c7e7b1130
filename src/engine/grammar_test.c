/* Grammars: what fits, what is refused with which words, masks against the plain way, and hostile ones in bounded
 * time. No model. */
#include "engine/grammar.h"

#include "base/limits.h"
#include "platform/clock.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct grammar *parse(const char *text)
{
    struct err err = ERR_INIT;
    struct grammar *g = NULL;
    if (!grammar_parse(text, strlen(text), &g, &err))
        fail_msg("%.200s: %s", text, err.text);
    return g;
}

/* 2: fits and is whole, 1: may go on to fit, 0: does not fit. */
static int fits(struct grammar *g, const char *text)
{
    struct matcher *m = matcher_new(g);
    bool ok = matcher_feed(m, text, strlen(text));
    int result = !ok ? 0 : matcher_may_end(m) ? 2 : 1;
    matcher_free(&m);
    return result;
}

static void texts(void **state)
{
    static const char json[] =
        "root ::= object\n"
        "value ::= object | array | string | number | (\"true\" | \"false\" | \"null\")\n"
        "object ::= \"{\" ws ( string \":\" ws value (\",\" ws string \":\" ws value)* )? ws \"}\"\n"
        "array ::= \"[\" ws ( value (\",\" ws value)* )? ws \"]\"\n"
        "string ::= \"\\\"\" ( [^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" "
        "[0-9a-fA-F]{4}) )* \"\\\"\" # a string\n"
        "number ::= \"-\"? ([0-9] | [1-9] [0-9]{0,15}) (\".\" [0-9]+)?\n"
        "ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n";
    static const struct {
        const char *grammar, *text;
        int fits;
    } rows[] = {
        {"root ::= \"a\" | \"bc\"", "a", 2},
        {"root ::= \"a\" | \"bc\"", "b", 1},
        {"root ::= \"a\" | \"bc\"", "bd", 0},
        {"root ::= \"a\" | \"bc\"", "ab", 0},
        {"root ::= [a-c]+ \"-\" x?\nx ::= [^a-z]", "abc-", 2},
        {"root ::= [a-c]+ \"-\" x?\nx ::= [^a-z]", "abc-A", 2},
        {"root ::= [a-c]+ \"-\" x?\nx ::= [^a-z]", "abc-q", 0},
        {"root ::= [a-c]+ \"-\" x?\nx ::= [^a-z]", "-", 0},
        {"root ::= x{2,3} \";\"\nx ::= \"ab\" | \"c\"", "abc;", 2},
        {"root ::= x{2,3} \";\"\nx ::= \"ab\" | \"c\"", "c;", 0},
        {"root ::= x{2,3} \";\"\nx ::= \"ab\" | \"c\"", "cccc", 0},
        {"root ::= x{2,}\nx ::= \"a\"", "a", 1},
        {"root ::= x{2,}\nx ::= \"a\"", "aaaaaaa", 2},
        {"root ::= x{0,0} \"b\"\nx ::= \"a\"", "ab", 0},
        {"root ::= (\"a\"? \"b\"?)*", "abba", 2},
        {"root ::= ((\"a\"*)*)*", "aaa", 2},
        {"root ::= list\nlist ::= item | item \",\" list\nitem ::= [0-9]+", "1,22,333", 2},
        {"root ::= \"(\" root \")\" | \"\"", "((()))", 2},
        {"root ::= \"(\" root \")\" | \"\"", "((())", 1},
        {"root ::= .\n", "\xC3\xA9", 2},
        {"root ::= .\n", "\xC3", 1},
        {"root ::= .\n", "\xC3(", 0},
        {"root ::= [\\u00e0-\\u00ff]+", "\xC3\xA9\xC3\xA0", 2},
        {"root ::= [\\u00e0-\\u00ff]+", "\xC3\x9F", 0},
        {"root ::= [^\"]+", "\xF0\x9F\x98\x80\xE2\x82\xAC", 2},
        {"root ::= [^\"]+", "\xED\xA0\x80", 0}, /* a surrogate */
        {"root ::= [\\U0001F600-\\U0001F64F]", "\xF0\x9F\x98\x80", 2},
        {"root ::= \"\\u20AC\\n\\\"\"", "\xE2\x82\xAC\n\"", 2},
        {"root ::= (\n  \"a\" |\n  \"b\"\n)\n", "b", 2},
        {"root ::= \"a\" |\n \"b\" # or\n", "b", 2},
        {json, "{\"a\":[1,-2.5,{\"b\":null}],\n  \"c\":\"\\u00e9 \xC3\xA9\"}", 2},
        {json, "{\"a\":}", 0},
        {json, "{\"a\":1,}", 0},
        {json, "{\"a\":\"\n\"}", 0},
        {json, "[1]", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct grammar *g = parse(rows[i].grammar);
        int got = fits(g, rows[i].text);
        if (got != rows[i].fits)
            fail_msg("%.60s with '%s': %d", rows[i].grammar, rows[i].text, got);
        grammar_unref(&g);
    }
}

static void refused(void **state)
{
    static const struct {
        const char *grammar, *says;
    } rows[] = {
        {"", "no rule \"root\""},
        {"a ::= \"x\"", "no rule \"root\""},
        {"root ::= missing", "\"missing\" is not defined"},
        {"root := \"a\"", "\"::=\" is expected"},
        {"root ::= \"a", "ends inside"},
        {"root ::= [a", "ends inside"},
        {"root ::= (\"a\"", "not closed"},
        {"root ::= \"a\" )", "end of the line"},
        {"root ::= *", "nothing to repeat"},
        {"root ::= \"a\"{x}", "needs a number"},
        {"root ::= \"a\"{3,2}", "below its beginning"},
        {"root ::= \"a\"{3", "not closed"},
        {"root ::= \"a\"{1000000}", "above"},
        {"root ::= \"\\q\"", "unknown escape"},
        {"root ::= \"\\u12\"", "hexadecimal"},
        {"root ::= \"\\UFFFFFFFF\"", "U+10FFFF"},
        {"root ::= \"\xFF\"", "UTF-8"},
        {"root ::= <[12]>", "token elements"},
        {"root ::= root \"a\" | \"b\"", "begins with itself"},
        {"root ::= a\na ::= \"x\"? b\nb ::= a", "begins with itself"},
        {"root ::= \"a\" root", "admits no text"},
        {"root ::= []", "admits no text"},
        {"root ::= \"a\"\n\nb ::= \"\\q\"", "line 3"},
        {"root ::= \"a\"?????", "too many repetitions"},
        {"root ::= a{90000} a{90000}\na ::= b{1000}\nb ::= ((\"abcdefgh\"{1000}){1000}){1000} "
         "\"abcdefghijklmnop\"{90000}"
         "{90000} [^a]{99999} [^b]{99999} [^c]{99999} [^d]{99999} [^c]{99999} [^d]{99999} [^e]{99999} [^f]{99999}",
         "too large"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = ERR_INIT;
        struct grammar *g = NULL;
        if (grammar_parse(rows[i].grammar, strlen(rows[i].grammar), &g, &err))
            fail_msg("%s: taken", rows[i].grammar);
        assert_null(g);
        if (strstr(err.text, rows[i].says) == NULL || strncmp(err.text, "the grammar", 11) != 0)
            fail_msg("%s: '%s'", rows[i].grammar, err.text);
    }
}

/* Each made of `n` pieces. */
static char *text_of(const char *head, const char *piece, size_t n, const char *tail)
{
    size_t size = strlen(head) + n * strlen(piece) + strlen(tail) + 1;
    char *text = malloc(size);
    assert_non_null(text);
    char *at = stpcpy(text, head);
    for (size_t i = 0; i < n; i++)
        at = stpcpy(at, piece);
    strcpy(at, tail);
    return text;
}

static void deep_and_long_ones_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *head, *piece;
        size_t n;
        const char *tail;
        const char *says;
    } rows[] = {
        {"root ::= ", "(", 100000, "\"a\"", "nested more than"},
        {"root ::= \"a\"\n", "# comment\n", 200000, "", "bytes, at most"},
        {"root ::= ", "\"a\" | ", 150000, "\"b\"", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = ERR_INIT;
        struct grammar *g = NULL;
        char *text = text_of(rows[i].head, rows[i].piece, rows[i].n, rows[i].tail);
        bool ok = grammar_parse(text, strlen(text), &g, &err);
        assert_int_equal(ok, rows[i].says == NULL);
        if (!ok && strstr(err.text, rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].piece, err.text);
        grammar_unref(&g);
        free(text);
    }
}

static void long_chains_take_linear_time(void **state)
{
    enum { N = 40000 };
    size_t size = (size_t)N * 32;
    char *text = malloc(size);
    (void)state;
    assert_non_null(text);
    char *at = text + sprintf(text, "root ::= r0\n");
    for (int i = 0; i < N; i++) /* forwards and backwards by turns, so that no order of passes is a good one */
        at += sprintf(at, "r%d ::= r%d\n", i % 2 == 0 ? i : N + 1 - i, (i + 1) % 2 == 0 ? i + 1 : N - i);
    struct err err = ERR_INIT;
    struct grammar *g = NULL;
    int64_t start = clock_now_ns();
    (void)grammar_parse(text, (size_t)(at - text), &g, &err);
    assert_true(clock_now_ns() - start < 10 * CLOCK_SECOND); /* it is 0.05 s; quadratic would be minutes */
    grammar_unref(&g);
    free(text);
}

static void ambiguous_ones_fail_alone_and_soon(void **state)
{
    (void)state;
    struct grammar *g = parse("root ::= a \"!\"\na ::= \"x\" a \"x\" | \"x\" a \"xx\" | \"x\" a a | \"x\"");
    struct matcher *m = matcher_new(g);
    int64_t start = clock_now_ns();
    int fed = 0;
    while (fed < 5000 && matcher_feed(m, "x", 1))
        fed++;
    assert_true(matcher_failed(m));
    assert_true(clock_now_ns() - start < 20 * CLOCK_SECOND);
    matcher_free(&m);
    grammar_unref(&g);
}

static void nesting_has_an_end(void **state)
{
    (void)state;
    struct grammar *g = parse("root ::= \"[\" root \"]\" | \"1\"");
    struct matcher *m = matcher_new(g);
    int depth = 0;
    while (depth < 100000 && matcher_feed(m, "[", 1))
        depth++;
    assert_in_range(depth, 500, LIMIT_GRAMMAR_CALLS + 1);
    assert_true(matcher_feed(m, "1", 1)); /* it can still be closed */
    for (int i = 0; i < depth; i++)
        assert_true(matcher_feed(m, "]", 1));
    assert_true(matcher_must_end(m));
    matcher_free(&m);
    grammar_unref(&g);
}

static void endings(void **state)
{
    (void)state;
    struct grammar *g = parse("root ::= \"a\" \"b\"?");
    struct matcher *m = matcher_new(g);
    assert_false(matcher_may_end(m));
    assert_false(matcher_allows(m, "b", 1));
    assert_false(matcher_feed(m, "b", 1)); /* unchanged */
    assert_true(matcher_feed(m, "a", 1));
    assert_true(matcher_may_end(m));
    assert_false(matcher_must_end(m));
    assert_true(matcher_feed(m, "b", 1));
    assert_true(matcher_must_end(m));
    matcher_free(&m);
    grammar_unref(&g);
}

static void unions(void **state)
{
    (void)state;
    struct grammar *g = NULL;
    struct grammar *a = parse("root ::= x+\nx ::= [ab]");
    struct grammar *b = parse("root ::= \"(\" root \")\" | x\nx ::= \"1\"");
    assert_true(grammar_union(a, b, &g, NULL));
    grammar_unref(&a);
    grammar_unref(&b);
    assert_int_equal(fits(g, "abab"), 2);
    assert_int_equal(fits(g, "((1))"), 2);
    assert_int_equal(fits(g, "ab1"), 0);
    assert_int_equal(fits(g, "(a)"), 0);
    grammar_unref(&g);
}

/* More states than are kept: a text of many places goes on as if nothing had been forgotten. */
static void forgetting_changes_nothing(void **state)
{
    (void)state;
    struct grammar *g = parse("root ::= \"(\" [a-z]{0,20000} \")\"");
    struct matcher *m = matcher_new(g);
    assert_true(matcher_feed(m, "(", 1));
    for (int i = 0; i < 20000; i++)
        assert_true(matcher_feed(m, "q", 1));
    assert_false(matcher_allows(m, "q", 1));
    assert_true(matcher_feed(m, ")", 1));
    assert_true(matcher_must_end(m));
    matcher_free(&m);
    grammar_unref(&g);
}

enum { WORDS = 3000, END_TOKEN = WORDS, CONTROL_A, CONTROL_B, EMPTY, N_VOCAB };

static struct vocab *vocab_of_words(void)
{
    static char words[N_VOCAB][8];
    const char *pieces[N_VOCAB];
    size_t lengths[N_VOCAB];
    uint8_t flags[N_VOCAB] = {0};
    static const char letters[] = "ab\"{}:,1 \xC3\xA9";
    unsigned seed = 1;
    for (int i = 0; i < WORDS; i++) {
        int n = 1 + (int)(seed / 7 % 5);
        for (int k = 0; k < n; k++) {
            seed = seed * 1103515245 + 12345;
            words[i][k] = letters[seed / 65536 % (sizeof letters - 1)];
        }
        pieces[i] = words[i];
        lengths[i] = (size_t)n;
    }
    pieces[END_TOKEN] = "</s>";
    pieces[CONTROL_A] = "{";
    pieces[CONTROL_B] = "{\"";
    pieces[EMPTY] = "";
    flags[END_TOKEN] = VOCAB_END | VOCAB_CONTROL;
    flags[CONTROL_A] = flags[CONTROL_B] = VOCAB_CONTROL;
    for (int i = WORDS; i < N_VOCAB; i++)
        lengths[i] = strlen(pieces[i]);
    return vocab_new(pieces, lengths, flags, N_VOCAB);
}

static void masks_are_what_each_token_alone_is(void **state)
{
    (void)state;
    static const char *const fed[] = {"", "{", "{\"a", "{\"ab\":", "{\"ab\":1", "{\"ab\":1}"};
    struct vocab *v = vocab_of_words();
    struct grammar *g =
        parse("root ::= \"{\" \"\\\"\" [ab\\u00e9]+ \"\\\":\" v \"}\"\nv ::= [1]+ | \"\\\"\" [^\"]* \"\\\"\"");
    static const int32_t special[] = {CONTROL_B};
    for (size_t i = 0; i < sizeof fed / sizeof fed[0]; i++) {
        float row[N_VOCAB] = {0};
        size_t n = 0;
        struct matcher *m = matcher_new(g);
        assert_true(matcher_feed(m, fed[i], strlen(fed[i])));
        size_t told = matcher_mask(m, v, special, 1, row);
        for (int32_t t = 0; t < N_VOCAB; t++) {
            bool want = t == END_TOKEN
                            ? matcher_may_end(m)
                            : t != CONTROL_A && t != EMPTY && matcher_allows(m, vocab_bytes(v, t), vocab_length(v, t));
            n += want;
            if (want != (row[t] == 0))
                fail_msg("after '%s': token %d", fed[i], (int)t);
        }
        assert_int_equal(told, n);
        assert_true(n > 0);
        matcher_free(&m);
    }
    grammar_unref(&g);
    vocab_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(refused),
        cmocka_unit_test(deep_and_long_ones_are_refused),
        cmocka_unit_test(long_chains_take_linear_time),
        cmocka_unit_test(ambiguous_ones_fail_alone_and_soon),
        cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(endings),
        cmocka_unit_test(unions),
        cmocka_unit_test(forgetting_changes_nothing),
        cmocka_unit_test(masks_are_what_each_token_alone_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
