/* engine/chat_plan.c: see chat.h. */
#include "engine/chat_plan.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "engine/job.h"
#include "engine/tools.h"

#include <string.h>

static bool chat_render(struct job *job, struct chat_prompt **ret_prompt, struct err *err)
{
    const struct openai_request *in = &job->in;
    char why[ERR_TEXT_MAX / 2] = "";
    _cleanup_free_ char *messages = NULL;
    struct chat_ask ask = {
        .messages = in->messages_json,
        .tools = in->tools_json,
        .kwargs = in->template_kwargs_json,
        .required = in->tool_required,
        .parallel = in->parallel_tool_calls,
    };
    if (job->plan.own_tools) {
        messages = tools_messages(in->messages_json, in->tools_json, err);
        if (messages == NULL)
            return false;
        ask.messages = messages;
        ask.tools = NULL;
    }
    if (!front_messages_fit(job->front, ask.messages, err))
        return false;
    return chat_apply(job->front->templates, &ask, ret_prompt, why, sizeof why) ||
           err_param(err, "messages", "the model's chat template refuses these messages: %s", why);
}

/* Texts that are one control token of this model: they are written as that token, and count as their text. */
static void special_add(struct job *job, struct guide *g, const char *text)
{
    const struct vocab *vocab = g->vocab;
    _cleanup_free_ int32_t *tokens = NULL;
    size_t n = 0;
    if (!model_tokenize(job->front->model, text, strlen(text), false, true, &tokens, &n, NULL) || n != 1)
        return;
    for (size_t i = 0; i < g->n_special; i++)
        if (g->special[i] == tokens[0])
            return;
    if ((vocab->flags[tokens[0]] & VOCAB_CONTROL) == 0)
        return;
    g->special = check_alloc(realloc(g->special, (g->n_special + 1) * sizeof *g->special));
    g->special[g->n_special++] = tokens[0];
}

static void special_fill(struct job *job, struct guide *g)
{
    static const char *const own[] = {TOOLS_CALL, TOOLS_DONE};
    const struct chat_prompt_info *info = chat_prompt_get(g->prompt);
    for (size_t i = 0; info->special[i] != NULL; i++)
        special_add(job, g, info->special[i]);
    for (size_t i = 0; i < 2 && job->plan.own_tools; i++)
        special_add(job, g, own[i]);
}

/* The library lets a required call be preceded by any amount of text, in which small models lose themselves: the
 * optional rule "until-N?" of root is taken out. */
static char *grammar_direct(const char *grammar)
{
    char *text = check_alloc(strdup(grammar));
    char *root = strncmp(text, "root ::= ", 9) == 0 ? text : strstr(text, "\nroot ::= ");
    char *end = root == NULL ? NULL : root + 1 + strcspn(root + 1, "\n");
    for (char *at = root; at != NULL && (at = strstr(at, " until-")) != NULL && at < end;) {
        char *after = at + strlen(" until-");
        after += strspn(after, "0123456789");
        if (*after == '?' && after[1] == ' ') {
            memmove(at, after + 1, strlen(after + 1) + 1);
            end -= after + 1 - at;
        } else {
            at = after;
        }
    }
    return text;
}

static bool grammar_take(struct guide *g, const char *text, const char *param, struct err *err)
{
    struct err reason = ERR_INIT;
    return grammar_parse(text, strlen(text), &g->grammar, &reason) ||
           err_param(err, param, "`%s` cannot be kept by this engine: %s", param, reason.text);
}

static bool bind_tools(struct job *job, struct guide *g, struct err *err)
{
    const struct openai_request *in = &job->in;
    const struct chat_prompt_info *info = chat_prompt_get(g->prompt);
    _cleanup_free_ char *grammar = NULL;
    g->waits = !in->tool_required;
    if (job->plan.own_tools) {
        grammar = tools_grammar(in->tools_json, in->parallel_tool_calls, err);
        if (grammar == NULL)
            return false;
        g->word = TOOLS_CALL;
        g->after_reasoning = in->tool_required;
    } else {
        if (info->grammar[0] == '\0')
            return true; /* the format cannot be bound; what comes is read as it is */
        grammar = in->tool_required ? grammar_direct(info->grammar) : check_alloc(strdup(info->grammar));
        g->waits = info->lazy;
        g->prefixed = !info->lazy || info->trigger_kinds[0] == CHAT_TRIGGER_START;
    }
    return grammar_take(g, grammar, "tools", err);
}

static bool chat_bind(struct job *job, struct guide *g, struct err *err)
{
    if (job->in.tools_json != NULL && !bind_tools(job, g, err))
        return false;
    special_fill(job, g);
    job->plan.bound = g->grammar != NULL || g->n_special > 0 || g->budget >= 0;
    return true;
}

bool chat_prepare(struct job *job, struct err *err)
{
    struct chat_plan *plan = &job->plan;
    struct chat_prompt *prompt = NULL;
    int32_t *tokens = NULL;
    size_t n = 0;
    plan->own_tools = job->in.tools_json != NULL && !chat_templates_has_tools(job->front->templates);
    if (!chat_render(job, &prompt, err))
        return false;
    plan->guide = guide_new(NULL);
    plan->guide->prompt = prompt;
    plan->prompt = prompt;
    const struct chat_prompt_info *info = chat_prompt_get(prompt);
    plan->stops = info->stops;
    bool binds = job->in.tools_json != NULL || info->parses;
    if (binds)
        plan->guide->vocab = model_vocab(job->front->model);
    if ((binds && !chat_bind(job, plan->guide, err)) || !front_tokenize(job->front, info->prompt, &tokens, &n, err))
        return false;
    job_add_prompt(job, tokens, n, NULL);
    return true;
}
