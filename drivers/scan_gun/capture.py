"""What a scan gun delivers: one capture for each scan, exact or flagged `damaged`."""

from typing import Literal, TypeAlias

import msgspec

Source: TypeAlias = Literal["evdev", "serial", "hidpos", "camera"]

DAMAGED = "damaged"
REPEATED = "repeated"

Damage: TypeAlias = Literal[
    "events_dropped",  # the kernel's ring buffer overflowed (SYN_DROPPED)
    "unplugged",  # the gun was unplugged in mid-scan
    "stopped",  # the agent was stopped in mid-scan
    "opened_mid_scan",  # the first key came so soon after opening that earlier keys may be missing
    "no_terminator",  # this gun ends its scans with a terminator; this scan was ended by silence
    "follows_a_cut",  # the previous scan was ended by silence and this one by a terminator: likely its second half
    "prefix_missing",
    "suffix_missing",
    "aim_missing",  # the gun is set to send AIM identifiers and sent none
    "undecodable",  # no character set decodes these bytes or Alt codes
    "unknown_key",  # a key that types no character
    "inconsistent_keys",  # a key pressed twice, or released without a press: an event is missing
    "joined",  # possibly two scans: no terminator, and one much longer pause or the suffix in the middle
    "out_of_order",  # a recording whose times go backwards in mid-scan
    "line_error",  # parity, framing or break on the serial line
    "bad_report",  # a HID POS report that contradicts itself or its predecessor
    "too_long",
]


class RawCapture(msgspec.Struct, frozen=True, kw_only=True):
    """One scan of one gun. The caller that stores it assigns its number and seq.

    Times are CLOCK_BOOTTIME in ms (in a replay: the recording's own): of the first and the last key, byte or report.
    `text` is exact, or empty if `damaged` is among the flags: what was read is then in `seen`, so that half a code is
    never mistaken for a whole one.
    """

    gun: str  # id of the gun's table
    identity: str  # stable: USB vendor and serial number, else its port
    source: Source
    text: str
    raw: str  # hex of the bytes, or of a keyboard gun the key log `<ms since the previous entry><+ press or - release><key>`
    charset: str
    charset_because: str
    symbology: str | None  # AIM identifier (ISO/IEC 15424) without its bracket; None if the gun sends none
    start_mono_ms: int
    end_mono_ms: int
    flags: tuple[str, ...] = ()
    seen: str = ""  # of a damaged scan: what could be read
    damage: Damage | None = None

    @property
    def damaged(self) -> bool:
        return DAMAGED in self.flags

    def as_damaged(self, damage: Damage) -> "RawCapture":
        """This capture marked as damaged; its text moves to `seen`."""
        return msgspec.structs.replace(self, text="", seen=self.text, flags=(DAMAGED,), damage=damage)
