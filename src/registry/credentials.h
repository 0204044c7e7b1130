/* registry/credentials: who we are at a registry: what `docker login` and its helpers stored.
 *
 * Order: DOCKER_USERNAME + DOCKER_PASSWORD (or DOCKER_HUB_USER + DOCKER_HUB_PASSWORD), for Docker Hub alone; the JSON
 * in DOCKER_AUTH_CONFIG; config.json in $DOCKER_CONFIG or ~/.docker; podman's auth.json ($REGISTRY_AUTH_FILE,
 * $XDG_RUNTIME_DIR/containers, ~/.config/containers). In each file: credHelpers, then auths, with credsStore in the
 * place of auths where it is set. Facts: distribution.md 2. What is broken there is a warning in the log, never an
 * error: a public model needs no login. Secrets are zeroed when done. Any thread.
 */
#ifndef TUG_REGISTRY_CREDENTIALS_H
#define TUG_REGISTRY_CREDENTIALS_H

#include "base/err.h"

#include <jansson.h>

struct credential {
    char *user, *password; /* Basic; NULL: none */
    char *identity;        /* refresh token: POST form of the token request */
    char *bearer;          /* sent as it is */
};

/* host: "docker.io" for Docker Hub, else host[:port]; repo for podman's longer keys. False: nobody is logged in. */
bool credential_find(const char *host, const char *repo, struct credential *ret);
void credential_done(struct credential *c);

/* The parts, for tests. One file's JSON, already read; *ret_helper (malloc'd) and *ret_key (malloc'd) are set when a
 * helper has the answer, else ret has it. False: this file says nothing about the host. */
bool credential_pick(const json_t *config, const char *host, const char *repo, struct credential *ret,
                     char **ret_helper, char **ret_key);
/* Asks docker-credential-SUFFIX. False: a miss, or a broken helper (logged). */
bool credential_ask_helper(const char *suffix, const char *key, struct credential *ret);

#endif
