"""One look of one driver, in the very sandbox of the service: the installed unit, with another program in it (`lab.installed`
puts it there).
"""

import json
from typing import Any, NamedTuple

from lab.station import PYTHON, Station

PROGRAM = """
import asyncio, json, sys
from pathlib import Path
import msgspec
from drivers.reading import DriverError
from drivers.table import CLASSES

asked = json.loads(Path("/run/lab.look.json").read_text())
line = CLASSES[asked["class"]]
driver = msgspec.convert({"id": "lab", **asked["options"]}, line.driver_type())

async def look():
    reading = None
    for _ in range(asked["times"]):
        async with asyncio.timeout(line.budget_s * 4):  # the machine is emulated: 12 to 29 times slower than a terminal
            try:
                reading = await driver.look(Path("/"), reading)
            except DriverError as error:
                reading = error.reading
    return reading

print(msgspec.json.encode(asyncio.run(look())).decode())
"""
PROGRAM_AT = "/usr/local/lib/lab-look.py"
AS_THE_SERVICE = (
    "sed -e 's/^Type=.*/Type=oneshot/' -e '/^Restart/d' -e '/^WatchdogSec/d' -e '/^NotifyAccess/d' -e '/^ExecStopPost/d'"
    f" -e 's,^ExecStart=.*,ExecStart={PYTHON} -I {PROGRAM_AT},'"
    " -e '/^ExecStart=/a StandardOutput=truncate:/run/lab.look.out'"
    " /etc/systemd/system/yinong-agent.service > /run/systemd/system/lab-look.service && systemctl daemon-reload"
)


class Seen(NamedTuple):
    """A reading, as the driver gave it."""

    condition: str
    reason: str
    params: dict[str, Any]
    measures: dict[str, Any]
    evidence: list[dict[str, Any]]


def look(station: Station, device_class: str, *, times: int = 1, **options: Any) -> Seen:
    """What the driver of that class sees as the service's account in the service's sandbox; at its last look of `times`."""
    station.put("/run/lab.look.json", json.dumps({"class": device_class, "options": options, "times": times}))
    station.run("systemctl start lab-look || (journalctl --no-pager -n 40 -u lab-look >&2; false)", timeout_s=120)
    said = json.loads(station.get("/run/lab.look.out"))
    reason = said["reason"]
    return Seen(said["condition"], reason["code"], reason.get("params", {}), said["measures"], said["evidence"])
