/* cli/ui/progress.c: see progress.h. */
#include "cli/ui/progress.h"

#include "base/text.h"

#include <inttypes.h>
#include <string.h>

#define REDRAW_NS ((int64_t)100 * 1000 * 1000)
#define PLAIN_NS  ((int64_t)1000 * 1000 * 1000)

void progress_init(struct progress *p, bool terminal, int columns, const char *verb, const char *done)
{
    *p = (struct progress){
        .terminal = terminal, .columns = columns, .verb = verb, .done = done, .out = BUF_INIT(1 << 20)};
}

void progress_done(struct progress *p) { buf_done(&p->out); }

static struct progress_layer *progress_layer(struct progress *p, const char *id, uint64_t current, int64_t now_ns)
{
    char short_id[16];
    const char *hex = text_starts(id, "sha256:") ? id + 7 : id;
    text_format(short_id, sizeof short_id, "%.12s", hex);
    for (size_t i = 0; i < p->n_layers; i++)
        if (strcmp(p->layers[i].id, short_id) == 0)
            return &p->layers[i];
    if (p->n_layers == PROGRESS_LAYERS_MAX)
        return &p->layers[PROGRESS_LAYERS_MAX - 1]; /* more layers than lines: they share the last */
    struct progress_layer *l = &p->layers[p->n_layers++];
    memcpy(l->id, short_id, sizeof l->id);
    l->start_bytes = current;
    l->start_ns = now_ns;
    return l;
}

static void progress_time(char dst[TEXT_SHORT_MAX], uint64_t seconds)
{
    if (seconds < 60)
        text_format(dst, TEXT_SHORT_MAX, "%" PRIu64 "s", seconds);
    else if (seconds < 3600)
        text_format(dst, TEXT_SHORT_MAX, "%" PRIu64 "m%02" PRIu64 "s", seconds / 60, seconds % 60);
    else
        text_format(dst, TEXT_SHORT_MAX, "%" PRIu64 "h%02" PRIu64 "m", seconds / 3600, seconds / 60 % 60);
}

static void progress_rate(const struct progress_layer *l, int64_t now_ns, char dst[96])
{
    double seconds = (double)(now_ns - l->start_ns) / 1e9;
    uint64_t moved = l->current > l->start_bytes ? l->current - l->start_bytes : 0;
    dst[0] = '\0';
    if (seconds < 0.2 || moved == 0)
        return;
    char rate[TEXT_SHORT_MAX], left[TEXT_SHORT_MAX];
    double bytes_per_s = (double)moved / seconds;
    text_size(rate, (uint64_t)bytes_per_s);
    progress_time(left, (uint64_t)((double)(l->size - l->current) / bytes_per_s + 0.5));
    text_format(dst, 96, "  %s/s  %s left", rate, left);
}

static void progress_bar(struct buf *out, int width, uint64_t current, uint64_t size)
{
    int full = size == 0 ? width : (int)((double)current / (double)size * width);
    buf_add_char(out, '[');
    for (int i = 0; i < width; i++)
        buf_add_char(out, i < full ? '=' : i == full ? '>' : ' ');
    buf_add_char(out, ']');
}

static void progress_layer_line(struct progress *p, const struct progress_layer *l, int64_t now_ns)
{
    char have[TEXT_SHORT_MAX], size[TEXT_SHORT_MAX], rate[96];
    bool complete = l->current >= l->size;
    const char *status = complete ? p->done : l->current == 0 ? "Waiting" : p->verb;
    struct buf line = BUF_INIT(1024);
    buf_printf(&line, "%s: %-13s", l->id, status);
    if (!complete && l->current > 0) {
        char tail[192];
        text_size(have, l->current);
        text_size(size, l->size);
        progress_rate(l, now_ns, rate);
        text_format(tail, sizeof tail, " %s / %s%s", have, size, rate);
        int room = p->columns - 1 - (int)line.len - 3 - (int)strlen(tail);
        buf_add_char(&line, ' ');
        if (room >= 8)
            progress_bar(&line, room > 40 ? 40 : room, l->current, l->size);
        buf_add_str(&line, tail);
    }
    buf_printf(&p->out, "%.*s\x1b[K\n", p->columns - 1, buf_str(&line));
    buf_done(&line);
}

static void progress_draw(struct progress *p, int64_t now_ns)
{
    if (p->drawn_lines > 0)
        buf_printf(&p->out, "\x1b[%zuA\r", p->drawn_lines);
    for (size_t i = 0; i < p->n_layers; i++)
        progress_layer_line(p, &p->layers[i], now_ns);
    p->drawn_lines = p->n_layers;
}

static void progress_plain(struct progress *p)
{
    char have[TEXT_SHORT_MAX], size[TEXT_SHORT_MAX];
    uint64_t current = 0, known = 0;
    for (size_t i = 0; i < p->n_layers; i++) {
        current += p->layers[i].current;
        known += p->layers[i].size;
    }
    text_size(have, current);
    text_size(size, p->total > known ? p->total : known);
    buf_printf(&p->out, "%s %s of %s\n", strcmp(p->verb, "Uploading") == 0 ? "Uploaded" : "Downloaded", have, size);
}

static void progress_show(struct progress *p, int64_t now_ns)
{
    p->last_ns = now_ns;
    if (p->terminal)
        progress_draw(p, now_ns);
    else
        progress_plain(p);
}

void progress_update(struct progress *p, const char *layer_id, uint64_t current, uint64_t size, uint64_t total,
                     int64_t now_ns)
{
    if (layer_id[0] == '\0')
        return;
    size_t before = p->n_layers;
    struct progress_layer *l = progress_layer(p, layer_id, current, now_ns);
    l->current = current > size ? size : current;
    l->size = size;
    p->total = total;
    int64_t gap = p->terminal ? REDRAW_NS : PLAIN_NS;
    bool due = !p->begun || now_ns - p->last_ns >= gap || (p->terminal && p->n_layers != before);
    p->begun = true;
    if (due)
        progress_show(p, now_ns);
}

void progress_finish(struct progress *p, int64_t now_ns)
{
    if (p->begun)
        progress_show(p, now_ns);
}
