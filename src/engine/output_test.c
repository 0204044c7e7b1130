/* Pieces in, text out. In the rows `|` ends a token's bytes, in what is released it ends a step's. */
#include "engine/output.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct row {
    const char *name, *pieces, *stops; /* stops by `,` */
    const char *released;              /* per token, then the end's; "!" where a stop string was complete */
    const char *rows;                  /* the tokens (a, b, …) whose rows came with it */
};

static const struct row table[] = {
    {"plain", "Hel|lo| world", "", "Hel|lo| world|", "a|b|c|"},
    {"no token", "", "", "|", "|"},
    {"an empty piece", "a||b", "", "a||b|", "a|b|c|"},
    {"two bytes over a border", "\xC3|\xA9", "", "|\xC3\xA9|", "|ab|"},
    {"four bytes, one each", "\xF0|\x9F|\x98|\x80", "", "|||\xF0\x9F\x98\x80|", "|||abcd|"},
    {"text before a beginning goes at once", "a\xE2\x82|\xAC!", "", "a|\xE2\x82\xAC!|", "|ab|"},
    {"a beginning at the end", "a\xE2\x82", "", "a|\xEF\xBF\xBD", "|a"},
    {"a lone continuation", "a\x80z", "", "a\xEF\xBF\xBDz|", "a|"},
    {"a beginning without its rest", "\xE2\x82|z", "", "|\xEF\xBF\xBDz|", "|ab|"},
    {"an overlong form", "\xC0\xAF", "", "\xEF\xBF\xBD\xEF\xBF\xBD|", "a|"},
    {"a surrogate", "\xED\xA0\x80", "", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD|", "a|"},
    {"above U+10FFFF", "\xF4\x90\x80\x80", "", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD|", "a|"},
    {"a stop in one token", "one STOP two", "STOP", "one !", "a"},
    {"a stop at the start", "STOP", "STOP", "!", ""},
    {"a stop over three tokens", "one S|TO|P two", "STOP", "one ||!", "||a"},
    {"a near miss", "one S|TO|ne", "STOP", "one ||STOne|", "||abc|"},
    {"a near miss, then the stop", "SSTO|P", "STOP", "S|!", "|a"},
    {"a beginning of a stop at the end", "a ST", "STOP", "a |ST", "|a"},
    {"the earliest of two", "x ab cd", "cd,ab", "x !", "a"},
    {"the longer one completes first", "a|b|c", "bcd,abc", "||!", "||"},
    {"a stop of newlines", "x\n|\ny", "\n\n", "x|!", "|a"},
    {"a stop with a character over a border", "x\xC3|\xA9y", "\xC3\xA9", "x|!", "|a"},
    {"a token wholly in the stop has no row", "abc|ST|OP", "STOP", "abc||!", "a||"},
    {"a stop of one byte", "a|b|c", "b", "a|!", "a|"},
    {"held back by the longest", "xaa|a", "aaaa", "x|", NULL},
};

static void add_rows(char *dst, size_t size, const struct answer *a)
{
    for (size_t i = 0; i < a->n_rows; i++) {
        size_t at = strlen(dst);
        snprintf(dst + at, size - at, "%c", (char)('a' + a->rows[i].token));
        assert_true(a->rows[i].bytes + a->rows[i].n_bytes <= a->pieces.len);
    }
}

static void add_step(char *text, char *rows, size_t size, struct answer *out, bool stopped)
{
    size_t at = strlen(text);
    assert_true(text_utf8_valid(buf_str(&out->text), out->text.len));
    snprintf(text + at, size - at, "%s%s", buf_str(&out->text), stopped ? "!" : "");
    add_rows(rows, size, out);
    answer_clear(out);
}

static size_t split(char *list, char by, const char **parts)
{
    size_t n = 0;
    for (char *at = list; *at != '\0' || n == 0;) {
        char *end = strchr(at, by);
        parts[n++] = at;
        if (end == NULL)
            break;
        *end = '\0';
        at = end + 1;
        if (*at == '\0')
            parts[n++] = at;
    }
    return n;
}

static void one_row(const struct row *r)
{
    char pieces[256], stops[256], text[512] = "", rows[512] = "";
    const char *piece[32], *stop[8];
    struct output o;
    struct answer out, token;
    snprintf(pieces, sizeof pieces, "%s", r->pieces);
    snprintf(stops, sizeof stops, "%s", r->stops);
    size_t n_stops = r->stops[0] == '\0' ? 0 : split(stops, ',', stop);
    size_t n = r->pieces[0] == '\0' ? 0 : split(pieces, '|', piece);
    output_init(&o, stop, n_stops);
    answer_init(&out);
    answer_init(&token);
    bool stopped = false;
    for (size_t i = 0; i < n && !stopped; i++) {
        answer_add_row(&token, &(struct output_row){.token = (int32_t)i}, piece[i], strlen(piece[i]));
        stopped = output_add(&o, piece[i], strlen(piece[i]), &token, &out);
        add_step(text, rows, sizeof text, &out, stopped);
        if (!stopped) {
            strcat(text, "|");
            strcat(rows, "|");
        }
    }
    if (!stopped) {
        output_finish(&o, &out);
        add_step(text, rows, sizeof text, &out, false);
    }
    if (r->rows == NULL) { /* only that it begins so */
        assert_memory_equal(text, r->released, strlen(r->released));
    } else {
        if (n == 0)
            strcat(text, "|"), strcat(rows, "|");
        if (strcmp(text, r->released) != 0 || strcmp(rows, r->rows) != 0)
            fail_msg("%s: text \"%s\", rows \"%s\"", r->name, text, rows);
    }
    output_done(&o);
    answer_done(&out);
    answer_done(&token);
}

static void rows_of_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        one_row(&table[i]);
}

/* However a text is cut into tokens, what comes out is the text up to the first stop string. */
static void any_cut_gives_the_same(void **state)
{
    static const char whole[] = "na\xC3\xAFve \xE2\x82\xAC\xF0\x9F\x98\x80 aaab aab STO STOP tail \xE2\x82";
    static const char *const stops[] = {"STOP", "aaaa", "\xE2\x82\xAC\xE2\x82\xAC"};
    const char *expected_end = strstr(whole, "STOP");
    unsigned seed = 3;
    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct output o;
        struct answer out;
        bool stopped = false;
        output_init(&o, stops, 3);
        answer_init(&out);
        for (size_t at = 0; at < sizeof whole - 1 && !stopped;) {
            size_t n = 1 + (size_t)rand_r(&seed) % 7;
            if (n > sizeof whole - 1 - at)
                n = sizeof whole - 1 - at;
            stopped = output_add(&o, whole + at, n, NULL, &out);
            assert_true(text_utf8_valid(buf_str(&out.text), out.text.len));
            at += n;
        }
        assert_true(stopped);
        assert_int_equal(out.text.len, expected_end - whole);
        assert_memory_equal(out.text.data, whole, out.text.len);
        output_done(&o);
        answer_done(&out);
    }
}

