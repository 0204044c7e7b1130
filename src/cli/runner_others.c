/* cli/runner_others.c: the runner without systemd: a daemon of our own in the background, or docker's container. */
#include "cli/runner.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "platform/process.h"

#include <string.h>

#define CONTAINER "tug-model-runner"
#define FILTER    ("name=^/" CONTAINER "$")
#define VOLUME    ("tug-model-runner-models:/var/lib/tug")

/* ---- a daemon of our own, for this home --------------------------------------------------------- */

static bool background_running(struct runner *r, bool *ret_running, struct err *err)
{
    int64_t pid = 0;
    if (!cli_daemon_pid(r->cli->home, &pid, err))
        return false;
    *ret_running = pid != 0;
    text_format(r->name, sizeof r->name, "process %lld", (long long)pid);
    return true;
}

static bool background_start(struct runner *r, const struct runner_options *o, struct err *err)
{
    const char *flags[8] = {NULL};
    size_t n = 0;
    if (o->given) {
        flags[n++] = "--listen";
        flags[n++] = o->address;
    }
    if (o->debug) {
        flags[n++] = "--log-level";
        flags[n++] = "debug";
    }
    if (o->insecure)
        flags[n++] = "--insecure";
    return cli_start_daemon_with(r->cli, flags, err);
}

static bool background_stop(struct runner *r, struct err *err)
{
    int64_t pid = 0;
    return cli_stop_daemon(r->cli->home, &pid, err);
}

static bool background_forget(struct runner *r, const char *image, struct err *err)
{
    (void)r, (void)image, (void)err;
    return true;
}

const struct runner_kind runner_background = {background_running, background_start, background_stop, background_forget};

/* ---- docker's container -------------------------------------------------------------------------- */

/* Its short id in `out`; empty: there is none. */
static bool container_find(const char *filter, struct buf *out, struct err *err)
{
    const char *argv[] = {"docker", "ps", "--all", "--filter", FILTER, "--filter", filter, "--format", "{{.ID}}", NULL};
    return runner_command(argv, out, err);
}

static bool container_running(struct runner *r, bool *ret_running, struct err *err)
{
    _cleanup_(buf_done) struct buf id = BUF_INIT(4096);
    if (!container_find("status=running", &id, err))
        return false;
    *ret_running = id.len > 0;
    text_format(r->name, sizeof r->name, "container %s (%.12s)", CONTAINER, buf_str(&id));
    return true;
}

static bool container_stop(struct runner *r, struct err *err)
{
    (void)r;
    _cleanup_(buf_done) struct buf id = BUF_INIT(4096);
    const char *argv[] = {"docker", "rm", "--force", CONTAINER, NULL};
    return container_find("label=tug.runner", &id, err) && (id.len == 0 || runner_command(argv, NULL, err));
}

/* What is published decides who reaches it, so the daemon inside may listen without a key; a key goes in by its name
 * alone, so that no process list shows it. */
static bool container_start(struct runner *r, const struct runner_options *o, struct err *err)
{
    char publish[400];
    text_format(publish, sizeof publish, "%s:12434", o->address);
    const char *key = process_env("TUG_API_KEY") != NULL ? "TUG_API_KEY" : "TUG_INSECURE=1";
    const char *level = o->debug ? "TUG_LOG_LEVEL=debug" : "TUG_LOG_LEVEL=info";
    const char *argv[] = {"docker",     "run",         "--detach",       "--name",
                          CONTAINER,    "--label",     "tug.runner",     "--restart",
                          "always",     "--publish",   publish,          "--volume",
                          VOLUME,       "--read-only", "--tmpfs",        "/tmp",
                          "--cap-drop", "ALL",         "--security-opt", "no-new-privileges:true",
                          "--env",      level,         "--env",          key,
                          o->image,     NULL};
    return container_stop(r, err) && runner_command(argv, NULL, err);
}

static bool container_forget(struct runner *r, const char *image, struct err *err)
{
    (void)r;
    const char *argv[] = {"docker", "rmi", image, NULL};
    return image == NULL || runner_command(argv, NULL, err);
}

const struct runner_kind runner_container = {container_running, container_start, container_stop, container_forget};
