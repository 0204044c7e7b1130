/* engine/chat_shim.cpp: see chat_shim.h. The only C++ of Tug: llama.cpp's template engine has no C face. */
#include "engine/chat_shim.h"

#include "chat.h"
#include "json-schema-to-grammar.h"
#include "log.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <regex>
#include <string>
#include <vector>

struct chat_templates {
    common_chat_templates_ptr library;
    std::string source;
    mutable std::mutex render_lock; /* the library formats the date with localtime, which has one buffer for all */
    bool plain = false; /* rendering alone gives the same prompt, and answers are content: templates_probe */
    std::vector<std::string> stops; /* then: additional stops */
    bool thinks = false, tools = false;
};

/* Strings for C: the pointers are into the strings, so neither may move once `fill` has been called. */
struct c_strings {
    std::vector<std::string> own;
    std::vector<const char *> pointers;
    const char *const *fill()
    {
        pointers.clear();
        for (const auto &s : own)
            pointers.push_back(s.c_str());
        pointers.push_back(nullptr);
        return pointers.data();
    }
};

struct chat_prompt {
    common_chat_params params;
    common_chat_parser_params parser;
    std::vector<enum chat_trigger_kind> kinds;
    std::vector<std::regex> patterns;
    c_strings triggers, special, stops, ends;
    chat_prompt_info info{};
};

struct chat_parser {
    common_chat_parser_params params;
    std::string text;
    size_t parsed = 0; /* bytes of text at the last parse */
    common_chat_msg known;
    std::vector<common_chat_msg_diff> diffs;
    std::vector<chat_delta> deltas;
};

