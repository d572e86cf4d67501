"""Control cards: cards of this station act at once when scanned, and are not stored as captures of goods."""

import json
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from support.broker import Broker
from support.daemon import COMMANDS, TERMINAL, Daemon, Gun, Recorder, keeps_the_contract, until
from support.mqtt_county import County
from support.sheets import texts_of

from agent.control.socket import send_request
from common.codes.control_cards import Card, card_text


def agent(daemon: Daemon, *arguments: str) -> str:
    """Run a command while the daemon runs; its output on stdout and stderr."""
    where = ["--socket", str(daemon.socket), *([] if "resend" in arguments else ["--config", str(daemon.config)])]
    run = subprocess.run(
        [str(COMMANDS / "yinong-agent"), *arguments, *where], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    return run.stdout + run.stderr


def cards(daemon: Daemon, *more: str) -> dict[str, str]:
    """The sheet of cards, made by the command line: title -> text of its QR code."""
    out = daemon.folder / "cards.html"
    agent(daemon, "cards", "--out", str(out), *more)
    return texts_of(out.read_text("utf-8"))


def test_a_card_changes_the_step_of_the_next_captures_and_is_no_capture_itself(tmp_path: Path, broker: Broker) -> None:
    with (
        Gun() as gun,
        County(broker.host, broker.port) as county,
        Recorder(tmp_path, broker.port) as recorder,
        Daemon(tmp_path, broker.port, tables=gun.table + TERMINAL) as daemon,
    ):
        sheet = cards(daemon, "--product", "沃柑", "--batch", "2026-03")
        gun.wait_until_opened()
        for text in (
            "A1",
            sheet["收货"],
            sheet["产品：沃柑"],
            sheet["批次：2026-03"],
            "A2",
            sheet["出库"].lower(),
            "A3",
        ):
            gun.scan(text)
        until(lambda: recorder.texts() == ["A1", "A2", "A3"], lambda: daemon.process.log)
        daemon.stop()
        gun.reset()
        daemon.start()
        gun.wait_until_opened()
        gun.scan("A4")
        gun.scan(sheet["清除"])
        gun.scan("A5")
        until(lambda: len(recorder.texts()) == 5, lambda: daemon.process.log)
        stored, journal = recorder.rows("scan"), recorder.rows("journal")
        daemon.stop()
    goods = {"product": "沃柑", "batch": "2026-03"}
    assert [(c["number"], c["text"], c["context"]) for c in stored] == [
        (1, "A1", {}),
        (2, "A2", {"step": "receiving", **goods}),
        (3, "A3", {"step": "shipping", **goods}),
        (4, "A4", {"step": "shipping", **goods}),
        (5, "A5", {}),
    ]
    assert [e["details"]["action"] for e in journal if e["event"] == "card"] == [
        "RECEIVE",
        "PRODUCT",
        "BATCH",
        "SHIP",
        "CLEAR",
    ]
    keeps_the_contract(county)


def test_void_voids_the_last_scan_once_and_both_stay_recorded(tmp_path: Path, broker: Broker) -> None:
    with (
        Gun("left") as left,
        Gun("right") as right,
        Recorder(tmp_path, broker.port) as recorder,
        Daemon(tmp_path, broker.port, tables=left.table + right.table) as daemon,
    ):
        sheet = cards(daemon)
        left.wait_until_opened()
        right.wait_until_opened()
        left.scan("A1")
        until(lambda: recorder.texts() == ["A1"], lambda: daemon.process.log)
        right.scan("B1")
        left.scan("A2")
        until(lambda: len(recorder.texts()) == 3, lambda: daemon.process.log)
        for text in (sheet["作废"], sheet["作废"], "A2"):
            left.scan(text)
        until(lambda: len(recorder.texts()) == 4, lambda: daemon.process.log)
        until(lambda: daemon.depth()["waiting"] == 0, lambda: f"{daemon.depth()}")
        stored, journal = recorder.rows("scan"), recorder.rows("journal")
        listed = json.loads(agent(daemon, "scans", "list", "--json"))["scans"]
        csv_file, epcis_file = tmp_path / "scans.csv", tmp_path / "epcis.json"
        agent(daemon, "scans", "export", "--format", "csv", str(csv_file))
        output = agent(daemon, "scans", "export", "--format", "epcis", str(epcis_file), "--lang", "en")
        daemon.stop()
        without_daemon = json.loads(agent(daemon, "scans", "list", "--json"))["scans"]
    second = next(c for c in stored if c["gun"] == "left" and c["number"] == 2)
    voids = [e["details"] for e in journal if e["event"] == "capture_voided"]
    assert voids == [{"gun": "left", "number": 2, "outbox": second["outbox"], "seq": second["seq"]}]
    assert [e["details"]["why"] for e in journal if e["event"] == "card_refused"] == ["already_voided"]
    assert [(c["number"], c["text"], c["flags"]) for c in stored if c["gun"] == "left"] == [
        (1, "A1", []),
        (2, "A2", []),
        (3, "A2", []),
    ]
    assert {(c["gun"], c["number"]): c["voided"] for c in listed} == {
        ("left", 1): False,
        ("left", 2): True,
        ("left", 3): False,
        ("right", 1): False,
    }
    assert without_daemon == listed
    assert csv_file.read_text("utf-8-sig").count("\n") == 5
    if "0 without time" in output:  # this machine's clock is synchronised
        assert "3 events; left out: 0 damaged, 1 voided" in output
        assert len(json.loads(epcis_file.read_text("utf-8"))["epcisBody"]["eventList"]) == 3


def test_a_card_of_another_station_does_nothing_and_is_reported(tmp_path: Path, broker: Broker) -> None:
    key, other = bytes(range(32)), card_text(bytes(32), "450225/GXBRS0001B", Card("VOID"))
    with (
        ExitStack() as stack,
        Gun() as gun,
        Recorder(tmp_path, broker.port) as recorder,
        Daemon(tmp_path, broker.port, tables=gun.table) as daemon,
    ):
        sheet = cards(daemon)
        gun.wait_until_opened()
        viewer = stack.enter_context(Viewer(daemon))
        changed = sheet["收货"].replace("RECEIVE", "SHIP")
        neighbours = card_text(key, "450225/GXBRS0002B", Card("CHECK"))
        refused = ["YNC1.VOID", other, changed, neighbours]
        gun.scan("A1")
        assert viewer.next()["capture"]["text"] == "A1"
        for text in refused:
            gun.scan(text)
            assert not viewer.next()["card"]["ok"]
        gun.scan(sheet["清单"])
        assert viewer.next()["card"] == {
            "gun": "main",
            "action": "LIST",
            "ok": True,
            "zh": "清单：正在进行……",
            "en": "list: under way …",
        }
        assert viewer.next()["card"]["en"] == "today 1 (no step 1); damaged 0, voided 0"
        gun.scan("A2")
        until(lambda: recorder.texts() == ["A1", "A2"], lambda: daemon.process.log)
        stored, journal = recorder.rows("scan"), recorder.rows("journal")
    assert [(c["number"], c["context"]) for c in stored] == [(1, {}), (2, {})]
    entries = [e["details"] for e in journal if e["event"] == "card_refused"]
    assert [(e["text"], e["why"]) for e in entries] == [
        ("YNC1.VOID", "form"),
        *((text, "signature") for text in refused[1:]),
    ]
    assert not [e for e in journal if e["event"] == "capture_voided"]


def test_a_card_has_the_devices_checked(tmp_path: Path, broker: Broker) -> None:
    with ExitStack() as stack, Gun() as gun, Daemon(tmp_path, broker.port, tables=gun.table + TERMINAL) as daemon:
        sheet = cards(daemon)
        gun.wait_until_opened()
        viewer = stack.enter_context(Viewer(daemon))
        gun.scan(sheet["自检"])
        gun.scan(sheet["测速"])  # no broadband here
        results = [viewer.next()["card"] for _ in range(4)]
    assert {(c["action"], c["ok"]) for c in results} == {("CHECK", True), ("MEASURE", True), ("MEASURE", False)}
    assert any(c["en"].startswith("checked: ") and c["zh"].startswith("自检完毕") for c in results)


def test_receipted_captures_are_sent_again_late_on_demand_and_stored_once(tmp_path: Path, broker: Broker) -> None:
    with (
        Gun() as gun,
        Recorder(tmp_path, broker.port) as recorder,
        Daemon(tmp_path, broker.port, tables=gun.table) as daemon,
    ):
        gun.wait_until_opened()
        daemon.until_connected()
        for n in range(5):
            gun.scan(f"A{n}")
        until(lambda: len(recorder.texts()) == 5, lambda: daemon.process.log)
        until(lambda: daemon.depth()["waiting"] == 0, lambda: f"{daemon.depth()}")
        seqs = [c["seq"] for c in daemon.rows("scan")]
        with County(broker.host, broker.port) as county:
            output = agent(daemon, "scans", "resend", str(seqs[1]), str(seqs[3]), "--lang", "en")
            county.wait_for(lambda c: c.of("scan"))
            again = county.of("scan")
        until(lambda: daemon.depth()["waiting"] == 0, lambda: f"{daemon.depth()}")
        stored = recorder.texts()
        refused = next(
            send_request(daemon.socket, {"ask": "resend", "range": {"first": seqs[1], "last": 100_000}}, 20)
        )["error"]
    assert "3 captures go again" in output
    assert [(h.late, h.retained, [c["text"] for c in h.json["captures"]]) for h in again] == [
        (True, False, ["A1", "A2", "A3"])
    ]
    assert stored == [f"A{n}" for n in range(5)]
    assert "has no range" in refused


def test_a_requested_resend_survives_an_outage_and_a_restart(tmp_path: Path, broker: Broker) -> None:
    with Gun() as gun, Daemon(tmp_path, broker.port, tables=gun.table) as daemon:
        with Recorder(tmp_path, broker.port) as recorder:
            gun.wait_until_opened()
            gun.scan("A")
            until(lambda: recorder.texts() == ["A"], lambda: daemon.process.log)
            until(lambda: daemon.depth()["waiting"] == 0, lambda: f"{daemon.depth()}")
        (seq,) = [c["seq"] for c in daemon.rows("scan")]
        broker.stop()
        until(lambda: not daemon.request(ask="status")["link"]["up"], lambda: daemon.process.log)
        agent(daemon, "scans", "resend", str(seq), str(seq))
        daemon.stop()
        broker.start()
        with County(broker.host, broker.port) as county, Recorder(tmp_path, broker.port):
            daemon.start()
            county.wait_for(lambda c: c.of("scan"))
            again = [(h.late, [c["text"] for c in h.json["captures"]]) for h in county.of("scan")]
    assert again == [(True, ["A"])]


class Viewer:
    """A client of the socket, like `yinong-agent scan`."""

    def __init__(self, daemon: Daemon) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(40)
        self._socket.connect(str(daemon.socket))
        self._socket.sendall(b'{"ask": "scan"}\n')
        daemon.depth()  # requested later and answered: the viewer is registered
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> "Viewer":
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def next(self) -> dict[str, Any]:
        return json.loads(self._lines.readline())
