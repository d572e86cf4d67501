"""The standard: readings, attestations and waivers to verdicts, and verdicts to words."""

import re
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.messages import Item
from agent.standard.annex2 import ANNEX_2, EVERY_ITEM
from agent.standard.opening_hours import BEIJING, OpeningHours, is_open
from agent.standard.rules import ATTESTABLE, WAIVERS, Attestation, Profiles, Rules, Waiver
from agent.standard.verdicts import (
    DOUBTFUL_SIZE,
    PAGE_NOT_SET,
    PROVES_NOTHING,
    SLOWER_THAN_SOLD,
    SWITCHED_OFF,
    WITHOUT_SOUND,
    standing,
    verdicts,
)
from agent.standard.words import because_codes, item_name, item_sentence, verdict_name
from agent.station import StationType
from drivers.catalogue import reason_codes
from drivers.reading import Condition, Reading, Reason

B, Z, J = StationType
ON = date(2026, 3, 2)
RULES = Rules()


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


# --- profiles


def test_annex_2_has_12_items_in_the_documents_order():
    assert [line.number for line in ANNEX_2] == list(range(1, 13))
    assert [line.code for line in ANNEX_2 if line.established == "attested"] == [
        "signboard", "plate", "information_wall", "telephone", "shelves",
    ]  # fmt: skip
    assert WAIVERS == {"led_screen": "promotion", "video": "video_calls", "scan_gun": "video_calls"}


def test_a_standard_station_needs_all_12_and_the_other_types_items_1_3_and_4():
    for profile in (Z, J):
        items = verdicts(profile, {}, (), (), RULES, True)
        assert [ANNEX_2[n].number for n, i in enumerate(items) if i.verdict != "not_required"] == [1, 3, 4]
    assert {i.verdict for i in verdicts(B, {}, (), (), RULES, True)} == {"unproven"}


def test_a_county_can_ask_more_of_a_type():
    rules = Rules(profiles=Profiles(J=("broadband",)))
    assert verdict("broadband", rules=rules, profile=J) == ("unproven", "no_device_configured")
    assert of("signboard", rules=rules, profile=J).verdict == "not_required"


def test_a_device_beyond_the_profile_is_never_counted_against_the_station():
    assert verdict("printer", seen("faulty", "paper_out"), profile=J) == ("not_required", "not_in_profile")


# --- conditions


@pytest.mark.parametrize(
    ("condition", "opening", "expected"),
    [
        ("working", True, ("met", "device_working")),
        ("attention", True, ("met", "device_attention")),
        ("in_use", True, ("met", "device_in_use")),
        ("faulty", True, ("not_met", "device_faulty")),
        ("faulty", False, ("not_met", "device_faulty")),
        ("absent", True, ("not_met", "device_absent")),
        ("absent", False, ("unproven", "off_outside_hours")),
        ("unreachable", True, ("not_met", "device_unreachable")),
        ("unreachable", False, ("unproven", "off_outside_hours")),
        ("unknown", True, ("unproven", "device_unknown")),
        ("unknown", False, ("unproven", "device_unknown")),
        ("working", False, ("met", "device_working")),
    ],
)
def test_what_a_condition_proves_inside_and_outside_opening_hours(condition, opening, expected):
    for item in ("terminal", "video", "scan_gun"):
        assert verdict(item, seen(condition), opening=opening) == expected


@pytest.mark.parametrize("condition", ["absent", "unreachable"])
def test_without_a_clock_nobody_knows_whether_it_is_merely_off(condition):
    for item in ("terminal", "video", "scan_gun"):
        assert verdict(item, seen(condition), opening=None) == ("unproven", "hours_unknown")
    assert verdict("printer", seen("faulty", "shut_down"), opening=None) == ("unproven", "hours_unknown")


def test_without_a_clock_what_was_seen_counts_as_ever():
    assert verdict("printer", seen("faulty", "paper_out"), opening=None) == ("not_met", "device_faulty")
    assert verdict("video", seen("working"), opening=None) == ("met", "device_working")
    assert verdict("broadband", seen("faulty", "below_8m", line_mbps=3.0), opening=None).count("line_too_slow") == 1


