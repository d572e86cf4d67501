r"""Where a scan begins and ends, and which part of it the gun added: terminator, silence, prefix, suffix, AIM identifier.

Pure: receives items (one character or Alt code of a keyboard gun, one byte of a serial gun as its latin-1 character) with their
times and returns captures. The source reports silence (`quiet`), or the next item's time shows it; no clock is read.
`str.strip()` and `splitlines()` cut at GS (0x1D) and are not used here.
"""

from collections import deque

import msgspec

from drivers.scan_gun.capture import DAMAGED, REPEATED, Damage, RawCapture, Source
from drivers.scan_gun.decoding.affixes import ends_with, strip_affixes
from drivers.scan_gun.decoding.alt_codes import Alt, Item, best_effort, decode_items
from drivers.scan_gun.decoding.charset import Decoded, Undecodable, decode
from drivers.scan_gun.decoding.merged import suffix_inside
from drivers.scan_gun.decoding.open_scan import OpenScan
from drivers.symbology import ECI_MODES

MAX_ITEMS = 16_384  # of one scan; the largest Han Xin code holds 7,827 digits
SILENCE_FLOOR_MS, SILENCE_CEILING_MS = 250, 1500
LINE_FLOOR_MS, LINE_CEILING_MS = 60, 250
CUT_WINDOW_MS = 5000

_NAMED = {"none": "", "cr": "\r", "lf": "\n", "crlf": "\r\n", "enter": "\r", "tab": "\t"}


