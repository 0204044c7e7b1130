/* cli/bench_level: so many clients that ask a model the same question again and again for a while. */
#ifndef TUG_CLI_BENCH_LEVEL_H
#define TUG_CLI_BENCH_LEVEL_H

#include "cli/cli.h"

enum { BENCH_CLIENTS_MAX = 256 };

struct bench_ask {
    struct cli *cli;
    const char *model, *prompt;
    int64_t duration_ns; /* no question is asked after it */
    int64_t timeout_ns;  /* answers may take so much longer */
};

struct bench_answer {
    int64_t tokens, first_token_ns;
};

struct bench_result {
    int64_t clients, total_ns, tokens;
    struct bench_answer *answers; /* malloc'd, n_answers of them, by time to first token */
    size_t n_answers;
};

/* The first failure of a client ends it: false. bench_result_done frees in either case. */
bool bench_level(const struct bench_ask *ask, int64_t clients, struct bench_result *ret, struct err *err);
void bench_result_done(struct bench_result *r);

#endif
