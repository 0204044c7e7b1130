/* cli/endpoint.c: the daemon's address, as programs of this machine and as containers write it.
 *
 * Who names a daemon (MODEL_RUNNER_HOST, a context) gets that address, whatever it is. Otherwise the daemon says where
 * it listens for containers; one that does not say (Docker Model Runner) is published on docker0's address. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "platform/interface.h"
#include "platform/process.h"
#include "json/json_read.h"

#include <string.h>

static const char no_bridge[] =
    "containers cannot reach the model runner: it listens on no Docker bridge of this machine. Is Docker's interface "
    "called other than docker0? Then start the daemon with --docker-bridge NAME. Rootless Docker, and services with "
    "network_mode host: set MODEL_RUNNER_HOST to an address that they reach";

static void endpoint_guess(const struct cli *cli, struct cli_endpoint *e)
{
    char address[ADDRESS_TEXT];
    struct http_url url;
    if (interface_address("docker0", address) && http_url_parse(cli->base_url, &url, NULL))
        text_format(e->containers, sizeof e->containers, "http://%s:%u", address, url.port);
}

/* The name that people write for loopback, in the place of a number and of "every address". */
static void endpoint_host(const char *said, char *dst, size_t size)
{
    static const char any[] = "http://0.0.0.0:";
    if (text_starts(said, any))
        text_format(dst, size, "http://127.0.0.1:%s", said + sizeof any - 1);
    else
        text_format(dst, size, "%s", said);
}

bool cli_endpoint(struct cli *cli, struct cli_endpoint *ret, struct err *err)
{
    struct cli_endpoint e = {.named = cli->named};
    _cleanup_(json_free) json_t *said = NULL;
    text_format(e.host, sizeof e.host, "%s", cli->base_url);
    if (cli->named) {
        text_format(e.containers, sizeof e.containers, "%s", cli->base_url);
        *ret = e;
        return true;
    }
    bool answers = cli_json(cli, "GET", "/version", NULL, &said, NULL);
    const char *host = json_string_value(json_object_get(said, "endpoint"));
    const char *containers = json_string_value(json_object_get(said, "containers"));
    if (host != NULL && text_starts(host, "http"))
        endpoint_host(host, e.host, sizeof e.host);
    if (containers != NULL)
        text_format(e.containers, sizeof e.containers, "%s", containers);
    else if (!answers || host == NULL)
        endpoint_guess(cli, &e);
    /* Compose puts what we say into containers, and an address that leads nowhere would be found out only there. */
    if (e.containers[0] == '\0' && process_env("COMPOSE_PROJECT_NAME") != NULL)
        return err_set(err, ERR_UNREACHABLE, "%s", no_bridge);
    if (e.containers[0] == '\0')
        text_format(e.containers, sizeof e.containers, "%s", e.host);
    *ret = e;
    return true;
}
