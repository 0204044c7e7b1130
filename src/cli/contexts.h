/* cli/contexts: named daemons, in Docker Model Runner's file: $DOCKER_CONFIG/model/contexts.json.
 *
 *   {"version": 1, "current": "office", "contexts": {"office": {"host": "http://10.0.0.7:12434",
 *    "tls": {"enabled": false, "skipVerify": true, "caCert": "/ca.pem"}, "description": "…", "createdAt": "…"}}}
 *
 * "current" is absent when it is `default`, which is no row: the daemon of this machine. Fields that we do
 * not know are kept. Writers hold contexts.lock and replace the file; readers need no lock.
 */
#ifndef TUG_CLI_CONTEXTS_H
#define TUG_CLI_CONTEXTS_H

#include "base/err.h"

#include <jansson.h>

#define CONTEXT_DEFAULT "default"

/* The whole file; without one, one without contexts. ERR_INVALID: it is not such a file. To be json_free'd. */
bool contexts_read(const char *docker_config, json_t **ret_root, struct err *err);
/* Reads under the lock, lets `change` alter the tree, writes (0600, atomically) if it returned true. */
bool contexts_change(const char *docker_config, bool (*change)(json_t *root, void *ctx, struct err *err), void *ctx,
                     struct err *err);

/* Borrowed from root. The current one's name: CONTEXT_DEFAULT if none is set. */
const char *contexts_current(const json_t *root);
const json_t *contexts_find(const json_t *root, const char *name); /* NULL: none */
bool contexts_name_valid(const char *name); /* [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 128 characters */

#endif
