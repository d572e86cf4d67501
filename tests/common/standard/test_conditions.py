"""What the condition of a device proves, by day, by night, and without a clock."""

import pytest
from support.judged import of, seen, verdict, waive

from common.standard.texts import item_sentence


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
def test_without_a_clock_it_is_not_known_whether_it_is_only_switched_off(condition):
    for item in ("terminal", "video", "scan_gun"):
        assert verdict(item, seen(condition), opening=None) == ("unproven", "hours_unknown")
    assert verdict("printer", seen("faulty", "shut_down"), opening=None) == ("unproven", "hours_unknown")


def test_without_a_clock_an_observed_fault_still_counts():
    assert verdict("printer", seen("faulty", "paper_out"), opening=None) == ("not_met", "device_faulty")
    assert verdict("video", seen("working"), opening=None) == ("met", "device_working")
    assert verdict("broadband", seen("faulty", "below_8m", line_mbps=3.0), opening=None).count("line_too_slow") == 1


def test_why_nothing_is_concluded_without_a_clock_is_stated_in_both_languages():
    item = of("printer", seen("unreachable", "no_answer"), opening=None)
    zh, en = item_sentence(item), item_sentence(item, "en")
    assert "时间未校准" in zh.says
    assert "日期和时间" in zh.remedy
    assert "clock" in en.says
    assert "date and time" in en.remedy


def test_a_printer_switched_off_at_night_is_not_a_failure():
    assert of("printer", seen("unreachable", can_copy=True), opening=False).verdict == "unproven"
    assert of("printer", seen("unreachable", can_copy=True), opening=True).verdict == "not_met"


def test_a_screen_that_stopped_answering_is_off_at_night_and_faulty_by_day():
    assert of("led_screen", seen("faulty", "edid_lost"), opening=False).because == "off_outside_hours"
    assert of("led_screen", seen("faulty", "edid_lost"), opening=True).because == "device_faulty"


def test_a_printer_that_reports_it_was_shut_down_is_off_at_night():
    assert of("printer", seen("faulty", "shut_down"), opening=False).verdict == "unproven"
    assert of("printer", seen("faulty", "paper_out"), opening=False).verdict == "not_met"


def test_an_answer_that_may_come_from_something_else_proves_nothing():
    assert verdict("web_page", seen("attention", "login_demanded")) == ("unproven", "nothing_proved")
    assert verdict("broadband", seen("attention", "captive_page", line_mbps=20.0)) == ("unproven", "nothing_proved")


def test_a_camera_without_a_microphone_makes_no_call_but_supports_a_waiver():
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
