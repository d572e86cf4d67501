"""One poll of one driver in the sandbox of the service: the installed unit with another program.

`lab.installed` starts that program before it freezes the station, as a driver takes an emulated machine seconds to import: it
waits with the drivers loaded, and each look is a child of its own. A station that has really booted has no such program.
"""

import json
from typing import Any, NamedTuple

from lab.station import PYTHON, Station

PROGRAM = """
import asyncio, os, socket
from pathlib import Path
import msgspec
from drivers.reading import DriverError
from drivers.table import CLASSES

drivers = {name: line.driver_type() for name, line in CLASSES.items()}

async def look(driver, times, within_s):
    reading = None
    for _ in range(times):
        async with asyncio.timeout(within_s):
            try:
                reading = await driver.look(Path("/"), reading)
            except DriverError as error:
                reading = error.reading
    return reading

with socket.socket(socket.AF_UNIX) as server:
    server.bind("\\0lab-look")
    server.listen()
    while True:
        asking, _ = server.accept()
        if not os.fork():
            asked = msgspec.json.decode(asking.makefile("rb").readline())
            driver = msgspec.convert({"id": "lab", **asked["options"]}, drivers[asked["class"]])
            within_s = CLASSES[asked["class"]].budget_s * 4  # the machine is emulated: 12 to 29 times slower than a terminal
            asking.sendall(msgspec.json.encode(asyncio.run(look(driver, asked["times"], within_s))))
            os._exit(0)
        asking.close()
        os.wait()
"""
PROGRAM_AT = "/usr/local/lib/lab-look.py"
AS_THE_SERVICE = (
    "sed -e 's/^Type=.*/Type=exec/' -e '/^Restart/d' -e '/^WatchdogSec/d' -e '/^NotifyAccess/d' -e '/^ExecStopPost/d'"
    f" -e 's,^ExecStart=.*,ExecStart={PYTHON} -I {PROGRAM_AT},'"
    " /etc/systemd/system/yinong-agent.service > /run/systemd/system/lab-look.service"
    " && systemctl start lab-look && until grep -q @lab-look /proc/net/unix; do sleep 0.1; done"
)


class Seen(NamedTuple):
    """A reading of the driver."""

    condition: str
    reason: str
    params: dict[str, Any]
    measures: dict[str, Any]
    evidence: list[dict[str, Any]]


def look(station: Station, device_class: str, *, times: int = 1, **options: Any) -> Seen:
    """The reading of the driver of that class, with the service's account and sandbox; the last of `times` polls."""
    asked = {"class": device_class, "options": options, "times": times}
    reading = json.loads(station.hand("driver.look", within_s=120, asked=asked) or "null")
    assert reading, station.run("journalctl --no-pager -n 40 -u lab-look")
    reason = reading["reason"]
    return Seen(
        reading["condition"], reason["code"], reason.get("params", {}), reading["measures"], reading["evidence"]
    )
