"""A configured scan gun: `look` checks whether it is present, `listen` captures its scans while the daemon runs.

    node -> reader (thread) -> decoder (keys, bytes, reports) -> framer -> RawCapture -> deliver

A gun is opened only if its table names it by `port`, `usb` or `usb_port`: a keyboard that a person types on is not a gun.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Literal

from drivers.reading import CannotLook, Condition, DriverError, Evidence, Found, Reading, Reason, Scalar
from drivers.scan_gun.capture import RawCapture, Source
from drivers.scan_gun.decoding.framing import Framer
from drivers.scan_gun.identity import Candidate, at_path, candidates, matching, one_gun
from drivers.scan_gun.opening import open_gun
from drivers.scan_gun.options import ScanGunOptions
from drivers.scan_gun.recording import OnEntry
from drivers.scan_gun.session import Listening, Session, read_until_gone, wait_until_settled

RECHECK_S = 5.0  # if no hotplug event comes
SETTLE_S, SETTLE_TRIES = 0.5, 8  # udev sets links and permissions after the event
OPEN_WAIT_S = 2.0  # how long `look` waits for a gun that was just plugged in and is not open yet

_ACKNOWLEDGE = {"none": b"", "bel": b"\x07", "ack": b"\x06"}


class ScanGun(ScanGunOptions, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """A configured gun. With all defaults nothing is opened: `look` reports what could be configured.

    `listen`, `look` and `confirm` share one session, so the daemon calls all three on the same object.
    """

    @cached_property
    def _listening(self) -> Listening:
        """State of this object, not an option: not read from the table and not compared (needs `dict=True`)."""
        return Listening()

    async def look(self, root: Path, previous: Reading | None = None) -> Reading:  # noqa: ARG002
        """Is the gun present, and can it be read? From sysfs and the session of `listen`; the gun itself is not accessed."""
        if not self.configured:
            return _not_configured(candidates(root))
        fits, session = self._matching(root), self._listening.session
        if fits and session is not None and not session.open_node:
            await wait_until_settled(session, OPEN_WAIT_S)
            fits = self._matching(root)
        evidence = tuple(_evidence(c) for c in fits)
        if not fits:
            raise DriverError(
                Condition.ABSENT, "not_connected", Evidence("sysfs", "sys/class", self._selector), gun=self._selector
            )
        gun = fits[0]
        if session is None or not session.open_node:
            _raise_if_closed(gun, session.error if session else None, evidence)
        counts = (session.captures, session.damaged, session.openings) if session else (None, None, None)
        measures: dict[str, Scalar] = dict(zip(("captures", "damaged_captures", "openings"), counts, strict=True))
        name, several = gun.name or gun.node.name, not one_gun(fits)
        not_passed_on = session.not_passed_on if session else ""
        code = (
            "several_match"
            if several
            else "not_passed_on"
            if not_passed_on
            else "ready_keyboard"
            if gun.source == "evdev"
            else "ready"
        )
        return Reading(
            condition=Condition.ATTENTION if several or not_passed_on else Condition.WORKING,
            reason=Reason(code, {"name": name, "source": gun.source, "number": len(fits), "error": not_passed_on}),
            measures=measures,
            evidence=evidence,
        )

    async def listen(
        self, root: Path, deliver: Callable[[RawCapture], None], changed: asyncio.Event, on_entry: OnEntry | None = None
    ) -> None:
        """Capture until cancelled: open the gun when it is present, read it until it is unplugged, repeat.

        `deliver` is called in the loop's thread, in order, also for damaged captures. `changed` belongs to this gun: set it
        when a device was added or removed; it is cleared here. An exception of `deliver` ends `listen`. Cancellation first
        delivers what had been read, then closes the device and joins the thread. `on_entry` receives every input, for a
        recording.
        """
        session = self._listening.session = Session()
        framers: dict[str, Framer] = {}  # what a framer has learned of its gun is kept when the gun is unplugged
        settling = 0
        try:
            while self.configured:
                changed.clear()
                ended = await self._run_session(root, deliver, session, framers, on_entry)
                settling = 0 if ended == "absent" else settling + 1 if ended == "refused" else 1
                session.settling = settling <= SETTLE_TRIES
                await self._wait(root, changed, SETTLE_S if 0 < settling <= SETTLE_TRIES else RECHECK_S, ended)
            await asyncio.Event().wait()  # its table names no gun: nothing is ever opened
        finally:
            self._listening.session = None

    def confirm(self) -> None:
        """Acknowledge a stored scan to a serial gun, with the character that `acknowledge` sets. Never blocks."""
        sign, session = _ACKNOWLEDGE[self.acknowledge], self._listening.session
        if sign and session and session.serial_fd is not None:
            with contextlib.suppress(OSError):
                os.write(session.serial_fd, sign)

    async def _run_session(
        self,
        root: Path,
        deliver: Callable[[RawCapture], None],
        session: Session,
        framers: dict[str, Framer],
        on_entry: OnEntry | None,
    ) -> Literal["absent", "refused", "gone"]:
        """From plug to unplug; returns immediately if there is no gun or it cannot be opened."""
        fits = self._matching(root)
        if not fits:
            session.error = None
            return "absent"
        gun = fits[0]
        key = f"{gun.source} {gun.identity}"
        stamped = gun.source == "evdev"
        framer = framers.setdefault(key, Framer(self.id, gun.identity, gun.source, self.framing, stamped))
        try:
            opened = open_gun(self, gun, framer)
        except OSError as error:
            session.error = error
            return "refused"
        session.serial_fd = opened.fd if gun.source == "serial" else None
        if on_entry:
            opened.decoder.record(on_entry)
        session.error, session.open_node, session.identity = None, str(gun.node), gun.identity
        session.openings, session.not_passed_on = session.openings + 1, opened.not_passed_on

        def count_and_deliver(capture: RawCapture) -> None:
            session.captures += 1
            session.damaged += capture.damaged
            deliver(capture)

        try:
            await read_until_gone(opened.fd, opened.decoder, count_and_deliver, opened.pass_on)
        finally:
            session.serial_fd = None
            opened.close()
            session.open_node = ""
        return "gone"

    async def _wait(self, root: Path, changed: asyncio.Event, seconds: float, ended: str) -> None:
        """Until a device was added or removed: `changed` is set, or a poll every few seconds finds other nodes."""
        before = _nodes(root)
        while not await _set_within(changed, seconds):
            if ended != "absent" or self.port != "auto" or _nodes(root) != before:
                return

    @property
    def _selector(self) -> str:
        return self.port if self.port != "auto" else " ".join(part for part in (self.usb, self.usb_port) if part)

    def _matching(self, root: Path) -> list[Candidate]:
        source: Source | None = None if self.source == "auto" else self.source
        if self.port != "auto":
            one = at_path(root, self.port, source)
            return [one] if one else []
        return matching(candidates(root, source), self.usb, self.usb_port)


def find(root: Path) -> list[Found]:
    """Every node that could be a gun, likely ones first, with its table; none is opened."""
    from drivers.scan_gun.suggestions import suggest

    return [suggest(c) for c in candidates(root)]


def _not_configured(seen: list[Candidate]) -> Reading:
    if not seen:
        return Reading(
            condition=Condition.ABSENT, reason=Reason("no_gun_found"), evidence=(Evidence("sysfs", "sys/class"),)
        )
    return Reading(
        condition=Condition.UNKNOWN,
        reason=Reason("not_configured", {"number": len(seen)}),
        evidence=tuple(_evidence(c) for c in seen),
    )


def _evidence(c: Candidate) -> Evidence:
    raw = {"name": c.name, "usb": c.usb, "usb_port": c.usb_port, "identity": c.identity, "likely": c.likely}
    return Evidence(f"sysfs, {c.source}", str(c.node), raw)


def _raise_if_closed(gun: Candidate, error: OSError | None, evidence: tuple[Evidence, ...]) -> None:
    if (error and error.errno in (errno.EACCES, errno.EPERM)) or not os.access(gun.node, os.R_OK):
        raise CannotLook("no_permission", *evidence, path=str(gun.node))
    if error and error.errno in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK):
        raise DriverError(Condition.ATTENTION, "held_by_other", *evidence, path=str(gun.node))
    if error:
        raise DriverError(
            Condition.FAULTY, "cannot_open", *evidence, path=str(gun.node), error=error.strerror or str(error)
        )


def _nodes(root: Path) -> list[str]:
    """The device nodes of this machine: three directory listings, nothing is read."""
    names: list[str] = []
    for folder in ("input", "tty", "hidraw"):
        try:
            names += sorted(os.listdir(root / "sys/class" / folder))  # noqa: PTH208 - names only
        except OSError:
            continue
    return names


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
