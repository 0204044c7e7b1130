/* base/limits: every maximum, in one table. docs/limits.md is made from it and tests reach them.
 * Bytes unless the name says otherwise. */
#ifndef TUG_BASE_LIMITS_H
#define TUG_BASE_LIMITS_H

#include <stdint.h>

/* clang-format off */
#define LIMITS(X) /* name                 value                     what */                                        \
    X(REFERENCE_BYTES,      512,                       "a model reference")                                        \
    X(MANIFEST_BYTES,       4 * 1024 * 1024,           "a manifest, index or model config")                        \
    X(MANIFEST_LAYERS,      1000,                      "layers of a manifest, entries of an index")                \
    X(INDEX_JSON_BYTES,     64 * 1024 * 1024,          "index.json of the store")                                  \
    X(TOKEN_ANSWER_BYTES,   1024 * 1024,               "the answer of a token server")                             \
    X(ERROR_BODY_BYTES,     64 * 1024,                 "what is read of an upstream's error body")                 \
    X(REQUEST_BODY_BYTES,   32 * 1024 * 1024,          "the body of an API request")                               \
    X(REQUEST_HEADER_BYTES, 64 * 1024,                 "the headers of an API request")                            \
    X(PATH_BYTES,           4096,                      "the path of an API request")                               \
    X(LOG_RING_BYTES,       1024 * 1024,               "log lines kept in memory for GET /logs")                   \
    X(CONNECTIONS,          512,                       "client connections of one process")                        \
    X(JSON_DEPTH,           64,                        "nesting of JSON")                                          \
    X(GGUF_KV,              65536,                     "metadata keys of a GGUF file")                             \
    X(GGUF_TENSORS,         262144,                    "tensors of a GGUF file")                                   \
    X(GGUF_STRING_BYTES,    64 * 1024 * 1024,          "one string of a GGUF file")                                \
    X(GGUF_ARRAY_ITEMS,     16 * 1024 * 1024,          "items of one GGUF array")                                  \
    X(GGUF_HEADER_BYTES,    1024 * 1024 * 1024,        "the header of a GGUF file")                                \
    X(REDIRECTS,            10,                        "redirects followed by one request")                        \
    X(PULLS,                2,                         "model pulls at the same time; others wait")                \
    X(SEQUENCES,            256,                       "sequences in one engine (libllama's own limit)")           \
    X(QUEUE_REQUESTS,       1024,                      "requests waiting in one engine")                           \
    X(STOP_STRINGS,         16,                        "entries of `stop`")                                        \
    X(STOP_BYTES,           256,                       "one entry of `stop`")                                      \
    X(CHOICES,              16,                        "`n`, the choices of one request")                          \
    X(CACHE_KEY_BYTES,      1024,                      "`prompt_cache_key`")                                        \
    X(LOGIT_BIAS,           4096,                      "entries of `logit_bias`")                                  \
    X(TOP_LOGPROBS,         20,                        "`top_logprobs`")                                           \
    X(MESSAGES,             16384,                     "entries of `messages`")                                    \
    X(ANSWER_BYTES,         256 * 1024 * 1024,         "the JSON of one answer")                                   \
    X(EMBEDDING_INPUTS,     2048,                      "entries of `input` of an embeddings request")              \
    X(BACKENDS,             64,                        "models loaded at the same time")                           \
    X(BACKENDS_KNOWN,       1024,                      "models whose keep-alive and crashes are remembered")       \
    X(ENGINE_WORDS_BYTES,   8192,                      "what is kept of an engine's stderr for error messages")    \
    X(ENGINE_LOG_BYTES,     8 * 1024 * 1024,           "an engine's log file; then it becomes FILE.1")             \
    X(ENGINE_METRICS_BYTES, 1024 * 1024,               "the answer of an engine's /metrics")                       \
    X(METRIC_FAMILIES,      256,                       "metrics of all engines by name")                           \
    X(SETTINGS_BYTES,       256 * 1024,                "the settings of one model")                                \
    X(RUNTIME_FLAGS,        256,                       "words of a model's runtime flags")                         \
    X(PRELOADS,             64,                        "models being loaded because they were configured")          \
    X(RECORDS,              1024,                      "requests kept in memory for GET /engines/requests")        \
    X(RECORDS_MODEL,        10,                        "of them shown for one model")                              \
    X(RECORDER_BYTES,       16 * 1024 * 1024,          "memory of all of them")                                    \
    X(RECORD_BODY_BYTES,    128 * 1024,                "what is kept of a request's or answer's body")             \
    X(LOG_LINE_BYTES,       8192,                      "one log line; longer ones are cut")                        \
    X(TOOLS,                512,                       "entries of `tools`")                                       \
    X(TOOLS_BYTES,          1024 * 1024,               "`tools` as JSON")                                          \
    X(TOOL_NAME_BYTES,      128,                       "the name of a tool")                                       \
    X(SCHEMA_BYTES,         256 * 1024,                "a JSON schema")                                            \
    X(SCHEMA_NODES,         4096,                      "schemas within a JSON schema")                             \
    X(SCHEMA_DEPTH,         32,                        "schemas within each other")                                \
    X(SCHEMA_PROPERTIES,    256,                       "properties of one object of a JSON schema")                \
    X(SCHEMA_NAME_BYTES,    128,                       "the name of a property")                                   \
    X(SCHEMA_ENUM,          2048,                      "entries of one `enum` of a JSON schema")                   \
    X(SCHEMA_COUNT,         10000,                     "minLength, maxItems and their like")                       \
    X(PATTERN_BYTES,        1024,                      "`pattern` of a JSON schema")                               \
    X(GRAMMAR_BYTES,        1024 * 1024,               "a grammar, also one made of a schema or of tools")         \
    X(GRAMMAR_RULES,        65536,                     "rules of a grammar")                                       \
    X(GRAMMAR_NODES,        1024 * 1024,               "places in a compiled grammar")                             \
    X(GRAMMAR_DEPTH,        160,                       "groups within groups of a grammar")                        \
    X(GRAMMAR_REPEAT,       100000,                    "repetitions of an item of a grammar")                      \
    X(GRAMMAR_CALLS,        1024,                      "rules within rules while a text is matched")               \
    X(GRAMMAR_PLACES,       2048,                      "places where an ambiguous grammar may be at once")         \
    X(ARENA_BYTES,          256 * 1024 * 1024,         "memory of one request's arena")
/* clang-format on */

enum {
#define LIMIT_ENUM(name, value, what) LIMIT_##name = (value),
    LIMITS(LIMIT_ENUM)
#undef LIMIT_ENUM
};

#endif
