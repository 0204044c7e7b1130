/* cli/plugin_protocol.c: called as the Docker CLI plugin `docker-model`: both call shapes, the metadata, hooks.
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

/* Compose reads the version: below 1.0.6, or with letters in it, it drops runtime_flags without a word. */
static void plugin_metadata(void)
{
    printf("{\"SchemaVersion\":\"0.1.0\",\"Vendor\":\"Tug\",\"Version\":\"v%s\",\"ShortDescription\":\"Docker Model "
           "Runner\"}\n",
           TUG_VERSION);
}

/* Docker's global flags; those with a value take the next word unless it came with `=`. */
static const struct docker_flag {
    const char *name;
    char letter;
    bool value;
} docker_flags[] = {
    {"config", 0, true},     {"debug", 'D', false},  {"log-level", 'l', true}, {"tls", 0, false},
    {"tlsverify", 0, false}, {"tlscacert", 0, true}, {"tlscert", 0, true},     {"tlskey", 0, true},
    {"host", 'H', true},     {"context", 'c', true},
};

enum { N_DOCKER_FLAGS = sizeof docker_flags / sizeof docker_flags[0] };

/* How many words a long flag takes; 0: it is not Docker's. */
static int plugin_long(const char *word, const char *next, const char **ret_config)
{
    size_t len = strcspn(word, "=");
    for (size_t i = 0; i < N_DOCKER_FLAGS; i++) {
        const struct docker_flag *f = &docker_flags[i];
        if (strlen(f->name) != len || strncmp(word, f->name, len) != 0)
            continue;
        bool apart = f->value && word[len] != '=';
        if (strcmp(f->name, "config") == 0)
            *ret_config = apart ? next : word + len + 1;
        return apart ? 2 : 1;
    }
    return 0;
}

/* `-D`, `-H tcp://x`, `-cNAME`, `-Dlinfo`: letters until one takes the rest, or the next word. */
static int plugin_short(const char *word)
{
    for (const char *at = word; *at != '\0'; at++) {
        const struct docker_flag *f = NULL;
        for (size_t i = 0; i < N_DOCKER_FLAGS && f == NULL; i++)
            f = docker_flags[i].letter == *at ? &docker_flags[i] : NULL;
        if (f == NULL)
            return 0;
        if (f->value)
            return at[1] != '\0' ? 1 : 2;
    }
    return 1;
}

/* The index of the first word that is not one of Docker's global flags. */
static int plugin_skip_flags(int argc, char **argv, const char **ret_config)
{
    int at = 1;
    while (at < argc && argv[at][0] == '-' && argv[at][1] != '\0') {
        const char *next = at + 1 < argc ? argv[at + 1] : NULL;
        int used = argv[at][1] == '-' ? plugin_long(argv[at] + 2, next, ret_config) : plugin_short(argv[at] + 1);
        if (used == 0)
            break;
        at += used;
    }
    return at < argc ? at : argc;
}

/* docker help model …, docker __complete model …, docker --help model …: there the word `model` is second. */
static bool plugin_comes_first(const char *word)
{
    static const char *const words[] = {"help", "__complete", "__completeNoDesc", "--help", "-h"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i], word) == 0)
            return true;
    return false;
}

int plugin_strip(int argc, char **argv, const char **ret_config)
{
    int at = plugin_skip_flags(argc, argv, ret_config);
    bool under_docker = process_env("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND") != NULL;
    if (under_docker && at + 1 < argc && plugin_comes_first(argv[at]) && strcmp(argv[at + 1], "model") == 0) {
        argv[at + 1] = argv[at];
        at++;
    } else if (under_docker && at < argc && strcmp(argv[at], "model") == 0) {
        at++;
    }
    memmove(&argv[1], &argv[at], (size_t)(argc - at + 1) * sizeof argv[0]);
    return argc - at + 1;
}

bool plugin_answer(int argc, char **argv)
{
    const char *first = argc > 1 ? argv[1] : "";
    if (strcmp(first, "docker-cli-plugin-metadata") == 0) {
        plugin_metadata();
        return true;
    }
    if (strcmp(first, "docker-cli-plugin-hooks") == 0) { /* no advice after other commands */
        puts("{\"Type\":0,\"Template\":\"\"}");
        return true;
    }
    return false;
}
