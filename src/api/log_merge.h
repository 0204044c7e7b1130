/* api/log_merge: texts of several logs as one, in the order of time. Pure.
 *
 * An entry is a line that begins with a time ("2026-11-24T13:04:05.123Z …", after "---- " too) and the
 * lines without one that follow it; entries are never torn, and those of one text keep their order.
 */
#ifndef TUG_API_LOG_MERGE_H
#define TUG_API_LOG_MERGE_H

#include "base/buf.h"

struct log_text {
    const char *text; /* borrowed */
    size_t len;
};

/* Uses up the texts. False: over out's maximum. */
bool log_merge(struct log_text *texts, size_t n, struct buf *out);

#endif
