/* engine/loader.c: see loader.h. */
#include "engine/loader.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "gguf/gguf.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "json/json_read.h"

#include <stdlib.h>
#include <string.h>

enum { TEMPLATE_MAX_BYTES = 4 * 1024 * 1024 };

/* libllama aborts on some broken files; our reader says what is wrong with them. */
static bool check_files(const char *path, struct err *err)
{
    _cleanup_(arena_done) struct arena a = ARENA_INIT;
    const char **paths = NULL;
    size_t n = 0;
    if (!gguf_shards(path, &a, &paths, &n, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct gguf *g = NULL;
        if (!gguf_open(paths[i], &g, err))
            return false;
        gguf_close(&g);
    }
    return true;
}

static bool load_templates(const struct engine_options *o, struct loaded *l, struct err *err)
{
    _cleanup_(buf_done) struct buf text = BUF_INIT(TEMPLATE_MAX_BYTES);
    char why[ERR_TEXT_MAX / 2] = "";
    const char *file = o->chat_template_file;
    if (file != NULL && !file_read_all(file, TEMPLATE_MAX_BYTES, &text, err))
        return err_while(err, "reading the chat template");
    if (file != NULL && text.len == 0)
        return err_set(err, ERR_ENGINE, "the chat template %s is empty", file);
    if (!chat_templates_new(model_handle(l->model), file == NULL ? NULL : buf_str(&text), &l->templates, why,
                            sizeof why))
        return err_set(err, ERR_ENGINE, "the chat template %s%s does not compile: %s", file == NULL ? "inside " : "",
                       file == NULL ? o->model : file, why);
    if (chat_templates_is_default(l->templates))
        log_info("the model has no chat template: ChatML is used", "model=%s", model_get_info(l->model)->alias);
    return true;
}

static bool load_kwargs(const struct engine_options *o, struct loaded *l, struct err *err)
{
    const char *given = o->template_kwargs;
    _cleanup_(json_free) json_t *all = NULL;
    if (given == NULL && o->thinking < 0)
        return true;
    if (given == NULL)
        all = json_object();
    else if (!json_parse(given, strlen(given), &all, err))
        return err_while(err, "reading --chat-template-kwargs");
    if (!json_is_object(all))
        return err_set(err, ERR_INVALID, "--chat-template-kwargs must be a JSON object, not %s", json_kind(all));
    if (o->thinking >= 0 && json_object_get(all, "enable_thinking") == NULL)
        json_object_set_new(all, "enable_thinking", json_boolean(o->thinking > 0));
    l->template_kwargs = check_alloc(json_dumps(all, JSON_COMPACT));
    return true;
}

static bool load_all(const struct engine_options *o, struct loaded *l, struct err *err)
{
    const struct model_spec spec = {.path = o->model,
                                    .alias = o->alias,
                                    .gpu_layers = (int)o->gpu_layers,
                                    .no_mmap = o->no_mmap,
                                    .mlock = o->mlock};
    const struct batch_options batch = {
        .context = (int32_t)o->ctx_size,
        .parallel = (int32_t)o->parallel,
        .threads = (int32_t)o->threads,
        .kv_type = o->kv_type,
        .cache_prefixes = !o->no_prefix_cache,
    };
    if (!check_files(o->model, err) || !model_load(&spec, &l->model, err))
        return false;
    if (!load_kwargs(o, l, err) || (!model_get_info(l->model)->embedding && !load_templates(o, l, err)))
        return false;
    return batch_start(l->model, &batch, &l->batch, err);
}

bool loader_run(const struct engine_options *o, struct loaded *ret_loaded, struct err *err)
{
    struct loaded l = {0};
    int64_t start = clock_now_ns();
    if (o->mmproj != NULL)
        log_warn("images are not supported yet: the projector is not used", "mmproj=%s", o->mmproj);
    if (!load_all(o, &l, err)) {
        loaded_free(&l);
        return false;
    }
    l.load_ns = clock_now_ns() - start;
    *ret_loaded = l;
    return true;
}

void loaded_free(struct loaded *l)
{
    if (l->batch != NULL)
        batch_stop(&l->batch, clock_now_ns());
    chat_templates_free(&l->templates);
    model_free(&l->model);
    free(l->template_kwargs);
    l->template_kwargs = NULL;
}
