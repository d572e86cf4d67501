"""The LED screen's driver: the connectors of the graphics card, the EDID at the end of the cable, and the survey."""

from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from drivers.led_screen.connectors import Connector, connectors
from drivers.led_screen.edid import read_edid
from drivers.led_screen.judge import Kind, Survey, inspect_edid, judge, without_edid
from drivers.reading import CannotLook, Condition, Evidence, Found, Reading, Reason

__all__ = ["LedScreen", "find", "inspect_edid"]

Pixels: TypeAlias = Annotated[int, Meta(ge=1, le=65535)]
Millimetres: TypeAlias = Annotated[float, Meta(gt=0, le=100_000)]


class LedScreen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A TV or LED wall on one of the terminal's display connectors. `sample.toml` lists the options.

    Without `connector` it is the connected display with the largest known area; panels that are built into the terminal
    count only if their connector is named.
    """

    id: str
    connector: Annotated[str, Meta(min_length=1, max_length=40)] = "auto"
    kind: Kind = "auto"
    width_px: Pixels | None = None
    height_px: Pixels | None = None
    pitch_mm: Annotated[float, Meta(ge=0.3, le=100)] | None = None
    width_mm: Millimetres | None = None
    height_mm: Millimetres | None = None
    surveyed_by: Annotated[str, Meta(min_length=1, max_length=60)] | None = None
    surveyed_on: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\d$")] | None = None

    def __post_init__(self) -> None:
        by_pitch = (self.width_px, self.height_px, self.pitch_mm)
        by_tape = (self.width_mm, self.height_mm)
        for group, names in ((by_pitch, "width_px, height_px, pitch_mm"), (by_tape, "width_mm, height_mm")):
            if any(group) and not all(group):
                raise ValueError(f"{names} 要么都写，要么都不写 / give all of {names}, or none")
        if all(by_pitch) and all(by_tape):
            raise ValueError("像素和点间距、毫米尺寸只能选一种 / give pixels and pitch, or millimetres, not both")
        sized, signed = any(by_pitch) or any(by_tape), (self.surveyed_by, self.surveyed_on)
        if sized != all(signed) or any(signed) != all(signed):
            raise ValueError(
                "实测尺寸须同时写明 surveyed_by（测量人）和 surveyed_on（日期） / "
                "a surveyed size needs surveyed_by and surveyed_on, and they need a size"
            )

    async def look(self, root: Path, previous: Reading | None = None) -> Reading:
        """One look: a few small files of sysfs, no device is accessed. Errors: CannotLook."""
        there = connectors(root)
        if not there:
            raise CannotLook("no_drm", Evidence("sysfs", str(root / "sys/class/drm"), []))
        states = Evidence("sysfs", str(root / "sys/class/drm"), {c.name: c.status for c in there})
        if self.connector != "auto":
            return self._named([c for c in there if c.name == self.connector], states, previous)
        outside = [c for c in there if not c.built_in]
        readings = [self._reading(c, previous) for c in outside if c.status == "connected"]
        if readings:
            return max(readings, key=lambda reading: _rank(reading, previous))
        if any(c.status == "unknown" for c in outside):
            raise CannotLook("status_unknown", states, connector=next(c.name for c in outside if c.status == "unknown"))
        return Reading(condition=Condition.ABSENT, reason=Reason("no_screen"), evidence=(states,))

    def _named(self, named: list[Connector], states: Evidence, previous: Reading | None) -> Reading:
        """The configured connector; with two graphics cards a name can occur twice, the connected one counts."""
        params: dict[str, str | int | float] = {"connector": self.connector}
        if not named:
            return Reading(condition=Condition.ABSENT, reason=Reason("connector_missing", params), evidence=(states,))
        chosen = next((c for c in named if c.status == "connected"), named[0])
        if chosen.status == "connected":
            return self._reading(chosen, previous)
        if chosen.status == "unknown":
            raise CannotLook("status_unknown", states, connector=self.connector)
        return Reading(condition=Condition.ABSENT, reason=Reason("unplugged", params), evidence=(states,))

    def _reading(self, connector: Connector, previous: Reading | None) -> Reading:
        if not connector.edid:
            return without_edid(connector.name, self._survey(), connector.mode, previous)
        return judge(connector.edid, connector.name, self.kind, self._survey(), connector.mode)

    def _survey(self) -> Survey | None:
        by, on = self.surveyed_by or "", self.surveyed_on or ""
        if self.width_px and self.height_px and self.pitch_mm:
            px = (self.width_px, self.height_px)
            return Survey(px[0] * self.pitch_mm, px[1] * self.pitch_mm, px, by, on)
        if self.width_mm and self.height_mm:
            return Survey(self.width_mm, self.height_mm, None, by, on)
        return None


def _rank(reading: Reading, previous: Reading | None) -> tuple[float, bool, bool]:
    """The largest known area first, then the more certain; among equals the display of the previous look."""
    area = reading.measures.get("area_m2")
    same = previous is not None and {e.source for e in reading.evidence} & {e.source for e in previous.evidence}
    return (
        float(area) if isinstance(area, int | float) else 0.0,
        reading.condition is Condition.WORKING,
        bool(same),
    )


def find(root: Path) -> list[Found]:
    """The displays that are connected, built-in panels marked as such."""
    found: list[Found] = []
    for connector in connectors(root):
        if connector.status != "connected":
            continue
        edid = read_edid(connector.edid)
        label = " ".join(filter(None, (edid.manufacturer, edid.name))) or "?"
        size = f"{edid.diagonal_in}″, {edid.area_m2} m²" if edid.area_m2 else "尺寸未知 / size unknown"
        identity = "-".join(filter(None, (edid.manufacturer, f"{edid.product or 0:04X}", edid.serial)))
        note = (
            "电脑自带的屏，不是 LED 屏 / the terminal's own panel, not the LED screen; " if connector.built_in else ""
        )
        found.append(
            Found(
                device_class="led_screen",
                identity=identity if edid.manufacturer else connector.name,
                label=label,
                options={"connector": connector.name},
                note=note + size,
            )
        )
    return found
