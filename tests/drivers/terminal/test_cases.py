"""Machines as folder trees, the whole reading compared. Space is the test machine's own, so it is left out here."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.catalogue import reason_codes, sentence
from drivers.reading import Evidence, Reading
from drivers.terminal.driver import Terminal, find
from drivers.terminal.kept import CarriedState, as_evidence
from drivers.terminal.part import FAULTS, NEEDS

CASES = sorted((Path(__file__).parent / "cases").iterdir())


def previous(case: Path) -> Reading | None:
    file = case / "previous.json"
    if not file.exists():
        return None
    template = msgspec.convert({"condition": "working", "reason": {"code": "all_well"}}, Reading)
    kept = msgspec.json.decode(file.read_bytes(), type=CarriedState)
    return msgspec.structs.replace(template, evidence=(Evidence("other"), as_evidence(kept)))


def without_this_machines_space(reading: Reading) -> dict[str, Any]:
    shown = msgspec.to_builtins(reading)
    shown["measures"] = {name: value for name, value in shown["measures"].items() if not name.startswith("root_")}
    shown["evidence"] = [evidence for evidence in shown["evidence"] if evidence["method"] != "statvfs"]
    return shown


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_recorded_machine_gives_its_reading(case: Path) -> None:
    root = case / "root"
    terminal = Terminal(id="main", disk_full_mb=0, disk_nearly_full_mb=0)
    reading = await terminal.look(root, previous(case))
    seen = {"reading": without_this_machines_space(reading), "found": msgspec.to_builtins(find(root))}
    if "RECORD_CASES" in os.environ:
        (case / "expected.json").write_text(json.dumps(seen, indent=1, ensure_ascii=False) + "\n", "utf-8")
    assert seen == json.loads((case / "expected.json").read_text("utf-8"))
    assert reading.measures["root_size_mb"]


def test_every_code_is_in_the_catalogue_and_every_entry_is_used() -> None:
    own = reason_codes("terminal") - reason_codes("")
    assert own == {*FAULTS, *NEEDS, "all_well", "no_proc"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_every_sentence_is_filled(case: Path, lang: Any) -> None:
    reading = await Terminal(id="main", disk_full_mb=0, disk_nearly_full_mb=0).look(case / "root", previous(case))
    says, remedy, _ = sentence("terminal", reading.reason, lang)
    assert "{" not in says + remedy
    assert says
