/* platform/terminal: what the CLI must know of the terminal. */
#ifndef TUG_PLATFORM_TERMINAL_H
#define TUG_PLATFORM_TERMINAL_H

#include <stdbool.h>

bool terminal_is(int fd);     /* a terminal that can move its cursor (TERM is not dumb) */
int terminal_columns(int fd); /* 80 if unknown */

#endif
