/* cli/gateway.c: `tug gateway`: not part of Tug; who calls it learns what does its work. */
#include "cli/cli.h"

static bool gateway_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    return err_set(err, ERR_UNSUPPORTED,
                   "a gateway to other providers is not part of Tug: run one beside it (LiteLLM, for example) with "
                   "http://localhost:12434/engines/v1 as one of its OpenAI-compatible providers; '%s serve' is the API "
                   "of the models here",
                   args->cli->program);
}

static const struct flag gateway_flags[] = {
    {.name = "config", .letter = 'c', .kind = FLAG_STRING, .arg = "FILE", .help = "Not used"},
    {.name = "host", .kind = FLAG_STRING, .arg = "HOST", .help = "Not used"},
    {.name = "port", .letter = 'p', .kind = FLAG_STRING, .arg = "N", .help = "Not used"},
    {.name = "verbose", .letter = 'v', .kind = FLAG_BOOL, .help = "Not used"},
    {0},
};

const struct command command_gateway = {
    .name = "gateway",
    .args = "",
    .min_args = 0,
    .max_args = 0,
    .summary = "Not part of Tug: says what to use instead",
    .flags = gateway_flags,
    .group = "Use models",
    .daemon = DAEMON_NONE,
    .hidden = true,
    .differs =
        "Not part of Tug, which runs models here and knows no other providers (nor their keys and prices). A gateway "
        "takes Tug's API as one of its providers.",
    .run = gateway_run,
};