namespace
{

/* The library's messages have several lines, with a piece of the template and a caret: keep the words. */
void why_set(char *why, size_t size, const char *text)
{
    std::string line;
    for (const char *p = text; *p != '\0'; p++) {
        bool space = *p == '\n' || *p == '\r' || *p == '\t' || *p == ' ';
        if (!space)
            line += *p;
        else if (!line.empty() && line.back() != ' ')
            line += ' ';
    }
    std::snprintf(why, size, "%s", line.c_str());
}

/* A template that raises names its reason last: "… Error: Jinja Exception: REASON". */
void why_set_render(char *why, size_t size, const char *text)
{
    static const char *const marks[] = {"Jinja Exception: ", "Error: "};
    for (const char *mark : marks) {
        const char *last = nullptr;
        for (const char *p = std::strstr(text, mark); p != nullptr; p = std::strstr(p + 1, mark))
            last = p + std::strlen(mark);
        if (last != nullptr) {
            why_set(why, size, last);
            return;
        }
    }
    why_set(why, size, text);
}

char *copy_text(const std::string &s)
{
    char *p = static_cast<char *>(std::malloc(s.size() + 1));
    if (p == nullptr)
        throw std::bad_alloc();
    std::memcpy(p, s.c_str(), s.size() + 1);
    return p;
}

/* common_chat_templates_init slices its exceptions ("std::exception" is all they say): compile again for the words. */
std::string compile_error(const void *model, const char *source, const char *fallback)
{
    try {
        const char *own =
            source != nullptr ? source : llama_model_chat_template(static_cast<const llama_model *>(model), nullptr);
        if (own != nullptr)
            common_chat_template probe(own, "", "");
    } catch (const std::exception &e) {
        return e.what();
    }
    return fallback;
}

void inputs_kwargs(common_chat_templates_inputs &inputs, const char *kwargs_json)
{
    const common_json kwargs = common_json::parse(kwargs_json);
    for (const auto &item : kwargs.items()) {
        if (item.key() == "enable_thinking") {
            if (!item.value().is_boolean())
                throw std::runtime_error("enable_thinking in chat_template_kwargs must be true or false");
            inputs.enable_thinking = item.value().get<bool>();
        }
        inputs.chat_template_kwargs[item.key()] = item.value().dump();
    }
}

std::vector<std::string> stops_of(const common_chat_params &params)
{
    std::vector<std::string> stops;
    for (const auto &stop : params.additional_stops)
        if (!stop.empty())
            stops.push_back(stop);
    return stops;
}

const char TALK[] = R"([{"role":"system","content":"Be brief."},{"role":"user","content":"Hello?"},)"
                    R"({"role":"assistant","content":"Hi."},{"role":"user","content":"Who are you?"}])";
const char QUESTION[] = R"([{"role":"user","content":"Who are you?"}])";
const char TOOL[] = R"([{"type":"function","function":{"name":"look","description":"Looks","parameters":)"
                    R"({"type":"object","properties":{"at":{"type":"string"}},"required":["at"]}}}])";

/* Beside the prompt the library works out a parser for the answer, rendering the template some fifty times to
 * learn its parts: 3 ms, up to 26, of each request. Plain text needs no parser. So the template is tried both ways
 * once, at load; where the prompts agree and the model does not think aloud, plain requests take the short way (0.1 to
 * 0.3 ms). */
void probe_plain(chat_templates *t)
{
    try {
        common_chat_templates_inputs inputs;
        inputs.messages = common_chat_msgs_parse_oaicompat(common_json::parse(TALK));
        inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
        const common_chat_params whole = common_chat_templates_apply(t->library.get(), inputs);
        t->thinks = whole.supports_thinking;
        inputs.force_pure_content = true;
        t->plain = !t->thinks && whole.prompt == common_chat_templates_apply(t->library.get(), inputs).prompt;
        t->stops = stops_of(whole);
    } catch (const std::exception &) {
        t->plain = false; /* a template may refuse this talk; requests will say so themselves */
    }
}

void probe_tools(chat_templates *t)
{
    try {
        common_chat_templates_inputs inputs;
        inputs.messages = common_chat_msgs_parse_oaicompat(common_json::parse(QUESTION));
        inputs.tools = common_chat_tools_parse_oaicompat(common_json::parse(TOOL));
        inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_REQUIRED;
        const common_chat_params with = common_chat_templates_apply(t->library.get(), inputs);
        t->tools = !with.grammar.empty() && with.prompt.find("look") != std::string::npos;
    } catch (const std::exception &) {
        t->tools = false;
    }
}

/* Mistral's templates refuse ids of calls that have not nine characters; ours end in random ones. */
void shorten_ids(const chat_templates *t, common_chat_templates_inputs &inputs)
{
    const auto shorten = [](std::string &id) {
        if (id.size() > 9)
            id.erase(0, id.size() - 9);
    };
    if (t->source.find("length != 9") == std::string::npos)
        return;
    for (auto &message : inputs.messages) {
        shorten(message.tool_call_id);
        for (auto &call : message.tool_calls)
            shorten(call.id);
    }
}

common_chat_templates_inputs inputs_of(const chat_templates *t, const chat_ask *ask)
{
    common_chat_templates_inputs inputs;
    inputs.messages = common_chat_msgs_parse_oaicompat(common_json::parse(ask->messages));
    shorten_ids(t, inputs);
    inputs.reasoning_format = ask->bare ? COMMON_REASONING_FORMAT_NONE : COMMON_REASONING_FORMAT_DEEPSEEK;
    if (ask->kwargs != nullptr)
        inputs_kwargs(inputs, ask->kwargs);
    if (ask->tools != nullptr) {
        inputs.tools = common_chat_tools_parse_oaicompat(common_json::parse(ask->tools));
        inputs.tool_choice = ask->required ? COMMON_CHAT_TOOL_CHOICE_REQUIRED : COMMON_CHAT_TOOL_CHOICE_AUTO;
        inputs.parallel_tool_calls = ask->parallel;
    }
    if (ask->schema != nullptr)
        inputs.json_schema = ask->schema;
    if (!inputs.messages.empty() && inputs.messages.back().role == "assistant" &&
        inputs.messages.back().tool_calls.empty()) {
        inputs.add_generation_prompt = false;
        inputs.continue_final_message = COMMON_CHAT_CONTINUATION_AUTO;
    }
    return inputs;
}

bool is_plain(const chat_templates *t, const chat_ask *ask, const common_chat_templates_inputs &inputs)
{
    if (!t->plain || ask->tools != nullptr || ask->schema != nullptr)
        return false;
    for (const auto &message : inputs.messages)
        if (!message.reasoning_content.empty() || !message.tool_calls.empty() || message.role == "tool")
            return false;
    return inputs.chat_template_kwargs.empty() && inputs.continue_final_message == COMMON_CHAT_CONTINUATION_NONE;
}

/* The parser of some templates cannot be worked out although they render: those are rendered alone too. A
 * continued message and tools need the long way. */
common_chat_params apply(const chat_templates *t, const chat_ask *ask, common_chat_templates_inputs &inputs,
                         bool *plain)
{
    *plain = is_plain(t, ask, inputs);
    inputs.force_pure_content = *plain;
    try {
        return common_chat_templates_apply(t->library.get(), inputs);
    } catch (const std::exception &) {
        if (*plain || ask->tools != nullptr || ask->schema != nullptr ||
            inputs.continue_final_message != COMMON_CHAT_CONTINUATION_NONE)
            throw;
    }
    *plain = inputs.force_pure_content = true;
    return common_chat_templates_apply(t->library.get(), inputs);
}

/* For some formats (Llama 3's bare JSON) the library has a grammar only when a call must come. Then that one waits for
 * an answer that begins as a call does. */
void grammar_of_required(const chat_templates *t, common_chat_templates_inputs &inputs, chat_prompt *p)
{
    inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_REQUIRED;
    const common_chat_params with = common_chat_templates_apply(t->library.get(), inputs);
    if (with.prompt != p->params.prompt || with.grammar.empty())
        return;
    p->params.grammar = with.grammar;
    p->params.grammar_lazy = false;
    p->triggers.own.push_back("{");
    p->kinds.push_back(CHAT_TRIGGER_START);
}

void triggers_fill(chat_prompt *p)
{
    for (const auto &trigger : p->params.grammar_triggers) {
        if (!p->params.grammar_lazy)
            break;
        const bool word = trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD;
        std::string pattern = trigger.value;
        if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL)
            pattern = "^(?:" + pattern + ")$";
        if (!word)
            p->patterns.emplace_back(pattern);
        p->triggers.own.push_back(trigger.value);
        p->kinds.push_back(word ? CHAT_TRIGGER_WORD : CHAT_TRIGGER_PATTERN);
    }
}

