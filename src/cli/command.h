/* cli/command: what a command is. One file per command, one row here per fact; cli/table.c lists them.
 *
 * --help, completion, man pages and docs/cli.md are made from these rows; parsing checks arity,
 * names, types and ranges before run() is called, so a command sees only valid input.
 */
#ifndef TUG_CLI_COMMAND_H
#define TUG_CLI_COMMAND_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum flag_kind { FLAG_NONE, FLAG_BOOL, FLAG_STRING, FLAG_INT, FLAG_DURATION, FLAG_LIST /* repeatable */ };

struct flag {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    enum flag_kind kind;
    const char *arg;   /* name of the value in help: "PATH" */
    const char *value; /* default as text; NULL: none */
    int64_t min, max;  /* FLAG_INT */
    const char *help;
    const char *choices; /* "a|b|c": only these; NULL: any */
    bool hidden;
};

enum { FLAG_LIST_MAX = 64 };

struct flag_value {
    bool set;
    bool b;
    int64_t i; /* FLAG_INT; FLAG_DURATION in ns */
    const char *s;
    const char *list[FLAG_LIST_MAX + 1]; /* NULL-terminated */
};

struct cli; /* the process's context: the daemon's address, output streams; cli/cli.h */

struct command_args {
    struct cli *cli;
    const struct command *command;
    int argc; /* positional arguments */
    const char **argv;
    struct flag_value *values; /* parallel to command->flags */
};

/* What a command wants of the daemon before run() is called. */
enum daemon_need {
    DAEMON_NONE,    /* nothing: serve, help */
    DAEMON_RUNNING, /* answers or it is an error; never started for it: status, ps, unload, logs */
    DAEMON_START,   /* started quietly if none answers (not when MODEL_RUNNER_HOST names one) */
};

struct command {
    const char *name, *alias;
    const char *args;         /* "MODEL [PROMPT...]" for help */
    int min_args, max_args;   /* max -1: any number */
    const char *summary;      /* one line */
    const char *about;        /* paragraphs for --help and man; NULL: none */
    const char *example;      /* lines that a test runs; NULL: none */
    const struct flag *flags; /* ends with name NULL; NULL: none */
    const char *route;        /* "POST /models/create", for docs/MAP.md; NULL: no call */
    enum daemon_need daemon;
    const char *failure; /* what precedes an error: "Failed to pull model"; NULL: nothing */
    /* False: err is shown after `failure` and decides the exit code. *ret_exit is 0 before; may be set on true. */
    bool (*run)(struct command_args *args, int *ret_exit, struct err *err);
    const char *group; /* heading in `tug --help` */
    bool hidden;
};

extern const struct command *const command_table[]; /* NULL-terminated; cli/table.c */

const struct flag_value *command_flag(const struct command_args *args, const char *name); /* CHECKs that it exists */

#endif
