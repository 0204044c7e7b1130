/* engine/model.c: the one place that loads backends and weights. libllama reports why a load failed
 * only in its log, so the last error line of the log becomes the reason in our error. */
#include "engine/model.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/model_private.h"
#include "engine/vocab.h"

#include <dlfcn.h>
#include <ggml-backend.h>
#include <libgen.h>
#include <llama.h>
#include <pthread.h>
#include <string.h>

/* All tokens' texts together; a vocabulary of 256,000 has two megabytes. */
#define VOCAB_BYTES_MAX ((size_t)1 << 30)

struct engine_model {
    struct llama_model *llama;
    const struct llama_vocab *vocab;
    struct model_info info;
    char *alias, *bos, *eos;
    int32_t *end_tokens;
    size_t n_end_tokens;
    struct vocab *pieces;          /* made when first asked for, under the lock */
    pthread_mutex_t lock;          /* of `pieces` and `reason`: any thread that calls libllama may log */
    char reason[MODEL_REASON_MAX]; /* libllama's last error line */
};

/* libllama's lines, without their newline, at our debug level; who reports a failure has the reason from `reason`. */
static void model_log(enum ggml_log_level level, const char *text, void *user)
{
    struct engine_model *m = user;
    char line[MODEL_REASON_MAX];
    text_format(line, sizeof line, "%s", text);
    size_t n = strlen(line);
    while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == ' '))
        line[--n] = '\0';
    if (n == 0 || level == GGML_LOG_LEVEL_CONT)
        return;
    if (level == GGML_LOG_LEVEL_ERROR && m != NULL) {
        pthread_mutex_lock(&m->lock);
        text_format(m->reason, sizeof m->reason, "%s", line);
        pthread_mutex_unlock(&m->lock);
    }
    log_debug("llama.cpp", "text=\"%s\"", line); /* its errors too: an aborted step is one, and no fault */
}

/* Prebuilt libllama has its backends beside it; a static one has registered its own. */
static bool model_load_backends(struct err *err)
{
    if (ggml_backend_reg_count() == 0) {
        Dl_info at;
        if (dladdr((void *)(intptr_t)llama_backend_init, &at) == 0)
            return err_set(err, ERR_ENGINE, "cannot tell where libllama lies, so no backend can be loaded");
        _cleanup_free_ char *path = check_alloc(strdup(at.dli_fname));
        ggml_backend_load_all_from_path(dirname(path));
        if (ggml_backend_reg_count() == 0)
            return err_set(err, ERR_ENGINE, "no libggml-*.so of this processor beside %s: install tug-engine again",
                           at.dli_fname);
    }
    llama_backend_init();
    return true;
}

static struct llama_model_params model_params(const struct model_spec *spec)
{
    struct llama_model_params p = llama_model_default_params();
    p.n_gpu_layers = spec->gpu_layers;
    if (spec->no_mmap)
        p.load_mode = spec->mlock ? LLAMA_LOAD_MODE_MLOCK : LLAMA_LOAD_MODE_NONE;
    else if (spec->mlock)
        p.load_mode = LLAMA_LOAD_MODE_MMAP_MLOCK;
    return p;
}

static char *model_token_text(const struct engine_model *m, llama_token token)
{
    const char *text = token == LLAMA_TOKEN_NULL ? NULL : llama_vocab_get_text(m->vocab, token);
    return check_alloc(strdup(text == NULL ? "" : text));
}

static bool model_meta(const struct engine_model *m, const char *key, char *dst, size_t size)
{
    return llama_model_meta_val_str(m->llama, key, dst, size) >= 0 && dst[0] != '\0';
}

static char *model_name(const struct engine_model *m, const struct model_spec *spec)
{
    char name[256];
    if (spec->alias != NULL)
        return check_alloc(strdup(spec->alias));
    if (model_meta(m, "general.name", name, sizeof name))
        return check_alloc(strdup(name));
    const char *slash = strrchr(spec->path, '/');
    return check_alloc(strdup(slash == NULL ? spec->path : slash + 1));
}

