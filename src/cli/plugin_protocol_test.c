/* cli/plugin_protocol_test: what the Docker CLI and Compose pass, cut down to our own words. */
#include "cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct strip_row {
    const char *name;
    bool docker;          /* DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND is set */
    const char *words[9]; /* after the program's name */
    const char *rest;     /* expected, joined */
    const char *config;
} strip_rows[] = {
    {"direct", false, {"ls", "--json"}, "ls --json", NULL},
    {"direct: a model of that name", false, {"rm", "model"}, "rm model", NULL},
    {"direct: `model` is no word of ours", false, {"model", "ls"}, "model ls", NULL},
    {"direct with global flags", false, {"-D", "--context", "x", "ls"}, "ls", NULL},
    {"plugin", true, {"model", "ls", "--json"}, "ls --json", NULL},
    {"plugin alone", true, {"model"}, "", NULL},
    {"long flags", true, {"-D", "--context", "default", "--log-level=debug", "model", "ls"}, "ls", NULL},
    {"tls", true, {"--tls", "--tlsverify=false", "--tlscacert", "a", "--tlskey=b", "model", "ps"}, "ps", NULL},
    {"host", true, {"-H", "tcp://h:1", "model", "ps"}, "ps", NULL},
    {"letters with values", true, {"-Hunix:///x", "-cmine", "-Dlinfo", "model", "ps"}, "ps", NULL},
    {"letters, value apart", true, {"-Dc", "model", "model", "ps"}, "ps", NULL},
    {"config", true, {"--config", "/c", "model", "ps"}, "ps", "/c"},
    {"config with =", true, {"--config=/c", "model", "ps"}, "ps", "/c"},
    {"config without a value", true, {"--config"}, "", NULL},
    {"the value is the last word", true, {"-H"}, "", NULL},
    {"help", true, {"help", "model", "pull"}, "help pull", NULL},
    {"completion", true, {"-D", "__complete", "model", "pu"}, "__complete pu", NULL},
    {"completion without descriptions", true, {"__completeNoDesc", "model", ""}, "__completeNoDesc ", NULL},
    {"a command's own flags stay", true, {"model", "logs", "-f"}, "logs -f", NULL},
};

static void test_plugin_strip(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof strip_rows / sizeof strip_rows[0]; i++) {
        const struct strip_row *row = &strip_rows[i];
        char *argv[11] = {"docker-model"};
        char joined[256] = "";
        const char *config = NULL;
        int argc = 1;
        for (; argc < 10 && row->words[argc - 1] != NULL; argc++)
            argv[argc] = (char *)(uintptr_t)row->words[argc - 1];
        if (row->docker)
            setenv("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", "docker", 1);
        argc = plugin_strip(argc, argv, &config);
        unsetenv("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND");
        assert_null(argv[argc]);
        for (int k = 1; k < argc; k++) {
            strcat(joined, k > 1 ? " " : "");
            strcat(joined, argv[k]);
        }
        if (strcmp(joined, row->rest) != 0 || strcmp(config ? config : "", row->config ? row->config : "") != 0)
            fail_msg("%s: '%s', config %s", row->name, joined, config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plugin_strip)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
