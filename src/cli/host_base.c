/* cli/host_base.c: the daemon's address for programs that only speak TCP. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "platform/file.h"

#include <string.h>

/* The daemon of this home says where it listens: run/address, words of http://HOST:PORT and unix:PATH. */
static bool host_base_own(const struct cli *cli, char *dst, size_t size)
{
    char path[4096];
    _cleanup_(buf_done) struct buf text = BUF_INIT(4096);
    if (!text_format(path, sizeof path, "%s/run/address", cli->home) || !file_read_all(path, 4096, &text, NULL))
        return false;
    const char *at = strstr(buf_str(&text), "http://");
    return at != NULL && text_format(dst, size, "%.*s", (int)strcspn(at, " \n"), at);
}

bool cli_host_base(const struct cli *cli, char *dst, size_t size, struct err *err)
{
    if (!cli->named && cli->socket[0] != '\0')
        return host_base_own(cli, dst, size) ||
               err_set(err, ERR_NOT_FOUND,
                       "the daemon listens on the socket %s only, and other programs need a port: start it with 'tug "
                       "serve --port N'",
                       cli->socket);
    if (cli->socket[0] != '\0')
        return err_set(err, ERR_INVALID,
                       "MODEL_RUNNER_HOST names the socket %s, and other programs need http://HOST:PORT", cli->socket);
    return text_format(dst, size, "%s", cli->base_url) || err_set(err, ERR_INVALID, "the daemon's address is too long");
}
