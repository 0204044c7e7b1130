/* daemon/settings.c: the rows, a reader for each kind of value, and the files. */
#include "daemon/settings.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/text.h"
#include "platform/file.h"
#include "platform/process.h"

#include <string.h>

enum { LIST_MAX = 64, FILE_BYTES = 64 * 1024 };

#define AT(field) offsetof(struct daemon_options, field), sizeof(((struct daemon_options *)0)->field)

/* clang-format off */
const struct setting settings_table[] = {
    /* variable                       flag                 kind              field                      min max                default            help */
    { "TUG_HOME",                     "home",              SETTING_TEXT,     AT(home),                  0, 0,                  "~/.local/share/tug", "The folder of all state" },
    { "MODEL_RUNNER_PORT",            "port",              SETTING_PORT,     AT(listen),                0, 65535,              "12434",           "127.0.0.1 and this port" },
    { "TUG_LISTEN",                   "listen",            SETTING_LIST,     AT(listen),                0, 0,                  DAEMON_LISTEN_DEFAULT, "Where to listen: HOST:PORT, several with commas" },
    { "MODEL_RUNNER_SOCK",            "socket",            SETTING_TEXT,     AT(socket_path),           0, 0,                  "HOME/run/tug.sock", "The unix socket" },
    { "TUG_SOCKET",                   "socket",            SETTING_TEXT,     AT(socket_path),           0, 0,                  "HOME/run/tug.sock", "The unix socket" },
    { "TUG_NO_TCP",                   "no-tcp",            SETTING_BOOL,     AT(no_tcp),                0, 0,                  "no",              "Only the unix socket" },
    { "TUG_API_KEY",                  "api-key",           SETTING_TEXT,     AT(api_key),               0, 0,                  "none",            "Clients must send it as a bearer token" },
    { "TUG_INSECURE",                 "insecure",          SETTING_BOOL,     AT(insecure),              0, 0,                  "no",              "Listen off loopback without a key" },
    { "TUG_ALLOWED_HOSTS",            "allowed-host",      SETTING_LIST,     AT(allowed_hosts),         0, 0,                  "none",            "Further Host headers to accept; * is any" },
    { "DMR_ORIGINS",                  "allowed-origin",    SETTING_LIST,     AT(allowed_origins),       0, 0,                  "none",            "Further web origins to accept" },
    { "TUG_ALLOWED_ORIGINS",          "allowed-origin",    SETTING_LIST,     AT(allowed_origins),       0, 0,                  "none",            "Further web origins to accept" },
    { "TUG_DOCKER_BRIDGE",            "docker-bridge",     SETTING_TEXT,     AT(docker_bridge),         0, 0,                  "auto",            "Interface whose address containers reach: auto is docker0, off is none" },
    { "TUG_INSECURE_REGISTRIES",      "insecure-registry", SETTING_LIST,     AT(insecure_registries),   0, 0,                  "none",            "Registries to reach by plain http" },
    { "MODEL_RUNNER_REGISTRY_MIRRORS", "registry-mirror",  SETTING_LIST,     AT(mirrors),               0, 0,                  "none",            "Mirrors of Docker Hub" },
    { "TUG_KEEP_ALIVE",               "keep-alive",        SETTING_DURATION, AT(keep_alive_ns),         -1, INT64_MAX,         "5m",              "How long an idle model stays in memory; 0: not at all, -1: for ever" },
    { "TUG_CONTEXT_SIZE",             "context-size",      SETTING_INT,      AT(context_size),          0, 1 << 24,            "the model's",     "Tokens of context" },
    { "TUG_PARALLEL",                 "parallel",          SETTING_INT,      AT(parallel),              0, LIMIT_SEQUENCES,    "the engine's",    "Requests that one model answers at once" },
    { "TUG_THREADS",                  "threads",           SETTING_INT,      AT(threads),               0, 1024,               "the machine's",   "Threads of an engine" },
    { "TUG_MEMORY",                   "memory",            SETTING_MIB,      AT(memory_bytes),          0, 1 << 24,            "the machine's",   "MiB for all engines together" },
    { "TUG_GRACE",                    "grace",             SETTING_DURATION, AT(grace_ns),              0, INT64_MAX,          "10s",             "What running requests get when the daemon is stopped" },
    { "TUG_WAIT",                     NULL,                SETTING_DURATION, AT(wait_ns),               0, INT64_MAX,          "5m",              "How long a request waits for room in memory" },
    { "TUG_ENGINE",                   "engine",            SETTING_TEXT,     AT(engine_path),           0, 0,                  "tug-engine",      "The engine's program" },
    { "TUG_RECORD_BODIES",            "record-bodies",     SETTING_BOOL,     AT(record_bodies),         0, 0,                  "no",              "Keep what was asked and answered in memory, for `tug requests`" },
    { "LOG_LEVEL",                    "log-level",         SETTING_LEVEL,    AT(log_level),             0, 0,                  "info",            "error, warn, info or debug" },
    { "TUG_LOG_LEVEL",                "log-level",         SETTING_LEVEL,    AT(log_level),             0, 0,                  "info",            "error, warn, info or debug" },
    { 0 },
};
/* clang-format on */

