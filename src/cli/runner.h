/* cli/runner: install-, start-, stop-, restart-, reinstall- and uninstall-runner: this machine's daemon, kept by whom.
 *
 *   kind           where                                  told by
 *   system, user   tug.socket and tug.service of systemd  the units are installed and that manager runs
 *   background     a daemon of our own for this home      otherwise
 *   container      docker's, from an image of Tug         --container
 *
 * A keeper does one thing at a time and says nothing; runner.c has the commands, their flags and their words.
 */
#ifndef TUG_CLI_RUNNER_H
#define TUG_CLI_RUNNER_H

#include "cli/cli.h"

struct runner_options {
    char address[320]; /* "127.0.0.1:12434" */
    bool given;        /* the user named one of the options below or the address */
    bool debug, insecure;
    bool enable;       /* start it with the machine from now on */
    const char *image; /* of a container */
};

struct runner {
    struct cli *cli;
    char name[128]; /* as the user knows it: "tug.service", "container tug-model-runner", "process 123" */
    const struct runner_kind *kind;
    bool as_user; /* systemd's manager of the user */
};

struct runner_kind {
    bool (*running)(struct runner *r, bool *ret_running, struct err *err); /* completes r->name */
    bool (*start)(struct runner *r, const struct runner_options *o, struct err *err);
    bool (*stop)(struct runner *r, struct err *err); /* not running is fine */
    bool (*forget)(struct runner *r, const char *image,
                   struct err *err); /* stopped: what start has left; image: remove it too, NULL: keep */
};

extern const struct runner_kind runner_systemd, runner_background, runner_container;

/* Whether a manager of systemd runs that has our units; *ret_user: it is the user's. */
bool runner_systemd_here(bool *ret_user);

/* Runs a program; what it printed, stderr included, is the reason when it fails. NULL out: dropped. */
bool runner_command(const char *const *argv, struct buf *out, struct err *err);

#endif