static void random_bytes_give_valid_text(void **state)
{
    unsigned seed = 11;
    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct output o;
        struct answer out;
        output_init(&o, NULL, 0);
        answer_init(&out);
        for (int i = 0; i < 20; i++) {
            char bytes[4];
            size_t n = (size_t)rand_r(&seed) % 5;
            for (size_t j = 0; j < n; j++)
                bytes[j] = (char)(0x70 + rand_r(&seed) % 0x90);
            output_add(&o, bytes, n, NULL, &out);
            assert_true(text_utf8_valid(buf_str(&out.text), out.text.len));
        }
        output_finish(&o, &out);
        assert_true(text_utf8_valid(buf_str(&out.text), out.text.len));
        output_done(&o);
        answer_done(&out);
    }
}

static void alternatives_follow_their_token(void **state)
{
    static const char *const stops[] = {"ab"};
    struct output o;
    struct answer out, token, all;
    (void)state;
    output_init(&o, stops, 1);
    answer_init(&out);
    answer_init(&token);
    answer_init(&all);
    for (int32_t i = 0; i < 3; i++) {
        answer_add_row(&token, &(struct output_row){.token = i, .n_top = 2}, "a", 1);
        answer_add_row(&token, &(struct output_row){.token = 10 + i}, "x", 1);
        answer_add_row(&token, &(struct output_row){.token = 20 + i}, "yy", 2);
        output_add(&o, "a", 1, &token, &out);
        answer_move(&all, &out);
    }
    output_finish(&o, &out);
    answer_move(&all, &out);
    assert_string_equal(buf_str(&all.text), "aaa");
    assert_int_equal(all.n_rows, 9);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(all.rows[i].token, (int32_t)(i % 3 * 10 + i / 3));
    assert_memory_equal(all.pieces.data + all.rows[8].bytes, "yy", 2);
    output_done(&o);
    answer_done(&out);
    answer_done(&token);
    answer_done(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_the_table),
        cmocka_unit_test(any_cut_gives_the_same),
        cmocka_unit_test(random_bytes_give_valid_text),
        cmocka_unit_test(alternatives_follow_their_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
