/* cli/ui/table.c: see table.h. */
#include "cli/ui/table.h"

#include "base/check.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

void table_row(struct table *t, const char *const *cells)
{
    CHECK(t->n_rows < TABLE_ROWS_MAX && t->n_columns <= TABLE_COLUMNS_MAX);
    if (t->n_rows == t->cap) {
        size_t cap = t->cap == 0 ? 16 : t->cap * 2;
        const char **grown = arena_array(t->arena, cap * t->n_columns, sizeof *grown);
        if (t->n_rows > 0)
            memcpy(grown, t->cells, t->n_rows * t->n_columns * sizeof *grown);
        t->cells = grown;
        t->cap = cap;
    }
    for (size_t i = 0; i < t->n_columns; i++)
        t->cells[t->n_rows * t->n_columns + i] = arena_strdup(t->arena, cells[i] == NULL ? "" : cells[i]);
    t->n_rows++;
}

static void table_line(const struct table *t, const char *const *cells, const size_t *widths, struct buf *out)
{
    for (size_t i = 0; i < t->n_columns; i++) {
        buf_add_str(out, cells[i]);
        for (size_t pad = text_columns(cells[i]); pad < widths[i] + 2; pad++)
            buf_add_char(out, ' ');
    }
    buf_add_char(out, '\n');
}

void table_write(const struct table *t, struct buf *out)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    for (size_t i = 0; i < t->n_columns; i++)
        widths[i] = text_columns(t->header[i]);
    for (size_t i = 0; i < t->n_rows * t->n_columns; i++) {
        size_t w = text_columns(t->cells[i]);
        if (w > widths[i % t->n_columns])
            widths[i % t->n_columns] = w;
    }
    table_line(t, t->header, widths, out);
    for (size_t r = 0; r < t->n_rows; r++)
        table_line(t, t->cells + r * t->n_columns, widths, out);
}

void table_print(const struct table *t)
{
    struct buf out = BUF_INIT(64 * 1024 * 1024);
    table_write(t, &out);
    fputs(buf_str(&out), stdout);
    buf_done(&out);
}