/* Without the blanks and quotes around it; into the arena. */
static const char *trimmed(struct arena *a, const char *s)
{
    static const char skip[] = " \t\r\n\"'";
    s += strspn(s, skip);
    size_t n = strlen(s);
    while (n > 0 && strchr(skip, s[n - 1]) != NULL)
        n--;
    return arena_strndup(a, s, n);
}

/* A value that is read: `name` is the variable, or the key with file and line before it. */
struct given {
    const struct setting *s;
    const char *name, *value;
};

static bool refuse(const struct given *g, const char *want, struct err *err)
{
    return err_set(err, ERR_INVALID, "%s=%.100s is not %s", g->name, g->value, want);
}

static bool read_list(const struct given *g, struct arena *a, void *field, struct err *err)
{
    const char *value = g->value;
    const char **list = arena_array(a, LIST_MAX + 1, sizeof *list);
    size_t n = 0;
    while (*value != '\0') {
        size_t len = strcspn(value, ",");
        const char *item = trimmed(a, arena_strndup(a, value, len));
        if (*item != '\0' && n == LIST_MAX)
            return err_set(err, ERR_INVALID, "%s has more than %d entries", g->name, LIST_MAX);
        if (*item != '\0')
            list[n++] = item;
        value += len + (value[len] == ',');
    }
    if (n > 0)
        *(const char *const **)field = list;
    return true;
}

static bool read_whole(const struct given *g, int64_t *ret, struct err *err)
{
    int64_t n = 0;
    if (!text_to_i64(g->value, &n) || n < g->s->min || n > g->s->max)
        return err_set(err, ERR_INVALID, "%s=%.100s is not a whole number from %lld to %lld", g->name, g->value,
                       (long long)g->s->min, (long long)g->s->max);
    *ret = n;
    return true;
}

static bool read_number(const struct given *g, struct arena *a, void *field, struct err *err)
{
    const struct setting *s = g->s;
    int64_t n = 0;
    if (!read_whole(g, &n, err))
        return false;
    if (s->kind == SETTING_MIB) {
        *(uint64_t *)field = (uint64_t)n << 20;
    } else if (s->kind == SETTING_PORT) {
        const char **list = arena_array(a, 2, sizeof *list);
        list[0] = arena_printf(a, "127.0.0.1:%lld", (long long)n);
        *(const char *const **)field = list;
    } else if (s->size == sizeof(int)) {
        *(int *)field = (int)n;
    } else {
        *(int64_t *)field = n;
    }
    return true;
}

static bool read_duration(const struct given *g, void *field, struct err *err)
{
    int64_t ns;
    if (!text_to_duration_ns(g->value, &ns))
        return refuse(g, "a duration: 5m, 1h30m, 90, 0 or -1", err);
    if (ns < 0 && g->s->min == 0)
        return refuse(g, "possible here: a duration of 0 or more", err);
    *(int64_t *)field = ns;
    return true;
}

