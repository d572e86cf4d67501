"""Files and messages of the version at commit c3d9b2d: the present code opens them, and nothing is lost.

They were made by that version itself (make_c3d9b2d.py). How a daemon and a recorder go on with them is in
test_c3d9b2d_daemon.py.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from compat.files import FILES, NAME, copy_of, digest, expected, plain, rows_of, run
from compat.names import (
    Arrived,
    Store,
    SystemClock,
    Terminal,
    heads_owed,
    ingest,
    load_agent,
    load_center,
    open_outbox,
    parse,
    read_event,
    replay,
    type_of,
)

OUTBOX, STORE, PARCEL, MESSAGES = expected("outbox"), expected("store"), expected("parcel"), expected("messages")
STICK = FILES / "stick" / PARCEL["file"]


# --- the outbox file ---


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The old station's folder of state."""
    return copy_of("state", tmp_path / "state")


@pytest.fixture
def config(state: Path) -> Path:
    """A configuration that names its outbox."""
    file = state.parent / "agent.toml"
    file.write_text(
        '[station]\ndivision = "450225"\nnumber = "桂BRS0001B"\n[broker]\nhost = "127.0.0.1"\ntls = false\n'
        f'[outbox]\npath = "{state}/outbox.db"\n',
        "utf-8",
    )
    return file


def opened(state: Path, machine: int) -> Any:
    """As the daemon opens it, on the first or the second machine that has written it."""
    fingerprint, parts = OUTBOX["hardware"][machine]
    return open_outbox(state / "outbox.db", fingerprint, "e" * 12, "t", None, frozenset(parts))


def test_the_outbox_of_the_same_machine_goes_on_under_its_id(state: Path) -> None:
    box = opened(state, 1)
    assert (box.id, box.fingerprint) == (OUTBOX["id"], OUTBOX["fingerprint"])
    assert box.opening.kind in ("kept", "migrated")
    box.close()


def test_the_outbox_of_another_machine_keeps_both_ids_and_begins_a_third(state: Path) -> None:
    box = opened(state, 0)
    assert (box.id, box.opening.kind) == ("e" * 12, "other_hardware")
    assert [span.outbox for span in box.spans()] == [*(span["outbox"] for span in OUTBOX["spans"]), "e" * 12]
    assert len(box.waiting(0, 10_000)) == len(OUTBOX["waiting"])
    box.close()


def test_the_same_rows_wait_in_the_same_order_with_the_same_bytes(state: Path) -> None:
    box = opened(state, 1)
    rows = box.waiting(0, 10_000)
    box.close()
    assert [[row.outbox, row.numbers.start, row.seq, row.leaf, row.retained, digest(row.body)] for row in rows] == [
        [row[name] for name in ("outbox", "first", "seq", "leaf", "retained", "sha256")] for row in OUTBOX["waiting"]
    ]


def test_archive_states_and_spooled_telemetry_are_all_there(state: Path) -> None:
    box = opened(state, 1)
    assert box.depth()._asdict() == OUTBOX["depth"]
    assert [span._asdict() for span in box.spans()] == OUTBOX["spans"]
    box.close()
    kept = rows_of(state / "outbox.db", "SELECT id, leaf, body FROM entry ORDER BY id")
    base = {span["outbox"]: span["base"] for span in OUTBOX["spans"]}
    wanted = [[base[row["outbox"]] + row["seq"], row["leaf"], row["sha256"]] for row in OUTBOX["archived"]]
    assert [[row["id"], row["leaf"], digest(row["body"])] for row in kept][: len(wanted)] == wanted
    states = rows_of(state / "outbox.db", "SELECT key, value FROM mark")
    assert {row["key"]: digest(bytes(row["value"])) for row in states} == OUTBOX["marks"]
    spooled = rows_of(state / "outbox.db", "SELECT body FROM spill ORDER BY id")
    assert [bytes(row["body"]).decode() for row in spooled] == OUTBOX["spill"]


def test_the_command_line_lists_the_scans_of_the_file_without_a_daemon(config: Path) -> None:
    nobody = config.with_name("none.sock")
    printed = run("yinong-agent", "scans", "list", "--json", "--config", config, "--socket", nobody)
    scans = json.loads(printed)["scans"]
    assert scans == expected("scans")
    assert {scan["state"] for scan in scans} == {"waiting", "archived"}
    assert sum(scan["voided"] for scan in scans) == 2