def test_why_nothing_is_concluded_without_a_clock_is_said_in_both_languages():
    item = of("printer", seen("unreachable", "no_answer"), opening=None)
    zh, en = item_sentence(item), item_sentence(item, "en")
    assert "时钟没有校准" in zh.says
    assert "日期和时间" in zh.remedy
    assert "clock" in en.says
    assert "date and time" in en.remedy


def test_a_printer_switched_off_at_night_is_no_failure():
    assert of("printer", seen("unreachable", can_copy=True), opening=False).verdict == "unproven"
    assert of("printer", seen("unreachable", can_copy=True), opening=True).verdict == "not_met"


def test_a_screen_that_stopped_answering_is_off_at_night_and_faulty_by_day():
    assert of("led_screen", seen("faulty", "edid_lost"), opening=False).because == "off_outside_hours"
    assert of("led_screen", seen("faulty", "edid_lost"), opening=True).because == "device_faulty"


def test_a_printer_that_says_it_was_shut_down_is_off_at_night():
    assert of("printer", seen("faulty", "shut_down"), opening=False).verdict == "unproven"
    assert of("printer", seen("faulty", "paper_out"), opening=False).verdict == "not_met"


def test_an_answer_that_may_be_anothers_proves_nothing():
    assert verdict("web_page", seen("attention", "login_demanded")) == ("unproven", "nothing_proved")
    assert verdict("broadband", seen("attention", "captive_page", line_mbps=20.0)) == ("unproven", "nothing_proved")


def test_a_camera_without_a_microphone_makes_no_call_but_backs_a_waiver():
    reading = seen("attention", "no_microphone")
    assert verdict("video", reading) == ("not_met", "video_without_sound")
    readings = {"scan_gun": [("g", seen("absent"))], "video": [("c", reading)]}
    assert of("scan_gun", readings, waivers=[waive("scan_gun")]).verdict == "waived"


def test_of_several_devices_the_best_counts():
    guns = {"scan_gun": [("a", seen("absent")), ("b", seen("working")), ("c", seen("unknown"))]}
    assert (of("scan_gun", guns).verdict, of("scan_gun", guns).params["device"]) == ("met", "b")
    guns["scan_gun"].pop(1)
    assert of("scan_gun", guns).params["device"] == "c"


def test_a_reading_that_could_not_be_taken_proves_nothing_whatever_its_measures_say():
    assert of("broadband", seen("unknown", line_mbps=1.0)).verdict == "unproven"
    assert of("led_screen", seen("unknown", area_m2=2.0)).verdict == "unproven"


# --- the screen


@pytest.mark.parametrize(
    ("area_m2", "expected"),
    [
        (1.163, ("met", "screen_large_enough")),  # 65 inches
        (0.992, ("not_met", "screen_too_small")),  # 60 inches
        (1.0, ("met", "screen_large_enough")),
        (0.834, ("not_met", "screen_too_small")),  # 55 inches
        (None, ("unproven", "screen_area_unknown")),
        (float("nan"), ("unproven", "screen_area_unknown")),
        (True, ("unproven", "screen_area_unknown")),
    ],
)
def test_a_screen_counts_with_its_area(area_m2, expected):
    for condition in ("working", "attention", "in_use"):
        assert verdict("led_screen", seen(condition, area_m2=area_m2)) == expected


@pytest.mark.parametrize(
    ("area_m2", "expected"), [(0.984, "not_met"), (0.9975, "unproven"), (1.014, "unproven"), (1.016, "met")]
)
def test_a_size_in_whole_centimetres_near_the_limit_has_to_be_measured(area_m2, expected):
    assert of("led_screen", seen("working", area_m2=area_m2, size_from="bytes_cm")).verdict == expected


def test_a_screen_whose_size_may_be_a_mere_ratio_is_unproven():
    reading = seen("working", "connected_check_size", area_m2=1.44)
    assert verdict("led_screen", reading) == ("unproven", "screen_area_doubtful")


def test_a_county_can_ask_for_a_larger_screen():
    assert of("led_screen", seen("working", area_m2=1.5), rules=Rules(min_area_m2=2)).verdict == "not_met"


def test_a_large_screen_that_is_broken_is_not_met():
    assert of("led_screen", seen("faulty", area_m2=2.0)).verdict == "not_met"


