"""Tool calls with the official client: any template, streamed and whole, histories, and what is refused."""

import json
import subprocess

import openai
import pytest

from conftest import MODEL, ROOT
from engine_speaks_openai import Engine

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 30},
                "unit": {"enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 14},
            },
            "required": ["city", "unit", "days"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time", "description": "Get the time"}}
QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]
# Our own form, Hermes' JSON, bare JSON, JSON in a list. More of them: chat_shim_test.c.
TEMPLATES = [None, "Qwen-Qwen3-0.6B", "meta-llama-Llama-3.1-8B-Instruct",
             "mistralai-Mistral-Nemo-Instruct-2407"]


def check_weather(arguments):
    arguments = json.loads(arguments)
    assert set(arguments) == {"city", "unit", "days"}
    assert isinstance(arguments["city"], str) and len(arguments["city"]) <= 30
    assert arguments["unit"] in ("celsius", "fahrenheit")
    assert isinstance(arguments["days"], int) and 1 <= arguments["days"] <= 14


@pytest.fixture(scope="module")
def templates():
    return subprocess.check_output([ROOT / "scripts/llama", "source"], text=True).strip() + "/models/templates"


@pytest.fixture(scope="module", params=TEMPLATES, ids=lambda t: t or "own")
def engine(request, tmp_path_factory, templates):
    flags = ["--chat-template-file", f"{templates}/{request.param}.jinja"] if request.param else []
    e = Engine(tmp_path_factory.mktemp("tools"), MODEL, "--ctx-size", "4096", *flags)
    yield e
    assert e.stop() == 0


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    e = Engine(tmp_path_factory.mktemp("tools"), MODEL, "--ctx-size", "4096")
    yield e
    assert e.stop() == 0


def ask(e, tools=(WEATHER,), messages=QUESTION, **more):
    more = {"max_tokens": 200, "temperature": 0} | more
    return e.client.chat.completions.create(model="m", messages=messages, tools=list(tools), **more)


def test_a_required_call_fits_its_schema(engine):
    answer = ask(engine, tool_choice="required", parallel_tool_calls=False)
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.type == "function" and call.function.name == "get_weather" and len(call.id) > 8
    check_weather(call.function.arguments)


def test_the_stream_is_the_same_call(engine):
    whole = ask(engine, tool_choice="required", parallel_tool_calls=False).choices[0].message.tool_calls[0]
    pieces, finish, names, ids = "", None, [], []
    for chunk in ask(engine, tool_choice="required", parallel_tool_calls=False, stream=True):
        choice = chunk.choices[0]
        finish = choice.finish_reason or finish
        for delta in choice.delta.tool_calls or []:
            assert delta.index == 0
            names += [delta.function.name] if delta.function.name else []
            ids += [delta.id] if delta.id else []
            pieces += delta.function.arguments or ""
    assert names == ["get_weather"] and len(ids) == 1 and finish == "tool_calls"
    assert json.loads(pieces) == json.loads(whole.function.arguments)


def test_a_history_with_calls_renders(engine):
    calls = [{"id": "call_abcdefghijklmnopqrstuvwx", "type": "function",
              "function": {"name": "get_weather", "arguments": '{"city":"Paris","unit":"celsius","days":1}'}}]
    messages = QUESTION + [{"role": "assistant", "content": None, "tool_calls": calls},
                           {"role": "tool", "tool_call_id": calls[0]["id"], "content": "22 degrees and sunny"}]
    answer = ask(engine, messages=messages, max_tokens=20)
    assert answer.usage.completion_tokens > 0
    assert answer.usage.prompt_tokens > ask(engine, max_tokens=1).usage.prompt_tokens


def test_auto_answers_with_text_or_a_sound_call(engine):
    choice = ask(engine, messages=[{"role": "user", "content": "Say hello."}], max_tokens=60).choices[0]
    if choice.message.tool_calls:
        for call in choice.message.tool_calls:
            json.loads(call.function.arguments)
    else:
        assert choice.message.content is not None


def test_a_named_choice(plain):
    choice = {"type": "function", "function": {"name": "get_time"}}
    (call, *_) = ask(plain, tools=(WEATHER, CLOCK), tool_choice=choice, parallel_tool_calls=False).choices[0].message.tool_calls
    assert call.function.name == "get_time" and json.loads(call.function.arguments) == {}


def test_none_is_text(plain):
    answer = ask(plain, tool_choice="none", max_tokens=20)
    assert answer.choices[0].message.tool_calls is None and answer.choices[0].message.content
    # as if there were no tools
    bare = plain.client.chat.completions.create(model="m", messages=QUESTION, max_tokens=20, temperature=0)
    assert bare.usage.prompt_tokens == answer.usage.prompt_tokens


