"""Parsing messages into facts: a message that breaks the contract is set aside whole, and nothing crashes."""

import json
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st
from support.messages_of import NAME, OUTBOX, capture, device, heartbeat, journal, scan, state

from center.store.intake import Arrived, parse
from common.messages import topic


def of(leaf: str, payload: bytes, name: str = NAME, **other: bool) -> Arrived:
    return Arrived(topic(name, leaf), payload, **other)


def test_a_row_is_kept_as_the_bytes_that_the_terminal_committed() -> None:
    (row,) = parse(of("journal", journal(3), late=True)).rows
    assert (row.terminal.name, row.outbox, row.seq, row.kind, row.late) == (NAME, OUTBOX, 3, "journal", True)
    assert row.body == journal(3)
    assert row.digest == sha256(journal(3)).digest()


def test_each_capture_of_a_batch_is_a_row_with_its_own_bytes() -> None:
    odd = capture(8).replace(b'": ', b'"  :')  # spaces that none of our encoders writes
    parsed = parse(of("scan", scan(capture(7), odd)))
    assert [(row.seq, row.body) for row in parsed.rows] == [(7, capture(7)), (8, odd)]


def test_a_bad_capture_in_a_batch_is_set_aside_and_holds_its_place_while_the_others_are_stored() -> None:
    bad = json.dumps({**json.loads(capture(8)), "text": 5}).encode()
    parsed = parse(of("scan", scan(capture(7), bad, capture(9))))
    assert [(row.seq, row.rejected) for row in parsed.rows] == [(7, False), (8, True), (9, False)]
    assert [one.body for one in parsed.set_aside] == [bad]
    assert "text" in parsed.set_aside[0].why


def test_a_message_that_fails_the_schema_counts_as_received_if_its_place_can_be_read() -> None:
    parsed = parse(of("device/printer/main", device(4, "on fire")))
    assert [(row.seq, row.kind) for row in parsed.rows] == [(4, "rejected")]
    assert "on fire" in parsed.set_aside[0].why
    assert not parse(of("device/printer/main", b'{"outbox": "' + OUTBOX.encode() + b'", "seq": 4')).rows


def test_a_topic_outside_the_contract_is_set_aside() -> None:
    for leaf in ("weather", "device/printer", "device/a/b/c", "receipt", "command/check", "device/x/" + "y" * 300):
        parsed = parse(of(leaf, journal(1)))
        assert parsed.set_aside, leaf
        assert all(row.rejected for row in parsed.rows), leaf


def test_the_terminal_is_the_one_in_the_topic_never_the_one_in_the_payload() -> None:
    parsed = parse(of("state", state(name="450225-GXBRS0002B-1")))
    assert parsed.state is None
    assert "another terminal" in parsed.set_aside[0].why
    assert parse(of("state", state())).state is not None


def test_a_name_that_is_not_a_terminals_is_set_aside_without_a_place() -> None:
    for name in ("yinong/1/recorder/journal", "yinong/1/450225-XX-1/journal", "yinong/1/journal", "other/topic", ""):
        parsed = parse(Arrived(name, journal(1)))
        assert len(parsed.set_aside) == 1, name
        assert not parsed.rows, name


def test_a_number_that_no_database_holds_is_set_aside() -> None:
    parsed = parse(of("journal", journal(2**63)))
    assert parsed.set_aside
    assert not parsed.rows


def test_a_heartbeat_is_a_value_and_not_a_row() -> None:
    parsed = parse(of("heartbeat", heartbeat()))
    assert (len(parsed.values), len(parsed.rows)) == (1, 0)


LEAVES = st.sampled_from(
    ["state", "heartbeat", "device/printer/main", "standard", "journal", "scan", "telemetry", "reply", "receipt", "x/y"]
)
VALID = st.sampled_from([state(), heartbeat(), device(1), journal(1), scan(capture(1), capture(2))])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["outbox", "seq", "captures", "at", "v"]) | st.text(), inner)
    ),
).map(lambda value: json.dumps(value).encode())


@given(LEAVES, st.binary() | JSON | VALID)
def test_hostile_bytes_are_stored_or_set_aside_and_never_raise(leaf: str, payload: bytes) -> None:
    parsed = parse(of(leaf, payload))
    assert parsed.rows or parsed.values or parsed.set_aside or leaf == "scan"


@given(LEAVES, VALID, st.data())
def test_a_damaged_message_never_raises(leaf: str, payload: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(payload) - 1))
    parse(of(leaf, payload[:at] + data.draw(st.binary(max_size=4)) + payload[at + 1 :]))


def test_brackets_without_end_are_set_aside() -> None:
    assert parse(of("journal", b"[" * 100_000)).set_aside
    assert parse(of("scan", b'{"captures":' + b"[" * 100_000)).set_aside


@given(st.text())
def test_any_topic_is_accepted(name: str) -> None:
    parse(Arrived(name, b"{}"))