static bool setting_read(const struct given *g, struct arena *a, void *field, struct err *err)
{
    switch (g->s->kind) {
    case SETTING_TEXT:
        *(const char **)field = g->value;
        return true;
    case SETTING_LIST:
        return read_list(g, a, field, err);
    case SETTING_BOOL:
        return text_to_bool(g->value, (bool *)field) || refuse(g, "yes or no", err);
    case SETTING_INT:
    case SETTING_MIB:
    case SETTING_PORT:
        return read_number(g, a, field, err);
    case SETTING_DURATION:
        return read_duration(g, field, err);
    case SETTING_LEVEL:
        return log_level_parse(g->value, (enum log_level *)field) || refuse(g, "error, warn, info or debug", err);
    }
    return true;
}

/* ---- which is which -------------------------------------------------------------------------------- */

void setting_key(const struct setting *s, char dst[SETTING_KEY_MAX])
{
    const char *name = s->flag != NULL ? s->flag : text_starts(s->variable, "TUG_") ? s->variable + 4 : s->variable;
    text_format(dst, SETTING_KEY_MAX, "%s", name);
    for (char *c = dst; *c != '\0'; c++)
        *c = *c == '_' ? '-' : *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
}

static const struct setting *setting_main(const struct setting *s)
{
    const struct setting *last = s;
    for (const struct setting *t = s; t->variable != NULL; t++)
        if (t->offset == s->offset)
            last = t;
    return last;
}

bool setting_is_main(const struct setting *s) { return setting_main(s) == s; }

static void origin_set(struct settings_origin *origins, const struct setting *s, enum setting_from from,
                       const char *where)
{
    if (origins != NULL)
        origins[setting_main(s) - settings_table] = (struct settings_origin){from, where};
}

void settings_note(struct settings_origin *origins, const char *flag, enum setting_from from, const char *where)
{
    for (const struct setting *s = settings_table; s->variable != NULL; s++)
        if (s->flag != NULL && strcmp(s->flag, flag) == 0)
            origin_set(origins, s, from, where);
}

/* ---- files ----------------------------------------------------------------------------------------- */

static const struct setting *setting_find(const char *key)
{
    char own[SETTING_KEY_MAX];
    for (const struct setting *s = settings_table; s->variable != NULL; s++) {
        setting_key(s, own);
        if (strcmp(own, key) == 0)
            return s;
    }
    return NULL;
}

static bool unknown_key(const char *where, const char *key, struct err *err)
{
    _cleanup_(buf_done) struct buf known = BUF_INIT(ERR_TEXT_MAX / 2);
    char own[SETTING_KEY_MAX];
    for (const struct setting *s = settings_table; s->variable != NULL; s++) {
        setting_key(s, own);
        if (setting_is_main(s) && strcmp(own, "home") != 0)
            buf_printf(&known, "%s%s", known.len == 0 ? "" : ", ", own);
    }
    return err_set(err, ERR_INVALID, "%s: there is no setting \"%.40s\"; there are: %s", where, key, buf_str(&known));
}

/* "key = value # comment", without its line end. */
static bool file_line(struct daemon_options *o, const char *line, const char *where, struct arena *a,
                      struct settings_origin *origins, struct err *err)
{
    line = arena_strndup(a, line, strcspn(line, "#"));
    const char *equals = strchr(line, '=');
    const char *key = trimmed(a, equals == NULL ? line : arena_strndup(a, line, (size_t)(equals - line)));
    if (*key == '\0' && equals == NULL)
        return true;
    if (equals == NULL)
        return err_set(err, ERR_INVALID, "%s: \"%.40s\" is not of the form: key = value", where, key);
    const struct setting *s = setting_find(key);
    if (s == NULL)
        return unknown_key(where, key, err);
    if (strcmp(key, "home") == 0)
        return err_set(err, ERR_INVALID, "%s: home cannot be set in a file: set TUG_HOME, or --home", where);
    struct given g = {.s = s, .name = arena_printf(a, "%s: %s", where, key), .value = trimmed(a, equals + 1)};
    if (g.value[0] == '\0')
        return true;
    origin_set(origins, s, SETTING_FROM_FILE, where);
    return setting_read(&g, a, (char *)o + s->offset, err);
}

