"""`scan`: captures live."""

import json
import subprocess
from pathlib import Path

from support.daemon import COMMANDS, Daemon, Gun, until


def test_scans_are_shown_live_and_counted(tmp_path: Path, nobody: int) -> None:
    with Gun() as gun, Daemon(tmp_path, nobody, tables=gun.table) as daemon:
        gun.wait_until_opened()
        shown = subprocess.Popen(
            [COMMANDS / "yinong-agent", "scan", "--json", "--count", "2", "--socket", str(daemon.socket)],
            stdout=subprocess.PIPE,
        )
        sent = 0

        def scanned_until_it_ended() -> bool:
            nonlocal sent
            sent += 1
            gun.scan(f"S-{sent}")
            return shown.poll() is not None

        until(scanned_until_it_ended, lambda: "scan does not end")
        out, _ = shown.communicate(timeout=10)
        assert shown.returncode == 0
        captures = [json.loads(line) for line in out.splitlines()]
    assert len(captures) == 2
    assert captures[0]["number"] + 1 == captures[1]["number"]
    assert {"gun", "text", "raw", "start", "end", "seq", "charset"} <= set(captures[0])
