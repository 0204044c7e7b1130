/* engine/chat_shim: the one door to llama.cpp's C++ chat library (templates). C inside C++.
 *
 * Every function catches all exceptions and returns false with a message in err. Handles may be
 * used from any thread; chat_render locks inside if the library needs it.
 */
#ifndef TUG_ENGINE_CHAT_SHIM_H
#define TUG_ENGINE_CHAT_SHIM_H

#ifdef __cplusplus
extern "C" {
#endif

#include <stdbool.h>
#include <stddef.h>

struct chat_templates;

/* `source` NULL: the model's own template (GGUF). A template that does not compile: false, message in `why`. */
bool chat_templates_new(const void *llama_model, const char *source, struct chat_templates **ret_t, char *why, size_t why_size);
void chat_templates_free(struct chat_templates **t);

/* OpenAI's `messages` array as JSON text → the prompt, malloc'd; additional stop strings of the format, malloc'd,
 * one per line or NULL. add_generation_prompt is on unless the last message is the assistant's (prefill). */
bool chat_render(struct chat_templates *t, const char *messages_json, const char *template_kwargs_json, char **ret_prompt, char **ret_stops, char *why, size_t why_size);

#ifdef __cplusplus
}
#endif

#endif
