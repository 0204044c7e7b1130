/* daemon/settings.c: the rows, and a reader for each kind of value. */
#include "daemon/settings.h"

#include "base/limits.h"
#include "base/text.h"
#include "platform/process.h"

#include <string.h>

enum { LIST_MAX = 64 };

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

static bool refuse(const struct setting *s, const char *value, const char *want, struct err *err)
{
    return err_set(err, ERR_INVALID, "%s=%.100s is not %s", s->variable, value, want);
}

static bool read_list(const struct setting *s, const char *value, struct arena *a, void *field, struct err *err)
{
    const char **list = arena_array(a, LIST_MAX + 1, sizeof *list);
    size_t n = 0;
    while (*value != '\0') {
        size_t len = strcspn(value, ",");
        const char *item = trimmed(a, arena_strndup(a, value, len));
        if (*item != '\0' && n == LIST_MAX)
            return err_set(err, ERR_INVALID, "%s has more than %d entries", s->variable, LIST_MAX);
        if (*item != '\0')
            list[n++] = item;
        value += len + (value[len] == ',');
    }
    if (n > 0)
        *(const char *const **)field = list;
    return true;
}

static bool read_whole(const struct setting *s, const char *value, int64_t *ret, struct err *err)
{
    int64_t n = 0;
    if (!text_to_i64(value, &n) || n < s->min || n > s->max)
        return err_set(err, ERR_INVALID, "%s=%.100s is not a whole number from %lld to %lld", s->variable, value,
                       (long long)s->min, (long long)s->max);
    *ret = n;
    return true;
}

static bool read_number(const struct setting *s, const char *value, struct arena *a, void *field, struct err *err)
{
    int64_t n = 0;
    if (!read_whole(s, value, &n, err))
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

static bool read_duration(const struct setting *s, const char *value, void *field, struct err *err)
{
    int64_t ns;
    if (!text_to_duration_ns(value, &ns))
        return refuse(s, value, "a duration: 5m, 1h30m, 90, 0 or -1", err);
    if (ns < 0 && s->min == 0)
        return refuse(s, value, "possible here: a duration of 0 or more", err);
    *(int64_t *)field = ns;
    return true;
}

static bool setting_read(const struct setting *s, const char *value, struct arena *a, void *field, struct err *err)
{
    switch (s->kind) {
    case SETTING_TEXT:
        *(const char **)field = value;
        return true;
    case SETTING_LIST:
        return read_list(s, value, a, field, err);
    case SETTING_BOOL:
        return text_to_bool(value, (bool *)field) || refuse(s, value, "yes or no", err);
    case SETTING_INT:
    case SETTING_MIB:
    case SETTING_PORT:
        return read_number(s, value, a, field, err);
    case SETTING_DURATION:
        return read_duration(s, value, field, err);
    case SETTING_LEVEL:
        return log_level_parse(value, (enum log_level *)field) || refuse(s, value, "error, warn, info or debug", err);
    }
    return true;
}

bool settings_from_env(struct daemon_options *options, struct arena *a, struct err *err)
{
    for (const struct setting *s = settings_table; s->variable != NULL; s++) {
        const char *value = process_env(s->variable);
        if (value == NULL || *(value = trimmed(a, value)) == '\0')
            continue;
        if (!setting_read(s, value, a, (char *)options + s->offset, err))
            return false;
    }
    return true;
}
