/* cli/cli: one run of the program: which program we are called as, where the daemon is, and dispatch.
 *
 * The CLI has no state and no logic that the daemon has: it parses arguments, makes a call, shows
 * the answer (design rule 1). Exceptions by name: serve, and run (daemon_start.c, the chat).
 */
#ifndef TUG_CLI_H
#define TUG_CLI_H

#include "base/buf.h"
#include "base/err.h"
#include "cli/command.h"
#include "http/client/http_client.h"

#include <jansson.h>
#include <stdio.h>

struct cli {
    const char *program; /* as the user types it: "tug" or "docker model" */
    char *home;          /* TUG_HOME */
    char *docker_config; /* the folder of Docker's config.json: --config, DOCKER_CONFIG, ~/.docker */
    char base_url[512];  /* "http://localhost:12434", no slash at the end */
    char socket[108];    /* unix socket to use instead of TCP, "" if none */
    bool external;       /* base_url is another OpenAI API (cli_external): its key is OPENAI_API_KEY, never ours */
    bool named;          /* MODEL_RUNNER_HOST or a context says where: never start one ourselves */
    char context[160];   /* the context that says it, "" if none does */
    char ca_cert[4096];  /* certificates to trust beside the system's, "" if none */
    bool tls_any;        /* accept any certificate */
    int64_t patience_ns; /* a daemon that takes longer has not answered; 0: wait */
    int interrupt_fd;    /* closed by Ctrl-C once cli_catch_interrupt was called; -1 before */
};

int cli_main(int argc, char **argv);

/* ---- cli/parse.c: arguments against a command's rows ---- */
/* Fills args (all but cli), which command_args_done frees. *ret_help: --help was given, or a sub command is needed and
 * there is none; args->command and name are set then. */
bool cli_parse(const struct command *c, const char *program, int argc, char **argv, struct command_args *args,
               bool *ret_help, struct err *err);
void command_args_done(struct command_args *args);

/* ---- cli/help.c ---- */
extern const char *const help_groups[]; /* the headings of `tug --help`, in order, NULL-terminated */
void help_all(const char *program);
/* `name`: as the user types it, with the program. */
void help_command(const struct command *c, const char *name);
/* " [OPTIONS] MODEL" behind a command's name; "" when it takes nothing. */
void help_usage(const struct command *c, char *dst, size_t size);

/* ---- cli/daemon_locate.c ---- */
#define CLI_DEFAULT_HOST "http://localhost:12434"
/* Finds out where the daemon is (MODEL_RUNNER_HOST, the current context, the home's socket, port 12434); no call yet.
 */
bool cli_locate(struct cli *cli, struct err *err);
bool cli_reachable(struct cli *cli);
/* Located, and started where `need` says so: done before a command's run(), unless it needs DAEMON_NONE. */
bool cli_ready(struct cli *cli, enum daemon_need need, struct err *err);

/* ---- cli/daemon_call.c: HTTP to the daemon ---- */
/* Opens a call; an answer of 400 and above becomes err with the daemon's own message. */
bool cli_open(struct cli *cli, const char *method, const char *path, const char *const *headers, const struct buf *body,
              struct http_call **ret_call, struct err *err);
/* The same for a call that needs more: an upload. */
bool cli_open_spec(struct cli *cli, const struct http_call_spec *spec, struct http_call **ret_call, struct err *err);
/* "Authorization: Bearer …" from TUG_API_KEY, or the external API's key; false: none is set. */
bool cli_api_key_header(const struct cli *cli, char *dst, size_t size);
/* From now on calls go to this OpenAI-compatible API (--openaiurl) instead of the daemon. */
bool cli_external(struct cli *cli, const char *url, struct err *err);
bool cli_json(struct cli *cli, const char *method, const char *path, const struct buf *body, json_t **ret_json,
              struct err *err);
/* A model's name as path: each character outside [A-Za-z0-9._:/@-] percent-encoded; false: too long. */
bool cli_path(char *dst, size_t size, const char *before, const char *name, const char *after);
/* Reads lines until the end; each(ctx, line) may stop with false and err. */
bool cli_each_line(struct http_call *call, bool (*each)(void *ctx, const char *line, struct err *err), void *ctx,
                   struct err *err);

/* ---- cli/endpoint.c ---- */
struct cli_endpoint {
    char host[640], containers[640]; /* "http://127.0.0.1:12434", "http://172.17.0.1:12434" */
    bool named;                      /* MODEL_RUNNER_HOST or a context said so: both are that */
};
/* Where no container can reach the daemon, `containers` is `host`; when Compose asks, that is ERR_UNREACHABLE. */
bool cli_endpoint(struct cli *cli, struct cli_endpoint *ret, struct err *err);

/* ---- cli/daemon_start.c ---- */
bool cli_start_daemon(struct cli *cli, struct err *err);
/* With more flags of `tug serve`, at most 16 words, NULL-terminated; one for this home, whoever else answers. */
bool cli_start_daemon_with(struct cli *cli, const char *const *flags, struct err *err);
/* The daemon of a home, by the pid in its lock file; 0: none runs. */
bool cli_daemon_pid(const char *home, int64_t *ret_pid, struct err *err);
/* Asks it to stop and waits until it has ended; *ret_pid is 0 when there was none. */
bool cli_stop_daemon(const char *home, int64_t *ret_pid, struct err *err);

/* ---- cli/interrupt.c: Ctrl-C, and the end of the docker command around us, as an event ---- */
/* The end of the Docker CLI ends us too (exit 130), from now on; nothing happens when none has started us. */
bool cli_watch_docker(struct err *err);
/* From now on SIGINT closes interrupt_fd's peer instead of ending us; calling it again rearms. Threads made before keep
 * it. */
bool cli_catch_interrupt(struct cli *cli, struct err *err);
bool cli_interrupted(struct cli *cli);

/* ---- cli/transfer.c: pull, push, load: a progress stream shown ---- */
/* Bars go to `out`. The final message of the daemon is left to the caller. */
bool cli_transfer(struct http_call *call, const char *verb_done, FILE *out, char *ret_message, size_t message_size,
                  struct err *err);
/* cli/push.c; the daemon's final message goes to `said`, the bars to stdout. */
bool cli_push(struct cli *cli, const char *model, FILE *said, struct err *err);
/* True: the model is here, after a pull if need be; `out` gets the words and bars of that. */
bool cli_have_model(struct cli *cli, const char *model, FILE *out, struct err *err);
bool cli_pull(struct cli *cli, const char *model, FILE *out, struct err *err);

/* ---- cli/complete.c ---- */
/* argv: the words behind the program's name, the last one as far as it is typed. Prints; the exit code. */
int cli_complete(struct cli *cli, bool descriptions, int argc, char **argv);

/* ---- cli/docs.c ---- */
int cli_docs(int argc, char **argv);
int cli_docs_man(const char *dir); /* cli/docs_man.c: a man page a command, into dir; the exit code */

/* ---- cli/plugin_protocol.c: `docker model` ---- */
bool plugin_called(const char *argv0);
/* Cuts docker's global flags and the word `model` off the front; the new argc, argv[0] kept. *ret_config: the value of
 * --config, NULL: none. */
int plugin_strip(int argc, char **argv, const char **ret_config);
/* Answers the calls that are the Docker CLI's own: metadata, hooks. False: it is a command. */
bool plugin_answer(int argc, char **argv);

int cli_print_json(const json_t *json); /* 4 spaces, as Docker's tools do; 0 */

#endif
