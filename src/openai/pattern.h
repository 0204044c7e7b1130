/* openai/pattern: a regular expression of a JSON schema in the plain form that grammars can be made of.
 *
 *   plain = pattern_plain("\\d{4}-[\\w.]+$", why, sizeof why)      "^[^…]*[0-9]{4}-[0-9A-Za-z_.]+$"
 *
 * Anchored at both ends, \d \w \s \. and the like as classes. malloc'd; NULL: it uses what a grammar cannot hold
 * (lookaround, back references, word boundaries, anchors inside), or is above LIMIT_PATTERN_BYTES.
 */
#ifndef TUG_OPENAI_PATTERN_H
#define TUG_OPENAI_PATTERN_H

#include <stddef.h>

char *pattern_plain(const char *pattern, char *why, size_t why_size);

#endif
