/* backends/flags: llama-server's runtime flags as Docker Model Runner lets users give them, translated to tug-engine's
 * options by one table (flags.c). Facts: dmr.md 6.4.
 *
 *   flags_split("--temp 0.2 --top-k 5", a, &words, &n, err)      shell words: ' " and backslash
 *   flags_read(words, n, a, &flags, err)                        flags.args: "--temp=0.2", "--top-k=5"
 *
 * A flag is a word that begins with "-" and no digit behind it; its value is behind "=" or the next word. No word may
 * hold a slash or backslash. A flag that is not in the table is refused by name: it does not exist, or would open a
 * file or an address. One that has no meaning here is taken and named in a warning. Numbers are read, held against
 * their range and written anew: no text from outside reaches an argv but JSON that was parsed and written anew.
 * Pure; texts live in the arena.
 */
#ifndef TUG_BACKENDS_FLAGS_H
#define TUG_BACKENDS_FLAGS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>

struct runtime_flags {
    const char **args; /* for tug-engine, NULL-terminated, "--name=value" each; may be NULL when n_args is 0 */
    size_t n_args;
    int64_t context; /* --ctx-size: tokens; -1: all that the model was trained for; 0: not said */
    bool embeddings, reranking;
    const char **warnings;
    size_t n_warnings;
};

bool flags_split(const char *raw, struct arena *a, const char ***ret_words, size_t *ret_n, struct err *err);
bool flags_read(const char *const *words, size_t n, struct arena *a, struct runtime_flags *ret, struct err *err);
/* What a reasoning budget means to the engine; f->args has room for two more. */
void flags_add_reasoning(struct runtime_flags *f, int64_t budget, struct arena *a);
/* The table as rows of Markdown, for docs/runtime-flags.md. */
void flags_write_docs(struct buf *out);

#endif
