/* base/text: reading and writing small pieces of text: numbers, sizes, durations, hex, UTF-8.
 * Pure functions; no allocation unless said. */
#ifndef TUG_BASE_TEXT_H
#define TUG_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool text_starts(const char *s, const char *prefix);
bool text_ends(const char *s, const char *suffix);
bool text_equal_nocase(const char *a, const char *b);
/* snprintf that reports: false when it did not fit (dst then holds a cut, terminated text). */
bool text_format(char *dst, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The whole of s must be the number; false otherwise, output untouched. */
bool text_to_i64(const char *s, int64_t *ret_value);
bool text_to_u64(const char *s, uint64_t *ret_value);
bool text_to_double(const char *s, double *ret_value);
bool text_to_bool(const char *s, bool *ret_value); /* 1 t true yes on / 0 f false no off */

/* Go's duration form ("5m", "1h30m", "250ms", "-1", "0"), or bare seconds; nanoseconds. Negative means forever. */
bool text_to_duration_ns(const char *s, int64_t *ret_ns);

enum { TEXT_SHORT_MAX = 32 };
/* Base 1000, "%.2f" and unit without space, as DMR's df and pull: 270.60MB. */
void text_size(char dst[TEXT_SHORT_MAX], uint64_t bytes);
/* Words of Docker's tables: "Less than a second", "5 minutes", "About an hour", "3 weeks". */
void text_human_duration(char dst[TEXT_SHORT_MAX], int64_t ns);
/* Go's form as DMR prints keep-alives: "5m0s", "1h0m0s", "-1" for negative. */
void text_go_duration(char dst[TEXT_SHORT_MAX], int64_t ns);
/* RFC 3339 in UTC: "2026-11-24T13:04:05Z" or, with fraction digits 9, "...05.123456789Z". */
void text_rfc3339(char dst[40], int64_t wall_ns, int fraction_digits);
/* Reads RFC 3339 with or without fraction and offset. */
bool text_from_rfc3339(const char *s, int64_t *ret_wall_ns);

void text_hex(char *dst, const void *bytes, size_t n);              /* 2n + 1 chars, lower case */
bool text_unhex(const char *s, size_t n_bytes, unsigned char *dst); /* exactly 2*n_bytes of [0-9a-f] */

/* The number of bytes at the end of s that begin a UTF-8 character which is not complete yet (0..3). */
size_t text_utf8_partial(const char *s, size_t n);
bool text_utf8_valid(const char *s, size_t n);
/* Columns on a terminal (wide characters count 2, combining 0); for tables and line editing. */
size_t text_columns(const char *s);

#endif
