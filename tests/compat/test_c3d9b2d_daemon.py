"""The station of commit c3d9b2d goes on with the present daemon and recorder, on the files that the old ones left."""

from typing import Any

import pytest
from compat.files import OPEN, digest, expected, lacks, rows_of
from compat.station import SCAN, Drained, Joined, drained, joined

OLD, SOCKET, STORE = expected("outbox"), expected("socket"), expected("store")


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Drained:
    return drained(tmp_path_factory.mktemp("drained"))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Joined:
    return joined(tmp_path_factory.mktemp("joined"))


# --- beside a broker ---


def test_every_waiting_row_is_sent_once_in_order_with_its_bytes_and_late(station: Drained) -> None:
    waited = {(row["outbox"], row["seq"]) for row in OLD["waiting"]}
    sent = [[*one.place, one.leaf, digest(one.body), one.late] for one in station.backlog if one.place in waited]
    assert sent == [[row["outbox"], row["seq"], row["leaf"], row["sha256"], True] for row in OLD["waiting"]]


def test_a_void_is_sent_in_place_of_rows_lost_to_a_flash_fault(station: Drained) -> None:
    voids = [row for row in OLD["waiting"] if "covers" in row]
    assert [row["covers"][1] - row["covers"][0] for row in voids] == [0, 1]
    for row in voids:
        (sent,) = [one for one in station.backlog if one.place == (row["outbox"], row["seq"])]
        assert sent.json == row["body"]


def test_captures_marked_for_replay_are_sent_after_the_backlog(station: Drained) -> None:
    places = [one.place for one in station.sent]
    asked = [(row["outbox"], row["seq"]) for row in OLD["resent"]]
    last = OLD["waiting"][-1]
    assert len(asked) == 2
    assert all(places.index(one) > places.index((last["outbox"], last["seq"])) for one in asked)
    assert not any(key.startswith("resend:") for key in station.states)


def test_spooled_telemetry_is_sent_late(station: Drained) -> None:
    late = [one.payload.decode() for one in station.received if one.leaf == "telemetry" and one.late]
    assert late == OLD["spill"] != []


def test_the_start_entry_reports_how_the_old_run_ended(station: Drained) -> None:
    start = station.entry("start")
    run = OLD["last_run"]
    assert start["outbox"] == "kept"
    assert (start["previous_end"], start["new_boot"]) == ("clean", True)
    assert (start["previous_run"], start["previous_boot"], start["previous_version"]) == (
        run["run"],
        run["boot"],
        run["version"],
    )
    assert start["last_alive"] == OLD["last_alive"]
    assert start["previous_exit"] == {"result": "success", "code": "exited", "status": "0"}


def test_only_the_sections_that_this_test_changes_count_as_changed(station: Drained) -> None:
    changed = ["broker", "device:broadband/line", "device:printer/main", "device:scan_gun/counter",
               "device:web_page/village", "outbox"]  # fmt: skip
    assert station.entry("configuration_changed")["sections"] == changed
    assert station.entry("configuration_changed")["before"] == OLD["configuration"][""]


def test_the_confirmed_readings_hold_until_a_change_is_confirmed(station: Drained) -> None:
    first = {key: station.new(f"device/{key}")[0] for key in OLD["believed"]}
    assert {key: [one["condition"], one["reason"]] for key, one in first.items()} == OLD["believed"]


def test_the_measured_rate_of_the_line_is_carried_on(station: Drained) -> None:
    devices = station.answers[SOCKET[0]["request"]][-1]["answer"]["devices"]
    (line,) = [one["measures"] for one in devices if one["class"] == "broadband"]
    assert line["down_mbps"] == OLD["measured"]["down_mbps"]


def test_the_guns_number_and_context_continue(station: Drained) -> None:
    first = station.new("scan")[0]
    assert first["text"] == SCAN
    assert (first["number"], first["context"]) == (OLD["gun"]["number"] + 1, OLD["gun"]["context"])


def test_the_birth_names_the_same_outbox_fingerprint_and_export_key(station: Drained) -> None:
    state = next(one.json for one in station.received if one.leaf == "state")
    assert (state["outbox"], state["fingerprint"], state["export_key"]) == (
        OLD["id"],
        OLD["fingerprint"],
        OLD["export_key"],
    )
    assert (
        min(one.place for one in station.sent if one.place > (OLD["id"], OLD["depth"]["last_seq"]))[1]
        == OLD["depth"]["last_seq"] + 1
    )


def test_a_printed_control_card_still_works(station: Drained) -> None:
    assert [one["details"]["action"] for one in station.new("journal") if one["event"] == "card"] == ["SHIP"]
    assert not any(one["event"] == "card_refused" for one in station.new("journal"))


