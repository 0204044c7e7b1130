/* engine/chat_shim.cpp: see chat_shim.h. The only C++ of Tug: llama.cpp's template engine has no C face. */
#include "engine/chat_shim.h"

#include "chat.h"
#include "log.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>

struct chat_templates {
    common_chat_templates_ptr library;
    std::string source;
    mutable std::mutex render_lock; /* the library formats the date with localtime, which has one buffer for all */
    bool plain = false;             /* rendering alone gives the same prompt: see templates_probe */
    std::string stops;              /* then: additional stops, one per line */
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

std::string stops_text(const common_chat_params &params)
{
    std::string stops;
    for (const auto &stop : params.additional_stops)
        if (!stop.empty() && stop.find('\n') == std::string::npos)
            stops += (stops.empty() ? "" : "\n") + stop;
    return stops;
}

/* Beside the prompt the library works out a parser for the answer, rendering the template some fifty times to
 * learn its parts: 3 ms, up to 26, of each request. Plain text needs no parser. So the template is tried both ways
 * once, at load; where the prompts agree, plain requests take the short way (0.1 to 0.3 ms). */
void templates_probe(chat_templates *t)
{
    static const char talk[] = R"([{"role":"system","content":"Be brief."},{"role":"user","content":"Hello?"},)"
                               R"({"role":"assistant","content":"Hi."},{"role":"user","content":"Who are you?"}])";
    try {
        common_chat_templates_inputs inputs;
        inputs.messages = common_chat_msgs_parse_oaicompat(common_json::parse(talk));
        const common_chat_params whole = common_chat_templates_apply(t->library.get(), inputs);
        inputs.force_pure_content = true;
        t->plain = whole.prompt == common_chat_templates_apply(t->library.get(), inputs).prompt;
        t->stops = stops_text(whole);
    } catch (const std::exception &) {
        t->plain = false; /* a template may refuse this talk; requests will say so themselves */
    }
}

bool is_plain(const common_chat_templates_inputs &inputs)
{
    for (const auto &message : inputs.messages)
        if (!message.reasoning_content.empty())
            return false;
    return inputs.chat_template_kwargs.empty() && inputs.continue_final_message == COMMON_CHAT_CONTINUATION_NONE;
}

/* The parser of some templates cannot be worked out although they render: those are rendered alone too. A
 * continued message needs the long way. */
std::string render(const chat_templates *t, common_chat_templates_inputs &inputs, std::string &stops)
{
    inputs.force_pure_content = t->plain && is_plain(inputs);
    try {
        const common_chat_params params = common_chat_templates_apply(t->library.get(), inputs);
        stops = inputs.force_pure_content ? t->stops : stops_text(params);
        return params.prompt;
    } catch (const std::exception &) {
        if (inputs.force_pure_content || inputs.continue_final_message != COMMON_CHAT_CONTINUATION_NONE)
            throw;
    }
    inputs.force_pure_content = true;
    return common_chat_templates_apply(t->library.get(), inputs).prompt;
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
        templates_probe(t.get());
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
const char *chat_templates_source(const struct chat_templates *t) { return t->source.c_str(); }

bool chat_render(const struct chat_templates *t, const char *messages_json, const char *template_kwargs_json,
                 char **ret_prompt, char **ret_stops, char *why, size_t why_size)
{
    try {
        common_chat_templates_inputs inputs;
        inputs.messages = common_chat_msgs_parse_oaicompat(common_json::parse(messages_json));
        if (template_kwargs_json != nullptr)
            inputs_kwargs(inputs, template_kwargs_json);
        if (!inputs.messages.empty() && inputs.messages.back().role == "assistant") {
            inputs.add_generation_prompt = false;
            inputs.continue_final_message = COMMON_CHAT_CONTINUATION_AUTO;
        }
        std::string stops;
        std::unique_lock<std::mutex> lock(t->render_lock);
        const std::string text = render(t, inputs, stops);
        lock.unlock();
        char *prompt = copy_text(text);
        *ret_stops = stops.empty() ? nullptr : strdup(stops.c_str());
        *ret_prompt = prompt;
        return true;
    } catch (const std::exception &e) {
        why_set_render(why, why_size, e.what());
    } catch (...) {
        why_set(why, why_size, "unknown exception");
    }
    return false;
}
