/* api/record_fold: a streamed chat as the one `chat.completion` that it would have been, for the recorder.
 *
 * `text`: the events as they went out. False: they are no streamed chat, or were cut; then they are shown as they are.
 */
#ifndef TUG_API_RECORD_FOLD_H
#define TUG_API_RECORD_FOLD_H

#include "base/buf.h"

#include <stdbool.h>

bool record_fold(const char *text, struct buf *out);

#endif
