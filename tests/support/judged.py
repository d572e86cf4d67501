"""One item of the standard for a test: the readings, attestations and waivers it depends on, and its verdict."""

from datetime import date

from common.standard.annex2 import ANNEX_2
from common.standard.rules import WAIVERS, Attestation, Rules, Waiver
from common.standard.verdicts import verdicts
from common.station import StationType
from drivers.reading import Condition, Reading, Reason

B, Z, J = StationType
ON = date(2026, 3, 2)
RULES = Rules()
MEASURED_ITEMS = [line.code for line in ANNEX_2 if line.measured]


def seen(condition, code="x", /, params=None, **measures):
    return Reading(condition=Condition(condition), reason=Reason(code, params or {}), measures=measures)


def of(item, readings=None, *, attestations=(), waivers=(), rules=RULES, opening=True, profile=B):
    """The one item; `readings` may be a Reading of the item's own class, or a whole mapping."""
    if isinstance(readings, Reading):
        readings = {item: [("main", readings)]}
    items = verdicts(profile, readings or {}, attestations, waivers, rules, opening)
    return next(i for i in items if i.item == item)


def verdict(*args, **kwargs):
    answer = of(*args, **kwargs)
    return answer.verdict, answer.because


def attest(item, on=ON):
    return Attestation(item=item, by="韦某某", on=on)


def waive(item, on=ON):
    return Waiver(item=item, capability=WAIVERS[item], by="韦某某", on=on)
