"""`yinong-agent replay` with recordings as a stranger writes them: right, odd and wrong ones, on their own times."""

import json
from pathlib import Path
from typing import Any

import pytest
from evdev import ecodes as e

from agent.cli.output import Terms
from agent.cli.scan import replay
from drivers.reading import YinongError
from tests.drivers.scan_gun.conftest import Typist

Captures = list[dict[str, Any]]


@pytest.fixture
def replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def run(content: str | bytes | list[str], source: Any = "evdev", **config: Any) -> Captures:
        if isinstance(content, list):
            content = "\n".join([json.dumps({"config": config}), *content] if config else content) + "\n"
        file = tmp_path / "recording.jsonl"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        capsys.readouterr()
        try:
            assert replay(Terms("en"), file, source) == 0
        finally:
            run.printed = capsys.readouterr().out
        return [json.loads(line) for line in run.printed.splitlines()]

    run.printed = ""
    return run


def sent(t: float, data: bytes, **more: Any) -> str:
    return json.dumps({"t": t, "hex": data.hex(), **more})


def texts(captures: Captures) -> list[str]:
    assert not any("damaged" in c["flags"] for c in captures), captures
    return [c["text"] for c in captures]


def test_a_capture_is_printed_with_all_that_is_promised(replayed):
    (good,) = replayed(["", *Typist(1).type("aB\n").lines(), ""])
    (bad,) = replayed(Typist(1).type("a").key(e.KEY_F5).type("B\n").lines())
    for capture in (good, bad):
        assert {"text", "charset", "symbology", "gun", "start", "end", "flags", "raw"} <= set(capture)
    assert (good["text"], good["start"], good["flags"], good["symbology"]) == ("aB", 1.0, [], None)
    assert (bad["text"], bad["seen"], bad["flags"], bad["damage"]) == ("", "aB", ["damaged"], "unknown_key")


@pytest.mark.parametrize("change", [
    lambda content: content.replace("\n", "\r\n"),
    lambda content: "\ufeff" + content,
    lambda content: content.removesuffix("\n"),
    lambda content: "\n \n" + content,
])  # fmt: skip
def test_line_ends_of_windows_a_byte_order_mark_and_empty_lines_change_nothing(change, replayed):
    content = "\n".join(['{"config": {"id": "main"}}', *Typist(1).type("690\n").lines()]) + "\n"
    assert [(c["gun"], c["text"]) for c in replayed(change(content))] == [("main", "690")]


def test_an_empty_recording_gives_nothing(replayed):
    assert replayed("") == replayed(['{"config": {}}']) == []


def test_times_are_the_recordings_own_whatever_their_zero(replayed):
    for start in (0.0, 1.5, 1_764_000_000.125):
        (capture,) = replayed(Typist(start).type("690\n").lines())
        assert capture["start"] == start


def test_the_repeats_of_a_pressed_key_add_nothing(replayed):
    gun = Typist(1).edge(e.KEY_6, 1).edge(e.KEY_6, 2).edge(e.KEY_6, 2).edge(e.KEY_6, 0).type("9\n")
    assert texts(replayed(gun.lines())) == ["69"]


def test_a_key_whose_name_nobody_knows_is_no_character(replayed):
    lines = Typist(1).type("12").key(e.KEY_F5).type("3\n").type("4\n").lines()
    captures = replayed([line.replace("KEY_F5", "KEY_OF_TOMORROW") for line in lines])
    assert [(c["text"], c["damage"]) for c in captures] == [("", "unknown_key"), ("4", None)]


def test_times_that_go_back_in_mid_scan_make_it_damaged_and_only_it(replayed):
    lines = Typist(1).type("6901\n").type("ok\n").lines()
    lines[3:9] = [*lines[6:9], *lines[3:6]]
    captures = replayed(lines)
    assert [(c["text"], c["damage"]) for c in captures] == [("", "out_of_order"), ("ok", None)]


def test_one_recording_behind_another_in_a_file_is_two_scans(replayed):
    assert texts(replayed(Typist(500).type("one\n").lines() + Typist(1).type("two\n").lines())) == ["one", "two"]


def test_lines_of_two_guns_may_stand_one_behind_the_other(replayed):
    captures = replayed(Typist(1).type("one\n").lines("a") + Typist(1).type("two\n").lines("b"))
    assert [(c["gun"], c["text"], c["damage"]) for c in captures] == [("a", "one", None), ("b", "two", None)]


def test_a_gun_that_is_unplugged_in_mid_scan(replayed):
    lines = [*Typist(1).type("6901").lines(), '{"t": 1.1, "mark": "unplugged"}']
    assert [(c["text"], c["damage"]) for c in replayed(lines)] == [("", "unplugged")]


def test_batches_of_64_events_with_three_scans_waiting(replayed):
    """The ring buffer is read in one go, with timestamps close together: the closest existing tool makes one scan of it."""
    gun = Typist(1, step_s=0)
    for text in ("6901234567892", "ABC-abc", "(01)0690"):
        gun.type(text + "\n")
    assert texts(replayed(gun.lines())) == ["6901234567892", "ABC-abc", "(01)0690"]


def test_the_hosts_capslock_is_ignored_unless_the_gun_watches_it(replayed):
    lines = Typist(1).event(e.EV_LED, e.LED_CAPSL, 1).type("aB\n").lines()
    assert texts(replayed(lines, caps="ignore")) == ["aB"]
    assert texts(replayed(lines, caps="host")) == ["Ab"]


@pytest.mark.parametrize("split", range(1, 7))
def test_cr_lf_and_characters_split_over_reads(split, replayed):
    data = "隆A\r\n".encode()
    assert texts(replayed([sent(1, data[:split]), sent(1.01, data[split:]), sent(1.3, b"2\r\n")], "serial")) == [
        "隆A",
        "2",
    ]


