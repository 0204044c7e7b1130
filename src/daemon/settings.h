/* daemon/settings: what is set of the daemon, and where: a row a setting and variable.
 *
 *   struct daemon_options o = DAEMON_OPTIONS_DEFAULT;
 *   struct settings_origin origins[SETTINGS_MAX] = {0};
 *   settings_load(&o, home, &arena, origins, err)      /etc/tug/tug.conf, HOME/tug.conf, the environment: later ones
 * win o.… = flag;  settings_note(origins, "port", SETTING_FROM_FLAG, "--port")     flags win over all of them
 *
 * A file has lines "key = value", keys being the names of the flags of `tug serve` without dashes ("wait", which has no
 * flag, too), and comments after #. An unknown key and a value that cannot be are errors that name file, line and key.
 * Docker Model Runner's own variables count too; where both are set, ours wins. An empty value is none. Values are
 * trimmed of blanks and quotes, since Compose and systemd files often leave them. `home` is where the file is, so no
 * file can set it.
 */
#ifndef TUG_DAEMON_SETTINGS_H
#define TUG_DAEMON_SETTINGS_H

#include "base/arena.h"
#include "base/buf.h"
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

enum { SETTINGS_MAX = 48, SETTING_KEY_MAX = 32 };

enum setting_from { SETTING_FROM_DEFAULT, SETTING_FROM_FILE, SETTING_FROM_VARIABLE, SETTING_FROM_FLAG };

struct settings_origin {
    enum setting_from from;
    const char *where; /* "/etc/tug/tug.conf:3", "TUG_PORT", "--port"; NULL: the default */
};

#define SETTINGS_SYSTEM_FILE "/etc/tug/tug.conf"
#define SETTINGS_HOME_FILE   "tug.conf" /* in the home */

/* The name of a row in a file: its flag, or its variable in small letters without TUG_. */
void setting_key(const struct setting *s, char dst[SETTING_KEY_MAX]);
/* Of rows that set one field the last one stands for it. Its index in the table is that of its origin. */
bool setting_is_main(const struct setting *s);
/* Its value as people write it, "" when only the default's words can say it; a key is masked. */
void setting_show(const struct setting *s, const struct daemon_options *options, struct buf *out);
/* The field of the row with this flag was set there. */
void settings_note(struct settings_origin *origins, const char *flag, enum setting_from from, const char *where);
/* `where` is kept; origins may be NULL in these. */
bool settings_load(struct daemon_options *options, const char *home, struct arena *a, struct settings_origin *origins,
                   struct err *err);
/* One file; a missing one is empty. */
bool settings_from_file(struct daemon_options *options, const char *path, struct arena *a,
                        struct settings_origin *origins, struct err *err);

/* Overwrites the fields whose variables are set; texts go into the arena. A value that cannot be: ERR_INVALID, naming
 * variable and value (never a key's). */
bool settings_from_env(struct daemon_options *options, struct arena *a, struct settings_origin *origins,
                       struct err *err);

#endif