# --- the line


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        ({"line_mbps": 8.0}, ("met", "line_fast_enough")),
        ({"line_mbps": 7.2}, ("met", "line_fast_enough")),
        ({"line_mbps": 7.19}, ("not_met", "line_too_slow")),
        ({"line_mbps": None}, ("unproven", "line_not_measured")),
        ({}, ("unproven", "line_not_measured")),
        ({"line_mbps": None, "down_mbps": 7.5}, ("met", "line_fast_enough")),
        ({"line_mbps": None, "down_mbps": 6.9}, ("unproven", "line_not_measured")),
        ({"line_mbps": 6.0, "down_mbps": 5.7}, ("not_met", "line_too_slow")),
        ({"line_mbps": 0.0}, ("not_met", "line_too_slow")),
    ],
)
def test_a_line_counts_with_its_line_equivalent_rate(measures, expected):
    assert verdict("broadband", seen("working", **measures)) == expected


def test_a_line_slower_than_it_was_sold_may_still_carry_8m():
    assert of("broadband", seen("faulty", "below_8m", line_mbps=30.0)).verdict == "met"
    assert verdict("broadband", seen("faulty", "below_8m", line_mbps=5.0)) == ("not_met", "line_too_slow")


def test_a_line_that_is_down_is_not_met_although_it_was_fast():
    assert of("broadband", seen("unreachable", line_mbps=20.0)).verdict == "not_met"


# --- the printer-copier


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        ({"can_copy": True}, ("met", "prints_and_copies")),
        ({"can_copy": False}, ("not_met", "cannot_copy")),
        ({"can_copy": None}, ("unproven", "copying_unproven")),
        ({}, ("unproven", "copying_unproven")),
        ({"can_copy": True, "can_print": False}, ("not_met", "cannot_print")),
        ({"can_copy": 1}, ("unproven", "copying_unproven")),
    ],
)
def test_a_printer_must_print_and_copy(measures, expected):
    assert verdict("printer", seen("attention", "toner_low", **measures)) == expected


# --- attested items


def test_an_item_that_no_device_proves_is_attested_by_whom_and_when_or_unproven():
    answer = of("signboard", attestations=[attest("signboard")])
    assert (answer.verdict, answer.params["by"], answer.params["on"]) == ("attested", "韦某某", "2026-03-02")
    assert verdict("signboard") == ("unproven", "not_attested")


def test_the_newest_attestation_counts():
    claims = [attest("plate", date(2026, 5, 1)), attest("plate", date(2025, 5, 1))]
    assert of("plate", attestations=claims).params["on"] == "2026-05-01"


def test_what_is_measured_cannot_be_attested():
    assert ATTESTABLE == ("signboard", "plate", "information_wall", "telephone", "shelves", "web_page")
    for item in set(EVERY_ITEM) - set(ATTESTABLE):
        with pytest.raises(ValueError, match="cannot be attested"):
            attest(item)


def test_the_web_page_is_measured_where_its_address_is_configured_and_attested_elsewhere():
    claims = [attest("web_page")]
    assert of("web_page", seen("faulty", "http_error"), attestations=claims).verdict == "not_met"
    assert of("web_page", seen("working", "answers"), attestations=claims).verdict == "met"
    assert of("web_page", seen("unknown", "timed_out"), attestations=claims).verdict == "unproven"
    assert of("web_page", seen("unknown", "no_address"), attestations=claims).verdict == "attested"
    assert of("web_page", attestations=claims).verdict == "attested"
    assert verdict("web_page") == ("unproven", "not_attested")


# --- waivers


def test_promotion_waives_the_screen_by_a_named_person():
    answer = of("led_screen", seen("absent"), waivers=[waive("led_screen")])
    assert (answer.verdict, answer.because, answer.params["by"]) == ("waived", "waived_by_promotion", "韦某某")
    assert of("led_screen", waivers=[waive("led_screen")]).verdict == "waived"


def test_a_screen_that_meets_the_standard_needs_no_waiver():
    assert of("led_screen", seen("working", area_m2=1.2), waivers=[waive("led_screen")]).verdict == "met"


