/* registry/challenge: reading WWW-Authenticate (RFC 9110 11.6.1), which a stranger wrote.
 *
 *   struct challenge c = {0};
 *   for each header: challenge_read(value, &c);
 *
 * Several challenges may stand in one header and several headers in one answer; the first Bearer with a realm and the
 * first Basic are kept. Names are case-insensitive, values may be quoted with commas and \" inside. What does not fit
 * its field makes that challenge unusable: it is never cut. Pure.
 */
#ifndef TUG_REGISTRY_CHALLENGE_H
#define TUG_REGISTRY_CHALLENGE_H

#include <stdbool.h>

struct challenge {
    bool bearer, basic;
    char realm[2048], service[512], scope[2048], error[64]; /* of the Bearer one */
};

void challenge_read(const char *header, struct challenge *c);

#endif
