/* daemon/docs.c: the tables of parts that the command line may not know, for `tug __docs`. */
#include "backends/flags.h"
#include "daemon/daemon.h"

void daemon_write_flags(struct buf *out) { flags_write_docs(out); }
