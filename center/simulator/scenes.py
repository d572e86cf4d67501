"""The readings of simulated devices: of each class its normal reading and its troubles.

Data only; every reason code is one of the drivers' catalogues, every evidence states that it is simulated.
"""

from datetime import date
from typing import NamedTuple

from common.messages import Item
from common.standard.annex2 import ANNEX_2
from common.standard.rules import ATTESTABLE, Attestation, Rules
from common.standard.verdicts import verdicts
from common.station import StationType
from drivers.reading import Condition, Evidence, Reading, Reason, Scalar

C = Condition


def _reading(
    condition: Condition, code: str, measures: dict[str, Scalar] | None = None, **params: str | int | float
) -> Reading:
    return Reading(
        condition=condition,
        reason=Reason(code, params),
        measures=measures or {},
        evidence=(Evidence("simulated", "yinong-center simulate"),),
    )


class Scene(NamedTuple):
    """One device class: its normal reading, and its troubles as (relative frequency, mean duration in minutes, reading)."""

    normal: Reading
    troubles: tuple[tuple[float, float, Reading], ...]


_LINE_MEASURES: dict[str, Scalar] = {"line_mbps": 19.4, "down_mbps": 18.8, "up_mbps": 4.1, "rtt_ms": 24.0}
_SCREEN_MEASURES: dict[str, Scalar] = {"width_mm": 1430, "height_mm": 806, "area_m2": 1.153}

SCENES: dict[str, Scene] = {
    "terminal": Scene(
        _reading(C.WORKING, "all_well", {"disk_free_mb": 81_920, "cpu_percent": 4.0, "memory_percent": 37.0}),
        (
            (2, 30, _reading(C.ATTENTION, "disk_nearly_full", {"disk_free_mb": 900}, folder="/", free_mb=900)),
            (1, 20, _reading(C.ATTENTION, "hot", {"temperature_c": 93}, temperature_c=93)),
        ),
    ),
    "broadband": Scene(
        _reading(C.WORKING, "rate_ok", _LINE_MEASURES, line_mbps=19.4, wanted_mbps=7.2),
        (
            (2, 6, _reading(C.UNREACHABLE, "internet_unreachable")),
            (2, 10, _reading(C.UNREACHABLE, "access_line_down")),
        ),
    ),
    "led_screen": Scene(
        _reading(C.WORKING, "connected", _SCREEN_MEASURES, name="TCL 65", diagonal_in=64.6, area_m2=1.153),
        (
            (3, 15, _reading(C.ABSENT, "unplugged", connector="HDMI-A-1")),
            (1, 10, _reading(C.FAULTY, "edid_lost", connector="HDMI-A-1")),
        ),
    ),
    "printer": Scene(
        _reading(C.WORKING, "ok", {"can_print": True, "can_copy": True, "toner_percent": 62}),
        (
            (6, 12, _reading(C.FAULTY, "paper_out", {"can_print": True, "can_copy": True})),
            (3, 8, _reading(C.FAULTY, "paper_jam", {"can_print": True, "can_copy": True})),
            (2, 40, _reading(C.ATTENTION, "toner_low", {"can_print": True, "can_copy": True, "toner_percent": 6})),
            (2, 20, _reading(C.ABSENT, "no_printer")),
        ),
    ),
    "scan_gun": Scene(
        _reading(C.WORKING, "ready", {"captures": 0}, name="Newland HR22"),
        ((1, 5, _reading(C.ABSENT, "no_gun_found")),),
    ),
    "video": Scene(
        _reading(C.WORKING, "picture", {"width": 640, "height": 480}, name="UVC Camera"),
        (
            (3, 20, _reading(C.IN_USE, "camera_in_use", name="UVC Camera", by="wemeet")),
            (2, 15, _reading(C.FAULTY, "black", name="UVC Camera")),
            (1, 15, _reading(C.ABSENT, "no_camera")),
        ),
    ),
    "web_page": Scene(
        _reading(C.WORKING, "page_answers", {"status": 200, "answer_ms": 180}, title="融水益农"),
        ((1, 10, _reading(C.UNREACHABLE, "no_answer", timeout_s=8)),),
    ),
}  # fmt: skip

EQUIPMENT: dict[StationType, tuple[str, ...]] = {
    StationType.STANDARD: tuple(SCENES),
    StationType.PROFESSIONAL: ("terminal", "broadband", "scan_gun"),
    StationType.SIMPLE: ("terminal", "broadband"),
}

CODES = (
    "6901234567892",
    "6920152400999",
    "6937748304019",
    "]C10106901234567892",
    "https://id.gs1.org/01/06901234567892",
)

_ATTESTATIONS = tuple(
    Attestation(item=line.code, by="模拟（simulated）", on=date(2026, 1, 1))
    for line in ANNEX_2
    if line.code in ATTESTABLE
)


def standard_items(profile: StationType, readings: dict[str, Reading]) -> tuple[Item, ...]:
    """The items of the standard, as the agent itself would assess these readings."""
    devices = {name: (("main", reading),) for name, reading in readings.items()}
    return verdicts(profile, devices, _ATTESTATIONS, (), Rules(), True)
