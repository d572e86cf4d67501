"""`config check`: every mistake at once."""

from support.command_line import Files, run
from support.daemon import TERMINAL


def test_six_mistakes_are_six(files: Files) -> None:
    text = (
        '[station]\ndivision = "4502"\nnumber = "桂BRS0001Q"\n[broker]\nhost = "127.0.0.1"\nport = 99999\ntls = false\n'
        '[delivery]\nacknowledge = "maybe"\n[log]\nlevle = "info"\n[[device]]\nclass = "printer"\nid = "a"\ncolour = 1\n'
    )
    config = files.folder / "agent.toml"
    config.write_text(text, "utf-8")
    ran = run("config", "check", "--config", config)
    assert ran.code == 2
    assert "有 6 处错误" in ran.out
    for n, path in enumerate(
        ("station.division", "station.number", "broker.port", "delivery.acknowledge", "log.levle", "device[1].colour"),
        1,
    ):
        line = next(line for line in ran.out.splitlines() if line.startswith(f"{n}. "))
        assert path in line, f"{n}: {line}"
    form = run("config", "check", "--json", "--config", config).json
    assert [mistake["path"] for mistake in form["mistakes"]] == [
        "station.division",
        "station.number",
        "broker.port",
        "delivery.acknowledge",
        "log.levle",
        "device[1].colour",
    ]


def test_a_mistake_in_a_device_alone_is_1_and_none_is_0(files: Files) -> None:
    wrong = files.config('[[device]]\nclass = "printer"\nid = "a"\ncolour = 1\n')
    assert run("config", "check", "--config", wrong).code == 1
    ran = run("config", "check", "--config", files.config(TERMINAL), "--lang", "en")
    assert (ran.code, "no mistakes" in ran.out) == (0, True)


def test_the_file_is_found_by_the_environment_too(files: Files) -> None:
    ran = run("config", "check", YINONG_AGENT_CONFIG=str(files.folder / "elsewhere.toml"))
    assert ran.code == 2
    assert "elsewhere.toml" in ran.out
