"""Key events of one gun to its scans: a fixed US table, regardless of the desktop's layout.

Shift counts while it is pressed, Ctrl types control characters (Ctrl+] is GS), Alt with digits and Ctrl+Shift+U a character's
number (`code_entry`). The keypad types digits regardless of NumLock. Key codes: linux/input-event-codes.h (`evdev.ecodes`).
"""

from typing import Literal, TypeAlias

from evdev import ecodes as e

from drivers.scan_gun.capture import RawCapture
from drivers.scan_gun.decoding.code_entry import CodeEntry
from drivers.scan_gun.decoding.framing import Framer

Caps: TypeAlias = Literal["ignore", "host"]

_SHIFT = frozenset({e.KEY_LEFTSHIFT, e.KEY_RIGHTSHIFT})
_CTRL = frozenset({e.KEY_LEFTCTRL, e.KEY_RIGHTCTRL})
_ALT = frozenset({e.KEY_LEFTALT, e.KEY_RIGHTALT})
_META = frozenset({e.KEY_LEFTMETA, e.KEY_RIGHTMETA})
_LOCKS = frozenset({e.KEY_CAPSLOCK, e.KEY_NUMLOCK, e.KEY_SCROLLLOCK})

_ROWS = (
    (e.KEY_1, "1234567890-=", "!@#$%^&*()_+"),
    (e.KEY_Q, "qwertyuiop[]", "QWERTYUIOP{}"),
    (e.KEY_A, "asdfghjkl;'`", 'ASDFGHJKL:"~'),
    (e.KEY_BACKSLASH, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
)
_BOTH = {  # the same with and without shift
    e.KEY_SPACE: " ", e.KEY_TAB: "\t", e.KEY_ENTER: "\n", e.KEY_KPENTER: "\n", e.KEY_ESC: "\x1b", e.KEY_BACKSPACE: "\b",
    e.KEY_DELETE: "\x7f", e.KEY_KPASTERISK: "*", e.KEY_KPMINUS: "-", e.KEY_KPPLUS: "+", e.KEY_KPDOT: ".", e.KEY_KPSLASH: "/",
    e.KEY_KPEQUAL: "=", e.KEY_KPCOMMA: ",", e.KEY_KP0: "0", e.KEY_KP1: "1", e.KEY_KP2: "2", e.KEY_KP3: "3", e.KEY_KP4: "4",
    e.KEY_KP5: "5", e.KEY_KP6: "6", e.KEY_KP7: "7", e.KEY_KP8: "8", e.KEY_KP9: "9",
}  # fmt: skip
US = {code: (c, c) for code, c in _BOTH.items()} | {
    first + i: pair for first, plain, shifted in _ROWS for i, pair in enumerate(zip(plain, shifted, strict=True))
}

# Ctrl with a digit or sign, as in terminals: Ctrl+2 is NUL, Ctrl+6 is RS.
_CTRL_SIGNS = {"2": "\0", "@": "\0", "3": "\x1b", "4": "\x1c", "5": "\x1d", "6": "\x1e", "^": "\x1e", "7": "\x1f",
               "-": "\x1f", "/": "\x1f", "8": "\x7f", " ": "\0", "_": "\x1f", "?": "\x7f", "{": "\x1b", "|": "\x1c",
               "}": "\x1d", "[": "\x1b", "\\": "\x1c", "]": "\x1d"}  # fmt: skip


class Keys:
    """Feeds a framer from key events. `caps = "host"`: the gun inverts upper and lower case while the host's CapsLock is on."""

    def __init__(self, framer: Framer, caps: Caps = "ignore") -> None:
        self._framer, self._caps = framer, caps
        self._pressed: set[int] = set()
        self._own_caps = self._host_caps = False
        self._entry = CodeEntry()

    def event(self, at_ms: int, kind: int, code: int, value: int) -> list[RawCapture]:
        """One event of the device's node (struct input_event)."""
        if kind == e.EV_KEY:
            return self._down(at_ms, code) if value == 1 else self._up(at_ms, code) if value == 0 else []
        if kind == e.EV_SYN and code == e.SYN_DROPPED:
            return self.dropped(at_ms)
        if kind == e.EV_LED and code == e.LED_CAPSL and self._caps == "host":
            self._host_caps, self._own_caps = bool(value), False
        return []

    def dropped(self, at_ms: int) -> list[RawCapture]:
        """Events were lost: the pressed keys are no longer known, and the scan is damaged until it ends."""
        captures = self._framer.dropped(at_ms)
        self._framer.log("!dropped", at_ms)
        self._pressed.clear()
        self._own_caps = False
        self._entry.clear()
        return captures

    def _down(self, at_ms: int, code: int) -> list[RawCapture]:
        captures = self._begin(at_ms)
        self._framer.log(f"+{_name(code)}", at_ms)
        if code in self._pressed:  # the kernel never reports this: a release is missing
            captures += self._framer.damage("inconsistent_keys", at_ms, lost=False)
        self._pressed.add(code)
        if code == e.KEY_CAPSLOCK:
            self._own_caps = not self._own_caps
        if code in _SHIFT | _CTRL | _ALT | _META | _LOCKS:
            return captures
        plain, shifted = US.get(code, ("", ""))
        if self._entry.kind == "unicode":
            return captures + self._after_u(at_ms, plain)
        if (
            self._any_pressed(_CTRL)
            and self._any_pressed(_SHIFT)
            and code == e.KEY_U
            and not self._any_pressed(_ALT | _META)
        ):
            self._entry.begin_unicode()
            self._framer.enter(at_ms)
            return captures
        alt = self._any_pressed(_ALT) and not self._any_pressed(_CTRL | _META)
        if alt and self._entry.under_alt(plain, keypad_plus=code == e.KEY_KPPLUS):
            self._framer.enter(at_ms)
            return captures
        typed = self._typed(plain, shifted)
        if typed:
            return captures + self._framer.item(typed, at_ms)
        return captures + self._framer.damage("unknown_key", at_ms, lost=False)

    def _begin(self, at_ms: int) -> list[RawCapture]:
        captures = self._framer.begin(at_ms)
        if not self._framer.entering:  # silence ended the scan in which the number began
            self._entry.clear()
        return captures

    def _any_pressed(self, keys: frozenset[int]) -> bool:
        return bool(self._pressed & keys)

    def _after_u(self, at_ms: int, plain: str) -> list[RawCapture]:
        """One key of a number after Ctrl+Shift+U."""
        if plain in ("\n", " ") and not self._any_pressed(_CTRL | _ALT | _META):
            return self._finished(at_ms)
        under_both = self._any_pressed(_CTRL) and self._any_pressed(_SHIFT)
        if self._entry.after_u(plain, under_both=under_both):
            return []
        self._entry.clear()
        return self._framer.damage("undecodable", at_ms, lost=False)

    def _finished(self, at_ms: int) -> list[RawCapture]:
        """The number is complete."""
        item = self._entry.finish()
        return self._framer.damage("undecodable", at_ms, lost=False) if item is None else self._framer.item(item, at_ms)

    def _typed(self, plain: str, shifted: str) -> str:
        """The character that a key types with the modifiers now pressed; empty if none."""
        if self._pressed & (_ALT | _META):
            return ""
        shift = bool(self._pressed & _SHIFT)
        if plain.isalpha():
            shift ^= self._own_caps ^ self._host_caps
        if self._pressed & _CTRL:
            return _control(shifted if self._pressed & _SHIFT else plain)
        return shifted if shift else plain

    def _up(self, at_ms: int, code: int) -> list[RawCapture]:
        captures = self._framer.quiet(at_ms)
        if code in self._pressed:
            self._pressed.discard(code)
        elif self._framer.scanning:
            captures += self._framer.damage("inconsistent_keys", at_ms, lost=False)
        if self._framer.scanning:
            captures += self._begin(at_ms)
            self._framer.log(f"-{_name(code)}", at_ms)
        else:
            self._entry.clear()
        alt_ends = self._entry.kind in ("decimal", "alt_hex") and code in _ALT and not self._any_pressed(_ALT)
        if alt_ends or (code in _CTRL | _SHIFT and self._entry.ends_on_release):
            captures += self._finished(at_ms)
        return captures


def _control(character: str) -> str:
    if character.isascii() and character.isalpha():
        return chr(ord(character.upper()) - 64)
    return _CTRL_SIGNS.get(character, "\n" if character == "\n" else "")


def _name(code: int) -> str:
    name = e.KEY.get(code, code)
    return str(name if isinstance(name, str | int) else name[0]).removeprefix("KEY_")
