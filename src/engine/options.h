/* engine/options: tug-engine's command line, a row for each option (options.c); --help is made from the rows.
 *
 *   if (!options_parse(argc, argv, &o, err)) ...      ERR_INVALID names the option
 *
 * Texts point into argv.
 */
#ifndef TUG_ENGINE_OPTIONS_H
#define TUG_ENGINE_OPTIONS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"

#include "engine/batch.h"

#include <stdbool.h>
#include <stdint.h>

struct engine_options {
    const char *model, *alias, *mmproj, *chat_template_file;
    const char *listen, *api_key_file;
    int64_t ready_fd; /* -1: none */
    int64_t ctx_size, parallel, threads, gpu_layers;
    int kv_type; /* ggml type, -1: default */
    enum log_level log_level;
    bool no_prefix_cache, no_mmap, mlock, insecure, help, version;
    struct gen_params defaults;  /* of requests that do not say */
    const char *template_kwargs; /* an object as JSON text: variables of the chat template, likewise; NULL: none */
    int64_t thinking;            /* the template's enable_thinking, likewise: 0, 1; -1: not said */
};

bool options_parse(int argc, char **argv, struct engine_options *ret_options, struct err *err);
void options_help(struct buf *out);

#endif
