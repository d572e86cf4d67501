"""What a message is worth; what keeps to no contract is set aside whole, and nothing crashes."""

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
    odd = capture(8).replace(b'": ', b'"  :')  # spaces as no encoder of ours would put them
    taken = parse(of("scan", scan(capture(7), odd)))
    assert [(row.seq, row.body) for row in taken.rows] == [(7, capture(7)), (8, odd)]


def test_a_bad_capture_in_a_batch_is_set_aside_and_holds_its_place_while_the_others_are_stored() -> None:
    bad = json.dumps({**json.loads(capture(8)), "text": 5}).encode()
    taken = parse(of("scan", scan(capture(7), bad, capture(9))))
    assert [(row.seq, row.rejected) for row in taken.rows] == [(7, False), (8, True), (9, False)]
    assert [one.body for one in taken.set_aside] == [bad]
    assert "text" in taken.set_aside[0].why


def test_a_message_that_fails_the_schema_counts_as_received_where_its_place_can_be_read() -> None:
    taken = parse(of("device/printer/main", device(4, "on fire")))
    assert [(row.seq, row.kind) for row in taken.rows] == [(4, "rejected")]
    assert "on fire" in taken.set_aside[0].why
    assert not parse(of("device/printer/main", b'{"outbox": "' + OUTBOX.encode() + b'", "seq": 4')).rows


def test_a_topic_that_the_contract_has_not_is_set_aside() -> None:
    for leaf in ("weather", "device/printer", "device/a/b/c", "receipt", "command/check", "device/x/" + "y" * 300):
        taken = parse(of(leaf, journal(1)))
        assert taken.set_aside, leaf
        assert all(row.rejected for row in taken.rows), leaf


def test_the_terminal_is_the_topics_never_the_payloads() -> None:
    taken = parse(of("state", state(name="450225-GXBRS0002B-1")))
    assert taken.state is None
    assert "another terminal" in taken.set_aside[0].why
    assert parse(of("state", state())).state is not None


def test_a_name_that_is_no_terminals_is_set_aside_without_a_place() -> None:
    for where in ("yinong/1/recorder/journal", "yinong/1/450225-XX-1/journal", "yinong/1/journal", "other/topic", ""):
        taken = parse(Arrived(where, journal(1)))
        assert len(taken.set_aside) == 1, where
        assert not taken.rows, where


def test_a_number_that_no_database_holds_is_set_aside() -> None:
    taken = parse(of("journal", journal(2**63)))
    assert taken.set_aside
    assert not taken.rows


def test_heartbeat_and_telemetry_are_values_and_no_rows() -> None:
    taken = parse(of("heartbeat", heartbeat()))
    assert (len(taken.values), len(taken.rows)) == (1, 0)


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
    taken = parse(of(leaf, payload))
    assert taken.rows or taken.values or taken.set_aside or leaf == "scan"


@given(LEAVES, VALID, st.data())
def test_a_damaged_message_never_raises(leaf: str, payload: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(payload) - 1))
    parse(of(leaf, payload[:at] + data.draw(st.binary(max_size=4)) + payload[at + 1 :]))


def test_brackets_without_end_are_set_aside() -> None:
    assert parse(of("journal", b"[" * 100_000)).set_aside
    assert parse(of("scan", b'{"captures":' + b"[" * 100_000)).set_aside


@given(st.text())
def test_any_topic_is_taken(where: str) -> None:
    parse(Arrived(where, b"{}"))
