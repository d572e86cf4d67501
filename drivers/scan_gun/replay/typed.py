"""The typed input of a recording, before prefix, suffix or Chinese are interpreted. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from drivers.scan_gun.capture import Damage, RawCapture, Source
from drivers.scan_gun.decoding.alt_codes import Item
from drivers.scan_gun.decoding.framing import Framer, Framing
from drivers.scan_gun.recording import Entry
from drivers.scan_gun.replay.replay import replay_into


class TypedInput(NamedTuple):
    items: list[Item]  # characters and Alt codes; bytes of serial guns as their latin-1 characters
    times: list[int]  # ms, of each
    identifier: str | None  # AIM, with its bracket, if the gun sends it separately (HID POS)
    lost: bool  # keys or bytes are missing

    @property
    def text(self) -> str:
        return "".join(s if isinstance(s, str) else "\ufffd" for s in self.items)


class _Collector(Framer):
    """Collects the decoders' output without framing."""

    def __init__(self, source: Source) -> None:
        super().__init__("", "", source, Framing())
        self.typed = TypedInput([], [], None, False)

    def item(self, item: Item, at_ms: int) -> list[RawCapture]:
        self.typed.items.append(item)
        self.typed.times.append(at_ms)
        return []

    def complete(self, identifier: str | None) -> list[RawCapture]:
        self.typed = self.typed._replace(identifier=identifier)
        return []

    def damage(self, cause: Damage, at_ms: int, *, lost: bool = True) -> list[RawCapture]:  # noqa: ARG002
        self.typed = self.typed._replace(lost=self.typed.lost or cause != "unknown_key")
        return []

    def dropped(self, at_ms: int) -> list[RawCapture]:
        return self.damage("events_dropped", at_ms)


def typed_input(source: Source, entries: Sequence[Entry]) -> TypedInput:
    """Errors: BadRecording."""
    collector = _Collector(source)
    replay_into(collector, entries, source)
    return collector.typed