/* An encoder attends in both directions or says how it is pooled; a rank model gives scores, not vectors. */
static bool model_is_embedding(const struct engine_model *m)
{
    char architecture[64], key[128], value[32];
    if (!model_meta(m, "general.architecture", architecture, sizeof architecture))
        return false;
    text_format(key, sizeof key, "%s.attention.causal", architecture);
    if (model_meta(m, key, value, sizeof value) && strcmp(value, "false") == 0)
        return true;
    text_format(key, sizeof key, "%s.pooling_type", architecture);
    return model_meta(m, key, value, sizeof value) && strcmp(value, "0") != 0;
}

static void model_fill_info(struct engine_model *m, const struct model_spec *spec)
{
    m->alias = model_name(m, spec);
    m->bos = model_token_text(m, llama_vocab_bos(m->vocab));
    m->eos = model_token_text(m, llama_vocab_eos(m->vocab));
    m->info = (struct model_info){
        .alias = m->alias,
        .bos = m->bos,
        .eos = m->eos,
        .chat_template = llama_model_chat_template(m->llama, NULL),
        .n_vocab = llama_vocab_n_tokens(m->vocab),
        .n_embd = llama_model_n_embd_out(m->llama),
        .context_train = llama_model_n_ctx_train(m->llama),
        .embedding = model_is_embedding(m),
        .has_encoder = llama_model_has_encoder(m->llama),
        .recurrent = llama_model_is_recurrent(m->llama) || llama_model_is_hybrid(m->llama),
        .swa = llama_model_n_swa(m->llama) > 0,
        .weights_bytes = llama_model_size(m->llama),
        .params = llama_model_n_params(m->llama),
        .add_bos = llama_vocab_get_add_bos(m->vocab),
    };
    m->end_tokens = check_alloc(calloc((size_t)m->info.n_vocab + 1, sizeof *m->end_tokens));
    for (int32_t t = 0; t < m->info.n_vocab; t++)
        if (llama_vocab_is_eog(m->vocab, t))
            m->end_tokens[m->n_end_tokens++] = t;
}

bool model_load(const struct model_spec *spec, struct engine_model **ret_m, struct err *err)
{
    _cleanup_(model_free) struct engine_model *m = check_alloc(calloc(1, sizeof *m));
    pthread_mutex_init(&m->lock, NULL);
    setenv("GGML_NO_BACKTRACE", "1", 0); /* else a failed assert starts gdb */
    llama_log_set(model_log, m);
    ggml_log_set(model_log, m);
    if (!model_load_backends(err))
        return err_while(err, "loading %s", spec->path);
    m->llama = llama_model_load_from_file(spec->path, model_params(spec));
    if (m->llama == NULL) {
        char reason[MODEL_REASON_MAX];
        model_reason(m, reason);
        return err_set(err, ERR_ENGINE, "llama.cpp cannot load %s: %s", spec->path, reason);
    }
    m->vocab = llama_model_get_vocab(m->llama);
    if (llama_vocab_n_tokens(m->vocab) <= 0)
        return err_set(err, ERR_UNSUPPORTED, "%s has no vocabulary: it is not a language model", spec->path);
    model_fill_info(m, spec);
    if (m->info.has_encoder && llama_model_has_decoder(m->llama) && !m->info.embedding)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s is an encoder-decoder model (as T5): the engine serves decoders and embedding models",
                       spec->path);
    *ret_m = TAKE(m);
    return true;
}

void model_free(struct engine_model **m)
{
    if (*m == NULL)
        return;
    llama_log_set(model_log, NULL);
    ggml_log_set(model_log, NULL);
    if ((*m)->llama != NULL)
        llama_model_free((*m)->llama);
    free((*m)->alias);
    free((*m)->bos);
    free((*m)->eos);
    free((*m)->end_tokens);
    vocab_free(&(*m)->pieces);
    pthread_mutex_destroy(&(*m)->lock);
    free(*m);
    *m = NULL;
}

const struct model_info *model_get_info(const struct engine_model *m) { return &m->info; }
struct llama_model *model_handle(struct engine_model *m) { return m->llama; }

void model_reason(struct engine_model *m, char ret_reason[MODEL_REASON_MAX])
{
    pthread_mutex_lock(&m->lock);
    text_format(ret_reason, MODEL_REASON_MAX, "%s", m->reason[0] != '\0' ? m->reason : "it gives no reason");
    pthread_mutex_unlock(&m->lock);
}