def test_video_calls_waive_the_video_device_only_with_a_measured_camera():
    waivers = [waive("video")]
    for condition in ("working", "in_use", "attention"):
        assert verdict("video", seen(condition), waivers=waivers) == ("waived", "waived_by_video_calls")
    for condition, expected in (("absent", "not_met"), ("faulty", "not_met"), ("unknown", "unproven")):
        assert verdict("video", seen(condition), waivers=waivers) == (expected, "waiver_without_camera")
    assert verdict("video", waivers=waivers) == ("unproven", "waiver_without_camera")


@pytest.mark.parametrize(
    ("gun", "camera", "expected"),
    [
        ("working", "absent", "met"),
        ("absent", "working", "waived"),
        ("unknown", "working", "waived"),
        ("absent", "absent", "not_met"),
        ("absent", "unknown", "unproven"),
        ("unknown", "absent", "unproven"),
    ],
)
def test_video_calls_waive_the_scan_gun_only_with_a_measured_camera(gun, camera, expected):
    readings = {"scan_gun": [("g", seen(gun))], "video": [("c", seen(camera))]}
    assert of("scan_gun", readings, waivers=[waive("scan_gun")]).verdict == expected


def test_a_county_can_refuse_the_waiver_of_the_scan_gun_and_keeps_that_of_the_video_device():
    rules = Rules(waive_scan_gun_by_video=False)
    readings = {"scan_gun": [("g", seen("absent"))], "video": [("c", seen("working"))]}
    waivers = [waive("scan_gun"), waive("video")]
    assert verdict("scan_gun", readings, waivers=waivers, rules=rules) == ("not_met", "waiver_refused")
    assert of("video", readings, waivers=waivers, rules=rules).verdict == "waived"


def test_a_waiver_of_one_item_waives_no_other():
    readings = {"video": [("c", seen("working"))], "scan_gun": [("g", seen("absent"))]}
    assert of("scan_gun", readings, waivers=[waive("video")]).verdict == "not_met"


def test_only_the_documents_waivers_exist():
    for item in EVERY_ITEM:
        for capability in ("promotion", "video_calls"):
            if WAIVERS.get(item) != capability:
                with pytest.raises(ValueError, match="is not waived by"):
                    Waiver(item=item, capability=capability, by="x", on=ON)


@pytest.mark.parametrize("missing", ["by", "on"])
def test_a_bare_switch_waives_nothing(missing):
    table = {"item": "video", "capability": "video_calls", "by": "韦某某", "on": ON}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({k: v for k, v in table.items() if k != missing}, Waiver)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(table | {missing: ""}, Waiver)


# --- all together

DRIVERS_WORDS = "".join(f.read_text("utf-8") for f in (Path(__file__).parents[2] / "drivers").glob("**/reasons.toml"))
any_reading = st.builds(
    seen,
    st.sampled_from(list(Condition)),
    st.sampled_from(["x", "edid_lost", "no_address", "connected_check_size", "below_8m", "no_speaker"]),
    st.just(dict.fromkeys(re.findall(r"\{([a-z0-9_]+)\}", DRIVERS_WORDS), 1.2)),
    can_copy=st.sampled_from([True, False, None]),
    area_m2=st.none() | st.floats(0, 3),
    line_mbps=st.none() | st.floats(0, 20),
)
measured_items = [line.code for line in ANNEX_2 if line.measured]
any_readings = st.fixed_dictionaries(
    {}, optional={c: st.lists(st.tuples(st.just("d"), any_reading), max_size=3) for c in measured_items}
)
any_rules = st.builds(Rules, waive_scan_gun_by_video=st.booleans())
any_claims = st.lists(st.sampled_from(ATTESTABLE).map(attest), max_size=4)
any_waivers = st.lists(st.sampled_from(sorted(WAIVERS)).map(waive), max_size=3)


@given(st.sampled_from(StationType), any_readings, any_claims, any_waivers, any_rules, st.booleans())
def test_every_answer_is_whole_consistent_and_has_words(profile, readings, claims, waivers, rules, opening):
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


def test_moving_figures_are_no_news():
    fast, faster, slow = (
        verdicts(B, {"broadband": [("l", seen("working", line_mbps=rate))]}, (), (), RULES, True)
        for rate in (20.1, 20.3, 2.0)
    )
    assert fast != faster and standing(fast) == standing(faster) != standing(slow)


# --- words


