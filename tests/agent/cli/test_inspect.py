"""`inspect` and `replay`: the reading of a recorded answer of a device."""

import json
from pathlib import Path

import pytest
from support.command_line import DEVICE, Files, one_line, run

CASES = Path(__file__).parents[2] / "drivers"


def test_a_recorded_edid_becomes_its_reading() -> None:
    edid = next((CASES / "led_screen/cases/monitor_24_inch").rglob("edid*"))
    ran = run("inspect", "screen", edid, "--json")
    assert ran.code == 0
    assert set(ran.json) == DEVICE
    assert ran.json["class"] == "led_screen"
    assert ran.json["measures"]["area_m2"] == pytest.approx(0.16, abs=0.05)
    assert "area_m2" in run("inspect", "screen", edid).out


@pytest.mark.parametrize("what", ["screen", "printer"])
def test_what_cannot_be_read_is_one_line_and_what_has_no_meaning_is_a_reading(files: Files, what: str) -> None:
    assert "nonesuch" in one_line(run("inspect", what, files.folder / "nonesuch"))
    assert "folder" in one_line(run("inspect", what, _folder(files)))
    (files.folder / "noise").write_bytes(bytes(range(256)))
    ran = run("inspect", what, files.folder / "noise", "--json")
    assert "Traceback" not in ran.err
    assert ran.code == 0
    assert ran.json["condition"] in ("faulty", "unknown", "attention", "unreachable")


def _folder(files: Files) -> Path:
    folder = files.folder / "a-folder"
    folder.mkdir(exist_ok=True)
    return folder


def test_the_text_of_a_scan_can_be_given_on_the_command_line() -> None:
    ran = run("inspect", "scan", "6901234567892", "--json")
    assert ran.code == 0
    assert set(ran.json) == DEVICE


@pytest.mark.parametrize("content", [b"\xff\xfe", b'{"t": 1, "hex": "0g"}\n', None])
def test_an_invalid_recording_is_one_line(files: Files, content: bytes | None) -> None:
    if content is not None:
        (files.folder / "r.jsonl").write_bytes(content)
    assert one_line(run("replay", files.folder / "r.jsonl", "--source", "serial"))


def test_a_recording_is_replayed_as_json_lines(files: Files) -> None:
    (files.folder / "r.jsonl").write_text('{"t": 1.0, "hex": "36393031323334353637383932 0d"}\n')
    ran = run("replay", files.folder / "r.jsonl", "--source", "serial")
    assert ran.code == 0
    assert [json.loads(line)["text"] for line in ran.out.splitlines()] == ["6901234567892"]
