"""Temperatures (hwmon, thermal zones) and how often the processor was throttled for heat."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from drivers.reading import Evidence, Scalar
from drivers.terminal.part import Finding, Part, number, text

# Super-I/O chips have unconnected inputs with arbitrary values; drivetemp resets the disk's idle timer.
_NOT_TRUSTED = ("nct6", "nct7", "it8", "f718", "w83", "drivetemp")
_PLAUSIBLE_C = range(1, 125)
_THROTTLED_LASTS_S = 900


class Sensor(NamedTuple):
    name: str
    celsius: float
    critical_c: float | None  # the maker's value


def temperatures(root: Path) -> Iterator[Sensor]:
    """All trusted sensors with a plausible value (Documentation/hwmon/sysfs-interface: millidegrees)."""
    for chip in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        chip_name = text(chip / "name") or chip.name
        if chip_name.startswith(_NOT_TRUSTED):
            continue
        for file in sorted(chip.glob("temp*_input")):
            stem = file.name.removesuffix("_input")
            label = text(chip / f"{stem}_label") or stem
            yield from _sensor(f"{chip_name} {label}", number(file), number(chip / f"{stem}_crit"))
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        yield from _sensor(text(zone / "type") or zone.name, number(zone / "temp"), _critical_trip(zone))


def _sensor(name: str, milli: int | None, critical: int | None) -> Iterator[Sensor]:
    if milli is not None and milli // 1000 in _PLAUSIBLE_C:
        known = critical is not None and critical // 1000 in range(60, 125)
        yield Sensor(name, milli / 1000, critical / 1000 if known and critical is not None else None)


def _critical_trip(zone: Path) -> int | None:
    for file in sorted(zone.glob("trip_point_*_type")):
        if text(file) == "critical":
            return number(zone / file.name.replace("_type", "_temp"))
    return None


def throttle_count(root: Path) -> int | None:
    """How often any core or package was throttled for heat since boot (x86 only); None if the kernel does not count."""
    counts = [
        number(file) for file in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/*_throttle_count")
    ]
    return sum(count for count in counts if count is not None) if counts else None


def heat(sensors: list[Sensor], hot_c: int, throttles: int | None, throttled_s_ago: float | None) -> Part:
    """Hot at `hot_c`, or at a sensor's own critical value if that is lower; throttled: within the last 15 minutes."""
    findings: list[Finding] = []
    measures: dict[str, Scalar] = {}
    evidence: list[Evidence] = []
    if sensors:
        hottest = max(sensors, key=lambda sensor: sensor.celsius)
        measures["temperature_c"] = round(hottest.celsius, 1)
        hot = [s for s in sensors if s.celsius >= min(hot_c, s.critical_c or hot_c)]
        if hot:
            worst = max(hot, key=lambda sensor: sensor.celsius)
            findings.append(Finding("hot", {"temperature_c": round(worst.celsius), "sensor": worst.name}))
        evidence.append(
            Evidence("sensors", "/sys/class/hwmon, /sys/class/thermal", {s.name: s.celsius for s in sensors[:16]})
        )
    if throttles is not None:
        measures["throttles"] = throttles
        evidence.append(Evidence("throttle counters", "/sys/devices/system/cpu/cpu*/thermal_throttle", throttles))
        if throttled_s_ago is not None and throttled_s_ago < _THROTTLED_LASTS_S:
            findings.append(Finding("throttled", {"throttles": throttles}))
    return Part(measures, evidence, findings)