def test_gbk_that_is_also_valid_utf8_is_read_by_the_rule(replayed):
    (capture,) = replayed([sent(1, "隆隆".encode("gbk") + b"\r")], "serial")
    assert (capture["text"], capture["charset"], capture["raw"]) == ("隆隆", "gb18030", "c2a1c2a10d")


@pytest.mark.parametrize(("eci", "charset"), [("\\000026", "utf-8"), ("\\000029", "gb18030")])
def test_an_eci_prefix_decides_and_a_doubled_backslash_is_one(eci, charset, replayed):
    (capture,) = replayed([sent(1, eci.encode() + "笔\\\\记".encode(charset) + b"\r")], "serial")
    assert (capture["text"], capture["charset"]) == ("笔\\记", charset)


def test_a_byte_that_came_broken_damages_its_scan_and_no_other(replayed):
    lines = [sent(1, b"69"), sent(1.001, b"0", error=True), sent(1.002, b"1\r"), sent(2, b"ok\r")]
    assert [(c["text"], c["damage"]) for c in replayed(lines, "serial")] == [("", "line_error"), ("ok", None)]


def test_a_report_with_more_to_follow_is_joined_with_the_next(replayed):
    first = bytes([2, 56]) + b"A" * 56 + bytes(5) + b"\x01"
    last = bytes([2, 2]) + b"BC" + bytes(60)
    assert texts(replayed([sent(1, first), sent(1.004, last)], "hidpos")) == ["A" * 56 + "BC"]
    cut = replayed([sent(1, first), sent(9, last)], "hidpos")
    assert [c["text"] for c in cut if not c["flags"]] in ([], ["BC"])
    assert cut[0]["damage"] == "bad_report"


def test_aim_and_honeywells_own_code_id_in_a_report(replayed):
    report = bytes([2, 3]) + b"]Q1" + "笔".encode() + bytes(53) + b"s" + bytes(2)
    (capture,) = replayed([sent(1, report)], "hidpos")
    assert (capture["text"], capture["symbology"], len(report)) == ("笔", "Q1", 64)


def test_an_empty_place_for_the_aim_identifier_is_no_data(replayed):
    report = bytes([2, 13]) + bytes(3) + b"6901234567892" + bytes(46)
    assert texts(replayed([sent(1, report)], "hidpos")) == ["6901234567892"]


def test_a_report_longer_than_its_length_is_damaged(replayed):
    report = bytes([2, 10]) + b"6901234567892" + bytes(49)
    assert [(c["text"], c["damage"]) for c in replayed([sent(1, report)], "hidpos")] == [("", "bad_report")]


EVENT = '{"t": 1, "type": "EV_KEY", "code": "KEY_A", "value": 1}'


@pytest.mark.parametrize(("source", "lines", "number", "message"), [
    ("evdev", [EVENT, "hello"], 2, "is no JSON"),
    ("evdev", ["[" * 100_000], 1, "is no JSON"),
    ("evdev", ["\0\0"], 1, "is no JSON"),
    ("evdev", [EVENT, EVENT[:20]], 2, "a last line that was cut off"),
    ("evdev", ["[]"], 1, "Expected `object`"),
    ("evdev", ['{"type": "EV_KEY", "code": "KEY_A", "value": 1}'], 1, "missing required field `t`"),
    ("evdev", ['{"t": NaN, "type": "EV_KEY", "code": "KEY_A", "value": 1}'], 1, "$.t"),
    ("evdev", ['{"t": 1e300, "type": "EV_KEY", "code": "KEY_A", "value": 1}'], 1, "$.t"),
    ("evdev", ['{"t": 1, "type": "KEY_A", "code": "KEY_A", "value": 1}'], 1, "no event type"),
    ("evdev", ['{"t": 1, "type": "EV_KEY", "code": "LED_CAPSL", "value": 1}'], 1, "no code of EV_KEY"),
    ("evdev", ['{"t": 1, "type": "EV_KEY", "code": "KEY_A", "value": 1, "device": "\\ud800"}'], 1, "surrogates"),
    ("evdev", [EVENT, '{"config": {}}'], 2, "in the first line only"),
    ("evdev", ['{"t": 1, "hex": "36"}'], 1, "use --source serial"),
    ("serial", [EVENT], 1, "use --source evdev"),
    ("serial", ['{"t": 1, "hex": "zz"}'], 1, "hex"),
    ("serial", ['{"t": 1, "mark": "lost"}'], 1, "$.mark"),
    ("evdev", ['{"config": {"caps": "maybe"}}'], 1, "$.caps"),
    ("evdev", ['{"config": {"grab": "steal"}}'], 1, "$.grab"),
    ("evdev", ['{"config": {"sufix": "tab"}}'], 1, "sufix"),
    ("evdev", ['{"config": 5}'], 1, "expected an object"),
])  # fmt: skip
def test_a_wrong_line_is_reported_with_what_to_do(source, lines, number, message, replayed):
    with pytest.raises(YinongError) as error:
        replayed(lines, source)
    assert f"line {number}: " in str(error.value)
    assert message in str(error.value)


def test_what_came_before_a_wrong_line_is_printed(replayed):
    with pytest.raises(YinongError, match="line 13"):
        replayed([*Typist(1).type("1\n").lines(), "{"])
    assert json.loads(replayed.printed)["text"] == "1"


def test_a_file_that_is_not_text_is_reported(replayed):
    with pytest.raises(YinongError, match="UTF-8"):
        replayed(EVENT.encode("utf-16"))
