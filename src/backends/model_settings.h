/* backends/model_settings: a model's own settings: what `configure`, Compose and /engines/_configure set, as they are
 * kept in the store (store_settings_read) and as an engine is started with them.
 *
 *   model_settings_merge(old, request, a, &merged, err)       what the request names changes, the rest stays
 *   model_settings_read(merged, a, &settings, err)            checked: context, engine arguments, warnings
 *   model_settings_load(store, id, a, &settings)              of the disk; a damaged file is logged and counts as none
 *
 * The form is Docker Model Runner's own (dmr.md 2.6): `mode`, `context-size`, `runtime-flags`, `keep_alive`,
 * `speculative`, `vllm`, `llamacpp`; on disk {"version":1,"settings":{…}}. A member that is absent in a request stays
 * as it is; null takes it back, and so does -1 or 0 as context size. Any thread.
 */
#ifndef TUG_BACKENDS_MODEL_SETTINGS_H
#define TUG_BACKENDS_MODEL_SETTINGS_H

#include "backends/backends.h"
#include "backends/flags.h"

#include <jansson.h>

struct model_settings {
    const json_t *json; /* the members as above; NULL: nothing is set. Owned by the caller of model_settings_read */
    int64_t context;    /* tokens; -1: all that the model was trained for; 0: not set */
    bool keep_alive_set;
    int64_t keep_alive_ns; /* negative: for ever */
    const char *mode;      /* "completion" unless set, or said by --embeddings, --reranking */
    enum backend_mode load_as;
    struct runtime_flags flags; /* what the engine gets: the runtime flags, the reasoning budget */
    const char *draft_model;    /* NULL: none */
};

/* The members of `request` over `old` (NULL: none). A wrong one: ERR_INVALID that names it. */
bool model_settings_merge(const json_t *old, const json_t *request, struct arena *a, json_t **ret_merged,
                          struct err *err);
/* `json` may be NULL; it is borrowed. */
bool model_settings_read(const json_t *json, struct arena *a, struct model_settings *ret, struct err *err);
/* Whether an engine that runs with the one can go on with the other: only how long it stays differs. */
bool model_settings_same_engine(const struct model_settings *x, const struct model_settings *y);

/* The text of the store, "" without settings. ERR_INVALID: damaged; ERR_UNSUPPORTED: of a later version. */
bool model_settings_parse(const char *text, json_t **ret_json, struct err *err);
bool model_settings_write(const json_t *json, struct buf *out, struct err *err);
/* False: there are none. *ret_json is to be freed with json_free, and outlives what is read. */
bool model_settings_load(struct store *s, const char *id, struct arena *a, json_t **ret_json,
                         struct model_settings *ret);

#endif