def test_the_write_budget_of_the_day_continues(station: Drained) -> None:
    flash = station.answers[SOCKET[0]["request"]][-1]["answer"]["flash"]
    assert flash["day_bytes"] is None or flash["day_bytes"] >= OLD["flash"]["day_bytes"]
    assert flash["day_s"] >= OLD["flash"]["passed_ms"] // 1000


def test_no_state_of_the_old_file_is_unreadable(station: Drained) -> None:
    assert "cannot be read" not in station.log
    assert "Traceback" not in station.log
    assert {key for key in OLD["marks"] if not key.startswith("resend:")} <= station.states.keys()


# --- the control socket ---


def by_kind(lines: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """`answer`, `error`, `scan`, … -> the values of the lines."""
    found: dict[str, list[Any]] = {}
    for line in lines:
        for kind, value in line.items():
            found.setdefault(kind, []).append(value)
    return found


@pytest.mark.parametrize("talk", SOCKET, ids=lambda talk: talk["request"].strip()[:60])
def test_a_request_of_the_old_command_line_is_answered_in_the_same_form(station: Drained, talk: dict[str, Any]) -> None:
    old, new = by_kind(talk["answer"]), by_kind(station.answers[talk["request"]])
    assert new.keys() >= old.keys()
    assert [word for kind in old for word in lacks(old[kind], new[kind], kind)] == []


def test_the_cards_of_the_old_key_have_the_same_texts(station: Drained) -> None:
    (talk,) = [talk for talk in SOCKET if '"cards"' in talk["request"]]
    assert station.answers[talk["request"]] == talk["answer"]


def test_a_lost_key_or_another_type_is_found_except_in_open_tables() -> None:
    assert lacks({"a": {"b": 1}}, {"a": {"c": 1}}) == [".a.b is gone"]
    assert lacks({"a": [{"b": 1}]}, {"a": [{"b": "x"}]}) == [".a[].b was int, is str"]
    assert lacks({"measures": {"b": 1}}, {"measures": {}}) == []
    assert "measures" in OPEN


# --- beside the old center's store ---


def test_the_center_stores_every_row_and_the_terminal_gets_its_receipts(both: Joined) -> None:
    assert both.depth["waiting"] == 0
    stored = rows_of(both.center, "SELECT outbox, seq, leaf, kind, digest FROM entry ORDER BY id")
    shown = [[row["outbox"], row["seq"], row["leaf"], row["kind"], row["digest"].hex()] for row in stored]
    before = [[row[name] for name in ("outbox", "seq", "leaf", "kind", "digest")] for row in STORE["tables"]["entry"]]
    assert shown[: len(before)] == before
    digests = {(outbox, seq): sha256 for outbox, seq, _, _, sha256 in shown}
    assert len(digests) == len(shown)
    for row in (*OLD["archived"], *OLD["waiting"]):
        assert digests[(row["outbox"], row["seq"])] == row["sha256"], row
    heads = {row["outbox"]: row["upto"] for row in rows_of(both.center, "SELECT outbox, upto FROM head")}
    assert heads[OLD["spans"][0]["outbox"]] == OLD["spans"][0]["end"]
    assert heads[OLD["id"]] > OLD["depth"]["last_seq"]


def test_nothing_of_it_is_a_conflict_or_set_aside(both: Joined) -> None:
    for table in ("conflict", "set_aside"):
        assert len(rows_of(both.center, f"SELECT 1 FROM {table}")) == len(STORE["tables"][table])


def test_receipts_that_the_old_center_owed_name_the_parcel(both: Joined) -> None:
    named = {(one["outbox"], digest) for one in both.receipts for digest in one.get("parcels", ())}
    assert named >= {(outbox, digest) for outbox, _, parcels in STORE["owed"] for digest in parcels}
    assert all(one["store"] == STORE["id"] for one in both.receipts)


def test_rows_receipted_by_the_name_of_an_imported_parcel_are_not_sent(both: Joined) -> None:
    (upto,) = [upto for outbox, upto, _ in STORE["owed"] if outbox == OLD["id"]]
    sent = {seq for outbox, seq in both.sent if outbox == OLD["id"]}
    assert upto > 10
    assert sent == {*range(upto + 1, max(sent) + 1)}


def test_nothing_was_deleted_at_the_terminal(both: Joined) -> None:
    kept = {digest(bytes(row["body"])) for row in rows_of(both.outbox, "SELECT body FROM entry")}
    assert {row["sha256"] for row in (*OLD["archived"], *OLD["waiting"])} <= kept
