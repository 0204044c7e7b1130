/* cli/cli.c: main, dispatch, and where errors are shown. */
#include "cli/cli.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "daemon/daemon.h"
#include "platform/file.h"
#include "platform/process.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

int cli_print_json(const json_t *json)
{
    _cleanup_free_ char *text = json_dumps(json, JSON_INDENT(4) | JSON_ENCODE_ANY);
    CHECK(text != NULL);
    puts(text);
    return 0;
}

/* The edge: the one place where a command's error is shown. Ctrl-C says nothing. */
static int cli_fail(const struct command *c, const struct err *err)
{
    if (err->code != ERR_CANCELLED) {
        if (c != NULL && c->failure != NULL)
            fprintf(stderr, "%s: %s\n", c->failure, err->text);
        else
            fprintf(stderr, "%s\n", err->text);
    }
    return err_exit_code(err->code);
}

bool cli_ready(struct cli *cli, enum daemon_need need, struct err *err)
{
    if (need == DAEMON_NONE)
        return true;
    if (!cli_watch_docker(err) || !cli_locate(cli, err))
        return false;
    if (need == DAEMON_START && !cli->named && !cli_reachable(cli))
        return cli_start_daemon(cli, err);
    return true;
}

static int cli_run(struct cli *cli, const struct command *c, int argc, char **argv)
{
    _cleanup_(command_args_done) struct command_args args = {.cli = cli};
    struct err err = ERR_INIT;
    bool help = false;
    if (!cli_parse(c, cli->program, argc, argv, &args, &help, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return err_exit_code(err.code);
    }
    if (help) {
        help_command(args.command, args.name);
        return 0;
    }
    c = args.command;
    int code = 0;
    if (!cli_ready(cli, c->daemon, &err) || !c->run(&args, &code, &err))
        code = cli_fail(c, &err);
    if (fflush(stdout) != 0 && code == 0)
        code = 1; /* a full disk behind the pipe: the answer did not arrive */
    return code;
}

static int cli_unknown(const struct cli *cli, const char *name)
{
    fprintf(stderr, "%s: '%s' is not a command.", cli->program, name);
    const char *near = command_suggest(command_table, name);
    if (near != NULL)
        fprintf(stderr, " Did you mean '%s %s'?", cli->program, near);
    fprintf(stderr, "\nSee '%s --help'\n", cli->program);
    return 1;
}

/* Docker Model Runner's `config` is configure; as `tug` the word is free for the daemon's own settings. */
static const struct command *cli_find(const struct cli *cli, const char *name)
{
    bool configure = strcmp(name, "config") == 0 && strcmp(cli->program, "tug") != 0;
    return command_find(configure ? "configure" : name);
}

/* `help`, `help COMMAND`, `help COMMAND SUB`. */
static int cli_help(const struct cli *cli, int argc, char **argv)
{
    char name[COMMAND_NAME_MAX];
    const struct command *c = argc > 0 ? cli_find(cli, argv[0]) : NULL;
    if (argc == 0) {
        help_all(cli->program);
        return 0;
    }
    if (c == NULL)
        return cli_unknown(cli, argv[0]);
    const struct command *sub = c->sub == NULL || argc < 2 ? NULL : command_find_in(c->sub, argv[1]);
    text_format(name, sizeof name, "%s %s%s%s", cli->program, c->name, sub != NULL ? " " : "",
                sub != NULL ? sub->name : "");
    help_command(sub != NULL ? sub : c, name);
    return 0;
}

static int cli_dispatch(struct cli *cli, int argc, char **argv)
{
    const char *first = argc > 1 ? argv[1] : "help";
    int n = argc > 2 ? argc - 2 : 0;
    if (strcmp(first, "__docs") == 0)
        return cli_docs(n, argv + 2);
    if (strcmp(first, "__complete") == 0 || strcmp(first, "__completeNoDesc") == 0)
        return cli_complete(cli, strcmp(first, "__complete") == 0, n, argv + 2);
    if (strcmp(first, "help") == 0 || strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0)
        return cli_help(cli, n, argv + 2);
    const struct command *c = cli_find(cli, strcmp(first, "--version") == 0 ? "version" : first);
    return c == NULL ? cli_unknown(cli, first) : cli_run(cli, c, n, argv + 2);
}

/* $DOCKER_CONFIG, else ~/.docker; malloc'd. */
static char *cli_docker_config(const char *flag)
{
    const char *dir = flag != NULL ? flag : process_env("DOCKER_CONFIG");
    char path[4096];
    if (dir != NULL)
        return check_alloc(strdup(dir));
    _cleanup_free_ char *home = file_home_dir();
    text_format(path, sizeof path, "%s/.docker", home);
    return check_alloc(strdup(path));
}

int cli_main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    struct cli cli = {.program = "tug", .interrupt_fd = -1};
    const char *config = NULL;
    if (argc > 0 && plugin_called(argv[0])) {
        cli.program = "docker model";
        argc = plugin_strip(argc, argv, &config);
        if (plugin_answer(argc, argv))
            return fflush(stdout) == 0 ? 0 : 1;
    }
    cli.home = daemon_home_dir();
    cli.docker_config = cli_docker_config(config);
    int code = cli_dispatch(&cli, argc, argv);
    free(cli.home);
    free(cli.docker_config);
    return code;
}
