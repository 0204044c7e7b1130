/* cli/ui/preload.c: see preload.h. */
#include "cli/ui/preload.h"

#include "base/check.h"
#include "cli/chat_stream.h"
#include "platform/process.h"
#include "platform/socket.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct preload {
    struct cli cli; /* a copy: its interrupt_fd is pair[0] */
    const char *model;
    int pair[2];
    pthread_t thread;
};

static void *preload_run(void *arg)
{
    struct preload *p = arg;
    struct err err = ERR_INIT;
    if (!chat_preload(&p->cli, p->model, &err) && err.code != ERR_CANCELLED)
        fprintf(stderr, "background model preload failed: %s\n", err.text);
    return NULL;
}

void preload_start(const struct cli *cli, const char *model, struct preload **ret_preload)
{
    struct preload *p = check_alloc(calloc(1, sizeof *p));
    p->cli = *cli;
    p->model = model;
    *ret_preload = NULL;
    if (!socket_pair(p->pair, NULL)) {
        free(p);
        return; /* the first question loads it */
    }
    p->cli.interrupt_fd = p->pair[0];
    if (process_thread("preload", preload_run, p, 0, 0, &p->thread, NULL)) {
        *ret_preload = p;
        return;
    }
    close(p->pair[0]);
    close(p->pair[1]);
    free(p);
}

void preload_end(struct preload **preload)
{
    struct preload *p = *preload;
    if (p == NULL)
        return;
    shutdown(p->pair[1], SHUT_RDWR);
    pthread_join(p->thread, NULL);
    close(p->pair[0]);
    close(p->pair[1]);
    free(p);
    *preload = NULL;
}
