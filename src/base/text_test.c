/* base/text_test.c: tables of text and what it means. */
#include "base/check.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define S INT64_C(1000000000)

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } rows[] = {
        {"0", true, 0},
        {"-1", true, -1},
        {"+7", true, 7},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999999", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"0x10", false, 0},
        {"--1", false, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t value = 42;
        if (text_to_i64(rows[i].text, &value) != rows[i].ok || value != (rows[i].ok ? rows[i].value : 42))
            fail_msg("text_to_i64(\"%s\") gave %lld", rows[i].text, (long long)value);
    }
    uint64_t u = 0;
    assert_true(text_to_u64("18446744073709551615", &u) && u == UINT64_MAX);
    assert_false(text_to_u64("18446744073709551616", &u));
    assert_false(text_to_u64("-1", &u));
    double d = 0;
    assert_true(text_to_double("1.5e3", &d) && d > 1499.9 && d < 1500.1);
    assert_false(text_to_double("nan", &d));
    assert_false(text_to_double("inf", &d));
    assert_false(text_to_double("0x1p3", &d));
    assert_false(text_to_double("1e999", &d));
    assert_false(text_to_double("1.5x", &d));
    assert_false(text_to_double("", &d));
    assert_false(text_to_double("-", &d));
    bool b = false;
    assert_true(text_to_bool("YES", &b) && b);
    assert_true(text_to_bool("off", &b) && !b);
    assert_false(text_to_bool("", &b));
    assert_false(text_to_bool("2", &b));
}

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t ns;
    } rows[] = {
        {"5m", true, 300 * S},
        {"1h30m", true, 5400 * S},
        {"250ms", true, S / 4},
        {"-1", true, -S},
        {"0", true, 0},
        {"300", true, 300 * S},
        {"1.5h", true, 5400 * S},
        {"-1m", true, -60 * S},
        {"1h2m3s4ms5us6ns", true, 3723 * S + 4005006},
        {".5s", true, S / 2},
        {"", false, 0},
        {"-", false, 0},
        {"5x", false, 0},
        {"m", false, 0},
        {"1h30", false, 0},
        {"99999999999h", false, 0},
        {"1 s", false, 0},
        {".s", false, 0},
    };
    static const struct {
        int64_t ns;
        const char *go, *human;
    } shown[] = {
        {0, "0s", "Less than a second"},
        {-1, "-1", "Less than a second"},
        {250 * 1000000, "250ms", "Less than a second"},
        {1500, "1.5\xc2\xb5s", "Less than a second"},
        {999, "999ns", "Less than a second"},
        {S, "1s", "1 second"},
        {S + S / 2, "1.5s", "1 second"},
        {59 * S, "59s", "59 seconds"},
        {60 * S, "1m0s", "About a minute"},
        {300 * S, "5m0s", "5 minutes"},
        {3600 * S, "1h0m0s", "About an hour"},
        {5400 * S, "1h30m0s", "2 hours"},
        {3 * 86400 * S, "72h0m0s", "3 days"},
        {21 * 86400 * S, "504h0m0s", "3 weeks"},
        {90 * 86400 * S, "2160h0m0s", "3 months"},
        {3 * 365 * 86400 * S, "26280h0m0s", "3 years"},
    };
    char text[TEXT_SHORT_MAX];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ns = 42;
        if (text_to_duration_ns(rows[i].text, &ns) != rows[i].ok || ns != (rows[i].ok ? rows[i].ns : 42))
            fail_msg("text_to_duration_ns(\"%s\") gave %lld", rows[i].text, (long long)ns);
    }
    for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
        text_go_duration(text, shown[i].ns);
        assert_string_equal(text, shown[i].go);
        text_human_duration(text, shown[i].ns);
        assert_string_equal(text, shown[i].human);
    }
}

