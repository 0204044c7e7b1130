/* cli/tag.c: `tug tag`: a second name for a model. The target is checked here, as `docker tag` does. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "oci/reference.h"
#include "json/json_read.h"

#include <stdio.h>

static bool tag_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    struct reference target;
    char after[1024], path[2048];
    _cleanup_(json_free) json_t *answer = NULL;
    if (!reference_parse(args->argv[1], &target, err))
        return false;
    if (target.tag[0] == '\0')
        return err_set(err, ERR_INVALID, "the target %s must have a tag, not a digest", args->argv[1]);
    text_format(after, sizeof after, "/tag?repo=%s/%s&tag=%s", target.registry, target.repository, target.tag);
    if (!cli_path(path, sizeof path, "/models/", args->argv[0], after))
        return err_set(err, ERR_INVALID, "the model's name is too long");
    if (!cli_json(args->cli, "POST", path, NULL, &answer, err))
        return false;
    printf("Model \"%s\" tagged successfully with \"%s\"\n", args->argv[0], target.text);
    return true;
}

const struct command command_tag = {
    .name = "tag",
    .args = "SOURCE TARGET",
    .min_args = 2,
    .max_args = 2,
    .summary = "Give a model a second name",
    .example = "tug tag ai/smollm2 localhost:5000/team/smollm2:v1",
    .route = "POST /models/{name...}/tag",
    .group = "Manage models",
    .daemon = DAEMON_START,
    .failure = "Failed to tag model",
    .run = tag_run,
};
