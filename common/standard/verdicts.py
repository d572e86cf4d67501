"""Verdicts of the standard: computed from readings, attestations and waivers. Pure, without a clock.

How the evidence counts (what an inspector would accept, see the county plan's annex 2):

- `unknown` proves nothing: `unproven`, never `not_met`. The same holds for an item whose device is in no `[[device]]` table.
- `absent` and `unreachable` are `not_met` while the station is open. Outside opening hours such a device may just be
  switched off: `unproven`. The same holds for a fault that a switched-off device shows (SWITCHED_OFF). An observed fault,
  paper out for instance, counts day and night. With an untrusted clock it is not known whether the station is open:
  `unproven` for that reason.
- A screen is judged by its lit area: at least 1 m². A size in millimetres decides (a 60-inch set, 0.992 m², is too small);
  a size in whole centimetres that lies within 1.5 % of the limit, its rounding, decides nothing: unproven until
  it is measured. Without an area nothing is proven.
- The line is judged by its line-equivalent rate `line_mbps`, at least 90 % of 8 Mbit/s: a line sold as 8M never carries 8.0
  of payload, and 90 % is the customary allowance (its primary source was not found, so it is an option). `down_mbps`, a
  lower bound of it, proves the line too but never disproves it. That Wi-Fi covers the station is not measured.
- A printer must print and copy: `can_copy` true. If that is not known, it is unproven.
- A video device must see, hear and be heard; a camera alone is enough for a waiver.
- An answer that may come from something else (a login page, a wrong certificate) proves nothing.
- Of several devices of a class the best counts: the standard asks for one.
- A waiver is a claim by a named person. 'Promotion' waives the screen. 'Video calls' waives the video device and the scan
  gun only while a camera is also measured: without it the claim waives nothing. A county may refuse it for the scan gun.
- An item outside the station's profile is `not_required` and never counts against it.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from common.messages import Item
from common.standard.annex2 import ANNEX_2, AnnexItem, ItemCode
from common.standard.rules import Attestation, Rules, Waiver
from common.station import StationType
from drivers.reading import Condition, Reading, Scalar

# device class -> (id, confirmed reading) of each device
Readings: TypeAlias = Mapping[str, Sequence[tuple[str, Reading]]]
Params: TypeAlias = dict[str, str | int | float]

ClassReason: TypeAlias = tuple[str, str]  # device class and reason code

SWITCHED_OFF: frozenset[ClassReason] = frozenset(
    {("led_screen", "edid_lost"), ("printer", "shut_down"), ("printer", "no_device_answer")}
)
PROVES_NOTHING: frozenset[ClassReason] = frozenset(  # something answers, but it may be something else
    {("broadband", "captive_page"), ("web_page", "redirected_elsewhere"), ("web_page", "login_demanded")}
    | {("web_page", f"certificate_{how}") for how in ("wrong", "expired", "not_yet_valid", "or_clock")}
)
SLOWER_THAN_SOLD: ClassReason = (
    "broadband",
    "below_8m",
)  # a line sold as 50M may be too slow for that and still carry 8M
WITHOUT_SOUND: frozenset[ClassReason] = frozenset({("video", "no_microphone"), ("video", "no_speaker")})
DOUBTFUL_SIZE: ClassReason = (
    "led_screen",
    "connected_check_size",
)  # a size that some sets report whatever their real size
PAGE_NOT_SET = "no_address"  # the web page's driver has nothing to fetch

_WORKS = frozenset({Condition.WORKING, Condition.ATTENTION, Condition.IN_USE})


def verdicts(
    profile: StationType,
    readings: Readings,
    attestations: Sequence[Attestation],
    waivers: Sequence[Waiver],
    rules: Rules,
    opening: bool | None,
) -> tuple[Item, ...]:
    """All 12 items in the annex's order, each with its verdict and the reason (`common.standard.texts` has the texts).

    `readings` are the confirmed ones, by device class; `opening` is whether the station is open at this moment (None: not
    known). Parameters contain numbers that change with every poll: compare two results by `verdict_codes`, not whole. Of
    several claims for one item the newest counts.
    """
    facts = _Facts(readings, rules, opening)
    required = rules.profiles.of(profile)
    attested = {claim.item: claim for claim in sorted(attestations, key=lambda claim: claim.on)}
    claimed = {claim.item: claim for claim in sorted(waivers, key=lambda claim: claim.on)}
    return tuple(
        _item(line, facts, attested.get(line.code), claimed.get(line.code))
        if line.code in required
        else Item(item=line.code, verdict="not_required", because="not_in_profile", params={"profile": profile.value})
        for line in ANNEX_2
    )


def verdict_codes(items: Sequence[Item]) -> tuple[tuple[str, str, str], ...]:
    """What must differ between two results of `verdicts` for the second to be reported."""
    return tuple((item.item, item.verdict, item.because) for item in items)


class _Facts(NamedTuple):
    """What is known when the verdicts are computed."""

    readings: Readings
    rules: Rules
    opening: bool | None

    def measured(self, code: ItemCode) -> Item:
        """The best item of the devices of the class with this name: `met`, `unproven` or `not_met`."""
        items = [self._of_device(code, device_id, reading) for device_id, reading in self.readings.get(code, ())]
        if not items:
            return Item(item=code, verdict="unproven", because="no_device_configured")
        return min(items, key=_rank)

    def _of_device(self, code: ItemCode, device_id: str, reading: Reading) -> Item:
        assessed = _assess(code, reading, self.rules, self.opening)
        reason: Params = {f"reason.{name}": value for name, value in reading.reason.params.items()}
        params: Params = {"device": device_id, "reason": reading.reason.code, **reason, **assessed.figures}
        return Item(item=code, verdict=assessed.verdict, because=assessed.because, params=params)


def _rank(item: Item) -> int:
    return ("met", "unproven", "not_met").index(item.verdict)


def _item(line: AnnexItem, facts: _Facts, attested: Attestation | None, waiver: Waiver | None) -> Item:
    if not line.measured or (line.code == "web_page" and _no_page_is_set(facts.readings)):
        return _attested(line.code, attested)
    measured = facts.measured(line.code)
    return _with_waiver(measured, waiver, facts) if waiver else measured


def _attested(code: ItemCode, claim: Attestation | None) -> Item:
    if claim is None:
        return Item(item=code, verdict="unproven", because="not_attested")
    return Item(item=code, verdict="attested", because="attested", params=_who(claim))


def _no_page_is_set(readings: Readings) -> bool:
    pages = readings.get("web_page", ())
    return all(page.reason.code == PAGE_NOT_SET for _, page in pages)


def _with_waiver(measured: Item, waiver: Waiver, facts: _Facts) -> Item:
    """The better of the measured and the waived item; a waiver that does not count is reported before any other problem."""
    # a terminal's own camera waives the video device, but is not one
    if measured.verdict == "met" and waiver.item != "video":
        return measured
    if waiver.item == "scan_gun" and not facts.rules.waive_scan_gun_by_video:
        return msgspec.structs.replace(measured, because="waiver_refused", params=_who(waiver) | measured.params)
    if waiver.capability == "promotion":
        return _waived(waiver)
    if any(reading.condition in _WORKS for _, reading in facts.readings.get("video", ())):
        return _waived(waiver)
    camera = facts.measured("video")
    better = min(measured, camera, key=_rank).verdict
    params = _who(waiver) | {"class": "video"} | camera.params
    return Item(item=waiver.item, verdict=better, because="waiver_without_camera", params=params)


def _waived(waiver: Waiver) -> Item:
    return Item(item=waiver.item, verdict="waived", because=f"waived_by_{waiver.capability}", params=_who(waiver))


def _who(claim: Attestation | Waiver) -> Params:
    return {"by": claim.by, "on": claim.on.isoformat(), "note": claim.note}


class _Assessment(NamedTuple):
    verdict: Literal["met", "not_met", "unproven"]
    because: str
    figures: Params = {}  # noqa: RUF012  # never changed


def _assess(code: ItemCode, reading: Reading, rules: Rules, opening: bool | None) -> _Assessment:
    """One device: first what its condition proves, then the figure that the annex requires."""
    what = (code, reading.reason.code)
    match reading.condition:
        case Condition.UNKNOWN:
            return _Assessment("unproven", "device_unknown")
        case Condition.ABSENT | Condition.UNREACHABLE | Condition.FAULTY as condition:
            if not opening and (condition is not Condition.FAULTY or what in SWITCHED_OFF):
                return _Assessment("unproven", "hours_unknown" if opening is None else "off_outside_hours")
            if condition is not Condition.FAULTY or what != SLOWER_THAN_SOLD:
                return _Assessment("not_met", f"device_{condition.value}")
        case Condition.WORKING | Condition.ATTENTION | Condition.IN_USE:
            pass
    if what in PROVES_NOTHING:
        return _Assessment("unproven", "nothing_proved")
    match code:
        case "led_screen":
            return _screen(reading, rules)
        case "broadband":
            return _line(reading, rules)
        case "printer":
            return _printer_copier(reading)
        case "video" if what in WITHOUT_SOUND:
            return _Assessment("not_met", "video_without_sound")
        case _:
            return _Assessment("met", f"device_{reading.condition.value}")


def _screen(reading: Reading, rules: Rules) -> _Assessment:
    area_m2 = _number(reading.measures.get("area_m2"))
    if area_m2 is None:
        return _Assessment("unproven", "screen_area_unknown")
    figures: Params = {"area_m2": area_m2, "min_area_m2": rules.min_area_m2}
    rounded = reading.measures.get("size_from") == "bytes_cm"
    margin_m2 = rules.min_area_m2 * rules.area_tolerance if rounded else 0.0
    if area_m2 < rules.min_area_m2 - margin_m2:
        return _Assessment("not_met", "screen_too_small", figures)
    if area_m2 < rules.min_area_m2 + margin_m2:
        return _Assessment("unproven", "screen_area_rounded", figures)
    if ("led_screen", reading.reason.code) == DOUBTFUL_SIZE:
        return _Assessment("unproven", "screen_area_doubtful", figures)
    return _Assessment("met", "screen_large_enough", figures)


def _line(reading: Reading, rules: Rules) -> _Assessment:
    line_mbps, down_mbps = (_number(reading.measures.get(name)) for name in ("line_mbps", "down_mbps"))
    needed = rules.min_mbps * rules.min_mbps_ratio
    rates = [rate for rate in (line_mbps, down_mbps) if rate is not None]
    figures: Params = {"min_mbps": rules.min_mbps, "needed_mbps": round(needed, 3)}
    if rates and max(rates) >= needed:
        return _Assessment("met", "line_fast_enough", {"line_mbps": max(rates), **figures})
    if line_mbps is None:
        return _Assessment("unproven", "line_not_measured", figures)
    return _Assessment("not_met", "line_too_slow", {"line_mbps": line_mbps, **figures})


def _printer_copier(reading: Reading) -> _Assessment:
    if reading.measures.get("can_print") is False:
        return _Assessment("not_met", "cannot_print")
    match reading.measures.get("can_copy"):
        case True:
            return _Assessment("met", "prints_and_copies")
        case False:
            return _Assessment("not_met", "cannot_copy")
        case _:
            return _Assessment("unproven", "copying_unproven")


def _number(value: Scalar) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) else None
