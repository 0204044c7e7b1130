/* base/text_time.c: durations as Go and Docker write them, and RFC 3339. */
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND INT64_C(1000000000)

struct duration_unit {
    const char *name;
    int64_t ns;
};

/* Longer names first: "ms" must not be read as "m". */
static const struct duration_unit duration_units[] = {
    {"ns", 1},       {"us", 1000},         {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000},
    {"ms", 1000000}, {"h", 3600 * SECOND}, {"m", 60 * SECOND},  {"s", SECOND},
};

static const struct duration_unit *duration_unit_find(const char *s)
{
    for (size_t i = 0; i < sizeof duration_units / sizeof duration_units[0]; i++)
        if (text_starts(s, duration_units[i].name))
            return &duration_units[i];
    return NULL;
}

/* Digits with at most one point: whole part, and the fraction in billionths. Moves *s behind it. */
static bool duration_number(const char **s, int64_t *ret_whole, int64_t *ret_billionths)
{
    int64_t whole = 0;
    int64_t fraction = 0;
    int64_t place = SECOND;
    bool any = false;
    for (; **s >= '0' && **s <= '9'; (*s)++, any = true)
        if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, **s - '0', &whole))
            return false;
    if (**s == '.') {
        for ((*s)++; **s >= '0' && **s <= '9'; (*s)++, any = true) {
            place /= 10;
            fraction += place * (**s - '0');
        }
    }
    *ret_whole = whole;
    *ret_billionths = fraction;
    return any;
}

/* unit_ns * (whole + billionths / 1e9), added to *total. */
static bool duration_add(int64_t *total, int64_t unit_ns, int64_t whole, int64_t billionths)
{
    int64_t part;
    if (__builtin_mul_overflow(whole, unit_ns, &part) || __builtin_add_overflow(*total, part, total))
        return false;
    double fraction = (double)unit_ns * ((double)billionths / 1e9);
    return !__builtin_add_overflow(*total, (int64_t)fraction, total);
}

bool text_to_duration_ns(const char *s, int64_t *ret_ns)
{
    bool negative = *s == '-';
    int64_t total = 0;
    int64_t whole;
    int64_t billionths;
    if (*s == '-' || *s == '+')
        s++;
    if (*s == '\0')
        return false;
    for (bool first = true; *s != '\0'; first = false) {
        if (!duration_number(&s, &whole, &billionths))
            return false;
        const struct duration_unit *unit = duration_unit_find(s);
        if (unit == NULL && !(first && *s == '\0')) /* a number alone is seconds */
            return false;
        if (!duration_add(&total, unit == NULL ? SECOND : unit->ns, whole, billionths))
            return false;
        s += unit == NULL ? 0 : strlen(unit->name);
    }
    *ret_ns = negative ? -total : total;
    return true;
}

void text_human_duration(char dst[TEXT_SHORT_MAX], int64_t ns)
{
    int64_t seconds = ns / SECOND;
    int64_t minutes = seconds / 60;
    int64_t hours = (seconds + 1800) / 3600; /* rounded, as Docker's */
    if (seconds < 1)
        snprintf(dst, TEXT_SHORT_MAX, "Less than a second");
    else if (seconds == 1)
        snprintf(dst, TEXT_SHORT_MAX, "1 second");
    else if (seconds < 60)
        snprintf(dst, TEXT_SHORT_MAX, "%d seconds", (int)seconds);
    else if (minutes == 1)
        snprintf(dst, TEXT_SHORT_MAX, "About a minute");
    else if (minutes < 60)
        snprintf(dst, TEXT_SHORT_MAX, "%d minutes", (int)minutes);
    else if (hours == 1)
        snprintf(dst, TEXT_SHORT_MAX, "About an hour");
    else if (hours < 48)
        snprintf(dst, TEXT_SHORT_MAX, "%d hours", (int)hours);
    else if (hours < INT64_C(24) * 7 * 2)
        snprintf(dst, TEXT_SHORT_MAX, "%d days", (int)(hours / 24));
    else if (hours < INT64_C(24) * 30 * 2)
        snprintf(dst, TEXT_SHORT_MAX, "%d weeks", (int)(hours / 24 / 7));
    else if (hours < INT64_C(24) * 365 * 2)
        snprintf(dst, TEXT_SHORT_MAX, "%d months", (int)(hours / 24 / 30));
    else
        snprintf(dst, TEXT_SHORT_MAX, "%d years", (int)(seconds / 3600 / 24 / 365));
}

/* value / 10^digits without trailing zeros: 1500, 3 -> "1.5". */
static void duration_decimal(char *dst, size_t size, int64_t value, int digits, const char *unit)
{
    int64_t scale = 1;
    for (int i = 0; i < digits; i++)
        scale *= 10;
    char fraction[16];
    snprintf(fraction, sizeof fraction, ".%0*d", digits, (int)(value % scale));
    size_t n = strlen(fraction);
    while (n > 0 && (fraction[n - 1] == '0' || fraction[n - 1] == '.'))
        fraction[--n] = '\0';
    snprintf(dst, size, "%lld%s%s", (long long)(value / scale), digits == 0 ? "" : fraction, unit);
}

