/* engine/cache_llama: the cache on libllama's memory. */
#ifndef TUG_ENGINE_CACHE_LLAMA_H
#define TUG_ENGINE_CACHE_LLAMA_H

#include "engine/cache.h"

struct llama_context;

struct cache_ops cache_llama_ops(struct llama_context *ctx);
void cache_llama_clear(struct llama_context *ctx);

#endif
