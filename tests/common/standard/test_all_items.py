"""All items together, for any readings."""

import re
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from support.judged import MEASURED_ITEMS, RULES, B, attest, seen, waive

from common.messages import Item
from common.standard.annex2 import EVERY_ITEM
from common.standard.rules import ATTESTABLE, WAIVERS, Rules
from common.standard.texts import item_sentence
from common.standard.verdicts import verdict_codes, verdicts
from common.station import StationType
from drivers.reading import Condition

DRIVERS_WORDS = "".join(f.read_text("utf-8") for f in (Path(__file__).parents[3] / "drivers").glob("**/reasons.toml"))
any_reading = st.builds(
    seen,
    st.sampled_from(list(Condition)),
    st.sampled_from(["x", "edid_lost", "no_address", "connected_check_size", "below_8m", "no_speaker"]),
    st.just(dict.fromkeys(re.findall(r"\{([a-z0-9_]+)\}", DRIVERS_WORDS), 1.2)),
    can_copy=st.sampled_from([True, False, None]),
    area_m2=st.none() | st.floats(0, 3),
    line_mbps=st.none() | st.floats(0, 20),
)
any_readings = st.fixed_dictionaries(
    {}, optional={c: st.lists(st.tuples(st.just("d"), any_reading), max_size=3) for c in MEASURED_ITEMS}
)
any_rules = st.builds(Rules, waive_scan_gun_by_video=st.booleans())
any_claims = st.lists(st.sampled_from(ATTESTABLE).map(attest), max_size=4)
any_waivers = st.lists(st.sampled_from(sorted(WAIVERS)).map(waive), max_size=3)


@given(st.sampled_from(StationType), any_readings, any_claims, any_waivers, any_rules, st.booleans())
def test_every_result_is_complete_consistent_and_has_texts(profile, readings, claims, waivers, rules, opening):
    items = verdicts(profile, readings, claims, waivers, rules, opening)
    assert [i.item for i in items] == list(EVERY_ITEM)
    for item in items:
        conditions = {r.condition for _, r in readings.get(item.item, ())}
        if item.verdict == "met":
            assert conditions & {"working", "attention", "in_use"} or item.item == "broadband"
        if item.verdict == "not_met":
            assert conditions - {"unknown"}, "not_met needs evidence"
        if item.verdict == "waived":
            assert item.item in {w.item for w in waivers}
        for lang in ("zh", "en"):
            words = item_sentence(item, lang)
            assert words.says and "{" not in words.says + words.remedy
    assert msgspec.json.decode(msgspec.json.encode(items), type=tuple[Item, ...]) == items


@given(any_readings, any_rules)
def test_closing_time_never_turns_a_station_worse_or_better(readings, rules):
    by_day, by_night = (verdicts(B, readings, (), (), rules, opening) for opening in (True, False))
    for day, night in zip(by_day, by_night, strict=True):
        assert (day.verdict, night.verdict) in {(v, v) for v in ("met", "unproven", "not_met")} | {
            ("not_met", "unproven")
        }


def test_changing_figures_are_not_reported():
    fast, faster, slow = (
        verdicts(B, {"broadband": [("l", seen("working", line_mbps=rate))]}, (), (), RULES, True)
        for rate in (20.1, 20.3, 2.0)
    )
    assert fast != faster and verdict_codes(fast) == verdict_codes(faster) != verdict_codes(slow)
