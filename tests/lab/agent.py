"""The agent's service in a station: configured for the lab's county, started, stopped and queried."""

import json
from collections.abc import Mapping
from typing import Any

from lab.county import HOST, County
from lab.guns import KeyboardGun
from lab.places import LabError
from lab.station import Station

NAME = "450225-GXBRS0001B-1"
PASSWORD = "lab-terminal-1"
UNIT = "yinong-agent.service"
_CONFIG = "/etc/yinong-agent/agent.toml"
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CREDENTIAL = "/etc/credstore/yinong-agent.broker-password"


class Agent:
    """yinong-agent.service, as installed. It does not run before `start`."""

    def __init__(self, station: Station, county: County) -> None:
        self.station = station
        self.county = county
        station.put(_CREDENTIAL, PASSWORD, 0o600)
        self.configure()

    def configure(self, *devices: Mapping[str, Any], **sections: Mapping[str, Any]) -> None:
        """agent.toml: the lab's station and broker, other sections, and these `[[device]]` tables (none: one of each)."""
        tables: dict[str, Mapping[str, Any]] = {
            "station": {"division": "450225", "number": "桂BRS0001B"},
            "broker": {
                "host": HOST,
                "port": self.county.broker.port,
                "tls": False,
                "keepalive_s": 10,
                "reconnect_cap_s": 5,
            },
            "opening_hours": {
                day: ["00:00-24:00"] for day in _DAYS
            },  # so that verdicts do not depend on the hour of the run
        }
        for name, values in sections.items():
            tables[name] = {**tables.get(name, {}), **values}
        lines = [f"[{name}]\n{_toml(values)}" for name, values in tables.items()]
        lines += [f"[[device]]\n{_toml(values)}" for values in devices]
        self.station.put(_CONFIG, "\n".join(lines))

    def start(self) -> None:
        """Start it; return once it has sent READY and the county has received its birth."""
        self.station.run(
            f"systemctl restart {UNIT} || (journalctl -n 50 --no-pager -u {UNIT} >&2; false)", timeout_s=120
        )
        online = "select 1 from latest where leaf = 'state' and cast(body as text) like '%\"online\"%'"
        self.county.waits_for("the agent's birth", lambda: self.county.rows(online))

    def start_with(self, gun: KeyboardGun) -> None:
        """Configure it for this gun only, start it, and wait until the gun is open."""
        self.configure({"class": "scan_gun", "id": "gun", "usb": gun.identity.vendor_product})
        self.start()
        self.opens(gun.by_id)

    def stop(self) -> None:
        self.station.run(f"systemctl stop {UNIT}", timeout_s=60)

    def restarts(self) -> int:
        """The number of restarts by systemd."""
        return int(self.station.run(f"systemctl show -p NRestarts --value {UNIT}"))

    def opens(self, node: str) -> None:
        """Wait until the daemon has that device open (a symbolic link to it is accepted)."""
        if not self.station.hand("opened.by", within_s=60, unit=UNIT, node=node, timeout_s=30):
            raise LabError(f"waited 30 s in vain for the agent to open {node}; it has\n{self.log()[-2000:]}")

    @property
    def pid(self) -> int:
        return int(self.station.run(f"systemctl show -p MainPID --value {UNIT}"))

    def descriptors(self) -> int:
        """Open file descriptors of the daemon."""
        return int(self.station.run(f"ls /proc/{self.pid}/fd | wc -l"))

    def kept(self, kind: str) -> list[Any]:
        """Of each row of that kind in its outbox: [number, text, damage] of a `scan`, [event, boot, details] of a `journal`."""
        found = self.station.hand("counter.kept", running=True) or {"rows": []}
        return [body for _, _, of_kind, _, body in found["rows"] if of_kind == kind]

    def log(self) -> str:
        return self.station.run(f"journalctl --no-pager -o cat -u {UNIT}")

    def check(self) -> dict[str, Any]:
        """`yinong-agent check --json`: through the daemon if it runs, else by its own polls."""
        return json.loads(self.station.tried("yinong-agent check --json", timeout_s=180).out)


def _toml(values: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())
