/* cli/command: what a command is. One file per command, one row here per fact; cli/table.c lists them.
 *
 * --help, completion, man pages, docs/cli.md and docs/commands.md are made from these rows; parsing checks
 * arity, names, types and ranges before run() is called, so a command sees only valid input.
 * The words of `args` and `arg` say what completion offers: MODEL and SOURCE a model, CONTEXT a context,
 * PATH and FILE a file, DIR a folder.
 */
#ifndef TUG_CLI_COMMAND_H
#define TUG_CLI_COMMAND_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum flag_kind { FLAG_NONE, FLAG_BOOL, FLAG_STRING, FLAG_INT, FLAG_DURATION, FLAG_FLOAT, FLAG_LIST /* repeatable */ };

struct flag {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    enum flag_kind kind;
    const char *arg;   /* name of the value in help: "PATH" */
    const char *value; /* default as text; NULL: none */
    int64_t min, max;  /* FLAG_INT, FLAG_FLOAT; equal: any */
    const char *help;
    const char *choices; /* "a|b|c": only these; NULL: any */
    bool hidden;
    bool persistent; /* of a command with sub commands: also taken after their names */
};

enum { FLAG_LIST_MAX = 64 };

struct flag_value {
    bool set;
    bool b;
    int64_t i; /* FLAG_INT; FLAG_DURATION in ns */
    double f;  /* FLAG_FLOAT */
    const char *s;
    const char *list[FLAG_LIST_MAX + 1]; /* NULL-terminated */
};

struct cli; /* the process's context: the daemon's address, output streams; cli/cli.h */

enum { COMMAND_NAME_MAX = 96 };

struct command_args {
    struct cli *cli;
    const struct command *command;
    const struct command *parent; /* whose sub command it is; NULL: nobody's */
    char name[COMMAND_NAME_MAX];  /* as the user types it: "docker model context create" */
    int argc;                     /* positional arguments */
    const char **argv;
    int n_rest; /* the words after `--`, of a command with `rest` */
    const char **rest;
    bool dashed;               /* a `--` was there, even with no word after it */
    struct flag_value *values; /* parallel to command->flags; the parent's follow */
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
    const char *group; /* heading in `tug --help`; of a sub command NULL */
    bool hidden;
    const struct command *const *sub; /* NULL-terminated, one level. A first word that names one runs it; any other word
                                         is an argument of ours, or an error when run is NULL */
    bool rest;           /* words after `--` are uncounted and in args->rest; else they are arguments like others */
    const char *choices; /* of the first argument: "bash|zsh|fish"; only these are taken */
    const char *offers;  /* the same for completion only: other words are taken too */
    const char *differs; /* from Docker Model Runner's command of this name, and why: docs/commands.md; NULL: nothing */
    bool own;            /* Docker Model Runner has no such command */
};

extern const struct command *const command_table[]; /* NULL-terminated; cli/table.c */

/* The flag's value, of the command or of its parent; CHECKs that there is such a row. */
const struct flag_value *command_flag(const struct command_args *args, const char *name);
/* By name or alias in a NULL-terminated table; NULL: none. */
const struct command *command_find_in(const struct command *const *table, const char *name);
const struct command *command_find(const char *name); /* in command_table */
/* The nearest name to a mistyped one, NULL if none is near. */
const char *command_suggest(const struct command *const *table, const char *name);
size_t command_flag_count(const struct command *c);

#endif