def test_choices_each_have_a_call(plain):
    answer = ask(plain, tool_choice="required", parallel_tool_calls=False, n=3, temperature=1.0, seed=5)
    ids = set()
    for choice in answer.choices:
        for call in choice.message.tool_calls:
            check_weather(call.function.arguments)
            ids.add(call.id)
    assert len(ids) >= 3


def test_a_call_cut_short_is_text(plain):
    choice = ask(plain, tool_choice="required", max_tokens=12).choices[0]
    assert choice.finish_reason == "length" and choice.message.tool_calls is None
    assert choice.message.content.startswith("<tool_call>")


def test_a_schema_with_references(plain):
    tool = {"type": "function", "function": {"name": "add", "parameters": {
        "type": "object",
        "properties": {"node": {"$ref": "#/$defs/node"}},
        "required": ["node"],
        "$defs": {"node": {"type": "object", "additionalProperties": False, "required": ["value", "next"], "properties": {
            "value": {"type": "integer", "minimum": 0, "maximum": 9},
            "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}}}}}
    choice = ask(plain, tools=(tool,), tool_choice="required", parallel_tool_calls=False).choices[0]
    if choice.finish_reason == "tool_calls":
        node = json.loads(choice.message.tool_calls[0].function.arguments)["node"]
        assert 0 <= node["value"] <= 9 and "next" in node


@pytest.mark.parametrize(
    "param, says, more",
    [
        ("tools", "LIMIT_TOOLS", {"tools": [{"type": "function", "function": {"name": f"f{i}"}} for i in range(10000)]}),
        ("tools[0].function.parameters", "LIMIT_SCHEMA_PROPERTIES",
         {"tools": [{"type": "function", "function": {"name": "f", "parameters": {
             "type": "object", "properties": {f"p{i}": {} for i in range(5000)}}}}]}),
        ("tools[0].function.parameters", "circle",
         {"tools": [{"type": "function", "function": {"name": "f", "parameters": {
             "allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#/$defs/a"}}}}}]}),
        ("tool_choice", "not among", {"tool_choice": {"type": "function", "function": {"name": "nothing"}}}),
        ("tool_choice", "must be", {"tool_choice": "sometimes"}),
        ("messages[1].tool_calls[0].function.arguments", "JSON",
         {"messages": QUESTION + [{"role": "assistant", "tool_calls": [
             {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}]}]}),
    ],
)
def test_what_is_refused_names_its_field(plain, param, says, more):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(plain, **more)
    assert caught.value.param == param and says in caught.value.message


def test_hostile_tools_stop_nobody(plain):
    """Schemas that become large grammars: an answer or a 400 in bounded time, and the engine lives."""
    deep = {"type": "string"}
    for _ in range(15):
        deep = {"type": "object", "properties": {"a": deep, "b": deep}}
    many = {"type": "object", "properties": {f"p{i}": {"type": "string", "pattern": "^([a-z]{1,90}){1,90}$"} for i in range(200)}}
    for schema in (deep, many):
        tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
        try:
            ask(plain, tools=(tool,), tool_choice="required", max_tokens=4, timeout=60)
        except openai.BadRequestError as e:
            assert e.param is None or e.param.startswith("tools")  # too large for a grammar, or for the context
    assert plain.request("GET", "/health")[0] == 200


def test_the_clients_own_tool_runner(plain):
    """Typed helpers: the client builds a strict schema of a model, and parses the arguments back."""
    import pydantic


    class GetWeather(pydantic.BaseModel):
        city: str
        days: int

    answer = plain.client.chat.completions.parse(
        model="m", messages=QUESTION, tools=[openai.pydantic_function_tool(GetWeather)], tool_choice="required",
        parallel_tool_calls=False, max_tokens=300, temperature=0,
    )
    parsed = answer.choices[0].message.tool_calls[0].function.parsed_arguments
    assert isinstance(parsed, GetWeather) and isinstance(parsed.days, int)
    with plain.client.chat.completions.stream(
        model="m", messages=QUESTION, tools=[openai.pydantic_function_tool(GetWeather)], tool_choice="required",
        parallel_tool_calls=False, max_tokens=300, temperature=0,
    ) as stream:
        kinds = {event.type for event in stream}
        assert "tool_calls.function.arguments.delta" in kinds and "tool_calls.function.arguments.done" in kinds
        assert stream.get_final_completion().choices[0].message.tool_calls[0].function.parsed_arguments == parsed