void prompt_fill(chat_prompt *p, bool plain)
{
    triggers_fill(p);
    for (const auto &token : p->params.preserved_tokens)
        p->special.own.push_back(token);
    for (const auto &end : p->params.thinking_end_tags)
        if (!end.empty())
            p->ends.own.push_back(end);
    p->parser = common_chat_parser_params(p->params);
    if (!plain && !p->params.parser.empty())
        p->parser.parser.load(p->params.parser);
    chat_prompt_info &i = p->info;
    i.prompt = p->params.prompt.c_str();
    i.generation = p->params.generation_prompt.c_str();
    i.grammar = p->params.grammar.c_str();
    i.lazy = !p->kinds.empty();
    i.trigger_kinds = p->kinds.data();
    i.triggers = p->triggers.fill();
    i.special = p->special.fill();
    i.stops = p->stops.fill();
    i.think_start = p->params.thinking_start_tag.c_str();
    i.think_ends = p->ends.fill();
    i.parses = !plain && !p->params.parser.empty();
}

/* ---- the answer ---- */

common_chat_msg parse(chat_parser *r, bool partial) { return common_chat_parse(r->text, partial, r->params); }

/* What the format does not explain: all of the text that is not told yet is content. */
common_chat_msg as_content(const chat_parser *r)
{
    common_chat_msg msg = r->known;
    if (!msg.tool_calls.empty())
        return msg;
    size_t from = 0;
    for (const std::string &told : {msg.reasoning_content, msg.content}) {
        const size_t at = told.empty() ? std::string::npos : r->text.find(told, from);
        if (at != std::string::npos)
            from = at + told.size();
    }
    msg.content += r->text.substr(from);
    return msg;
}