class Framing(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a gun's table that describe the form of its scans."""

    prefix: str = ""
    suffix: str = "auto"
    aim: bool = False
    multi_line: bool = False
    charset: str = "auto"
    alt: Alt = "auto"
    silence_ms: int = 0  # 0: measured


class Framer:
    """Items of one gun to captures. Methods that return captures return them in order.

    `stamped`: the items' times are when they happened (kernel timestamps, a recording), so a gap is silence. Bytes are
    timestamped when they are read, which may be late: for these only `quiet` proves silence.
    """

    def __init__(self, gun: str, identity: str, source: Source, framing: Framing, stamped: bool = True) -> None:
        self._gun, self._identity, self._framing = gun, identity, framing
        self._source: Source = source
        self.stamped = stamped
        suffix = framing.suffix.lower()
        self._auto = suffix == "auto"
        text = "" if self._auto else _NAMED.get(suffix, framing.suffix)
        control = next((i for i in range(len(text), 0, -1) if text[i - 1] >= " "), 0)
        self._tail, self._terminator = text[:control], text[control:]
        self._terminates = self._auto or bool(self._tail)  # by any line end, because nothing else is set
        line_end = text[control:] in ("\r", "\n", "\r\n")
        self._any_line_end = suffix == "enter" or (source == "evdev" and line_end)  # a keyboard has one Enter
        self._learned = False
        self._cut_ms: int | None = None
        self._gaps: deque[int] = deque(maxlen=8)  # the longest gap between two items in each of the last scans
        self._gap = 0
        self._scan: OpenScan | None = None
        self._previous: str | None = None
        self._silent = False  # this gun ends its scans by silence
        self._pending: list[RawCapture] = []  # ended by silence before it was known whether this gun does that
        self._lone_terminator_ms: int | None = None  # a terminator alone: ends a cut scan, or precedes the next

    @property
    def scanning(self) -> bool:
        return self._scan is not None

    @property
    def waiting(self) -> bool:
        """Silence would end a scan or release a pending capture."""
        return self._scan is not None or bool(self._pending)

    @property
    def has_items(self) -> bool:
        return self._scan is not None and bool(self._scan.items)

    @property
    def entering(self) -> bool:
        return self._scan is not None and self._scan.entering

    def enter(self, at_ms: int) -> None:
        """A character's number is being typed (`code_entry`): a scan that ends before the number is complete is damaged."""
        if self._scan is not None:
            self._scan.entering, self._scan.last_ms = True, max(at_ms, self._scan.last_ms)

    def begin(self, at_ms: int) -> list[RawCapture]:
        """Input from the gun (any key, also one without a character): closes a scan that has ended, opens a new one."""
        captures = self.quiet(at_ms) if self.stamped else []
        if self._scan is None:
            self._scan, self._gap, self._lone_terminator_ms = OpenScan(at_ms), 0, None
        self._scan.pauses.add(at_ms - self._scan.last_ms)
        self._scan.last_ms = max(at_ms, self._scan.last_ms)
        return captures

    def item(self, item: Item, at_ms: int) -> list[RawCapture]:
        """One more character, Alt code or byte."""
        captures = self.begin(at_ms)
        scan = self._scan
        assert scan is not None
        if scan.item_ms is not None:
            self._gap = max(self._gap, at_ms - scan.item_ms)
        scan.item_ms = at_ms
        scan.ended = scan.entering = False
        scan.items.append(item)
        if len(scan.items) > MAX_ITEMS:
            scan.damage = scan.damage or "too_long"
            del scan.items[-9]  # the newest are kept, to detect the end
        if self._at_terminator(item, scan):
            if self._framing.multi_line:
                scan.ended = True
            else:
                captures += self._close(terminated=True)
        return captures

    def log(self, fragment: str, at_ms: int | None = None) -> None:
        """Raw evidence of the open scan: bytes as hex, or (with a time) a key with the ms since the previous one."""
        scan = self._scan
        if scan is None or len(scan.raw) > 8 * MAX_ITEMS:
            return
        if at_ms is not None:
            fragment = f"{max(0, at_ms - scan.raw_ms)}{fragment}"
            scan.raw_ms = max(scan.raw_ms, at_ms)
        scan.raw.append(fragment)

    def damage(self, cause: Damage, at_ms: int, *, lost: bool = True) -> list[RawCapture]:
        """Mark the scan as damaged. `lost`: report it even if nothing of it was read."""
        captures = self.begin(at_ms)
        scan = self._scan
        assert scan is not None
        scan.damage = scan.damage or cause
        scan.lost |= lost
        return captures

    def dropped(self, at_ms: int) -> list[RawCapture]:
        """Events were lost until now: the gap before may not have been silence, and the open scan is damaged."""
        captures = self._release("events_dropped")
        if self._scan is None:
            self._scan, self._gap = OpenScan(at_ms), 0
        self._scan.last_ms = max(at_ms, self._scan.last_ms)
        self._scan.damage, self._scan.lost, self._scan.ended = self._scan.damage or "events_dropped", True, False
        return captures

    def quiet(self, at_ms: int) -> list[RawCapture]:
        """Nothing more had come when it was `at_ms`."""
        captures = self._close_if_silent(at_ms)
        if self._scan is not None or not self._pending:
            return captures
        if self._lone_terminator_ms is not None:
            if at_ms - self._lone_terminator_ms > SILENCE_FLOOR_MS:
                self._learned, self._cut_ms = True, None
                captures += self._release("no_terminator")
        elif at_ms - self._pending[-1].end_mono_ms > SILENCE_CEILING_MS:
            self._silent = True
            captures += self._release()
        return captures

    def _close_if_silent(self, at_ms: int) -> list[RawCapture]:
        if self._scan is None or at_ms - self._scan.last_ms <= self._silence_limit_ms(self._scan):
            return []
        return self._close(terminated=self._scan.ended)

    def complete(self, identifier: str | None) -> list[RawCapture]:
        """The gun itself reports the end of the scan (HID POS), and its AIM identifier with the bracket."""
        if self._scan is None:
            return []
        return self._close(terminated=True, symbology=identifier[1:] if identifier else None)

    def silence(self) -> list[RawCapture]:
        """Nothing follows: the end of a recording."""
        captures = [] if self._scan is None else self._close(terminated=self._scan.ended)
        return captures + self._release("no_terminator" if self._lone_terminator_ms is not None else None)

    def gone(self, at_ms: int, cause: Damage = "unplugged") -> list[RawCapture]:
        """The gun is no longer read; a scan that had not ended is damaged."""
        captures = self._close_if_silent(at_ms) if self.stamped else []
        if self._scan is not None and not self._scan.ended:
            captures += self.damage(cause, at_ms, lost=False)
        captures += self._release(cause) + self.silence()
        if cause == "unplugged":
            self._cut_ms = None  # without power it forgets what it had not typed: no second half comes
        return captures

    def _release(self, damage: Damage | None = None) -> list[RawCapture]:
        """The captures that waited for the next input."""
        pending, self._pending, self._lone_terminator_ms = self._pending, [], None
        return [c if damage is None or c.damaged else c.as_damaged(damage) for c in pending]

    def _silence_limit_ms(self, scan: OpenScan) -> int:
        if self._framing.silence_ms:
            return self._framing.silence_ms
        if self._source == "hidpos":
            return SILENCE_CEILING_MS
        slowest = max(self._gap, *self._gaps, 0)
        if scan.ended:
            return min(max(6 * slowest, LINE_FLOOR_MS), LINE_CEILING_MS)
        return min(max(8 * slowest, SILENCE_FLOOR_MS), SILENCE_CEILING_MS)

    def _at_terminator(self, item: Item, scan: OpenScan) -> bool:
        if self._source == "hidpos":
            return False
        if self._terminator and not self._any_line_end:
            return item == self._terminator[-1] and ends_with(scan.items, self._terminator)
        return (self._terminates or bool(self._terminator)) and item in ("\r", "\n")

    def _close(self, terminated: bool, symbology: str | None = None) -> list[RawCapture]:
        scan, self._scan = self._scan, None
        assert scan is not None
        if scan.entering:
            scan.damage, scan.lost = scan.damage or "undecodable", True
        items = self._without_terminator(scan, terminated)
        by_silence = not terminated
        if self._source != "hidpos":  # there only the gun itself ends a scan
            terminated = terminated or len(items) < len(scan.items)
        if self._framing.multi_line:  # line ends before the data are not part of it
            items = items[next((i for i, c in enumerate(items) if c not in ("\r", "\n")), len(items)) :]
        self._judge_end(scan, items, terminated)
        items, symbology, missing = strip_affixes(items, self._framing.prefix, self._tail, self._framing.aim, symbology)
        scan.damage = scan.damage or missing
        if by_silence and self._unclear(scan, items):
            scan.damage = scan.damage or "joined"
        if scan.item_ms is not None and len(scan.items) > 1:
            self._gaps.append(self._gap)
        if not items and not scan.lost:
            self._lone_terminator_ms = scan.last_ms if terminated and self._pending else None
            if terminated and self._learned:  # the end of one that fell silent
                self._cut_ms = None
            return []  # an empty scan is not reported
        capture = self._capture(scan, items, symbology)
        if terminated or not (self._pending or self._undecided):
            return [*self._release("no_terminator" if terminated else None), capture]
        self._pending.append(capture)
        return []

    @property
    def _undecided(self) -> bool:
        """It is not yet known whether this gun ends its scans with a terminator or by silence alone."""
        return self._auto and self._source != "hidpos" and not (self._learned or self._silent)

    def _without_terminator(self, scan: OpenScan, terminated: bool) -> list[Item]:
        items = list(scan.items)
        last = items[-1] if items else ""
        if self._terminator and self._source != "evdev" and not self._any_line_end:
            cut = len(self._terminator) if ends_with(items, self._terminator) else 0
        elif ends_with(items, "\r\n"):
            cut = 2
        elif self._terminator not in ("", "\r", "\n", "\r\n"):
            cut = int(last == self._terminator[-1])
        elif last in ("\r", "\n"):
            cut = 1
        else:
            cut = int(last == "\t" and not terminated and not self._terminator)  # a gun may end with Tab alone
        return items[: len(items) - cut]

    def _judge_end(self, scan: OpenScan, items: list[Item], terminated: bool) -> None:
        """Silence is a valid end only for a gun that ends its scans that way."""
        if not items:
            return
        if not terminated:
            if self._source == "hidpos":
                scan.damage = scan.damage or "bad_report"  # its last report did not come
            elif self._terminator or self._learned:
                scan.damage = scan.damage or "no_terminator"
            if self._auto or self._source == "hidpos":
                self._cut_ms = scan.last_ms
        elif self._auto or self._source == "hidpos":
            if self._cut_ms is not None and scan.start_ms - self._cut_ms <= CUT_WINDOW_MS:
                scan.damage = scan.damage or "follows_a_cut"
            self._cut_ms, self._learned = None, True

    def _unclear(self, scan: OpenScan, items: list[Item]) -> bool:
        """A scan that silence ended may be two."""
        if self._source == "evdev" and not self._framing.silence_ms and scan.pauses.one_stands_out:
            return True
        tail = self._tail or ("\t" if self._auto and scan.items[-1:] == ["\t"] else "")
        return bool(tail) and suffix_inside(items, tail, self._framing.prefix)

    def _capture(self, scan: OpenScan, items: list[Item], symbology: str | None) -> RawCapture:
        try:
            decoded = self._decoded(items, symbology)
        except Undecodable:
            scan.damage = scan.damage or "undecodable"
            decoded = Decoded(best_effort(items), "unknown", "undecodable")
        damaged = scan.damage is not None
        repeated = not damaged and decoded.text == self._previous
        if not damaged:
            self._previous = decoded.text
        return RawCapture(
            gun=self._gun,
            identity=self._identity,
            source=self._source,
            text="" if damaged else decoded.text,
            seen=decoded.text if damaged else "",
            raw=("" if self._source != "evdev" else " ").join(scan.raw),
            charset=decoded.charset,
            charset_because=decoded.because,
            symbology=symbology,
            start_mono_ms=scan.start_ms,
            end_mono_ms=scan.last_ms,
            flags=(DAMAGED,) if damaged else (REPEATED,) if repeated else (),
            damage=scan.damage,
        )

    def _decoded(self, items: list[Item], symbology: str | None) -> Decoded:
        eci_mode = symbology in ECI_MODES
        if self._source == "evdev":
            return decode_items(items, self._framing.charset, self._framing.alt, eci_mode)
        data = "".join(c for c in items if isinstance(c, str)).encode("latin-1")
        return decode(data, self._framing.charset, eci_mode)
