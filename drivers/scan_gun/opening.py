"""Opens a gun's node with the options of its table. Each source is imported only when a gun needs it."""

import os
from typing import TYPE_CHECKING, NamedTuple

from drivers.scan_gun.decoding.framing import Framer
from drivers.scan_gun.identity import Candidate
from drivers.scan_gun.options import ScanGunOptions
from drivers.scan_gun.sources.decoder import Decoder

if TYPE_CHECKING:
    from drivers.scan_gun.sources.pass_through import PassThrough


class Opened(NamedTuple):
    """An open gun. `not_passed_on`: why `pass_through` failed and the gun is shared instead."""

    fd: int
    decoder: Decoder
    pass_on: "PassThrough | None" = None
    not_passed_on: str = ""

    def close(self) -> None:
        if self.pass_on:
            self.pass_on.close()
        os.close(self.fd)


def open_gun(options: ScanGunOptions, gun: Candidate, framer: Framer) -> Opened:
    """Open the gun's node. Errors: OSError (EBUSY: another program has it open exclusively)."""
    if gun.source == "serial":
        from drivers.scan_gun.sources.serial_port import open_serial

        return Opened(*open_serial(gun.node, framer, options.baud, options.parity, options.data_bits))
    if gun.source == "hidpos":
        from drivers.scan_gun.sources.hidpos import open_hidpos

        return Opened(*open_hidpos(gun.node, framer, gun.vendor))
    from drivers.scan_gun.sources.evdev import open_evdev, ungrab

    opened = Opened(*open_evdev(gun.node, framer, options.caps, options.grab))
    if options.grab != "pass_through":
        return opened
    from drivers.scan_gun.sources.pass_through import open_pass_through

    try:
        return opened._replace(pass_on=open_pass_through(opened.fd, gun.name))
    except OSError as error:  # the shop's program must still get its scans
        ungrab(opened.fd)
        return opened._replace(not_passed_on=str(error))
