"""Settings of the daemon: flags over the environment over the file over the defaults; `tug config` says where each is from."""

import json


def config(cli, *flags, **env):
    return json.loads(cli.tug("config", "--json", *flags, env=env).stdout)


def write(cli, text):
    cli.home.mkdir(parents=True, exist_ok=True)
    file = cli.home / "tug.conf"
    file.write_text(text)
    return file


def test_who_wins(cli):
    assert config(cli)["keep-alive"] == {"value": "5m", "from": "default"}
    file = write(cli, "# mine\nkeep-alive = 1h\nwait=30s\n")
    assert config(cli)["keep-alive"] == {"value": "1h0m0s", "from": "file", "where": f"{file}:2"}
    assert config(cli)["wait"]["where"] == f"{file}:3"
    assert config(cli, TUG_KEEP_ALIVE="2h")["keep-alive"] == {"value": "2h0m0s", "from": "environment", "where": "TUG_KEEP_ALIVE"}
    assert config(cli, "--keep-alive", "3h", TUG_KEEP_ALIVE="2h")["keep-alive"] == {
        "value": "3h0m0s", "from": "flag", "where": "--keep-alive"}
    write(cli, "insecure = yes")
    assert config(cli, "--insecure=false")["insecure"] == {"value": "no", "from": "flag", "where": "--insecure"}


def test_the_table_names_the_place(cli):
    file = write(cli, "api-key = hunter2\n")
    out = cli.tug("config", "--port", "8080").stdout
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert rows["SETTING"] == ["VALUE", "FROM"]
    assert rows["api-key"] == ["(set)", f"{file}:1"] and "hunter2" not in out
    assert rows["listen"] == ["127.0.0.1:8080", "--port"]
    assert rows["home"][1] == "TUG_HOME"


def test_what_is_wrong_is_named(cli):
    for text, says in [
        ("\nlisen = 1\n", ':2: there is no setting "lisen"; there are: listen'),
        ("threads = many\n", ":1: threads=many is not a whole number from 0 to 1024"),
        ("home = /x\n", "home cannot be set in a file"),
        ("just words\n", "is not of the form: key = value"),
    ]:
        file = write(cli, text)
        for command in (["config"], ["serve", "--port", "0"]):
            done = cli.tug(*command, check=False)
            assert done.returncode == 1 and str(file) in done.stderr and says in done.stderr, done.stderr


def test_the_daemon_takes_the_file(make_daemon, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "tug.conf").write_text("log-level = debug\ncontext-size = 1024\nrecord-bodies = yes\n")
    d = make_daemon().package("ai/smollm2")
    assert d.chat("ai/smollm2", "Hi", max_tokens=1).status == 200
    log = d.get("/logs").body.decode()
    assert " debug: " in log
    assert "context=1024" in log, log
    [group] = d.get("/engines/requests").json
    assert "Hi" in group["records"][0]["request"]