void text_go_duration(char dst[TEXT_SHORT_MAX], int64_t ns)
{
    if (ns < 0) {
        snprintf(dst, TEXT_SHORT_MAX, "-1");
    } else if (ns == 0) {
        snprintf(dst, TEXT_SHORT_MAX, "0s");
    } else if (ns < 1000) {
        duration_decimal(dst, TEXT_SHORT_MAX, ns, 0, "ns");
    } else if (ns < 1000000) {
        duration_decimal(dst, TEXT_SHORT_MAX, ns, 3, "\xc2\xb5s");
    } else if (ns < SECOND) {
        duration_decimal(dst, TEXT_SHORT_MAX, ns, 6, "ms");
    } else {
        long long hours = ns / (3600 * SECOND);
        int minutes = (int)(ns / (60 * SECOND) % 60);
        int n = 0;
        if (hours > 0)
            n = snprintf(dst, TEXT_SHORT_MAX, "%lldh%dm", hours, minutes);
        else if (minutes > 0)
            n = snprintf(dst, TEXT_SHORT_MAX, "%dm", minutes);
        duration_decimal(dst + n, (size_t)(TEXT_SHORT_MAX - n), ns % (60 * SECOND), 9, "s");
    }
}

void text_rfc3339(char dst[40], int64_t wall_ns, int fraction_digits)
{
    int64_t seconds = wall_ns / SECOND;
    int64_t rest = wall_ns % SECOND;
    if (rest < 0) {
        rest += SECOND;
        seconds--;
    }
    time_t t = (time_t)seconds;
    struct tm tm;
    gmtime_r(&t, &tm);
    int n = snprintf(dst, 40, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                     tm.tm_min, tm.tm_sec);
    if (fraction_digits > 0 && n > 0 && n < 28) {
        char nine[16];
        snprintf(nine, sizeof nine, "%09d", (int)rest);
        n += snprintf(dst + n, (size_t)(40 - n), ".%.*s", fraction_digits > 9 ? 9 : fraction_digits, nine);
    }
    snprintf(dst + n, (size_t)(40 - n), "Z");
}

static bool digits_take(const char **s, int n, int *ret_value)
{
    int value = 0;
    for (int i = 0; i < n; i++, (*s)++) {
        if (**s < '0' || **s > '9')
            return false;
        value = value * 10 + (**s - '0');
    }
    *ret_value = value;
    return true;
}

static bool char_take(const char **s, char c)
{
    if (**s != c)
        return false;
    (*s)++;
    return true;
}

static bool time_fields_ok(const struct tm *tm)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = tm->tm_year;
    if (tm->tm_mon < 1 || tm->tm_mon > 12 || tm->tm_mday < 1)
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    int days = month_days[tm->tm_mon - 1] + (tm->tm_mon == 2 && leap ? 1 : 0);
    /* 60: a leap second, which becomes the next second. Years: what nanoseconds in int64_t can hold. */
    return tm->tm_mday <= days && tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec <= 60 && year >= 1678 &&
           year <= 2261;
}

/* "2026-11-24T13:04:05" into fields as written (month from 1, year whole). */
static bool time_fields_take(const char **s, struct tm *ret_tm)
{
    struct tm tm = {0};
    if (!digits_take(s, 4, &tm.tm_year) || !char_take(s, '-') || !digits_take(s, 2, &tm.tm_mon) || !char_take(s, '-') ||
        !digits_take(s, 2, &tm.tm_mday))
        return false;
    if (**s != 'T' && **s != 't' && **s != ' ')
        return false;
    (*s)++;
    if (!digits_take(s, 2, &tm.tm_hour) || !char_take(s, ':') || !digits_take(s, 2, &tm.tm_min) || !char_take(s, ':') ||
        !digits_take(s, 2, &tm.tm_sec) || !time_fields_ok(&tm))
        return false;
    *ret_tm = tm;
    return true;
}

/* "Z" or "+01:00": seconds east of UTC. */
static bool time_offset_take(const char **s, int *ret_seconds)
{
    int hours;
    int minutes;
    int sign = **s == '-' ? -1 : 1;
    if (**s == 'Z' || **s == 'z') {
        (*s)++;
        *ret_seconds = 0;
        return true;
    }
    if (**s != '+' && **s != '-')
        return false;
    (*s)++;
    if (!digits_take(s, 2, &hours) || !char_take(s, ':') || !digits_take(s, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

/* Days since 1970-01-01 in the Gregorian calendar; the year begins in March, so the leap day comes last. */
static int64_t days_since_1970(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t m = month <= 2 ? month + 9 : month - 3;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

bool text_from_rfc3339(const char *s, int64_t *ret_wall_ns)
{
    struct tm tm;
    int offset;
    int64_t fraction = 0;
    if (!time_fields_take(&s, &tm))
        return false;
    if (*s == '.') {
        int64_t place = SECOND;
        if (s[1] < '0' || s[1] > '9')
            return false;
        for (s++; *s >= '0' && *s <= '9'; s++) {
            place /= 10; /* digits after the ninth count nothing */
            fraction += place * (*s - '0');
        }
    }
    if (!time_offset_take(&s, &offset) || *s != '\0')
        return false;
    int64_t seconds = days_since_1970(tm.tm_year, tm.tm_mon, tm.tm_mday) * 86400 + tm.tm_hour * INT64_C(3600) +
                      tm.tm_min * INT64_C(60) + tm.tm_sec - offset;
    *ret_wall_ns = seconds * SECOND + fraction;
    return true;
}
