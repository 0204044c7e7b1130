/* platform/port_holder: which program listens on a TCP port of this machine (Linux). Internal to platform/. */
#ifndef TUG_PLATFORM_PORT_HOLDER_H
#define TUG_PLATFORM_PORT_HOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "'nginx' (process 812)"; false when nobody, or nobody whom we may see, holds it. */
bool port_holder_find(uint16_t port, char *dst, size_t size);

#endif
