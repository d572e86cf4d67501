"""The journal's events: on the wire and back, and the table of the README."""

import re
from pathlib import Path

import msgspec
import pytest

import agent.journal
from common.events import EVENTS, Event, Exit, LinkUp, Start, read_event

README = Path(agent.journal.__file__).parent / "README.md"


@pytest.mark.parametrize(
    "event",
    [
        Start(
            run="0000aaaa", version="0.1.0", previous_end="crashed", outbox="kept",
            previous_exit=Exit(result="watchdog", code="dumped", status="ABRT"),
        ),
        LinkUp(connection=2, down_ms=5000, cause="gateway", layers=(("gateway", 1000),)),
    ],
)  # fmt: skip
def test_an_entry_is_read_back_as_it_was_written(event: Event) -> None:
    wire = msgspec.json.decode(msgspec.json.encode(event.details()))
    assert read_event(event.name, wire) == event


def test_what_another_version_wrote_or_another_event_is_none() -> None:
    assert read_event("scan_damaged", {"gun": "main"}) is None
    assert read_event("link_up", {"connection": "two"}) is None
    assert read_event("link_up", {"connection": 2, "new_in_version_9": 1}) == LinkUp(connection=2)


def test_the_readme_lists_every_event_and_of_all_its_details() -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|", README.read_text("utf-8"), re.M)
    documented = {name: set(re.findall(r"`(\w+)`", details)) for name, details in rows}
    assert documented == {name: set(event.__struct_fields__) for name, event in EVENTS.items()}