common_chat_msg parse_any(chat_parser *r, enum chat_more more)
{
    try {
        return parse(r, more != CHAT_END);
    } catch (const std::exception &) {
        if (more == CHAT_MORE)
            return r->known;
    }
    return as_content(r);
}

/* Space before the end tag of the reasoning is none of it, which shows only when the tag has come. */
void hold_back_space(common_chat_msg &msg)
{
    msg.reasoning_content.erase(msg.reasoning_content.find_last_not_of(" \n\r\t") + 1);
}

void keep_longer(std::string &now, const std::string &told)
{
    if (told.size() > now.size() && told.compare(0, now.size(), now) == 0)
        now = told;
}

/* A reading may be shorter than the one before; what was told stays told, else it would be told again. */
void keep_told(common_chat_msg &now, const common_chat_msg &told)
{
    keep_longer(now.content, told.content);
    keep_longer(now.reasoning_content, told.reasoning_content);
    for (size_t i = 0; i < now.tool_calls.size() && i < told.tool_calls.size(); i++)
        keep_longer(now.tool_calls[i].arguments, told.tool_calls[i].arguments);
}

/* Differences to what was told; a reading that contradicts it tells nothing while more may come. */
void take(chat_parser *r, common_chat_msg &&now, enum chat_more more)
{
    hold_back_space(now);
    keep_told(now, r->known);
    try {
        r->diffs = common_chat_msg_diff::compute_diffs(r->known, now);
    } catch (const std::exception &) {
        r->diffs.clear();
        if (more == CHAT_MORE)
            return;
        now = as_content(r);
        r->diffs = common_chat_msg_diff::compute_diffs(r->known, now);
    }
    r->known = std::move(now);
}

const char *text_or_null(const std::string &s) { return s.empty() ? nullptr : s.c_str(); }

void deltas_fill(chat_parser *r)
{
    for (const auto &d : r->diffs) {
        chat_delta delta{};
        delta.reasoning = text_or_null(d.reasoning_content_delta);
        delta.content = text_or_null(d.content_delta);
        delta.call = d.tool_call_index;
        if (d.tool_call_index != std::string::npos) {
            delta.name = text_or_null(d.tool_call_delta.name);
            delta.id = text_or_null(d.tool_call_delta.id);
            delta.arguments = text_or_null(d.tool_call_delta.arguments);
        }
        if (delta.reasoning != nullptr || delta.content != nullptr || d.tool_call_index != std::string::npos)
            r->deltas.push_back(delta);
    }
}

} // namespace

bool chat_templates_new(const void *llama_model, const char *source, struct chat_templates **ret_t, char *why,
                        size_t why_size)
{
    common_log_set_verbosity_thold(-1); /* failures reach us as exceptions; it would start a thread that prints */
    try {
        auto t = std::make_unique<chat_templates>();
        t->library = common_chat_templates_init(static_cast<const struct llama_model *>(llama_model),
                                                source == nullptr ? "" : source);
        t->source = common_chat_templates_source(t->library.get());
        probe_plain(t.get());
        probe_tools(t.get());
        *ret_t = t.release();
        return true;
    } catch (const std::exception &e) {
        why_set(why, why_size, compile_error(llama_model, source, e.what()).c_str());
    } catch (...) {
        why_set(why, why_size, "unknown exception");
    }
    return false;
}

void chat_templates_free(struct chat_templates **t)
{
    delete *t;
    *t = nullptr;
}

bool chat_templates_is_default(const struct chat_templates *t)
{
    return !common_chat_templates_was_explicit(t->library.get());
}
bool chat_templates_has_tools(const struct chat_templates *t) { return t->tools; }
bool chat_templates_thinks(const struct chat_templates *t) { return t->thinks; }
const char *chat_templates_source(const struct chat_templates *t) { return t->source.c_str(); }

