/* cli/package.c: `tug package`: make a model from files. The files are on this machine: they are read
 * here and streamed to the daemon as one tar, which it verifies and stores. Facts: dmr.md 4.6, 4.7. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "distribution/distribution.h"
#include "oci/reference.h"
#include "json/json_read.h"
#include "json/json_write.h"

#include <stdio.h>
#include <string.h>

struct package_upload {
    struct package *package;
    struct err err; /* why reading the files failed in mid-upload */
};

static ssize_t package_body(void *ctx, void *dst, size_t max)
{
    struct package_upload *u = ctx;
    return package_read(u->package, dst, max, &u->err);
}

static bool package_send(struct cli *cli, struct package *p, struct err *err)
{
    struct package_upload upload = {.package = p};
    char url[600], message[ERR_TEXT_MAX], key[512];
    const char *headers[6] = {"Accept: application/json", "Content-Type: application/x-tar"};
    if (cli_api_key_header(cli, key, sizeof key))
        headers[2] = key;
    text_format(url, sizeof url, "%s/models/load", cli->base_url);
    struct http_call_spec spec = {.method = "POST",
                                  .url = url,
                                  .unix_socket = cli->socket[0] != '\0' ? cli->socket : NULL,
                                  .headers = headers,
                                  .body_read = package_body,
                                  .body_ctx = &upload,
                                  .body_size = package_tar_bytes(p),
                                  .cancel_fd = cli->interrupt_fd};
    struct http_call *call = NULL;
    if (!cli_open_spec(cli, &spec, &call, err)) {
        if (upload.err.code != ERR_NONE)
            *err = upload.err;
        return false;
    }
    bool ok = cli_transfer(call, "Load complete", stdout, message, sizeof message, err);
    http_call_close(&call);
    if (ok)
        fprintf(stderr, "%s\n", message);
    return ok;
}

static bool package_name(struct cli *cli, const char *id, const struct reference *name, struct err *err)
{
    char after[1024], path[2048];
    _cleanup_(json_free) json_t *answer = NULL;
    text_format(after, sizeof after, "/tag?repo=%s/%s&tag=%s", name->registry, name->repository, name->tag);
    return cli_path(path, sizeof path, "/models/", id, after) && cli_json(cli, "POST", path, NULL, &answer, err);
}

static bool package_push(struct cli *cli, const struct reference *name, struct err *err)
{
    fprintf(stderr, "Pushing model to registry...\n");
    return cli_push(cli, name->text, stderr, err);
}

/* A model that is here, with another context size: the daemon shares its layers. */
static bool package_from(struct cli *cli, const char *from, const struct package_spec *spec,
                         const struct reference *name, struct err *err)
{
    char path[2048];
    _cleanup_(buf_done) struct buf body = BUF_INIT(4096);
    _cleanup_(json_free) json_t *answer = NULL;
    if (spec->mmproj != NULL || spec->chat_template != NULL || spec->licenses[0] != NULL || spec->cncf)
        return err_set(err, ERR_INVALID,
                       "with --from only --context-size can be changed; for other files package the GGUF file itself "
                       "with --gguf");
    struct json_out j = JSON_OUT(&body);
    json_open(&j, '{');
    json_kv_str(&j, "target", name->text);
    json_kv_int(&j, "context_size", spec->context_size);
    json_close(&j, '}');
    if (!cli_path(path, sizeof path, "/models/", from, "/repackage"))
        return err_set(err, ERR_INVALID, "the model's name is too long");
    fprintf(stderr, "Reading model from daemon: \"%s\"\n", from);
    if (spec->context_size > 0)
        fprintf(stderr, "Setting context size %lld\n", (long long)spec->context_size);
    fprintf(stderr, "Creating lightweight model variant...\n");
    if (!cli_json(cli, "POST", path, &body, &answer, err))
        return false;
    fprintf(stderr, "Model variant created successfully\n");
    return true;
}

/* One source, and one that Tug can run. */
static bool package_source(const struct command_args *args, struct err *err)
{
    static const char *const sources[] = {"gguf", "from", "safetensors-dir", "dduf"};
    int n = 0;
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        n += command_flag(args, sources[i])->set;
    if (n == 0)
        return err_set(err, ERR_INVALID,
                       "One of --gguf, --safetensors-dir, --dduf, or --from is required.\n\nSee '%s --help' for more "
                       "information",
                       args->name);
    if (n > 1)
        return err_set(err, ERR_INVALID,
                       "Cannot specify more than one of --gguf, --safetensors-dir, --dduf, or --from. Please use only "
                       "one source.\n\nSee '%s --help' for more information",
                       args->name);
    if (command_flag(args, "safetensors-dir")->set || command_flag(args, "dduf")->set)
        return err_set(err, ERR_UNSUPPORTED,
                       "Tug runs GGUF models only: convert it (llama.cpp's convert_hf_to_gguf.py), then use --gguf");
    return true;
}

