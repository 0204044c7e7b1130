/* http/client/http_pools.c: see http_client.h: pools that are free, the one used last on top, since its connections are
 * the warmest. */
#include "http/client/http_client.h"

#include "base/check.h"

#include <pthread.h>
#include <stdlib.h>

enum { POOLS_KEPT_MAX = 32 };

struct http_pools {
    pthread_mutex_t lock;
    struct http_pool *kept[POOLS_KEPT_MAX];
    size_t n;
};

struct http_pools *http_pools_new(void)
{
    struct http_pools *p = check_alloc(calloc(1, sizeof *p));
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

void http_pools_free(struct http_pools **ref)
{
    struct http_pools *p = *ref;
    if (p == NULL)
        return;
    *ref = NULL;
    while (p->n > 0)
        http_pool_free(&p->kept[--p->n]);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

struct http_pool *http_pools_take(struct http_pools *p)
{
    struct http_pool *pool = NULL;
    pthread_mutex_lock(&p->lock);
    if (p->n > 0)
        pool = p->kept[--p->n];
    pthread_mutex_unlock(&p->lock);
    return pool != NULL ? pool : http_pool_new();
}

void http_pools_put(struct http_pools *p, struct http_pool **pool)
{
    if (*pool == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    bool keep = p->n < POOLS_KEPT_MAX;
    if (keep)
        p->kept[p->n++] = *pool;
    pthread_mutex_unlock(&p->lock);
    if (keep)
        *pool = NULL;
    else
        http_pool_free(pool);
}
