/* engine/chat_plan.c: see chat.h. */
#include "engine/chat_plan.h"

#include "base/check.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "engine/job.h"
#include "engine/tools.h"
#include "json/json_read.h"

#include <string.h>

/* The variables of the template: the engine's, then what the effort says, then the request's own. */
static bool chat_kwargs(struct job *job, struct err *err)
{
    struct openai_request *in = &job->in;
    const char *effort = in->reasoning_effort;
    const char *defaults = job->front->template_kwargs;
    if (effort == NULL && (in->template_kwargs_json == NULL || defaults == NULL)) {
        in->template_kwargs_json = in->template_kwargs_json == NULL ? defaults : in->template_kwargs_json;
        return true;
    }
    _cleanup_(json_free) json_t *all = NULL;
    _cleanup_(json_free) json_t *own = NULL;
    if (!json_parse(defaults == NULL ? "{}" : defaults, defaults == NULL ? 2 : strlen(defaults), &all, err))
        return false;
    if (effort != NULL && strcmp(effort, "none") == 0)
        json_object_set_new(all, "enable_thinking", json_false());
    else if (effort != NULL)
        json_object_set_new(all, "reasoning_effort", json_string(effort));
    if (in->template_kwargs_json != NULL) {
        if (!json_parse(in->template_kwargs_json, strlen(in->template_kwargs_json), &own, err))
            return false;
        json_object_update(all, own);
    }
    _cleanup_free_ char *text = check_alloc(json_dumps(all, JSON_COMPACT));
    in->template_kwargs_json = arena_strdup(&job->req->arena, text);
    return true;
}

static bool chat_render(struct job *job, struct chat_prompt **ret_prompt, struct err *err)
{
    const struct openai_request *in = &job->in;
    char why[ERR_TEXT_MAX / 2] = "";
    _cleanup_free_ char *messages = NULL;
    struct chat_ask ask = {
        .messages = in->messages_json,
        .tools = in->tools_json,
        .kwargs = in->template_kwargs_json,
        .schema = in->tools_json == NULL && chat_templates_thinks(job->front->templates) ? in->schema_json : NULL,
        .bare = in->reasoning_in_content,
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

static bool grammar_take(struct grammar **ret_g, const char *text, const char *param, struct err *err)
{
    struct err reason = ERR_INIT;
    return grammar_parse(text, strlen(text), ret_g, &reason) ||
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
    return grammar_take(&g->grammar, grammar, "tools", err);
}

static bool schema_grammar(const char *schema, struct grammar **ret_g, struct err *err)
{
    _cleanup_free_ char *grammar = NULL;
    char why[ERR_TEXT_MAX / 2];
    if (!chat_schema_grammar(schema, &grammar, why, sizeof why))
        return err_param(err, "response_format", "`response_format`: the schema does not become a grammar: %s", why);
    return grammar_take(ret_g, grammar, "response_format", err);
}

/* Tools that may be called and a schema for the answer otherwise: either of them, from the answer's beginning on. */
static bool bind_either(struct job *job, struct guide *g, struct err *err)
{
    _cleanup_(grammar_unref) struct grammar *tools = g->grammar;
    _cleanup_(grammar_unref) struct grammar *answer = NULL;
    struct err reason = ERR_INIT;
    g->grammar = NULL;
    if (tools == NULL || g->prefixed)
        return err_param(err, "response_format",
                         "`response_format` together with `tools` is not supported with this "
                         "model's chat template: leave one of them out");
    g->waits = false;
    g->after_reasoning = true;
    return schema_grammar(job->in.schema_json, &answer, err) &&
           (grammar_union(tools, answer, &g->grammar, &reason) ||
            err_param(err, "response_format", "`response_format` cannot be kept by this engine: %s", reason.text));
}

/* A schema or a grammar, and no tools. Templates that think have the schema in a grammar of the whole answer. */
static bool bind_format(const struct openai_request *in, struct guide *g, struct err *err)
{
    const struct chat_prompt_info *info = g->prompt == NULL ? NULL : chat_prompt_get(g->prompt);
    if (in->grammar != NULL) {
        g->after_reasoning = true;
        return grammar_take(&g->grammar, in->grammar, "grammar", err);
    }
    if (info != NULL && info->parses && info->grammar[0] != '\0') {
        g->prefixed = true;
        return grammar_take(&g->grammar, info->grammar, "response_format", err);
    }
    g->after_reasoning = true;
    return schema_grammar(in->schema_json, &g->grammar, err);
}

/* The tokens that end the reasoning when its budget is used up. */
static void budget_fill(struct job *job, struct guide *g)
{
    const struct chat_prompt_info *info = chat_prompt_get(g->prompt);
    int64_t asked = job->in.sampling.reasoning_budget;
    int32_t budget = asked == OPENAI_UNSET ? job->front->defaults.reasoning_budget : (int32_t)asked;
    const char *end = info->think_ends[0];
    if (budget < 0 || info->think_start[0] == '\0' || end == NULL)
        return;
    if (model_tokenize(job->front->model, end, strlen(end), false, true, &g->think_stop, &g->n_think_stop, NULL))
        g->budget = budget;
}

static bool has_format(const struct openai_request *in) { return in->schema_json != NULL || in->grammar != NULL; }

static bool plan_bind(struct job *job, struct guide *g, struct err *err)
{
    const struct openai_request *in = &job->in;
    if (in->tools_json != NULL && !bind_tools(job, g, err))
        return false;
    if (in->tools_json != NULL && in->schema_json != NULL && !in->tool_required && !bind_either(job, g, err))
        return false;
    if (in->tools_json == NULL && has_format(in) && !bind_format(in, g, err))
        return false;
    if (g->prompt != NULL) {
        special_fill(job, g);
        budget_fill(job, g);
    }
    job->plan.bound = g->grammar != NULL || g->n_special > 0 || g->budget >= 0;
    return true;
}

bool plan_chat(struct job *job, struct err *err)
{
    struct chat_plan *plan = &job->plan;
    struct chat_prompt *prompt = NULL;
    int32_t *tokens = NULL;
    size_t n = 0;
    plan->own_tools = job->in.tools_json != NULL && !chat_templates_has_tools(job->front->templates);
    if (!chat_kwargs(job, err) || !chat_render(job, &prompt, err))
        return false;
    plan->guide = guide_new(NULL);
    plan->guide->prompt = prompt;
    plan->prompt = prompt;
    const struct chat_prompt_info *info = chat_prompt_get(prompt);
    plan->stops = info->stops;
    bool binds = job->in.tools_json != NULL || has_format(&job->in) || info->parses;
    if (binds)
        plan->guide->vocab = model_vocab(job->front->model);
    if ((binds && !plan_bind(job, plan->guide, err)) || !front_tokenize(job->front, info->prompt, &tokens, &n, err))
        return false;
    job_add_prompt(job, tokens, n, NULL);
    return true;
}

bool plan_completion(struct job *job, struct err *err)
{
    if (!has_format(&job->in))
        return true;
    job->plan.guide = guide_new(model_vocab(job->front->model));
    return plan_bind(job, job->plan.guide, err);
}
