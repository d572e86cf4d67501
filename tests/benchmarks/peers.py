"""The peers of `peers_outage.py`: each from the package index in an environment of its own, with its own minimal configuration.

All measure the same folder every 30 s, which grows by a block a second: the size in a report says when it was measured, also
where the report carries no time.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

BLOCK = 4096  # bytes a second
EVERY_S = 30

_GLANCES = """\
[global]
check_update=false
[folders]
disable=False
refresh=1
folder_1_path={measured}
folder_1_refresh=1
[mqtt]
host=127.0.0.1
port={port}
tls=false
user=peer
password=peer
topic_structure=per-plugin
devicename=peer
"""
_PSMQTT = """\
mqtt:
  broker: {{host: 127.0.0.1, port: {port}}}
  clientid: psmqtt-peer
  clean_session: false
  qos: 1
  publish_topic_prefix: psmqtt/peer/
schedule:
- cron: every {every} seconds
  tasks:
  - {{task: directory_usage, params: ["{measured}"], topic: measured/size}}
"""
_LNXLINK = """\
mqtt:
  prefix: lnxlink
  clientId: peer
  server: 127.0.0.1
  port: {port}
  auth: {{user: "", pass: "", tls: false, keyfile: "", certfile: "", ca_certs: ""}}
  discovery: {{enabled: true, prefix: homeassistant}}
  lwt: {{enabled: true, qos: 1}}
  clear_on_off: true
update_interval: {every}
update_on_change: false
modules: [bash]
custom_modules:
exclude:
settings:
  bash:
    allow_any_command: false
    expose:
    - {{name: Size, type: sensor, command: "du -sk {measured} | cut -f1", update_interval: 0}}
"""


class Peer(NamedTuple):
    """One program to compare with."""

    name: str
    packages: tuple[str, ...]
    configuration: str
    command: tuple[str, ...]  # {bin}, {config}, {folder}, {every}
    topic: str  # of its report
    leaf: str  # the same as the counting proxy names it
    size: Callable[[bytes], int]  # bytes of the measured folder in a report's payload
    wrecked: str = ""  # in its log: this start failed by a race of its own, and is retried

    def install(self, folder: Path) -> Path:
        """A virtual environment with the newest release; returns its folder of commands. Raises CalledProcessError."""
        where = folder / f"env-{self.name}"
        if not (where / "bin" / self.name).exists():
            subprocess.run([sys.executable, "-m", "venv", str(where)], check=True)
            pip = [str(where / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", *self.packages]
            subprocess.run(pip, check=True, stderr=subprocess.DEVNULL)
        return where / "bin"

    def started_by(self, bin: Path, folder: Path, measured: Path, port: int) -> list[str]:
        """The command; its configuration is written into the folder."""
        config = folder / f"{self.name}.conf"
        config.write_text(self.configuration.format(port=port, measured=measured, every=EVERY_S), "utf-8")
        return [part.format(bin=bin, config=config, folder=folder, every=EVERY_S) for part in self.command]


def _folder_size(payload: bytes) -> int:
    return int(next(iter(json.loads(payload).values()))["size"])


PEERS = (
    Peer(
        "glances", ("glances", "paho-mqtt", "certifi"), _GLANCES,
        ("{bin}/glances", "-C", "{config}", "-q", "--export", "mqtt", "-t", "{every}", "--disable-plugin", "all",
         "--enable-plugin", "folders"),
        "glances/peer/folders", "glances/peer/folders", _folder_size, "object has no attribute 'client'",
    ),
    Peer(
        "psmqtt", ("psmqtt",), _PSMQTT, ("/usr/bin/env", "PSMQTTCONFIG={config}", "{bin}/psmqtt"),
        "psmqtt/peer/measured/size", "size", int,
    ),
    Peer(
        "lnxlink", ("lnxlink",), _LNXLINK,
        ("/usr/bin/env", "HOME={folder}", "{bin}/lnxlink", "-i", "-c", "{config}", "-d", "{folder}", "-r",
         "{folder}/lnxlink.json"),
        "lnxlink/peer/monitor_controls/bash/bash_size", "bash/bash_size", lambda payload: int(payload) * 1024,
    ),
)  # fmt: skip
