/* cli/plugin.c: called as the Docker CLI plugin `docker-model`: both call shapes, and the metadata.
 * Facts: the CLI passes its whole command line, global flags first, then `model`, and sets
 * DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND; Compose calls the binary directly without either. */
#include "cli/cli.h"

#include "base/text.h"
#include "platform/process.h"

#include <stdio.h>
#include <string.h>

bool plugin_called(const char *argv0)
{
    const char *slash = strrchr(argv0, '/');
    const char *name = slash == NULL ? argv0 : slash + 1;
    return strcmp(name, "docker-model") == 0;
}

void plugin_metadata(void)
{
    printf("{\"SchemaVersion\":\"0.1.0\",\"Vendor\":\"Tug\",\"Version\":\"v%s\",\"ShortDescription\":\"Run AI models "
           "(Tug)\"}\n",
           TUG_VERSION);
}

/* Docker's global flags; those with a value take the next word unless it came with `=`. */
static const struct docker_flag {
    const char *name;
    bool value;
} docker_flags[] = {
    {"--config", true}, {"-D", false},          {"--debug", false},    {"-l", true},        {"--log-level", true},
    {"--tls", false},   {"--tlsverify", false}, {"--tlscacert", true}, {"--tlscert", true}, {"--tlskey", true},
    {"-H", true},       {"--host", true},       {"-c", true},          {"--context", true},
};

static const struct docker_flag *docker_flag_find(const char *word)
{
    size_t len = strcspn(word, "=");
    for (size_t i = 0; i < sizeof docker_flags / sizeof docker_flags[0]; i++)
        if (strlen(docker_flags[i].name) == len && strncmp(word, docker_flags[i].name, len) == 0)
            return &docker_flags[i];
    return NULL;
}

int plugin_strip(int argc, char **argv)
{
    int at = 1;
    while (at < argc) {
        const struct docker_flag *f = docker_flag_find(argv[at]);
        if (f == NULL)
            break;
        at += f->value && strchr(argv[at], '=') == NULL ? 2 : 1;
    }
    bool under_docker = process_env("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND") != NULL;
    bool help = under_docker && at + 1 < argc && strcmp(argv[at], "help") == 0 && strcmp(argv[at + 1], "model") == 0;
    if (help) { /* docker help model … → model help … */
        argv[at + 1] = argv[at];
        at++;
    } else if (under_docker && at < argc && strcmp(argv[at], "model") == 0) {
        at++;
    }
    if (at > argc)
        at = argc;
    memmove(&argv[1], &argv[at], (size_t)(argc - at + 1) * sizeof argv[0]);
    return argc - at + 1;
}
