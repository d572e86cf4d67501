"""The event journal: how the previous run ended, which configuration changed, and that it never blocks the daemon."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.configuration.settings import load
from agent.devices.debounce import STATE_PREFIX
from agent.journal.writer import RUN_STATE, JournalWriter, section_hashes
from agent.outbox.opening import open_outbox
from agent.outbox.outbox import Opening, Outbox
from agent.outbox.writer import Writer
from common.messages import Journal

KEPT = Opening("kept", {})


def mark(boot: str = "b0070001", *, stopped: bool = False, **more: str) -> bytes:
    return msgspec.json.encode({"run": "0000aaaa", "boot": boot, "stopped": stopped, "version": "0.0.9", **more})


def entries(outbox: Outbox) -> list[Journal]:
    return [msgspec.json.decode(row.body, type=Journal) for row in outbox.waiting(0, 100) if row.leaf == "journal"]


async def test_the_start_entry_reports_the_previous_run(writer: Writer, outbox: Outbox, clock: Any) -> None:
    await writer.commit([], {RUN_STATE: mark("b0070000")})
    await JournalWriter(writer, clock, "0000bbbb", "0.1.0").begin(Opening("corrupt", {"moved_to": "x"}), 2)
    (start,) = entries(outbox)
    assert start.event == "start"
    assert start.details == {
        "run": "0000bbbb",
        "version": "0.1.0",
        "previous_end": "cut",
        "outbox": "corrupt",
        "previous_run": "0000aaaa",
        "previous_boot": "b0070000",
        "previous_version": "0.0.9",
        "new_boot": True,
        "outbox_details": {"moved_to": "x"},
        "configuration_mistakes": 2,
    }
    assert (start.boot, start.mono_ms, start.clock) == (clock.boot, clock.mono_ms(), "synced")


@pytest.mark.parametrize("before", [b"{", b"\xff", b'{"run": "a"}', b'{"life": 9}'])
async def test_a_state_of_another_version_is_no_reason_not_to_start(
    writer: Writer, outbox: Outbox, clock: Any, before: bytes
) -> None:
    await writer.commit([], {RUN_STATE: before})
    await JournalWriter(writer, clock, "0000bbbb", "0.1.0").begin(KEPT, 0)
    assert entries(outbox)[0].details["previous_end"] == "unknown"


async def test_a_start_without_a_stop_is_a_crash_and_with_one_it_is_clean(
    writer: Writer, outbox: Outbox, clock: Any
) -> None:
    for n, stops in enumerate((False, True, False)):
        journal = JournalWriter(writer, clock, f"0000000{n}", "0.1.0")
        await journal.begin(KEPT, 0)
        if stops:
            await journal.end()
    events = [(one.event, one.details.get("previous_end")) for one in entries(outbox)]
    assert events == [("start", "first"), ("start", "crashed"), ("stop", None), ("start", "clean")]


async def test_what_systemd_saw_of_a_crash_is_in_the_next_start_entry(
    writer: Writer, outbox: Outbox, clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("INVOCATION_ID", "one")
    await JournalWriter(writer, clock, "0000aaaa", "0.1.0").begin(KEPT, 0)
    note = {"service_result": "watchdog", "exit_code": "dumped", "exit_status": "ABRT", "invocation_id": "one"}
    (tmp_path / "last-exit.json").write_text(json.dumps(note))
    monkeypatch.setenv("INVOCATION_ID", "two")
    clock.boot = "b0070002"
    await JournalWriter(writer, clock, "0000bbbb", "0.1.0").begin(KEPT, 0)
    details = entries(outbox)[-1].details
    assert (details["previous_end"], details["new_boot"]) == ("crashed", True)
    assert details["previous_exit"] == {"result": "watchdog", "code": "dumped", "status": "ABRT"}


async def test_a_shutdown_of_the_machine_is_recorded_in_the_stop_and_in_the_next_start(
    writer: Writer, outbox: Outbox, clock: Any, tmp_path: Path
) -> None:
    for number, file in enumerate((None, "up", "stopping")):
        if file:
            (tmp_path / "run/yinong-machine").mkdir(parents=True, exist_ok=True)
            (tmp_path / "run/yinong-machine" / file).touch()
        journal = JournalWriter(writer, clock, f"0000000{number}", "0.1.0", tmp_path)
        await journal.begin(KEPT, 0)
        await journal.end()
    await JournalWriter(writer, clock, "00000009", "0.1.0", tmp_path).begin(KEPT, 0)
    recorded = entries(outbox)
    assert [one.details.get("of") for one in recorded if one.event == "stop"] == [None, "service", "machine"]
    starts = [one.details.get("previous_stop") for one in recorded if one.event == "start"]
    assert starts == [None, None, "service", "machine"]


async def test_of_a_changed_configuration_the_sections_are_recorded_and_no_content(
    writer: Writer, outbox: Outbox, clock: Any, tmp_path: Path
) -> None:
    file = tmp_path / "agent.toml"
    head = '[station]\ndivision = "450225"\nnumber = "桂BRS0001B"\n'
    printer = '[[device]]\nclass = "printer"\nid = "main"\n'
    other = '[broker]\nhost = "192.0.2.99"\ntls = false\n[log]\nlevel = "debug"\n'
    texts = [
        f'{head}[broker]\nhost = "192.0.2.1"\ntls = false\n{printer}',
        f'# a comment\n{head}\n[broker]\ntls = false\nhost   = "192.0.2.1"\n{printer}',
        f"{head}{other}{printer}",
        f"{head}{other}{printer.replace('printer', 'terminal')}",
    ]
    for text in texts:
        file.write_text(text, "utf-8")
        loaded = load(file)
        assert loaded.settings is not None
        await JournalWriter(writer, clock, "0000aaaa", "0.1.0").record_configuration(section_hashes(loaded))
    first, second = entries(outbox)
    assert first.details["sections"] == ["broker", "log"]
    assert second.details["sections"] == ["device:printer/main", "device:terminal/main"]
    assert first.details["now"] == second.details["before"] != second.details["now"]
    assert "192.0.2" not in str(first.details)


async def test_a_full_disk_does_not_keep_the_daemon_from_starting(
    writer: Writer, outbox: Outbox, room: Any, clock: Any
) -> None:
    room.none()
    journal = JournalWriter(writer, clock, "0000bbbb", "0.1.0")
    await journal.record_other("big", text="x" * 100_000)
    room.plenty()
    await journal.record_other("small")
    assert [one.event for one in entries(outbox)] == ["small"]


async def test_on_other_hardware_everything_is_reported_anew(tmp_path: Path) -> None:
    first = open_outbox(tmp_path / "o.db", "hardware-one", "00000000000a", "t")
    first.append([], {f"{STATE_PREFIX}printer/main": b"{}", "gun:main": b"{}", RUN_STATE: mark()})
    first.close()
    moved = open_outbox(tmp_path / "o.db", "hardware-two", "00000000000b", "t")
    assert (moved.opening.kind, moved.id) == ("other_hardware", "00000000000b")
    moved.append([], {f"{STATE_PREFIX}led_screen/2": b"{}"})
    statements: list[str] = []
    moved.db.set_trace_callback(statements.append)
    moved.forget_states(STATE_PREFIX)
    moved.db.set_trace_callback(None)
    assert statements.count("COMMIT") == 1, "all of them in one transaction"
    assert moved.states(STATE_PREFIX) == {}
    assert moved.state("judged:printer/main") is None
    assert moved.state("gun:main") is not None
    moved.close()
