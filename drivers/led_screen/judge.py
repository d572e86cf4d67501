"""One connected display to a reading: which size applies, and what is uncertain. Pure."""

import re
from typing import Literal, NamedTuple, TypeAlias

from drivers.led_screen.edid import DAMAGE, Edid, read_edid
from drivers.reading import Condition, Evidence, Reading, Reason, Scalar

Kind: TypeAlias = Literal["auto", "tv", "led_wall"]

# Names of makers and products of sending cards and processors: the EDID of such a box is not that of the wall.
_SENDING_CARD = re.compile(
    r"NOVA\s?STAR|NOVA\s?HD|\bMCTRL|\bVX\d|\bMSD\d|COLOR\s?LIGHT|\bLINSN|\bHUIDU|\bONBON|SENDING|\bSENDER|LED[ -]?WALL",
    re.I,
)


class Survey(NamedTuple):
    """A size that a person measured: millimetres of the lit area, pixels if known, who and when."""

    width_mm: float
    height_mm: float
    px: tuple[int, int] | None
    by: str
    on: str


def judge(data: bytes, where: str, kind: Kind, survey: Survey | None, mode: tuple[int, int] | None = None) -> Reading:
    """The reading of a connected display with the EDID `data` (not empty).

    `working` means: connected, with a valid EDID, its size known. Whether it is lit cannot be detected here.
    """
    edid = read_edid(data)
    evidence = [Evidence("edid", where, _shown(edid, data))]
    name = edid.name or edid.manufacturer or "?"
    if survey:
        evidence.append(
            Evidence("survey", survey.by, {"on": survey.on, "width_mm": survey.width_mm, "height_mm": survey.height_mm})
        )
        measures = _surveyed(survey, edid, mode)
    else:
        wall = kind == "led_wall" or (kind == "auto" and edid.name and _SENDING_CARD.search(edid.name))
        if wall and edid.doubt not in DAMAGE:
            return _reading("wall_not_surveyed", {"name": name}, _unsized(edid, mode), evidence)
        measures = _sized(edid, mode)
    if edid.doubt and (not survey or edid.doubt in DAMAGE):
        return _reading(edid.doubt, {"name": name}, measures, evidence)
    code = "connected_surveyed" if survey else "connected_check_size" if edid.maybe_ratio else "connected"
    params: dict[str, str | int | float] = {"name": name}
    params |= {key: value for key in ("diagonal_in", "area_m2") if isinstance(value := measures[key], int | float)}
    return _reading(code, params, measures, evidence, Condition.WORKING)


def inspect_edid(data: bytes) -> Reading:
    """The reading of a recorded EDID (`inspect screen FILE`), as of a display on an unconfigured connector."""
    if not data:
        return Reading(
            condition=Condition.ATTENTION, reason=Reason("edid_missing", {"connector": "-"}), measures=NO_SIZE
        )
    return judge(data, "file", "auto", None)


def without_edid(
    connector: str, survey: Survey | None, mode: tuple[int, int] | None, previous: Reading | None
) -> Reading:
    """A connected display without an EDID: a fault if it had one before, else only an old or simple cable."""
    lost = previous is not None and (
        previous.reason.code == "edid_lost"
        or any(e.method == "edid" and e.source == connector for e in previous.evidence)
    )
    return Reading(
        condition=Condition.FAULTY if lost else Condition.ATTENTION,
        reason=Reason("edid_lost" if lost else "edid_missing", {"connector": connector}),
        measures=_surveyed(survey, Edid(doubt=None), mode) if survey else _unsized(Edid(doubt=None), mode),
        evidence=(Evidence("sysfs", connector, {"status": "connected", "edid_bytes": 0}),),
    )


NO_SIZE: dict[str, Scalar] = dict.fromkeys(
    ("width_mm", "height_mm", "area_m2", "diagonal_in", "size_from", "width_px", "height_px"), None
)


def _reading(
    code: str,
    params: dict[str, str | int | float],
    measures: dict[str, Scalar],
    evidence: list[Evidence],
    condition: Condition = Condition.ATTENTION,
) -> Reading:
    return Reading(condition=condition, reason=Reason(code, params), measures=measures, evidence=tuple(evidence))


def _unsized(edid: Edid, mode: tuple[int, int] | None) -> dict[str, Scalar]:
    width_px, height_px = mode or (edid.width_px, edid.height_px)
    return NO_SIZE | {"width_px": width_px, "height_px": height_px}


def _sized(edid: Edid, mode: tuple[int, int] | None) -> dict[str, Scalar]:
    return _unsized(edid, mode) | {
        "width_mm": edid.width_mm,
        "height_mm": edid.height_mm,
        "area_m2": edid.area_m2,
        "diagonal_in": edid.diagonal_in,
        "size_from": edid.size_from,
    }


def _surveyed(survey: Survey, edid: Edid, mode: tuple[int, int] | None) -> dict[str, Scalar]:
    width_px, height_px = survey.px or mode or (edid.width_px, edid.height_px)
    diagonal_mm = (survey.width_mm**2 + survey.height_mm**2) ** 0.5
    return {
        "width_mm": round(survey.width_mm), "height_mm": round(survey.height_mm),
        "area_m2": round(survey.width_mm * survey.height_mm / 1e6, 4), "diagonal_in": round(diagonal_mm / 25.4, 1),
        "width_px": width_px, "height_px": height_px, "size_from": "survey",
    }  # fmt: skip


def _shown(edid: Edid, data: bytes) -> dict[str, Scalar]:
    """The deciding values, short; the bytes themselves if they are damaged."""
    if edid.doubt in DAMAGE:
        return {"bytes": len(data), "doubt": edid.doubt, "hex": data[:128].hex()}
    shown: dict[str, Scalar] = {
        "manufacturer": edid.manufacturer, "product": edid.product, "serial": edid.serial, "name": edid.name,
        "year": edid.year, "version": edid.version, "size_from": edid.size_from,
        "timing_mm": _by(edid.claimed_mm), "bytes_cm": _by(edid.claimed_cm), "bytes": len(data),
    }  # fmt: skip
    if edid.bad_blocks:
        shown["bad_extensions"] = len(edid.bad_blocks)
    return {key: value for key, value in shown.items() if value is not None}


def _by(size: tuple[int, int] | None) -> str | None:
    return f"{size[0]} x {size[1]}" if size else None
