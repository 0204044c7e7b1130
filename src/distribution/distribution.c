/* distribution/distribution.c: see distribution.h: what can be said of a pull or push before it begins. */
#include "base/text.h"
#include "distribution/job.h"

#include <string.h>

/* Hugging Face's /v2/ door makes manifests up in Ollama's form, which is not a model artifact. */
static bool source_is_known(const struct reference *ref, struct err *err)
{
    if (strcmp(ref->registry, "huggingface.co") != 0)
        return true;
    return err_set(err, ERR_UNSUPPORTED,
                   "%s: this version does not talk to Hugging Face; download the GGUF file there and store it with "
                   "`tug package --gguf FILE NAME`",
                   ref->text);
}

bool distribution_pull(struct distribution *d, const char *reference, const char *bearer_token, struct job **ret_job,
                       struct err *err)
{
    struct reference ref;
    return reference_parse(reference, &ref, err) && source_is_known(&ref, err) &&
           task_join(d, TASK_PULL, &ref, bearer_token, ret_job, err);
}

bool distribution_push(struct distribution *d, const char *reference, const char *bearer_token, struct job **ret_job,
                       struct err *err)
{
    struct reference ref;
    if (!reference_parse(reference, &ref, err) || !source_is_known(&ref, err))
        return false;
    if (ref.tag[0] == '\0')
        return err_set(err, ERR_INVALID, "%s names a digest; a push needs a tag: give the model one with `tug tag`",
                       reference);
    return task_join(d, TASK_PUSH, &ref, bearer_token, ret_job, err);
}
