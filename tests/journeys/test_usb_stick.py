"""The line is dead for weeks: scans reach the county on a USB stick, and their receipts arrive with the line."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.broker import Broker
from support.daemon import COMMANDS, TERMINAL, Daemon, Gun, Recorder, until
from support.mqtt_county import County

from agent.host.keys import public_key


def run(*arguments: str) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_month_without_a_line_by_usb_stick(tmp_path: Path, broker: Broker) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()

    def export(daemon: Daemon) -> list[dict[str, Any]]:
        output = run(
            str(COMMANDS / "yinong-agent"), "export", "--to", str(stick), "--socket", str(daemon.socket), "--json"
        )
        return json.loads(output)["parcels"]

    def import_(recorder: Recorder) -> str:
        store = f"sqlite:///{recorder.file}"
        return run(str(COMMANDS / "yinong-center"), "import", str(stick), "--store", store, "--lang", "en")

    with (
        Gun() as gun,
        Recorder(tmp_path, broker.port) as recorder,
        County(broker.host, broker.port) as county,
        Daemon(tmp_path, broker.port, tables=gun.table + TERMINAL) as daemon,
    ):

        def restarted(port: int, end: Callable[[], object]) -> None:
            """Restart the daemon with another broker port (1: nothing listens)."""
            end()
            gun.reset()
            daemon.config.write_text(
                re.sub(r"\nport = \d+", f"\nport = {port}", daemon.config.read_text("utf-8")), "utf-8"
            )
            daemon.start()
            gun.wait_until_opened()

        gun.wait_until_opened()
        daemon.until_connected()
        gun.scan("with the line")
        until(lambda: recorder.texts() == ["with the line"], lambda: daemon.process.log)
        until(lambda: public_key(daemon.outbox_file), lambda: daemon.process.log)
        until(lambda: recorder.keys() == [public_key(daemon.outbox_file)], lambda: recorder.process.log)
        until(lambda: daemon.depth()["waiting"] == 0, lambda: daemon.process.log)

        restarted(1, daemon.stop)
        expected = [f"without-{n}" for n in range(40)]
        for text in expected[:20]:
            gun.scan(text)
        until(lambda: len(daemon.rows("scan")) == 21, lambda: daemon.process.log)
        (first,) = export(daemon)
        assert first["scans"] == 20 and not first["was_there"]
        assert export(daemon)[0]["was_there"]
        restarted(1, daemon.kill)  # a power cut in the dead month
        for text in expected[20:]:
            gun.scan(text)
        until(lambda: len(daemon.rows("scan")) == 41, lambda: daemon.process.log)
        (second,) = export(daemon)
        assert second["scans"] == 40 and second["path"] != first["path"]
        assert daemon.depth()["waiting"] >= second["rows"], "an export delivers nothing by itself"

        assert "conflicts 0, set aside 0" in import_(recorder)  # both parcels, while the recorder uses the same file
        assert recorder.texts() == ["with the line", *expected]
        assert "stored 0, had already" in import_(recorder)
        last = recorder.count("entry")
        county.wait_for(lambda all_: any(receipt.json["upto"] == last for receipt in all_.of("receipt")))

        restarted(broker.port, daemon.stop)
        daemon.until_connected()
        gun.scan("with the line again")
        until(lambda: daemon.depth()["waiting"] == 0, lambda: f"{daemon.depth()}\n{daemon.process.log}", 60)
        assert recorder.texts() == ["with the line", *expected, "with the line again"]
        sent = [one["text"] for message in county.of("scan") for one in message.json["captures"]]
        assert sent == ["with the line", "with the line again"], (
            "rows that came by stick are not sent over the line again"
        )
        import_(recorder)
        assert recorder.texts() == ["with the line", *expected, "with the line again"], "an old stick changes nothing"
        assert not recorder.count("conflict") and not recorder.count("set_aside")
