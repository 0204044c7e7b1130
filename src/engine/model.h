/* engine/model: the loaded model and its vocabulary. Wraps what of libllama is safe on any thread.
 *
 *   model_load(&spec, &m, err)       backends, weights; seconds
 *   model_tokenize / model_piece     any thread (const vocabulary)
 *
 * Owns llama_model. The llama_context belongs to the batch thread (batch.h) and is never seen here.
 * A file that libllama cannot take ends as an error, never as an abort: gguf/ has checked it first.
 */
#ifndef TUG_ENGINE_MODEL_H
#define TUG_ENGINE_MODEL_H

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>

struct engine_model;

struct model_spec {
    const char *path;  /* first shard */
    const char *alias; /* the name clients see; NULL: general.name or the file's name */
    int gpu_layers;    /* -1: all that fit */
    bool no_mmap, mlock;
};

struct model_info {
    const char *alias;
    const char *chat_template; /* the GGUF's own, NULL if none */
    int32_t n_vocab, n_embd, context_train;
    bool embedding; /* an encoder or pooled model: embeddings, no text */
    bool has_encoder, recurrent, swa;
    uint64_t weights_bytes, params;
    const char *bos, *eos; /* text of the tokens, "" if none */
    bool add_bos;
};

bool model_load(const struct model_spec *spec, struct engine_model **ret_m, struct err *err);
void model_free(struct engine_model **m);
const struct model_info *model_get_info(const struct engine_model *m);
struct llama_model *model_handle(struct engine_model *m);

/* malloc'd tokens. `special`: control tokens in the text are parsed (templates), else taken as text. */
bool model_tokenize(const struct engine_model *m, const char *text, size_t n, bool add_bos, bool special,
                    int32_t **ret_tokens, size_t *ret_n, struct err *err);
/* The bytes of one token, appended; may be half of a UTF-8 character. Control tokens give nothing unless special. */
bool model_piece(const struct engine_model *m, int32_t token, bool special, struct buf *out);
/* The tokens around which a model fills in the middle; false: it has none. */
struct model_fim {
    int32_t prefix, suffix, middle;
};
bool model_get_fim(const struct engine_model *m, struct model_fim *ret);
bool model_is_eog(const struct engine_model *m, int32_t token);

#endif