const int32_t *model_end_tokens(const struct engine_model *m, size_t *ret_n)
{
    *ret_n = m->n_end_tokens;
    return m->end_tokens;
}

bool model_tokenize(const struct engine_model *m, const char *text, size_t n, bool add_bos, bool special,
                    int32_t **ret_tokens, size_t *ret_n, struct err *err)
{
    if (n > LIMIT_REQUEST_BODY_BYTES)
        return err_set(err, ERR_TOO_LARGE, "a text of %zu bytes is above the limit of %d", n, LIMIT_REQUEST_BODY_BYTES);
    int32_t cap = (int32_t)(n / 2 + 16);
    for (;;) {
        _cleanup_free_ int32_t *tokens = check_alloc(calloc((size_t)cap, sizeof *tokens));
        int32_t got = llama_tokenize(m->vocab, text, (int32_t)n, tokens, cap, add_bos, special);
        if (got >= 0) {
            *ret_tokens = TAKE(tokens);
            *ret_n = (size_t)got;
            return true;
        }
        if (got == INT32_MIN || -got <= cap)
            return err_set(err, ERR_TOO_LARGE, "a text of %zu bytes has too many tokens", n);
        cap = -got;
    }
}

bool model_piece(const struct engine_model *m, int32_t token, bool special, struct buf *out)
{
    if (token < 0 || token >= m->info.n_vocab)
        return true;
    int32_t room = 64;
    for (;;) {
        char *at = buf_reserve(out, (size_t)room);
        if (at == NULL)
            return false;
        int32_t n = llama_token_to_piece(m->vocab, token, at, room, 0, special);
        if (n >= 0) {
            out->len += (size_t)n;
            out->data[out->len] = '\0';
            return true;
        }
        room = -n;
    }
}

static struct vocab *model_make_vocab(const struct engine_model *m)
{
    size_t n = (size_t)m->info.n_vocab;
    _cleanup_(buf_done) struct buf text = BUF_INIT(VOCAB_BYTES_MAX);
    _cleanup_free_ size_t *ends = check_alloc(calloc(n + 1, sizeof *ends));
    _cleanup_free_ const char **pieces = check_alloc(calloc(n, sizeof(char *)));
    _cleanup_free_ size_t *lengths = check_alloc(calloc(n, sizeof *lengths));
    _cleanup_free_ uint8_t *flags = check_alloc(calloc(n, 1));
    for (size_t i = 0; i < n; i++) {
        enum llama_token_attr attr = llama_vocab_get_attr(m->vocab, (llama_token)i);
        flags[i] = (attr & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) != 0 ? VOCAB_CONTROL : 0;
        flags[i] |= llama_vocab_is_eog(m->vocab, (llama_token)i) ? VOCAB_END : 0;
        (void)model_piece(m, (int32_t)i, true, &text);
        ends[i + 1] = text.len;
    }
    for (size_t i = 0; i < n; i++) {
        pieces[i] = buf_str(&text) + ends[i];
        lengths[i] = ends[i + 1] - ends[i];
    }
    return vocab_new(pieces, lengths, flags, m->info.n_vocab);
}

const struct vocab *model_vocab(struct engine_model *m)
{
    pthread_mutex_lock(&m->lock);
    if (m->pieces == NULL)
        m->pieces = model_make_vocab(m);
    pthread_mutex_unlock(&m->lock);
    return m->pieces;
}

bool model_get_fim(const struct engine_model *m, struct model_fim *ret)
{
    struct model_fim fim = {llama_vocab_fim_pre(m->vocab), llama_vocab_fim_suf(m->vocab),
                            llama_vocab_fim_mid(m->vocab)};
    if (fim.prefix == LLAMA_TOKEN_NULL || fim.suffix == LLAMA_TOKEN_NULL || fim.middle == LLAMA_TOKEN_NULL)
        return false;
    *ret = fim;
    return true;
}

bool model_is_eog(const struct engine_model *m, int32_t token) { return llama_vocab_is_eog(m->vocab, token); }