def test_a_dead_terminals_file_is_exported_with_every_waiting_row_under_its_own_key(
    state: Path, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    exported = json.loads(run("yinong-agent", "export", "--outbox", state / "outbox.db", "--to", stick, "--json"))
    assert exported["key"] == OUTBOX["export_key"]
    (path,) = stick.iterdir()
    lines = gzip.decompress(path.read_bytes()).splitlines()[1:-1]
    rows = [msgspec.json.decode(line, type=dict[str, msgspec.Raw]) for line in lines]
    packed = [
        [json.loads(bytes(row["outbox"])), json.loads(bytes(row["seq"])), digest(bytes(row["body"]))] for row in rows
    ]
    assert packed == [[row["outbox"], row["seq"], row["sha256"]] for row in OUTBOX["waiting"]]


# --- the center's store ---


@pytest.fixture
def center(tmp_path: Path) -> Path:
    return copy_of("county/center.db", tmp_path / "center.db")


@pytest.fixture
def store(center: Path) -> Iterator[Any]:
    opened = Store.open(f"sqlite:///{center}", SystemClock())
    yield opened
    opened.close()


def arrived(message: dict[str, Any]) -> Any:
    late = ["late", "1"] in message["properties"]["user"]
    return Arrived(message["topic"], message["payload"].encode(), message["retain"], late)


def tables_of(center: Path) -> dict[str, list[dict[str, Any]]]:
    """As make_c3d9b2d.py wrote them down."""
    found: dict[str, list[dict[str, Any]]] = {}
    for table in STORE["tables"]:
        found[table] = rows_of(center, f"SELECT * FROM {table} ORDER BY rowid")
        for row in found[table]:
            for key, value in row.items():
                if isinstance(value, bytes):
                    row[key] = value.hex() if key == "digest" else value.decode()
            if table == "entry":
                for name in ("body", "division", "station", "terminal"):
                    del row[name]
            if table == "latest":
                row["sha256"] = digest(row.pop("body").encode())
    return found


def test_every_row_of_the_store_stands_as_it_was(store: Any, center: Path) -> None:
    assert store.id == STORE["id"]
    assert tables_of(center) == STORE["tables"]


def test_the_digests_of_the_stores_rows_are_those_of_their_bytes(center: Path) -> None:
    rows = rows_of(center, "SELECT kind, body, digest FROM entry WHERE kind <> 'rejected'")
    assert rows
    assert all(digest(row["body"]) == row["digest"].hex() for row in rows)


def test_the_store_gives_the_same_receipts_and_reports_imported_outboxes_once(store: Any) -> None:
    outboxes = [(Terminal.parse(NAME), outbox) for outbox, _, _ in STORE["heads"]]
    assert [[head.outbox, head.upto, list(head.parcels)] for head in store.heads(outboxes)] == STORE["heads"]
    assert sorted([head.outbox, head.upto, list(head.parcels)] for head in heads_owed(store)) == STORE["owed"]
    assert heads_owed(store) == ()


def test_a_stored_row_that_is_delivered_again_is_not_stored_twice(store: Any, center: Path) -> None:
    sent = [one for one in MESSAGES if not one["topic"].endswith("/receipt") and "/command/" not in one["topic"]]
    kept = ingest(store, [parse(arrived(one)) for one in sent])
    assert {name: getattr(kept, name) for name in STORE["again"]} == STORE["again"]
    assert (STORE["again"]["stored"], STORE["again"]["set_aside"]) == (0, 0)
    reached = {outbox: upto for outbox, upto, _ in STORE["heads"]}
    assert {head.outbox: head.upto for head in kept.heads}.items() <= reached.items()
    assert tables_of(center)["entry"] == STORE["tables"]["entry"]


def test_other_bytes_for_a_stored_row_are_a_conflict_and_change_nothing(store: Any, center: Path) -> None:
    standard = next(one for one in MESSAGES if one["topic"].endswith("/standard"))
    other = {**standard, "payload": standard["payload"].replace('"profile":"B"', '"profile":"J"')}
    assert other["payload"] != standard["payload"]
    kept = ingest(store, [parse(arrived(other))])
    assert (kept.stored, kept.conflicts) == (0, 1)
    assert tables_of(center)["entry"] == STORE["tables"]["entry"]


# --- a parcel ---


def imported(*paths: Path, center: Path, code: int = 0) -> str:
    return run("yinong-center", "import", *paths, "--store", f"sqlite:///{center}", "--lang", "en", code=code)


def test_a_parcel_verifies_and_is_imported_whole_and_once(center: Path) -> None:
    imported(STICK, STICK, center=center)
    entries = rows_of(center, "SELECT outbox, seq, leaf, digest FROM entry")
    stored = {(row["outbox"], row["seq"]): [row["leaf"], row["digest"].hex()] for row in entries}
    assert len(entries) - len(STORE["tables"]["entry"]) == PARCEL["imported"]["stored"] > 0
    assert {(outbox, seq): stored.get((outbox, seq)) for outbox, seq, _, _ in PARCEL["rows"]} == {
        (outbox, seq): [leaf, sha256] for outbox, seq, leaf, sha256 in PARCEL["rows"]
    }
    heads = rows_of(center, "SELECT outbox, upto FROM head")
    assert {row["outbox"]: row["upto"] for row in heads}.items() >= dict(PARCEL["imported"]["heads"]).items()
    (parcel,) = rows_of(center, f"SELECT * FROM parcel WHERE digest = '{PARCEL['digest']}'")
    assert (parcel["key"], parcel["rows"]) == (PARCEL["key"], PARCEL["manifest"]["rows"])
    assert len(rows_of(center, "SELECT 1 FROM conflict")) == len(STORE["tables"]["conflict"])


def test_a_parcel_that_was_tampered_with_is_refused_whole(center: Path, tmp_path: Path) -> None:
    data = bytearray(STICK.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "other.yinong").write_bytes(data)
    imported(tmp_path / "other.yinong", center=center, code=1)
    assert tables_of(center) == STORE["tables"]


# --- configurations ---


def test_an_operators_agent_toml_loads_without_mistakes_to_equal_settings(tmp_path: Path) -> None:
    folder = tmp_path / "etc/yinong-agent"
    folder.mkdir(parents=True)
    for name in ("county-ca.pem", "terminal.crt", "terminal.key", "password"):
        (folder / name).write_text("secret\n")
        (folder / name).chmod(0o600)
    loaded = load_agent(FILES / "config/agent.toml", tmp_path, environ={})
    wanted = expected("settings")
    assert (loaded.mistakes, loaded.disabled) == ((), ())
    assert plain(loaded.settings) == wanted["settings"]
    assert [[kind.name, plain(driver)] for kind, driver in loaded.devices] == wanted["devices"]
    assert loaded.secrets.password == wanted["password"]


def test_a_center_toml_loads_to_equal_settings() -> None:
    assert plain(load_center(FILES / "config/center.toml")) == expected("settings")["center"]


# --- recordings ---


@pytest.mark.parametrize("name", expected("recordings"))
def test_a_recording_of_a_gun_replays_to_the_same_captures(name: str) -> None:
    wanted = expected("recordings")[name]
    with (FILES / f"recordings/{name}.jsonl").open(encoding="utf-8", newline="\n") as lines:
        captures = [plain(one) for one in replay(lines, wanted["source"])]
    # the command line adds both times in seconds
    assert captures == [{k: v for k, v in one.items() if k not in ("start", "end")} for one in wanted["captures"]]


# --- messages ---


def called(message: dict[str, Any]) -> str:
    content = json.loads(message["payload"])
    return "-".join(filter(None, [message["topic"].split("/", 3)[3], content.get("event") or content.get("state")]))


def of_old(now: Any, old: Any) -> Any:
    """`now` without the fields that `old` lacks: they were added since, with a default."""
    if isinstance(now, dict) and isinstance(old, dict):
        return {name: of_old(value, old[name]) for name, value in now.items() if name in old}
    if isinstance(now, list) and isinstance(old, list) and len(now) == len(old):
        return [of_old(*pair) for pair in zip(now, old, strict=True)]
    return now


@pytest.mark.parametrize("message", MESSAGES, ids=called)
def test_a_message_decodes_and_is_encoded_to_the_same_json(message: dict[str, Any]) -> None:
    kind = type_of(message["topic"].split("/", 3)[3])
    assert kind is not None
    assert kind.__name__ == message["type"]
    decoded = msgspec.json.decode(message["payload"], type=kind)
    old = json.loads(message["payload"])
    assert of_old(json.loads(msgspec.json.encode(decoded)), old) == old
    content = msgspec.to_builtins(decoded)
    if "event" in message:
        event = read_event(content["event"], content["details"])
        assert event is not None
        assert event.name == content["event"]
        assert plain(event) == message["event"]


@pytest.mark.parametrize("message", MESSAGES, ids=called)
def test_the_recorder_parses_a_message_to_the_same_rows_and_values(message: dict[str, Any]) -> None:
    worth = parse(arrived(message))
    assert {
        "rows": [[row.outbox, row.seq, row.leaf, row.kind, row.digest.hex(), row.late] for row in worth.rows],
        "set_aside": [one.why for one in worth.set_aside],
        "values": [[value.leaf, value.outbox, value.seq] for value in worth.values],
        "state": worth.state and worth.state[1].state,
    } == message["taken"]


def test_there_is_a_message_of_every_topic_and_an_entry_of_every_event() -> None:
    """So that the tests above are of all of them."""
    leaves = {one["topic"].split("/")[3] for one in MESSAGES}
    assert leaves == {
        "state",
        "heartbeat",
        "device",
        "standard",
        "journal",
        "scan",
        "telemetry",
        "command",
        "reply",
        "receipt",
    }
    contents = [json.loads(one["payload"]) for one in MESSAGES]
    assert {one["state"] for one in contents if "state" in one} == {"online", "lost", "closing"}
    assert {one["event"] for one in contents if "event" in one} >= {
        "start",
        "stop",
        "link_down",
        "link_layer",
        "link_up",
        "resumed",
        "clock_synced",
        "clock_stepped",
        "configuration_changed",
        "void",
        "card",
        "card_refused",
        "capture_voided",
        "scan_damaged",
        "scans_turned_away",
        "disk_nearly_full",
        "disk_full",
        "disk_has_room",
        "flash_budget_met",
        "refused",
        "sent_again",
        "twin",
        "outbox_went_back",
    }


def test_the_folder_is_small() -> None:
    assert sum(path.stat().st_size for path in FILES.rglob("*") if path.is_file()) < 500_000
