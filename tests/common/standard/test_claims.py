"""Claims of people: items that are attested, and items that are waived."""

from datetime import date

import msgspec
import pytest
from support.judged import ON, attest, of, seen, verdict, waive

from common.standard.annex2 import EVERY_ITEM
from common.standard.rules import ATTESTABLE, WAIVERS, Rules, Waiver

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


def test_the_web_page_is_measured_if_its_address_is_configured_and_attested_otherwise():
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