static void package_announce(const struct package_spec *spec)
{
    fprintf(stderr, "Adding GGUF file from \"%s\"\n", spec->gguf);
    for (size_t i = 0; spec->licenses != NULL && spec->licenses[i] != NULL; i++)
        fprintf(stderr, "Adding license file from \"%s\"\n", spec->licenses[i]);
    if (spec->chat_template != NULL)
        fprintf(stderr, "Adding chat template file from \"%s\"\n", spec->chat_template);
    if (spec->mmproj != NULL)
        fprintf(stderr, "Adding multimodal projector file from \"%s\"\n", spec->mmproj);
    if (spec->context_size > 0)
        fprintf(stderr, "Setting context size %lld\n", (long long)spec->context_size);
}

static bool package_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    struct cli *cli = args->cli;
    struct reference name;
    struct package_spec spec = {
        .gguf = command_flag(args, "gguf")->s,
        .mmproj = command_flag(args, "mmproj")->s,
        .chat_template = command_flag(args, "chat-template")->s,
        .licenses = (const char *const *)command_flag(args, "license")->list,
        .context_size = command_flag(args, "context-size")->i,
        .cncf = command_flag(args, "format")->s != NULL && strcmp(command_flag(args, "format")->s, "cncf") == 0,
    };
    if (!package_source(args, err))
        return false;
    if (spec.cncf && spec.context_size > 0)
        return err_set(err, ERR_INVALID,
                       "--context-size is not supported with --format cncf: that format has no field for it");
    if (!reference_parse(args->argv[0], &name, err))
        return false;
    bool push = command_flag(args, "push")->b;
    if (command_flag(args, "from")->set)
        return package_from(cli, command_flag(args, "from")->s, &spec, &name, err) &&
               (!push || package_push(cli, &name, err));
    package_announce(&spec);
    struct package *package = NULL;
    if (!cli_catch_interrupt(cli, err) || !package_open(&spec, &package, err))
        return false;
    fprintf(stderr, "Loading model to Model Runner...\n");
    bool ok = package_send(cli, package, err) && package_name(cli, package_id(package), &name, err) &&
              (!push || package_push(cli, &name, err));
    package_close(&package);
    return ok;
}

static const struct flag package_flags[] = {
    {.name = "gguf",
     .kind = FLAG_STRING,
     .arg = "PATH",
     .help = "The GGUF file; of a sharded one the first, the others are found beside it"},
    {.name = "from",
     .kind = FLAG_STRING,
     .arg = "MODEL",
     .help = "A model that is here, to be given another context size; nothing is copied"},
    {.name = "safetensors-dir", .kind = FLAG_STRING, .arg = "DIR", .help = "Not part of Tug", .hidden = true},
    {.name = "dduf", .kind = FLAG_STRING, .arg = "PATH", .help = "Not part of Tug", .hidden = true},
    {.name = "license", .letter = 'l', .kind = FLAG_LIST, .arg = "PATH", .help = "A licence to go along, repeatable"},
    {.name = "chat-template",
     .kind = FLAG_STRING,
     .arg = "PATH",
     .help = "A Jinja template that replaces the model's own"},
    {.name = "mmproj", .kind = FLAG_STRING, .arg = "PATH", .help = "A multimodal projector (GGUF)"},
    {.name = "context-size",
     .kind = FLAG_INT,
     .arg = "N",
     .min = 1,
     .max = INT32_MAX,
     .help = "The context size to run it with, if not the model's own"},
    {.name = "format",
     .kind = FLAG_STRING,
     .arg = "NAME",
     .value = "docker",
     .choices = "docker|cncf",
     .help = "The artifact's form"},
    {.name = "push", .kind = FLAG_BOOL, .help = "Push it to its registry as well"},
    {0},
};

const struct command command_package = {
    .name = "package",
    .args = "MODEL",
    .min_args = 1,
    .max_args = 1,
    .summary = "Make a model from a GGUF file, or a variant of a model",
    .example = "tug package --gguf ./model.gguf --license ./LICENSE my/model:v1",
    .flags = package_flags,
    .route = "POST /models/load",
    .group = "Manage models",
    .daemon = DAEMON_START,
    .failure = "Failed to package model",
    .differs = "GGUF only: no --safetensors-dir, no --dduf; with --from only the context size can change. Paths may be "
               "relative. Equal files give an equal id.",
    .run = package_run,
};