static void test_dates(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        const char *back; /* with nine digits */
    } rows[] = {
        {"2026-11-24T13:04:05Z", true, "2026-11-24T13:04:05.000000000Z"},
        {"2026-11-24T13:04:05.123456789Z", true, "2026-11-24T13:04:05.123456789Z"},
        {"2025-03-24T11:23:01.5Z", true, "2025-03-24T11:23:01.500000000Z"},
        {"2026-11-24T13:04:05+01:30", true, "2026-11-24T11:34:05.000000000Z"},
        {"2026-01-01t00:00:00-01:00", true, "2026-01-01T01:00:00.000000000Z"},
        {"2024-02-29T00:00:00Z", true, "2024-02-29T00:00:00.000000000Z"},
        {"1969-12-31T23:59:59.25Z", true, "1969-12-31T23:59:59.250000000Z"},
        {"2023-02-29T00:00:00Z", false, NULL},
        {"2026-13-01T00:00:00Z", false, NULL},
        {"0000-00-00T00:00:00Z", false, NULL},
        {"9999-01-01T00:00:00Z", false, NULL},
        {"2026-11-24T24:00:00Z", false, NULL},
        {"2026-11-24T13:04:05", false, NULL},
        {"2026-11-24T13:04:05.Z", false, NULL},
        {"2026-11-24T13:04:05Zx", false, NULL},
        {"2026-11-24", false, NULL},
        {"", false, NULL},
    };
    char text[40];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ns = 0;
        if (text_from_rfc3339(rows[i].text, &ns) != rows[i].ok)
            fail_msg("text_from_rfc3339(\"%s\")", rows[i].text);
        if (rows[i].ok) {
            text_rfc3339(text, ns, 9);
            assert_string_equal(text, rows[i].back);
        }
    }
    text_rfc3339(text, 0, 0);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
}

static void test_sizes_and_hex(void **state)
{
    char text[TEXT_SHORT_MAX];
    unsigned char bytes[3];
    (void)state;
    text_size(text, 270600000);
    assert_string_equal(text, "270.60MB");
    text_size(text, 999);
    assert_string_equal(text, "999.00B");
    text_size(text, UINT64_MAX);
    assert_string_equal(text, "18.45EB");
    text_hex(text, "\x00\xab\xff", 3);
    assert_string_equal(text, "00abff");
    assert_true(text_unhex("00abff", 3, bytes) && memcmp(bytes, "\x00\xab\xff", 3) == 0);
    assert_false(text_unhex("00ABff", 3, bytes));
    assert_false(text_unhex("00abf", 3, bytes));
    assert_false(text_unhex("00abff0", 3, bytes));
    assert_false(text_format(text, 4, "%s", "four"));
    assert_string_equal(text, "fou");
    assert_true(text_starts("abc", "ab") && !text_starts("a", "ab") && text_ends("abc", "bc") && !text_ends("c", "bc"));
    assert_true(text_equal_nocase("Content-TYPE", "content-type") && !text_equal_nocase("a", "ab"));
}

static void test_utf8(void **state)
{
    static const struct {
        const char *text;
        bool valid;
        size_t partial, columns;
    } rows[] = {
        {"", true, 0, 0},
        {"abc", true, 0, 3},
        {"\xc3\xa9", true, 0, 1},
        {"e\xcc\x81", true, 0, 1},
        {"\xe6\xbc\xa2\xe5\xad\x97", true, 0, 4},
        {"\xf0\x9f\x98\x80", true, 0, 2},
        {"a\xf0\x9f\x98", false, 3, 4},
        {"a\xf0\x9f", false, 2, 3},
        {"a\xf0", false, 1, 2},
        {"\xc3", false, 1, 1},
        {"\xe0\x80", false, 0, 2},     /* overlong: no more bytes can mend it */
        {"\xed\xa0\x80", false, 0, 3}, /* surrogate */
        {"\xff", false, 0, 1},
        {"\x80\x80\x80\x80", false, 0, 4},
        {"\xf5\x80", false, 0, 2},
        {"\x1b[", true, 0, 1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].text);
        if (text_utf8_valid(rows[i].text, n) != rows[i].valid ||
            text_utf8_partial(rows[i].text, n) != rows[i].partial || text_columns(rows[i].text) != rows[i].columns)
            fail_msg("row %zu: partial %zu columns %zu", i, text_utf8_partial(rows[i].text, n),
                     text_columns(rows[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),       cmocka_unit_test(test_durations), cmocka_unit_test(test_dates),
        cmocka_unit_test(test_sizes_and_hex), cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