bool settings_from_file(struct daemon_options *options, const char *path, struct arena *a,
                        struct settings_origin *origins, struct err *err)
{
    _cleanup_(buf_done) struct buf text = BUF_INIT(FILE_BYTES);
    struct err missing = ERR_INIT;
    if (!file_read_all(path, FILE_BYTES, &text, &missing)) {
        if (missing.code == ERR_NOT_FOUND)
            return true;
        if (err != NULL)
            *err = missing;
        return err_while(err, "reading the settings");
    }
    if (strlen(buf_str(&text)) != text.len)
        return err_set(err, ERR_INVALID, "%s holds a zero byte: it is not a text of lines \"key = value\"", path);
    int number = 1;
    for (const char *at = buf_str(&text); *at != '\0'; number++) {
        size_t n = strcspn(at, "\n");
        const char *where = arena_printf(a, "%s:%d", path, number);
        if (!file_line(options, arena_strndup(a, at, n), where, a, origins, err))
            return false;
        at += n + (at[n] == '\n');
    }
    return true;
}

bool settings_from_env(struct daemon_options *options, struct arena *a, struct settings_origin *origins,
                       struct err *err)
{
    for (const struct setting *s = settings_table; s->variable != NULL; s++) {
        const char *value = process_env(s->variable);
        if (value == NULL || *(value = trimmed(a, value)) == '\0')
            continue;
        struct given g = {.s = s, .name = s->variable, .value = value};
        if (!setting_read(&g, a, (char *)options + s->offset, err))
            return false;
        origin_set(origins, s, SETTING_FROM_VARIABLE, s->variable);
    }
    return true;
}

bool settings_load(struct daemon_options *options, const char *home, struct arena *a, struct settings_origin *origins,
                   struct err *err)
{
    struct err system = ERR_INIT;
    if (!settings_from_file(options, SETTINGS_SYSTEM_FILE, a, origins, &system)) {
        if (system.code != ERR_FORBIDDEN) {
            if (err != NULL)
                *err = system;
            return false;
        }
        /* It is the system service's, and may hold its key: no reason why a user should have no daemon. */
        log_warn("the system's settings are not for you, and are left out", "reason=%s", system.text);
    }
    return settings_from_file(options, arena_printf(a, "%s/" SETTINGS_HOME_FILE, home), a, origins, err) &&
           settings_from_env(options, a, origins, err);
}

/* ---- showing --------------------------------------------------------------------------------------- */

static void show_number(const struct setting *s, const void *field, struct buf *out)
{
    int64_t n = s->size == sizeof(int) ? *(const int *)field : *(const int64_t *)field;
    if (s->kind == SETTING_MIB)
        n = (int64_t)(*(const uint64_t *)field >> 20);
    if (n != 0)
        buf_printf(out, "%lld", (long long)n);
}

static void show_list(const char *const *list, struct buf *out)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++)
        buf_printf(out, "%s%s", i == 0 ? "" : ",", list[i]);
}

void setting_show(const struct setting *s, const struct daemon_options *options, struct buf *out)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    const void *field = (const char *)options + s->offset;
    char text[TEXT_SHORT_MAX];
    switch (s->kind) {
    case SETTING_TEXT:
        if (*(const char *const *)field != NULL)
            buf_add_str(out,
                        s->offset == offsetof(struct daemon_options, api_key) ? "(set)" : *(const char *const *)field);
        break;
    case SETTING_LIST:
    case SETTING_PORT:
        show_list(*(const char *const *const *)field, out);
        break;
    case SETTING_BOOL:
        buf_add_str(out, *(const bool *)field ? "yes" : "no");
        break;
    case SETTING_INT:
    case SETTING_MIB:
        show_number(s, field, out);
        break;
    case SETTING_DURATION:
        text_go_duration(text, *(const int64_t *)field);
        buf_add_str(out, text);
        break;
    case SETTING_LEVEL:
        buf_add_str(out, levels[*(const enum log_level *)field]);
        break;
    }
}
