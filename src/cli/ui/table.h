/* cli/ui/table: Docker's tables: no borders, each column padded to its widest cell + 2, the last too. */
#ifndef TUG_CLI_UI_TABLE_H
#define TUG_CLI_UI_TABLE_H

#include "base/arena.h"
#include "base/buf.h"

enum { TABLE_COLUMNS_MAX = 10, TABLE_ROWS_MAX = 100000 };

struct table {
    const char *const *header; /* n_columns texts */
    size_t n_columns;
    const char **cells; /* n_rows * n_columns, row by row; NULL cells are empty */
    size_t n_rows, cap;
    struct arena *arena; /* cells are copied into it */
};

void table_row(struct table *t, const char *const *cells);
void table_write(const struct table *t, struct buf *out);
void table_print(const struct table *t); /* to stdout */

#endif
