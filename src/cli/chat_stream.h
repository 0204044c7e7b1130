/* cli/chat_stream: one streamed chat answer from the daemon.
 *
 * `messages` is OpenAI's array; `options` an object whose members are added to the request
 * (temperature, max_tokens, …), NULL for none. Each piece goes to on_text as it arrives. Ctrl-C (cli's
 * interrupt_fd) closes the connection, which stops the generation: ERR_CANCELLED, and *answer holds
 * what had arrived. An error event in the stream is an error with the daemon's words.
 */
#ifndef TUG_CLI_CHAT_STREAM_H
#define TUG_CLI_CHAT_STREAM_H

#include "cli/cli.h"

enum chat_piece { CHAT_PIECE_ANSWER, CHAT_PIECE_REASONING, CHAT_PIECE_USAGE /* once, at the end, if it comes */ };

struct chat_usage {
    int64_t prompt_tokens, completion_tokens;
};

struct chat_ask {
    const char *model;
    json_t *messages, *options;
    void (*on_text)(void *ctx, enum chat_piece kind, const char *text);
    void *ctx;
    struct chat_usage *usage; /* filled when the stream tells it (options: stream_options.include_usage); NULL */
};

bool chat_stream(struct cli *cli, const struct chat_ask *ask, struct buf *answer, struct err *err);
/* Loads the model without asking it anything. */
bool chat_preload(struct cli *cli, const char *model, struct err *err);

#endif
