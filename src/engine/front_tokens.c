/* engine/front_tokens.c: a client's text as tokens, without minutes of work for a text that cannot fit.
 *
 * A body may have 32 MB, which takes a gigabyte and most of a minute to tokenize and seconds to render: enough to
 * disturb everybody, for an answer that is known after the first part. So of a text with far more bytes than the
 * context has room for (16 to a token; 3 to 5 are usual), only the beginning is tokenized first. */
#include "engine/front.h"

#include "base/cleanup.h"

#include <string.h>

enum {
    BYTES_A_TOKEN = 16,
    CUT_TOKENS = 64, /* more than a cut in the middle of a word can add */
    TIMES_TEXT = 2,  /* looked at first when it is so many times larger than all that fits */
    TIMES_JSON = 8,  /* messages: escapes are longer than what they stand for, templates leave old thoughts out */
};

static bool beginning_fits(const struct front *front, const char *text, size_t n, size_t times, struct err *err)
{
    _cleanup_free_ int32_t *tokens = NULL;
    size_t count = 0;
    struct batch_stats stats;
    batch_get_stats(front->batch, &stats);
    size_t context = (size_t)stats.context;
    size_t cut = context * BYTES_A_TOKEN;
    if (n <= times * cut)
        return true;
    while (cut > 0 && ((unsigned char)text[cut] & 0xC0) == 0x80) /* not inside a character */
        cut--;
    if (!model_tokenize(front->model, text, cut, true, true, &tokens, &count, err))
        return false;
    return count <= context + CUT_TOKENS ||
           err_set(err, ERR_CONTEXT,
                   "the prompt has more than %zu tokens, the context holds %zu: shorten it, or load the model with a "
                   "larger context",
                   count - CUT_TOKENS, context);
}

bool front_messages_fit(const struct front *front, const char *messages_json, struct err *err)
{
    return beginning_fits(front, messages_json, strlen(messages_json), TIMES_JSON, err);
}

bool front_text_fits(const struct front *front, const char *text, struct err *err)
{
    return beginning_fits(front, text, strlen(text), TIMES_TEXT, err);
}

bool front_tokenize(const struct front *front, const char *text, int32_t **ret_tokens, size_t *ret_n, struct err *err)
{
    size_t n = strlen(text);
    return beginning_fits(front, text, n, TIMES_TEXT, err) &&
           model_tokenize(front->model, text, n, true, true, ret_tokens, ret_n, err);
}