def test_the_words_hold_the_devices_own_reason_and_remedy():
    reading = seen("unknown", "no_permission", {"path": "/dev/video0"})
    words = item_sentence(of("video", reading))
    assert words.says == "无法检测视频设备:没有权限读取 /dev/video0"
    assert words.remedy == "请运营服务商检查 udev 规则与用户组"
    assert item_sentence(of("video", reading), "en").says == "Could not be looked at: No permission to read /dev/video0"


def test_the_words_of_a_refused_camera_are_the_cameras():
    readings = {"scan_gun": [("g", seen("absent"))], "video": [("c", seen("unknown", "no_permission", {"path": "/p"}))]}
    says = item_sentence(of("scan_gun", readings, waivers=[waive("scan_gun")])).says
    assert says == "韦某某 于 2026-03-02 确认智能终端能视频通话,但摄像头未能证实,免配不成立:没有权限读取 /p"


@pytest.mark.parametrize(
    "pair",
    sorted(
        SWITCHED_OFF | PROVES_NOTHING | WITHOUT_SOUND | {SLOWER_THAN_SOLD, DOUBTFUL_SIZE, ("web_page", PAGE_NOT_SET)}
    ),
)
def test_every_reason_that_the_standard_knows_is_one_of_the_drivers(pair):
    device_class, code = pair
    assert code in reason_codes(device_class)


def test_a_code_of_a_newer_version_is_shown_as_it_is():
    assert item_sentence(Item(item="drone", verdict="met", because="flies")).says == "flies"
    assert (item_name("drone"), verdict_name("perhaps")) == ("drone", "perhaps")
    assert (item_name("video", "en"), verdict_name("not_met", "zh")) == ("video device", "不达标")


def test_every_code_has_words_and_every_word_a_code():
    given_codes = set()
    for condition in Condition:
        for opening in (True, False, None):
            for item in measured_items:
                for measures in (
                    {"area_m2": 2.0, "line_mbps": 9.0, "can_copy": True},
                    {"area_m2": 0.1, "line_mbps": 1.0, "can_copy": False},
                    {"can_print": False},
                    {},
                ):
                    for claimed in ((), [waive(i) for i in WAIVERS]):
                        for rules in (RULES, Rules(waive_scan_gun_by_video=False)):
                            reading = {c: [("d", seen(condition, **measures))] for c in measured_items}
                            given_codes.add(of(item, reading, waivers=claimed, rules=rules, opening=opening).because)
    given_codes |= {i.because for i in verdicts(Z, {}, [attest("plate")], (), RULES, True)}
    given_codes |= {i.because for i in verdicts(B, {}, (), (), RULES, True)}
    given_codes.add(of("video", seen("attention", "no_speaker")).because)
    given_codes.add(of("web_page", seen("attention", "login_demanded")).because)
    given_codes.add(of("led_screen", seen("working", "connected_check_size", area_m2=1.44)).because)
    given_codes.add(of("led_screen", seen("working", area_m2=1.0, size_from="bytes_cm")).because)
    assert given_codes == because_codes()


# --- opening hours

HOURS = OpeningHours(saturday=("08:00-12:00", "14:00-24:00"), sunday=(), holidays=(date(2026, 2, 17),))


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-03-02 08:00", True),  # a Monday
        ("2026-03-02 07:59", False),
        ("2026-03-02 17:59", True),
        ("2026-03-02 18:00", False),
        ("2026-03-07 13:00", False),
        ("2026-03-07 23:59", True),
        ("2026-03-08 10:00", False),
        ("2026-02-17 10:00", False),
    ],
)
def test_a_station_is_open_within_its_spans_and_closed_on_holidays(moment, expected):
    assert is_open(HOURS, datetime.fromisoformat(moment).replace(tzinfo=BEIJING)) is expected


@given(st.integers(0, 365 * 24 * 60), st.integers(-12, 14))
def test_a_terminal_in_a_wrong_time_zone_is_judged_at_the_same_hours(minute, offset):
    moment = datetime(2026, 1, 1, tzinfo=BEIJING) + timedelta(minutes=minute)
    assert is_open(HOURS, moment) == is_open(HOURS, moment.astimezone(timezone(timedelta(hours=offset))))


def test_a_moment_without_an_offset_is_refused():
    with pytest.raises(ValueError, match="offset"):
        is_open(HOURS, datetime(2026, 3, 2, 10))  # noqa: DTZ001
