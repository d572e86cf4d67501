"""What a scan gun gives: one capture for one scan, exact or flagged `damaged`."""

from typing import Literal, TypeAlias

import msgspec

Source: TypeAlias = Literal["evdev", "serial", "hidpos", "camera"]

DAMAGED = "damaged"
REPEATED = "repeated"

Damage: TypeAlias = Literal[
    "events_dropped",  # the kernel's ring ran over (SYN_DROPPED)
    "unplugged",  # the gun went away in mid-scan
    "stopped",  # the agent was stopped in mid-scan
    "opened_mid_scan",  # the first key came so soon after opening that keys before it may be missing
    "no_terminator",  # this gun ends its scans with a terminator; this one ended by silence
    "follows_a_cut",  # the scan before ended by silence and this one by a terminator: likely its second half
    "prefix_missing",
    "suffix_missing",
    "aim_missing",  # the gun is set to send AIM identifiers and none came
    "undecodable",  # no character set gives these bytes or Alt codes a meaning
    "unknown_key",  # a key that is no character
    "inconsistent_keys",  # a key went down twice, or up without down: an event is missing
    "joined",  # perhaps two scans: no terminator, and a pause that stands out or the suffix in the middle
    "out_of_order",  # a recording whose times go back in the middle of a scan
    "line_error",  # parity, framing or break on the serial line
    "bad_report",  # a HID POS report that contradicts itself or its predecessor
    "too_long",
]


class RawCapture(msgspec.Struct, frozen=True, kw_only=True):
    """One scan of one gun. Its number and seq are given by whoever stores it.

    Times are CLOCK_BOOTTIME in ms (a replay: the recording's own): the first and the last key, byte or report.
    `text` is exact, or empty where `damaged` is among the flags: what was seen is then in `seen`, so that nobody takes half
    a code for a code.
    """

    gun: str  # id of the gun's table
    identity: str  # stable: USB vendor and serial number, else its port
    source: Source
    text: str
    raw: str  # hex of the bytes, or the key log `<ms since the one before><+ down or - up><key>` of a keyboard gun
    charset: str
    charset_because: str
    symbology: str | None  # AIM identifier (ISO/IEC 15424) without its bracket, where the gun sends it
    start_mono_ms: int
    end_mono_ms: int
    flags: tuple[str, ...] = ()
    seen: str = ""  # of a damaged scan: what could be made out
    damage: Damage | None = None

    @property
    def damaged(self) -> bool:
        return DAMAGED in self.flags

    def as_damaged(self, damage: Damage) -> "RawCapture":
        """The same, found out to be damaged."""
        return msgspec.structs.replace(self, text="", seen=self.text, flags=(DAMAGED,), damage=damage)
