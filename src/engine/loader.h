/* engine/loader: from the options to a model that can answer; seconds of work, done on a thread of its own.
 *
 *   loader_run(&options, &loaded, err)     checks the files, weights, template, batch loop
 *   loaded_free(&loaded)                   no request may be running
 *
 * Errors are sentences for the daemon's log and its waiting clients: they name the file and the reason.
 */
#ifndef TUG_ENGINE_LOADER_H
#define TUG_ENGINE_LOADER_H

#include "engine/front.h"
#include "engine/options.h"

struct loaded {
    struct engine_model *model;
    struct chat_templates *templates; /* NULL: an embedding model */
    struct batch *batch;
    char *template_kwargs; /* --chat-template-kwargs and --thinking as one object; NULL: none */
    int64_t load_ns;
};

bool loader_run(const struct engine_options *options, struct loaded *ret_loaded, struct err *err);
void loaded_free(struct loaded *l);

#endif
