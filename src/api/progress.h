/* api/progress: the lines that pull, push and load answer with, in DMR's form (dmr.md 2.5).
 *
 * A line is a JSON object. With `Accept: application/json`, exactly that, it is plain; otherwise
 * text/plain with &, <, >, " and ' as HTML entities: clients of DMR expect to unescape it.
 */
#ifndef TUG_API_PROGRESS_H
#define TUG_API_PROGRESS_H

#include "distribution/distribution.h"
#include "http/server/http_server.h"

enum progress_form { PROGRESS_TEXT, PROGRESS_JSON };

enum progress_form progress_form(const struct http_request *req);
/* One line with its line end. `mode`: "pull" or "push". False: over the buf's maximum. */
bool progress_write(struct buf *out, const struct job_event *event, const char *mode, enum progress_form form);
/* Answers with the job's events until its end; takes the job. One that fails before anything else is a plain error
 * with its status. */
void progress_reply(struct http_request *req, struct job *job, const char *mode);

#endif