bool chat_apply(const struct chat_templates *t, const struct chat_ask *ask, struct chat_prompt **ret_p, char *why,
                size_t why_size)
{
    try {
        auto p = std::make_unique<chat_prompt>();
        common_chat_templates_inputs inputs = inputs_of(t, ask);
        bool plain;
        std::unique_lock<std::mutex> lock(t->render_lock);
        p->params = apply(t, ask, inputs, &plain);
        if (ask->tools != nullptr && p->params.grammar.empty() && !ask->required)
            grammar_of_required(t, inputs, p.get());
        lock.unlock();
        p->stops.own = plain && t->plain ? t->stops : stops_of(p->params);
        p->parser.is_continuation = inputs.continue_final_message != COMMON_CHAT_CONTINUATION_NONE;
        const bool continues = p->parser.is_continuation;
        prompt_fill(p.get(), plain);
        p->parser.is_continuation = continues;
        p->parser.reasoning_format = inputs.reasoning_format;
        p->parser.parse_tool_calls = ask->tools != nullptr;
        *ret_p = p.release();
        return true;
    } catch (const std::exception &e) {
        why_set_render(why, why_size, e.what());
    } catch (...) {
        why_set(why, why_size, "unknown exception");
    }
    return false;
}

void chat_prompt_free(struct chat_prompt **p)
{
    delete *p;
    *p = nullptr;
}

const struct chat_prompt_info *chat_prompt_get(const struct chat_prompt *p) { return &p->info; }

size_t chat_prompt_find(const struct chat_prompt *p, const char *text, size_t n, bool whole)
{
    try {
        const auto flags = whole ? std::regex_constants::match_default : std::regex_constants::match_not_bol;
        for (const auto &pattern : p->patterns) {
            std::cmatch match;
            if (!std::regex_search(text, text + n, match, pattern, flags))
                continue;
            for (size_t i = 1; i < match.size(); i++)
                if (match.length(i) > 0)
                    return static_cast<size_t>(match.position(i));
            return static_cast<size_t>(match.position(0));
        }
    } catch (...) {
        return SIZE_MAX; /* as if it were not there */
    }
    return SIZE_MAX;
}

struct chat_parser *chat_parser_new(const struct chat_prompt *p)
{
    try {
        auto r = std::make_unique<chat_parser>();
        r->params = p->parser;
        if (r->params.is_continuation) { /* what the client gave is in the text's beginning, and is not told again */
            r->known = common_chat_parse("", true, r->params);
        }
        return r.release();
    } catch (...) {
        return nullptr;
    }
}

void chat_parser_free(struct chat_parser **r)
{
    delete *r;
    *r = nullptr;
}

/* The library reads all of the text each time; so that a long answer does not cost its square, it is read when it has
 * grown by a five hundredth. */
size_t chat_parser_feed(struct chat_parser *r, const char *text, size_t n, enum chat_more more,
                        const struct chat_delta **ret_deltas)
{
    r->diffs.clear();
    r->deltas.clear();
    try {
        r->text.append(text, n);
        if (more != CHAT_MORE || r->text.size() - r->parsed > r->text.size() / 512) {
            r->parsed = r->text.size();
            take(r, parse_any(r, more), more);
            deltas_fill(r);
        }
    } catch (...) {
        r->deltas.clear();
    }
    *ret_deltas = r->deltas.data();
    return r->deltas.size();
}

bool chat_schema_grammar(const char *schema, char **ret_grammar, char *why, size_t why_size)
{
    try {
        *ret_grammar = copy_text(json_schema_to_grammar(common_json::parse(schema), true));
        return true;
    } catch (const std::exception &e) {
        why_set_render(why, why_size, e.what());
    } catch (...) {
        why_set(why, why_size, "unknown exception");
    }
    return false;
}
