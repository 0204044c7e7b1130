/* engine/chat_shim: the one door to llama.cpp's C++ chat library (templates). C inside C++.
 *
 *   if (!chat_templates_new(model_handle(m), NULL, &t, why, sizeof why)) ...    at load: 2 ms
 *   if (!chat_render(t, messages_json, kwargs_json, &prompt, &stops, why, sizeof why)) ...
 *
 * Every function catches all exceptions and returns false with the library's words in `why`, one line.
 * A handle may be used by any threads at once; renderings of one handle take turns (0.5 ms each).
 */
#ifndef TUG_ENGINE_CHAT_SHIM_H
#define TUG_ENGINE_CHAT_SHIM_H

#ifdef __cplusplus
extern "C" {
#endif

#include <stdbool.h>
#include <stddef.h>

struct chat_templates;

/* `source` NULL: the model's own template (GGUF), or the library's (ChatML) when it has none. `llama_model` NULL: no
 * model's bos and eos; then a source is needed. A template that does not compile: false, message in `why`. */
bool chat_templates_new(const void *llama_model, const char *source, struct chat_templates **ret_t, char *why,
                        size_t why_size);
void chat_templates_free(struct chat_templates **t);
bool chat_templates_is_default(const struct chat_templates *t);    /* neither source nor model gave one */
const char *chat_templates_source(const struct chat_templates *t); /* borrowed */

/* OpenAI's `messages` array as JSON text → the prompt, malloc'd; additional stop strings of the format, malloc'd,
 * one per line or NULL. The prompt ends with the opening of the assistant's turn; or, when the last message is the
 * assistant's, with that message, unclosed (prefill). A leading BOS is left out: tokenizing adds it.
 * template_kwargs_json: an object, NULL: none. */
bool chat_render(const struct chat_templates *t, const char *messages_json, const char *template_kwargs_json,
                 char **ret_prompt, char **ret_stops, char *why, size_t why_size);

#ifdef __cplusplus
}
#endif

#endif
