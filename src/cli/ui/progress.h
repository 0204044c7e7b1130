/* cli/ui/progress: bars for the layers of a transfer: a line each on a terminal, plain lines elsewhere.
 *
 *   progress_init(&p, terminal_is(1), terminal_columns(1), "Downloading", "Pull complete");
 *   progress_update(&p, layer, current, size, total, now_ns)      text to print is in p.out, then cleared
 *   progress_finish(&p, now_ns)
 *
 * Pure but for its buffer: the clock and the width come from outside, so tests read exact strings.
 * Redraws at most ten times a second; plain lines at most one a second, and always the last.
 */
#ifndef TUG_CLI_UI_PROGRESS_H
#define TUG_CLI_UI_PROGRESS_H

#include "base/buf.h"

#include <stdint.h>

enum { PROGRESS_LAYERS_MAX = 64 };

struct progress_layer {
    char id[16];
    uint64_t current, size;
    uint64_t start_bytes; /* what was there when we began: a resumed transfer's rate counts from here */
    int64_t start_ns;
};

struct progress {
    bool terminal;
    int columns;
    const char *verb, *done;
    struct progress_layer layers[PROGRESS_LAYERS_MAX];
    size_t n_layers, drawn_lines;
    uint64_t total;
    int64_t last_ns;
    bool begun;
    struct buf out;
};

void progress_init(struct progress *p, bool terminal, int columns, const char *verb, const char *done);
void progress_update(struct progress *p, const char *layer_id, uint64_t current, uint64_t size, uint64_t total,
                     int64_t now_ns);
void progress_finish(struct progress *p, int64_t now_ns);
void progress_done(struct progress *p);

#endif
