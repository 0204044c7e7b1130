/* daemon/settings: what the environment says of the daemon: a row a variable.
 *
 *   struct daemon_options o = DAEMON_OPTIONS_DEFAULT;
 *   settings_from_env(&o, &arena, err)
 *
 * Docker Model Runner's own variables count too; where both are set, ours wins. An empty variable
 * is none. Values are trimmed of blanks and quotes, since Compose and systemd files often leave them.
 */
#ifndef TUG_DAEMON_SETTINGS_H
#define TUG_DAEMON_SETTINGS_H

#include "base/arena.h"
#include "daemon/daemon.h"

#include <stddef.h>

enum setting_kind {
    SETTING_TEXT,
    SETTING_LIST,
    SETTING_BOOL,
    SETTING_INT,
    SETTING_MIB,
    SETTING_DURATION,
    SETTING_PORT,
    SETTING_LEVEL
};

struct setting {
    const char *variable;
    const char *flag; /* of `tug serve`, which wins; NULL: none */
    enum setting_kind kind;
    size_t offset; /* in struct daemon_options */
    size_t size;   /* of the field, SETTING_INT */
    int64_t min, max;
    const char *value; /* the default, for people */
    const char *help;
};

extern const struct setting settings_table[]; /* ends with variable NULL */

/* Overwrites the fields whose variables are set; texts go into the arena. A value that cannot be: ERR_INVALID, naming
 * variable and value (never a key's). */
bool settings_from_env(struct daemon_options *options, struct arena *a, struct err *err);

#endif
