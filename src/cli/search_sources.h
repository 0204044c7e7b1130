/* cli/search_sources: where models can be found: Docker Hub's ai/ and Hugging Face.
 *
 * A result is a JSON object with the keys that `search --json` prints: Name, Description, Downloads, Stars, Source,
 * Official, UpdatedAt, Backend, Size. What a source does not say is "" or "unknown" or "n/a", never guessed.
 * TUG_HUB_URL and HF_ENDPOINT replace the addresses. Threads: each source may run in its own.
 */
#ifndef TUG_CLI_SEARCH_SOURCES_H
#define TUG_CLI_SEARCH_SOURCES_H

#include "cli/cli.h"

enum { SEARCH_LIMIT_MAX = 100 };

struct search_ask {
    struct cli *cli;
    const char *term; /* "": everything */
    int64_t limit;
};

struct search_source {
    const char *name;    /* as shown */
    const char *choices; /* what --source calls it: "huggingface|hf" */
    bool (*find)(const struct search_ask *ask, json_t *rows, struct err *err);
};

extern const struct search_source search_sources[]; /* in the order of display; ends with name NULL */

#endif
