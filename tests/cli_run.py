"""`run` with each of its flags: what is sent, and what is shown."""

import json

ANSWER = "".join(f"data: {json.dumps(d)}\n\n" for d in [
    {"choices": [{"delta": {"reasoning_content": "Hmm"}}]},
    {"choices": [{"delta": {"content": "Code:\n```py\nx = `1`"}}]},
    {"choices": [{"delta": {"content": "\n``"}}]},
    {"choices": [{"delta": {"content": "`\nDone"}}]},
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
]) + "data: [DONE]\n\n"
PLAIN = "Thinking:\nHmm\n\n--\n\nCode:\n```py\nx = `1`\n```\nDone\n\nToken usage: 3 prompt + 4 completion = 7 total\n"


def api(peer):
    return peer({"GET /models/": {"id": "sha256:1"}, "POST /engines/v1/chat/completions": ANSWER,
                 "POST /v1/chat/completions": ANSWER, "POST /engines/_configure": (202, "")})


def test_reasoning_and_usage(cli, peer):
    p = api(peer)
    done = cli.tug("run", "ai/smollm2", "Hi", "there", env={"MODEL_RUNNER_HOST": p.url})
    assert done.stdout == PLAIN and done.stderr == ""
    assert p.asked[-1][2] == {"model": "ai/smollm2", "messages": [{"role": "user", "content": "Hi there"}], "stream": True}


def test_colour_changes_no_text(cli, peer):
    import re

    p = api(peer)
    env = {"MODEL_RUNNER_HOST": p.url}
    done = cli.tug("run", "--color", "yes", "ai/smollm2", "Hi", env=env)
    assert "\x1b[36m```py\nx = `1`\n```\x1b[0m\nDone" in done.stdout and "\x1b[3;90mHmm\x1b[0m" in done.stdout
    assert re.sub("\x1b\\[[0-9;]*m", "", done.stdout) == PLAIN
    for word in ("no", "auto"):
        assert cli.tug("run", "--color", word, "ai/smollm2", "Hi", env=env).stdout == PLAIN
    done = cli.tug("run", "--color", "x", "ai/smollm2", "Hi", env=env, check=False)
    assert done.returncode == 1 and '--color must be one of: auto, yes, no (got "x")' in done.stderr


def test_debug_detach_and_the_refused(cli, peer):
    p = api(peer)
    env = {"MODEL_RUNNER_HOST": p.url}
    assert cli.tug("run", "--debug", "ai/smollm2", "Hi", env=env).stderr == "Running model ai/smollm2 with prompt Hi\n"
    done = cli.tug("run", "--detach", "ai/smollm2", env=env)
    assert done.stdout == "" and done.stderr == "" and p.asked[-1][2]["messages"] == []
    for args, text in [
        (["-d", "--openaiurl", p.url, "x"], "--detach flag cannot be used with --openaiurl flag"),
        (["--websearch", "x", "Hi"], "not part of Tug"),
        (["nvcr.io/nim/meta/llama", "Hi"], "docker run"),
    ]:
        done = cli.tug("run", *args, env=env, check=False)
        assert done.returncode == 1 and text in done.stderr


def test_another_api(cli, peer):
    p = api(peer)
    p.answers["GET /v1/models"] = {"object": "list", "data": [{"id": "gpt-x", "created": 1}, {"id": "a"}]}
    done = cli.tug("run", "--openaiurl", p.url + "/v1/", "gpt-x", "Hi", env={"TUG_API_KEY": "ours"})
    assert done.stdout == PLAIN and [a[1] for a in p.asked] == ["/v1/chat/completions"]
    assert "Authorization" not in p.headers[-1], "our daemon's key is not for others"
    cli.tug("run", "--openaiurl", p.url + "/v1", "gpt-x", "Hi", env={"TUG_API_KEY": "ours", "OPENAI_API_KEY": "theirs"})
    assert p.headers[-1]["Authorization"] == "Bearer theirs"
    rows = cli.tug("ls", "--openaiurl", p.url + "/v1").stdout.splitlines()
    assert rows[0].split() == ["MODEL", "NAME", "CREATED"] and rows[1].split() == ["a"]
    assert rows[2].startswith("gpt-x") and rows[2].rstrip().endswith("years ago")
    assert json.loads(cli.tug("ls", "--json", "--openaiurl", p.url + "/v1").stdout) == p.answers["GET /v1/models"]
    done = cli.tug("ls", "-q", "--openaiurl", p.url, check=False)
    assert done.returncode == 1 and "--quiet flag cannot be used with --openai flag or OpenAI backend" in done.stderr
    assert not (cli.home / "run").exists(), "no daemon is started for somebody else's API"
    done = cli.tug("run", "--openaiurl", "http://127.0.0.1:1/v1", "gpt-x", "Hi", check=False)
    assert done.returncode == 1 and "no answer from http://127.0.0.1:1/v1" in done.stderr
    done = cli.tug("run", "--openaiurl", "nowhere", "gpt-x", "Hi", check=False)
    assert done.returncode == 1 and "--openaiurl: nowhere is not an address" in done.stderr


def test_files_in_what_is_typed(cli, peer, tmp_path):
    p = api(peer)
    env = {"MODEL_RUNNER_HOST": p.url}
    (tmp_path / "notes.txt").write_text("The sea is wide.")
    (tmp_path / "cat.png").write_bytes(b"\x01\x02\x03")
    cli.tug("run", "ai/smollm2", f"Sum up @{tmp_path}/notes.txt", env=env)
    assert p.asked[-1][2]["messages"][0]["content"] == "Sum up The sea is wide."
    cli.tug("run", "ai/smollm2", f"What is {tmp_path}/cat.png", stdin="more", env=env)
    assert p.asked[-1][2]["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQID"}},
        {"type": "text", "text": "What is \n\nmore"}]
    cli.tug("run", "ai/smollm2", stdin=f"@{tmp_path}/notes.txt", env=env)
    assert p.asked[-1][2]["messages"][0]["content"] == f"@{tmp_path}/notes.txt", "piped text names no files"
