"""Answers of a given form, with the official client: json_object, json_schema, raw grammars; and reasoning."""

import json
import re
import subprocess
import time

import openai
import pytest

from conftest import MODEL, ROOT
from engine_speaks_openai import Engine

QUESTION = [{"role": "user", "content": "Describe Paris as JSON."}]
CITY = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 20},
        "kind": {"enum": ["city", "town"]},
        "size": {"type": "integer", "minimum": 1, "maximum": 100},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{2,6}$"}, "minItems": 1, "maxItems": 2},
        "founded": {"type": "string", "format": "date"},
        "mail": {"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "null"}]},
    },
    "required": ["name", "kind", "size", "tags", "founded", "mail"],
    "additionalProperties": False,
}


def check_city(text):
    city = json.loads(text)
    assert set(city) == set(CITY["required"])
    assert 1 <= len(city["name"]) <= 20 and city["kind"] in ("city", "town") and 1 <= city["size"] <= 100
    assert 1 <= len(city["tags"]) <= 2 and all(re.fullmatch("[a-z]{2,6}", t) for t in city["tags"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", city["founded"])
    assert city["mail"] is None or re.fullmatch(r"(\d{1,3}\.){3}\d{1,3}", city["mail"])


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    e = Engine(tmp_path_factory.mktemp("structure"), MODEL, "--ctx-size", "4096")
    yield e
    assert e.stop() == 0


@pytest.fixture(scope="module")
def thinker(tmp_path_factory):
    """A template that opens the reasoning itself; the model has to be stopped by a budget."""
    source = subprocess.check_output([ROOT / "scripts/llama", "source"], text=True).strip()
    e = Engine(tmp_path_factory.mktemp("structure"), MODEL, "--ctx-size", "4096", "--reasoning-budget", "6",
               "--chat-template-file", f"{source}/models/templates/Qwen-QwQ-32B.jinja")
    yield e
    assert e.stop() == 0


def schema(s, strict=True):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": s, "strict": strict}}


def ask(e, **more):
    more = {"max_tokens": 200, "temperature": 0, "messages": QUESTION} | more
    return e.client.chat.completions.create(model="m", **more)


def test_json_schema(plain):
    choice = ask(plain, response_format=schema(CITY)).choices[0]
    assert choice.finish_reason == "stop"
    check_city(choice.message.content)


def test_json_schema_at_any_temperature(plain):
    answer = ask(plain, response_format=schema(CITY), temperature=1.5, n=3, seed=3)
    for choice in answer.choices:
        check_city(choice.message.content)


def test_streamed(plain):
    text = "".join(c.choices[0].delta.content or "" for c in ask(plain, response_format=schema(CITY), stream=True))
    check_city(text)


def test_json_object(plain):
    choice = ask(plain, response_format={"type": "json_object"}, stop=["\n\n"], max_tokens=120).choices[0]
    assert choice.message.content.lstrip().startswith("{")
    if choice.finish_reason == "stop":
        assert isinstance(json.loads(choice.message.content), dict)


def test_json_schema_of_llama_server(plain):
    answer = ask(plain, extra_body={"json_schema": {"enum": ["yes", "no"]}})
    assert answer.choices[0].message.content in ('"yes"', '"no"')


def test_grammar(plain):
    answer = ask(plain, extra_body={"grammar": 'root ::= ("yes" | "no") " " [0-9]{3}'})
    assert re.fullmatch("(yes|no) [0-9]{3}", answer.choices[0].message.content)
    assert answer.choices[0].finish_reason == "stop"


def test_grammar_in_completions(plain):
    answer = plain.client.completions.create(model="m", prompt="Is it so?", max_tokens=40, temperature=0,
                                             extra_body={"grammar": 'root ::= "maybe" | "never"'})
    assert answer.choices[0].text in ("maybe", "never")


def test_a_schema_after_reasoning(thinker):
    message = ask(thinker, response_format=schema({"enum": ["yes", "no"]}), max_tokens=60).choices[0].message
    assert message.reasoning_content and message.content in ('"yes"', '"no"')


def test_a_grammar_after_reasoning(thinker):
    message = ask(thinker, extra_body={"grammar": "root ::= [a-c]{3}"}, max_tokens=60).choices[0].message
    assert message.reasoning_content and re.fullmatch("[a-c]{3}", message.content)


def test_reasoning_and_its_budget(thinker):
    answer = ask(thinker, max_tokens=40)
    message = answer.choices[0].message
    assert message.reasoning_content and "think>" not in message.reasoning_content + message.content
    assert 6 <= answer.usage.completion_tokens_details.reasoning_tokens <= 12
    longer = ask(thinker, max_tokens=40, extra_body={"reasoning_budget": 12})
    assert longer.usage.completion_tokens_details.reasoning_tokens > answer.usage.completion_tokens_details.reasoning_tokens
    none = ask(thinker, max_tokens=40, extra_body={"reasoning_budget": 0})
    assert len(getattr(none.choices[0].message, "reasoning_content", "") or "") < len(message.reasoning_content)


def test_reasoning_streamed(thinker):
    whole = ask(thinker, max_tokens=40).choices[0].message
    reasoning, content = "", ""
    for chunk in ask(thinker, max_tokens=40, stream=True):
        delta = chunk.choices[0].delta
        assert not (content and getattr(delta, "reasoning_content", None)), "reasoning comes first"
        reasoning += getattr(delta, "reasoning_content", None) or ""
        content += delta.content or ""
    assert (reasoning, content) == (whole.reasoning_content, whole.content)


def test_reasoning_as_it_was_written(thinker):
    message = ask(thinker, max_tokens=40, extra_body={"reasoning_format": "none"}).choices[0].message
    assert "</think>" in message.content and not getattr(message, "reasoning_content", None)


def test_thinking_on_and_off(plain):
    """What a template does with its switches; the effort none is enable_thinking false."""
    source = subprocess.check_output([ROOT / "scripts/llama", "source"], text=True).strip()
    e = Engine(plain.log.parent, MODEL, "--chat-template-file", f"{source}/models/templates/Qwen-Qwen3-0.6B.jinja")
    try:
        sizes = [ask(e, max_tokens=1, **more).usage.prompt_tokens for more in (
            {}, {"reasoning_effort": "low"}, {"reasoning_effort": "none"},
            {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}})]
        assert sizes[0] == sizes[1] < sizes[2] == sizes[3]  # the template closes the reasoning in the prompt
    finally:
        e.stop()


def test_with_tools_it_is_a_call_or_the_schema(plain):
    tool = {"type": "function", "function": {"name": "look", "parameters": {
        "type": "object", "properties": {"at": {"enum": ["a", "b"]}}, "required": ["at"]}}}
    choice = ask(plain, tools=[tool], response_format=schema({"enum": ["yes", "no"]})).choices[0]
    if choice.message.tool_calls:
        assert json.loads(choice.message.tool_calls[0].function.arguments)["at"] in ("a", "b")
    else:
        assert choice.message.content in ('"yes"', '"no"')


def test_typed_helpers(plain):
    import pydantic


    class Step(pydantic.BaseModel):
        explanation: str = pydantic.Field(max_length=20)
        result: int

    class Answer(pydantic.BaseModel):
        steps: list[Step] = pydantic.Field(max_length=2)
        final: bool

    answer = plain.client.chat.completions.parse(model="m", messages=QUESTION, response_format=Answer, max_tokens=300,
                                                 temperature=0)
    assert isinstance(answer.choices[0].message.parsed, Answer)


@pytest.mark.parametrize(
    "param, says, more",
    [
        ("response_format.json_schema.schema", "multipleOf",
         {"response_format": schema({"type": "object", "properties": {"a": {"type": "number", "multipleOf": 2}}})}),
        ("response_format.json_schema.schema", "LIMIT_SCHEMA_NODES",
         {"response_format": schema({"type": "object", "properties": {
             f"p{i}": {"anyOf": [{"type": "string"}] * 50} for i in range(200)}})}),
        ("response_format.json_schema.schema", "nothing fits",
         {"response_format": schema({"type": "array", "items": {"type": "string"}, "minItems": 5, "maxItems": 2})}),
        ("response_format", "begins with itself|admits no text",
         {"response_format": schema({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}})}),
        ("response_format", "admits no text",
         {"response_format": schema({"$ref": "#/$defs/a", "$defs": {"a": {
             "type": "object", "properties": {"b": {"$ref": "#/$defs/a"}}, "required": ["b"]}}})}),
        ("reasoning_effort", "one of none", {"extra_body": {"reasoning_effort": "enormous"}}),
        ("grammar", "admits no text", {"extra_body": {"grammar": 'root ::= "a" root'}}),
        ("grammar", "begins with itself", {"extra_body": {"grammar": 'root ::= root "a" | "b"'}}),
        ("grammar", "not defined", {"extra_body": {"grammar": "root ::= nothing"}}),
        ("grammar", "nested", {"extra_body": {"grammar": "root ::= " + "(" * 50000}}),
        ("grammar", "LIMIT_GRAMMAR_BYTES", {"extra_body": {"grammar": "#" * 2000000}}),
    ],
)
def test_what_cannot_be_kept_is_refused(plain, param, says, more):
    begin = time.monotonic()
    with pytest.raises(openai.BadRequestError) as caught:
        ask(plain, **more)
    assert caught.value.param == param and re.search(says, caught.value.message), caught.value.message
    assert time.monotonic() - begin < 20


def test_a_hostile_grammar_fails_alone(plain):
    """So ambiguous that its places pass their limit: that request fails, others go on."""
    grammar = 'root ::= a "!"\na ::= [a-z ] a [a-z ] | [a-z ] a [a-z ] [a-z ] | [a-z ] a a | [a-z ]'
    with pytest.raises(openai.APIError):
        ask(plain, extra_body={"grammar": grammar}, max_tokens=1000)
    assert ask(plain, max_tokens=3).usage.completion_tokens == 3
