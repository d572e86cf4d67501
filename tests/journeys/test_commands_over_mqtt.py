"""The console's commands through a real broker: answered once, on the own reply topic, or rejected without an answer."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.broker import Broker
from support.daemon import NAME, TERMINAL, Daemon, keeps_the_contract, until
from support.mqtt_county import County, Received


class Console:
    def __init__(self, county: County, daemon: Daemon) -> None:
        self.county, self.daemon = county, daemon
        self._last = 0

    def send(self, command: str, id: str | None = None, options: dict[str, object] | None = None, **how: object) -> str:
        self._last += 1
        id = id or f"command-{self._last}"
        body = json.dumps({"id": id, "options": options or {}}).encode()
        self.county.command(NAME, command, body, **how)  # type: ignore[arg-type]
        return id

    def reply(self, id: str) -> Received:
        self.county.wait_for(lambda c: any(h.json["id"] == id for h in c.of("reply")))
        return next(reply for reply in self.county.of("reply") if reply.json["id"] == id)

    def ask(self, command: str, **options: object) -> Received:
        return self.reply(self.send(command, options=options))

    def unanswered(self, *ids: str) -> None:
        """Commands are executed in order: one sent before an answered command and not answered itself was rejected."""
        self.ask("status")
        answered = [one.json["id"] for one in self.county.of("reply")]
        assert not set(ids) & set(answered)


@pytest.fixture
def console(tmp_path: Path, broker: Broker) -> Iterator[Console]:
    with County(broker.host, broker.port) as county, Daemon(tmp_path, broker.port) as daemon:
        daemon.until_connected()
        yield Console(county, daemon)
        keeps_the_contract(county)


def test_each_command_is_answered_with_its_correlation_data(console: Console) -> None:
    check = console.ask("check")
    assert check.correlation == b"c-1"
    assert not check.retained
    assert check.json["ok"]
    assert list(check.json["answer"]["devices"]) == ["terminal/main"]
    assert check.json["answer"]["standard"]["terminal"] in ("met", "not_met", "unproven")
    status = console.ask("status").json["answer"]
    assert status["link"]["up"] is True
    assert status["outbox"]["waiting"] > 0
    log = console.ask("log", lines=1).json["answer"]["lines"]
    assert len(log) == 1
    assert console.ask("log", lines=0).json["answer"]["lines"] == []
    assert console.ask("log", lines=-5).json["answer"]["lines"] == []
    measure = console.ask("measure").json
    assert (measure["ok"], measure["answer"]) == (False, {}), "no broadband is configured here"
    assert "broadband" in measure["error"]


def test_one_device_can_be_checked_and_an_unknown_one_is_an_error(console: Console) -> None:
    assert list(console.ask("check", device="terminal").json["answer"]["standard"]) == ["terminal"]
    wrong = console.ask("check", device="printer").json
    assert not wrong["ok"]
    assert "printer" in wrong["error"]
    assert not console.ask("check", device=True).json["ok"]


def test_an_unknown_command_is_answered_and_does_nothing(console: Console) -> None:
    for name in ("shell", "reboot", "receipt", "check2"):
        reply = console.ask(name).json
        assert not reply["ok"]
        assert "unknown command" in reply["error"]


def test_a_receipt_sent_as_a_command_is_ignored(console: Console) -> None:
    depth = console.daemon.depth()
    forged = {"at": "2026-03-02T09:00:00.000+08:00", "store": "x", "outbox": depth["outbox"], "upto": 1}
    console.county.command(NAME, "receipt", json.dumps(forged).encode())
    console.unanswered()
    assert console.daemon.depth()["receipted"] == 0


def test_rejected_commands_are_not_answered(console: Console) -> None:
    console.unanswered(
        console.send("check", expiry_s=None),
        console.send("check", expiry_s=61),
        console.send("check", expiry_s=100_000),
        console.send("check", response=f"yinong/1/{NAME}/state"),
        console.send("check", response="yinong/1/450225-GXBRS0002B-1/reply"),
        console.send("check", id="short"),
    )
    for payload in (b"", b"{", b"\xff\xfe", b'{"id": "a-good-id", "run": "rm"}', b"[" * 50_000, b'"a-good-id"'):
        console.county.command(NAME, "check", payload)
    console.unanswered("a-good-id")
    assert console.daemon.process.running


def test_a_retained_command_is_rejected_by_a_station_that_starts_later(tmp_path: Path, broker: Broker) -> None:
    with County(broker.host, broker.port) as county:
        county.command(NAME, "check", b'{"id": "retained-one"}', retain=True)
        with Daemon(tmp_path, broker.port) as daemon:
            daemon.until_connected()
            until(lambda: "retained" in daemon.process.log, lambda: daemon.process.log)
            console = Console(county, daemon)
            console.unanswered("retained-one")


def test_a_command_that_is_sent_twice_is_executed_once(console: Console) -> None:
    console.send("check", id="the-same-one")
    console.send("check", id="the-same-one")
    console.ask("status")
    assert [one.json["id"] for one in console.county.of("reply")].count("the-same-one") == 1


def test_over_an_unencrypted_connection_no_command_is_accepted(tmp_path: Path, broker: Broker) -> None:
    """The host is a name of this machine whose spelling is not loopback."""
    daemon = Daemon(tmp_path, broker.port)
    daemon.config.write_text(daemon.config.read_text("utf-8").replace('"127.0.0.1"', '"0.0.0.0"'), "utf-8")
    with County(broker.host, broker.port) as county, daemon:
        daemon.until_connected()
        county.command(NAME, "check", b'{"id": "abcdefgh"}')
        until(lambda: "neither authenticated TLS nor loopback" in daemon.process.log, lambda: daemon.process.log)
        assert not county.of("reply")


def test_commands_of_a_console_without_an_acl_rule_never_arrive(tmp_path: Path, secured_broker: Broker) -> None:
    secured_broker.add_user(NAME, "right")
    secured_broker.add_user("recorder", "r")
    secret = tmp_path / "secret"
    secret.write_text("right\n")
    secret.chmod(0o600)
    with (
        County(secured_broker.host, secured_broker.port, "recorder", "r") as county,
        Daemon(tmp_path, secured_broker.port, tables=TERMINAL, broker=f'password_file = "{secret}"') as daemon,
    ):
        daemon.until_connected()
        county.command(NAME, "check", b'{"id": "abcdefgh"}')
        county.wait_for(lambda c: c.of("standard"))
        assert "command" not in daemon.process.log
        assert not county.of("reply")
